"""What makes a comparison suspicious, and how long it stays so.

A suspicion is never a verdict: it only says where further trials are worth their price. It may
look at stored and fresh trials together, since letting go can only take alarms away.

- A *route* is suspicious at p <= 0.5 of the within-case permutation test of its mean.
- A *case* is suspicious if it always passed and no longer does, or if its own exact p
  (hypergeometric) is at most 0.25.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.comparison import Paired
from evalkit.observations import Observed
from evalkit.permutation import fewer_passes, mean_drop

KEEP_ROUTE = (0.5, 0.36, 0.20, 0.10, 0.045, 0.025)
"""A route goes on to each round while its p is at most this.

Chosen for power at a price that does not depend on the cases, since p is uniform in every route
that did not change: about the likelihood ratio of a sequential test that stops for lack of a drop.
"""

KEEP_CASE = (0.25, 0.25, 0.25, 0.12, 0.03, 0.01)
"""A case goes on to each round while its p is at most this; the first is that of the screen."""


class Arms(NamedTuple):
    """The trials of one case in both arms: what is stored, or what was made again."""

    baseline: Observed
    candidate: Observed

    def with_more(self, other: Arms) -> Arms:
        """These trials and the others'."""
        return Arms(
            *(
                Observed(mine.values + more.values, mine.passed + more.passed)
                for mine, more in zip(self, other, strict=True)
            )
        )

    @property
    def both(self) -> bool:
        """Whether either arm has trials."""
        return bool(self.baseline.values and self.candidate.values)

    @property
    def p(self) -> float:
        """The exact p that the case passes less often."""
        was, now = self.baseline.passed, self.candidate.passed
        return fewer_passes(int(sum(was)), len(was), int(sum(now)), len(now))

    @property
    def looks_broken(self) -> bool:
        """Whether it always passed and no longer does, or passes less often beyond most chance."""
        if all(self.baseline.passed):
            return not all(self.candidate.passed)
        return self.p <= KEEP_CASE[0]


NONE = Arms(Observed((), ()), Observed((), ()))


def arms_of(paired: Paired) -> list[Arms]:
    """The stored trials, case by case."""
    return [Arms(*both) for both in zip(paired.baseline, paired.candidate, strict=True)]


def p_of_mean(cases: Sequence[Arms]) -> float:
    """The p that the mean over those cases with trials in both arms dropped; 1 without any."""
    known = [case for case in cases if case.both]
    if not known:
        return 1.0
    return mean_drop(
        [case.baseline.values for case in known], [case.candidate.values for case in known]
    ).p
