"""The cases behind a row of the gate: those whose scores moved, and those that are gone."""

from __future__ import annotations

import numpy as np

from evalkit.comparison import Paired
from evalkit.measurement import Side
from evalkit.reports import CaseChange


def changed_cases(paired: Paired, after: Side, *, rising: bool) -> tuple[CaseChange, ...]:
    """The cases whose mean moved, the largest drop (or rise) first."""
    moves = paired.differences
    changes = [
        CaseChange(
            case=paired.cases[at],
            owner=after.owners[paired.cases[at]],
            baseline_passed=int(sum(paired.baseline[at].passed)),
            baseline_trials=len(paired.baseline[at].passed),
            candidate_passed=int(sum(paired.candidate[at].passed)),
            candidate_trials=len(paired.candidate[at].passed),
            difference=float(moves[at]),
        )
        for at in np.flatnonzero(moves).tolist()
    ]
    return tuple(sorted(changes, key=lambda change: change.difference, reverse=rising))


def lost_cases(
    missing: tuple[str, ...], before: Side | None, scorer: str
) -> tuple[CaseChange, ...]:
    """Missing cases as changes: no candidate trials, and all of the baseline's mean lost."""
    if before is None or not missing:
        return ()
    known = before.observed[scorer]
    return tuple(
        CaseChange(
            case=case,
            owner=before.owners[case],
            baseline_passed=int(sum(known[case].passed)) if case in known else 0,
            baseline_trials=len(known[case].passed) if case in known else 0,
            candidate_passed=0,
            candidate_trials=0,
            difference=-known[case].mean if case in known else 0.0,
        )
        for case in missing
    )
