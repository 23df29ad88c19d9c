"""Traces that could not have shown a tool call: what looks for calls could not judge."""

from __future__ import annotations

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
                start_ns=number,
                end_ns=100 - number,
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
