"""Limits on steps, tokens, cost and time."""

from __future__ import annotations

from evalkit.dataset import Case, Expected, ExpectedStep, Limits
from evalkit.results import Score
from evalkit.scorers.limits import limits
from evalkit.trajectory import Step, Trajectory

DONE = Trajectory(
    steps=(
        Step(kind="node", name="n", start_ns=10**9, end_ns=2 * 10**9),
        Step(kind="tool", name="t", tokens_in=10, tokens_out=5, end_ns=4 * 10**9),
    )
)


def judge(
    stated: Limits | None, done: Trajectory = DONE, steps: tuple[ExpectedStep, ...] | None = None
) -> Score:
    case = Case(id="c", input="?", route="r", expect=Expected(limits=stated, steps=steps))
    return limits(case, done)


def test_limits_hold_or_say_by_how_much_not() -> None:
    assert judge(Limits(steps=2, tokens=15, seconds=3)).passed
    score = judge(Limits(steps=1, tokens=14, seconds=2.5))
    assert (score.value, score.passed) == (0, False)
    assert score.reason == (
        "2 steps, at most 1 allowed; 15 tokens, at most 14 allowed; 3 seconds, at most 2.5 allowed"
    )
    assert judge(Limits(steps=1, tokens=15)).value == 0.5


def test_steps_are_those_of_the_kinds_that_the_case_names() -> None:
    assert judge(Limits(steps=1), steps=(ExpectedStep(tool="t"),)).passed


def test_what_is_not_recorded_could_not_be_judged() -> None:
    assert judge(Limits(cost_usd=1)).status == "could_not_judge"
    assert judge(Limits(tokens=1), Trajectory()).status == "could_not_judge"
    assert judge(Limits(seconds=1), Trajectory()).status == "could_not_judge"
    assert judge(None).status == judge(Limits()).status == "nothing_to_judge"
