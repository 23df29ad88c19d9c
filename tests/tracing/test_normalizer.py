from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.spans import Span, SpanEvent
from evalkit.suite import Price, RouteSource
from evalkit.tracing.attributes import MAX_TEXT
from evalkit.tracing.normalizer import to_trajectory
from evalkit.trajectory import MAX_DEPTH, Trajectory

TRACE = "0af7651916cd43dd8448eb211c80319c"


def span(number: int, name: str, parent: int | None = None, **fields: Any) -> Span:
    """A span that starts when its number says; ``attributes`` by keyword."""
    fields.setdefault("start_ns", number)
    fields.setdefault("end_ns", fields["start_ns"] + 1)
    return Span(
        trace_id=TRACE,
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        **fields,
    )


def kind(kind: str, **stated: Any) -> dict[str, Any]:
    return {"evalkit.step.kind": kind, **{f"evalkit.step.{k}": v for k, v in stated.items()}}


def oi(kind: str, **attributes: Any) -> dict[str, Any]:
    return {"openinference.span.kind": kind, **attributes}


def outline(found: Trajectory) -> list[str]:
    return ["  " * visit.depth + visit.step.label for visit in found.walk()]


def test_no_spans_is_an_empty_trajectory() -> None:
    found = to_trajectory([], output={"answer": 42})
    assert (found.steps, found.output, found.trace_id) == ((), {"answer": 42}, None)


def test_output_is_kept_and_otherwise_the_roots() -> None:
    spans = [span(1, "app", attributes=kind("workflow", output='{"a": 1}'))]
    assert to_trajectory(spans).output == {"a": 1}
    assert to_trajectory(spans, output=None).output is None


def test_children_of_wrappers_move_up_in_order_of_start() -> None:
    spans = [
        span(5, "late", 3, attributes=kind("tool")),
        span(1, "app", attributes=kind("workflow")),
        span(2, "early", 1, attributes=kind("tool")),
        span(3, "inner", 1, attributes=kind("wrapper")),
        span(4, "foreign", 3, attributes={"http.method": "GET", "http.url": "x"}),
        span(6, "nested", 4, attributes=kind("tool")),
    ]
    found = to_trajectory(spans)
    assert outline(found) == ["workflow app", "  tool early", "  tool late", "  tool nested"]
    assert (found.coverage.wrappers, found.coverage.not_understood) == (1, 1)
    assert found.coverage.unknown_keys == {"http.method": 1, "http.url": 1}


def test_spans_that_start_together_keep_one_order() -> None:
    spans = [span(n, f"t{n}", start_ns=7, end_ns=9, attributes=kind("tool")) for n in range(1, 6)]
    assert outline(to_trajectory(spans)) == outline(to_trajectory(spans[::-1]))


def test_orphans_are_roots() -> None:
    found = to_trajectory([span(1, "left", 99, attributes=kind("tool"))])
    assert outline(found) == ["tool left"]


def test_repeated_ids_and_cycles_are_quarantined() -> None:
    spans = [
        span(1, "first", attributes=kind("tool")),
        span(1, "again", attributes=kind("tool")),
        span(2, "self", 2, attributes=kind("tool")),
        span(3, "there", 4, attributes=kind("tool")),
        span(4, "back", 3, attributes=kind("tool")),
        span(5, "below a cycle", 3, attributes=kind("tool")),
    ]
    found = to_trajectory(spans)
    assert outline(found) == ["tool first", "tool below a cycle"]
    assert found.coverage.quarantined == 4
    assert found.coverage.spans == 6


@pytest.mark.parametrize(
    ("attributes", "deep"), [(kind("node"), 200_000), ({}, 50_000), (kind("wrapper"), 50_000)]
)
def test_a_very_deep_trace_is_read_fast(attributes: dict[str, Any], deep: int) -> None:
    spans = [span(n, f"s{n % 3}", n - 1, attributes=attributes) for n in range(1, deep)]
    spans.append(span(deep, "bottom", deep - 1, attributes=kind("tool")))
    started = time.process_time()
    found = to_trajectory(spans)
    assert time.process_time() - started < 5
    visits = list(found.walk())
    assert max(visit.depth for visit in visits) < MAX_DEPTH
    assert visits[-1].step.label == "tool bottom"
    assert msgspec.json.encode(found)


