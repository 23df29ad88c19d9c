"""How often each expected step failed, by route, and how."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from evalkit.dataset import Case, Expected, ExpectedStep
from evalkit.results import Score, Trial
from evalkit.scoring import bind, score_trial
from evalkit.step_failures import FAILURES, step_failures
from evalkit.suite import Effects, ScorerUse
from evalkit.trajectory import Step, Trajectory

STEPS = (
    ExpectedStep(tool="look", args={"q": 1}),
    ExpectedStep(tool="act"),
    ExpectedStep(tool="tell"),
)
ACTED = STEPS[1]
CASE = Case(id="c", input="?", route="r", expect=Expected(steps=STEPS))
SCORERS = bind([ScorerUse("trajectory_match"), ScorerUse("tool_selection")], Effects(), None)


def call(name: str, q: int = 1, status: Any = "ok") -> Step:
    return Step(kind="tool", name=name, arguments={"q": q}, status=status)


def trial(*steps: Step, number: int = 0, case: Case = CASE, **more: Any) -> Trial:
    trajectory = Trajectory(steps=steps)
    scored = score_trial(case, trajectory, SCORERS)
    given = {"trajectory": trajectory, "scores": scored, **more}
    return Trial(case=case.id, trial=number, route=case.route, **given)


def found(*trials: Trial, case: Case = CASE) -> dict[str, dict[str, int]]:
    rows = step_failures(trials, {case.id: case})
    assert all(row.failed == sum(row.by.values()) <= row.expected for row in rows)
    return {row.step: {how: n for how, n in row.by.items() if n} for row in rows}


LOOK, ACT, TELL = call("look"), call("act"), call("tell")


def test_every_way_to_fail() -> None:
    assert found(trial(LOOK, ACT, TELL)) == {"tool look": {}, "tool act": {}, "tool tell": {}}
    assert found(trial(LOOK, ACT))["tool tell"] == {"missing": 1}
    assert found(trial(LOOK, ACT, call("shout")))["tool tell"] == {"wrong": 1}
    assert found(trial(call("look", q=2), ACT, TELL))["tool look"] == {"bad_arguments": 1}
    assert found(trial(LOOK, TELL, ACT)) in (
        {"tool look": {}, "tool act": {"out_of_order": 1}, "tool tell": {}},
        {"tool look": {}, "tool act": {}, "tool tell": {"out_of_order": 1}},
    )
    failed = call("act", status="error")
    assert found(trial(LOOK, failed, TELL))["tool act"] == {"error": 1}
    assert found(trial(LOOK, failed, ACT, TELL))["tool act"] == {}


def test_rates_are_over_judged_trials_and_the_worst_comes_first() -> None:
    trials = [trial(LOOK, ACT, TELL, number=n) for n in range(3)]
    trials += [trial(LOOK, ACT, number=3), trial(number=4, status="crashed")]
    unjudged = (Score("trajectory_match", None, None, "x", status="could_not_judge"),)
    trials.append(trial(LOOK, number=5, scores=unjudged))
    first, *others = step_failures(trials, {"c": CASE})
    assert (first.step, first.expected, first.failed, first.rate) == ("tool tell", 4, 1, 0.25)
    assert first.cases == ("c",)
    assert [row.rate for row in others] == [0, 0]
    assert step_failures(trials, {}) == ()


def test_of_several_paths_the_one_that_was_judged_counts() -> None:
    paths = (STEPS, (ExpectedStep(tool="refuse"), ExpectedStep(tool="explain")))
    case = Case(id="c", input="?", route="r", expect=Expected(paths=paths))
    one = trial(call("refuse"), case=case)
    assert found(one, case=case) == {"tool refuse": {}, "tool explain": {"missing": 1}}


def test_steps_in_groups_are_named_one_by_one() -> None:
    both = ExpectedStep(parallel=(ExpectedStep(tool="a"), ExpectedStep(tool="b")))
    either = ExpectedStep(any_of=((ExpectedStep(tool="x"), ExpectedStep(tool="y")), (ACTED,)))
    maybe = ExpectedStep(tool="later", optional=True)
    case = Case(id="c", input="?", route="r", expect=Expected(steps=(both, either, maybe)))
    assert found(trial(call("b"), ACT, case=case), case=case) == {
        "tool a": {"missing": 1},
        "tool b": {},
        "tool act": {},
    }


@given(st.lists(st.sampled_from(["look", "act", "tell", "else"]), max_size=6))
def test_a_trial_fails_where_its_match_does(names: list[str]) -> None:
    one = trial(*map(call, names))
    failed = sum(len(by) for by in found(one).values())
    assert (failed == 0) == one.scores[0].passed
    assert all(set(by) <= set(FAILURES) for by in found(one).values())
