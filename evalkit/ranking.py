"""Which version to choose on a route: near the best on cases that all have, and then cheap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalkit.observations import Whole
from evalkit.reports import RouteSummary
from evalkit.versions import Cells, test

_ALIKE = 1.05  # prices that differ by less are the same
_LEAST_CASES = 0.5  # of the reference's, that a run must have to be ranked with the others


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One run on one route: quality, dollars and seconds per trial, over the same cases for all.

    ``quality`` is the mean over the scorers and the ``cases`` that all ranked runs have scores
    of; None for a run that cannot be ranked, since it lost too many. ``efficient``: no other run
    is at least as good, cheap and fast, and better in one of them. ``chosen``: the run to take
    for this route, ``reason`` why.
    """

    route: str
    run: str
    quality: float | None
    cost_usd: float | None
    latency_p50: float | None
    efficient: bool
    chosen: bool = False
    reason: str = ""
    cases: int = 0


class Ranked(NamedTuple):
    """All runs on one route, and what a reader must know: by what it is, the details."""

    standings: list[Standing]
    notes: list[tuple[str, str]]


class _Common(NamedTuple):
    """What runs are ranked on: the places of the runs, of the scorers, and the cases of each."""

    runs: list[int]
    cases: dict[int, Whole]

    @property
    def every(self) -> Whole:
        """The cases that count for any scorer."""
        return np.unique(np.concatenate([np.empty(0, np.intp), *self.cases.values()]))


def rank(
    cells: Sequence[Cells],
    scorers: Sequence[str],
    route: str,
    cases: Whole,
    *,
    alpha: float,
    margin: float,
    most_lost: float,
) -> Ranked:
    """Every run on one route, the chosen one marked.

    ``most_lost`` is the share of scores that a run may lack, of those that others have on cases
    that it planned, before it is not ranked.
    """
    known = {at: _summary(run, route) for at, run in enumerate(cells)}
    here = {at: summary for at, summary in known.items() if summary is not None}
    common, notes = _in_common(cells, scorers, route, cases, list(here), most_lost)
    found = {at: _standing(cells[at], summary, common, at) for at, summary in here.items()}
    ranked = {
        at: msgspec.structs.replace(
            one, efficient=not any(_dominates(other, one) for other in found.values())
        )
        for at, one in found.items()
    }
    rated = [at for at, one in ranked.items() if one.quality is not None]
    if not rated:
        return Ranked(list(ranked.values()), notes)
    best = max(rated, key=lambda at: (_quality(ranked[at]), *(-p for p in _price(ranked[at]))))
    able = [
        at
        for at in rated
        if _quality(ranked[at]) >= _quality(ranked[best]) - margin
        and not _is_worse(cells, (route, best, at), cases, alpha)
    ]
    chosen = _cheapest(ranked, able)
    if chosen == best:
        reason = "the best quality, and none as good is cheaper"
    else:
        reason = f"cheaper or faster than the best, within {margin:g} of it and not shown worse"
    ranked[chosen] = msgspec.structs.replace(ranked[chosen], chosen=True, reason=reason)
    return Ranked(list(ranked.values()), notes)


def _summary(run: Cells, route: str) -> RouteSummary | None:
    return next((one for one in run.routes if one.route == route), None)


