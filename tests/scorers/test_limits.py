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


def model(steps: tuple[Step, ...] = (), **more: object) -> Step:
    return Step(kind="llm", name="m", steps=steps, **more)


TOKENS = {"tokens_in": 10, "tokens_out": 5}
TOLD = {"cost_usd": 0.002, **TOKENS}


def test_a_model_step_of_which_nothing_is_recorded_is_no_zero() -> None:
    done = Trajectory(steps=(model(**TOLD), model()))
    score = judge(Limits(cost_usd=0.01), done)
    assert score.status == "could_not_judge"
    assert score.reason == "the trace does not record the US dollars of every model step"
    assert judge(Limits(tokens=100), done).status == "could_not_judge"
    half = Trajectory(steps=(model(**TOLD), model(tokens_in=3)))
    assert judge(Limits(tokens=100), half).status == "could_not_judge"
    assert judge(Limits(steps=2), done).passed
    assert judge(Limits(cost_usd=0.01), Trajectory(steps=(model(**TOLD),))).passed
    failed = Trajectory(steps=(model(**TOLD), model(status="error")))
    assert judge(Limits(cost_usd=0.01), failed).passed


def test_what_is_known_may_break_a_limit_by_itself() -> None:
    done = Trajectory(steps=(model(**TOLD), model()))
    score = judge(Limits(cost_usd=0.001, tokens=100, steps=2), done)
    assert (score.value, score.passed) == (0.5, False)
    assert score.reason == "at least 0.002 US dollars, at most 0.001 allowed"
    assert score.data == {"taken": {"steps": 2, "US dollars": 0.002}}


def test_totals_tell_of_the_model_steps_within_and_around() -> None:
    limits = Limits(cost_usd=0.01, tokens=100)
    agent = Step(kind="agent", name="a", steps=(model(), model()), cost_usd=0.002, **TOKENS)
    assert judge(limits, Trajectory(steps=(agent,))).passed
    assert judge(limits, Trajectory(steps=(model((model(**TOLD),)),))).passed
    # An agent's total beside a call's own: which of the two is more is not known.
    mixed = Step(kind="agent", name="a", steps=(model(**TOLD), model()), cost_usd=0.002, **TOKENS)
    assert judge(limits, Trajectory(steps=(mixed,))).status == "could_not_judge"