def test_a_deep_chain_of_one_name_folds_fast() -> None:
    spans = [span(n, "same", n - 1, attributes=kind("agent")) for n in range(1, 50_000)]
    started = time.process_time()
    to_trajectory(spans)
    assert time.process_time() - started < 5


def test_a_node_around_its_tool_is_the_tool() -> None:
    spans = [
        span(1, "lookup", attributes=kind("node", arguments='{"state": 1}')),
        span(2, "prepare", 1, attributes=kind("llm")),
        span(3, "lookup", 1, attributes=kind("tool", arguments='{"vendor": "Acme"}')),
        span(4, "query", 3, attributes=kind("retriever")),
    ]
    found = to_trajectory(spans)
    assert outline(found) == ["tool lookup", "  llm prepare", "  retriever query"]
    assert found.steps[0].arguments == {"vendor": "Acme"}


def test_a_node_that_fails_after_its_tool_is_a_failure() -> None:
    spans = [
        span(1, "lookup", attributes=kind("node"), error=True, status_message="no state\nat ..."),
        span(2, "lookup", 1, attributes=kind("tool")),
    ]
    [step] = to_trajectory(spans).steps
    assert (step.kind, step.status, step.error) == ("tool", "error", "no state")


def test_a_node_with_two_calls_of_its_name_stays() -> None:
    spans = [
        span(1, "lookup", attributes=kind("node")),
        span(2, "lookup", 1, attributes=kind("tool")),
        span(3, "lookup", 1, attributes=kind("tool")),
    ]
    assert outline(to_trajectory(spans)) == ["node lookup", "  tool lookup", "  tool lookup"]


def test_one_model_call_seen_twice_is_one_step() -> None:
    spans = [
        span(1, "ChatOpenAI", attributes=oi("LLM", **{"llm.response.model_name": "m-2025"})),
        span(
            2,
            "chat m",
            1,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "m",
                "gen_ai.usage.input_tokens": 10,
                "gen_ai.usage.output_tokens": 3,
            },
        ),
    ]
    found = to_trajectory(spans)
    [step] = found.steps
    assert (step.model_requested, step.model_served) == ("m", "m-2025")
    assert (found.tokens_in, found.tokens_out) == (10, 3)
    assert found.coverage.conventions == {"openinference": 1, "genai": 1}


def test_attempts_below_a_model_call_are_the_calls() -> None:
    spans = [
        span(1, "fallback", attributes=kind("llm", tokens_in=5)),
        span(2, "a", 1, attributes=kind("llm"), error=True),
        span(3, "b", 1, attributes=kind("llm", tokens_in=5)),
    ]
    assert outline(to_trajectory(spans)) == ["llm a", "llm b"]


def test_same_tool_twice_with_other_arguments_is_two_calls() -> None:
    spans = [
        span(1, "t", attributes=kind("tool", arguments='{"a": 1}')),
        span(2, "t", 1, attributes=kind("tool", arguments='{"a": 2}')),
        span(3, "u", attributes=kind("tool", arguments='{"a": 1}')),
        span(4, "u", 3, attributes=kind("tool", arguments='{"a": 1}', output='"ok"')),
    ]
    found = to_trajectory(spans)
    assert outline(found) == ["tool t", "  tool t", "tool u"]
    assert found.steps[1].output == "ok"


def test_errors_come_from_exception_events_first() -> None:
    event = SpanEvent("exception", 1, {"exception.type": "E", "exception.message": "bad\nmore"})
    spans = [
        span(1, "a", attributes=kind("tool"), events=(event,)),
        span(2, "b", attributes=kind("tool"), error=True, status_message="X Traceback (most"),
        span(3, "c", attributes=kind("tool"), error=True),
    ]
    steps = to_trajectory(spans).steps
    assert [(step.status, step.error) for step in steps] == [
        ("error", "bad"),
        ("error", "X Traceback (most"),
        ("error", "error"),
    ]


