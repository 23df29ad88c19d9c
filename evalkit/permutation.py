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
from functools import cache
from typing import NamedTuple

import numpy as np

from evalkit.dealing import DRAWS, PermutationTest, as_p, dealt_anew, exact, spreads
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
    pool,
    pool_counts,
    power,
)
from evalkit.splits import lattice as null_lattice
from evalkit.splits import observed as observed_sum


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
    to ``draws`` splits are drawn, without a look at the data, so that equal data give equal p.
    Raises ValueError for arms of different lengths, empty cases and values that are not finite.
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
    So they are also tested case by case. Where each case has as many trials in both arms, by
    Wilcoxon's signed ranks of the differences of means; p is twice the smaller of both
    (Bonferroni). Else these are not symmetric if nothing changed, and no ranks of them have a known
    distribution: the sum of the differences, each cut off at the spread of the median case
    (Huber's), is tested as their mean is, by dealing trials anew, and the smaller p of both is held
    against its own distribution.
    """
    cases = pool(baseline, candidate)
    found = null_lattice(cases)
    return _from_lattice(found) if found else _of_continuous(cases, baseline, candidate, draws)


def _of_continuous(
    cases: Mapping[Case, Kind], baseline: Arm, candidate: Arm, draws: int
) -> PermutationTest:
    differences = _differences(baseline, candidate)
    if any(case.n_b != case.n_c for case in cases):
        return _from_splits_both(cases, differences, draws)
    drop, rise = signed_rank(-differences), signed_rank(differences)
    within = _from_splits(cases, draws, (drop, rise))
    return PermutationTest(
        min(1.0, 2 * min(within.p, drop)),
        min(1.0, 2 * min(within.mid_p, drop)),
        min(1.0, 2 * min(within.p_rise, rise)),
        within.exact,
        2 * within.standard_error if within.p < drop else 0.0,
    )


def _differences(baseline: Arm, candidate: Arm) -> Floats:
    """Of each case's means, candidate's minus baseline's."""
    return np.array(
        [
            math.fsum(after) / len(after) - math.fsum(before) / len(before)
            for before, after in zip(baseline, candidate, strict=True)
        ]
    )


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
    return as_p(float(_flip_tail(chances)[len(broken)])), tuple(broken)


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
    return DropTest(as_p(p), linear, sparse, broken)


def attainable_p(baseline_trials: Sequence[int], candidate_trials: Sequence[int]) -> float:
    """The smallest p this design can give: every case goes from all-pass to all-fail."""
    pairs = zip(baseline_trials, candidate_trials, strict=True)
    bits = sum(math.log2(math.comb(before + after, after)) for before, after in pairs)
    return as_p(2.0**-bits)


def _from_lattice(lattice: Lattice) -> PermutationTest:
    less, no_less = lattice.chances[: lattice.observed], lattice.chances[lattice.observed :]
    below = float(less.sum())
    return exact(below, below + float(no_less[0]), float(no_less.sum()))


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


def _from_splits(
    cases: Mapping[Case, Kind], draws: int, beside: tuple[float, float] = (1.0, 1.0)
) -> PermutationTest:
    """Every combination of splits where there are few, drawn ones otherwise."""
    return dealt_anew(cases, [math.inf], [observed_sum(cases)], draws, beside)


def _from_splits_both(
    cases: Mapping[Case, Kind], differences: Floats, draws: int
) -> PermutationTest:
    """Of the mean, and of differences cut off at the spread of the median case."""
    cuts = [math.inf, float(np.median(spreads(cases)))]
    seen = [math.fsum(np.clip(differences, -cut, cut).tolist()) for cut in cuts]
    return dealt_anew(cases, cuts, seen, draws)
