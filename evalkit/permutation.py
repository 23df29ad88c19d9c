"""Did it get worse? Tests that hold their level exactly, because they shuffle what was seen.

If nothing changed, the trials of one case are exchangeable between baseline and candidate: which
arm a trial belongs to says nothing. So the null distribution is known without any assumption on
the pipeline, the cases or the scores: deal each case's pooled trials to the two arms anew, in all
possible ways. Cases are never mixed, so hard and easy ones cost no power.

Two statistics are looked at. The *linear* one, the mean over cases of (candidate's mean minus
baseline's), sees drops that are spread out. The *sparse* one, the number of cases that passed in
all baseline trials and fail in all candidate trials, sees a few broken cases among flaky ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.ranks import signed_rank
from evalkit.splits import (
    MOST_WORK,
    TIE,
    Arm,
    Case,
    Counts,
    Floats,
    Kind,
    Lattice,
    listed_ways,
    pool,
    pool_counts,
    power,
    sums,
    sums_of_ways,
)
from evalkit.splits import lattice as null_lattice
from evalkit.splits import observed as observed_sum

DRAWS = 9_999
_SCREENS = ((999, 0.1), (3_999, 0.02))  # draws, and the p above which they are enough
_AT_ONCE = 256  # cases whose splits are listed together
_BLOCK = 16  # cases whose splits are drawn together: what is taken of their sums stays in the cache
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


class DropTest(NamedTuple):
    """The gate's test: ``p`` joins the linear part and the sparse part at one level.

    ``broken`` are the positions of cases that passed in every baseline trial and in no candidate
    trial; ``sparse`` is the chance of at least that many if nothing changed.
    """

    p: float
    linear: PermutationTest
    sparse: float
    broken: tuple[int, ...]


def permutation_drop(baseline: Arm, candidate: Arm, *, draws: int = DRAWS) -> PermutationTest:
    """Whether the mean over cases dropped, with trials exchangeable within a case under H0.

    ``baseline[i]`` and ``candidate[i]`` are the scores of case i, in any number but zero. The
    test is exact where scores lie on a small grid (as 0/1 do) or few splits exist; otherwise up
    to ``draws`` splits are drawn, seeded by the data, so that equal data give equal p. Raises
    ValueError for arms of different lengths, empty cases and values that are not finite.
    """
    cases = pool(baseline, candidate)
    found = null_lattice(cases)
    return _from_lattice(found) if found else _from_splits(cases, draws)


def passes_drop(
    passed_before: Counts, before: Counts, passed_after: Counts, after: Counts
) -> PermutationTest:
    """:func:`permutation_drop` of scores of 0 and 1, given as each case's passes and trials."""
    cases = pool_counts(passed_before, before, passed_after, after)
    found = null_lattice(cases)
    return _from_lattice(found) if found else _from_splits(cases, DRAWS)


def mean_drop(baseline: Arm, candidate: Arm, *, draws: int = DRAWS) -> PermutationTest:
    """The gate's linear part: :func:`permutation_drop`, with a second look at continuous scores.

    Scores off any small grid may have heavy tails, where one outlier hides a drop from every mean.
    So they are also tested case by case, and p is twice the smaller of both (Bonferroni). Where
    each case has as many trials in both arms, by Wilcoxon's signed ranks of the differences of
    means. Else these are not symmetric if nothing changed, and no ranks of them have a known
    distribution: the sum of the differences, each cut off at the spread of the median case
    (Huber's), is tested as their mean is, by dealing trials anew.
    """
    cases = pool(baseline, candidate)
    found = null_lattice(cases)
    return _from_lattice(found) if found else _of_continuous(cases, baseline, candidate, draws)


def _of_continuous(
    cases: Mapping[Case, Kind], baseline: Arm, candidate: Arm, draws: int
) -> PermutationTest:
    differences = _differences(baseline, candidate)
    if all(case.n_b == case.n_c for case in cases):
        within = _from_splits(cases, draws)
        by_case = _rank_test(differences)
    else:
        within, by_case = _from_splits_both(cases, differences, draws)
    return PermutationTest(
        min(1.0, 2 * min(within.p, by_case.p)),
        min(1.0, 2 * min(within.mid_p, by_case.mid_p)),
        min(1.0, 2 * min(within.p_rise, by_case.p_rise)),
        within.exact,
        2 * (within if within.p < by_case.p else by_case).standard_error,
    )


