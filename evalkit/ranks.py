"""Rank tests: did values move, whatever their scale and tails?

:func:`signed_rank` looks at one difference a case, :func:`stratified_rank_sum` at all trials of
each case.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MOST_EXACT = 100  # differences
_MOST_PAIRS = 1_000  # of trials of one case, over all cases


def signed_rank(differences: Floats | Sequence[float]) -> float:
    """Wilcoxon's one-sided p, (0, 1], that the differences lie above zero; zeros tell nothing.

    Exact up to 100 differences, ties by mean ranks; normal beyond, and never below the least that
    p can be.
    """
    known = np.asarray(differences, dtype=float)
    known = known[known != 0]
    if not len(known):
        return 1.0
    _, place, counts = np.unique(np.abs(known), return_inverse=True, return_counts=True)
    # twice the mean rank of a group of ties: whole numbers
    ranks = (2 * np.cumsum(counts) - counts + 1)[place]
    seen = int(ranks[known > 0].sum())
    if len(known) > _MOST_EXACT:
        spread = math.sqrt(float((ranks.astype(float) ** 2).sum())) / 2
        away = (seen - 1 - float(ranks.sum()) / 2) / spread
        return max(_above(away, 0.0), 2.0 ** -len(known), sys.float_info.min)
    chances = np.ones(1)
    for rank in ranks.tolist():
        longer = np.zeros(len(chances) + rank)
        longer[: len(chances)] += chances / 2
        longer[rank:] += chances / 2
        chances = longer
    return min(1.0, float(chances[seen:].sum()))


def stratified_rank_sum(first: Floats, second: Floats) -> float:
    """One-sided p, (0, 1], that a case's second values lie above its first ones.

    Rows are cases, each with values in both tables; NaN is none. Of all pairs of a first and a
    second value of one case, those with the second above are counted, ties by half: Wilcoxon's
    rank sums in strata (van Elteren's, each pair of one weight). If nothing changed, the values of
    a case are exchangeable, and p is the chance of so many at least: exact up to 1,000 pairs, by
    Pearson's type III with the exact mean, variance and skewness beyond. It is told as 1 where no
    more than half of the pairs count.
    """
    sizes = [(~np.isnan(table)).sum(axis=1) for table in (first, second)]
    seen, middle = _halves(first, second), int(sizes[0] @ sizes[1])
    if seen <= middle:
        return 1.0
    least = least_rank_sum_p(*sizes)
    pooled = np.sort(np.concatenate((first, second), axis=1), axis=1)
    if middle <= _MOST_PAIRS:
        chances = np.ones(1)
        for case, times in Counter(_ties(pooled, sizes[1])).items():
            for _ in range(times):
                chances = np.convolve(chances, _chances(*case))
        return max(least, min(1.0, float(chances[seen:].sum())))
    variance, third, step = _moments(pooled, *sizes)
    spread = math.sqrt(variance)
    return max(least, _above((seen - step / 2 - middle) / spread, third / spread**3))


def least_rank_sum_p(first: NDArray[np.intp], second: NDArray[np.intp]) -> float:
    """The smallest p of :func:`stratified_rank_sum` for so many values of each case."""
    ways = sum(
        math.log2(math.comb(both[0] + both[1], both[1])) * times
        for both, times in Counter(zip(first.tolist(), second.tolist(), strict=True)).items()
    )
    return max(2.0**-ways, sys.float_info.min)


def _halves(first: Floats, second: Floats) -> int:
    """Twice the pairs of a case whose second value is above, and once those that tie."""
    return sum(
        int(np.count_nonzero(second > column)) + int(np.count_nonzero(second >= column))
        for column in first.T[:, :, None]
    )


def _ties(pooled: Floats, second: NDArray[np.intp]) -> list[tuple[int, tuple[int, ...]]]:
    """Of each case how many second values it has, and how many values share each rank."""
    return [
        (count, tuple(np.unique(row[~np.isnan(row)], return_counts=True)[1].tolist()))
        for count, row in zip(second.tolist(), pooled, strict=True)
    ]


@lru_cache(maxsize=4096)
def _chances(second: int, ties: tuple[int, ...]) -> Floats:
    """The chance of each number of halves, if any of the values may be the second ones."""
    first = sum(ties) - second
    ways = np.zeros((second + 1, 2 * first * second + 1))
    ways[0, 0] = 1.0
    before = 0
    for tied in ties:
        more = np.zeros_like(ways)
        for taken in range(min(before, second) + 1):
            for some in range(min(tied, second - taken) + 1):
                # each of some is above the first values so far, and ties with those of its rank
                gain = some * (2 * (before - taken) + tied - some)
                if gain < ways.shape[1]:
                    kept = ways[taken, : ways.shape[1] - gain]
                    more[taken + some, gain:] += math.comb(tied, some) * kept
        ways, before = more, before + tied
    found: Floats = ways[second] / math.comb(first + second, second)
    return found


def _moments(
    pooled: Floats, first: NDArray[np.intp], second: NDArray[np.intp]
) -> tuple[float, float, int]:
    """Variance and third central moment of the halves, and what divides their differences.

    They are, but for a constant, the sum of as many ranks as there are second values.
    """
    count = (first + second).astype(float)
    ranks = np.zeros_like(pooled)  # twice the mean rank, less its mean
    for column in pooled.T[:, :, None]:
        ranks += (pooled > column).astype(float) + (pooled >= column)
    known = ~np.isnan(pooled)
    apart = np.where(known, ranks - ranks[:, :1], 0.0)  # NaN is last, so the first is known
    ranks = np.where(known, ranks - count[:, None], 0.0)
    each = first * second / (count * (count - 1))
    variance = each * np.square(ranks).sum(axis=1)
    third = each * (first - second) / np.maximum(1.0, count - 2) * (ranks**3).sum(axis=1)
    step = int(np.gcd.reduce(apart.astype(np.int64), axis=None))
    return float(variance.sum()), float(third.sum()), step


def _above(away: float, skewness: float) -> float:
    """The upper tail of Pearson's type III (the normal without skewness), so many spreads away."""
    if abs(skewness) < 1e-3:
        return math.erfc(away / math.sqrt(2)) / 2
    from scipy.special import gammainc, gammaincc

    shape = 4 / skewness**2
    scaled = shape + math.copysign(away, skewness) * math.sqrt(shape)
    return float((gammaincc if skewness > 0 else gammainc)(shape, max(0.0, scaled)))
