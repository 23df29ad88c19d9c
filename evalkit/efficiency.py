"""Whether the same work takes more time, tokens, money or steps: told, and never blocking.

Per case the ratio of what a trial takes (geometric means over trials, arithmetic ones where a
trial took none), candidate to baseline; from nothing to something is the largest rise there is.
Wilcoxon's signed-rank test over cases asks whether it is more than 10 % above 1: ranks, so that
one slow answer weighs no more than the slowest of its rank, and pairs, so that long and short
cases cost no power.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.measurement import Side
from evalkit.observations import codes, floats
from evalkit.ranks import signed_rank
from evalkit.reports import GateRow, Verdict
from evalkit.stats import holm

MEASURES = ("latency_s", "tokens", "cost_usd", "steps")
"""Seconds, tokens, US dollars and steps of one trial."""

MARGIN = 0.10
"""A rise of at most this share is no regression, and a fall of at most this no improvement."""

Floats = NDArray[np.float64]


class Efficiency(NamedTuple):
    """What clearly changed, and notes on what rose in too few cases to tell."""

    rows: tuple[GateRow, ...]
    notes: tuple[str, ...]


class _Change(NamedTuple):
    """One route and measure: both means over cases, and the log ratio of each case."""

    route: str
    measure: str
    was: float
    now: float
    ratios: Floats

    @property
    def size(self) -> str:
        """The median ratio in words."""
        ratio = math.exp(float(np.median(self.ratios)))
        of = f"{ratio:.2f} times the baseline's" if math.isfinite(ratio) else "from 0"
        return f"{of} in the median over {_cases(len(self.ratios))}"


def compare_efficiency(
    after: Side, before: Side, common: Mapping[str, Sequence[str]], alpha: float
) -> Efficiency:
    """A row for each route and measure that clearly changed; rises and falls are Holm families."""
    found = list(_measured(after, before, common))
    risen = [signed_rank(one.ratios - math.log1p(MARGIN)) for one in found]
    rises = holm(risen)
    falls = holm([signed_rank(-one.ratios - math.log1p(MARGIN)) for one in found])
    rows, notes = [], []
    for one, p, rise, fall in zip(found, risen, rises, falls, strict=True):
        if rise <= alpha:
            rows.append(_row(one, rise, worse=True))
        elif fall <= alpha:
            rows.append(_row(one, fall, worse=False))
        elif p <= 2.0 ** -len(one.ratios):  # each case rose: nothing could say more
            enough = math.ceil(math.log2(len(found) / alpha))
            notes.append(
                f"route {one.route}: {one.measure} rose in each case: {one.size}; these are too "
                f"few to tell that from chance, it takes {_cases(enough)}"
            )
    return Efficiency(tuple(rows), tuple(notes))


def _measured(after: Side, before: Side, common: Mapping[str, Sequence[str]]) -> Iterator[_Change]:
    planned = [{case: at for at, case in enumerate(side.scores.cases)} for side in (before, after)]
    places = {
        route: [np.array([known[case] for case in cases]) for known in planned]
        for route, cases in common.items()
    }
    for measure in MEASURES:
        was, now = _by_case(before, measure), _by_case(after, measure)
        for route, (then, here) in places.items():
            old, new = was[:, then], now[:, here]
            both = ~np.isnan(old[1]) & ~np.isnan(new[1])
            if both.any():
                old, new = old[:, both], new[:, both]
                # A mean logarithm is -inf where a trial took none.
                plain = np.isfinite(old[0]) & np.isfinite(new[0])
                first, second = (np.where(plain, np.exp(side[0]), side[1]) for side in (old, new))
                with np.errstate(divide="ignore", invalid="ignore"):
                    ratios = np.where(first == second, 0.0, np.log(second) - np.log(first))
                yield _Change(route, measure, float(first.mean()), float(second.mean()), ratios)


def _by_case(side: Side, measure: str) -> Floats:
    """The mean logarithm and the mean over each case's completed trials whose value is known.

    NaN where none is. A latency of 0 is a clock too coarse to tell.
    """
    values = _steps(side) if measure == "steps" else getattr(side.trials, measure)
    sound = values > 0 if measure == "latency_s" else values >= 0
    known = side.trials.completed & np.isfinite(values) & sound
    case, values = side.trials.case[known], values[known]
    cases = len(side.scores.cases)
    counts = np.bincount(case, minlength=cases)
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = [np.bincount(case, weights, cases) for weights in (np.log(values), values)]
        found: Floats = np.array(sums) / counts
    return found


def _steps(side: Side) -> Floats:
    """Steps of each trial; not known where they were not counted."""
    table = side.recorded.taken
    if table is None:
        return np.full(len(side.trials.case), math.nan)
    case = codes(table["case"], side.scores.cases)
    counted, wanted = floats(table["trial"]), floats(side.recorded.trials["trial"])
    numbers = np.concatenate((counted, wanted[side.trials.row]))
    known, number = np.unique(numbers, return_inverse=True)
    keys = np.concatenate((case, side.trials.case)) * len(known) + number
    order = np.argsort(keys[: len(case)])
    there, mine = keys[order], keys[len(case) :]
    at = np.minimum(np.searchsorted(there, mine), max(0, len(there) - 1))
    if not len(there):
        return np.full(len(mine), math.nan)
    return np.where(there[at] == mine, floats(table["steps"])[order][at], math.nan)


def _row(one: _Change, p: float, *, worse: bool) -> GateRow:
    verdict: Verdict = "regressed" if worse else "improved"
    return GateRow(
        route=one.route,
        scorer=one.measure,
        verdict=verdict,
        baseline=one.was,
        candidate=one.now,
        difference=one.now - one.was,
        low=None,
        high=None,
        p=p,
        p_adjusted=p,
        broken=(),
        detectable=None,
        cases=len(one.ratios),
        trials=0,
        reason=f"{one.measure} {'rose' if worse else 'fell'}: {one.size} (p {p:.2g}); it advises "
        "and does not block",
        blocking=False,
    )


def _cases(count: int) -> str:
    return f"{count} case{'s' if count != 1 else ''}"