def test_cost_is_by_the_exact_model_served_then_requested() -> None:
    prices = {"big": Price(input=2.0, output=4.0), "mini": Price(input=1.0, output=1.0)}
    tokens = {"tokens_in": 1_000_000, "tokens_out": 500_000}
    spans = [
        span(1, "a", attributes=kind("llm", model_requested="big", model_served="mini", **tokens)),
        span(2, "b", attributes=kind("llm", model_requested="big", **tokens)),
        span(3, "c", attributes=kind("llm", model_served="big-2", **tokens)),
        span(4, "d", attributes=kind("llm", model_served="big", cost_usd=9.0, **tokens)),
        span(5, "e", attributes=kind("llm", model_served="big", tokens_in=5)),
    ]
    costs = [step.cost_usd for step in to_trajectory(spans, prices=prices).steps]
    assert costs == [1.5, 4.0, None, 9.0, None]


def test_route_from_attribute_step_and_span() -> None:
    spans = [
        span(1, "classify", attributes={**kind("node", output='{"r": {"name": "refund"}}')}),
        span(2, "x", attributes={"evalkit.route": "told", "my.route": "mine"}),
    ]
    assert to_trajectory(spans).route == "told"
    assert to_trajectory(spans, route_from=RouteSource(attribute="my.route")).route == "mine"
    by_step = RouteSource(step="classify", path="r.name")
    assert to_trajectory(spans, route_from=by_step).route == "refund"
    nothing = RouteSource(step="classify", path="r.name.deeper")
    assert to_trajectory(spans, route_from=nothing).route == "told"


def test_route_from_an_output_of_one_key_recorded_bare() -> None:
    spans = [span(1, "classify", attributes=oi("CHAIN", **{"output.value": "refund"}))]
    source = RouteSource(step="classify", path="label")
    assert to_trajectory(spans, route_from=source).route == "refund"


def test_said_is_collected_in_order() -> None:
    spans = [
        span(2, "b", attributes={**kind("node"), "evalkit.said": ["two", "three", 4]}),
        span(1, "a", attributes={**kind("node"), "evalkit.said": "one"}),
    ]
    assert to_trajectory(spans).said == ("one", "two", "three")


def test_values_are_bounded_and_clean() -> None:
    huge = "x" * (MAX_TEXT + 10)
    spans = [
        span(1, "a", attributes=kind("tool", arguments=huge, output='{"v": 1e999}')),
        span(2, "b\ud800", attributes=oi("TOOL", **{"input.value": "\udcff", "tool.name": "b"})),
        span(3, "c", attributes=oi("TOOL", **{"input.value": {"f": float("nan"), "i": 10**400}})),
        span(4, "d", attributes=kind("llm", tokens_in=-1, tokens_out=float("inf"))),
        span(5, "e" * 2000, attributes=kind("tool")),
    ]
    steps = to_trajectory(spans).steps
    assert steps[0].arguments.startswith("xxx")
    assert steps[0].arguments.endswith(f"(cut, {MAX_TEXT + 10:,} characters)")
    assert steps[1].arguments == "\ufffd"
    assert steps[2].arguments == {"f": None, "i": None}
    assert (steps[3].tokens_in, steps[3].tokens_out) == (None, None)
    assert len(steps[4].name) == 500
    assert msgspec.json.encode(steps)


LANGGRAPH = '{"langgraph_node": "%s", "ls_integration": "langgraph"}'


