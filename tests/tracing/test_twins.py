"""One run that two instrumentations record, and two calls that only look like one."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.spans import Span
from evalkit.tracing.normalizer import to_trajectory
from evalkit.trajectory import Step, Trajectory

TRACE, OTHER = "a" * 32, "b" * 32
FIRST, SECOND = "openinference.instrumentation.langchain", "opentelemetry.instrumentation.openai"
MS = 1_000_000


def span(
    number: int,
    parent: int | None,
    times: tuple[float, float],
    scope: str,
    attributes: dict[str, Any],
    **fields: Any,
) -> Span:
    """A span; times are in milliseconds."""
    start, end = (10**18 + round(MS * time) for time in times)
    return Span(
        trace_id=fields.pop("trace_id", TRACE),
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=fields.pop("name", "span"),
        start_ns=start,
        end_ns=end,
        scope=scope,
        attributes={key: value for key, value in attributes.items() if value is not None},
        **fields,
    )


def model(
    text: str | None = None,
    tokens: tuple[int, int] | None = None,
    asked: str | None = "gpt-4o",
    served: str | None = None,
) -> dict[str, Any]:
    """A model's call in OpenTelemetry's words."""
    said = [{"role": "assistant", "parts": [{"type": "text", "content": text}]}]
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": asked,
        "gen_ai.response.model": served,
        "gen_ai.output.messages": None if text is None else json.dumps(said),
        "gen_ai.usage.input_tokens": tokens and tokens[0],
        "gen_ai.usage.output_tokens": tokens and tokens[1],
    }


def calling(called: list[Any]) -> dict[str, Any]:
    """A model's call that asks for tools: ids, names and arguments."""
    parts = [
        {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}
        for call_id, name, arguments in called
    ]
    said = [{"role": "assistant", "parts": parts}]
    return {**model(None, (42, 9)), "gen_ai.output.messages": json.dumps(said)}


def calling_2(called: list[Any]) -> dict[str, Any]:
    found = model_2(None, (42, 9))
    for number, (call_id, name, arguments) in enumerate(called):
        at = f"llm.output_messages.0.message.tool_calls.{number}.tool_call."
        found[at + "id"] = call_id
        found[at + "function.name"] = name
        found[at + "function.arguments"] = json.dumps(arguments)
    return found


def model_2(
    text: str | None = None, tokens: tuple[int, int] | None = None, asked: str = "gpt-4o"
) -> dict[str, Any]:
    """The same in OpenInference's."""
    return {
        "openinference.span.kind": "LLM",
        "llm.invocation_parameters": json.dumps({"model": asked}),
        "llm.output_messages.0.message.content": text,
        "llm.token_count.prompt": tokens and tokens[0],
        "llm.token_count.completion": tokens and tokens[1],
    }


def tool(name: str, arguments: Any = None, result: Any = None, call_id: Any = None) -> Any:
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name,
        "gen_ai.tool.call.id": call_id,
        "gen_ai.tool.call.arguments": None if arguments is None else json.dumps(arguments),
        "gen_ai.tool.call.result": result,
    }


def tool_2(name: str, arguments: Any = None, result: Any = None, call_id: Any = None) -> Any:
    return {
        "openinference.span.kind": "TOOL",
        "tool.name": name,
        "tool_call.id": call_id,
        "input.value": None if arguments is None else json.dumps(arguments),
        "output.value": result,
    }


def search(query: str | None, *found: str) -> dict[str, Any]:
    listed = [{"id": str(number), "content": text} for number, text in enumerate(found)]
    return {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.retrieval.query.text": query,
        "gen_ai.data_source.id": "policies",
        "gen_ai.retrieval.documents": json.dumps(listed) if found else None,
    }


def search_2(query: str | None, *found: str) -> dict[str, Any]:
    listed = {
        f"retrieval.documents.{number}.document.content": text for number, text in enumerate(found)
    }
    return {"openinference.span.kind": "RETRIEVER", "input.value": query, **listed}


def agent(name: str) -> dict[str, Any]:
    return {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}


def agent_2(name: str) -> dict[str, Any]:
    return {"openinference.span.kind": "AGENT", "agent.name": name}


def steps(found: Trajectory) -> list[Step]:
    return [visit.step for visit in found.walk() if visit.step.kind != "workflow"]


