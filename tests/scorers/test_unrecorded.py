"""Traces that could not have shown a tool call: what looks for calls could not judge."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from evalkit.dataset import Case
from evalkit.results import Score
from evalkit.scoring import bind, score_trial
from evalkit.spans import Span
from evalkit.suite import Effects, ScorerUse
from evalkit.tracing.normalizer import to_trajectory
from evalkit.trajectory import Trajectory

SAID = '[{"role": "assistant", "parts": [{"type": "text", "content": "done"}]}]'
WHY = "does not record tool calls: its instrumentation (sdk 1.2) has neither spans of tools nor "


def trace(*others: dict[str, Any], content: bool = False, model: bool = True) -> Trajectory:
    """What an agent and its model leave, with the texts or without, and further spans."""
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    if content:
        chat["gen_ai.output.messages"] = SAID
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "helper"}
    return spans(agent, *([chat] if model else []), *others)


def spans(*found: dict[str, Any]) -> Trajectory:
    return to_trajectory(
        [
            Span(
                trace_id="0" * 31 + "1",
                span_id=f"{number:016x}",
                parent_id=None if number == 1 else f"{1:016x}",
                name="s",
                start_ns=10 * number,
                end_ns=10 * number + (5 if number > 1 else 1000),
                attributes=attributes,
                scope="sdk",
                scope_version="1.2",
            )
            for number, attributes in enumerate(found, start=1)
        ]
    )


def node(name: str) -> dict[str, Any]:
    return {"evalkit.step.kind": "node", "evalkit.step.name": name}


TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look-up"}


def scored(expect: dict[str, Any], trajectory: Trajectory, *uses: Any) -> dict[str, Score]:
    case = msgspec.convert({"id": "c", "input": "?", "route": "r", "expect": expect}, Case)
    listed = [ScorerUse(one) if isinstance(one, str) else ScorerUse(*one) for one in uses]
    scores = score_trial(case, trajectory, bind(listed, Effects(), None))
    return {score.scorer: score for score in scores}


PATH = ("tool_selection", "trajectory_match", "step_efficiency", "trajectory_score")
POLICIES = (
    ("forbidden", {"steps": ["wipe"]}),
    ("approval", {"actions": "pay", "by": "ask"}),
    ("before", {"rules": [{"first": {"node": "check"}, "then": {"tool": "pay"}}]}),
    ("memory_after_success", {"writes": "remember", "verified_by": "verify"}),
    ("loop_cap", {"most": {"search": 3}}),
    ("handoff_fields", {"fields": {"to_refunds": ["order"]}}),
    ("injection", {"forbidden": ["wipe"]}),
    ("limits", {}),
)


@pytest.mark.parametrize("steps", [[{"tool": "look-up"}], [], [{"step": "look-up"}]])
def test_what_looks_for_calls_could_not_judge(steps: list[Any]) -> None:
    expect = {"steps": steps, "match": "exact", "limits": {"steps": 3}}
    for name, score in scored(expect, trace(), *PATH, *POLICIES).items():
        assert (score.status, score.value) == ("could_not_judge", None), name
        assert WHY + "what the models said" in score.reason or name == "limits"


@pytest.mark.parametrize(
    ("chat", "judged"),
    [
        ({"gen_ai.response.finish_reasons": ["stop"]}, True),
        ({"gen_ai.response.finish_reasons": ["tool_calls"]}, False),
        ({"gen_ai.response.finish_reasons": ["STOP"], "gen_ai.system": "gcp.gemini"}, False),
        ({"gen_ai.response.finish_reasons": ["stop"], "gen_ai.request.model": "x/gemini"}, False),
    ],
)
def test_why_a_model_stopped_may_tell_that_it_called_nothing(
    chat: dict[str, Any], judged: bool
) -> None:
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "helper"}
    found = spans(agent, {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"} | chat)
    score = scored({"steps": [{"tool": "look-up"}]}, found, "tool_selection")["tool_selection"]
    assert (score.status, score.value) == (("scored", 0) if judged else ("could_not_judge", None))


def test_what_lacks_is_named() -> None:
    score = scored({"steps": []}, trace(model=False), "tool_selection")["tool_selection"]
    assert score.reason.endswith(WHY + "spans of models")


def test_a_trace_that_would_show_calls_is_judged_as_before() -> None:
    expect: dict[str, Any] = {"steps": [{"tool": "look-up"}], "limits": {"steps": 1}}
    told = scored(expect, trace(content=True), *PATH, *POLICIES)
    assert {name: told[name].value for name in PATH} == dict.fromkeys(PATH, 0)
    assert told["forbidden"].passed and told["loop_cap"].passed and told["limits"].passed
    idle = [name for name, score in told.items() if score.status == "nothing_to_judge"]
    assert idle == ["approval", "before", "memory_after_success", "handoff_fields", "injection"]
    right = scored({"steps": []}, trace(content=True), "tool_selection", "trajectory_match")
    assert all(score.passed for score in right.values())
    called = scored(expect, trace(TOOL), *PATH, *POLICIES)
    assert {name: called[name].value for name in PATH} == dict.fromkeys(PATH, 1)
    assert called["forbidden"].passed


@pytest.mark.parametrize("kind", ["agent", "llm"])
def test_an_application_that_marks_its_own_steps_tells_that_it_called_nothing(kind: str) -> None:
    own = {"evalkit.step.kind": kind, "evalkit.step.name": "helper"}
    expect: dict[str, Any] = {"steps": [{"tool": "look-up"}]}
    found = scored(expect, spans(own, {"http.method": "GET"}), *PATH)
    assert {score.status for score in found.values()} == {"scored"}
    assert not any(score.passed for score in found.values())
    assert scored({"steps": []}, spans(own), "trajectory_match")["trajectory_match"].passed
    beside = spans(own, {"gen_ai.operation.name": "chat"})
    assert match(beside, **expect).status == "could_not_judge"


def match(trajectory: Trajectory, **expect: Any) -> Score:
    return scored(expect, trajectory, "trajectory_match")["trajectory_match"]


def test_what_no_call_could_change_is_judged_all_the_same() -> None:
    found = trace(node("plan"), node("reply"))
    plan, reply, other = ({"node": name} for name in ("plan", "reply", "other"))
    call = {"tool": "look-up"}
    assert match(found, steps=[plan, reply], match="exact").passed  # tools are not considered
    assert match(found, steps=[plan, {**call, "optional": True}, reply]).passed
    assert match(found, steps=[plan, other, call]).passed is False
    assert match(found, steps=[reply, plan, call]).passed is False
    assert match(found, steps=[plan, call], never=[reply]).passed is False
    assert match(found, steps=[plan], never=[call], match="exact").passed is False  # reply, too


@pytest.mark.parametrize(
    "expect",
    [
        {"steps": [{"node": "plan"}, {"tool": "look-up"}]},
        {"steps": [{"node": "plan"}, {"tool": "look-up", "optional": True}], "match": "exact"},
        {"steps": [{"node": "plan"}], "never": [{"tool": "wipe"}]},
        {"steps": [{"node": "plan"}, {"any_of": [{"node": "x"}, {"handoff": "y"}]}]},
        {"paths": [[{"node": "plan"}, {"node": "x"}], [{"tool": "look-up"}]]},
        {"steps": [], "match": "effects"},
        {"steps": [{"tool": "look-up"}], "match": "exact"},
        {"steps": [{"step": "look-up"}], "match": "exact"},  # within plan, for instance
    ],
)
def test_what_a_call_could_change_is_not(expect: dict[str, Any]) -> None:
    assert match(trace(node("plan")), **expect).status == "could_not_judge"
    assert match(trace(node("plan"), content=True), **expect).status == "scored"


def test_a_model_that_is_not_recorded_is_not_missing() -> None:
    called = trace(TOOL, model=False)
    assert match(called, steps=[{"tool": "look-up"}, {"llm": "m"}]).status == "could_not_judge"
    assert match(called, steps=[{"tool": "look-up"}], match="exact").passed
    assert match(called, steps=[{"tool": "other"}, {"llm": "m"}]).passed is False


def test_a_step_of_a_bare_name_that_is_recorded_is_told() -> None:
    found = trace(node("check"), node("wipe"))
    told = scored({}, found, ("forbidden", {"steps": "wipe"}))["forbidden"]
    assert told.passed is False
    order = {"rules": [{"first": "check", "then": "wipe"}]}
    assert scored({}, found, ("before", order))["before"].status == "scored"


def called(*names: str) -> dict[str, Any]:
    """A model's call of tools, as its message tells."""
    parts = [
        {"type": "tool_call", "id": f"c-{name}", "name": name, "arguments": {"q": 1}}
        for name in names
    ]
    said = json.dumps([{"role": "assistant", "parts": parts}])
    return {"gen_ai.operation.name": "chat", "gen_ai.output.messages": said}


