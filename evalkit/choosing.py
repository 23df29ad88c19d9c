"""Many runs at once: every run against a reference, and which version to choose per route.

Everything is arrays over cases x scorers, one set a run, lined up with the reference's cases:
twenty runs of fifty routes are compared in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from evalkit.observations import Floats, Whole, score_rows
from evalkit.permutation import permutation_drop
from evalkit.results import PlannedCase, Recorded, RouteSummary, Run
from evalkit.stats import holm, paired_interval

MARGIN = 0.05
"""How far below the best a version may measure and still be chosen for its price."""

_ALIKE = 1.05  # prices that differ by less are the same
_ENOUGH_CASES = 30  # that vary, for the normal limit of the permutation distribution
_MOST_NAMED = 5
_FEW_PAIRS = 200  # comparisons that are all tested exactly

Change = Literal["worse", "better", "no difference shown"]
Correction = Literal["holm", "bh"]


class Versus(msgspec.Struct, frozen=True, kw_only=True):
    """One run against the reference, on one route and scorer.

    ``difference`` is the run's mean minus the reference's, paired by case, with its 95 %
    interval; ``p`` is two-sided, ``p_adjusted`` over all comparisons of the call. ``broken`` are
    cases that passed in all trials of the reference (two at least) and in none of the run,
    ``fixed`` the reverse.
    """

    route: str
    scorer: str
    reference: str
    run: str
    cases: int
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float
    change: Change
    broken: tuple[str, ...]
    fixed: tuple[str, ...]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One run on one route: quality (mean over the scorers), dollars and seconds per trial.

    ``efficient``: no other run is at least as good, cheap and fast, and better in one of them.
    ``chosen``: the run to take for this route, ``reason`` why.
    """

    route: str
    run: str
    quality: float | None
    cost_usd: float | None
    latency_p50: float | None
    efficient: bool
    chosen: bool = False
    reason: str = ""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison of several runs found; ``notes`` say what it could not compare."""

    reference: str
    scorers: tuple[str, ...]
    correction: Correction
    alpha: float
    pairs: tuple[Versus, ...]
    standings: tuple[Standing, ...]
    notes: tuple[str, ...] = ()


class Cells(NamedTuple):
    """A run's numbers: per scorer and case of a reference its trials, sums, squares, passes.

    ``values`` are the scores themselves, those of one cell from ``starts`` on; ``routes`` the
    run's summary; ``left_out`` are cases of either run that the other has not, or has otherwise.
    Small: what they were made of need not be kept.
    """

    run: Run
    routes: tuple[RouteSummary, ...]
    left_out: tuple[str, ...]
    trials: Floats
    total: Floats
    squares: Floats
    passes: Floats
    values: Floats
    starts: Whole

    def arm(self, scorer: int, cases: Whole) -> list[list[float]]:
        """The scores of these cases, a list each."""
        begin = self.starts[scorer, cases]
        ends = begin + self.trials[scorer, cases].astype(int)
        return [self.values[a:b].tolist() for a, b in zip(begin, ends, strict=True)]


class _Test(NamedTuple):
    """A comparison before correction: which cases, and the two-sided p."""

    route: str
    scorer: int
    run: int
    cases: Whole
    p: float


def choose(
    cells: Sequence[Cells],
    scorers: Sequence[str],
    *,
    alpha: float = 0.05,
    explore: bool = False,
    margin: float = MARGIN,
) -> Choice:
    """Compares every run with the first, and ranks them per route.

    ``cells`` are of :func:`read_cells`, all by the first run and with these scorers. p-values are
    two-sided, of the within-case permutation test of the mean, by its normal limit where a large
    family has at least 30 cases that vary; corrected by Holm, or with ``explore`` by Benjamini
    and Hochberg. The version to choose
    is the cheapest (then the fastest) of those that measure within ``margin`` of the route's best
    and are not shown to be worse.
    """
    reference, scorers = cells[0].run, tuple(scorers)
    routes: dict[str, list[int]] = {}
    for at, case in enumerate(reference.planned):
        routes.setdefault(case.route, []).append(at)
    places = {route: np.array(found, dtype=np.intp) for route, found in routes.items()}
    few = len(places) * len(scorers) * (len(cells) - 1) <= _FEW_PAIRS
    tests = [
        test
        for route, cases in places.items()
        for scorer in range(len(scorers))
        for run in range(1, len(cells))
        if (test := _test(cells, (route, scorer, 0, run), cases, few=few))
    ]
    adjusted = (benjamini_hochberg if explore else holm)([test.p for test in tests])
    pairs = tuple(
        _versus(test, p, cells, scorers, alpha) for test, p in zip(tests, adjusted, strict=True)
    )
    standings = [
        standing
        for route, cases in places.items()
        for standing in _standings(cells, scorers, (route, cases), alpha, margin)
    ]
    return Choice(
        reference=reference.id,
        scorers=scorers,
        correction="bh" if explore else "holm",
        alpha=alpha,
        pairs=pairs,
        standings=tuple(standings),
        notes=tuple(_left_out(one, reference) for one in cells[1:] if one.left_out),
    )


def _left_out(cells: Cells, reference: Run) -> str:
    several = cells.left_out
    named = ", ".join(several[:_MOST_NAMED])
    more = f" and {len(several) - _MOST_NAMED} more" if len(several) > _MOST_NAMED else ""
    cases = "1 case is" if len(several) == 1 else f"{len(several):,} cases are"
    return (
        f"{cases} not the same in run {cells.run.id} and in run {reference.id}, and left out "
        f"of their comparison: {named}{more}"
    )


def benjamini_hochberg(ps: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values: those at most q hold a share of at most q of false findings."""
    adjusted = [1.0] * len(ps)
    lowest = 1.0
    for rank, at in enumerate(sorted(range(len(ps)), key=ps.__getitem__, reverse=True)):
        lowest = min(lowest, ps[at] * len(ps) / (len(ps) - rank))
        adjusted[at] = lowest
    return tuple(adjusted)


