"""The null distribution of a within-case permutation: all ways to deal trials to two arms.

If nothing changed, which arm a trial belongs to says nothing. Given a case's pooled scores, the
sum that falls to the candidate then has a known distribution; cases are independent, so that of
the weighted sum over cases is a convolution, exact where scores lie on a grid.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Arm = Sequence[Sequence[float]]
Floats = NDArray[np.float64]
Counts = NDArray[np.intp]

TIE = 1e-9
"""Two sums that differ by less are the same sum, added up in another order."""

MOST_WORK = 30_000_000
"""Multiplications that an exact null distribution may cost."""

_MOST_SPLITS = 5_000  # of one case, that are listed rather than drawn
_LARGEST_DENOMINATOR = 1_000
_EXACT_WEIGHT = 64  # the largest weight of a case that is not rounded, in whole numbers
_ROUNDED_WEIGHTS = (24, 6)  # what the smallest one is rounded to: finer, and if that costs too much


class Case(NamedTuple):
    """What the null distribution of a case depends on: arm sizes and pooled scores, ascending.

    ``flip`` is the candidate's sum if all passing trials fell to the baseline and all failing ones
    to the candidate; None where the counts do not allow it.
    """

    n_b: int
    n_c: int
    scores: tuple[float, ...]
    flip: float | None = None

    @property
    def varies(self) -> bool:
        """Whether there are different sums."""
        return self.scores[0] != self.scores[-1]

    @property
    def weight(self) -> float:
        """What one unit of the candidate's sum adds to the difference of means."""
        return (self.n_b + self.n_c) / (self.n_b * self.n_c)

    @property
    def centre(self) -> float:
        """What the weighted sum of the candidate has above the difference of means."""
        return math.fsum(self.scores) / self.n_b

    def differences(self, own: Floats) -> Floats:
        """The differences of means that such sums of the candidate make."""
        return own * self.weight - self.centre

    @property
    def design(self) -> tuple[int, int]:
        """How many trials the baseline and the candidate have."""
        return self.n_b, self.n_c

    @property
    def highest(self) -> int | None:
        """How often the highest score is there if all others are alike; None if they are not."""
        highs = self.scores.count(self.scores[-1])
        lows = self.scores.count(self.scores[0]) if self.varies else 0
        return highs if highs + lows == len(self.scores) else None

    @property
    def listable(self) -> bool:
        """Whether the sums of all splits are few enough to be listed."""
        return listed_ways(self.design) or self.highest is not None


class Kind(NamedTuple):
    """Cases that are alike: how many, and the sum of what their candidates scored."""

    cases: int
    total: float


class Lattice(NamedTuple):
    """An exact null distribution: the chance of each step above the smallest possible sum.

    ``plain`` is the distribution over the cases that cannot flip; ``flippable`` lists, for each
    other case, its own distribution, the step at which it flips and the chance of that.
    """

    chances: Floats
    observed: int
    plain: Floats
    flippable: list[tuple[Floats, int, float]]


def pool(
    baseline: Arm,
    candidate: Arm,
    baseline_passed: Arm | None = None,
    candidate_passed: Arm | None = None,
) -> dict[Case, Kind]:
    """The cases that can vary, by kind. Raises ValueError for what cannot be tested."""
    if len(baseline) != len(candidate):
        raise ValueError(f"{len(baseline)} baseline cases but {len(candidate)} candidate cases")
    arms = [baseline, candidate]
    if baseline_passed is not None and candidate_passed is not None:
        arms += [baseline_passed, candidate_passed]
    seen = Counter(zip(*(map(tuple, arm) for arm in arms), strict=True))
    totals: dict[Case, list[float]] = {}
    for one, times in seen.items():
        try:
            case, total = _case(*one)
        except ValueError as error:
            index = [*zip(*(map(tuple, arm) for arm in arms), strict=True)].index(one)
            raise ValueError(f"case {index} has {error}") from None
        if case.varies or case.flip is not None:
            totals.setdefault(case, []).extend([total] * times)
    return {case: Kind(len(found), math.fsum(found)) for case, found in totals.items()}


def pool_counts(
    passed_before: Counts, before: Counts, passed_after: Counts, after: Counts
) -> dict[Case, Kind]:
    """:func:`pool` of cases with at least one trial in each arm, whose scores are 0 or 1."""
    arms = (passed_before, before, passed_after, after)
    found: dict[Case, Kind] = {}
    seen = Counter(zip(*(arm.tolist() for arm in arms), strict=True))
    for (was, n_b, now, n_c), times in seen.items():
        case = _of_counts(n_b, n_c, was + now)
        if case.varies:
            cases, total = found.get(case, (0, 0.0))
            found[case] = Kind(cases + times, total + times * now)
    return found


