"""Whether the baseline that was run again stands for the one that is stored.

A wrong checkout, address or edited code makes both arms of a re-run the same version: nothing
differs then, whatever the candidate does. It shows in the baseline's own trials, of which the
fresh ones contradict the stored ones. Where they do worse, the re-run clears nobody; an outage
while both arms were tried again looks the same, and could hide a drop as well. Where they do
better (the stored run had a bad day, or another version answers) a drop that fresh trials prove
is still one, and what did not drop did not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from evalkit.dealing import DRAWS
from evalkit.suspicion import Arms, Suspicion, test_of_mean

LEVEL = 0.001
"""The chance, per gate, that a baseline which is the same is said to differ, either way.

Halved for the two ways and divided by comparisons and rounds (Bonferroni). A comparison is looked
at because the stored baseline looked better, by p <= 0.5: that can make its chance twice as high.
"""

_WHOLE = 0.75  # of a route's cases, from which on its mean is tested, and not case by case
_PROMISING = 5  # of the draws, or fewer, as far out: worth more of them


class Contradiction(NamedTuple):
    """The baseline's passes or means, stored and made again, that are not of one version."""

    stored: float
    again: float
    p: float

    @property
    def is_worse(self) -> bool:
        """Whether it does worse than what is stored, so that it can hide a drop."""
        return self.again < self.stored

    @property
    def said(self) -> str:
        """What was found, and what to look at."""
        return (
            f"the baseline that was run again does not stand for the stored one: mean "
            f"{self.stored:.2f} stored, {self.again:.2f} again, p {self.p:.2g}. Check that it is "
            "the same version (checkout, address, settings, edited code); if it is, something "
            "outside changed: run it anew as the baseline, and gate against that"
        )


def contradictions(opened: Sequence[Suspicion], rounds: int) -> list[Contradiction | None]:
    """Of each comparison that was tried again: where its baseline contradicts the stored one.

    May be asked after each of so many rounds.
    """
    arms = [_of_baseline(one) for one in opened]
    level = LEVEL / 2 / rounds / max(1, sum(bool(mine) for mine in arms))
    return [
        _contradiction(mine, len(one.cases), level) if mine else None
        for one, mine in zip(opened, arms, strict=True)
    ]


def _of_baseline(one: Suspicion) -> list[Arms]:
    """Stored and fresh trials of the baseline's cases that have both."""
    pairs = zip(one.stored, one.fresh, strict=True)
    arms = [Arms(stored.baseline, fresh.baseline) for stored, fresh in pairs]
    return [case for case in arms if case.both]


def _p_either_way(part: list[Arms], level: float) -> float:
    """The smaller p of both ways; from as many draws as this level needs, if few look promising."""
    p = 1.0
    for draws in (DRAWS, max(DRAWS, math.ceil(4 / level))):
        found = test_of_mean(part, draws)
        if found is None:
            return 1.0
        p = min(found.p, found.p_rise)
        if found.exact or p > _PROMISING / DRAWS:
            break
    return p


def _contradiction(mine: list[Arms], cases: int, level: float) -> Contradiction | None:
    """By the mean of a whole route; by single cases where suspicious ones alone were tried.

    Those are the ones in which the stored baseline did well: their mean must fall back.
    """
    whole = len(mine) >= _WHOLE * cases
    parts = [mine] if whole else [[case] for case in mine]
    for part in parts:
        p = _p_either_way(part, level / len(parts))
        if p * len(parts) <= level:
            stored, again = (
                math.fsum(arm.mean for arm in side) / len(part) for side in zip(*part, strict=True)
            )
            return Contradiction(stored, again, p)
    return None
