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

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Arm = Sequence[Sequence[float]]
Floats = NDArray[np.float64]

DRAWS = 9_999
_SCREENING_DRAWS = 999
_MOST_SPLITS = 5_000  # of one case, that are listed rather than drawn
_MOST_WORK = 30_000_000  # multiplications that an exact null distribution may cost
_LARGEST_DENOMINATOR = 1_000
_SMALLEST = 1e-300  # no p is zero, also where it is too small for a float
# Two sums that differ by less are the same sum, added up in another order.
_TIE = 1e-9


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


class _Case(NamedTuple):
    """What the null distribution of a case depends on: arm sizes and pooled, sorted values.

    ``flip`` is the candidate's sum if all passing trials fell to the baseline and all failing
    ones to the candidate; None where the counts do not allow it.
    """

    n_b: int
    n_c: int
    pooled: tuple[float, ...]
    flip: float | None = None

    @property
    def constant(self) -> bool:
        return self.pooled[0] == self.pooled[-1] and self.flip is None

    @property
    def weight(self) -> float:
        """What one unit of the candidate's sum adds to the difference of means."""
        return (self.n_b + self.n_c) / (self.n_b * self.n_c)


class _Lattice(NamedTuple):
    """An exact null distribution: the chance of each step above the smallest possible drop.

    ``plain`` is the distribution over the cases that cannot flip; ``flippable`` lists, for each
    other case, its own distribution and the step at which it flips.
    """

    chances: Floats
    observed: int
    plain: Floats
    flippable: list[tuple[Floats, int, float]]


def permutation_drop(baseline: Arm, candidate: Arm, *, draws: int = DRAWS) -> PermutationTest:
    """Whether the mean over cases dropped, with trials exchangeable within a case under H0.

    ``baseline[i]`` and ``candidate[i]`` are the scores of case i, in any number but zero. The
    test is exact where scores lie on a small grid (as 0/1 do) or few splits exist; otherwise up
    to ``draws`` splits are drawn, seeded by the data, so that equal data give equal p. Raises
    ValueError for arms of different lengths, empty cases and values that are not finite.
    """
    cases, observed = _pool(baseline, candidate)
    lattice = _lattice(cases, observed)
    return _from_lattice(lattice) if lattice else _from_splits(cases, observed, draws)


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
    reach (scores off any small grid) or m is above 0.25 and cannot matter, p is 2m.
    """
    sparse, broken = broken_cases(baseline_passed, candidate_passed)
    cases, observed = _pool(baseline, candidate, baseline_passed, candidate_passed)
    lattice = _lattice(cases, observed)
    linear = _from_lattice(lattice) if lattice else _from_splits(cases, observed, draws)
    smaller = min(linear.p, sparse)
    p = _joint(lattice, smaller) if lattice and smaller <= 0.25 else None
    return DropTest(_chance(2 * smaller if p is None else max(p, smaller)), linear, sparse, broken)


def attainable_p(baseline_trials: Sequence[int], candidate_trials: Sequence[int]) -> float:
    """The smallest p this design can give: every case goes from all-pass to all-fail."""
    pairs = zip(baseline_trials, candidate_trials, strict=True)
    bits = sum(math.log2(math.comb(before + after, after)) for before, after in pairs)
    return _chance(2.0**-bits)


def _pool(
    baseline: Arm,
    candidate: Arm,
    baseline_passed: Arm | None = None,
    candidate_passed: Arm | None = None,
) -> tuple[Counter[_Case], float]:
    """The cases that can vary, counted by kind, and the observed sum of weighted scores."""
    if len(baseline) != len(candidate):
        raise ValueError(f"{len(baseline)} baseline cases but {len(candidate)} candidate cases")
    cases: Counter[_Case] = Counter()
    observed: list[float] = []
    for index, (before, after) in enumerate(zip(baseline, candidate, strict=True)):
        if not before or not after:
            raise ValueError(f"case {index} has no trials in one arm")
        pooled = tuple(sorted((*before, *after)))
        if not math.isfinite(sum(pooled)):
            raise ValueError(f"case {index} has a score that is not finite")
        flip = None
        if baseline_passed is not None and candidate_passed is not None:
            flip = _flip_sum(before, after, baseline_passed[index], candidate_passed[index])
        case = _Case(len(before), len(after), pooled, flip)
        if not case.constant:
            cases[case] += 1
            observed.append(case.weight * math.fsum(after))
    return cases, math.fsum(observed)


def _flip_sum(
    before: Sequence[float],
    after: Sequence[float],
    before_passed: Sequence[float],
    after_passed: Sequence[float],
) -> float | None:
    """The sum of the failing trials' scores, where there are as many as candidate trials."""
    if sum(before_passed) + sum(after_passed) != len(before):
        return None
    failing = [score for score, ok in zip(before, before_passed, strict=True) if not ok]
    failing += [score for score, ok in zip(after, after_passed, strict=True) if not ok]
    return math.fsum(sorted(failing))


