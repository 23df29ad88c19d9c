"""What is completed, joined and concluded beyond what each span tells."""

from __future__ import annotations

import gc
import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.folders.rows import COLUMNS, table_rows
from evalkit.results import Trial
from evalkit.spans import Span, SpanEvent
from evalkit.suite import RouteSource
from evalkit.tracing.normalizer import to_trajectory
from evalkit.trajectory import Step, Trajectory

TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER = "1af7651916cd43dd8448eb211c80319c"


def span(number: int, name: str, parent: int | None = None, **fields: Any) -> Span:
    fields.setdefault("trace_id", TRACE)
    fields.setdefault("start_ns", number)
    fields.setdefault("end_ns", number + 1)
    return Span(
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        **fields,
    )


def chat(*calls: dict[str, Any], given: Any = None, **more: Any) -> dict[str, Any]:
    parts = [{"type": "tool_call", **call} for call in calls] or [{"type": "text", "content": "ok"}]
    found = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.output.messages": [{"role": "assistant", "parts": parts}],
    }
    return {**found, **({"gen_ai.input.messages": given} if given else {}), **more}


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, **more}


def answer(call_id: str, response: Any) -> list[dict[str, Any]]:
    part = {"type": "tool_call_response", "id": call_id, "response": response}
    return [{"role": "tool", "parts": [part]}]


def tools(spans: list[Span]) -> list[Step]:
    return [visit.step for visit in to_trajectory(spans).walk() if visit.step.kind != "llm"]


FIND = {"id": "c1", "name": "find", "arguments": {"q": "x"}}


def test_a_call_that_only_messages_show_is_rebuilt_and_marked() -> None:
    spans = [
        span(1, "chat", attributes=chat(FIND)),
        span(3, "chat", attributes=chat(given=answer("c1", '{"n": 3}'))),
    ]
    found = to_trajectory(spans)
    assert [visit.step.label for visit in found.walk()] == ["llm m", "tool find", "llm m"]
    step = found.steps[1]
    assert (step.arguments, step.output, step.call_id) == ({"q": "x"}, {"n": 3}, "c1")
    assert step.inferred == "call"
    assert found.coverage.missing == ("tool spans", "tokens", "served model")


def test_a_call_that_was_never_answered_is_not_rebuilt_beside_recorded_tools() -> None:
    never = {"id": "c2", "name": "other", "arguments": {}}
    spans = [
        span(1, "chat", attributes=chat(FIND, never)),
        span(2, "t", attributes=tool("find", **{"gen_ai.tool.call.id": "c1"})),
    ]
    assert [step.label for step in tools(spans)] == ["tool find"]


def test_a_recorded_tool_takes_arguments_and_result_from_the_messages() -> None:
    spans = [
        span(1, "chat", attributes=chat(FIND)),
        span(2, "execute_tool kb-find", attributes=tool("kb-find")),
        span(3, "chat", attributes=chat(given=answer("c1", "found"))),
    ]
    [step] = tools(spans)
    assert (step.name, step.arguments, step.output) == ("kb-find", {"q": "x"}, "found")
    assert (step.call_id, step.inferred) == ("c1", None)


def test_every_attempt_of_one_call_is_that_call() -> None:
    known = {"gen_ai.tool.call.id": "c1"}
    spans = [
        span(1, "chat", attributes=chat(FIND)),
        span(2, "t", attributes=tool("find", **known), error=True),
        span(3, "t", attributes=tool("find", **known)),
        span(4, "chat", attributes=chat(given=answer("c1", "found"))),
    ]
    found = tools(spans)
    assert [(step.status, step.output) for step in found] == [("error", None), ("ok", "found")]
    assert [step.arguments for step in found] == [{"q": "x"}] * 2


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (
            '{"isError": true, "content": [{"type": "text", "text": "no such vendor"}]}',
            "no such vendor",
        ),
        ({"response_type": "ERROR_HANDLED_BY_PLUGIN", "error_details": "late"}, "late"),
    ],
)
def test_a_result_that_is_an_error_is_a_failure(result: Any, error: str) -> None:
    [step] = tools([span(1, "t", attributes=tool("find", **{"gen_ai.tool.call.result": result}))])
    assert (step.status, step.error, step.inferred) == ("error", error, "status")


