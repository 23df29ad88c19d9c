"""What a gate did not compare: the rows that cannot pass for it, and what a reader must know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from msgspec.structs import replace

from evalkit.measurement import Side, name_some, unselected_cases
from evalkit.reports import FAILED, UNDECIDED, GateRow
from evalkit.suite import GatePolicy


def only_what_was_run(rows: Sequence[GateRow], after: Side, before: Side) -> tuple[GateRow, ...]:
    """The rows, but no pass where the baseline tried only a selection of the route."""
    return tuple(_covered(row, unselected_cases(after, before, row.route)) for row in rows)


def _covered(row: GateRow, uncovered: tuple[str, ...]) -> GateRow:
    if not uncovered or row.verdict in (*FAILED, *UNDECIDED):
        return row
    reason = (
        f"{name_some(uncovered)}: not in the baseline, of which only a selection was run; gate "
        f"against a whole run. Of the others: {row.reason}"
    )
    return replace(row, verdict="inconclusive", reason=reason)


def uncompared(rows: Sequence[GateRow], before: Side, policy: GatePolicy) -> tuple[GateRow, ...]:
    """The rows, but no pass on a route of the baseline that no scorer in common blocks on.

    A scorer that found nothing to judge there was in common; a route that the baseline does not
    have is new.
    """
    known = set(before.scores.scorers)
    blind = {route for route in before.routes if known.isdisjoint(policy.of(route).on or ())}
    return tuple(
        replace(
            row,
            verdict="inconclusive",
            reason=f"{row.reason}, nor of any other that blocks here: nothing was compared. Score "
            f"the baseline by this suite (evalkit score {before.recorded.run.id}) and gate against "
            "that, or make a new one",
        )
        if row.verdict == "new" and row.route in blind
        else row
        for row in rows
    )


def say_released(after: Side, before: Side, policy: GatePolicy) -> Iterator[str]:
    """Notes of what blocked in the baseline's own suite, and no longer does in this run's."""
    was, now = before.recorded.run.suite.gate, after.recorded.run.suite.gate
    released: dict[str, list[str]] = {}
    for route in before.routes:
        if route in after.routes:
            blocking = {*(now.of(route).on or ()), *(policy.of(route).on or ())}
            gone = [scorer for scorer in was.of(route).on or () if scorer not in blocking]
            judging = _judging(before, route) if gone else ()
            for scorer in gone:
                if scorer in judging:
                    released.setdefault(scorer, []).append(route)
    for scorer, routes in released.items():
        if scorer not in after.scores.scorers:
            why = "this run has no scores of it, so that nobody knows whether it got worse"
        else:
            advises = all(scorer in (policy.of(route).advise or ()) for route in routes)
            why = "it advises" if advises else "it has no say"
        yield f"{scorer} blocked in the baseline's suite and no longer does: {why} (" + (
            f"{'route' if len(routes) == 1 else 'routes'} {name_some(routes)})"
        )


def _judging(side: Side, route: str) -> frozenset[str]:
    """The scorers that judged a route of a run."""
    cases = side.routes.get(route)
    if cases is None:
        return frozenset()
    rows = side.scores
    mine = rows.judged & np.isin(rows.case, cases)
    return frozenset(rows.scorers[at] for at in np.unique(rows.scorer[mine]).tolist())
