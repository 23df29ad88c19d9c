"""What frameworks put around their steps, each as the few spans that show it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from evalkit.spans import Span, SpanEvent
from evalkit.tracing.normalizer import to_trajectory
from evalkit.trajectory import Step, Trajectory

KIND = "openinference.span.kind"


def span(number: int, name: str, parent: int | None, scope: str, /, **attributes: Any) -> Span:
    """A span that lasts until after its children, which have higher numbers, have ended."""
    return Span(
        trace_id="a" * 32,
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        start_ns=10**18 + number * 1000,
        end_ns=10**18 + (100 - number) * 1000 if parent is None else 10**18 + number * 1000 + 500,
        scope=scope,
        attributes=attributes,
    )


def genai(number: int, name: str, parent: int | None, scope: str, /, **attributes: Any) -> Span:
    named = {f"gen_ai.{key}".replace("__", "."): value for key, value in attributes.items()}
    return span(number, name, parent, scope, **named)


def steps(trajectory: Trajectory) -> list[Step]:
    return [visit.step for visit in trajectory.walk()]


def labels(trajectory: Trajectory) -> list[str]:
    return ["  " * visit.depth + visit.step.label for visit in trajectory.walk()]


OI = "openinference.instrumentation."
CREW = {"raw": "12 m.", "json_dict": None, "pydantic": None, "tasks_output": [{"raw": "12 m."}]}
EVENT = {"content": {"parts": [{"text": "12 m."}], "role": "model"}, "author": "diver"}
RESULT = {
    "messages": [{"source": "user", "content": "?"}, {"source": "diver", "content": "12 m."}],
    "stop_reason": "TERMINATE",
}
SHOWN = "StopEvent(result=AgentOutput(response=ChatMessage(role=<MessageRole.ASSISTANT: 'assis..."
MESSAGES = {"messages": ["ChatMessage(_role=<ChatRole.USER: 'user'>, _content=[TextContent(..."]}


@pytest.mark.parametrize(
    ("scope", "name", "kind", "output", "label"),
    [
        ("crewai", "reef_crew.kickoff", "CHAIN", CREW, "workflow reef_crew"),
        ("google_adk", "agent_run [diver]", "AGENT", EVENT, "agent agent_run [diver]"),
        ("autogen_agentchat", "diver.on_messages_stream", "AGENT", RESULT, "agent diver"),
        ("llama_index", "FunctionAgent.run", "CHAIN", SHOWN, "agent FunctionAgent"),
        ("haystack", "Agent.run", "CHAIN", MESSAGES, "agent Agent"),
        ("haystack", "Pipeline.run", "CHAIN", {"diver": MESSAGES}, "workflow Pipeline"),
        ("smolagents", "diver.run", "AGENT", "ChatMessageStreamDelta(content=None)", "agent diver"),
    ],
)
def test_an_answer_is_taken_out_of_what_its_framework_puts_around_it(
    scope: str, name: str, kind: str, output: Any, label: str
) -> None:
    value = output if isinstance(output, str) else json.dumps(output)
    found = to_trajectory(
        [
            span(1, name, None, OI + scope, **{KIND: kind, "output.value": value}),
            span(2, "model", 1, OI + scope, **{KIND: "LLM", "output.value": "12 m."}),
        ]
    )
    assert labels(found) == [label, "  llm model"]
    assert found.output == "12 m."


SOURCES = {"response": "ok", "source_nodes": [], "decision": "x"}


@pytest.mark.parametrize(
    ("scope", "output"),
    [
        (OI + "llama_index", {"status": 200, "result": {"response": {"decision": "approve"}}}),
        (OI + "llama_index", {"result": {"response": {"decision": "approve"}}}),
        (OI + "llama_index", {"result": {"response": "ok", "decision": "approve"}, "route": "x"}),
        (OI + "llama_index", SOURCES),
        ("llamaindex.opentelemetry.tracer", SOURCES),
        ("opentelemetry.instrumentation.llamaindex", SOURCES),
        (OI + "google_adk", {"content": {"parts": [{"sku": 1}]}, "decision": "x"}),
        (OI + "google_adk", {"content": {"parts": [{"sku": 1}]}}),
        (OI + "autogen_agentchat", {**RESULT, "decision": "approve"}),
        (OI + "crewai", {**CREW, "decision": "approve"}),
        (OI + "haystack", {**MESSAGES, "decision": "approve"}),
        (OI + "langchain", CREW),
        (OI + "crewai", EVENT),
        (OI + "google_adk", RESULT),
        (OI + "llama_index", 'Button(label="x") is the component you need.'),
        (OI + "llama_index", 'Button(label=")") and (so on)'),
    ],
)
def test_a_user_s_own_result_is_the_answer_as_it_was_recorded(scope: str, output: Any) -> None:
    value = output if isinstance(output, str) else json.dumps(output)
    told = {KIND: "CHAIN", "output.value": value}
    if scope.startswith("opentelemetry"):
        told = {"traceloop.span.kind": "workflow", "traceloop.entity.output": value}
    root = span(1, "Reef.run", None, scope, **told)
    if scope.startswith("llamaindex"):
        event = SpanEvent(name="workflow.output", time_ns=10**18, attributes={"output": value})
        root = replace(root, attributes={}, events=(event,))
    assert to_trajectory([root]).output == output


@pytest.mark.parametrize(
    "shown", ["Event(text='it\\'s :)', of=[(1, 2)])", "Event(text='as far as (th", SHOWN]
)
def test_what_python_shows_whole_or_cut_off_is_no_answer(shown: str) -> None:
    told = {KIND: "CHAIN", "output.value": shown}
    assert to_trajectory([span(1, "Reef.run", None, OI + "llama_index", **told)]).output is None


@pytest.mark.parametrize(
    ("scope", "output"),
    [
        ("llama_index", {"response": "12 m.", "source_nodes": ["<Node>"], "metadata": {}}),
        (
            "llama_index",
            {"result": {"response": {"role": "assistant", "blocks": [{"text": "12 m."}]}}},
        ),
    ],
)
def test_llamaindex_s_own_answers_are_their_text(scope: str, output: Any) -> None:
    told = {KIND: "CHAIN", "output.value": json.dumps(output)}
    assert to_trajectory([span(1, "Reef.run", None, OI + scope, **told)]).output == "12 m."


def test_an_event_of_google_adk_under_traceai_is_its_text() -> None:
    told = {"gen_ai.span.kind": "AGENT", "output.value": json.dumps(EVENT)}
    found = to_trajectory([span(1, "agent_run [diver]", None, "traceai_google_adk", **told)])
    assert found.output == "12 m."


def test_text_that_only_looks_a_little_like_an_object_stays_an_answer() -> None:
    said = "Call Anna (tel=12) first."
    root = span(1, "diver.run", None, OI + "smolagents", **{KIND: "AGENT", "output.value": said})
    assert to_trajectory([root]).output == said


def test_an_agent_that_answers_a_text_did_not_answer_its_calls() -> None:
    parts = [
        {"type": "tool_call", "id": "c1", "name": "dock_fee", "arguments": {"ship": "Aurora"}},
        {"type": "text", "content": "It pays 42."},
    ]
    said = json.dumps([{"role": "assistant", "parts": parts}])
    agent = {"operation__name": "invoke_agent", "agent__name": "harbor", "output__messages": said}
    found = to_trajectory([genai(1, "invoke_agent harbor", None, "gen_ai", **agent)])
    assert (found.output, steps(found)[0].output) == ("It pays 42.", "It pays 42.")
    vercel = {
        "ai.operationId": "ai.generateText",
        "ai.response.text": "It pays 42.",
        "ai.response.toolCalls": json.dumps([{"toolCallId": "c1", "toolName": "dock_fee"}]),
    }
    assert to_trajectory([span(1, "ai.generateText", None, "ai", **vercel)]).output == "It pays 42."
    del vercel["ai.response.text"]
    [agent_step] = steps(to_trajectory([span(1, "ai.generateText", None, "ai", **vercel)]))
    assert agent_step.output["tool_calls"][0]["name"] == "dock_fee"


def test_the_ai_sdk_s_spans_that_openinference_s_processor_changed() -> None:
    def processed(number: int, operation: str, *, raised: bool = False, **told: Any) -> Span:
        named = {"ai.operationId": operation, KIND: "LLM", "llm.model_name": "gpt-4o-2024-08-06"}
        made = span(number, operation, None if number == 1 else 1, "ai", **{**named, **told})
        failure = {"exception.message": "gauge timed out"}
        event = SpanEvent(name="exception", time_ns=10**18, attributes=failure)
        return replace(
            made,
            error=number > 2,  # all after the first failure, and the whole
            status_message="gauge timed out" if number > 2 else "",
            events=(event,) if raised else (),
        )

    tool = {"ai.toolCall.name": "flaky", "ai.toolCall.args": '{"q": "z"}'}
    asked = {"ai.model.id": "gpt-4o", "ai.response.model": "gpt-4o-2024-08-06"}
    found = to_trajectory(
        [
            replace(processed(1, "ai.generateText", **{"ai.response.text": "Got."}), error=True),
            processed(2, "ai.generateText.doGenerate", **asked),
            processed(3, "ai.toolCall", raised=True, **tool),
            processed(4, "ai.generateText.doGenerate", **asked),
            processed(5, "ai.toolCall", **tool, **{"ai.toolCall.result": '"row z"'}),
        ]
    )
    assert [step.status for step in steps(found)] == ["ok", "ok", "error", "ok", "ok"]
    _, first, failed, second, good = steps(found)
    assert (failed.error, good.output, found.output) == ("gauge timed out", "row z", "Got.")
    assert {(one.model_requested, one.model_served) for one in (first, second)} == {
        ("gpt-4o", "gpt-4o-2024-08-06")
    }


def test_the_ai_sdk_s_newer_spans_that_openinference_s_processor_changed() -> None:
    def processed(number: int, operation: str, kind: str, **told: Any) -> Span:
        named = {"gen_ai.operation.name": operation, KIND: kind, **told}
        made = span(number, operation, None if number == 1 else number - 1, "gen_ai", **named)
        return replace(made, error=True, status_message="an earlier one's")

    said = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "Got."}]}])
    told = {"gen_ai.request.model": "gpt-4o", "gen_ai.output.messages": said}
    found = to_trajectory(
        [
            processed(1, "invoke_agent", "AGENT", **{"gen_ai.agent.name": "harbor"}),
            processed(2, "agent_step", "LLM"),
            processed(3, "chat", "LLM", **told),
        ]
    )
    assert labels(found) == ["agent harbor", "  llm gpt-4o"]
    assert ([step.status for step in steps(found)], found.output) == (["ok", "ok"], "Got.")


def test_a_tool_s_text_is_read_without_json_s_quotes() -> None:
    attributes = {
        "ai.operationId": "ai.toolCall",
        "ai.toolCall.name": "trail",
        "ai.toolCall.result": '"9.5 km"',
    }
    [tool] = steps(to_trajectory([span(1, "ai.toolCall", None, "ai", **attributes)]))
    assert tool.output == "9.5 km"


def test_what_a_tool_gave_as_python_shows_it_is_what_it_shows() -> None:
    attributes = {KIND: "TOOL", "tool.name": "artist", "output.value": "{'artist': 'Kent'}"}
    [tool] = steps(to_trajectory([span(1, "artist", None, OI + "agno", **attributes)]))
    assert tool.output == {"artist": "Kent"}
    attributes["output.value"] = "{'artist': Kent}"
    [tool] = steps(to_trajectory([span(1, "artist", None, OI + "agno", **attributes)]))
    assert tool.output == "{'artist': Kent}"


def test_smolagents_calls_are_named_and_its_loop_is_no_step() -> None:
    call = {"args": [], "sanitize_inputs_outputs": True, "kwargs": {"title": "Musik"}}
    messages = {
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "length",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": (
            '{"title": "Musik"}'
        ),
    }
    scope = OI + "smolagents"
    tool = {KIND: "TOOL", "tool.name": "length", "input.value": json.dumps(call)}
    found = to_trajectory(
        [
            span(1, "music.run", None, scope, **{KIND: "AGENT", "output.value": "3:20"}),
            span(2, "Step 1", 1, scope, **{KIND: "CHAIN"}),
            span(3, "OpenAIModel.generate", 2, scope, **{KIND: "LLM", **messages}),
            span(4, "length", 2, scope, **{**tool, "output.value": "3:20"}),
        ]
    )
    assert labels(found) == ["agent music", "  llm OpenAIModel.generate", "  tool length"]
    last = steps(found)[-1]
    assert (last.arguments, last.call_id) == ({"title": "Musik"}, "c1")
    assert "tool spans" not in found.coverage.missing


def test_llamaindex_tool_results_of_openllmetry() -> None:
    scope = "opentelemetry.instrumentation.llamaindex"

    def tool(number: int, raw: Any, *, failed: bool) -> Span:
        result = {
            "tool_name": "mass",
            "tool_id": "c1",
            "tool_output": {"raw_output": raw, "is_error": failed, "blocks": []},
        }
        return span(
            number,
            "BaseWorkflowAgent.tool",
            1,
            scope,
            **{
                "traceloop.span.kind": "tool",
                "tool.name": "mass",
                "traceloop.entity.output": json.dumps(result),
            },
        )

    answer = {"role": "assistant", "blocks": [{"block_type": "text", "text": "2.1"}]}
    root = span(
        1,
        "FunctionAgent.workflow",
        None,
        scope,
        **{
            "traceloop.span.kind": "workflow",
            "traceloop.entity.output": json.dumps({"result": {"response": answer}}),
        },
    )
    found = to_trajectory(
        [root, tool(2, "scope timed out", failed=True), tool(3, 2.1, failed=False)]
    )
    _, failed, good = steps(found)
    assert (failed.status, failed.error) == ("error", "scope timed out")
    assert (good.status, good.output, found.output) == ("ok", 2.1, "2.1")


def test_agent_framework_s_workflows_and_the_executors_of_one_s_own() -> None:
    scope = "agent_framework"

    def executor(number: int, name: str, kind: str) -> Span:
        told = {"executor.id": name, "executor.type": kind}
        return span(number, f"executor.process {name}", 1, scope, **told)

    found = to_trajectory(
        [
            span(1, "workflow.run", None, scope, **{"workflow.name": "copy_desk"}),
            executor(2, "Writer", "AgentExecutor"),
            genai(3, "invoke_agent Writer", 2, scope, operation__name="invoke_agent"),
            executor(4, "count_words", "FunctionExecutor"),
            executor(5, "dispatcher", "_DispatchToAllParticipants"),
        ]
    )
    assert labels(found) == ["workflow copy_desk", "  agent Writer", "  node count_words"]
    assert found.coverage.not_understood == 0


def test_crewai_s_crews_and_flows_are_named_alike_in_all_runs() -> None:
    scope, run = OI + "crewai", "1d0d33fc-cd8d-4fd0-abef-bd8a8c01a548"
    node = {KIND: "CHAIN", "flow.node.name": "intake", "output.value": "reef"}
    found = to_trajectory(
        [
            span(1, f"Flow_{run}.kickoff", None, scope, **{KIND: "CHAIN"}),
            span(2, f"Flow_{run}.intake", 1, scope, **node),
            span(3, f"Crew_{run}.kickoff", 1, scope, **{KIND: "CHAIN"}),
        ]
    )
    assert labels(found) == ["workflow Flow", "  node intake", "  workflow Crew"]


@pytest.mark.parametrize(
    ("key", "told"),
    [("gen_ai.system", "strands-agents"), ("gen_ai.provider.name", "microsoft.agent_framework")],
)
def test_a_framework_is_no_provider(key: str, told: str) -> None:
    for kind in ({KIND: "LLM"}, {}):
        attributes = {**kind, "gen_ai.operation.name": "chat", key: told}
        [call] = steps(to_trajectory([span(1, "chat", None, "", **attributes)]))
        assert call.provider is None
        [call] = steps(to_trajectory([span(1, "chat", None, "", **{**attributes, key: "openai"})]))
        assert call.provider == "openai"


def test_mastra_s_workflow_steps_are_nodes() -> None:
    scope = "@mastra/otel-exporter"
    step = {
        "gen_ai.operation.name": "workflow_step",
        "mastra.span.type": "workflow_step",
        "mastra.workflow_step.step_id": "fetch",
        "mastra.workflow_step.input": '{"park": "Zion"}',
        "mastra.workflow_step.output": '{"text": "Ridge"}',
    }
    found = to_trajectory(
        [
            genai(1, "invoke_workflow trails", None, scope, operation__name="invoke_workflow"),
            span(2, "workflow_step fetch", 1, scope, **step),
            genai(3, "mapping", 1, scope, operation__name="mapping"),
        ]
    )
    assert labels(found) == ["workflow trails", "  node fetch"]
    assert (steps(found)[1].arguments, steps(found)[1].output) == (
        {"park": "Zion"},
        {"text": "Ridge"},
    )
    assert found.coverage.not_understood == 0


def test_mastra_s_call_of_a_model_that_stopped_for_an_error_failed() -> None:
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4.1",
        "gen_ai.response.model": "gpt-4.1",
        "gen_ai.response.finish_reasons": '["error"]',
        "mastra.span.type": "model_inference",
    }
    [call] = steps(to_trajectory([span(1, "chat", None, "@mastra/otel-exporter", **told)]))
    assert (call.status, call.error, call.model_served) == ("error", "error", None)


def test_messages_of_agents_runtimes_are_no_steps() -> None:
    found = to_trajectory(
        [
            span(1, "autogen process a", None, "autogen SingleThreadedAgentRuntime"),
            span(2, "agent_runtime send a", 1, "agent_runtime InProcessRuntime"),
            genai(3, "invoke_agent a", 2, "autogen-core", operation__name="invoke_agent"),
        ]
    )
    assert labels(found) == ["agent a"]
    assert found.coverage.not_understood == 0


def test_a_prompt_that_semantic_kernel_runs_is_a_node() -> None:
    scope = "semantic_kernel.functions.kernel_function"
    shown = "[ChatMessageContent(inner_content=ChatCompletion(id='x'))]"
    prompt = {"operation__name": "execute_tool", "tool__name": "aBcD", "tool__call.result": shown}
    found = to_trajectory([genai(1, "execute_tool aBcD", None, scope, **prompt)])
    assert (labels(found), found.output) == (["node aBcD"], None)


def test_a_handoff_that_two_instrumentations_record_is_one() -> None:
    outer = {KIND: "TOOL", "tool.name": "transfer_to_refund", "input.value": "{}"}
    inner = {"operation__name": "execute_tool", "tool__name": "transfer_to_refund"}
    found = to_trajectory(
        [
            genai(1, "invoke_agent triage", None, "autogen-core", operation__name="invoke_agent"),
            span(2, "HandoffTool", 1, OI + "autogen_agentchat", **outer),
            genai(3, "execute_tool", 2, "autogen-core", tool__call__id="c1", **inner),
        ]
    )
    assert labels(found) == ["agent triage", "  handoff refund"]
    assert steps(found)[1].call_id == "c1"


def test_of_calls_written_over_one_another_on_an_agent_no_tokens_are_taken() -> None:
    last = {
        KIND: "LLM",
        "gen_ai.operation.name": "generate_content",
        "llm.model_name": "gpt-4o",
        "llm.token_count.prompt": 61,
        "llm.token_count.completion": 20,
        "output.value": json.dumps(EVENT),
    }
    found = to_trajectory([span(1, "invoke_agent diver", None, "gcp.vertex.agent", **last)])
    assert (labels(found), found.output) == (["agent diver"], "12 m.")
    assert (found.tokens_in, found.tokens_out) == (None, None)
    assert {"model calls", "tokens"} <= set(found.coverage.missing)


def test_a_haystack_pipeline_answers_with_its_last_component_s_text() -> None:
    def answer(output: Any) -> Any:
        told = {"haystack.pipeline.output_data": json.dumps(output)}
        return to_trajectory([span(1, "haystack.pipeline.run", None, "haystack", **told)]).output

    reply = {"role": "assistant", "meta": {}, "content": [{"text": "Clay."}]}
    assert answer({"writer": {"replies": [reply]}}) == "Clay."
    asked = {"role": "user", "meta": {}, "content": [{"text": "What?"}]}
    assert answer({"farmer": {"messages": [asked, reply]}}) == "Clay."
    several = {"writer": {"replies": [reply]}, "finder": {"documents": []}}
    assert answer(several) == several
    call = {"tool_call": {"tool_name": "ph", "arguments": {}, "id": "c1"}}
    calling = {"writer": {"replies": [{**reply, "content": [{"text": "Wait."}, call]}]}}
    assert answer(calling) == calling


def test_haystack_documents_that_were_not_recorded_are_unknown() -> None:
    component = {"haystack.component.type": "BM25Retriever", "haystack.component.name": "finder"}
    found = to_trajectory([span(1, "haystack.component.run", None, "haystack", **component)])
    assert (labels(found), steps(found)[0].output) == (["retriever finder"], None)
    told = {**component, "haystack.component.output": '{"documents": []}'}
    found = to_trajectory([span(1, "haystack.component.run", None, "haystack", **told)])
    assert steps(found)[0].output == []


def test_the_last_agent_answers_and_one_that_failed_does_not() -> None:
    def agent(number: int, said: str) -> Span:
        told = {KIND: "AGENT", "agent.name": f"a{number}", "output.value": said}
        return span(number, f"a{number}", 9, OI + "agno", **told)

    def node(number: int, said: str) -> Span:
        told = {"evalkit.step.kind": "node", "evalkit.step.output": json.dumps(said)}
        return span(number, f"n{number}", 9, "", **told)

    assert to_trajectory([node(2, "refund"), node(3, "Refunded.")]).output == "Refunded."
    assert to_trajectory([node(2, "refund"), agent(3, "Refunded.")]).output == "Refunded."
    notes, report = agent(2, "Notes."), agent(3, "Report.")
    assert to_trajectory([notes, report]).output == "Report."
    failed = agent(4, "The server is overloaded")
    failed = replace(failed, error=True)
    assert to_trajectory([notes, report, failed]).output == "Report."
    assert to_trajectory([failed]).output == "The server is overloaded"


def test_a_tool_does_not_answer_for_what_failed() -> None:
    def told(number: int, kind: str, output: str | None, *, failed: bool = False) -> Span:
        keys = {"evalkit.step.kind": kind}
        if output is not None:
            keys["evalkit.step.output"] = json.dumps(output)
        return replace(span(number, f"s{number}", 9, "", **keys), error=failed)

    for kind in ("workflow", "agent"):
        refused = told(1, kind, "Sorry, I cannot do it", failed=True)
        assert to_trajectory([refused, told(2, "tool", "logged")]).output == "Sorry, I cannot do it"
        silent = told(1, kind, None, failed=True)
        assert to_trajectory([silent, told(2, "tool", "logged")]).output is None
    found, lost = told(1, "tool", "a document"), told(2, "tool", "timed out", failed=True)
    assert to_trajectory([found, lost]).output is None
    assert to_trajectory([found, told(2, "agent", None)]).output == "a document"


def test_an_agent_that_a_node_runs_has_the_last_word_of_a_silent_workflow() -> None:
    def told(number: int, parent: int | None, kind: str) -> Span:
        return span(number, f"s{number}", parent, "", **{"evalkit.step.kind": kind})

    call = {"operation__name": "chat", "request__model": "gpt-4o"}
    said = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "12 m."}]}])
    flow, node, agent = told(1, None, "workflow"), told(2, 1, "node"), told(3, 2, "agent")
    answer = genai(4, "chat", 3, "app", **call, output__messages=said)
    assert to_trajectory([flow, node, agent, answer]).output == "12 m."
    assert to_trajectory([flow, node, replace(answer, parent_id=node.span_id)]).output is None


def test_the_reason_is_that_of_the_agent_which_was_handed_over_to_within_a_call() -> None:
    def call(number: int, parent: int | None, reason: str) -> Span:
        told = {"operation__name": "chat", "response__finish_reasons": [reason]}
        return genai(number, "chat", parent, "gcp.vertex.agent", **told, output__messages="[]")

    agent = genai(2, "invoke_agent refund", 1, "gcp.vertex.agent", operation__name="invoke_agent")
    found = to_trajectory([call(1, None, "tool_calls"), agent, call(3, 2, "length")])
    assert labels(found) == ["llm chat", "  agent refund", "    llm chat"]
    assert found.stop_reason == "length"


def test_the_reason_is_that_of_the_call_which_ended_last() -> None:
    saved = genai(
        1,
        "chat gpt-4o-mini",
        None,
        "pydantic-ai",
        operation__name="chat",
        request__model="gpt-4o-mini",
        response__finish_reasons=["stop"],
    )
    lost = genai(2, "chat gpt-4.1", 1, "pydantic-ai", request__model="gpt-4.1")
    lost = replace(lost, error=True)
    found = to_trajectory([saved, lost])
    assert [step.status for step in steps(found)] == ["error", "ok"]
    assert found.stop_reason == "stop"


def test_llamaindex_s_own_end_of_a_workflow_that_python_shows_is_no_answer() -> None:
    scope = "llamaindex.opentelemetry.tracer"
    root = span(1, "FunctionAgent.run", None, scope)
    ended = SpanEvent(name="workflow.output", time_ns=10**18, attributes={"output": SHOWN})
    found = to_trajectory([replace(root, events=(ended,))])
    assert (labels(found), found.output) == (["agent FunctionAgent"], None)


def test_what_openllmetry_writes_for_haystack_s_answers_is_none() -> None:
    scope = "opentelemetry.instrumentation.haystack"
    told = {"llm.request.type": "chat", "gen_ai.completion.0.content": "replies"}
    found = to_trajectory([span(1, "haystack.openai.chat", None, scope, **told)])
    assert (labels(found), found.output) == (["llm haystack.openai.chat"], None)
    assert "text" in found.coverage.missing


def test_a_failed_google_adk_tool_has_no_call_id() -> None:
    told = {KIND: "TOOL", "tool.name": "boom", "tool.id": "<not specified>"}
    [tool] = steps(to_trajectory([span(1, "boom", None, OI + "google_adk", **told)]))
    assert tool.call_id is None


@pytest.mark.parametrize(
    ("model", "keys", "out"),
    [
        ("openai/gpt-4o", {"reasoning.output_tokens": 5}, 20),
        ("gemini-2.5-flash", {"reasoning.output_tokens": 5}, 25),
        ("publishers/google/models/gemini-2.5-flash", {"reasoning.output_tokens": 5}, 25),
        ("openai/gpt-4o", {"experimental.reasoning_tokens": 5}, 25),
        ("openai/gpt-4o", {}, 25),
    ],
)
def test_google_adk_adds_thoughts_to_counts_that_have_them(
    model: str, keys: dict[str, int], out: int
) -> None:
    """LiteLLM's have; Gemini's have not, and older versions added nothing."""
    told = {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": 61,
        "gen_ai.usage.output_tokens": 25,
        **{f"gen_ai.usage.{key}": value for key, value in keys.items()},
    }
    [call] = steps(to_trajectory([span(1, "call", None, "gcp.vertex.agent", **told)]))
    assert (call.tokens_in, call.tokens_out) == (61, out)


@pytest.mark.parametrize(("total", "out"), [(81, 20), (86, 25), (None, 25)])
def test_the_total_tells_whether_thoughts_were_added(total: int | None, out: int) -> None:
    told = {
        "gen_ai.span.kind": "LLM",
        "gen_ai.usage.input_tokens": 61,
        "gen_ai.usage.output_tokens": 25,
        "gen_ai.usage.output_tokens.reasoning": 5,
        **({} if total is None else {"gen_ai.usage.total_tokens": total}),
    }
    [call] = steps(to_trajectory([span(1, "call_llm", None, "traceai_google_adk", **told)]))
    assert (call.tokens_out, call.tokens_reasoning) == (out, 5)


@pytest.mark.parametrize(("total", "out"), [(81, 20), (86, 25)])
def test_google_adks_response_tells_it_too(total: int, out: int) -> None:
    used = {"prompt_token_count": 61, "candidates_token_count": 20, "thoughts_token_count": 5}
    response = {"content": {"parts": [{"text": "12 m."}]}, "usage_metadata": used}
    used["total_token_count"] = total
    told = {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.request.model": "some-model",
        "gen_ai.usage.output_tokens": 25,
        "gcp.vertex.agent.llm_response": json.dumps(response),
    }
    [call] = steps(to_trajectory([span(1, "call", None, "gcp.vertex.agent", **told)]))
    assert (call.tokens_out, call.tokens_reasoning) == (out, 5)