def asked(*names: str) -> Trajectory:
    """A model called ``look-up``, which the trace shows, and these, which it does not.

    The conversation goes on with all of them, and has the result of ``look-up`` alone.
    """
    made = called("look-up", *names)
    part = {"type": "tool_call_response", "id": "c-look-up", "result": "found"}
    given = [*json.loads(made["gen_ai.output.messages"]), {"role": "tool", "parts": [part]}]
    answer = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": SAID}
    return spans(ROOT, made, SEEN, answer | {"gen_ai.input.messages": json.dumps(given)})


ROOT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "helper"}
SEEN = {**TOOL, "gen_ai.tool.call.id": "c-look-up", "gen_ai.tool.call.arguments": '{"q": 1}'}
LOOK_UP, PAY = {"tool": "look-up"}, {"tool": "pay"}
NOT_SEEN = "the trace does not record whether tool pay happened: a model called it, and its"


def test_a_call_that_a_model_asked_for_and_nothing_shows_may_have_happened_or_not() -> None:
    found = asked("pay")
    for expect in (
        {"steps": [LOOK_UP, PAY]},
        {"steps": [LOOK_UP], "match": "exact"},
        {"steps": [LOOK_UP], "match": "unordered"},
        {"steps": [LOOK_UP], "match": "effects"},
        {"steps": [LOOK_UP], "never": [PAY]},
        {"steps": [{"any_of": [[{"tool": "mail"}], [PAY]]}]},
        {"paths": [[{"tool": "mail"}], [LOOK_UP, PAY]]},
    ):
        score = match(found, **expect)
        assert score.status == "could_not_judge", expect
        assert score.reason.startswith(NOT_SEEN)