@cache
def _splits(trials: int, drawn: int) -> NDArray[np.intp]:
    """All ways to deal ``drawn`` of ``trials`` to the candidate, one a row."""
    return np.array(list(combinations(range(trials), drawn)), dtype=np.intp)


def _sums(case: _Case) -> tuple[Floats, Floats] | None:
    """The sums that the candidate arm can have and their chances; None if too many to list."""
    trials, values = case.n_b + case.n_c, case.pooled
    low, high = values[0], values[-1]
    highs = values.count(high)
    if highs + values.count(low) == trials or low == high:
        most, least = min(highs, case.n_c), max(0, case.n_c - (trials - highs))
        taken = np.arange(least, most + 1)
        ways = [
            math.comb(highs, k) * math.comb(trials - highs, case.n_c - k) for k in taken.tolist()
        ]
        total = math.comb(trials, case.n_c)
        return taken * high + (case.n_c - taken) * low, np.array([way / total for way in ways])
    if math.comb(trials, case.n_c) > _MOST_SPLITS:
        return None
    sums = np.array(values)[_splits(trials, case.n_c)].sum(axis=1)
    return sums, np.full(len(sums), 1 / len(sums))


def _denominator(cases: Counter[_Case]) -> int | None:
    """The smallest whole number that makes every score whole; None if there is no small one."""
    values = np.array(sorted({value for case in cases for value in case.pooled}))
    if len(values) > 2 * _LARGEST_DENOMINATOR:
        return None
    found = 1
    for value in values.tolist():
        if abs(value * found - round(value * found)) <= _TIE * found:
            continue
        multiples = value * found * np.arange(1, _LARGEST_DENOMINATOR // found + 1)
        whole = np.flatnonzero(np.abs(multiples - np.round(multiples)) <= _TIE * found)
        if not len(whole):
            return None
        found *= int(whole[0]) + 1
    return found


def _lattice(cases: Counter[_Case], observed: float) -> _Lattice | None:
    """The exact null distribution by convolution; None where it would cost too much."""
    denominator = _denominator(cases)
    if denominator is None:
        return None
    common = math.lcm(*(case.n_b * case.n_c for case in cases))
    kinds: list[tuple[_Case, int, NDArray[np.int64], Floats, int]] = []
    for case, count in cases.items():
        listed = _sums(case)
        if listed is None:
            return None
        scale = (case.n_b + case.n_c) * (common // (case.n_b * case.n_c))
        steps = np.round(listed[0] * denominator).astype(np.int64) * scale
        kinds.append((case, count, steps - steps.min(), listed[1], int(steps.min())))
    unit = math.gcd(*(int(step) for _, _, steps, _, _ in kinds for step in np.unique(steps))) or 1
    longest = sum(count * int(steps.max()) for _, count, steps, _, _ in kinds) // unit + 1
    if longest * sum(count * len(np.unique(s)) for _, count, s, _, _ in kinds) > _MOST_WORK:
        return None
    plain, whole = np.ones(1), np.ones(1)
    flippable: list[tuple[Floats, int, float]] = []
    lowest = 0
    for case, count, steps, chances, least in kinds:
        lowest += count * least
        own: Floats = np.bincount(steps // unit, weights=chances).astype(float)
        power = _power(own, count)
        whole = np.convolve(whole, power)
        if case.flip is None:
            plain = np.convolve(plain, power)
            continue
        scale = (case.n_b + case.n_c) * (common // (case.n_b * case.n_c))
        flip = (round(case.flip * denominator) * scale - least) // unit
        flippable += [(own, flip, 1 / math.comb(case.n_b + case.n_c, case.n_c))] * count
    here = (round(observed * denominator * common) - lowest) // unit
    return _Lattice(whole, here, plain, flippable)


def _power(chances: Floats, count: int) -> Floats:
    """The distribution of the sum of ``count`` independent draws, by repeated squaring."""
    result = np.ones(1)
    while count:
        if count & 1:
            result = np.convolve(result, chances)
        count >>= 1
        if count:
            chances = np.convolve(chances, chances)
    return result


def _from_lattice(lattice: _Lattice) -> PermutationTest:
    here = float(lattice.chances[lattice.observed])
    below = float(lattice.chances[: lattice.observed].sum())
    above = float(lattice.chances[lattice.observed + 1 :].sum())
    return _exact(below, here, above)


def _flip_tail(chances: Sequence[float]) -> Floats:
    """P(at least s flips) for s = 0, 1, ..., one beyond the number of cases that can flip."""
    counts = np.ones(1)
    for chance, times in Counter(chances).items():
        counts = np.convolve(counts, _power(np.array([1 - chance, chance]), times))
    tail: Floats = np.append(np.cumsum(counts[::-1])[::-1], 0.0)
    tail[0] = 1.0
    return tail


def _joint(lattice: _Lattice, smaller: float) -> float | None:
    """P(linear p <= ``smaller`` or sparse p <= ``smaller``); None where it would cost too much."""
    level = smaller * (1 + _TIE)
    reach = int(np.searchsorted(np.cumsum(lattice.chances), level, side="right"))
    tail = _flip_tail([chance for _, _, chance in lattice.flippable])
    flips = int(np.flatnonzero(tail <= level)[0])
    if flips > len(lattice.flippable):
        return float(lattice.chances[:reach].sum())
    if flips * reach * sum(np.count_nonzero(own) for own, _, _ in lattice.flippable) > _MOST_WORK:
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


def _from_splits(cases: Counter[_Case], observed: float, draws: int) -> PermutationTest:
    """Every combination of splits where there are few, drawn ones otherwise."""
    listed = [(case, _sums(case)) for case in sorted(cases.elements(), key=repr)]
    if math.prod(len(sums[0]) if sums else _MOST_WORK for _, sums in listed) <= _MOST_WORK // 100:
        return _enumerate([(case, sums) for case, sums in listed if sums], observed)
    seed = hashlib.sha256(repr([case for case, _ in listed]).encode()).digest()
    rng = np.random.default_rng(int.from_bytes(seed[:8], "big"))
    # A p above a tenth is good enough from few draws; a smaller one is drawn afresh, from many,
    # which keeps P(p <= x) <= x for every x.
    found = _draw(listed, observed, min(draws, _SCREENING_DRAWS), rng)
    if min(found.p, found.p_rise) <= 0.1 and draws > _SCREENING_DRAWS:
        found = _draw(listed, observed, draws, rng)
    return found


def _enumerate(
    listed: list[tuple[_Case, tuple[Floats, Floats]]], observed: float
) -> PermutationTest:
    sums, chances = np.zeros(1), np.ones(1)
    for case, (own, own_chances) in listed:
        sums = np.add.outer(sums, own * case.weight).ravel()
        chances = np.multiply.outer(chances, own_chances).ravel()
    tied = float(chances[np.abs(sums - observed) <= _TIE].sum())
    below = float(chances[sums < observed - _TIE].sum())
    above = float(chances[sums > observed + _TIE].sum())
    return _exact(below, tied, above)


def _exact(below: float, tied: float, above: float) -> PermutationTest:
    return PermutationTest(
        _chance(below + tied), _chance(below + tied / 2), _chance(above + tied), True, 0.0
    )


def _chance(p: float) -> float:
    return min(1.0, max(_SMALLEST, p))


def _draw(
    listed: list[tuple[_Case, tuple[Floats, Floats] | None]],
    observed: float,
    draws: int,
    rng: Any,
) -> PermutationTest:
    sums = np.zeros(draws)
    for case, known in listed:
        if known is None:
            dealt = rng.permuted(np.tile(case.pooled, (draws, 1)), axis=1)[:, : case.n_c]
            sums += dealt.sum(axis=1) * case.weight
        elif known[1].min() == known[1].max():
            sums += known[0][rng.integers(len(known[0]), size=draws)] * case.weight
        else:
            at = np.searchsorted(np.cumsum(known[1])[:-1], rng.random(draws), side="right")
            sums += known[0][at] * case.weight
    tied = int((np.abs(sums - observed) <= _TIE).sum())
    below = int((sums < observed - _TIE).sum())
    above = draws - tied - below
    p = (below + tied + 1) / (draws + 1)
    return PermutationTest(
        p,
        (below + tied / 2 + 1) / (draws + 1),
        (above + tied + 1) / (draws + 1),
        False,
        math.sqrt(p * (1 - p) / (draws + 1)),
    )