@cache
def _of_counts(n_b: int, n_c: int, passes: int) -> Case:
    return Case(n_b, n_c, (0.0,) * (n_b + n_c - passes) + (1.0,) * passes)


@lru_cache(maxsize=4096)  # a large run has few different cases
def _case(
    before: tuple[float, ...], after: tuple[float, ...], *passed: tuple[float, ...]
) -> tuple[Case, float]:
    """A case by its kind, and the sum of what its candidate scored."""
    if not before or not after:
        raise ValueError("no trials in one arm")
    scores = tuple(sorted(before + after))
    if not all(map(math.isfinite, scores)):
        raise ValueError("a score that is not finite")
    flip = _flip_sum(before, after, *passed) if passed else None
    case = Case(len(before), len(after), scores, flip)
    return case, math.fsum(after)


def observed(cases: Mapping[Case, Kind]) -> float:
    """The sum over cases of the candidate's mean minus the baseline's."""
    return math.fsum(
        case.weight * kind.total - case.centre * kind.cases for case, kind in cases.items()
    )


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


def listed_ways(design: tuple[int, int]) -> bool:
    """Whether the ways to deal a case's trials are few enough to be listed."""
    return math.comb(sum(design), design[1]) <= _MOST_SPLITS


@cache
def all_ways(design: tuple[int, int]) -> Floats:
    """All ways to deal trials to the arms, one a column: 1 for those that the candidate gets."""
    trials, drawn = sum(design), design[1]
    ways = np.array(list(combinations(range(trials), drawn)), dtype=np.intp)
    found = np.zeros((trials, len(ways)))
    found[ways.T, np.arange(len(ways))] = 1.0
    return found


@lru_cache(maxsize=4096)
def sums(case: Case) -> tuple[Floats, Floats]:
    """The sums that the candidate arm of a listable case can have, and their chances."""
    trials = case.n_b + case.n_c
    ways = math.comb(trials, case.n_c)
    highs = case.highest
    if highs is not None:
        low, high = case.scores[0], case.scores[-1]
        most, least = min(highs, case.n_c), max(0, case.n_c - (trials - highs))
        chances = [
            math.comb(highs, k) * math.comb(trials - highs, case.n_c - k) / ways
            for k in range(least, most + 1)
        ]
        taken = np.arange(least, most + 1)
        return taken * high + (case.n_c - taken) * low, np.array(chances)
    listed: Floats = np.array(case.scores) @ all_ways(case.design)
    return listed, np.full(len(listed), 1 / len(listed))


def lattice(cases: Mapping[Case, Kind]) -> Lattice | None:
    """The exact null distribution by convolution; None where it would cost too much.

    Each case weighs in the sum what makes it the difference of means. Where trial counts differ
    from case to case in many ways, weights are rounded, by 2 % or, in the largest routes, 8 % at
    most: the test is exact for any weights that do not look at which arm passed.
    """
    denominator = _denominator(cases)
    if denominator is None or not all(case.listable for case in cases):
        return None
    varying = sum(kind.cases for case, kind in cases.items() if case.varies)
    for weights in _whole_weights(cases):
        unit, longest = _size(cases, weights, denominator)
        # What costs too much with two sums a case need not be listed to be given up.
        if longest * 2 * varying > MOST_WORK:
            continue
        kinds = [
            (case, kind, _steps(case, weights[case.design], denominator))
            for case, kind in cases.items()
        ]
        if longest * sum(kind.cases * own.different for _, kind, own in kinds) <= MOST_WORK:
            return _convolved(kinds, denominator, unit)
    return None


def _size(
    cases: Mapping[Case, Kind], weights: Mapping[tuple[int, int], int], denominator: int
) -> tuple[int, int]:
    """The greatest common divisor of all steps, and how many of them lie between the ends."""
    unit = span = 0
    for case, kind in cases.items():
        far, shared = _extent(case, denominator)
        unit = math.gcd(unit, shared * weights[case.design])
        span += far * weights[case.design] * kind.cases
    unit = unit or 1
    return unit, span // unit + 1


@lru_cache(maxsize=4096)
def _extent(case: Case, denominator: int) -> tuple[int, int]:
    """How far the smallest and the largest sum of a case are apart, and what divides all steps.

    One trial exchanged for another moves a sum by the difference of their scores.
    """
    whole = [round(value * denominator) for value in case.scores]
    far = sum(whole[-case.n_c :]) - sum(whole[: case.n_c])
    return far, math.gcd(*(value - whole[0] for value in whole))


