"""Which steps a route spends more on than before: time, tokens, dollars, or repetitions.

What a step spends itself is what it took less what the steps within it took. Steps that run side
by side each count in full.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.results import GateRow, StepChange

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
    numbers = steps["number"].to_numpy()
    starts = np.flatnonzero(numbers == 0)
    taken = _taken(steps, measure)
    own = taken if measure == "steps" else _own(steps, taken, starts)
    label = _labels(steps)
    totals = np.bincount(label.indices.to_numpy(), weights=own) / len(starts)
    named = zip(label.dictionary.to_pylist(), totals.tolist(), strict=True)
    return Spent(dict(named), len(starts))


def _of(steps: pa.Table, cases: Sequence[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    of = pc.cast(steps["case"], pa.string())
    return steps.filter(pc.is_in(of, value_set=pa.array(cases, pa.string())))


def _labels(steps: pa.Table) -> pa.DictionaryArray:
    """Kind and name of each step; null is no text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = [pc.fill_null(pc.cast(steps[name], pa.string()), "") for name in ("kind", "name")]
    joined = pc.binary_join_element_wise(*parts, " ").combine_chunks()
    return pc.dictionary_encode(joined)


def _taken(steps: pa.Table, measure: str) -> Floats:
    """Of each step with all that is in it; NaN where it does not tell."""
    if measure == "latency_s":
        import pyarrow.compute as pc

        return _floats(pc.subtract(steps["end_ns"], steps["start_ns"])) / 1e9
    if measure == "tokens":
        return _sum(_floats(steps[name]) for name in ("tokens_in", "tokens_out"))
    if measure == "cost_usd":
        return _floats(steps["cost_usd"])
    return np.ones(steps.num_rows)


def _own(steps: pa.Table, taken: Floats, starts: NDArray[np.intp]) -> Floats:
    """What was taken less what the steps within took; nothing where it is not known.

    Depth by depth, from the innermost.
    """
    depth = steps["depth"].to_numpy()
    first = np.repeat(starts, np.diff([*starts, steps.num_rows]))
    parent = np.nan_to_num(_floats(steps["parent"]), nan=-1).astype(np.intp)
    within, own = np.zeros(len(taken)), np.zeros(len(taken))
    known = np.isfinite(taken)
    for level in range(int(depth.max()), -1, -1):
        rows = np.flatnonzero(depth == level)
        own[rows] = np.where(known[rows], np.maximum(0, taken[rows] - within[rows]), 0)
        whole = np.where(known[rows], taken[rows], within[rows])
        inner = parent[rows] >= 0
        np.add.at(within, first[rows[inner]] + parent[rows[inner]], whole[inner])
    return own


def _sum(columns: Iterable[Floats]) -> Floats:
    both = np.stack(list(columns))
    return np.where(np.isnan(both).all(axis=0), np.nan, np.nansum(both, axis=0))


def _floats(column: pa.ChunkedArray) -> Floats:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.cast(column, pa.float64(), safe=False).to_numpy().astype(float)  # type: ignore[no-any-return]  # pyarrow has no types
