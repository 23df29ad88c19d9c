"""What single versions and instrumentations do differently, each as the few spans that show it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evalkit.spans import Span
from evalkit.tracing.normalizer import to_trajectory
from evalkit.trajectory import Step, Trajectory

ARGUMENTS = {"city": "Paris", "people": 2, "options": {"tags": ["quiet"]}}


def span(number: int, name: str, parent: int | None = 1, /, **fields: Any) -> Span:
    return Span(
        trace_id="a" * 32,
        span_id=f"{number:016x}",
        parent_id=None if parent is None or number == 1 else f"{parent:016x}",
        name=name,
        start_ns=10**18 + number * 1000,
        end_ns=10**18 + (10**6 if number == 1 else number * 1000 + 500),
        **fields,
    )


def steps(trajectory: Trajectory) -> list[Step]:
    return [visit.step for visit in trajectory.walk()]


def labels(trajectory: Trajectory) -> list[str]:
    return ["  " * visit.depth + visit.step.label for visit in trajectory.walk()]


def pydantic(number: int, name: str, **attributes: Any) -> Span:
    return span(number, name, scope="pydantic-ai", attributes=attributes)


def test_pydantic_ai_before_it_named_operations() -> None:
    asked = [{"event.name": "gen_ai.user.message", "content": "A table?", "role": "user"}]
    called = {"id": "c1", "type": "function", "function": {"name": "book", "arguments": "{}"}}
    choice = {
        "event.name": "gen_ai.choice",
        "message": {"role": "assistant", "tool_calls": [called]},
    }
    found = to_trajectory(
        [
            pydantic(1, "booker run", agent_name="booker", final_result="Booked."),
            pydantic(
                2,
                "chat gpt-4.1",
                **{
                    "gen_ai.operation.name": "chat",
                    "gen_ai.request.model": "gpt-4.1",
                    "gen_ai.response.finish_reasons": ["stop"],
                    "events": json.dumps([*asked, choice]),
                },
            ),
            pydantic(3, "running 1 tool", tools=["book"]),
            pydantic(
                4,
                "running tool: book",
                **{
                    "gen_ai.tool.name": "book",
                    "gen_ai.tool.call.id": "c1",
                    "tool_arguments": json.dumps(ARGUMENTS),
                    "tool_response": "table 42",
                },
            ),
        ]
    )
    assert labels(found) == ["agent booker", "  llm gpt-4.1", "  tool book"]
    _, llm, tool = steps(found)
    assert (llm.stop_reason, llm.output["tool_calls"][0]["name"]) == ("tool_calls", "book")
    assert (tool.arguments, tool.output, tool.call_id) == (ARGUMENTS, "table 42", "c1")
    assert (found.output, found.coverage.wrappers, found.coverage.not_understood) == (
        "Booked.",
        1,
        0,
    )


def logfire(number: int, template: str, **attributes: Any) -> Span:
    told = {"logfire.msg_template": template, "logfire.span_type": "span", **attributes}
    return span(number, template, scope="logfire.openai_agents", attributes=told)


def test_logfire_of_the_agents_sdk() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "book", "arguments": "{}"}}
    used = {
        "input_tokens_details": {"cached_tokens": 30},
        "output_tokens_details": {"reasoning_tokens": 5},
    }
    model = {"gen_ai.request.model": "gpt-4.1", "gen_ai.response.model": "gpt-4.1"}
    failure = {"message": "Error running tool", "data": {"error": "no table for 2 left"}}
    response = {
        "model": "gpt-4.1-2026-04-14",
        "output": [{"type": "message", "role": "assistant", "content": [{"text": "Booked."}]}],
    }
    found = to_trajectory(
        [
            logfire(1, "OpenAI Agents trace: {name}", name="Agent workflow"),
            logfire(2, "Agent run: {name!r}", name="booker"),
            logfire(3, "Turn {turn} for agent booker", name="turn"),
            logfire(
                4,
                "Chat completion with {gen_ai.request.model!r}",
                output=json.dumps([{"role": "assistant", "content": None, "tool_calls": [call]}]),
                usage=json.dumps(used),
                **model,
            ),
            logfire(
                5,
                "Function: {name}",
                name="book",
                input=json.dumps(ARGUMENTS),
                output="An error occurred",
                error=json.dumps(failure),
            ),
            logfire(6, "Handoff: {from_agent} → {to_agent}", from_agent="booker", to_agent="payer"),
            logfire(7, "Guardrail {name!r} {triggered=}", name="pii", triggered=True),
            logfire(
                8,
                "Responses API with {gen_ai.request.model!r}",
                response=json.dumps(response),
                **{**model, "gen_ai.response.model": "gpt-4.1-2026-04-14"},
            ),
            logfire(9, "checked", **{"logfire.span_type": "log"}),
            logfire(10, "checking", **{"logfire.span_type": "pending_span"}),
        ]
    )
    assert [label.strip() for label in labels(found)] == [
        "workflow Agent workflow",
        "agent booker",
        "llm gpt-4.1",
        "tool book",
        "handoff payer",
        "guardrail pii",
        "llm gpt-4.1",
    ]
    chat, tool, handoff, guardrail, answer = steps(found)[2:]
    assert (chat.model_served, chat.tokens_cached, chat.tokens_reasoning) == (None, 30, 5)
    assert chat.output["tool_calls"][0]["id"] == "c1"
    assert (tool.arguments, tool.status, tool.error) == (ARGUMENTS, "error", "no table for 2 left")
    assert handoff.arguments == {"from": "booker", "to": "payer"}
    assert guardrail.output == {"triggered": True}
    assert (answer.model_served, answer.output) == ("gpt-4.1-2026-04-14", "Booked.")
    assert (found.coverage.wrappers, found.coverage.not_understood) == (3, 0)


def openinference(number: int, kind: str, scope: str, **attributes: Any) -> Span:
    return span(
        number,
        kind.lower(),
        scope=f"openinference.instrumentation.{scope}",
        attributes={"openinference.span.kind": kind, **attributes},
    )


def test_a_streamed_answer_tells_which_model_gave_it() -> None:
    message = {"kwargs": {"content": "Hi", "response_metadata": {"model_name": "gpt-4.1-0414"}}}
    output = {"generations": [[{"text": "Hi", "message": {"lc": 1, **message}}]]}
    found = to_trajectory(
        [
            openinference(
                1,
                "LLM",
                "langchain",
                **{
                    "llm.model_name": "gpt-4.1",
                    "llm.invocation_parameters": '{"model": "gpt-4.1"}',
                    "output.value": json.dumps(output),
                },
            )
        ]
    )
    [call] = steps(found)
    assert (call.model_requested, call.model_served) == ("gpt-4.1", "gpt-4.1-0414")


def test_a_text_recorded_whole_and_in_parts_is_said_once() -> None:
    prefix = "llm.output_messages.0.message"
    found = to_trajectory(
        [
            openinference(
                1,
                "LLM",
                "openai_agents",
                **{
                    f"{prefix}.role": "assistant",
                    f"{prefix}.contents.0.message_content.text": "Booked.",
                    f"{prefix}.content": "Booked.",
                },
            )
        ]
    )
    assert steps(found)[0].output == "Booked."


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ([{"json": {"celsius": 9}}], {"celsius": 9}),
        ("[{'json': {'celsius': 9}}]", {"celsius": 9}),
        ("[{'text': 'cold'}]", "cold"),
        ("[{'it is', no literal", "[{'it is', no literal"),
    ],
)
def test_strands_content_is_unpacked(result: Any, output: Any) -> None:
    value = result if isinstance(result, str) else json.dumps(result)
    found = to_trajectory(
        [openinference(1, "TOOL", "strands", **{"tool.name": "t", "output.value": value})]
    )
    assert steps(found)[0].output == output


def adk(number: int, operation: str, **attributes: Any) -> Span:
    told = {"gen_ai.operation.name": operation, **attributes}
    return span(number, operation, scope="gcp.vertex.agent", attributes=told)


def test_google_adk_failed_and_merged_calls() -> None:
    called = {"type": "tool_call", "id": "c1", "name": "book", "arguments": ARGUMENTS}
    messages = json.dumps([{"role": "assistant", "parts": [called]}])
    returned = {"status": "error", "error_message": "no table"}
    found = to_trajectory(
        [
            adk(1, "invoke_agent", **{"gen_ai.agent.name": "booker"}),
            adk(2, "chat", **{"gen_ai.output.messages": messages}),
            adk(
                3,
                "execute_tool",
                **{"gen_ai.tool.name": "book", "gen_ai.tool.call.id": "<not specified>"},
            ),
            adk(4, "execute_tool", **{"gen_ai.tool.name": "(merged tools)"}),
            adk(
                5,
                "execute_tool",
                **{
                    "gen_ai.tool.name": "pay",
                    "gen_ai.tool.call.result": json.dumps(returned),
                },
            ),
        ]
    )
    assert labels(found) == ["agent booker", "  llm chat", "  tool book", "  tool pay"]
    book, pay = steps(found)[2:]
    assert (book.arguments, book.call_id) == (ARGUMENTS, "c1")
    assert (pay.status, pay.error, pay.inferred) == ("error", "no table", "status")


def test_a_record_whose_status_is_error_is_a_result() -> None:
    result = json.dumps({"status": "error", "job": 7, "message": "disk full"})
    found = to_trajectory(
        [
            adk(
                1,
                "execute_tool",
                **{"gen_ai.tool.name": "job", "gen_ai.tool.call.result": result},
            )
        ]
    )
    assert steps(found)[0].status == "ok"


def test_traceloop_of_llamaindex_has_no_steps_for_its_classes() -> None:
    def task(number: int, name: str, kind: str = "task", **attributes: Any) -> Span:
        told = {"traceloop.span.kind": kind, "traceloop.entity.name": name, **attributes}
        return span(number, name, scope="opentelemetry.instrumentation.llamaindex", attributes=told)

    found = to_trajectory(
        [
            task(1, "FunctionAgent.workflow", "workflow"),
            task(2, "BaseWorkflowAgent.task"),
            task(3, "VectorIndexRetriever.task"),
            task(4, "FunctionTool.task", **{"tool.name": "book", "tool.arguments": "{}"}),
            task(5, "OpenAILike.task"),
        ]
    )
    assert labels(found) == [
        "agent FunctionAgent",
        "  retriever VectorIndexRetriever",
        "  tool book",
    ]
    assert found.coverage.wrappers == 2


def genai(number: int, operation: str, parent: int | None = 1, **attributes: Any) -> Span:
    told = {"gen_ai.operation.name": operation, **attributes}
    return span(number, operation, parent, attributes=told)


def test_an_agent_that_keeps_its_answer_to_itself_said_its_models_last_words() -> None:
    said = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "Booked."}]}])
    agent = genai(1, "invoke_agent", **{"gen_ai.agent.name": "booker"})
    tool = genai(3, "execute_tool", **{"gen_ai.tool.name": "book"})
    last = genai(4, "chat", **{"gen_ai.output.messages": said})
    assert to_trajectory([agent, tool, last]).output == "Booked."
    tool_after = genai(5, "execute_tool", **{"gen_ai.tool.name": "book"})
    assert to_trajectory([agent, last, tool_after]).output is None
    assert to_trajectory([agent, tool]).output is None


@pytest.mark.parametrize(
    ("attributes", "label"),
    [
        ({"agent.trajectory.step": "classify"}, "node classify"),
        ({"agent.trajectory.step": 3}, "node span"),
        ({"agent.trajectory.step": "3"}, "node span"),
        ({"agent.trajectory.step": 3, "tool.name": "refund"}, "tool refund"),
        ({"agent.trajectory.step": 3, "evalkit.step.kind": "retriever"}, "retriever span"),
        ({"agent.trajectory.step": 3, "evalkit.step.name": "named"}, "node named"),
        ({"agent.trajectory.step": 3, "openinference.span.kind": "LLM"}, "llm span"),
        (
            {"agent.trajectory.step": 3, "gen_ai.operation.name": "execute_tool"},
            "tool span",
        ),
    ],
)
def test_a_span_may_only_say_that_it_is_a_step(attributes: dict[str, Any], label: str) -> None:
    told = {"input.value": '{"id": 7}', "output.value": "done", **attributes}
    [step] = to_trajectory([span(1, "span", attributes=told)]).steps
    assert step.label == label
    if "openinference.span.kind" not in attributes and "gen_ai.operation.name" not in attributes:
        assert (step.arguments, step.output) == ({"id": 7}, "done")


def test_what_a_plain_span_states_itself_goes_before_its_bare_input() -> None:
    told = {
        "agent.trajectory.step": 1,
        "input.value": "bare",
        "evalkit.step.arguments": '{"id": 7}',
    }
    assert to_trajectory([span(1, "s", attributes=told)]).steps[0].arguments == {"id": 7}


def test_input_and_output_beside_the_conventions_own_names() -> None:
    calls = [{"type": "tool_call", "id": "c1", "name": "book", "arguments": {"city": "Paris"}}]
    talk = [
        {"role": "assistant", "parts": calls},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "42"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "Booked."}]},
    ]
    found = to_trajectory(
        [
            genai(1, "invoke_agent", **{"output.value": json.dumps(talk)}),
            genai(2, "chat", **{"output.value": json.dumps(talk[:1])}),
            genai(
                3,
                "execute_tool",
                **{
                    "gen_ai.tool.name": "book",
                    "input.value": '{"city": "Paris"}',
                    "output.value": "42",
                },
            ),
            genai(4, "chat", **{"output.value": json.dumps(talk[2:])}),
        ]
    )
    agent, chat, tool, last = steps(found)
    assert (agent.output, last.output) == ("Booked.", "Booked.")
    assert chat.output["tool_calls"][0]["name"] == "book"
    assert (tool.arguments, tool.output, tool.call_id) == ({"city": "Paris"}, "42", "c1")


@pytest.mark.parametrize(
    "content",
    [
        {"gen_ai.completion.0.text": "Hi"},
        {"gen_ai.completion.0.content.0.text": "Hi"},
        {"gen_ai.output.messages.0.message.contents.0.message_content.text": "Hi"},
    ],
)
def test_flattened_messages_in_parts(content: dict[str, str]) -> None:
    assert steps(to_trajectory([genai(1, "chat", **content)]))[0].output == "Hi"


def test_google_adk_is_told_where_the_scope_is_lost() -> None:
    call = {"function_call": {"id": "c1", "name": "book", "args": {}}}
    response = {"content": {"parts": [call], "role": "model"}, "model_version": "gemini-3"}
    found = to_trajectory(
        [
            span(
                1,
                "call_llm",
                attributes={
                    "gen_ai.request.model": "gemini",
                    "gen_ai.system": "gcp.vertex.agent",
                    "gcp.vertex.agent.event_id": "e",
                    "gcp.vertex.agent.llm_response": json.dumps(response),
                    "gen_ai.response.finish_reasons": ["stop"],
                },
            )
        ]
    )
    [call_step] = [step for step in steps(found) if step.kind == "llm"]
    assert (call_step.model_served, call_step.provider) == ("gemini-3", None)
    assert (call_step.stop_reason, call_step.output["tool_calls"][0]["id"]) == ("tool_calls", "c1")