def read_cells(
    recorded: Recorded,
    routes: tuple[RouteSummary, ...],
    reference: Run,
    scorers: tuple[str, ...],
) -> Cells:
    """A run's scores on the reference's cases; a case that changed counts as not scored."""
    rows = score_rows(recorded)
    planned = reference.planned
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
    left_out = [case.id for at, case in enumerate(planned) if at not in found]
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
    return Cells(
        run=recorded.run,
        routes=routes,
        left_out=tuple(dict.fromkeys(left_out)),
        trials=trials,
        total=table(value),
        squares=table(value**2),
        passes=table(passed),
        values=value[np.argsort(flat, kind="stable")],
        starts=ends - trials.astype(np.intp),
    )


def _test(
    cells: Sequence[Cells], which: tuple[str, int, int, int], cases: Whole, *, few: bool
) -> _Test | None:
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
    return _Test(route, scorer, second, both, max(p, 1e-300))


def _exact(before: Sequence[Sequence[float]], after: Sequence[Sequence[float]]) -> float:
    if not before:
        return 1.0
    found = permutation_drop(before, after)
    return min(1.0, 2 * min(found.p, found.p_rise))


def _versus(
    test: _Test,
    adjusted: float,
    cells: Sequence[Cells],
    scorers: tuple[str, ...],
    alpha: float,
) -> Versus:
    a, b, at = cells[0], cells[test.run], test.scorer
    n, m = a.trials[at, test.cases], b.trials[at, test.cases]
    interval = paired_interval(b.total[at, test.cases] / m - a.total[at, test.cases] / n)
    assert interval is not None, "a comparison has cases"
    was, now = a.passes[at, test.cases], b.passes[at, test.cases]
    enough = (n > 1) & (m > 1)
    change: Change = "no difference shown"
    if adjusted <= alpha:
        change = "worse" if interval.mean < 0 else "better"
    planned = a.run.planned
    return Versus(
        route=test.route,
        scorer=scorers[at],
        reference=a.run.id,
        run=b.run.id,
        cases=len(test.cases),
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        p=test.p,
        p_adjusted=adjusted,
        change=change,
        broken=_names(planned, test.cases[enough & (was == n) & (now == 0)]),
        fixed=_names(planned, test.cases[enough & (was == 0) & (now == m)]),
    )


