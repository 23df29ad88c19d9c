"""How often each expected step failed, by route, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from evalkit.dataset import Case, Expected, ExpectedStep, Times
from evalkit.results import PlannedCase, Score, Trial
from evalkit.scoring import bind, score_trial
from evalkit.step_failures import FAILURES, StepFailures, step_failures
from evalkit.suite import Effects, ScorerUse
from evalkit.trajectory import Step, Trajectory
from tests.recordings import SCORES, recorded
from tests.recordings import score as row_of_score
from tests.recordings import trial as row_of_trial

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


def rows_of(trials: Sequence[Trial], *cases: Case) -> tuple[StepFailures, ...]:
    """As a stored run's tables tell it: with what was scored of the trials that completed."""
    planned = tuple(PlannedCase.of(case) for case in cases or (CASE,))
    scores = [
        row_of_score(
            one.case,
            one.trial,
            score.scorer,
            score.value,
            passed=score.passed,
            status=score.status,
            findings=msgspec.json.encode(score.steps).decode(),
            data=msgspec.json.encode(score.data).decode(),
        )
        for one in trials
        if one.status == "completed"
        for score in one.scores
    ]
    stored = recorded(planned, [row_of_trial(one.case, one.trial) for one in trials], [])
    table = pa.Table.from_pylist(scores, pa.schema([*SCORES, ("data", pa.string())]))
    stored = replace(stored, scores=table)
    return step_failures(stored, {case.id: case for case in cases})["r"]


def found(*trials: Trial, case: Case = CASE) -> dict[str, dict[str, int]]:
    rows = [row for row in rows_of(trials, case) if row.expected]
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


def test_rates_are_over_judged_trials_in_the_order_of_the_path() -> None:
    trials = [trial(LOOK, ACT, TELL, number=n) for n in range(3)]
    trials += [trial(LOOK, ACT, number=3), trial(number=4, status="crashed")]
    unjudged = (Score("trajectory_match", None, None, "x", status="could_not_judge"),)
    trials.append(trial(LOOK, number=5, scores=unjudged))
    *others, last = rows_of(trials, CASE)
    assert (last.step, last.expected, last.failed, last.rate) == ("tool tell", 4, 1, 0.25)
    assert last.cases == ("c",)
    assert [row.rate for row in others] == [0, 0]
    assert rows_of(trials) == ()


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


def test_a_step_that_may_come_no_times_counts_where_it_came() -> None:
    more = ExpectedStep(tool="more", times=Times(ge=0, le=3))
    group = ExpectedStep(parallel=(ExpectedStep(tool="a"), ExpectedStep(tool="b", optional=True)))
    case = Case(id="c", input="?", route="r", expect=Expected(steps=(more, group)))
    assert found(trial(call("a"), case=case), case=case) == {"tool a": {}}
    both = trial(call("more"), call("more"), call("b"), call("a"), case=case)
    assert found(both, case=case) == {"tool more": {}, "tool a": {}, "tool b": {}}


def test_steps_of_one_name_are_told_apart_and_a_step_that_no_case_requires_is_optional() -> None:
    steps = (ACTED, ACTED, ExpectedStep(tool="tell", optional=True))
    case = Case(id="c", input="?", route="r", expect=Expected(steps=steps))
    rows = rows_of([trial(ACT, case=case)], case)
    assert [(row.step, row.nth, row.optional, row.stated) for row in rows] == [
        ("tool act", 0, False, 1),
        ("tool act", 1, False, 1),
        ("tool tell", 0, True, 1),
    ]
    assert sum(row.failed for row in rows) == 1
    assert rows[2].rate is None


def test_a_failed_try_is_named_and_fails_no_match() -> None:
    failed = call("act", status="error")
    (score, *_) = trial(LOOK, failed, TELL).scores
    assert score.passed
    assert [(one.kind, one.name, one.step) for one in score.steps] == [("failed", "tool act", 1)]


@given(st.lists(st.sampled_from(["look", "act", "tell", "else"]), max_size=6))
def test_a_trial_fails_where_its_match_does(names: list[str]) -> None:
    one = trial(*map(call, names))
    failed = sum(len(by) for by in found(one).values())
    assert (failed == 0) == one.scores[0].passed
    assert all(set(by) <= set(FAILURES) for by in found(one).values())
