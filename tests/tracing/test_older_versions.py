"""Releases that teams still run: what they wrote before the conventions named it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evalkit.spans import Span, SpanEvent
from evalkit.tracing.normalizer import to_trajectory
from evalkit.trajectory import Step, Trajectory


def span(number: int, name: str, parent: int | None, scope: str, /, **fields: Any) -> Span:
    return Span(
        trace_id="a" * 32,
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        start_ns=10**18 + number * 1000,
        end_ns=10**18 + (10**6 if parent is None else number * 1000 + 500),
        scope=scope,
        **fields,
    )


def outline(trajectory: Trajectory) -> list[str]:
    return ["  " * visit.depth + visit.step.label for visit in trajectory.walk()]


def steps(trajectory: Trajectory, kind: str) -> list[Step]:
    return [visit.step for visit in trajectory.walk() if visit.step.kind == kind]


def adk(number: int, name: str, parent: int | None, /, **fields: Any) -> Span:
    return span(number, name, parent, "gcp.vertex.agent", **fields)


def call_llm(number: int, parent: int, part: dict[str, Any], **used: int) -> Span:
    """As ADK 1.x writes a model's call; the usage is in the response alone in the first ones."""
    usage = {f"{side}_token_count": tokens for side, tokens in used.items()}
    said = {"parts": [part], "role": "model"}
    response = {"content": said, "finish_reason": "STOP", "usage_metadata": usage}
    return adk(
        number,
        "call_llm",
        parent,
        attributes={
            "gen_ai.system": "gcp.vertex.agent",
            "gen_ai.request.model": "gemini-2.0-flash",
            "gcp.vertex.agent.session_id": "s-1",
            "gcp.vertex.agent.event_id": f"e-{number}",
            "gcp.vertex.agent.llm_request": "{}",
            "gcp.vertex.agent.llm_response": json.dumps(response),
        },
    )


def execute_tool(number: int, parent: int, name: str, arguments: dict[str, Any]) -> Span:
    return adk(
        number,
        f"execute_tool {name}",
        parent,
        attributes={
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.id": f"call-{name}",
            "gcp.vertex.agent.tool_call_args": json.dumps(arguments),
            "gcp.vertex.agent.tool_response": '{"status": "success"}',
        },
    )


def function_call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"function_call": {"id": f"call-{name}", "name": name, "args": arguments}}


def test_google_adk_1() -> None:
    found = to_trajectory(
        [
            adk(1, "invocation", None),
            adk(2, "agent_run [helper]", 1),
            call_llm(3, 2, function_call("find", q="x"), prompt=40, candidates=7, total=47),
            execute_tool(4, 3, "find", {"q": "x"}),
            call_llm(5, 2, {"text": "Found."}, prompt=50, candidates=4, thoughts=6, total=60),
        ]
    )
    assert outline(found) == [
        "agent helper",
        "  llm gemini-2.0-flash",
        "    tool find",
        "  llm gemini-2.0-flash",
    ]
    first, last = steps(found, "llm")
    assert (first.tokens_in, first.tokens_out, first.stop_reason) == (40, 7, "tool_calls")
    # Gemini's thoughts are beside what it said.
    assert (last.tokens_in, last.tokens_out, last.tokens_reasoning) == (50, 10, 6)
    assert (found.output, found.session) == ("Found.", "s-1")
    assert (found.tokens_in, found.tokens_out) == (90, 17)
    assert found.coverage.not_understood == 0
    assert found.coverage.missing == ("served model",)


def test_google_adk_1_hands_over_within_the_models_call() -> None:
    transfer = function_call("transfer_to_agent", agent_name="billing")
    found = to_trajectory(
        [
            adk(1, "invocation", None),
            adk(2, "agent_run [triage]", 1),
            call_llm(3, 2, transfer),
            execute_tool(4, 3, "transfer_to_agent", {"agent_name": "billing"}),
            adk(5, "agent_run [billing]", 3),
            call_llm(6, 5, {"text": "Refunded."}),
        ]
    )
    assert [step.label for step in steps(found, "handoff") + steps(found, "agent")] == [
        "handoff billing",
        "agent triage",
        "agent billing",
    ]
    assert found.output == "Refunded."