def test_a_call_that_could_change_nothing_leaves_the_verdict() -> None:
    found = asked("pay")
    assert match(found, steps=[LOOK_UP]).passed  # others may happen as well
    assert match(asked("get-more"), steps=[], match="effects").passed  # reading is free
    assert match(found, steps=[LOOK_UP, {"tool": "mail"}]).passed is False
    assert match(found, steps=[PAY, {"tool": "mail"}]).passed is False
    assert match(found, steps=[{"tool": "mail"}], match="exact").passed is False
    assert match(found, steps=[PAY], never=[LOOK_UP]).passed is False
    assert match(found, paths=[[{"tool": "mail"}], [{"tool": "post"}]]).passed is False
    assert match(asked("srv__pay"), steps=[PAY]).status == "could_not_judge"
    assert match(asked("re-pay"), steps=[{"tool": "un-pay"}]).passed is False


@pytest.mark.parametrize(
    ("steps", "value", "counts"),
    [
        ([LOOK_UP, PAY], 1, (2, 0, 0, 0)),
        ([LOOK_UP, {**PAY, "optional": True}], 1, (2, 0, 0, 0)),
        ([LOOK_UP], None, ()),
        ([LOOK_UP, {"tool": "mail"}], 0.5, (1, 0, 1, 0)),
        ([PAY, LOOK_UP, {"tool": "mail"}], 2 / 3, (2, 0, 1, 0)),
        ([], 0, (0, 0, 0, 1)),
    ],
)
def test_which_tool_was_chosen_the_models_message_tells(
    steps: list[Any], value: float | None, counts: tuple[int, ...]
) -> None:
    score = scored({"steps": steps}, asked("pay"), "tool_selection")["tool_selection"]
    if value is None:  # it would be the only one too many
        assert score.status == "could_not_judge" and score.reason.startswith(NOT_SEEN)
        return
    assert score.value == pytest.approx(value)
    assert tuple(score.data[key] for key in ("right", "wrong", "missed", "spurious")) == counts
    assert score.data["decisions"]["made"] == 1
    assert {one.step for one in score.steps} <= {None, 2}  # that of look-up


def test_what_counts_steps_could_not_judge_beside_a_call_that_nothing_shows() -> None:
    expect = {"steps": [LOOK_UP], "limits": {"steps": 3}}
    uses = ("step_efficiency", "limits", *POLICIES[:3], POLICIES[4])
    found = scored(expect, asked("pay"), *uses)
    for name in ("step_efficiency", "limits", "approval", "before", "loop_cap"):
        assert found[name].status == "could_not_judge", name
    assert found["forbidden"].passed  # of another tool
    [wiped] = scored(expect, asked("wipe"), POLICIES[0]).values()
    assert wiped.status == "could_not_judge"
    over = {"steps": [LOOK_UP], "limits": {"steps": 0}}
    assert scored(over, asked("pay"), "limits")["limits"].passed is False  # by what is seen alone