def _names(planned: Sequence[PlannedCase], cases: Whole) -> tuple[str, ...]:
    return tuple(planned[at].id for at in cases.tolist())


def _standings(
    cells: Sequence[Cells],
    scorers: tuple[str, ...],
    place: tuple[str, Whole],
    alpha: float,
    margin: float,
) -> list[Standing]:
    """Every run on one route, the chosen one marked."""
    found = []
    route, cases = place
    for run in cells:
        summary = next((one for one in run.routes if one.route == route), None)
        if summary is None:
            continue
        found.append(
            Standing(
                route=route,
                run=run.run.id,
                quality=_quality(summary, scorers),
                cost_usd=summary.cost_usd,
                latency_p50=summary.latency_p50,
                efficient=False,
            )
        )
    ranked = [
        msgspec.structs.replace(one, efficient=not any(_dominates(other, one) for other in found))
        for one in found
    ]
    rated = [one for one in ranked if one.quality is not None]
    if not rated:
        return ranked
    best = max(rated, key=lambda one: (one.quality or 0.0, -_price(one)[0], -_price(one)[1]))
    order = {run.run.id: at for at, run in enumerate(cells)}
    able = [
        one
        for one in rated
        if (one.quality or 0.0) >= (best.quality or 0.0) - margin
        and not _worse(cells, (route, order[best.run], order[one.run]), cases, alpha)
    ]
    chosen = _cheapest(able)
    if chosen.run == best.run:
        reason = "the best quality, and none as good is cheaper"
    else:
        reason = f"cheaper or faster than the best, within {margin:g} of it and not shown worse"
    return [
        msgspec.structs.replace(one, chosen=True, reason=reason) if one.run == chosen.run else one
        for one in ranked
    ]


def _worse(cells: Sequence[Cells], which: tuple[str, int, int], cases: Whole, alpha: float) -> bool:
    """Whether a run is shown to be worse than the route's best on any scorer."""
    route, best, other = which
    if best == other:
        return False
    for scorer in range(len(cells[0].trials)):
        test = _test(cells, (route, scorer, best, other), cases, few=False)
        if test is None or test.p > alpha:
            continue
        a, b = cells[best], cells[other]
        was = (a.total[scorer, test.cases] / a.trials[scorer, test.cases]).mean()
        if (b.total[scorer, test.cases] / b.trials[scorer, test.cases]).mean() < was:
            return True
    return False


def _quality(summary: RouteSummary, scorers: Iterable[str]) -> float | None:
    means = [one.estimate.mean for one in summary.scorers if one.scorer in scorers]
    known = [mean for mean in means if mean is not None]
    # What adding up in another order changes must not decide which is best.
    return round(sum(known) / len(known), 12) if known else None


def _price(one: Standing) -> tuple[float, float]:
    """Dollars, then seconds; what is not known comes last."""
    unknown = math.inf
    return (
        unknown if one.cost_usd is None else one.cost_usd,
        unknown if one.latency_p50 is None else one.latency_p50,
    )


def _cheapest(able: list[Standing]) -> Standing:
    """The cheapest, then the fastest, then the best; what is alike to 5 % decides nothing."""
    for place in (0, 1):
        least = min(_price(one)[place] for one in able)
        able = [one for one in able if _price(one)[place] <= least * _ALIKE]
    return max(able, key=lambda one: one.quality or 0.0)


def _dominates(one: Standing, other: Standing) -> bool:
    """Whether ``one`` is at least as good, cheap and fast, and better in one of them."""
    if one.quality is None or other.quality is None:
        return other.quality is None and one.quality is not None
    mine = (-one.quality, *_price(one))
    theirs = (-other.quality, *_price(other))
    return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))