def _differences(baseline: Arm, candidate: Arm) -> Floats:
    """Of each case's means, candidate's minus baseline's."""
    return np.array(
        [
            math.fsum(after) / len(after) - math.fsum(before) / len(before)
            for before, after in zip(baseline, candidate, strict=True)
        ]
    )


def _rank_test(differences: Floats) -> PermutationTest:
    drop = signed_rank(-differences)
    return PermutationTest(drop, drop, signed_rank(differences), True, 0.0)


@cache
def fewer_passes(passed_before: int, before: int, passed_after: int, after: int) -> float:
    """The exact one-sided p that a case passes less often: the hypergeometric tail, (0, 1]."""
    passes, trials = passed_before + passed_after, before + after
    least = max(0, passes - before)
    ways = sum(
        math.comb(passes, k) * math.comb(trials - passes, after - k)
        for k in range(least, passed_after + 1)
    )
    return ways / math.comb(trials, after)


def broken_cases(baseline_passed: Arm, candidate_passed: Arm) -> tuple[float, tuple[int, ...]]:
    """The cases that all baseline trials pass and all candidate trials fail, and their p.

    Given how often each case passed over both arms, a case with as many passes as baseline
    trials flips by chance with 1/C(n_b+n_c, n_c), any other one never: p is the upper tail of
    that Poisson-binomial distribution.
    """
    broken, chances = [], []
    for index, (before, after) in enumerate(zip(baseline_passed, candidate_passed, strict=True)):
        if sum(before) + sum(after) == len(before):
            chances.append(1 / math.comb(len(before) + len(after), len(after)))
            if all(before) and not any(after):
                broken.append(index)
    return _chance(float(_flip_tail(chances)[len(broken)])), tuple(broken)


def drop_test(
    baseline: Arm,
    candidate: Arm,
    baseline_passed: Arm,
    candidate_passed: Arm,
    *,
    draws: int = DRAWS,
) -> DropTest:
    """Whether the candidate is worse, in the mean or in single cases, as one p in (0, 1].

    The two parts are joined by the smaller of their p-values, m, judged against its own null
    distribution: p = P(linear part <= m or sparse part <= m), from the joint distribution of
    drop and flips. It is never above Bonferroni's 2m and close to m where both parts say the
    same, as when nothing but the broken cases moved. Where the joint distribution is out of
    reach (scores off any small grid) or m is above 0.25 and cannot matter, p is 2m; it is m
    where no case can flip, and with one trial a case, where both are McNemar's test.
    """
    sparse, broken = broken_cases(baseline_passed, candidate_passed)
    cases = pool(baseline, candidate, baseline_passed, candidate_passed)
    found = null_lattice(cases)
    linear = _from_lattice(found) if found else _of_continuous(cases, baseline, candidate, draws)
    smaller = min(linear.p, sparse)
    # One trial in each arm, passed or failed: both parts are McNemar's test, and are one.
    same = len(cases) == 1 and next(iter(cases)).design == (1, 1)
    parts = 2 if not same and any(case.flip is not None for case in cases) else 1
    p = _joint(found, smaller) if found and smaller <= 0.25 else None
    p = parts * smaller if p is None else max(p, smaller)
    return DropTest(_chance(p), linear, sparse, broken)


def attainable_p(baseline_trials: Sequence[int], candidate_trials: Sequence[int]) -> float:
    """The smallest p this design can give: every case goes from all-pass to all-fail."""
    pairs = zip(baseline_trials, candidate_trials, strict=True)
    bits = sum(math.log2(math.comb(before + after, after)) for before, after in pairs)
    return _chance(2.0**-bits)


def _from_lattice(lattice: Lattice) -> PermutationTest:
    here = float(lattice.chances[lattice.observed])
    below = float(lattice.chances[: lattice.observed].sum())
    above = float(lattice.chances[lattice.observed + 1 :].sum())
    return _exact(below, here, above)