class _Steps(NamedTuple):
    """The steps above ``least`` that a case can have, how many differ, and their chances."""

    weight: int
    least: int
    steps: NDArray[np.int64]
    different: int
    chances: Floats


@lru_cache(maxsize=4096)
def _steps(case: Case, weight: int, denominator: int) -> _Steps:
    listed, chances = sums(case)
    steps = np.round(listed * denominator).astype(np.int64) * weight
    least = int(steps.min())
    return _Steps(weight, least, steps - least, len(set(steps.tolist())), chances)


class _Grid(NamedTuple):
    """Where the weighted sums of a case lie: so many times its ``denominator``, ``unit`` apart."""

    weight: int
    denominator: int
    unit: int


def _convolved(kinds: Sequence[tuple[Case, Kind, _Steps]], denominator: int, unit: int) -> Lattice:
    here = sum(
        round(kind.total * denominator) * own.weight - kind.cases * own.least
        for _, kind, own in kinds
    )
    plain = np.ones(1)
    several: list[tuple[Case, _Grid, int]] = []
    flippable: list[tuple[Floats, int, float]] = []
    for case, kind, own in kinds:
        grid = _Grid(own.weight, denominator, unit)
        if case.flip is None:
            plain = _add(plain, case, grid, kind.cases)
            continue
        several.append((case, grid, kind.cases))
        flip = (round(case.flip * denominator) * own.weight - own.least) // unit
        chance = 1 / math.comb(case.n_b + case.n_c, case.n_c)
        flippable += [(_own(case, grid), flip, chance)] * kind.cases
    whole = plain
    for alike in several:
        whole = _add(whole, *alike)
    return Lattice(whole, here // unit, plain, flippable)


def _whole_weights(cases: Iterable[Case]) -> Iterator[dict[tuple[int, int], int]]:
    """The weight of each design, (n_b, n_c), in whole numbers: exact where small, else rounded."""
    designs = {(case.n_b, case.n_c) for case in cases}
    common = math.lcm(*(n_b * n_c for n_b, n_c in designs))
    exact = {(n_b, n_c): (n_b + n_c) * (common // (n_b * n_c)) for n_b, n_c in designs}
    shared = math.gcd(*exact.values())
    smallest, largest = min(exact.values(), default=1), max(exact.values(), default=1)
    if largest <= _EXACT_WEIGHT * shared:
        yield {design: weight // shared for design, weight in exact.items()}
    else:
        for finest in _ROUNDED_WEIGHTS:
            yield {design: round(finest * weight / smallest) for design, weight in exact.items()}


def _denominator(cases: Iterable[Case]) -> int | None:
    """The smallest whole number that makes every score whole; None if there is no small one."""
    values = sorted(set(chain.from_iterable(case.scores for case in cases)))
    if len(values) > 2 * _LARGEST_DENOMINATOR:
        return None
    found = 1
    for value in values:
        if abs(value * found - round(value * found)) <= TIE * found:
            continue
        multiples = value * found * np.arange(1, _LARGEST_DENOMINATOR // found + 1)
        whole = np.flatnonzero(np.abs(multiples - np.round(multiples)) <= TIE * found)
        if not len(whole):
            return None
        found *= int(whole[0]) + 1
    return found


def _add(chances: Floats, case: Case, grid: _Grid, count: int) -> Floats:
    """The distribution of a sum with ``count`` more independent cases of this kind."""
    own = _own(case, grid)
    places = np.flatnonzero(own)
    if len(places) * 4 > len(own):  # dense: by repeated squaring
        return np.convolve(chances, _several(case, grid, count))
    for _ in range(count):
        longer = np.zeros(len(chances) + len(own) - 1)
        for at in places.tolist():
            longer[at : at + len(chances)] += own[at] * chances
        chances = longer
    return chances


@lru_cache(maxsize=4096)
def _own(case: Case, grid: _Grid) -> Floats:
    """The chance of each step of the grid above a case's smallest sum."""
    steps = _steps(case, grid.weight, grid.denominator)
    found: Floats = np.bincount(steps.steps // grid.unit, weights=steps.chances).astype(float)
    return found


@lru_cache(maxsize=1024)  # routes and scorers have about as many cases of a kind
def _several(case: Case, grid: _Grid, count: int) -> Floats:
    return power(_own(case, grid), count)


def power(chances: Floats, count: int) -> Floats:
    """The distribution of the sum of ``count`` independent draws, by repeated squaring."""
    result = np.ones(1)
    while count:
        if count & 1:
            result = np.convolve(result, chances)
        count >>= 1
        if count:
            chances = np.convolve(chances, chances)
    return result
