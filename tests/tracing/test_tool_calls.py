"""Which call of a model is which step, and what becomes of calls that no step shows."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.spans import Span
from evalkit.tracing import formats
from evalkit.tracing.assembly import Reading, assemble
from evalkit.tracing.normalizer import to_trajectory
from evalkit.tracing.reasons import Reasons
from evalkit.trajectory import Trajectory
from tests.tracing.test_completion import answer, chat, span, tool, tools


def call(call_id: str | None, name: str, **arguments: Any) -> dict[str, Any]:
    return {"id": call_id, "name": name, "arguments": arguments}


def known(spans: list[Span]) -> list[tuple[Any, ...]]:
    return [(step.label, step.arguments, step.call_id) for step in tools(spans)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("approve-refund", "deny-refund"),
        ("kb.search", "web.search"),
        ("files/read", "mail/read"),
        ("mcp__crm__search", "mcp__kb__search"),
    ],
)
def test_names_that_end_alike_are_of_different_tools(one: str, other: str) -> None:
    spans = [
        span(1, "chat", attributes=chat(call("c1", one, id=1), call("c2", other, id=2))),
        span(3, "t", attributes=tool(other)),
        span(5, "t", attributes=tool(one)),
    ]
    assert known(spans) == [
        (f"tool {other}", {"id": 2}, "c2"),
        (f"tool {one}", {"id": 1}, "c1"),
    ]


def test_a_tool_takes_no_call_of_another_with_the_same_arguments() -> None:
    part = {"type": "tool_call", **call("c1", "cancel-order", id=1)}
    cancelled = {"role": "assistant", "parts": [part]}
    spans = [
        span(1, "chat", attributes=chat(call("c1", "cancel-order", id=1))),
        span(3, "chat", attributes=chat(call("c2", "get-order", id=1), given=[cancelled])),
        span(5, "t", attributes=tool("get-order", **{"gen_ai.tool.call.arguments": {"id": 1}})),
    ]
    assert known(spans) == [("tool get-order", {"id": 1}, "c2")]
    assert to_trajectory(spans).coverage.missing[0] == "tool spans"


@pytest.mark.parametrize("name", ["mcp__kb__find", "kb-find", "kb.find", "kb/find", "kb__find"])
def test_a_server_or_plugin_before_a_name_makes_no_other_tool(name: str) -> None:
    """Where both names are there, each is its own; the longer one alone may be the shorter."""
    called = [call("c1", "find", q=1), call("c2", name, q=2)]
    both = [span(3, "t", attributes=tool(name)), span(5, "t", attributes=tool("find"))]
    spans = [span(1, "chat", attributes=chat(*called)), *both]
    assert [arguments for _, arguments, _ in known(spans)] == [{"q": 2}, {"q": 1}]
    spans = [span(1, "chat", attributes=chat(called[1])), both[1]]
    assert known(spans) == [("tool find", {"q": 2}, "c2")]


@pytest.mark.parametrize(
    ("outer", "inner", "count"),
    [
        ("delete-file", "backup-file", 2),
        ("kb.search", "web.search", 2),
        ("kb-find", "find", 1),
        ("find", "find", 1),
    ],
)
@pytest.mark.parametrize("told", [{"gen_ai.tool.call.arguments": {"path": "x"}}, {}])
def test_a_tool_within_a_tool_is_the_same_only_by_its_name(
    outer: str, inner: str, count: int, told: dict[str, Any]
) -> None:
    spans = [
        span(1, "t", attributes=tool(outer, **told), end_ns=9, scope="framework"),
        span(2, "t", 1, attributes=tool(inner), scope="server"),
    ]
    assert len(tools(spans)) == count


@pytest.mark.parametrize(("ids", "count"), [((), 2), (("c1", "c1"), 1), (("c1", "c2"), 2)])
def test_one_instrumentation_gives_one_tool_two_names_only_with_one_id(
    ids: tuple[str, ...], count: int
) -> None:
    told = {"gen_ai.tool.call.arguments": {"id": 3}}
    both = [
        tool(name, **told, **({"gen_ai.tool.call.id": ids[at]} if ids else {}))
        for at, name in enumerate(("delete.user", "user"))
    ]
    spans = [
        span(1, "t", attributes=both[0], end_ns=9),
        span(2, "t", 1, attributes=both[1]),
    ]
    assert len(tools(spans)) == count


@pytest.mark.parametrize("kind", ["agent", "workflow"])
def test_agents_within_agents_are_told_apart_by_their_whole_names(kind: str) -> None:
    named = {"gen_ai.operation.name": f"invoke_{kind}"}
    spans = [
        span(1, "a", attributes={**named, f"gen_ai.{kind}.name": "triage-agent"}, end_ns=9),
        span(2, "b", 1, attributes={**named, f"gen_ai.{kind}.name": "refund-agent"}),
    ]
    found = [step.label for step in tools(spans)]
    assert found == [f"{kind} triage-agent", f"{kind} refund-agent"]


def test_calls_that_share_an_id_are_told_apart_by_name_and_time() -> None:
    """Models that run at home call each call ``call_0``."""
    by_id = {"gen_ai.tool.call.id": "call_0"}
    calls = [call("call_0", "get", q=1), call("call_0", "put", z=2), call("call_0", "get", q=3)]
    history: list[Any] = []
    spans = []
    for number, made in enumerate(calls):
        at = 10 * number + 1
        spans.append(span(at, "chat", attributes=chat(made, given=[*history])))
        spans.append(span(at + 1, "t", attributes=tool(made["name"], **by_id)))
        history.append({"role": "assistant", "parts": [{"type": "tool_call", **made}]})
        history += answer("call_0", f"result {number}")
    spans.append(span(91, "chat", attributes=chat(given=history)))
    assert [(step.name, step.arguments, step.output) for step in tools(spans)] == [
        ("get", {"q": 1}, "result 0"),
        ("put", {"z": 2}, "result 1"),
        ("get", {"q": 3}, "result 2"),
    ]


def test_calls_of_one_message_that_share_an_id_are_told_apart_by_name() -> None:
    by_id = {"gen_ai.tool.call.id": "call_0"}
    made = chat(call("call_0", "get", q=1), call("call_0", "put", z=2))
    spans = [
        span(1, "chat", attributes=made),
        span(3, "t", attributes=tool("get", **by_id)),
        span(5, "t", attributes=tool("put", **by_id)),
    ]
    assert [(step.name, step.arguments) for step in tools(spans)] == [
        ("get", {"q": 1}),
        ("put", {"z": 2}),
    ]


AGENT = {"gen_ai.operation.name": "invoke_agent"}
NODE = {"openinference.span.kind": "CHAIN"}


def in_parallel(
    branch: dict[str, Any], ids: tuple[str, str], recorded: list[dict[str, Any]]
) -> list[Span]:
    """Two agents or branches whose models call ``get`` at once; the second one's runs first."""
    spans = [span(1, "all", attributes=branch, end_ns=99)]
    for at, (call_id, told) in enumerate(zip(ids, recorded, strict=True)):
        first, made = 10 * at, call(call_id, "get", q=at)
        past = [{"role": "assistant", "parts": [{"type": "tool_call", **made}]}]
        past += answer(call_id, f"result {at}")
        named = {**branch, "gen_ai.agent.name": f"a{at}"} if branch is AGENT else branch
        spans += [
            span(first + 2, f"b{at}", 1, attributes=named, start_ns=2, end_ns=98),
            span(first + 3, "chat", first + 2, attributes=chat(made), start_ns=3 + at),
            span(first + 4, "t", first + 2, attributes=tool("get", **told), start_ns=20 - at),
            span(first + 5, "chat", first + 2, attributes=chat(given=past), start_ns=40 + at),
        ]
    return spans


