"""What re-runs may take: known costs are counted, unknown ones end a budget in dollars."""

from __future__ import annotations

import pytest

from evalkit.budget import Budget
from evalkit.results import Trial
from evalkit.suite import Confirm
from evalkit.trajectory import Step, Trajectory


def trial(*steps: Step, status: str = "completed") -> Trial:
    return Trial(case="c", trial=0, route="r", status=status, trajectory=Trajectory(steps=steps))


def asked(cost: float | None, *below: Step, tokens: int | None = 10) -> Step:
    return Step(kind="llm", name="ask", cost_usd=cost, tokens_in=tokens, steps=below)


def test_dollars_are_counted_and_a_failed_trial_is_as_dear_as_the_dearest():
    budget = Budget(Confirm(max_usd=1.0))
    for _ in range(2):
        budget.pay(trial(asked(0.25)))
    assert budget.over == ""
    budget.pay(trial(status="timeout"))
    assert budget.over == ""
    budget.pay(trial(asked(0.25), status="crashed"))
    assert "budget of 1 US dollars is spent" in budget.over


@pytest.mark.parametrize(
    "steps",
    [
        (Step(kind="tool", name="look_up"),),
        (asked(None),),
        (asked(0.1), asked(None)),
        (Step(kind="agent", name="a", steps=(asked(None), asked(0.2))),),
    ],
)
def test_a_cost_that_is_not_known_in_whole_ends_a_budget_in_dollars(steps):
    budget, free = Budget(Confirm(max_usd=100.0)), Budget(Confirm())
    for one in (budget, free):
        one.pay(trial(*steps))
    assert "case c does not tell all that it cost" in budget.over
    assert free.over == ""


@pytest.mark.parametrize(
    "steps",
    [
        (asked(0.1), Step(kind="tool", name="look_up")),
        (Step(kind="agent", name="a", cost_usd=0.2, steps=(asked(None),)),),
        (asked(0.1), asked(None, tokens=None)),
    ],
)
def test_a_cost_that_is_known_is_paid(steps):
    budget = Budget(Confirm(max_usd=100.0))
    budget.pay(trial(*steps))
    assert budget.over == ""


def test_seconds_run_out():
    assert "seconds are over" in Budget(Confirm(max_seconds=1e-9)).over