def beside(
    first: Any, second: Any, times: tuple[float, float] = (12, 48), **more: Any
) -> list[Step]:
    """What is read of two spans beside each other, the first from 10 to 50 ms."""
    root = {"openinference.span.kind": "CHAIN"}
    spans = [
        span(1, None, (0, 100), FIRST, root, name="graph"),
        span(2, 1, (10, 50), FIRST, first),
        span(3, 1, times, SECOND, second, **more),
    ]
    return steps(to_trajectory(spans))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (model_2("YES", (42, 1)), model("YES", (42, 1))),
        (model_2("YES"), model("YES", (42, 1))),
        (model_2("YES", (42, 1)), model(None, (42, 1))),
        (tool_2("calc", {"a": 1}, "2", "c9"), tool("calc", {"a": 1}, "2", "c9")),
        (tool_2("calc", {"a": 1}), tool("calc", {"a": 1, "digits": 3})),
        (tool_2("mcp__math__calc", {"a": 1}), tool("calc", {"a": 1})),
        (tool_2("calc", {"a": 1}), tool("calc")),
        (search_2("limits", "a", "b"), search("limits", "a", "b")),
        (agent_2("helper"), agent("helper")),
        # One counts what was cached, the other does not.
        (
            {**agent_2("helper"), "llm.token_count.prompt": 90},
            {**agent("helper"), "gen_ai.usage.input_tokens": 70},
        ),
    ],
)
@pytest.mark.parametrize("times", [(12, 48), (10, 50), (9.99, 49), (12, 50.5), (6, 54)])
def test_one_thing_recorded_by_two_instrumentations_is_one_step(
    first: Any, second: Any, times: tuple[float, float]
) -> None:
    found = beside(first, second, times)
    assert len(found) == 1
    known = [step.tokens_in for step in found if step.kind == "llm"]
    assert known in ([], [42])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (model_2("YES", (42, 1)), model("NO", (42, 1))),
        (model_2("YES"), model("NO")),
        (model_2("YES", (42, 1)), model("YES", (45, 1))),
        (model_2("YES", (42, 1)), model("YES", (42, 1), "claude-sonnet-4-5")),
        (model_2("YES", (42, 1)), model()),
        (tool_2("calc", {"a": 1}), tool("calc", {"a": 2})),
        (tool_2("calc", {"a": 1, "b": 1}), tool("calc", {"a": 1, "c": 1})),
        (tool_2("calc", {"a": 1}, "2", "c1"), tool("calc", {"a": 1}, "2", "c2")),
        (tool_2("kb-find", {"a": 1}), tool("web-find", {"a": 1})),
        (search_2("limits"), search("vendors")),
        (search_2("limits"), search("limits")),
        (search_2("limits", "a", "b"), search("limits", "b", "c")),
        (agent_2("triage-agent"), agent("refund-agent")),
    ],
)
def test_what_both_know_and_tell_differently_is_two_steps(first: Any, second: Any) -> None:
    assert len(beside(first, second)) == 2


@pytest.mark.parametrize(
    ("called", "count"),
    [
        ([("c1", "get", {"id": 1}), ("c2", "get", {"id": 2})], 1),
        ([(None, "get", {"id": 1}), ("c2", "get", {"id": 2})], 1),
        ([("c1", "get", {"id": 1}), ("c2", "get", {"id": 3})], 2),
        ([("c1", "get", {"id": 1}), ("c3", "get", {"id": 2})], 2),
        ([("c1", "get", {"id": 1})], 2),
    ],
)
def test_models_that_called_otherwise_are_two(called: list[Any], count: int) -> None:
    first = calling_2([("c1", "get", {"id": 1}), ("c2", "get", {"id": 2})])
    assert [step.kind for step in beside(first, calling(called))].count("llm") == count


@pytest.mark.parametrize(
    ("times", "found", "count"),
    [
        ((21, 39), (), 3),
        ((12, 49), (), 3),
        ((12, 49), ("a", "b"), 1),
        ((41, 49), ("a", "b"), 3),
    ],
)
def test_searches_within_one_of_two_scopes_are_its_parts_unless_they_are_one(
    times: tuple[float, float], found: tuple[str, ...], count: int
) -> None:
    """As a hybrid search's, of which each store's client records its own."""
    words = {**search_2("limits", *found), "input.value": "limits"}
    spans = [
        span(1, None, (10, 50), FIRST, search_2("limits", *found), name="hybrid"),
        span(2, 1, (11, 49) if times[0] < 20 else (11, 20), SECOND, search("limits", *found)),
        span(3, 1, times, "third", words, name="words"),
    ]
    assert len(steps(to_trajectory(spans))) == count