@pytest.mark.parametrize(
    ("result", "status"),
    [
        ("exitcode: 1 (execution failed)\nCode output: Traceback", "error"),
        ("Exit code: 127", "error"),
        ("Command exited with status 2", "error"),
        ("exitcode: 0 (execution succeeded)", "ok"),
        ("The exit code of 1 means a usage error", "ok"),
    ],
)
def test_a_result_in_the_messages_that_tells_an_exit_code(result: str, status: str) -> None:
    spans = [
        span(1, "chat", attributes=chat(FIND)),
        span(2, "chat", attributes=chat(given=answer("c1", result))),
    ]
    assert [step.status for step in tools(spans)] == [status]


def test_words_in_a_recorded_result_are_no_failure() -> None:
    for result in ("Error handling is on page 3", '{"error": null, "rows": 2}'):
        told = {"gen_ai.tool.call.result": result}
        [step] = tools([span(1, "t", attributes=tool("find", **told))])
        assert (step.status, step.inferred) == ("ok", None)


@pytest.mark.parametrize(
    ("name", "arguments", "target"),
    [
        ("transfer_to_billing", {}, "billing"),
        ("transfer_to_agent", {"agent_name": "billing"}, "billing"),
        ("handoff_to_agent", {"agent_name": "billing", "message": "hi"}, "billing"),
        ("handoff", {"to_agent": "billing"}, "billing"),
    ],
)
def test_tools_that_hand_over_are_handoffs(name: str, arguments: Any, target: str) -> None:
    found = tool(name, **{"gen_ai.tool.call.arguments": arguments, "gen_ai.agent.name": "triage"})
    [step] = tools([span(1, "t", attributes=found)])
    assert (step.label, step.arguments["from"]) == (f"handoff {target}", "triage")


