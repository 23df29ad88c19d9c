"""All ways to deal trials to two arms, listed where they are few and drawn where they are many.

For scores off any grid, of which :mod:`evalkit.splits` has no exact null distribution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from evalkit.draws import differences_dealt
from evalkit.splits import TIE, Case, Floats, Kind, sums

DRAWS = 9_999
_SCREENS = ((999, 0.1), (3_999, 0.02))  # draws, and the p above which they are enough
_MOST_LISTED = 300_000  # combinations of splits that are looked at rather than drawn
_MOST_SORTED = 20_000  # of them, where several sums are sorted
_SMALLEST = 1e-300  # no p is zero, also where it is too small for a float


class PermutationTest(NamedTuple):
    """One-sided p-values in (0, 1] of the within-case permutation test.

    ``p`` is for a drop and ``p_rise`` for a rise; both count ties in full, so they never exceed
    their level. ``mid_p`` (for a drop) counts ties by half. ``exact`` says whether all splits
    were counted; otherwise ``p`` is (b+1)/(m+1) of m drawn ones, with Monte-Carlo
    ``standard_error``.
    """

    p: float
    mid_p: float
    p_rise: float
    exact: bool
    standard_error: float


def dealt_anew(
    cases: Mapping[Case, Kind],
    cuts: Sequence[float],
    seen: Sequence[float],
    draws: int,
    beside: tuple[float, float] = (1.0, 1.0),
) -> PermutationTest:
    """The test of sums over cases of differences, cut off at so much, of which so much is seen.

    With several cuts, p is the chance that the smallest of their p-values is as small as the one
    seen (Westfall and Young's), so that to look twice costs little where both say the same.
    ``beside`` are the p of another test, for a drop and for a rise, of which the smaller counts:
    where it is below what ``draws`` can tell, few draws are enough.
    """
    every = sorted(
        (case for case, kind in cases.items() for _ in range(kind.cases)),
        key=lambda case: (case.design, case.scores),
    )
    if _combinations(every) <= (_MOST_LISTED if len(cuts) == 1 else _MOST_SORTED):
        return _enumerate(every, cuts, seen)
    # A p that is not small is good enough from few draws. A smaller one is drawn afresh, from
    # more, which keeps P(p <= x) <= x for every x.
    for fewer, enough in _SCREENS:
        if fewer >= draws:
            break
        found = _draw(every, cuts, seen, fewer)
        told = zip((found.p, found.p_rise), beside, strict=True)
        if all(p > enough or other * 2 * (draws + 1) < 1 for p, other in told):
            return found
    return _draw(every, cuts, seen, draws)


def spreads(cases: Mapping[Case, Kind]) -> Floats:
    """Of each case that varies, the standard deviation of its difference over all ways to deal."""
    varying = sorted((case for case in cases if case.varies), key=lambda case: case.design)
    found = [np.zeros(0)]
    for _, alike in groupby(varying, key=lambda case: case.design):
        group = list(alike)
        apart = np.array([case.scores for case in group]).std(axis=1, ddof=1)
        times = [cases[case].cases for case in group]
        found.append(np.repeat(apart * math.sqrt(group[0].weight), times))
    return np.concatenate(found)


def _combinations(cases: Sequence[Case]) -> int:
    """How many combinations of splits there are, as far as they are few."""
    found = 1
    for case in cases:
        if not case.listable or found > _MOST_LISTED:
            return _MOST_LISTED + 1
        found *= len(sums(case)[0])
    return found


def _enumerate(
    cases: Sequence[Case], cuts: Sequence[float], seen: Sequence[float]
) -> PermutationTest:
    totals, chances = np.zeros((len(cuts), 1)), np.ones(1)
    for case in cases:
        own, own_chances = sums(case)
        apart = case.differences(own)
        cut = np.array([np.clip(apart, -most, most) for most in cuts])
        totals = (totals[:, :, None] + cut[:, None, :]).reshape(len(cuts), -1)
        chances = np.multiply.outer(chances, own_chances).ravel()
    return exact(*_tail(totals, chances, seen), _tail(-totals, chances, [-one for one in seen])[1])


def _tail(totals: Floats, chances: Floats, seen: Sequence[float]) -> tuple[float, float]:
    """The chances of less than what is seen, and of no more; of several, by their least p."""
    if len(totals) == 1:
        less, no_more = totals[0] < seen[0] - TIE, totals[0] <= seen[0] + TIE
        return float(chances[less].sum()), float(chances[no_more].sum())
    least, here = np.ones(len(chances)), 1.0
    for row, one in zip(totals, seen, strict=True):
        order = np.argsort(row)
        p = np.append(0.0, np.cumsum(chances[order]))
        ordered = row[order] - TIE  # what is less by no more than that is no less
        least = np.minimum(least, p[np.searchsorted(ordered, row, side="right")])
        here = min(here, float(p[np.searchsorted(ordered, one, side="right")]))
    less, no_more = least < here * (1 - TIE), least <= here * (1 + TIE)
    return float(chances[less].sum()), float(chances[no_more].sum())


def exact(less: float, no_more: float, no_less: float) -> PermutationTest:
    """The test of which all splits were counted, from the chances beside what is seen."""
    return PermutationTest(as_p(no_more), as_p((less + no_more) / 2), as_p(no_less), True, 0.0)


def as_p(p: float) -> float:
    """A p in (0, 1]."""
    return min(1.0, max(_SMALLEST, p))


def _draw(
    cases: Sequence[Case], cuts: Sequence[float], seen: Sequence[float], draws: int
) -> PermutationTest:
    """From so many draws of a split for each of the cases, which are in order of design."""
    totals = np.zeros((len(cuts), draws + 1))
    for design, alike in groupby(cases, key=lambda case: case.design):
        scores = np.array([case.scores for case in alike])
        totals[:, :draws] += differences_dealt(design, scores, cuts, draws)
    totals[:, draws] = seen  # one of the draws, if nothing changed
    each = np.full(draws + 1, 1 / (draws + 1))
    less, p = _tail(totals, each, seen)
    rise = _tail(-totals, each, [-one for one in seen])[1]
    error = math.sqrt(p * max(0.0, 1 - p) / (draws + 1))
    return PermutationTest(as_p(p), as_p((less + p) / 2), as_p(rise), False, error)