@pytest.mark.parametrize("branch", [AGENT, NODE])
@pytest.mark.parametrize("told", [("id", "arguments"), ("id",), ()])
def test_calls_do_not_cross_between_what_runs_in_parallel(
    branch: dict[str, Any], told: tuple[str, ...]
) -> None:
    ids = ("call_0", "call_0") if "id" in told else ("c0", "c1")
    recorded = [
        {"gen_ai.tool.call.id": call_id, "gen_ai.tool.call.arguments": {"q": at}}
        for at, call_id in enumerate(ids)
    ]
    for one in recorded:
        for key in one.keys() - {f"gen_ai.tool.call.{key}" for key in told}:
            del one[key]
    spans = in_parallel(branch, ids, recorded)
    found = [step for step in tools(spans) if step.kind == "tool"]
    assert [(step.arguments, step.output, step.call_id) for step in found] == [
        ({"q": 0}, "result 0", ids[0]),
        ({"q": 1}, "result 1", ids[1]),
    ]
    assert "tool spans" not in to_trajectory(spans).coverage.missing


def test_calls_side_by_side_that_share_an_id_are_told_apart_by_arguments() -> None:
    made = [call("call_0", "get", q=1), call("call_0", "get", q=2)]
    of = [
        {"gen_ai.tool.call.id": "call_0", "gen_ai.tool.call.arguments": one["arguments"]}
        for one in made
    ]
    spans = [
        span(1, "chat", attributes=chat(made[0])),
        span(2, "chat", attributes=chat(made[1])),
        span(3, "t", attributes=tool("get", **of[0])),
        span(4, "t", attributes=tool("get", **of[1])),
    ]
    assert known(spans) == [("tool get", {"q": n}, "call_0") for n in (1, 2)]
    assert "tool spans" not in to_trajectory(spans).coverage.missing