def test_the_sdks_span_in_a_trace_of_its_own_is_the_same_call() -> None:
    used = {"gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 2}
    outer = {"openinference.span.kind": "LLM", "llm.token_count.prompt": 5}
    spans = [
        span(1, "ChatModel", attributes=outer, scope="framework", start_ns=10, end_ns=50),
        span(2, "chat m", attributes=chat(**used), scope="sdk", trace_id=OTHER, start_ns=20,
             end_ns=40),
    ]  # fmt: skip
    found = to_trajectory(spans)
    assert len(found.steps) == 1
    assert (found.tokens_in, found.tokens_out) == (5, 2)


def test_calls_that_differ_in_tokens_or_scope_are_two() -> None:
    inner = chat(**{"gen_ai.usage.input_tokens": 6})
    outer = chat(**{"gen_ai.usage.input_tokens": 5})
    for scope, attributes in (("sdk", inner), ("framework", outer)):
        spans = [
            span(1, "a", attributes=outer, scope="framework", start_ns=10, end_ns=50),
            span(
                2, "b", attributes=attributes, scope=scope, trace_id=OTHER, start_ns=20, end_ns=40
            ),
        ]
        assert len(to_trajectory(spans).steps) == 2


def test_a_failed_attempt_within_a_call_that_succeeds_is_a_call_of_its_own() -> None:
    failed = {"gen_ai.request.model": "big"}
    spans = [
        span(1, "chat", attributes=chat(**{"gen_ai.response.model": "small"})),
        span(2, "attempt", 1, attributes=failed, error=True),
    ]
    found = [visit.step for visit in to_trajectory(spans).walk()]
    assert [(step.name, step.status, step.model_served) for step in found] == [
        ("big", "error", None),
        ("m", "ok", "small"),
    ]


def test_an_exception_or_an_error_type_outranks_the_status() -> None:
    raised = (SpanEvent("exception", 1, {"exception.message": "late"}),)
    spans = [
        span(1, "t", attributes=tool("a"), events=raised),
        span(2, "t", attributes=tool("b", **{"error.type": "Timeout"})),
        span(3, "t", attributes=tool("c", **{"gen_ai.tool.status": "error"})),
    ]
    assert [step.error for step in tools(spans)] == ["late", "Timeout", "error"]


KEYS = [
    "gen_ai.operation.name", "gen_ai.request.model", "gen_ai.input.messages", "gen_ai.prompt",
    "gen_ai.output.messages", "gen_ai.completion", "gen_ai.tool.call.result", "metadata",
    "openinference.span.kind", "gen_ai.span.kind", "fi.span.kind", "traceloop.span.kind",
    "traceloop.entity.input", "traceloop.entity.output", "langsmith.span.kind", "input.value",
    "langfuse.observation.type", "langfuse.observation.output", "output.value", "span.type",
    "ai.operationId", "ai.prompt.messages", "ai.response.toolCalls", "mcp.method.name", "body",
    "haystack.component.type", "haystack.component.output", "haystack.agent.step.llm.output",
    "mastra.span.type", "llamaindex.step.input_summary", "gcp.vertex.agent.llm_response",
    "llm.input_messages.0.message.role", "langfuse.observation.usage_details", "tool_name",
    "gen_ai.tool.name", "gen_ai.request.parameters", "haystack.agent.step.llm.input",
]  # fmt: skip
WORDS = [
    "chat", "execute_tool", "invoke_agent", "LLM", "TOOL", "AGENT", "CHAIN", "llm", "tool", "chain",
    "RETRIEVER", "retriever", "generation", "task", "ai.toolCall", "ai.generateText.doGenerate",
    "tools/call", "llm_request", "interaction", "OpenAIChatGenerator", "assistant", "function_call",
    "ToolCall(tool_name='x', tool_kwargs={'a': 1}, tool_id='y')", "text", "tool_call", "Infinity",
]  # fmt: skip
FIELDS = [
    "role", "content", "parts", "type", "tool_calls", "id", "name", "arguments", "messages", "lc",
    "kwargs", "output", "replies", "meta", "generations", "message", "usage", "tool_call_id",
    "input_str", "toolResult", "documents", "choices", "response", "isError",
]  # fmt: skip
plain_values = st.one_of(
    st.sampled_from(WORDS),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
)
values = st.recursive(
    plain_values,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def attributes(draw: st.DrawFn) -> dict[str, Any]:
    found = draw(st.dictionaries(st.sampled_from(KEYS), values, max_size=6))
    texts = draw(st.booleans())  # attributes hold JSON text as often as structures
    return {key: json.dumps(value) if texts else value for key, value in found.items()}


SCOPES = ["", "litellm", "semantic_kernel", "crewai", "strands.telemetry", "gcp.vertex.agent",
          "@mastra/x", "llama_index.x", "com.anthropic.claude_code.tracing", "mcp-python-sdk",
          "openinference.instrumentation.dspy", "traceai_openai_agents", "agent_framework",
          "opentelemetry.instrumentation.crewai.x", "openinference.instrumentation.haystack",
          "openinference.instrumentation.llama_index"]  # fmt: skip
NAMES = ["", "haystack.agent.run", "haystack.component.run", "A.run", "X.acall", "claude_code.tool",
         "handoff to x", "raw_gen_ai_request", "Handoff", "a.b", "finish"]  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(attributes(), st.sampled_from(SCOPES), st.sampled_from(NAMES)), max_size=5)
)
def test_odd_attributes_of_every_dialect_never_raise(found: list[Any]) -> None:
    spans = [
        span(
            number + 1,
            name,
            number or None,
            attributes=attributes,
            scope=scope,
            events=(SpanEvent("gen_ai.choice", 1, attributes), SpanEvent(name, 2, attributes)),
        )
        for number, (attributes, scope, name) in enumerate(found)
    ]
    trajectory = to_trajectory(spans)
    assert msgspec.json.decode(msgspec.json.encode(trajectory), type=Trajectory) is not None
    assert trajectory.coverage.spans == len(spans)