def test_google_adk_1_calls_that_fail_have_no_attributes() -> None:
    found = to_trajectory(
        [
            adk(1, "agent_run [helper]", None),
            call_llm(2, 1, function_call("find", q="x")),
            adk(3, "execute_tool find", 2, error=True, status_message="no index"),
            adk(4, "call_llm", 1, error=True, status_message="503"),
        ]
    )
    [tool] = steps(found, "tool")
    assert (tool.name, tool.status, tool.error) == ("find", "error", "no index")
    assert tool.arguments == {"q": "x"}
    assert [(call.status, call.error) for call in steps(found, "llm")] == [
        ("ok", None),
        ("error", "503"),
    ]


def test_google_adk_around_the_span_of_its_sdk_is_one_call() -> None:
    inner = {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.request.model": "gemini-2.0-flash",
    }
    found = to_trajectory(
        [
            adk(1, "agent_run [helper]", None),
            call_llm(2, 1, {"text": "Hi."}, prompt=40, candidates=7, total=47),
            span(3, "generate_content gemini-2.0-flash", 2, "genai", attributes=inner),
            adk(4, "call_llm", 1),
            span(5, "generate_content gemini-2.0-flash", 4, "genai", attributes=inner),
        ]
    )
    assert outline(found) == ["agent helper", *["  llm gemini-2.0-flash"] * 2]
    assert (found.tokens_in, found.coverage.wrappers) == (40, 1)


def strands(number: int, name: str, parent: int | None, /, **told: Any) -> Span:
    attributes = {key: value if isinstance(value, str | int) else json.dumps(value)
                  for key, value in told.items()}  # fmt: skip
    return span(number, name, parent, "strands-agents", attributes=attributes)


STRANDS = {
    "gen_ai.system": "strands-agents",
    "agent.name": "helper",
    "gen_ai.agent.name": "helper",
    "gen_ai.request.model": "claude-sonnet-4",
}
CALL = {"toolUseId": "t1", "name": "get_weather", "input": {"city": "Oslo"}}


@pytest.mark.parametrize(
    ("status", "result", "output", "error"),
    [
        ("error", [{"text": "Error: sensor down"}], "Error: sensor down", "Error: sensor down"),
        ("success", [{"json": {"t": 3}}], {"t": 3}, None),
        ("success", [{"text": '{"t": 3}'}], {"t": 3}, None),
    ],
)
def test_strands_0_1(status: str, result: Any, output: Any, error: str | None) -> None:
    asked = [{"role": "user", "content": [{"text": "How is the weather?"}]}]
    used = {"gen_ai.usage.prompt_tokens": 42, "gen_ai.usage.completion_tokens": 7}
    found = to_trajectory(
        [
            strands(
                1, "helper", None, **STRANDS, **{"gen_ai.prompt": "How is the weather?",
                "gen_ai.completion": "It is 3.", "gen_ai.usage.prompt_tokens": 84,
                "gen_ai.usage.completion_tokens": 14},
            ),
            strands(2, "Cycle 1", 1, **{"event_loop.cycle_id": "1", "gen_ai.prompt": asked}),
            strands(
                3, "Model invoke", 2, **STRANDS, **used,
                **{"gen_ai.prompt": asked, "gen_ai.completion": [{"toolUse": CALL}]},
            ),
            strands(
                4, "Tool: get_weather", 2, **{"tool.name": "get_weather", "tool.id": "t1",
                "tool.parameters": {"city": "Oslo"}, "tool.status": status,
                "tool.result": result, "gen_ai.completion": result},
            ),
            strands(5, "Cycle 2", 1, **{"event_loop.cycle_id": "2", "gen_ai.prompt": asked}),
            strands(
                6, "Model invoke", 5, **STRANDS, **used,
                **{"gen_ai.prompt": asked, "gen_ai.completion": [{"text": "It is 3."}]},
            ),
        ]
    )  # fmt: skip
    assert outline(found) == [
        "agent helper",
        "  llm claude-sonnet-4",
        "  tool get_weather",
        "  llm claude-sonnet-4",
    ]
    [tool] = steps(found, "tool")
    assert (tool.arguments, tool.call_id) == ({"city": "Oslo"}, "t1")
    assert (tool.output, tool.error, tool.inferred) == (output, error, None)
    assert steps(found, "llm")[0].output["tool_calls"][0]["name"] == "get_weather"
    assert [call.provider for call in steps(found, "llm")] == [None, None]
    assert (found.output, found.tokens_in, found.tokens_out) == ("It is 3.", 84, 14)
    assert (found.coverage.wrappers, found.coverage.not_understood) == (2, 0)