@pytest.mark.parametrize("times", [(51, 90), (44, 90), (0, 11)])
def test_one_after_the_other_are_two(times: tuple[float, float]) -> None:
    same = (model_2("YES", (42, 1)), model("YES", (42, 1)))
    assert len(beside(*same, times)) == 2


def test_a_failed_call_within_the_time_of_a_good_one_is_another() -> None:
    found = beside(model_2("YES", (42, 1)), model(), (12, 20), error=True)
    assert [step.status for step in found] == ["ok", "error"]


def test_a_failed_call_is_known_by_its_model_and_its_failure() -> None:
    error = {"llm.invocation_parameters": json.dumps({"model": "gpt-4o"})}
    first = {"openinference.span.kind": "LLM", **error}
    root = {"openinference.span.kind": "CHAIN"}
    for asked, count in (("gpt-4o", 1), ("o3", 2)):
        spans = [
            span(1, None, (0, 100), FIRST, root, name="graph"),
            span(2, 1, (10, 50), FIRST, first, error=True, status_message="503"),
            span(3, 1, (12, 48), SECOND, model(asked=asked), error=True, status_message="late"),
        ]
        assert len(steps(to_trajectory(spans))) == count


def test_what_a_call_within_tells_counts_for_the_one_around_it() -> None:
    """A framework's wrappers beside the SDK's span: the inner one alone has the answer."""
    root = {"openinference.span.kind": "CHAIN"}
    spans = [
        span(1, None, (0, 100), FIRST, root, name="graph"),
        span(2, 1, (10, 50), FIRST, model_2()),
        span(3, 2, (12, 48), FIRST, model_2("YES", (42, 1))),
        span(4, 1, (11, 49), SECOND, model("YES", (42, 1))),
    ]
    found = to_trajectory(spans)
    assert len(steps(found)) == 1
    assert (found.tokens_in, found.tokens_out) == (42, 1)


def test_a_call_that_lost_its_place_is_known_by_its_model() -> None:
    lost = span(3, None, (12, 48), SECOND, model(None, (42, 1)), trace_id=OTHER)
    other = span(3, None, (12, 48), SECOND, model(None, (42, 1), "o3"), trace_id=OTHER)
    first = span(2, None, (10, 50), FIRST, model_2("YES"))
    assert len(steps(to_trajectory([first, lost]))) == 1
    assert len(steps(to_trajectory([first, other]))) == 2


def test_two_at_once_that_only_time_tells_apart_stay_two() -> None:
    """As parallel agents of one name: four spans are two agents, never one."""
    spans = [
        span(1, None, (0, 80), FIRST, agent_2("helper")),
        span(2, None, (0.5, 79.5), SECOND, agent("helper")),
        span(3, None, (1, 79), FIRST, agent_2("helper")),
        span(4, None, (1.5, 78.5), SECOND, agent("helper")),
    ]
    assert len(steps(to_trajectory(spans))) == 2


@pytest.mark.parametrize("arguments", [None, {"q": 1}])
def test_calls_of_two_agents_are_two_though_they_share_an_id(arguments: Any) -> None:
    """As models do that call each first tool ``call_0``; each agent's tools have a scope."""
    one = span(4, 2, (5, 40), "first.tools", tool("get", arguments, "r", "call_0"))
    other = span(5, 3, (6, 39), "second.tools", tool("get", arguments, "r", "call_0"))
    spans = [
        span(1, None, (0, 100), SECOND, agent("both")),
        span(2, 1, (1, 50), SECOND, agent("a")),
        span(3, 1, (1, 50), SECOND, agent("b")),
        one,
        other,
    ]
    assert [step.kind for step in steps(to_trajectory(spans))].count("tool") == 2
    # The same where another instrumentation recorded the second agent, and both the first.
    spans[2:3] = [
        span(3, 1, (1, 50), FIRST, agent_2("b")),
        span(6, 1, (2, 49), FIRST, agent_2("a")),
    ]
    assert [step.kind for step in steps(to_trajectory(spans))].count("tool") == 2


def test_short_ones_after_each_other_are_two() -> None:
    root = span(1, None, (0, 100), FIRST, {"openinference.span.kind": "CHAIN"}, name="graph")
    first = span(2, 1, (10, 13), FIRST, tool_2("calc", {"a": 1}))
    second = span(3, 1, (13, 15.5), SECOND, tool("calc", {"a": 1}))
    assert len(steps(to_trajectory([root, first, second]))) == 2