def test_a_repeated_call_whose_result_no_history_has_does_not_take_the_first_ones() -> None:
    again = call("call_0", "poll")
    past = [{"role": "assistant", "parts": [{"type": "tool_call", **again}]}]
    spans = [
        span(1, "chat", attributes=chat(again)),
        span(2, "t", attributes=tool("poll", **{"gen_ai.tool.call.id": "call_0"})),
        span(3, "chat", attributes=chat(again, given=[*past, *answer("call_0", "waiting")])),
        span(4, "t", attributes=tool("poll", **{"gen_ai.tool.call.id": "call_0"})),
    ]
    assert [step.output for step in tools(spans)] == ["waiting", None]


NAMES = st.sampled_from(["get", "put", "kb-get", "kb.put", "web-get"])
IDS = st.sampled_from(["call_0", "call_1", None])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(NAMES, IDS, st.integers(0, 3)), max_size=6), st.randoms())
def test_in_turns_each_call_is_the_step_that_follows_it(made: list[Any], order: Any) -> None:
    """Whatever names and ids repeat, and whatever the spans lack: ids, arguments."""
    spans, wanted = [], []
    for number, (name, call_id, value) in enumerate(made):
        at = 10 * number + 1
        spans.append(span(at, "chat", attributes=chat(call(call_id, name, v=value))))
        own = {} if call_id is None else {"gen_ai.tool.call.id": call_id}
        spans.append(span(at + 2, "t", attributes=tool(name, **own)))
        wanted.append((f"tool {name}", {"v": value}, call_id))
    order.shuffle(spans)
    assert known(spans) == wanted


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("Error handling guide: use try/except.", "ok"),
        ("Errors and how to avoid them", "ok"),
        ("Exception approval needs the director.", "ok"),
        ("Exceptions above 50000 need director approval.", "ok"),
        ("Error: no such order", "error"),
        ("ValueError: bad", "error"),
        ("TimeoutError('late')", "error"),
        ("Error executing tool find: late", "error"),
        ("Error fetching the weather: timeout", "error"),
        ("Error 404: no such page", "error"),
        ("Error - no such order", "error"),
        ("Error", "error"),
        ("Error reporting is on page 3.", "ok"),
        ("Exception for vendors below 5000: none needed.", "ok"),
        ("Error code: 503 - overloaded", "error"),
        ("Traceback (most recent call last):\n  ...", "error"),
        ("An error occurred while running the tool.", "error"),
    ],
)
def test_only_a_report_of_a_failure_is_one(text: str, status: str) -> None:
    spans = [
        span(1, "chat", attributes=chat(call("c1", "find"))),
        span(3, "chat", attributes=chat(given=answer("c1", text))),
    ]
    assert [step.status for step in tools(spans)] == [status]


@pytest.mark.parametrize("flag", [True, "true", "True"])
def test_a_flag_in_words_is_a_flag(flag: Any) -> None:
    result = {"isError": flag, "content": [{"type": "text", "text": "no such order"}]}
    [step] = tools([span(1, "t", attributes=tool("find", **{"gen_ai.tool.call.result": result}))])
    assert (step.status, step.error) == ("error", "no such order")