@pytest.mark.parametrize(
    ("name", "metadata", "parent_kind", "expected"),
    [
        ("retrieve", LANGGRAPH % "retrieve", "CHAIN", "node"),
        ("route_it", LANGGRAPH % "retrieve", "CHAIN", None),
        ("RunnableSequence", LANGGRAPH % "retrieve", "CHAIN", None),
        ("ChannelWrite<x>", LANGGRAPH % "retrieve", "CHAIN", None),
        ("__start__", LANGGRAPH % "__start__", "CHAIN", None),
        ("model", LANGGRAPH % "model", "AGENT", None),
        ("model", LANGGRAPH % "model", "CHAIN", "node"),
        ("tools", '{"langgraph_node": "tools", "ls_integration": "langchain_create_agent"}', 0, 0),
        ("LangGraph", "{}", None, "workflow"),
        ("my_app", "{}", None, "workflow"),
        ("RunnableSequence", "{}", None, None),
        ("my_graph", '{"ls_integration": "langgraph"}', "CHAIN", "workflow"),
        ("RunnableParallel<a,b>", "{}", "CHAIN", None),
        ("StrOutputParser", "{}", "CHAIN", None),
        ("my_function", "{}", "CHAIN", "node"),
        ("my_function", "{broken", "CHAIN", "node"),
    ],
)
def test_langchain_chains(name: str, metadata: str, parent_kind: Any, expected: Any) -> None:
    spans = [span(2, name, 1, attributes=oi("CHAIN", metadata=metadata))]
    if parent_kind:
        spans.append(span(1, "parent", attributes=oi(parent_kind)))
    steps = [visit.step for visit in to_trajectory(spans).walk() if visit.step.name == name]
    assert [step.kind for step in steps] == ([expected] if expected else [])


def test_genai_older_shapes() -> None:
    event = SpanEvent
    spans = [
        span(
            1,
            "chat",
            attributes={"gen_ai.request.model": "m", "gen_ai.usage.prompt_tokens": 4},
            events=(
                event("gen_ai.user.message", 1, {"content": "hi"}),
                event(
                    "gen_ai.choice", 2, {"message": '{"content": "yo"}', "finish_reason": "stop"}
                ),
            ),
        ),
        span(
            2,
            "chat",
            attributes={
                "gen_ai.request.model": "m",
                "gen_ai.completion.0.content": "first",
                "gen_ai.completion.10.content": "third",
                "gen_ai.completion.9.content": "second",
                "gen_ai.completion.10.finish_reason": "tool_use",
                "gen_ai.completion.10.tool_calls.0.id": "c1",
                "gen_ai.completion.10.tool_calls.0.name": "lookup",
                "gen_ai.completion.10.tool_calls.0.arguments": '{"a": 1}',
            },
        ),
        span(
            3,
            "execute_tool x",
            attributes={"gen_ai.operation.name": "execute_tool"},
            events=(
                event("gen_ai.tool.message", 1, {"content": '{"q": "w"}'}),
                event("gen_ai.choice", 2, {"message": '[{"text": "found"}]'}),
            ),
        ),
        span(
            4,
            "chat",
            attributes={"gen_ai.operation.name": "text_completion", "error.type": "Timeout"},
            events=(event("gen_ai.content.completion", 1, {"gen_ai.completion": "plain"}),),
        ),
        span(5, "dream", attributes={"gen_ai.operation.name": "dream", "gen_ai.x": 1}),
    ]
    found = to_trajectory(spans)
    chat, flattened, tool, failed = found.steps
    assert (chat.output, chat.stop_reason, chat.tokens_in) == ("yo", "stop", 4)
    assert flattened.output == {
        "content": "first\nsecond\nthird",
        "tool_calls": [{"id": "c1", "name": "lookup", "arguments": {"a": 1}}],
    }
    assert flattened.stop_reason == "tool_calls"
    assert (tool.name, tool.arguments, tool.output) == ("x", {"q": "w"}, "found")
    assert (failed.output, failed.status, failed.error) == ("plain", "error", "Timeout")
    assert found.coverage.not_understood == 1
    assert found.coverage.unknown_keys == {"gen_ai.operation.name": 1, "gen_ai.x": 1}


def test_a_failed_langchain_tool_message_is_a_failure() -> None:
    value = '{"type": "tool", "data": {"content": "no such vendor", "status": "error"}}'
    attributes = oi("TOOL", **{"output.value": value, "output.mime_type": "application/json"})
    [step] = to_trajectory([span(1, "lookup", attributes=attributes)]).steps
    assert (step.status, step.error, step.output) == ("error", "no such vendor", "no such vendor")


