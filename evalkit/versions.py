"""A run's scores and prices as arrays over cases, and the test of one run against another.

Every run is lined up with the same cases, a reference's, so that runs are compared case by case:
twenty runs of fifty routes in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.observations import Floats, Whole, score_rows, trial_rows
from evalkit.permutation import permutation_drop
from evalkit.reports import RouteSummary
from evalkit.results import PlannedCase, Recorded, Run
from evalkit.stats import percentile

_ENOUGH_CASES = 30  # that vary, for the normal limit of the permutation distribution


class Lineup(NamedTuple):
    """What runs are lined up with: the reference's cases, then those of routes that it lacks."""

    reference: Run
    cases: tuple[PlannedCase, ...]

    @property
    def lacking(self) -> tuple[str, ...]:
        """The routes that the reference lacks."""
        more = self.cases[len(self.reference.planned) :]
        return tuple(dict.fromkeys(case.route for case in more))


def line_up(runs: Sequence[Run]) -> Lineup:
    """The first run is the reference; a route that it lacks is that of the first run that has it.

    A case that the reference has on another route stays there.
    """
    reference = runs[0]
    known = {case.id for case in reference.planned}
    owners = {case.route: reference.id for case in reference.planned}
    more: list[PlannedCase] = []
    for run in runs[1:]:
        for case in run.planned:
            owner = owners.setdefault(case.route, run.id)
            if owner == run.id and case.id not in known:
                known.add(case.id)
                more.append(case)
    return Lineup(reference, (*reference.planned, *more) if more else reference.planned)


class Cells(NamedTuple):
    """A run's numbers: per scorer and case of a lineup its trials, sums, squares, passes.

    ``values`` are the scores themselves, those of one cell from ``starts`` on; ``routes`` the
    run's summary; ``left_out`` are cases of the run or the reference that the other has not, or
    has otherwise; ``planned`` tells the lineup's cases that the run has. Of completed trials also
    the case, dollars and seconds. Small: what they were made of need not be kept.
    """

    run: Run
    lineup: Lineup
    routes: tuple[RouteSummary, ...]
    left_out: tuple[str, ...]
    trials: Floats
    total: Floats
    squares: Floats
    passes: Floats
    values: Floats
    starts: Whole
    planned: NDArray[np.bool_]
    case: Whole
    cost_usd: Floats
    latency_s: Floats

    def arm(self, scorer: int, cases: Whole) -> list[list[float]]:
        """The scores of these cases, a list each."""
        begin = self.starts[scorer, cases]
        ends = begin + self.trials[scorer, cases].astype(int)
        return [self.values[a:b].tolist() for a, b in zip(begin, ends, strict=True)]

    def prices(self, cases: Whole) -> tuple[float | None, float | None]:
        """Mean dollars and median seconds of the completed trials of these cases, where known."""
        mine = np.isin(self.case, cases)
        cost, latency = (one[mine & np.isfinite(one)] for one in (self.cost_usd, self.latency_s))
        return float(cost.mean()) if len(cost) else None, percentile(latency, 50)


class Test(NamedTuple):
    """A comparison before correction: which cases, and the two-sided p."""

    route: str
    scorer: int
    run: int
    cases: Whole
    p: float


def read_cells(
    recorded: Recorded,
    routes: tuple[RouteSummary, ...],
    lineup: Lineup,
    scorers: tuple[str, ...],
) -> Cells:
    """A run's scores on the lineup's cases; a case that changed counts as not scored."""
    rows = score_rows(recorded)
    planned = lineup.cases
    if recorded.run.planned is planned:
        place = np.arange(len(planned))
    else:
        known = {case.id: at for at, case in enumerate(planned)}
        place = np.array(
            [
                at
                if (at := known.get(case.id, -1)) >= 0
                and planned[at].digest == case.digest
                and planned[at].route == case.route
                else -1
                for case in recorded.run.planned
            ],
            dtype=np.intp,
        )
    found = set(place.tolist())
    theirs = lineup.reference.planned
    left_out = [case.id for at, case in enumerate(theirs) if at not in found]
    left_out += [recorded.run.planned[at].id for at in np.flatnonzero(place < 0).tolist()]
    code = np.array([scorers.index(s) if s in scorers else -1 for s in rows.scorers], np.intp)
    case = place[rows.case] if len(place) else rows.case
    scorer = code[rows.scorer] if len(code) else rows.scorer
    keep = rows.judged & (case >= 0) & (scorer >= 0)
    flat = scorer[keep] * len(planned) + case[keep]
    value, passed = rows.value[keep], rows.passed[keep]
    shape = (len(scorers), len(planned))

    def table(weights: Floats) -> Floats:
        counted = np.bincount(flat, weights=weights, minlength=shape[0] * shape[1])
        return counted.reshape(shape).astype(float)

    trials = table(np.ones(len(flat)))
    ends = np.cumsum(trials).astype(np.intp).reshape(shape)
    made = trial_rows(recorded)
    done = np.flatnonzero(made.completed)
    return Cells(
        run=recorded.run,
        lineup=lineup,
        routes=routes,
        left_out=tuple(dict.fromkeys(left_out)),
        trials=trials,
        total=table(value),
        squares=table(value**2),
        passes=table(passed),
        values=value[np.argsort(flat, kind="stable")],
        starts=ends - trials.astype(np.intp),
        planned=np.isin(np.arange(len(planned)), place),
        case=place[made.case[done]] if len(place) else made.case[done],
        cost_usd=made.cost_usd[done],
        latency_s=made.latency_s[done],
    )


def test(
    cells: Sequence[Cells], which: tuple[str, int, int, int], cases: Whole, *, few: bool
) -> Test | None:
    """One comparison, of the cases that both runs scored; None where there is none."""
    route, scorer, first, second = which
    a, b = cells[first], cells[second]
    both = cases[(a.trials[scorer, cases] > 0) & (b.trials[scorer, cases] > 0)]
    if not len(both):
        return None
    n, m = a.trials[scorer, both], b.trials[scorer, both]
    total = a.total[scorer, both] + b.total[scorer, both]
    scatter = np.maximum(0.0, a.squares[scorer, both] + b.squares[scorer, both])
    scatter = np.maximum(0.0, scatter - total**2 / (n + m)) / np.maximum(1, n + m - 1)
    varies = scatter > 1e-12
    if few or varies.sum() < _ENOUGH_CASES:
        p = _exact(a.arm(scorer, both[varies]), b.arm(scorer, both[varies]))
    else:
        difference = (b.total[scorer, both] / m - a.total[scorer, both] / n).sum()
        z = float(difference) / math.sqrt(float((scatter * (1 / n + 1 / m)).sum()))
        p = math.erfc(abs(z) / math.sqrt(2))
    return Test(route, scorer, second, both, max(p, 1e-300))


def _exact(before: Sequence[Sequence[float]], after: Sequence[Sequence[float]]) -> float:
    if not before:
        return 1.0
    found = permutation_drop(before, after)
    return min(1.0, 2 * min(found.p, found.p_rise))
