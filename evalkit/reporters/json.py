"""The objects of ``--format json``: documented, stable, unknown values ``null``, never NaN."""

from __future__ import annotations

import codecs
import datetime
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from evalkit.reliability import flaky_trials
from evalkit.reports import GateReport, GateRow, Promotion, Report, RouteSummary
from evalkit.results import Run, Score, Trial
from evalkit.trajectory import Step

if TYPE_CHECKING:
    from evalkit.choosing import Choice
    from evalkit.power import Plan
    from evalkit.self_test import SelfTest

_PLAIN = frozenset({str, int, bool, type(None)})
MAX_DEPTH = 300
"""What is nested deeper is cut off with ``…``: steps take 200 levels at most, values the rest."""


def render(report: Report, /) -> str:
    """The run with its routes and, where there is one, the gate: the object of ``run``."""
    gate = report.gate
    found = gate_object(gate) if gate else {"run": report.run.id, "baseline": None, "exit": None}
    return _written(
        {
            **found,
            "label": report.run.label,
            "suite": report.run.suite.name,
            "routes": found.get("routes", []),
            "summary": [row for route in report.routes for row in summary_objects(route)],
            "notes": [*(gate.notes if gate else ()), *report.notes],
        }
    )


def render_gate(gate: GateReport, /) -> str:
    """The object of ``gate``."""
    return _written({**gate_object(gate), "notes": gate.notes})


def render_runs(runs: Iterable[Run], trials: Mapping[str, int] | None = None, /) -> str:
    """The object of ``runs``, in the order given.

    ``trials`` are those that a run holds: as many as cases, in a run of recorded traces, whose
    record names none.
    """
    held = trials or {}
    return to_json({"runs": [run_object(run, held.get(run.id, 0)) for run in runs]})


def render_compare(
    runs: Sequence[Run], routes: Iterable[RouteSummary], choice: Choice | None = None, /
) -> str:
    """The object of ``compare``: a row per route, run and scorer.

    With several runs also every run against the first (``pairs``), and per route what each run
    gives for its price (``standings``).
    """
    order = {run.id: place for place, run in enumerate(runs)}
    rows = [row for route in routes for row in summary_objects(route)]
    rows.sort(key=lambda row: (row["route"], order.get(row["run"], len(order))))
    found: dict[str, Any] = {"runs": [run_object(run) for run in runs], "routes": rows}
    return _written({**found, **(msgspec.structs.asdict(choice) if choice else {})})


def render_baselines(
    promotions: Iterable[Promotion], current: Mapping[tuple[str, str], str], /
) -> str:
    """The object of ``baseline list``.

    ``current`` maps a promoted run and its label to the run that the label means now.
    """
    rows = [
        {
            "label": one.label,
            "run": one.run,
            "promoted": _iso(one.promoted),
            "exit": one.exit,
            "forced": one.forced,
            "replaced": one.replaced,
            "current": current.get((one.run, one.label)) == one.run,
            "now": current.get((one.run, one.label)),
        }
        for one in promotions
    ]
    return to_json({"baselines": rows})


def render_plan(plan: Plan, baseline: Run | None, notes: Sequence[str] = (), /) -> str:
    """The object of ``plan``; ``baseline`` is the run that the variance was measured in."""
    found = msgspec.to_builtins(plan)
    return to_json({"baseline": baseline.id if baseline else None, **found, "notes": notes})


def render_self_test(found: SelfTest, /) -> str:
    """The object of ``gate --self-test``."""
    return to_json(msgspec.to_builtins(found))


def render_show(run: Run, trials: Iterable[Trial], /) -> str:
    """The object of ``show``: every trial with its steps and scores, and per scorer the cases
    whose trials disagree."""
    listed = list(trials)
    shown = [trial_object(trial) for trial in listed]
    flaky = flaky_trials(listed)
    return to_json({"run": run.id, "label": run.label, "trials": shown, "flaky": flaky})


def run_object(run: Run, recorded: int = 0) -> dict[str, Any]:
    """One run; ``started`` is UTC in ISO 8601, ``trials`` are those planned over all cases.

    ``recorded`` are the traces of a run whose record does not name them.
    """
    cases = len(run.planned) or recorded
    return {
        "run": run.id,
        "label": run.label,
        "suite": run.suite.name,
        "started": _iso(run.started),
        "cases": cases,
        "trials": cases * run.trials,
        "status": run.status,
    }


