"""What re-runs may take in time and money, and what they took so far."""

from __future__ import annotations

import time

from evalkit.results import Trial
from evalkit.suite import Confirm
from evalkit.trajectory import Trajectory


class Budget:
    """Seconds from now on, and US dollars; begun when it is made.

    ``over`` says why no further trial may be begun; empty while one may.
    """

    def __init__(self, policy: Confirm) -> None:
        self._seconds, self._dollars = policy.max_seconds, policy.max_usd
        self._began = time.monotonic()
        self._paid = self._dearest = 0.0
        self._unknown = ""

    def pay(self, trial: Trial) -> None:
        """Counts what a trial cost; a failed one that does not tell is as dear as the dearest.

        A completed one that does not tell ends a budget in dollars: nobody knows what is left.
        """
        cost = trial.trajectory.cost_usd if trial.trajectory else None
        if trial.status == "completed" and (cost is None or _unpriced(trial.trajectory)):
            self._unknown = trial.case
        self._dearest = max(self._dearest, cost or 0.0)
        self._paid += self._dearest if cost is None else cost

    @property
    def over(self) -> str:
        """Which budget is spent, or cannot be kept."""
        if self._seconds is not None and time.monotonic() - self._began >= self._seconds:
            return f"their {self._seconds:g} seconds are over"
        if self._dollars is None:
            return ""
        if self._unknown:
            return (
                f"a trial of case {self._unknown} does not tell all that it cost, so that a budget "
                "in US dollars cannot be kept: state `prices` in the suite for every model, or "
                "bound trials or seconds"
            )
        return (
            f"their budget of {self._dollars:g} US dollars is spent"
            if self._paid >= self._dollars
            else ""
        )


def _unpriced(trajectory: Trajectory | None) -> bool:
    """Whether a model's tokens are told and not their price, neither in it nor in a step above."""
    priced: set[int | None] = set()
    for visit in trajectory.walk() if trajectory else ():
        step = visit.step
        if visit.parent in priced or step.cost_usd is not None:
            priced.add(visit.number)
        elif step.kind == "llm" and not step.steps and (step.tokens_in or step.tokens_out):
            return True
    return False
