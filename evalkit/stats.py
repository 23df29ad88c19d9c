"""Numbers in, intervals and corrected p-values out. The tests are in :mod:`evalkit.permutation`.

Intervals take cases as clusters: trials of one case are not independent evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import chain
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
_ITERATIONS = 12  # of a fixed point that settles to three digits in about eight
_TINY = 1e-9


class Interval(NamedTuple):
    """A mean with its 95 % confidence interval, within the range that the mean can have."""

    mean: float
    low: float
    high: float


def holm(ps: Sequence[float]) -> tuple[float, ...]:
    """Holm's adjusted p-values: each at most alpha keeps the family's error rate at alpha.

    A p that is not a number adjusts to 1 and still counts in the family.
    """
    known = [1.0 if math.isnan(p) else p for p in ps]
    adjusted = [1.0] * len(known)
    highest = 0.0
    for rank, at in enumerate(sorted(range(len(known)), key=known.__getitem__)):
        highest = max(highest, min(1.0, (len(known) - rank) * known[at]))
        adjusted[at] = highest
    return tuple(adjusted)


def pass_hat(successes: ArrayLike, trials: ArrayLike, k: int) -> NDArray[np.float64]:
    """pass^k per case: the chance that k trials all pass, C(c, k) / C(n, k), unbiased for k <= n.

    Averaged over cases it is tau-bench's pass^k. Raises ValueError where k is not in 1..trials.
    """
    passed, tried = np.asarray(successes, dtype=float), np.asarray(trials, dtype=float)
    if k < 1 or np.any(tried < k):
        raise ValueError(f"pass^{k} needs at least {max(1, k)} trials of every case")
    drawn = np.arange(k)
    shares = (passed[..., None] - drawn) / (tried[..., None] - drawn)
    result: NDArray[np.float64] = np.prod(np.maximum(0.0, shares), axis=-1)
    return result


def pass_at(successes: ArrayLike, trials: ArrayLike, k: int) -> NDArray[np.float64]:
    """pass@k per case: the chance that at least one of k trials passes, unbiased for k <= n."""
    return 1.0 - pass_hat(np.asarray(trials) - np.asarray(successes), trials, k)


def mean_interval(case_means: Sequence[float] | NDArray[np.float64]) -> Interval | None:
    """The mean over cases, each a number in [0, 1]; None without cases.

    Student's t over the cases and two pseudo-cases, one at 0 and one at 1 (Agresti and Coull's
    idea): agreement of a few cases is no proof, so the interval never has zero width. It is never
    wider than Clopper and Pearson's exact one for as many cases that pass or fail. Measured
    coverage in docs/gate.md.
    """
    means = np.asarray(case_means, dtype=float)
    if not len(means):
        return None
    return Interval(*mean_intervals(means, np.zeros(len(means), np.intp), 1)[:, 0].tolist())


def mean_intervals(
    case_means: NDArray[np.float64], sample: NDArray[np.intp], samples: int
) -> NDArray[np.float64]:
    """:func:`mean_interval` of many samples: rows of means, lower ends and upper ends.

    ``sample`` says to which of so many samples each case belongs; NaN for one without cases.
    """
    from scipy.special import betaincinv, stdtrit

    count, total, square = (
        np.bincount(sample, weights, samples)
        for weights in (None, case_means, np.square(case_means))
    )
    there = count > 0
    count, total, square = count[there], total[there], square[there]
    mean = total / count
    # two pseudo-cases: one at 0, one at 1
    center = (total + 1) / (count + 2)
    variance = np.maximum(0.0, (square + 1) / (count + 2) - center * center)
    several = np.maximum(count - 1, 1)
    reach = stdtrit(several, (1 + CONFIDENCE) / 2) * np.sqrt(variance / (count + 2))
    # Clopper and Pearson's, also for sums of shares: no mean in [0, 1] varies more
    tail = (1 - CONFIDENCE) / 2
    passes = np.clip(total, 0.0, count)
    fails = count - passes
    some, short = passes > _TINY, fails > _TINY
    lowest = betaincinv(np.where(some, passes, 1.0), fails + 1, tail) * some
    highest = np.where(short, betaincinv(passes + 1, np.where(short, fails, 1.0), 1 - tail), 1.0)
    single = count == 1
    low = np.where(single, 0.0, np.maximum(np.minimum(mean, center - reach), lowest))
    high = np.where(single, 1.0, np.minimum(np.maximum(mean, center + reach), highest))
    found = np.full((3, samples), math.nan)
    found[:, there] = mean, low, high
    return found


def paired_interval(differences: Sequence[float] | NDArray[np.float64]) -> Interval | None:
    """The mean over cases of candidate minus baseline, each in [-1, 1]; None without cases.

    Student's t over the cases and two pseudo-cases: one that did not change, and one half each at
    -1 and 1 (Agresti and Min's for paired proportions). Measured coverage in docs/gate.md.
    """
    # weight 1 at 0 and 1/2 at each end: the same sum and sum of squares as two at +-sqrt(1/2)
    return _interval(np.asarray(differences, dtype=float), np.sqrt([0.5, 0.5]) * [-1, 1], -1.0)


def _interval(
    values: NDArray[np.float64], pseudo: NDArray[np.float64], lowest: float
) -> Interval | None:
    if not len(values):
        return None
    mean = float(values.mean())
    if len(values) == 1:
        return Interval(mean, lowest, 1.0)
    from scipy.special import stdtrit

    padded = np.append(values, pseudo)
    center, error = float(padded.mean()), float(padded.std()) / math.sqrt(len(padded))
    reach = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * error
    low, high = min(mean, center - reach), max(mean, center + reach)
    return Interval(mean, max(lowest, low), min(1.0, high))


def trial_interval(
    baseline: Sequence[Sequence[float]],
    candidate: Sequence[Sequence[float]],
    p: float = 1.0,
    p_rise: float = 1.0,
    share: float = 1.0,
) -> Interval:
    """The mean over cases of candidate minus baseline, if the same cases were tried again.

    Normal, from the variance between a case's trials; each case counts half a trial at 0 and half
    a one at 1 beside its own, so that agreement of few trials is no proof. ``p`` and ``p_rise``
    are the one-sided p-values of the mean: a mean that moved their way excludes no change exactly
    where its own is below 2.5 %, by Miettinen's test-based end where the normal one disagrees.
    ``share`` is the part of the 5 % that this look at growing data may spend (Bonferroni's
    repeated intervals). Measured coverage in docs/gate.md.
    """
    before, after = _moments(baseline), _moments(candidate)
    mean = math.fsum(after.sums / after.counts - before.sums / before.counts) / len(baseline)
    variance = math.fsum(chain(before.spreads, after.spreads))
    tail = share * (1 - CONFIDENCE) / 2
    reach = -NormalDist().inv_cdf(tail) * math.sqrt(variance) / len(baseline)
    low, high = max(-1.0, mean - reach), min(1.0, mean + reach)
    high = min(high, _test_based(mean, p, tail)) if p < tail else max(high, 0.0)
    low = max(low, -_test_based(-mean, p_rise, tail)) if p_rise < tail else min(low, 0.0)
    return Interval(mean, low, high)


def _test_based(mean: float, p: float, tail: float) -> float:
    """The upper end of an interval that excludes zero as far as the test does; not below the mean.

    Miettinen, 1976: the test's p says how many standard errors the mean is from zero.
    """
    normal = NormalDist()
    return max(mean, mean * (1 - normal.inv_cdf(tail) / normal.inv_cdf(p)))


class _Moments(NamedTuple):
    """Of each case of an arm: its trials, the sum of their scores, and that of their squares."""

    counts: NDArray[np.float64]
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]

    @property
    def spreads(self) -> list[float]:
        """The variances of the means, with half a trial at 0 and half a one at 1 beside them."""
        more = self.counts + 1
        means = (self.sums + 0.5) / more
        found = np.maximum(0.0, (self.squares + 0.5) / more - means * means) / self.counts
        listed: list[float] = found.tolist()
        return listed

    @property
    def scatter(self) -> NDArray[np.float64]:
        """The sums of squares around each case's mean."""
        return self.squares - self.sums * self.sums / self.counts


def _moments(arm: Sequence[Sequence[float]]) -> _Moments:
    counts = np.fromiter(map(len, arm), np.intp, len(arm))
    values = np.fromiter(chain.from_iterable(arm), float, int(counts.sum()))
    starts = np.cumsum(counts) - counts
    sums, squares = (np.add.reduceat(of, starts) for of in (values, values * values))
    return _Moments(counts.astype(float), sums, squares)


def percentile(values: Sequence[float] | NDArray[np.float64], q: float) -> float | None:
    """The q-th percentile (0 to 100), interpolated between neighbours; None without values."""
    known = np.asarray(values, dtype=float)
    return float(np.percentile(known, q)) if len(known) else None


def detectable(
    baseline: Sequence[Sequence[float]],
    candidate: Sequence[Sequence[float]],
    alpha: float,
    *,
    power: float = 0.8,
) -> float | None:
    """The drop of the mean over cases that this design shows with 80 % power; None if none.

    An approximation: normal, for a drop in proportion to each case's mean, with one-sided
    ``alpha`` as already divided for further tests. The variance between trials is measured within
    the arms (over both where each has one trial), and grows where a case that always passed would
    no longer: as it does for scores of 0 and 1, which for graded ones is the worst case. At least
    the share of cases that must flip fully before the permutation test can reach ``alpha``.
    """
    cases = len(baseline)
    arms = _moments(baseline), _moments(candidate)
    both = _Moments(*map(np.add, *arms))
    before, after = (arm.counts for arm in arms)
    means = both.sums / both.counts
    within = arms[0].scatter + arms[1].scatter
    variances = np.maximum(0.0, np.where(both.counts > 2, within, both.scatter))
    variances /= np.maximum(1, both.counts - 2)
    splits = np.array([_log_ways(*pair) for pair in zip(before, after, strict=True)])
    splits = np.sort(splits)[::-1]
    enough = np.flatnonzero(np.cumsum(splits) >= -math.log(alpha))
    if not len(enough):
        return None
    normal = NormalDist()
    sure = normal.inv_cdf(1 - alpha) + normal.inv_cdf(power)
    smallest = (int(enough[0]) + 1) / cases
    # Scores lie on steps, and a tie counts against the drop.
    tie = 1 / (cases * float(after.mean()))
    drop = 0.0
    for _ in range(_ITERATIONS):
        lower = means * max(0.0, 1 - drop / max(_TINY, float(means.mean())))
        grown = np.maximum(0.0, lower * (1 - lower) - means * (1 - means))
        # what the permutation test sees: both arms pooled, the shift between them included
        pooled = variances + grown / 2 + (means - lower) ** 2 / 4
        spread = math.sqrt(float((pooled * (1 / before + 1 / after)).sum())) / cases
        drop = min(1.0, max(smallest, sure * spread + tie))
    return drop


@cache
def _log_ways(before: float, after: float) -> float:
    """The log of the ways to deal so many trials to the two arms."""
    return math.log(math.comb(int(before + after), int(after)))