def gate_object(gate: GateReport) -> dict[str, Any]:
    """The gate's decision with its rows."""
    return {
        "run": gate.run,
        "baseline": gate.baseline,
        "exit": gate.exit,
        "confirmed": gate.confirmed,
        "routes": [_row(row) for row in gate.rows],
    }


def summary_objects(route: RouteSummary) -> list[dict[str, Any]]:
    """One row per scorer; latency in seconds, tokens and cost per trial."""
    return [
        {
            "route": route.route,
            "run": route.run,
            "label": route.label,
            "scorer": one.scorer,
            "mean": one.estimate.mean,
            "low": one.estimate.low,
            "high": one.estimate.high,
            **{
                name: {str(k): value for k, value in sorted(getattr(one, name).items())}
                for name in ("pass_hat", "pass_hat_interval", "pass_at", "pass_at_interval")
            },
            "variance": one.variance,
            "flaky": one.flaky,
            "cases": route.cases,
            "trials": route.trials,
            "scored": one.scored,
            "not_judged": one.not_judged,
            "infrastructure": route.infrastructure,
            "latency_p50": route.latency_p50,
            "latency_p99": route.latency_p99,
            "tokens": route.tokens,
            "cost_usd": route.cost_usd,
        }
        for one in route.scorers
    ]


def trial_object(trial: Trial) -> dict[str, Any]:
    """One trial; ``route`` is the case's, ``route_taken`` and ``route_from`` are the one
    read from the trace and what it was read from."""
    trajectory = trial.trajectory
    return {
        "case": trial.case,
        "trial": trial.trial,
        "route": trial.route,
        "route_taken": trajectory.route if trajectory else None,
        "route_from": trajectory.coverage.route_from if trajectory else None,
        "status": trial.status,
        "error": trial.error,
        "latency_s": trial.latency_s,
        "output": trajectory.output if trajectory else None,
        "steps": [_step(step) for step in trajectory.steps] if trajectory else [],
        "scores": [_score(score) for score in trial.scores],
    }


def to_json(value: Any) -> str:
    """``value`` as one JSON object in ASCII, so that no terminal acts on what is in it."""
    return _written(plain(value))


def _written(made: Any) -> str:
    """What :func:`to_json` gives of JSON values, and of records that hold nothing recorded."""
    try:
        found = msgspec.json.format(msgspec.json.encode(made), indent=2).decode()
    except (UnicodeEncodeError, OverflowError):
        # Half a surrogate pair and whole numbers over 64 bits: only Python's own JSON has them.
        return json.dumps(plain(made), indent=2, allow_nan=False) + "\n"
    return found.encode("ascii", _ESCAPED).decode() + "\n"


def _escape(error: UnicodeError) -> tuple[str, int]:
    """What is not ASCII as JSON's ``\\u`` escapes, for :func:`codecs.register_error`."""
    assert isinstance(error, UnicodeEncodeError), "nothing else is written here"
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


_ESCAPED = "evalkit.json"
codecs.register_error(_ESCAPED, _escape)


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` as what JSON has: NaN and infinities become null, what is too deep ``…``."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None  # numpy's are floats too
    if depth > MAX_DEPTH:
        return "…"
    # Most values are plain already: of those, not even this function is called. What is no
    # number, or not finite, less itself is not zero.
    below = depth + 1
    if isinstance(value, Mapping):
        return {
            str(key): one
            if type(one) in _PLAIN or (type(one) is float and one - one == 0)
            else plain(one, below)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [one if type(one) in _PLAIN else plain(one, below) for one in value]
    if isinstance(value, msgspec.Struct):
        return plain(msgspec.structs.asdict(value), depth)
    return str(value)


def _row(row: GateRow) -> dict[str, Any]:
    found = msgspec.structs.asdict(row)
    return {**found, "spent": {"trials": row.trials + row.spent_trials}}


def _step(step: Step) -> dict[str, Any]:
    """Every field, also unknown ones; children last. Steps nest at most 100 deep."""
    found = msgspec.structs.asdict(step)
    del found["steps"]
    return {**found, "steps": [_step(child) for child in step.steps]}


def _score(score: Score) -> dict[str, Any]:
    return msgspec.structs.asdict(score)


def _iso(started: float) -> str | None:
    if not started:
        return None
    moment = datetime.datetime.fromtimestamp(started, datetime.UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