@pytest.mark.parametrize("flag", [True, False, None])
def test_a_flag_beside_a_result_in_a_message_is_a_flag(flag: bool | None) -> None:
    part = {"type": "tool_result", "tool_use_id": "c1", "content": "no such order"}
    given = [{"role": "user", "content": [part if flag is None else {**part, "is_error": flag}]}]
    called = span(1, "chat", attributes=chat(call("c1", "find")))
    shown = span(3, "t", attributes=tool("find", **{"gen_ai.tool.call.id": "c1"}))
    later = span(5, "chat", attributes=chat(given=given))
    for spans in ([called, later], [called, shown, later]):
        [step] = tools(spans)
        told = ("error", "no such order") if flag else ("ok", None)
        assert (step.output, step.status, step.error) == ("no such order", *told)


MAILED = answer("c2", "sent")
PAYS = {
    "role": "assistant",
    "parts": [
        {"type": "tool_call", **call("c1", "pay")},
        {"type": "tool_call", **call("c2", "mail")},
    ],
}


@pytest.mark.parametrize("status", ["error", "success"])
def test_bedrocks_status_of_a_result_is_a_flag(status: str) -> None:
    told = {"toolUseId": "c1", "status": status, "content": [{"text": "no such order"}]}
    given = [{"role": "user", "content": [{"toolResult": told}]}]
    spans = [
        span(1, "chat", attributes=chat(call("c1", "find"))),
        span(5, "c", attributes=chat(given=given)),
    ]
    [step] = tools(spans)
    assert (step.output, step.status) == ("no such order", "error" if status == "error" else "ok")


def test_a_call_that_nothing_shows_beside_others_is_said_to_be_missing() -> None:
    spans = [
        span(1, "chat", attributes=chat(call("c1", "pay"), call("c2", "mail"))),
        span(3, "t", attributes=tool("mail", **{"gen_ai.tool.call.id": "c2"})),
        span(5, "chat", attributes=chat(given=[PAYS, *MAILED])),
    ]
    assert [step.label for step in tools(spans)] == ["tool mail"]
    assert "tool spans" in to_trajectory(spans).coverage.missing


@pytest.mark.parametrize(
    ("later", "unseen"),
    [
        (None, False),  # nothing is evidence of a call: tools are recorded
        ([PAYS, *MAILED], True),  # the conversation goes on with it, and lacks what it returned
        ([{"role": "user", "parts": [{"type": "text", "content": "next"}]}], False),
        ([PAYS, *MAILED, *answer("c1", "paid")], False),
    ],
)
def test_a_call_that_later_messages_go_on_without_was_an_answer(
    later: list[dict[str, Any]] | None, unseen: bool
) -> None:
    """As a router's structured output, which is asked for as the call of a tool."""
    spans = [
        span(1, "chat", attributes=chat(call("c1", "pay"), call("c2", "mail"))),
        span(3, "t", attributes=tool("mail", **{"gen_ai.tool.call.id": "c2"})),
        span(5, "chat", attributes=chat(given=later)),
    ]
    found = to_trajectory(spans)
    assert [one.label for one in found.coverage.unseen] == (["tool pay"] if unseen else [])
    rebuilt = [step.name for step in tools(spans) if step.inferred == "call"]
    assert rebuilt == (["pay"] if later and len(later) == 3 else [])


def test_a_structured_answer_beside_another_model_call_is_no_call() -> None:
    asked = [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]
    spans = [
        span(1, "chat", attributes=chat(call("c1", "mail"), given=asked)),
        span(3, "t", attributes=tool("mail", **{"gen_ai.tool.call.id": "c1"})),
        span(5, "chat", attributes=chat(call("c2", "Grade"), given=asked), end_ns=9),
        span(7, "chat", attributes=chat(given=asked)),
    ]
    found = to_trajectory(spans).coverage
    assert found.unseen == () and "tool spans" not in found.missing


def test_a_run_that_ends_with_a_call_lacks_no_span() -> None:
    spans = [
        span(1, "chat", attributes=chat(call("c1", "mail"))),
        span(3, "t", attributes=tool("mail", **{"gen_ai.tool.call.id": "c1"})),
        span(5, "chat", attributes=chat(call("c2", "pay"))),
    ]
    assert [step.label for step in tools(spans)] == ["tool mail"]
    assert "tool spans" not in to_trajectory(spans).coverage.missing