@pytest.mark.parametrize("node", [(30, 60), (5, 95)])
def test_a_graphs_node_around_a_tool_that_is_recorded_elsewhere_is_that_tool(
    node: tuple[float, float],
) -> None:
    graph = {"metadata": json.dumps({"langgraph_node": "calc"}), "openinference.span.kind": "CHAIN"}
    spans = [
        span(1, None, (0, 100), FIRST, {"openinference.span.kind": "CHAIN"}, name="graph"),
        span(2, 1, node, FIRST, graph, name="calc"),
        span(3, 2, (31, 59), FIRST, tool_2("calc", {"a": 1})),
        span(4, None, (0, 100), SECOND, agent("helper")),
        span(5, 4, (30.5, 59.5), SECOND, tool("calc", {"a": 1})),
    ]
    assert {step.label for step in steps(to_trajectory(spans))} == {"tool calc", "agent helper"}
    assert len(steps(to_trajectory(spans))) == 2
    spans[3:] = [
        span(4, 1, (29, 61), SECOND, graph, name="calc"),
        span(5, 4, (31, 59.5), SECOND, tool("calc", {"a": 1})),
    ]
    assert [step.label for step in steps(to_trajectory(spans))] == ["tool calc"]


def test_arguments_that_the_tool_adds_are_no_other_call() -> None:
    spans = [
        span(1, None, (0, 9), FIRST, tool_2("find", {"q": "x"})),
        span(2, 1, (1, 8), SECOND, tool("find", {"q": "x", "k": 3})),
    ]
    [found] = steps(to_trajectory(spans))
    assert found.arguments == {"q": "x"}
    # In one scope it is a call that the tool makes of itself.
    spans[1] = span(2, 1, (1, 8), FIRST, tool_2("find", {"q": "x", "k": 3}))
    assert len(steps(to_trajectory(spans))) == 2


@pytest.mark.parametrize(
    ("inner", "count"),
    [
        ([search_2("limits", "a", "b")], 1),
        ([search_2("limits")], 1),
        ([search_2("limits", "policy 1: a", "policy 2: b")], 1),
        ([search_2("limits", "c")], 2),
        ([search_2("limits", "a"), search_2("limits", "b")], 3),
    ],
)
def test_a_search_by_several_others_is_none_of_them(inner: list[Any], count: int) -> None:
    spans = [span(1, None, (0, 50), SECOND, search("limits", "a", "b"))]
    for number, one in enumerate(inner, 2):
        spans.append(span(number, 1, (2, 10 * number), FIRST, one))
    assert len(steps(to_trajectory(spans))) == count


def test_a_guards_call_within_a_models_is_a_call_of_its_own() -> None:
    spans = [
        span(1, None, (0, 9), FIRST, model("Sold.", (100, 50), "big", "big")),
        span(2, 1, (1, 4), FIRST, model("safe", (7, 1), "guard-mini", "guard-mini")),
    ]
    found = to_trajectory(spans)
    assert [(step.model_served, step.tokens_in, step.tokens_out) for step in found.steps] == [
        ("big", 100, 50),
        ("guard-mini", 7, 1),
    ]
    assert (found.tokens_in, found.tokens_out) == (107, 51)


def test_a_gateways_call_within_a_clients_is_that_call_whatever_model_answered() -> None:
    spans = [
        span(1, None, (0, 9), FIRST, model(None, (100, 50), "smart", "smart")),
        span(2, 1, (1, 8), SECOND, model(None, (100, 50), "gpt-4o-mini", "gpt-4o-mini")),
    ]
    [found] = to_trajectory(spans).steps
    assert (found.model_requested, found.model_served) == ("smart", "gpt-4o-mini")


@pytest.mark.parametrize(
    ("outer", "inner", "tokens"),
    [
        (model("Yes.", (42, 3)), model_2("Yes.", (42, 15)), (42, 15)),
        (model("Yes.", (40, 2)), model("Yes.", (47, 3), served="claude-x"), (47, 3)),
        (model("Long ans...", (42, 7)), model_2("Long answer", (42, 7)), (42, 7)),
        (model("Yes.", (42, 7)), model_2("<think>Hm.</think>Yes.", (42, 7)), (42, 7)),
        (model('{"a": 1}', (42, 7)), model_2('{"a":1}', (45, 8)), (45, 8)),
    ],
)
def test_a_text_or_the_tokens_tell_that_a_call_within_another_is_that_call(
    outer: Any, inner: Any, tokens: tuple[int, int]
) -> None:
    spans = [span(1, None, (0, 9), FIRST, outer), span(2, 1, (1, 8), SECOND, inner)]
    [found] = to_trajectory(spans).steps
    assert (found.tokens_in, found.tokens_out) == tokens
    assert found.model_served == inner.get("gen_ai.response.model")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ', "[1] is the source"])