@pytest.mark.parametrize("key", ["tool.status", "gen_ai.tool.status"])
def test_strands_1_tells_a_failure_beside_the_status(key: str) -> None:
    told = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find", key: "error"}
    said = SpanEvent("gen_ai.choice", 1, {"message": '[{"text": "Error: sensor down"}]'})
    graph = {"gen_ai.operation.name": "invoke_graph", "gen_ai.agent.name": "graph"}
    found = to_trajectory(
        [
            span(1, "invoke_graph", None, "strands.telemetry.tracer", attributes=graph),
            span(
                2, "execute_tool find", 1, "strands.telemetry.tracer", attributes=told,
                events=(said,),
            ),
        ]
    )  # fmt: skip
    assert outline(found) == ["workflow graph", "  tool find"]
    [tool] = steps(found, "tool")
    assert (tool.status, tool.error) == ("error", "Error: sensor down")


@pytest.mark.parametrize("scope", ["semantic_kernel.utils.telemetry", "agent_framework", "any"])
@pytest.mark.parametrize(
    "operation",
    [
        "chat.completions",
        "chat.streaming_completions",
        "text.completions",
        "text.streaming_completions",
        "acompletion",
    ],
)
def test_other_names_of_a_models_call(scope: str, operation: str) -> None:
    told = {
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": "gpt-4.1",
        "gen_ai.usage.input_tokens": 42,
    }
    [step] = to_trajectory([span(1, f"{operation} gpt-4.1", None, scope, attributes=told)]).steps
    assert (step.kind, step.model_requested, step.tokens_in) == ("llm", "gpt-4.1", 42)


def haystack(number: int, name: str, parent: int | None, /, **told: Any) -> Span:
    stated = {
        f"haystack.{key.replace('__', '.')}": value if isinstance(value, str) else json.dumps(value)
        for key, value in told.items()
    }
    return span(number, f"haystack.{name}", parent, "haystack", attributes=stated)


def component(number: int, parent: int, name: str, kind: str, given: Any, said: Any) -> Span:
    named = {"component__name": name, "component__type": kind}
    sides = {"component__input": given, "component__output": said}
    return haystack(number, "component.run", parent, **named, **sides)


def haystack_call(number: int) -> dict[str, Any]:
    return {"tool_name": "find", "arguments": {"q": number}, "id": f"c{number}"}


def haystack_result(call: dict[str, Any], result: str, error: bool = False) -> dict[str, Any]:
    told = {"tool_call_result": {"result": result, "origin": call, "error": error}}
    return {"role": "tool", "content": [told]}


def haystack_2(
    calls: list[dict[str, Any]], results: list[dict[str, Any]], mark: str = ""
) -> Trajectory:
    """An agent in a pipeline; ``mark`` stands before the keys of messages."""
    asked = {"role": "user", "content": [{"text": "hi"}]}
    called = {"role": "assistant", "content": [{"tool_call": call} for call in calls]}
    used = {"model": "m", "usage": {"prompt_tokens": 42, "completion_tokens": 7}}
    answer = {"role": "assistant", "content": [{"text": "Hello."}], "meta": used}
    asked, called, answer, *results = (
        {mark + key: value for key, value in message.items()}
        for message in (asked, called, answer, *results)
    )
    history = [asked, called, *results]
    return to_trajectory(
        [
            haystack(1, "pipeline.run", None, pipeline__output_data={}),
            component(2, 1, "helper", "Agent", {"messages": [asked]}, {}),
            haystack(3, "agent.run", 2, agent__output={"messages": [*history, answer]}),
            component(
                4, 3, "chat", "OpenAIChatGenerator", {"messages": [asked]}, {"replies": [called]}
            ),
            component(
                5, 3, "tool_invoker", "ToolInvoker", {"messages": [called]},
                {"tool_messages": results},
            ),
            component(
                6, 3, "chat", "OpenAIChatGenerator", {"messages": history}, {"replies": [answer]}
            ),
        ]
    )  # fmt: skip


