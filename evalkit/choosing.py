"""Many runs at once: every run against a reference, and which version to choose per route.

Everything is arrays over cases x scorers, one set a run, lined up with the reference's cases:
twenty runs of fifty routes are compared in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np

from evalkit.observations import Whole
from evalkit.ranking import Standing, rank
from evalkit.results import PlannedCase, Run
from evalkit.stats import holm, paired_interval
from evalkit.versions import Cells, Lineup, Test, test

MARGIN = 0.05
"""How far below the best a version may measure and still be chosen for its price."""

_MOST_NAMED = 5
_FEW_PAIRS = 200  # comparisons that are all tested exactly

Change = Literal["worse", "better", "no difference shown"]
Correction = Literal["holm", "bh"]


class Versus(msgspec.Struct, frozen=True, kw_only=True):
    """One run against the reference, on one route and scorer.

    ``difference`` is the run's mean minus the reference's, paired by case, with its 95 %
    interval for other cases like these. ``p`` is two-sided, for these very cases tried again, so
    that it may be small where the interval reaches 0; ``p_adjusted`` is over all comparisons of
    the call. ``broken`` are cases that passed in all trials of the reference (two at least) and in
    none of the run, ``fixed`` the reverse.
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


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison of several runs found; ``notes`` say what it could not compare."""

    reference: str
    scorers: tuple[str, ...]
    correction: Correction
    alpha: float
    pairs: tuple[Versus, ...]
    standings: tuple[Standing, ...]
    notes: tuple[str, ...] = ()


def choose(
    cells: Sequence[Cells],
    scorers: Sequence[str],
    *,
    alpha: float = 0.05,
    explore: bool = False,
    margin: float = MARGIN,
) -> Choice:
    """Compares every run with the first, and ranks them per route.

    A route that the first run lacks is ranked too, among those that have it. ``cells`` are of
    :func:`read_cells`, all of one lineup by the first run and with these scorers. p-values are
    two-sided, of the within-case permutation test of the mean, by its normal limit where a large
    family has at least 30 cases that vary; corrected by Holm, or with ``explore`` by Benjamini
    and Hochberg. The version to choose
    is the cheapest (then the fastest) of those that measure within ``margin`` of the route's best
    and are not shown to be worse.
    """
    lineup, scorers = cells[0].lineup, tuple(scorers)
    reference = lineup.reference
    routes: dict[str, list[int]] = {}
    for at, case in enumerate(lineup.cases):
        routes.setdefault(case.route, []).append(at)
    places = {route: np.array(found, dtype=np.intp) for route, found in routes.items()}
    few = len(places) * len(scorers) * (len(cells) - 1) <= _FEW_PAIRS
    tests = [
        found
        for route, cases in places.items()
        for scorer in range(len(scorers))
        for run in range(1, len(cells))
        if (found := test(cells, (route, scorer, 0, run), cases, few=few))
    ]
    adjusted = (benjamini_hochberg if explore else holm)([one.p for one in tests])
    pairs = tuple(
        _versus(one, p, cells, scorers, alpha) for one, p in zip(tests, adjusted, strict=True)
    )
    ranked = [
        rank(
            cells,
            scorers,
            route,
            cases,
            alpha=alpha,
            margin=margin,
            most_lost=reference.suite.gate.max_infrastructure,
        )
        for route, cases in places.items()
    ]
    return Choice(
        reference=reference.id,
        scorers=scorers,
        correction="bh" if explore else "holm",
        alpha=alpha,
        pairs=pairs,
        standings=tuple(standing for one in ranked for standing in one.standings),
        notes=(
            *(_left_out(one, reference) for one in cells[1:] if one.left_out),
            *_told(_lacking(lineup)),
            *_told(note for one in ranked for note in one.notes),
        ),
    )


def _lacking(lineup: Lineup) -> Iterator[tuple[str, str]]:
    for route in lineup.lacking:
        said = f"routes that run {lineup.reference.id} lacks, so that nothing is compared with it"
        yield f"{said}, and the choice is among the others", route


def _told(notes: Iterable[tuple[str, str]]) -> Iterator[str]:
    """One note for what several routes have in common."""
    grouped: dict[str, list[str]] = {}
    for said, detail in notes:
        grouped.setdefault(said, []).append(detail)
    for said, details in grouped.items():
        more = len(details) - _MOST_NAMED
        last = f" and {more} more" if more > 0 else ""
        yield f"{said}: {', '.join(details[:_MOST_NAMED])}{last}"


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
    for place, at in enumerate(sorted(range(len(ps)), key=ps.__getitem__, reverse=True)):
        lowest = min(lowest, ps[at] * len(ps) / (len(ps) - place))
        adjusted[at] = lowest
    return tuple(adjusted)


def _versus(
    found: Test,
    adjusted: float,
    cells: Sequence[Cells],
    scorers: tuple[str, ...],
    alpha: float,
) -> Versus:
    a, b, at = cells[0], cells[found.run], found.scorer
    n, m = a.trials[at, found.cases], b.trials[at, found.cases]
    interval = paired_interval(b.total[at, found.cases] / m - a.total[at, found.cases] / n)
    assert interval is not None, "a comparison has cases"
    was, now = a.passes[at, found.cases], b.passes[at, found.cases]
    enough = (n > 1) & (m > 1)
    change: Change = "no difference shown"
    if adjusted <= alpha:
        change = "worse" if interval.mean < 0 else "better"
    planned = a.lineup.cases
    return Versus(
        route=found.route,
        scorer=scorers[at],
        reference=a.run.id,
        run=b.run.id,
        cases=len(found.cases),
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        p=found.p,
        p_adjusted=adjusted,
        change=change,
        broken=_names(planned, found.cases[enough & (was == n) & (now == 0)]),
        fixed=_names(planned, found.cases[enough & (was == 0) & (now == m)]),
    )


def _names(planned: Sequence[PlannedCase], cases: Whole) -> tuple[str, ...]:
    return tuple(planned[at].id for at in cases.tolist())
