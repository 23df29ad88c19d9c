"""Which trials a gate's row tells of, where a comparison was tried again.

What fresh trials prove, they tell: of a drop of the mean its size, of a broken case its passes. All
else is told of the stored trials, whose number does not depend on what they show: an estimate from
fresh trials that ended once they looked good, or bad, would be too good, or too bad.
"""

from __future__ import annotations

from typing import NamedTuple

from evalkit.comparison import Paired
from evalkit.confirming import Confirmed
from evalkit.observations import Observed
from evalkit.verdicts import Judgement


class Settled(NamedTuple):
    """The decision on one comparison, the trials of its means, and those of each of its cases."""

    judgement: Judgement
    means: Paired
    cases: Paired
    confirmed: Confirmed | None

    @property
    def fresh(self) -> bool:
        """Whether the means are of fresh trials."""
        return self.confirmed is not None and self.confirmed.interval is not None


def settle(stored: Paired, judgement: Judgement, found: Confirmed | None) -> Settled:
    """Joins the judgement of the stored trials with what re-runs found; None where none were made.

    The margin of a policy looks at the interval of what is ``ok``: that of the stored trials, so
    that a drop beyond it passes in 2.5 % of gates at most.
    """
    if found is None:
        return Settled(judgement, stored, stored, None)
    improved = (found.verdict, judgement.verdict) == ("ok", "improved")
    joined = judgement._replace(
        verdict="improved" if improved else found.verdict,
        p=found.p,
        p_adjusted=found.p_adjusted,
        broken=found.cases,
        interval=found.interval or judgement.interval,
    )
    means = found.fresh if found.interval and found.fresh else stored
    return Settled(joined, means, _refreshed(stored, found.fresh), found)


def _refreshed(stored: Paired, fresh: Paired | None) -> Paired:
    """The comparison with fresh trials in place of stored ones, and cases that have these alone."""
    merged: dict[str, tuple[Observed, Observed]] = {}
    for pair in (stored, fresh) if fresh else (stored,):
        merged |= dict(
            zip(pair.cases, zip(pair.baseline, pair.candidate, strict=True), strict=True)
        )
    return Paired(tuple(merged), *(tuple(arm) for arm in zip(*merged.values(), strict=True)))
