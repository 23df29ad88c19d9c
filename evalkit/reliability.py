"""How reliable a case is: pass^k and pass@k over cases, and flakiness measured within versions.

Trials of one version differ by chance alone. What they disagree on is how flaky a case is; no
one has to declare it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from evalkit.observations import Floats, Observed, Whole, medians
from evalkit.reports import FlakyCase
from evalkit.results import Trial
from evalkit.stats import CONFIDENCE, mean_intervals, pass_at, pass_hat

LISTED = 5
"""How many flaky cases are listed with their probability."""


class Shares(NamedTuple):
    """A mean over cases per k from 1, with its 95 % interval over cases."""

    means: dict[int, float]
    intervals: dict[int, tuple[float, float]]


def passes_of_k(
    passed: Floats, counts: Floats, sample: Whole, samples: int
) -> list[tuple[Shares, Shares]]:
    """pass^k and pass@k of each sample, over its cases with at least k trials, k up to what half
    of its cases have.

    ``passed`` and ``counts`` are trials passed and made, per case, and ``sample`` to which of so
    many samples it belongs. Each case gives its unbiased estimate; cases are the clusters of the
    interval (:func:`evalkit.stats.mean_interval`). Coverage is in docs/gate.md.
    """
    half = np.nan_to_num(medians(counts, sample, samples)).astype(int)
    found: list[tuple[Shares, Shares]] = [(Shares({}, {}), Shares({}, {})) for _ in range(samples)]
    # Cases with as many trials and passes have the same estimate: it is made once.
    most = int(counts.max(initial=0)) + 1
    kinds, kind = np.unique((passed * most + counts).astype(np.intp), return_inverse=True)
    for k in range(1, int(half.max(initial=0)) + 1):
        enough = np.flatnonzero((counts >= k) & (half[sample] >= k))
        known = kinds % most >= k
        for side, of_kind in enumerate((pass_hat, pass_at)):
            estimates = np.full(len(kinds), math.nan)
            estimates[known] = of_kind(kinds[known] // most, kinds[known] % most, k)
            shares = estimates[kind[enough]]
            means, lows, highs = mean_intervals(shares, sample[enough], samples).tolist()
            for at in np.flatnonzero(half >= k).tolist():
                found[at][side].means[k] = means[at]
                found[at][side].intervals[k] = (lows[at], highs[at])
    return found


def disagreement(arms: Sequence[tuple[int, int]]) -> tuple[float, float, float] | None:
    """The chance that two trials of one version disagree, with its 95 % interval.

    ``arms`` are trials passed and made, one pair per version; None where no version has two
    trials. The estimate is the share of pairs within a version that disagree, which has no bias,
    but 1/2 at most: two trials that pass with the same chance p disagree with 2p(1 - p). The
    interval weighs Clopper and Pearson's of each version alike, at a confidence that is
    shared (Bonferroni), so it is rather too wide than too narrow.
    """
    known = [(passed, trials) for passed, trials in arms if trials > 1]
    pairs = [math.comb(trials, 2) for _, trials in known]
    if not known:
        return None
    apart = sum(passed * (trials - passed) for passed, trials in known)
    share = min(0.5, apart / sum(pairs))
    ends = [_disagrees(passed, trials, len(known)) for passed, trials in known]
    low, high = (
        sum(weight * end[side] for weight, end in zip(pairs, ends, strict=True)) / sum(pairs)
        for side in (0, 1)
    )
    return share, min(low, share), max(high, share)


@cache
def _disagrees(passed: int, trials: int, versions: int) -> tuple[float, float]:
    """The ends of 2p(1 - p) over the exact interval of p."""
    tail = (1 - CONFIDENCE) / 2 / versions
    low = _least_chance(passed, trials, tail)
    high = 1 - _least_chance(trials - passed, trials, tail)
    ends = sorted(2 * p * (1 - p) for p in (low, high))
    return ends[0], 0.5 if low <= 0.5 <= high else ends[1]


def _least_chance(passed: int, trials: int, tail: float) -> float:
    """The chance to pass at which as many passes or more come with probability ``tail``.

    By halving: a gate that needs no scipy else starts faster.
    """
    low, high = 0.0, 1.0 if passed else 0.0
    for _ in range(50):
        p = (low + high) / 2
        reached = math.fsum(
            math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(passed, trials + 1)
        )
        low, high = (p, high) if reached < tail else (low, p)
    return low


def flips(arms: Sequence[tuple[int, int]], trials: int) -> float:
    """The chance that ``trials`` trials of one version are not all alike.

    The mean over versions that have as many, without bias, but that of a coin at most; versions
    with fewer tell nothing.
    """
    chances = [_mixed(passed, made, trials) for passed, made in arms if made >= trials]
    mean = math.fsum(chances) / len(chances) if chances else 0.0
    return min(mean, 1 - 0.5 ** (trials - 1))


@cache
def _mixed(passed: int, made: int, drawn: int) -> float:
    """The chance that so many of these trials, drawn without replacement, are not all alike."""
    alike = math.comb(passed, drawn) + math.comb(made - passed, drawn)
    return 1 - alike / math.comb(made, drawn)


def flaky_cases(versions: Mapping[str, Sequence[Observed]]) -> tuple[tuple[FlakyCase, ...], int]:
    """The cases whose trials disagree within a version, flakiest first, and how many there are.

    ``versions`` maps a case to what was seen of it, one entry per version. At most
    :data:`LISTED` are given.
    """
    shares = []
    for case, arms in versions.items():
        apart, pairs = 0, 0
        for arm in arms:
            passed, made = arm.passed.count(1.0), len(arm.passed)
            apart += passed * (made - passed)
            pairs += made * (made - 1)
        if apart:
            shares.append((2 * apart / pairs, case))
    shares.sort(key=lambda one: -one[0])
    listed = (_flaky(case, versions[case]) for _, case in shares[:LISTED])
    return tuple(one for one in listed if one), len(shares)


def _flaky(case: str, versions: Sequence[Observed]) -> FlakyCase | None:
    arms = tuple((int(sum(seen.passed)), len(seen.passed)) for seen in versions)
    found = disagreement(arms)
    if found is None:
        return None
    return FlakyCase(
        case=case,
        probability=found[0],
        low=found[1],
        high=found[2],
        flips=flips(arms, min(made for _, made in arms)),
        variance=within_variance(seen.values for seen in versions) or 0.0,
        arms=arms,
    )


def flaky_trials(trials: Iterable[Trial]) -> dict[str, tuple[FlakyCase, ...]]:
    """Per scorer the flakiest cases of one run, at most :data:`LISTED` of each."""
    seen: dict[str, dict[str, list[tuple[float, bool]]]] = {}
    for trial in trials:
        for score in trial.scores if trial.status == "completed" else ():
            if score.value is not None and score.passed is not None:
                cases = seen.setdefault(score.scorer, {})
                cases.setdefault(trial.case, []).append((score.value, score.passed))
    observed = {
        scorer: {
            case: [Observed(tuple(v for v, _ in said), tuple(float(ok) for _, ok in said))]
            for case, said in cases.items()
        }
        for scorer, cases in seen.items()
    }
    found = {scorer: flaky_cases(versions)[0] for scorer, versions in observed.items()}
    return {scorer: cases for scorer, cases in found.items() if cases}


def within_variance(samples: Iterable[Sequence[float]]) -> float | None:
    """The unbiased variance of trials around their own sample's mean; None without two trials."""
    squares, freedom = 0.0, 0
    for values in samples:
        mean = math.fsum(values) / len(values) if values else 0.0
        squares += math.fsum((value - mean) ** 2 for value in values)
        freedom += max(0, len(values) - 1)
    return squares / freedom if freedom else None