def openinference(kind: str, **more: str) -> dict[str, Any]:
    return {"openinference.span.kind": kind, **{k.replace("__", "."): v for k, v in more.items()}}


def structured(name: str, **given: str) -> dict[str, Any]:
    """A model's answer in the form of a call, as LangChain's ``with_structured_output`` asks."""
    said = "llm.output_messages.0.message."
    made = f"{said}tool_calls.0.tool_call.function."
    return openinference("LLM", **given) | {
        f"{said}role": "assistant",
        f"{made}name": name,
        f"{made}arguments": '{"to": "refunds"}',
        f"{said}tool_calls.0.tool_call.id": f"c-{name}",
    }


GRAPH = openinference("CHAIN") | {"session.id": "s"}
LOOKED = openinference("TOOL", tool__name="look-up", input__value='{"q": 1}')
REPLY = openinference("LLM") | {
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "done",
}


@pytest.mark.parametrize(
    "found",
    [
        (GRAPH, structured("Route"), LOOKED),  # no model is called afterwards
        (GRAPH, structured("Route"), LOOKED, REPLY),  # what models were given is not recorded
        (ROOT, called("Route"), SEEN, {"gen_ai.operation.name": "chat"}),
        (GRAPH, LOOKED, structured("Grade"), REPLY),
    ],
)
def test_a_structured_answer_is_no_call_where_tools_are_recorded(found: Any) -> None:
    told = spans(*found)
    assert told.coverage.unseen == () and "tool spans" not in told.coverage.missing
    for mode in ("exact", "unordered", "subset", "effects"):
        assert match(told, steps=[LOOK_UP], match=mode).passed, mode
    expect = {"steps": [LOOK_UP], "limits": {"steps": 9}}
    uses = ("tool_selection", "step_efficiency", "limits")
    assert {one.value for one in scored(expect, told, *uses).values()} == {1}


def rebuilt(result: str | None) -> Trajectory:
    """Only a model's messages show that it called ``pay``, and what that gave."""
    told = {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "id": "c-pay", "result": result}],
    }
    answer = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": SAID}
    if result is not None:
        answer["gen_ai.input.messages"] = json.dumps([told])
    return spans(ROOT, called("pay"), answer)


@pytest.mark.parametrize(("result", "passed"), [(None, None), ("paid", True), ("Error: no", False)])
def test_how_a_call_ended_only_its_span_or_its_result_tells(
    result: str | None, passed: bool | None
) -> None:
    found = rebuilt(result)
    for expect in (
        {"steps": [PAY], "match": "effects"},
        {"steps": [{**PAY, "status": "ok"}]},
    ):
        score = match(found, **expect)
        assert score.passed is passed
        assert (score.status == "could_not_judge") == (passed is None)
    failed = match(found, steps=[PAY], never=[{**PAY, "status": "error"}])
    assert failed.passed is passed
    assert match(found, steps=[PAY]).passed and match(found, steps=[{"tool": "mail"}]).value == 0
    assert match(found, steps=[{"tool": "mail"}], match="effects").passed is False
    then = {"llm": found.steps[0].steps[-1].name}
    rules = {"rules": [{"first": PAY, "then": then}]}
    [score] = scored({"steps": [PAY]}, found, ("before", rules)).values()
    assert (score.status == "could_not_judge") == (passed is None)


@pytest.mark.parametrize(
    ("stated", "passed"),
    [
        ({"q": "refund"}, True),
        ({"q": "refund", "k": 3}, None),  # k may be a default
        ({"k": {"ge": 1}, "q": {"contains": "fund"}}, None),
        ({"q": "refund", "k": {"absent": True}}, None),
        ({"q": "order", "k": 3}, False),
        ({"q": "order"}, False),
    ],
)
def test_a_value_without_its_name_may_be_one_of_the_arguments_that_are_stated(
    stated: dict[str, Any], passed: bool | None
) -> None:
    found = spans({**TOOL, "gen_ai.tool.call.arguments": '"refund"'})
    for mode in ("in_order", "exact", "unordered"):
        score = match(found, steps=[{**LOOK_UP, "args": stated}], match=mode)
        assert score.passed is passed
        assert (score.status == "could_not_judge") == (passed is None)
    never = match(found, steps=[LOOK_UP], never=[{**LOOK_UP, "args": stated}])
    assert never.passed is (None if passed is None else not passed)
    use = ("forbidden", {"steps": [{**LOOK_UP, "args": stated}]})
    [score] = scored({"steps": [LOOK_UP]}, found, use).values()
    assert score.passed is (None if passed is None else not passed)