def test_a_text_that_only_begins_like_json_is_compared_as_text(text: str) -> None:
    spans = [
        span(1, None, (0, 9), FIRST, model(text, (42, 7))),
        span(2, 1, (1, 8), SECOND, model(text + "1", (45, 8))),
    ]
    assert len(steps(to_trajectory(spans))) == 2


def test_a_call_with_the_tokens_of_all_within_it_is_the_whole_of_them() -> None:
    spans = [
        span(1, None, (0, 9), FIRST, model(None, (84, 14))),
        span(2, 1, (1, 4), FIRST, model(None, (42, 7))),
        span(3, 1, (5, 8), FIRST, model(None, (42, 7))),
    ]
    found = to_trajectory(spans)
    assert (len(found.steps), found.tokens_in, found.tokens_out) == (2, 84, 14)


Done = tuple[str, float, float]
KINDS = st.sampled_from(["model", "tool", "search"])
THINGS = st.lists(
    st.tuples(KINDS, st.floats(1, 500), st.floats(20, 300)).map(
        lambda one: (one[0], one[1], one[1] + one[2])
    ),
    max_size=6,
)


def recorded(number: int, kind: str, style: int, lacks: int) -> dict[str, Any]:
    """What one instrumentation records: of a call all, or only a part of what tells it."""
    text, tokens = f"answer {number}", (100 + number, 10 + number)
    if kind == "model":
        told = (None if lacks == 1 else text, None if lacks == 2 else tokens)
        return (model, model_2)[style](*told)
    if kind == "tool":
        arguments = {"n": number, **({"extra": True} if lacks == 1 else {})}
        return (tool, tool_2)[style]("calc", arguments, None if lacks == 2 else f"result {number}")
    return (search, search_2)[style](f"query {number}", f"document {number}")


def tree(
    scope: str, style: int, done: list[Done], lacking: list[int], at: int, shift: float, below: Any
) -> list[Span]:
    """A run as one instrumentation records it; ``shift`` is what its times are off by."""
    agents = (agent, agent_2)[style]("helper")
    spans = [span(at, below, (shift, 1000 - shift), scope, agents)]
    for number, (kind, start, end) in enumerate(done):
        told = recorded(number, kind, style, lacking[number % len(lacking)])
        times = (start + shift, end - shift)
        spans.append(span(at + number + 1, at, times, scope, told))
    return spans


def outline(spans: list[Span]) -> list[str]:
    """The kinds, with what tells the things apart that were done."""
    found = []
    for visit in to_trajectory(spans).walk():
        step = visit.step
        told = step.arguments if step.kind in ("tool", "retriever") else step.output
        shown = told if not isinstance(told, dict) else {**told, "extra": None}
        found.append(f"{visit.depth} {step.kind} {shown} {step.tokens_in}")
    return sorted(found)


@settings(max_examples=150, deadline=None)
@given(
    THINGS,
    st.lists(st.integers(0, 2), min_size=1, max_size=6),
    st.floats(-4, 4),
    st.sampled_from(["beside", "below", "trace"]),
    st.randoms(),
)
def test_a_run_seen_twice_reads_as_the_run_seen_once(
    done: list[Done], lacking: list[int], shift: float, how: str, order: random.Random
) -> None:
    """However its calls overlap, whatever the second lacks, and wherever its tree stands."""
    once = tree(FIRST, 1, done, [0], 1, 0, None)
    again = tree(SECOND, 0, done, lacking, 50, shift, 1 if how == "below" else None)
    if how == "trace":
        again = [one.__class__(**{**_fields(one), "trace_id": OTHER}) for one in again]
    both = [*once, *again]
    order.shuffle(both)
    assert outline(both) == outline(once)


def _fields(one: Span) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__struct_fields__}