def _flip_tail(chances: Sequence[float]) -> Floats:
    """P(at least s flips) for s = 0, 1, ..., one beyond the number of cases that can flip."""
    counts = np.ones(1)
    for chance, times in Counter(chances).items():
        counts = np.convolve(counts, power(np.array([1 - chance, chance]), times))
    tail: Floats = np.append(np.cumsum(counts[::-1])[::-1], 0.0)
    tail[0] = 1.0
    return tail


def _joint(lattice: Lattice, smaller: float) -> float | None:
    """P(linear p <= ``smaller`` or sparse p <= ``smaller``); None where it would cost too much."""
    level = smaller * (1 + TIE)
    reach = int(np.searchsorted(np.cumsum(lattice.chances), level, side="right"))
    tail = _flip_tail([chance for _, _, chance in lattice.flippable])
    flips = int(np.flatnonzero(tail <= level)[0])
    if flips > len(lattice.flippable):
        return float(lattice.chances[:reach].sum())
    if flips * reach * sum(np.count_nonzero(own) for own, _, _ in lattice.flippable) > MOST_WORK:
        return None
    # rows: 0, 1, ... flips so far, fewer than would make the sparse part fire
    fewer = np.zeros((flips, reach))
    fewer[0, : len(lattice.plain)] = lattice.plain[:reach]
    for own, flip, chance in lattice.flippable:
        step = np.zeros_like(fewer)
        for at in np.flatnonzero(own).tolist():
            kept = own[at] - (chance if at == flip else 0.0)
            step[:, at:] += kept * fewer[:, : max(0, reach - at)]
        step[1:, flip:] += chance * fewer[:-1, : max(0, reach - flip)]
        fewer = step
    return float(tail[flips] + max(0.0, fewer.sum()))


def _from_splits(cases: Mapping[Case, Kind], draws: int) -> PermutationTest:
    """Every combination of splits where there are few, drawn ones otherwise."""
    return _dealt_anew(cases, [math.inf], [observed_sum(cases)], draws)[0]


def _from_splits_both(
    cases: Mapping[Case, Kind], differences: Floats, draws: int
) -> list[PermutationTest]:
    """The test of the mean, and that of differences cut off at the spread of the median case."""
    spreads = [
        case.spread for case, kind in cases.items() if case.varies for _ in range(kind.cases)
    ]
    cuts = [math.inf, float(np.median(spreads))]
    seen = [math.fsum(np.clip(differences, -cut, cut).tolist()) for cut in cuts]
    return _dealt_anew(cases, cuts, seen, draws)


def _dealt_anew(
    cases: Mapping[Case, Kind], cuts: Sequence[float], seen: Sequence[float], draws: int
) -> list[PermutationTest]:
    """For each cut, the test of the sum of differences that are cut off there, and what is seen."""
    every = sorted(
        (case for case, kind in cases.items() for _ in range(kind.cases)),
        key=lambda case: (case.design, case.scores),
    )
    if _combinations(every) <= MOST_WORK // 100:
        return [_enumerate(every, *test) for test in zip(cuts, seen, strict=True)]
    # A p that is not small is good enough from few draws. A smaller one is drawn afresh, from
    # more, which keeps P(p <= x) <= x for every x.
    for fewer, enough in _SCREENS:
        if fewer >= draws:
            break
        found = _draw(every, cuts, seen, fewer)
        if min(min(one.p, one.p_rise) for one in found) > enough:
            return found
    return _draw(every, cuts, seen, draws)


def _combinations(cases: Sequence[Case]) -> int:
    """How many combinations of splits there are, as far as they are few."""
    found = 1
    for case in cases:
        if not case.listable or found > MOST_WORK:
            return MOST_WORK
        found *= len(sums(case)[0])
    return found


def _enumerate(cases: Sequence[Case], cut: float, observed: float) -> PermutationTest:
    totals, chances = np.zeros(1), np.ones(1)
    for case in cases:
        own, own_chances = sums(case)
        totals = np.add.outer(totals, np.clip(case.differences(own), -cut, cut)).ravel()
        chances = np.multiply.outer(chances, own_chances).ravel()
    tied = float(chances[np.abs(totals - observed) <= TIE].sum())
    below = float(chances[totals < observed - TIE].sum())
    above = float(chances[totals > observed + TIE].sum())
    return _exact(below, tied, above)