def test_totals_of_an_agent_alone_are_said_to_be_that() -> None:
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 9}
    found = to_trajectory([span(1, "invoke_agent a", attributes=agent)])
    assert found.tokens_in == 9
    assert found.coverage.missing == ("model calls", "tool calls", "tokens per call")


USED = {"gen_ai.usage.input_tokens": 40, "gen_ai.usage.output_tokens": 20}


@pytest.mark.parametrize(
    ("total", "second", "known", "missing"),
    [
        ({}, {}, (40, 20), "tokens"),
        ({}, {"gen_ai.usage.input_tokens": 10}, (50, 20), "tokens"),
        ((100, 50), {}, (100, 50), "tokens per call"),
        # An agent that says less than its calls do cannot mean all of them.
        ((30, 10), {}, (40, 20), "tokens"),
        ((100, 50), USED, (80, 40), None),
        ({}, {"error.type": "503"}, (40, 20), None),
    ],
)
def test_a_part_of_the_tokens_is_not_passed_off_as_all(
    total: Any, second: dict[str, Any], known: tuple[int, int], missing: str | None
) -> None:
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}
    if total:
        agent |= dict(zip(USED, total, strict=True))
    found = to_trajectory(
        [
            span(1, "invoke_agent a", attributes=agent, end_ns=9),
            span(2, "chat", 1, attributes=chat(**USED)),
            span(4, "chat", 1, attributes=chat(**second)),
        ]
    )
    assert (found.tokens_in, found.tokens_out) == known
    told = {"tokens", "tokens per call"} & set(found.coverage.missing)
    assert told == ({missing} if missing else set())
    trial = Trial(case="c", trial=0, route="r", status="completed", trajectory=found)
    [row] = table_rows(trial)["trials"]
    at = list(COLUMNS["trials"]).index("tokens_out")
    assert row[at] == (None if missing == "tokens" else known[1])


def test_an_openinference_agent_tells_its_tokens() -> None:
    agent = {
        "openinference.span.kind": "AGENT",
        "agent.name": "a",
        "llm.token_count.prompt": 100,
        "llm.token_count.completion": 5,
    }
    found = to_trajectory([span(1, "a", attributes=agent)])
    assert (found.tokens_in, found.tokens_out) == (100, 5)
    assert "tokens per call" in found.coverage.missing


def test_what_decided_the_route_is_told() -> None:
    spans = [span(1, "t", attributes={"evalkit.route": "refund", **tool("classify")})]
    assert to_trajectory(spans).coverage.route_from == "attribute evalkit.route"
    told = {"gen_ai.tool.call.result": {"label": "vendor"}}
    spans = [span(1, "t", attributes=tool("classify", **told))]
    found = to_trajectory(spans, route_from=RouteSource(step="classify", path="label"))
    assert (found.route, found.coverage.route_from) == ("vendor", "output of classify at label")
    assert to_trajectory(spans).coverage.route_from is None


def test_a_completed_trajectory_is_freed_when_it_goes() -> None:
    """Nothing refers to itself: where cycles are seldom searched for, each would stay."""
    spans = [span(1, "chat", attributes=chat(FIND)), span(2, "find", attributes=tool("find"))]
    to_trajectory(spans)

    def left() -> int:
        gc.collect()
        to_trajectory(spans)
        return gc.collect()

    gc.disable()
    try:  # threads of other tests may leave something meanwhile
        assert min(left() for _ in range(5)) == 0
    finally:
        gc.enable()
