"""Whether the same work takes more time, tokens, money or steps: told, and never blocking.

Trials of one case are compared, each of the candidate with each of the baseline: does it take more
than 10 % more, oftener than not? By ranks, so that one slow answer weighs no more than the slowest
of its rank, and within cases, so that long and short ones cost no power. With one trial a case
ranks within it tell nothing but a sign: the ratios are ranked over cases then, by Wilcoxon's
signed-rank test. From nothing to something is the largest rise there is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.measurement import Side
from evalkit.observations import codes, floats, grouped
from evalkit.phrasing import EFFICIENCY, plural
from evalkit.ranks import least_rank_sum_p, signed_rank, stratified_rank_sum
from evalkit.reports import GateRow, Verdict
from evalkit.stats import holm

MARGIN = 0.10
"""A rise of at most this share is no regression, and a fall of at most this no improvement."""

Floats = NDArray[np.float64]
Whole = NDArray[np.intp]


class Efficiency(NamedTuple):
    """What clearly changed, and notes on what rose in too few cases to tell."""

    rows: tuple[GateRow, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """One route and measure: what the trials took, a row for each case, NaN for none."""

    route: str
    measure: str
    before: Floats
    after: Floats

    @cached_property
    def means(self) -> tuple[float, float]:
        """The means over cases of each case's mean, before and after."""
        was, now = (float(np.nanmean(side, axis=1).mean()) for side in (self.before, self.after))
        return was, now

    @cached_property
    def trials(self) -> tuple[Whole, Whole]:
        """How many trials of each case there are, before and after."""
        was, now = ((~np.isnan(side)).sum(axis=1) for side in (self.before, self.after))
        return was, now

    @cached_property
    def single(self) -> bool:
        """Whether each case has one trial before and one after."""
        return bool(max(side.max() for side in self.trials) == 1)

    def p(self, *, worse: bool) -> float:
        """One-sided p, (0, 1], that it takes more by more than the margin; or less."""
        less, more = (self.before, self.after) if worse else (self.after, self.before)
        less = less * (1 + MARGIN)
        if not self.single:
            return stratified_rank_sum(less, more)
        low, high = (np.nanmax(side, axis=1) for side in (less, more))
        with np.errstate(divide="ignore", invalid="ignore"):
            # A log of the ratio is not to the last digit the negative of that of its inverse, and
            # would rank ties by their sign.
            return signed_rank(np.where(low == high, 0.0, np.log(high) - np.log(low)))

    @cached_property
    def least(self) -> float:
        """The smallest p that so many trials can give."""
        return least_rank_sum_p(*self.trials)

    @property
    def size(self) -> str:
        """The median ratio in words, of the pairs that are tested."""
        pairs = _ratios(self.before[:, :, None], self.after[:, None, :])
        pairs = pairs[~np.isnan(pairs)]
        ratio = float(np.median(pairs))
        of = f"{ratio:.2f} times the baseline's" if math.isfinite(ratio) else "from 0"
        over = plural(len(self.before), "case")
        return f"{of} in the median over {over}" + (
            "" if self.single else f", {len(pairs):,} pairs of trials"
        )


def _ratios(less: Floats, more: Floats) -> Floats:
    """What is more, in units of what is less; 1 where both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(less == more, 1.0, more / less)
    return found


def compare_efficiency(
    after: Side, before: Side, common: Mapping[str, Sequence[str]], alpha: float
) -> Efficiency:
    """A row for each route and measure that clearly changed; rises and falls are Holm families."""
    found = list(_measured(after, before, common))
    risen, fallen = ([one.p(worse=worse) for one in found] for worse in (True, False))
    rows, notes = [], []
    for one, p, rise, q, fall in zip(found, risen, holm(risen), fallen, holm(fallen), strict=True):
        if rise <= alpha:
            rows.append(_row(one, p, rise, worse=True))
        elif fall <= alpha:
            rows.append(_row(one, q, fall, worse=False))
        elif p < 1 and p <= one.least * (1 + 1e-9):  # each trial took more: no data say more
            enough = math.ceil(len(one.before) * math.log(len(found) / alpha, 1 / one.least))
            notes.append(
                f"route {one.route}: {one.measure} rose in each case: {one.size}; these are too "
                f"few to tell that from chance, it takes {plural(enough, 'case')}"
            )
    return Efficiency(tuple(rows), tuple(notes))


def _measured(after: Side, before: Side, common: Mapping[str, Sequence[str]]) -> Iterator[Change]:
    sides = (before, after)
    planned = [{case: at for at, case in enumerate(side.scores.cases)} for side in sides]
    places = {
        route: [np.array([known[case] for case in cases]) for known in planned]
        for route, cases in common.items()
    }
    slots = [_slots(side) for side in sides]
    for measure in EFFICIENCY:
        tables = [_by_case(side, measure, slot) for side, slot in zip(sides, slots, strict=True)]
        for route, where in places.items():
            was, now = (table[at] for table, at in zip(tables, where, strict=True))
            both = np.isfinite(was).any(axis=1) & np.isfinite(now).any(axis=1)
            if both.any():
                yield Change(route, measure, was[both], now[both])


def _slots(side: Side) -> Whole:
    """The number of each trial among those of its case."""
    case = side.trials.case
    by_case = grouped(case, len(side.scores.cases))
    slots = np.zeros(len(case), dtype=np.intp)
    slots[by_case.order] = np.arange(len(case)) - by_case.starts[case[by_case.order]]
    return slots


def _by_case(side: Side, measure: str, slots: Whole) -> Floats:
    """What each case's trials took, a row for each; NaN for those not completed or not known.

    A latency of 0 is a clock too coarse to tell.
    """
    values = _steps(side) if measure == "steps" else getattr(side.trials, measure)
    sound = values > 0 if measure == "latency_s" else values >= 0
    known = side.trials.completed & np.isfinite(values) & sound
    found = np.full((len(side.scores.cases), int(slots.max(initial=0)) + 1), math.nan)
    found[side.trials.case[known], slots[known]] = values[known]
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


def _row(one: Change, p: float, adjusted: float, *, worse: bool) -> GateRow:
    verdict: Verdict = "regressed" if worse else "improved"
    was, now = one.means
    moved = f"{one.measure} {'rose' if worse else 'fell'}: {one.size}"
    if (now < was) if worse else (now > was):
        moved += f", though a few large values let the mean {'fall' if worse else 'rise'}"
    return GateRow(
        route=one.route,
        scorer=one.measure,
        verdict=verdict,
        baseline=was,
        candidate=now,
        difference=now - was,
        low=None,
        high=None,
        p=p,
        p_adjusted=adjusted,
        broken=(),
        detectable=None,
        cases=len(one.before),
        trials=0,
        reason=f"{moved} (p adjusted {adjusted:.2g}); it advises and does not block",
        blocking=False,
    )