@settings(max_examples=150, deadline=None)
@given(THINGS, st.lists(st.booleans(), min_size=6, max_size=6), st.randoms())
def test_different_things_done_at_once_are_never_one(
    done: list[Done], which: list[bool], order: random.Random
) -> None:
    root = {"openinference.span.kind": "CHAIN"}
    spans = [span(1, None, (0, 1000), FIRST, root, name="graph")]
    for number, (kind, start, end) in enumerate(done):
        style = int(which[number])
        told = recorded(number, kind, style, 0)
        spans.append(span(number + 2, 1, (start, end), (SECOND, FIRST)[style], told))
    order.shuffle(spans)
    assert len(steps(to_trajectory(spans))) == len(done)


@settings(max_examples=100, deadline=None)
@given(THINGS, st.randoms())
def test_things_of_one_scope_are_never_one(done: list[Done], order: random.Random) -> None:
    """Not even where they are the same in every word: a retry, or two customers at once."""
    spans = [span(99, None, (0, 1000), SECOND, agent_2("helper"))]
    for number, (kind, start, end) in enumerate(done):
        spans.append(span(number + 1, 99, (start, end), FIRST, recorded(0, kind, 1, 0)))
    order.shuffle(spans)
    [found] = to_trajectory(spans).steps
    assert len(found.steps) == len(done)


def test_a_stream_that_lasts_longer_than_the_call_that_began_it_is_one_call() -> None:
    def streamed(
        second: dict[str, Any], *, parent: int = 2, within: bool = False, first: float | None = 3
    ) -> list[tuple[str, int | None]]:
        told = {"gen_ai.response.time_to_first_chunk": first} if first else {}
        inside = [span(5, 3, (21, 22), SECOND, model("Yes."))] if within else []
        found = to_trajectory(
            [
                span(1, None, (0, 100), FIRST, {"openinference.span.kind": "AGENT"}, name="a"),
                span(2, 1, (10, 90), FIRST, {"openinference.span.kind": "CHAIN"}, name="b"),
                span(3, 2, (20, 24), FIRST, {**model_2("Yes."), **told}),
                span(4, parent, (30, 80), SECOND, second),
                *inside,
            ]
        )
        calls = [visit.step for visit in found.walk() if visit.step.kind == "llm"]
        return [(str(call.output), call.end_ns and (call.end_ns - 10**18) // MS) for call in calls]

    assert streamed(model("Yes.")) == [("Yes.", 80)]
    assert streamed(model("Yes."), first=None) == [("Yes.", 24), ("Yes.", 80)]
    assert streamed(model("No.")) == [("Yes.", 24), ("No.", 80)]
    assert streamed(model(None)) == [("Yes.", 24), ("None", 80)]
    assert streamed(model("Yes.", None, "gpt-4o-mini")) == [("Yes.", 24), ("Yes.", 80)]
    assert streamed(model("Yes."), parent=1) == [("Yes.", 24), ("Yes.", 80)]
    # The SDK's own recording of the first call is there already.
    assert streamed(model("Yes."), within=True) == [("Yes.", 24), ("Yes.", 80)]


@pytest.mark.parametrize(("message", "count"), [("503 overloaded", 1), ("401 no key", 2), ("", 2)])
def test_a_stream_that_never_began_failed_once(message: str, count: int) -> None:
    failed = {"error": True, "status_message": "503 overloaded" if message else ""}
    found = to_trajectory(
        [
            span(1, None, (0, 100), FIRST, agent_2("a"), name="a"),
            span(2, 1, (20, 24), FIRST, model_2(), **failed),
            span(3, 1, (30, 80), SECOND, model(), **{**failed, "status_message": message}),
        ]
    )
    calls = [visit.step for visit in found.walk() if visit.step.kind == "llm"]
    assert [call.status for call in calls] == ["error"] * count


@pytest.mark.parametrize(
    ("name", "asked", "count"),
    [
        ("OpenAI.astream_chat", "gpt-4o", 1),
        ("OpenAI.achat", "gpt-4o", 2),
        ("OpenAI.astream_chat", "gpt-4o-mini", 2),
    ],
)
def test_a_stream_of_which_nothing_is_known_is_its_sdk_s_call_of_that_model(
    name: str, asked: str, count: int
) -> None:
    found = to_trajectory(
        [
            span(1, None, (0, 100), FIRST, agent_2("a"), name="a"),
            span(2, 1, (20, 24), FIRST, model_2(), name=name),
            span(3, 1, (30, 80), SECOND, model("Yes.", (42, 1), asked)),
        ]
    )
    calls = [visit.step.output for visit in found.walk() if visit.step.kind == "llm"]
    assert calls == (["Yes."] if count == 1 else [None, "Yes."])
