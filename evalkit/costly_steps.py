"""Which steps a route spends more on than before: time, tokens, dollars, or repetitions.

What a step spends itself is what it took less what the steps within it took. Steps that run side
by side each count in full.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.observations import codes, encoded, floats, taken
from evalkit.reports import GateRow, StepChange

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    *("case", "trial", "number", "parent", "depth", "kind", "name"),
    *("start_ns", "end_ns", "tokens_in", "tokens_out", "cost_usd"),
)
"""The columns of steps that are read, in the order of a walk."""

MOST = 3
WORTH = 0.2
"""A step is named where it makes up at least this share of the rise."""

Floats = NDArray[np.float64]


class Spent(NamedTuple):
    """Of one route: per trial and step, by its label, what it spent itself, and how many trials."""

    by_label: dict[str, float]
    trials: int


def costly_steps(
    row: GateRow, cases: Sequence[str], after: pa.Table, before: pa.Table
) -> tuple[StepChange, ...]:
    """The steps that make up the rise of an efficiency row, the largest first.

    The tables hold :data:`COLUMNS` of steps, those of ``cases`` (the route's common ones) among
    them. ``baseline`` and ``candidate`` of a change are means per trial, in the row's unit.
    """
    now, was = (spent(_of(steps, cases), row.scorer) for steps in (after, before))
    if not now.trials or not was.trials:
        return ()
    rises = {label: value - was.by_label.get(label, 0.0) for label, value in now.by_label.items()}
    whole = sum(rise for rise in rises.values() if rise > 0)
    ranked = sorted(rises, key=lambda label: (-rises[label], label))
    return tuple(
        StepChange(
            kind="took_more",
            name=label,
            expected=None,
            baseline=was.by_label.get(label, 0.0),
            candidate=now.by_label[label],
            cases=(),
        )
        for label in ranked[:MOST]
        if rises[label] > 0 and rises[label] >= WORTH * whole
    )


def spent(steps: pa.Table, measure: str) -> Spent:
    """What each step spent itself, a trial: seconds, tokens, US dollars, or times it happened."""
    if not steps.num_rows:
        return Spent({}, 0)
    starts = np.flatnonzero(floats(steps["number"]) == 0)
    whole = _took(steps, measure)
    own = whole if measure == "steps" else _own(steps, whole, starts)
    labels, label = _labels(steps)
    totals = np.bincount(label, weights=own) / len(starts)
    named = zip(labels, totals.tolist(), strict=True)
    return Spent(dict(named), len(starts))


def _of(steps: pa.Table, cases: Sequence[str]) -> pa.Table:
    found: pa.Table = taken(steps, np.flatnonzero(codes(steps["case"], cases) >= 0))
    return found


def _labels(steps: pa.Table) -> tuple[list[str], NDArray[np.intp]]:
    """The different kinds and names of steps, and which of them each has; null is no text."""
    (kinds, kind), (names, name) = (encoded(steps[text]) for text in ("kind", "name"))
    kinds, names = [*kinds, ""], [*names, ""]  # the last for nulls, whose place is -1
    both = kind % len(kinds) * len(names) + name % len(names)
    different, label = np.unique(both, return_inverse=True)
    pairs = (divmod(one, len(names)) for one in different.tolist())
    return [f"{kinds[first]} {names[second]}" for first, second in pairs], label


def _took(steps: pa.Table, measure: str) -> Floats:
    """Of each step with all that is in it; NaN where it does not tell."""
    if measure == "latency_s":
        import pyarrow.compute as pc

        return floats(pc.subtract(steps["end_ns"], steps["start_ns"])) / 1e9
    if measure == "tokens":
        return _sum(floats(steps[name]) for name in ("tokens_in", "tokens_out"))
    if measure == "cost_usd":
        return floats(steps["cost_usd"])
    return np.ones(steps.num_rows)


def _own(steps: pa.Table, took: Floats, starts: NDArray[np.intp]) -> Floats:
    """What was taken less what the steps within took; nothing where it is not known.

    Depth by depth, from the innermost.
    """
    depth = floats(steps["depth"])
    first = np.repeat(starts, np.diff([*starts, steps.num_rows]))
    parent = np.nan_to_num(floats(steps["parent"]), nan=-1).astype(np.intp)
    within, own = np.zeros(len(took)), np.zeros(len(took))
    known = np.isfinite(took)
    for level in range(int(depth.max()), -1, -1):
        rows = np.flatnonzero(depth == level)
        own[rows] = np.where(known[rows], np.maximum(0, took[rows] - within[rows]), 0)
        whole = np.where(known[rows], took[rows], within[rows])
        inner = parent[rows] >= 0
        np.add.at(within, first[rows[inner]] + parent[rows[inner]], whole[inner])
    return own


def _sum(columns: Iterable[Floats]) -> Floats:
    both = np.stack(list(columns))
    return np.where(np.isnan(both).all(axis=0), np.nan, np.nansum(both, axis=0))