@pytest.mark.parametrize("mark", ["", "_"])
@pytest.mark.parametrize(
    ("result", "failed", "output", "error"),
    [('{"t": 3}', False, {"t": 3}, None), ("no index", True, "no index", "no index")],
)
def test_haystack_2_calls_a_tool(
    result: str, failed: bool, output: Any, error: str | None, mark: str
) -> None:
    call = haystack_call(1)
    found = haystack_2([call], [haystack_result(call, result, failed)], mark)
    assert outline(found) == [
        "workflow pipeline",
        "  agent helper",
        "    llm OpenAIChatGenerator",
        "    tool find",
        "    llm OpenAIChatGenerator",
    ]
    [tool] = steps(found, "tool")
    assert (tool.arguments, tool.call_id, tool.inferred) == ({"q": 1}, "c1", None)
    assert (tool.output, tool.error) == (output, error)
    # What the pipeline gave is written before it has run.
    assert found.output == "Hello."
    assert (found.tokens_in, steps(found, "llm")[1].model_served) == (42, "m")


@pytest.mark.parametrize("mark", ["", "_"])
def test_haystack_2_calls_several_tools_at_once(mark: str) -> None:
    calls = [haystack_call(1), haystack_call(2)]
    found = haystack_2(calls, [haystack_result(call, '{"t": 3}') for call in calls], mark)
    told = [(tool.arguments, tool.output, tool.inferred) for tool in steps(found, "tool")]
    assert told == [({"q": 1}, {"t": 3}, None), ({"q": 2}, {"t": 3}, None)]
    assert "tool spans" not in found.coverage.missing
    assert not steps(found, "node")


@pytest.mark.parametrize("mark", ["", "_"])
@pytest.mark.parametrize("model", [False, True])
@pytest.mark.parametrize("history", [False, True])
def test_haystack_2_calls_several_tools_and_no_model_after_them(
    mark: str, model: bool, history: bool
) -> None:
    calls = [haystack_call(1), haystack_call(2)]
    results = [haystack_result(calls[0], "Found."), haystack_result(calls[1], "no index", True)]
    called = {"role": "assistant", "content": [{"tool_call": call} for call in calls]}
    called, *results = (
        {mark + key: value for key, value in message.items()} for message in (called, *results)
    )
    spans = [
        haystack(1, "pipeline.run", None),
        component(3, 1, "tools", "ToolInvoker", {"messages": [called]}, {"tool_messages": results}),
    ]
    if model:  # else it was called where no span tells
        spans.append(component(2, 1, "chat", "OpenAIChatGenerator", {}, {"replies": [called]}))
    if history:  # what a later call repeats is no other result
        given = {"messages": [called, *results]}
        spans.append(component(4, 1, "chat", "OpenAIChatGenerator", given, {"replies": []}))
    first, second = steps(to_trajectory(spans), "tool")
    assert (first.output, first.status, first.call_id) == ("Found.", "ok", "c1")
    assert (second.output, second.status, second.error) == ("no index", "error", "no index")


def test_haystacks_generators_of_text() -> None:
    used = {"prompt_tokens": 42, "completion_tokens": 7}
    known = {"model": "gpt-4o-2024-08-06", "finish_reason": "stop", "usage": used}
    said = {"replies": ["Hello."], "meta": [known]}
    found = to_trajectory(
        [
            haystack(1, "pipeline.run", None),
            component(2, 1, "llm", "OpenAIGenerator", {"prompt": "hi"}, said),
        ]
    )
    [step] = steps(found, "llm")
    assert (step.output, step.stop_reason) == ("Hello.", "stop")
    assert (step.model_served, step.tokens_in, step.tokens_out) == ("gpt-4o-2024-08-06", 42, 7)
    [step] = steps(
        to_trajectory([component(1, 0, "llm", "HuggingFaceGenerator", {}, {"replies": ["Hi."]})]),
        "llm",
    )
    assert (step.output, step.model_served) == ("Hi.", None)


def test_older_semantic_kernel_for_dotnet_tells_tokens_of_the_response() -> None:
    told = {
        "gen_ai.operation.name": "chat.completions",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.prompt_tokens": 42,
        "gen_ai.response.completion_tokens": 7,
    }
    scope = "Microsoft.SemanticKernel.Diagnostics"
    [step] = to_trajectory([span(1, "chat.completions", None, scope, attributes=told)]).steps
    assert (step.kind, step.tokens_in, step.tokens_out) == ("llm", 42, 7)
