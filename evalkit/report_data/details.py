"""What is shown of one case when it is opened: its trials, each beside what was expected."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from evalkit import phrasing
from evalkit.dataset import Case
from evalkit.report_data.text import LIMIT, value, visible
from evalkit.reporters.diff import MAX_ROWS, Row, diff
from evalkit.reporters.json import plain
from evalkit.results import Run, Score, Trial
from evalkit.trajectory import Step, Trajectory

TRIALS = 3
"""So many trials of a case are shown, those that failed first; of the baseline one is."""

_TOTAL = 256_000_000
"""So many characters may all trials of a page have."""


def details(
    cases: Sequence[str],
    run: Run,
    trials: Iterable[Trial],
    expected: Mapping[str, Case],
    baseline: tuple[Run, Iterable[Trial]] | None = None,
) -> list[dict[str, Any]]:
    """The cases in this order, each with its trials in the run and one in the baseline.

    ``trials`` are read once, in any order. ``expected`` are the cases as they were in the run;
    the baseline's trials are read against them too. Of the baseline a trial is shown that passed
    where there is one: what is beside a failure is what it should have been.
    """
    limit = min(256_000, max(8_000, _TOTAL // (4 * max(1, len(cases)))))
    mine = _chosen(cases, run, trials, expected, TRIALS, limit)
    theirs = (
        _chosen(cases, baseline[0], baseline[1], expected, 1, limit, failed_first=False)
        if baseline
        else {}
    )
    return [
        {
            "asked": _asked(expected.get(case)),
            "trials": [shown for _, shown in mine.get(case, ())],
            "baseline": [shown for _, shown in theirs.get(case, ())],
        }
        for case in cases
    ]


def _asked(case: Case | None) -> dict[str, Any] | None:
    if case is None:
        return None
    return {
        "input": value(case.input),
        "outcome": "\n".join(map(_stated, case.expect.outcome)) or None,
        "match": case.expect.match,
        "limits": _stated(case.expect.limits) if case.expect.limits else None,
        "never": ", ".join(visible(step.label, 120) for step in case.expect.never) or None,
    }


def _stated(record: msgspec.Struct) -> str:
    """What a case states, on one line."""
    return visible(json.dumps(plain(msgspec.to_builtins(record)), ensure_ascii=False))


def _chosen(
    cases: Sequence[str],
    run: Run,
    trials: Iterable[Trial],
    expected: Mapping[str, Case],
    most: int,
    limit: int,
    *,
    failed_first: bool = True,
) -> dict[str, list[tuple[tuple[bool, int], dict[str, Any]]]]:
    """Per case the trials to show with what orders them; never more than ``most`` are kept."""
    wanted = frozenset(cases)
    kept: dict[str, list[tuple[tuple[bool, int], dict[str, Any]]]] = defaultdict(list)
    for trial in trials:
        if trial.case not in wanted:
            continue
        place = (_good(trial) is failed_first, trial.trial)
        mine = kept[trial.case]
        if len(mine) == most and place > mine[-1][0]:
            continue
        mine.append((place, _trial(trial, run, expected.get(trial.case), limit)))
        mine.sort(key=lambda one: one[0])
        del mine[most:]
    return kept


def _good(trial: Trial) -> bool:
    return trial.status == "completed" and not any(one.passed is False for one in trial.scores)


def _trial(trial: Trial, run: Run, case: Case | None, limit: int) -> dict[str, Any]:
    found = trial.trajectory
    rows, note = diff(found, case, run.suite.effects) if found else ((), "")
    return {
        "trial": trial.trial,
        "status": trial.status,
        "good": _good(trial),
        "error": None if trial.error is None else visible(trial.error),
        "latency": phrasing.seconds(trial.latency_s),
        "tokens": _tokens(found),
        "cost": phrasing.dollars(found.cost_usd) if found else None,
        "taken": _route(found) if found and found.route else None,
        "output": value(found.output) if found else None,
        "scores": [_score(score) for score in trial.scores],
        "note": visible(note) if note else None,
        "rows": _rows(rows, found, limit) if found else None,
        "more": max(0, len(rows) - MAX_ROWS),
    }


def _route(found: Trajectory) -> str:
    why = found.coverage.route_from
    return visible(found.route, 200) + (f" ({visible(why, 200)})" if why else "")


def _tokens(found: Trajectory | None) -> str | None:
    if found is None or (found.tokens_in is None and found.tokens_out is None):
        return None
    return f"{phrasing.count(found.tokens_in)} → {phrasing.count(found.tokens_out)}"


def _score(score: Score) -> list[Any]:
    return [visible(score.scorer, 200), score.value, score.passed, visible(score.reason, 600)]


def _rows(rows: Sequence[Row], found: Trajectory, limit: int) -> list[list[Any]]:
    """Per row: mark, expected, actual, depth, notes, failed, and the span's details or null.

    The actual steps come in the order of the trajectory's walk, as in the rows.
    """
    visits = list(found.walk())
    times = [one.step.start_ns for one in visits if one.step.start_ns is not None]
    first, left = min(times, default=0), limit
    shown: list[list[Any]] = []
    steps = iter(visits)
    for row in rows[:MAX_ROWS]:
        span = None
        if row.actual:
            span = _span(next(steps).step, first, min(LIMIT, left))
            left -= len(span[2] or "") + len(span[3] or "")
        shown.append(
            [
                row.mark,
                visible(row.expected, 600),
                visible(row.actual, 200),
                row.depth,
                [visible(note, 600) for note in row.notes],
                row.error,
                span,
            ]
        )
    return shown


def _span(step: Step, first: int, limit: int) -> list[Any]:
    """Start and duration in milliseconds (null if unknown), arguments, output, cost."""
    start = None if step.start_ns is None else (step.start_ns - first) / 1e6
    timed = step.start_ns is not None and step.end_ns is not None
    took = max(0, (step.end_ns or 0) - (step.start_ns or 0)) / 1e6 if timed else None
    return [
        None if start is None else round(start, 3),
        None if took is None else round(took, 3),
        value(step.arguments, limit),
        value(step.output, limit),
        phrasing.dollars(step.cost_usd) if step.cost_usd is not None else None,
    ]
