"""Runs built by hand, for tests of what reads stored runs."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from evalkit.results import PlannedCase, Recorded, Run
from evalkit.suite import Pipeline, Suite
from evalkit.trajectory import Coverage

TRIALS = pa.schema(
    [
        ("case", pa.string()),
        ("route", pa.string()),
        ("trial", pa.int64()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("latency_s", pa.float64()),
        ("tokens_in", pa.int64()),
        ("tokens_out", pa.int64()),
        ("cost_usd", pa.float64()),
        ("route_taken", pa.string()),
        ("attempts", pa.int64()),
        ("started", pa.float64()),
    ]
)
SCORES = pa.schema(
    [
        ("case", pa.string()),
        ("route", pa.string()),
        ("trial", pa.int64()),
        ("scorer", pa.string()),
        ("value", pa.float64()),
        ("passed", pa.bool_()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("findings", pa.string()),
    ]
)


def trial(case: str, number: int, route: str = "r", **more: Any) -> dict[str, Any]:
    given = {"case": case, "route": route, "trial": number, "status": "completed", "attempts": 1}
    return dict.fromkeys(TRIALS.names) | given | more


def score(
    case: str, number: int, scorer: str, value: float | None, route: str = "r", **more: Any
) -> dict[str, Any]:
    given = {
        "case": case,
        "route": route,
        "trial": number,
        "scorer": scorer,
        "value": value,
        "passed": None if value is None else value == 1,
        "status": "scored",
        "reason": f"{scorer} gave {value}",
        "findings": "[]",
    }
    return given | more


def recorded(
    cases: Iterable[PlannedCase],
    trials: Sequence[Mapping[str, Any]],
    scores: Sequence[Mapping[str, Any]],
    *,
    name: str = "run",
    scorers: tuple[str, ...] = ("task_completion", "trajectory_match"),
    planned_trials: int = 3,
    **more: Any,
) -> Recorded:
    suite = Suite(name="s", pipeline=Pipeline(traces="t.jsonl"), dataset="d.jsonl", scorers=scorers)
    given: dict[str, Any] = {"status": "complete", "dataset_digest": "d", "started": 0.0}
    run = Run(
        id=name,
        label=name,
        suite=suite,
        planned=tuple(cases),
        trials=planned_trials,
        **(given | more),
    )
    return Recorded(
        run, pa.Table.from_pylist(list(trials), TRIALS), pa.Table.from_pylist(list(scores), SCORES)
    )


def of_values(
    values: Mapping[str, Mapping[str, Sequence[float | None]]],
    *,
    scorer: str = "task_completion",
    **more: Any,
) -> Recorded:
    """A run of one scorer from route -> case -> a value per trial; None is a timeout."""
    cases, trials, scores = [], [], []
    for route, by_case in values.items():
        for case, listed in by_case.items():
            cases.append(PlannedCase(case, route, f"digest of {case}", owner=f"{route} team"))
            for number, value in enumerate(listed):
                status = "completed" if value is not None else "timeout"
                trials.append(trial(case, number, route, status=status))
                if value is not None:
                    scores.append(score(case, number, scorer, value, route))
    return recorded(cases, trials, scores, scorers=(scorer,), **more)


def with_steps(
    recorded: Recorded,
    steps: Iterable[Mapping[str, Any]],
    coverage: Mapping[tuple[str, int], Coverage] | Coverage | None = None,
) -> Recorded:
    """The run with the steps of its trials, and with their coverage, of all or of some."""
    trials = recorded.trials
    keys = zip(trials["case"].to_pylist(), trials["trial"].to_pylist(), strict=True)
    by_trial = coverage if isinstance(coverage, Mapping) else dict.fromkeys(keys, coverage)
    told = [
        None if (one := by_trial.get(key)) is None else msgspec.json.encode(one).decode()
        for key in zip(trials["case"].to_pylist(), trials["trial"].to_pylist(), strict=True)
    ]
    return dataclasses.replace(
        recorded,
        trials=trials.append_column("coverage", pa.array(told, pa.string())),
        steps=pa.Table.from_pylist([{"inferred": None, **step} for step in steps]),
    )


def tau(name: str, shared: Path) -> list[dict[str, Any]]:
    """A file of recorded agent runs with their true reward."""
    with gzip.open(shared / "data" / "trajectories" / f"{name}.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


def of_tau(runs: Iterable[Mapping[str, Any]], **more: Any) -> Recorded:
    """Rewards as a run; a run without steps never happened, whatever reward it was given."""
    by_route: dict[str, dict[str, list[float | None]]] = {}
    for run in runs:
        case = by_route.setdefault(run["domain"], {}).setdefault(
            f"{run['domain']}-{run['task_id']}", []
        )
        case.append(float(run["reward"] == 1) if run["steps"] else None)
    return of_values(by_route, scorer="reward", **more)