def _in_common(
    cells: Sequence[Cells],
    scorers: Sequence[str],
    route: str,
    cases: Whole,
    here: list[int],
    most_lost: float,
) -> tuple[_Common, list[tuple[str, str]]]:
    """The runs that can be ranked, and the scorers and cases that all of them have."""
    scored = {at: cells[at].trials[:, cases] > 0 for at in here}
    some = [at for at in here if scored[at].any()]
    kept, notes = [], []
    for scorer, name in enumerate(scorers):
        has = [bool(scored[at][scorer].any()) for at in some]
        if all(has):
            kept.append(scorer)
        elif any(has):
            notes.append((f"{name} is not in all runs, and has no say in which to choose", route))
    if not some or not kept:
        return _Common([], {}), notes
    anywhere = np.logical_or.reduce([scored[at] for at in some])[kept]
    runs = []
    for at in some:
        why = _too_few(scored[at][kept], anywhere, cells[at].planned[cases], most_lost)
        if why:
            notes.append((f"run {cells[at].run.id} is not ranked", f"{route}: {why}"))
        else:
            runs.append(at)
    if not runs:
        return _Common([], {}), notes
    every = np.logical_and.reduce([scored[at] for at in runs])
    shared = {scorer: cases[every[scorer]] for scorer in kept if every[scorer].any()}
    found = _Common(runs, shared)
    total = int(anywhere.any(axis=0).sum())
    if len(found.every) < total:
        notes.append(
            (
                "quality and prices are of the cases that all ranked runs have scores of",
                f"{route}: {len(found.every)} of {total}",
            )
        )
    return found, notes


def _too_few(
    scored: NDArray[np.bool_],
    anywhere: NDArray[np.bool_],
    planned: NDArray[np.bool_],
    most_lost: float,
) -> str:
    """Why a run cannot be ranked with the others on a route; empty where it can.

    By scorer and case: where it has scores, and where any run has; by case, what it planned.
    """
    if planned.sum() < _LEAST_CASES * len(planned):
        return f"it has {int(planned.sum())} of {len(planned)} cases"
    due = anywhere & planned
    lost = int((due & ~scored).sum())
    return f"it lacks {lost} of {int(due.sum())} scores" if lost > most_lost * due.sum() else ""


def _standing(run: Cells, summary: RouteSummary, common: _Common, at: int) -> Standing:
    cost, latency = summary.cost_usd, summary.latency_p50
    quality = None
    every = common.every
    if at in common.runs and common.cases:
        means = [
            float((run.total[scorer, cases] / run.trials[scorer, cases]).mean())
            for scorer, cases in common.cases.items()
        ]
        # What adding up in another order changes must not decide which is best.
        quality = round(math.fsum(means) / len(means), 12)
        if len(every) < summary.cases:
            cost, latency = run.prices(every)
    return Standing(
        route=summary.route,
        run=run.run.id,
        quality=quality,
        cost_usd=cost,
        latency_p50=latency,
        efficient=False,
        cases=len(every) if quality is not None else 0,
    )


def _is_worse(
    cells: Sequence[Cells], which: tuple[str, int, int], cases: Whole, alpha: float
) -> bool:
    """Whether a run is shown to be worse than the route's best on any scorer."""
    route, best, other = which
    if best == other:
        return False
    for scorer in range(len(cells[0].trials)):
        found = test(cells, (route, scorer, best, other), cases, few=False)
        if found is None or found.p > alpha:
            continue
        a, b = cells[best], cells[other]
        was = (a.total[scorer, found.cases] / a.trials[scorer, found.cases]).mean()
        if (b.total[scorer, found.cases] / b.trials[scorer, found.cases]).mean() < was:
            return True
    return False


def _quality(one: Standing) -> float:
    return one.quality or 0.0


def _price(one: Standing) -> tuple[float, float]:
    """Dollars, then seconds; what is not known comes last."""
    unknown = math.inf
    return (
        unknown if one.cost_usd is None else one.cost_usd,
        unknown if one.latency_p50 is None else one.latency_p50,
    )


def _cheapest(ranked: dict[int, Standing], able: list[int]) -> int:
    """The cheapest, then the fastest, then the best; what is alike to 5 % decides nothing."""
    for place in (0, 1):
        least = min(_price(ranked[at])[place] for at in able)
        able = [at for at in able if _price(ranked[at])[place] <= least * _ALIKE]
    return max(able, key=lambda at: _quality(ranked[at]))


def _dominates(one: Standing, other: Standing) -> bool:
    """Whether ``one`` is at least as good, cheap and fast, and better in one of them."""
    if one.quality is None or other.quality is None:
        return other.quality is None and one.quality is not None
    mine = (-one.quality, *_price(one))
    theirs = (-other.quality, *_price(other))
    return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))