@pytest.mark.parametrize("name", ["finish", "final_result", "StructuredOutput"])
@pytest.mark.parametrize(
    ("result", "rebuilt"),
    [
        ({"closed": True}, True),
        ("Ticket 7 is closed.", True),
        ("Final result processed.", False),
        ("Returning structured response: {}", False),
        (None, False),
    ],
)
def test_an_answers_name_is_a_tools_where_it_returned_something(
    name: str, result: Any, rebuilt: bool
) -> None:
    given = None if result is None else answer("c1", result)
    spans = [
        span(1, "chat", attributes=chat(call("c1", name, id=7))),
        span(3, "chat", attributes=chat(given=given)),
    ]
    assert [step.label for step in tools(spans)] == [f"tool {name}"] * rebuilt


def test_what_the_provider_ran_is_a_call_and_stops_no_answer() -> None:
    parts = [
        {
            "type": "server_tool_call",
            "id": "s1",
            "name": "web_search",
            "server_tool_call": {"type": "web_search", "query": "rates"},
        },
        {
            "type": "server_tool_call_response",
            "id": "s1",
            "server_tool_call_response": {"type": "web_search", "hits": 3},
        },
        {"type": "text", "content": "3.5 %"},
    ]
    said = [{"role": "assistant", "parts": parts, "finish_reason": "stop"}]
    found = to_trajectory([span(1, "chat", attributes=chat(**{"gen_ai.output.messages": said}))])
    step = next(step for step in found.steps if step.kind == "tool")
    assert (step.name, step.arguments, step.inferred) == ("web_search", {"query": "rates"}, "call")
    assert step.output == {"type": "web_search", "hits": 3}
    assert (found.output, found.stop_reason) == ("3.5 %", "stop")


def test_a_function_call_from_before_tools_is_read(tmp_path: Path) -> None:
    asked = {"name": "find", "arguments": '{"q": "x"}'}
    messages = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": None, "function_call": asked},
        {"role": "function", "name": "find", "content": "there"},
        {"role": "assistant", "content": "There."},
    ]
    spans = [
        span(1, "chat", attributes=chat(**{"gen_ai.output.messages": messages[1:2]})),
        span(3, "chat", attributes=chat(given=messages[:3])),
    ]
    path = tmp_path / "chat.json"
    path.write_text(json.dumps(messages))
    for steps in (tools(spans), [one for one in _chat(path).steps if one.kind == "tool"]):
        [step] = steps
        assert (step.name, step.arguments, step.output) == ("find", {"q": "x"}, "there")
        assert step.status == "ok"


def _chat(path: Path) -> Trajectory:
    reading = Reading(Reasons(), Counter())
    [part] = formats.read_parts(path, "chat", reading.refused)
    recorded = assemble(part.trace_id, [part], reading)
    assert recorded is not None
    return recorded.trajectory


def test_a_call_comes_after_the_model_that_made_it_where_clocks_cannot_tell() -> None:
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}
    at = {"start_ns": 5, "end_ns": 6}
    spans = [
        span(1, "invoke_agent a", attributes=agent, start_ns=4, end_ns=9),
        span(2, "t", 1, attributes=tool("find", **{"gen_ai.tool.call.id": "c1"}), **at),
        span(3, "chat", 1, attributes=chat(call("c1", "find")), **at),
        span(4, "chat", 1, attributes=chat(), start_ns=7, end_ns=8),
    ]
    [found] = to_trajectory(spans).steps
    assert [step.label for step in found.steps] == ["llm m", "tool find", "llm m"]


def handed(name: str, arguments: Any, *beside: Span) -> list[str]:
    told = {} if arguments is None else {"gen_ai.tool.call.arguments": arguments}
    return [step.label for step in tools([span(1, "t", attributes=tool(name, **told)), *beside])]


def agent_span(name: str) -> Span:
    named = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}
    return span(5, "a", attributes=named)