KEYS = [
    *("openinference.span.kind", "metadata", "input.value", "output.value", "output.mime_type"),
    *("llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments", "tool.name"),
    *("llm.output_messages.0.message.content", "llm.invocation_parameters", "llm.model_name"),
    *("llm.output_messages.x", "llm.finish_reason", "llm.token_count.prompt", "tool.parameters"),
    *("retrieval.documents.0.document.metadata", "retrieval.documents.0.document.id"),
    *("gen_ai.operation.name", "gen_ai.output.messages", "gen_ai.input.messages", "error.type"),
    *("gen_ai.completion", "gen_ai.completion.0.tool_calls.0.function", "gen_ai.prompt"),
    *("gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "gen_ai.retrieval.documents"),
    *("gen_ai.response.finish_reasons", "gen_ai.usage.input_tokens", "gen_ai.request.model"),
    *("evalkit.step.kind", "evalkit.step.arguments", "evalkit.route", "evalkit.said"),
    *("message", "content", "exception.message", "exception.type", "evalkit.step.tokens_in"),
]
WORDS = [
    *("CHAIN", "AGENT", "LLM", "TOOL", "RETRIEVER", "RERANKER", "GUARDRAIL", "EMBEDDING"),
    *("chat", "execute_tool", "invoke_agent", "retrieval", "embeddings", "application/json"),
    *("node", "tool", "llm", "agent", '{"langgraph_node": "a"}', '{"type":"tool","data":[]}'),
    *('[{"parts":[{"type":"tool_call"}]}]', '[{"role":1,"parts":3}]', '{"lc":1,"kwargs":{}}'),
    *('{"type":"tool","data":{"content":[1]}}', "[" * 3000, "1e999", "\ud800", '"\\ud800"', ""),
    *('[{"tool_calls":[{"function":[]}]}]', '{"kwargs":{"a":1}}', "null", '{"a":"\ud800"}'),
]
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*KEYS, "role", "parts", "type"]), inner, max_size=3)
    ),
    max_leaves=5,
)
ATTRIBUTES = st.dictionaries(st.sampled_from(KEYS), JUNK, max_size=8)
EVENTS = st.builds(
    SpanEvent,
    st.sampled_from(["exception", "gen_ai.choice", "gen_ai.tool.message", "gen_ai.user.message"]),
    st.just(1),
    ATTRIBUTES,
)
NAMES = st.sampled_from(["a", "LangGraph", "handoff to b", "", "\ud800", "turn"])
SPANS = st.builds(
    lambda number, parent, name, attributes, events, error: span(
        number, name, parent, attributes=attributes, events=tuple(events), error=error
    ),
    st.integers(1, 8),
    st.none() | st.integers(1, 8),
    NAMES,
    ATTRIBUTES,
    st.lists(EVENTS, max_size=2),
    st.booleans(),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(SPANS, max_size=6))
def test_any_junk_gives_a_trajectory_that_can_be_stored(spans: list[Span]) -> None:
    found = to_trajectory(spans, prices={"a": Price(input=1, output=1)})
    assert found.coverage.spans == len(spans)
    stored = msgspec.json.encode(found)
    assert msgspec.json.decode(stored, type=Trajectory) == found


@pytest.mark.parametrize(
    ("hints", "read_only"),
    [
        ({"readOnlyHint": True}, True),
        ({"readOnlyHint": False, "destructiveHint": False}, False),
        ({"destructiveHint": True}, False),
        ({"destructiveHint": False}, None),
        ({"readOnlyHint": True, "destructiveHint": True}, True),
        ({"readOnlyHint": "yes", "destructiveHint": 1}, None),
    ],
)
@pytest.mark.parametrize(
    "attributes",
    [
        {"mcp.method.name": "tools/call", "gen_ai.tool.name": "get_it"},
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get_it"},
    ],
)
def test_a_tools_annotations_tell_whether_it_changes_state(
    attributes: dict[str, Any], hints: dict[str, Any], read_only: bool | None
) -> None:
    for key in ("mcp.tool.annotations", "gen_ai.tool.annotations"):
        told = {**attributes, key: msgspec.json.encode(hints).decode()}
        (step,) = to_trajectory([span(1, "tools/call get_it", attributes=told)]).steps
        assert (step.label, step.read_only) == ("tool get_it", read_only)