def _exact(below: float, tied: float, above: float) -> PermutationTest:
    return PermutationTest(
        _chance(below + tied), _chance(below + tied / 2), _chance(above + tied), True, 0.0
    )


def _chance(p: float) -> float:
    return min(1.0, max(_SMALLEST, p))


def _draw(
    cases: Sequence[Case], cuts: Sequence[float], seen: Sequence[float], draws: int
) -> list[PermutationTest]:
    """From so many draws of a split for each of the cases, which are in order of design."""
    totals = np.zeros((len(cuts), draws))
    for design, alike in groupby(cases, key=lambda case: case.design):
        deal = _deal_listed if listed_ways(design) else _deal_shuffled
        totals += deal(list(alike), cuts, draws)
    return [_of_drawn(*one) for one in zip(totals, seen, strict=True)]


def _of_drawn(totals: Floats, observed: float) -> PermutationTest:
    draws = len(totals)
    tied = int((np.abs(totals - observed) <= TIE).sum())
    below = int((totals < observed - TIE).sum())
    above = draws - tied - below
    p = (below + tied + 1) / (draws + 1)
    return PermutationTest(
        p,
        (below + tied / 2 + 1) / (draws + 1),
        (above + tied + 1) / (draws + 1),
        False,
        math.sqrt(p * (1 - p) / (draws + 1)),
    )


def _deal_listed(cases: Sequence[Case], cuts: Sequence[float], draws: int) -> Floats:
    """For each cut the sum of differences in each draw, of cases of one design, out of all ways."""
    design, totals = cases[0].design, np.zeros((len(cuts), draws))
    for start in range(0, len(cases), _AT_ONCE):
        some = cases[start : start + _AT_ONCE]
        own = sums_of_ways(design, [case.scores for case in some]) * some[0].weight
        own -= own.mean(axis=1, keepdims=True)  # over all ways nothing changes
        for at in range(0, len(some), _BLOCK):
            block = own[at : at + _BLOCK]
            dealt = _ways_dealt((start + at) // _BLOCK, design, draws)
            places = dealt[: len(block)].astype(np.intp)
            for row, cut in enumerate(cuts):
                table = block if math.isinf(cut) else np.clip(block, -cut, cut)
                totals[row] += table.ravel().take(places).sum(axis=0)
    return totals


@lru_cache(maxsize=128)
def _ways_dealt(block: int, design: tuple[int, int], draws: int) -> NDArray[np.uint32]:
    """The ways to deal that were drawn for a block of cases, the same in every test.

    As places in a table with a row for each case. A test is valid with any draws that do not look
    at its data; routes and scorers share them, since Holm's correction holds however their
    p-values depend on each other.
    """
    ways = math.comb(sum(design), design[1])
    dealt = _drawn(block, design, draws).integers(ways, size=(_BLOCK, draws), dtype=np.uint32)
    return dealt + np.arange(0, _BLOCK * ways, ways, dtype=np.uint32)[:, None]


def _deal_shuffled(cases: Sequence[Case], cuts: Sequence[float], draws: int) -> Floats:
    """The same where the ways to deal are too many to list."""
    totals = np.zeros((len(cuts), draws))
    for number, case in enumerate(cases):
        dealt = case.differences(_sums_dealt(number, case, draws))
        for row, cut in enumerate(cuts):
            totals[row] += np.clip(dealt, -cut, cut)
    return totals


def _sums_dealt(number: int, case: Case, draws: int) -> Floats:
    """Drawn sums of the candidate's scores, where the ways to deal are too many to list."""
    rng = _drawn(number, case.design, draws)
    found: Floats
    highs = case.highest
    if highs is not None:
        low, high = case.scores[0], case.scores[-1]
        taken = rng.hypergeometric(highs, sum(case.design) - highs, case.n_c, draws)
        found = taken * high + (case.n_c - taken) * low
    else:
        shuffled = rng.permuted(np.tile(case.scores, (draws, 1)), axis=1)
        found = shuffled[:, : case.n_c].sum(axis=1)
    return found


def _drawn(number: int, design: tuple[int, int], draws: int) -> np.random.Generator:
    return np.random.default_rng([number, *design, draws])