def test_a_name_alone_makes_no_handoff_of_what_carries_arguments() -> None:
    name, arguments = "transfer_to_savings", {"amount": 100}
    assert handed(name, arguments) == [f"tool {name}"]
    assert handed(name, {}) == handed(name, None) == ["handoff savings"]
    for agent in ("savings", "Savings", "savings-agent", "Savings Agent"):
        found = handed(name, arguments, agent_span(agent))
        assert found == ["handoff savings", f"agent {agent}"]
    assert handed(name, arguments, agent_span("refunds"))[0] == f"tool {name}"
    assert handed("handoff", {"parcel": 7}) == ["tool handoff"]


@pytest.mark.parametrize("agent", ["RefundAgent", "Refund Agent", "refundAgent", "refund"])
@pytest.mark.parametrize("name", ["refund_agent", "RefundAgent", "refund"])
def test_an_agent_is_handed_over_to_however_its_name_is_spelt(agent: str, name: str) -> None:
    found = handed(f"transfer_to_{name}", {"reason": "x"}, agent_span(agent))
    assert found == [f"handoff {name}", f"agent {agent}"]


@pytest.mark.parametrize("given", [{"reason": "x"}, None])
def test_a_handoff_is_from_the_agent_that_it_is_below(given: Any) -> None:
    told = {} if given is None else {"gen_ai.tool.call.arguments": given}
    triage = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "triage"}
    spans = [
        span(1, "a", attributes=triage, end_ns=9),
        span(2, "t", 1, attributes=tool("transfer_to_refund_agent", **told)),
        agent_span("RefundAgent"),
    ]
    [handoff] = [step for step in tools(spans) if step.kind == "handoff"]
    assert handoff.arguments == {"from": "triage", "to": "refund_agent", **(given or {})}


def test_a_handoff_that_only_the_model_tells_is_rebuilt_where_its_agent_is() -> None:
    spans = [
        span(1, "chat", attributes=chat(call("c1", "transfer_to_refund_agent"))),
        agent_span("refund-agent"),
        span(7, "t", 5, attributes=tool("pay")),
    ]
    assert [step.label for step in tools(spans)] == [
        "handoff refund_agent",
        "agent refund-agent",
        "tool pay",
    ]


def test_a_tool_is_offered_by_the_name_its_step_has_too() -> None:
    """Semantic Kernel offers ``P-find`` and runs ``find``; ``list-users`` is no ``users``."""
    offered = {"gen_ai.tool.definitions": json.dumps([{"name": "P-find"}, {"name": "list-users"}])}
    spans = [
        span(1, "chat", attributes={**chat(call("c1", "P-find")), **offered}),
        span(3, "t", attributes=tool("find", **{"gen_ai.tool.call.id": "c1"})),
    ]
    [model] = [step for step in to_trajectory(spans).steps if step.kind == "llm"]
    assert model.offered == ("P-find", "list-users", "find")


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """What models were given and called, of conversations that go on, fork and stand beside."""
    going_on: list[list[dict[str, Any]]] = [[{"role": "user", "content": "hi"}]]
    made = []
    for _ in range(draw(st.integers(1, 8))):
        history = draw(st.sampled_from(going_on))
        cut = draw(st.integers(1, len(history))) if draw(st.booleans()) else len(history)
        history = history[:cut]
        ids, names = st.sampled_from(["c0", "c1", None]), st.sampled_from(["find", "get"])
        calls = [  # equal ones of one id cannot be told apart, whatever their results
            call(draw(ids), draw(names), q=10 * len(made) + at)
            for at in range(draw(st.integers(0, 2)))
        ]
        made.append((history, calls))
        asked = {"role": "assistant", "parts": [{"type": "tool_call", **one} for one in calls]}
        told = [
            answer(one["id"], draw(st.sampled_from(["a", "b", "Error: no"])))[0]
            for one in calls
            if draw(st.booleans())
        ]
        going_on.append([*history, asked, *told])
    return made


@given(conversations())
@settings(max_examples=200, deadline=None)
def test_what_histories_repeat_is_read_once_and_tells_the_same(
    made: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]],
) -> None:
    def read(*, apart: bool) -> Trajectory:
        spans = [
            span(
                2 * at,
                "chat",
                attributes=chat(
                    *calls,
                    given=[{"role": "system", "content": f"{at}"}] * apart + history,
                ),
            )
            for at, (history, calls) in enumerate(made, 1)
        ]
        return to_trajectory([*spans, span(99, "t", attributes=tool("get"))])

    assert read(apart=False) == read(apart=True)
