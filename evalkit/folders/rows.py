"""The columns of a run's tables, and a trial as rows of them: there and back, the same trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from evalkit.results import Finding, Score, Trial
from evalkit.trajectory import Coverage, EndState, Step, Trajectory, total

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "trials": {
        "case": "VARCHAR",
        "trial": "BIGINT",
        "route": "VARCHAR",
        "status": "VARCHAR",
        "error": "VARCHAR",
        "attempts": "BIGINT",
        "started": "DOUBLE",
        "latency_s": "DOUBLE",
        "tokens_in": "BIGINT",
        "tokens_out": "BIGINT",
        "cost_usd": "DOUBLE",
        "route_taken": "VARCHAR",
        "trace_id": "VARCHAR",
        "stop_reason": "VARCHAR",
        "output": "VARCHAR",
        "said": "VARCHAR",
        "coverage": "VARCHAR",
        "session": "VARCHAR",
        "user": "VARCHAR",
        "state": "VARCHAR",
    },
    "steps": {
        "case": "VARCHAR",
        "trial": "BIGINT",
        "number": "BIGINT",
        "parent": "BIGINT",
        "depth": "BIGINT",
        "kind": "VARCHAR",
        "name": "VARCHAR",
        "arguments": "VARCHAR",
        "output": "VARCHAR",
        "status": "VARCHAR",
        "error": "VARCHAR",
        "model_requested": "VARCHAR",
        "model_served": "VARCHAR",
        "provider": "VARCHAR",
        "stop_reason": "VARCHAR",
        "tokens_in": "BIGINT",
        "tokens_out": "BIGINT",
        "tokens_cached": "BIGINT",
        "tokens_reasoning": "BIGINT",
        "cost_usd": "DOUBLE",
        "actor": "VARCHAR",
        "read_only": "BOOLEAN",
        "offered": "VARCHAR",
        "ttft_s": "DOUBLE",
        "inferred": "VARCHAR",
        "agent": "VARCHAR",
        "call_id": "VARCHAR",
        "span_id": "VARCHAR",
        "start_ns": "BIGINT",
        "end_ns": "BIGINT",
    },
    "scores": {
        "case": "VARCHAR",
        "trial": "BIGINT",
        "route": "VARCHAR",
        "scorer": "VARCHAR",
        "value": "DOUBLE",
        "passed": "BOOLEAN",
        "status": "VARCHAR",
        "reason": "VARCHAR",
        "findings": "VARCHAR",
        "data": "VARCHAR",
    },
}
"""Columns and their SQL types, per table. ``arguments``, ``output``, ``said``, ``coverage``,
``findings`` and ``data`` are JSON text: no value in them can make a load fail."""

RECORDED_TRIALS = tuple(COLUMNS["trials"])[:12]
RECORDED_SCORES = tuple(COLUMNS["scores"])
"""The columns of trials and scores that comparison and gate read."""

TRIAL_NUMBERS = ("case", "trial", "status", "latency_s", "tokens_in", "tokens_out", "cost_usd")
SCORE_NUMBERS = ("case", "trial", "scorer", "value", "passed", "status")
"""The columns that summaries and comparisons of many runs read."""

RECORDED_STEPS = ("case", "trial", "number", "kind", "name", "status", "arguments", "inferred")
"""The columns of steps that limits on retries and failing steps read; they read the trials'
``coverage``, too."""

_STEP_FIELDS = tuple(COLUMNS["steps"])[5:]
_PARENT, _KIND, _STATUS = map(list(COLUMNS["steps"]).index, ("parent", "kind", "status"))
_SUMMED = [list(COLUMNS["steps"]).index(name) for name in ("tokens_in", "tokens_out", "cost_usd")]
_encode = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode
_decode_findings = msgspec.json.Decoder(tuple[Finding, ...]).decode
_decode_coverage = msgspec.json.Decoder(Coverage).decode
_decode_state = msgspec.json.Decoder(EndState).decode
_decode_said = msgspec.json.Decoder(tuple[str, ...]).decode

Row = tuple[Any, ...]


def _json(value: Any) -> str | None:
    return None if value is None else _encode(value).decode()


def _value(text: str | None) -> Any:
    return None if text is None else _decode_json(text)


def table_rows(trial: Trial) -> dict[str, list[Row]]:
    """The trial as rows of each table."""
    steps = [] if trial.trajectory is None else _step_rows(trial, trial.trajectory.steps)
    return {"trials": [_trial_row(trial, steps)], "steps": steps, "scores": _score_rows(trial)}


def _trial_row(trial: Trial, steps: Sequence[Row]) -> Row:
    happened = trial.trajectory
    row: Row = (
        trial.case,
        trial.trial,
        trial.route,
        trial.status,
        trial.error,
        trial.attempts,
        trial.started,
        trial.latency_s,
    )
    if happened is None:
        return (*row, *(None,) * (len(COLUMNS["trials"]) - len(row)))
    parents = [step[_PARENT] for step in steps]
    calls = [step[_STATUS] if step[_KIND] == "llm" else None for step in steps]
    told: Row = (
        *[total([step[place] for step in steps], parents, calls).sure for place in _SUMMED],
        happened.route,
        happened.trace_id,
        happened.stop_reason,
        _json(happened.output),
        _json(happened.said or None),
        _json(happened.coverage),
        happened.session,
        happened.user,
        _json(happened.state),
    )
    return row + told


def _step_rows(trial: Trial, steps: Sequence[Step]) -> list[Row]:
    """The steps and all below them in pre-order."""
    case, trial_number = trial.key
    rows: list[Row] = []
    pending: list[tuple[int | None, int, Step]] = [(None, 0, step) for step in reversed(steps)]
    while pending:
        parent, depth, step = pending.pop()
        number = len(rows)
        if step.steps:
            pending += [(number, depth + 1, child) for child in reversed(step.steps)]
        arguments, output = step.arguments, step.output
        row = (
            case,
            trial_number,
            number,
            parent,
            depth,
            step.kind,
            step.name,
            None if arguments is None else _encode(arguments).decode(),
            None if output is None else _encode(output).decode(),
            step.status,
            step.error,
            step.model_requested,
            step.model_served,
            step.provider,
            step.stop_reason,
            step.tokens_in,
            step.tokens_out,
            step.tokens_cached,
            step.tokens_reasoning,
            step.cost_usd,
            step.actor,
            step.read_only,
            None if step.offered is None else _json(step.offered),
            step.ttft_s,
            step.inferred,
            step.agent,
            step.call_id,
            step.span_id,
            step.start_ns,
            step.end_ns,
        )
        rows.append(row)
    return rows


def _score_rows(trial: Trial) -> list[Row]:
    key = (trial.case, trial.trial, trial.route)
    return [
        (
            *key,
            score.scorer,
            score.value,
            score.passed,
            score.status,
            score.reason,
            _json(score.steps or None),
            _json(score.data or None),
        )
        for score in trial.scores
    ]


_UNBOUNDED = ("arguments", "output", "said", "state", "error", "reason", "findings", "data")
_LONG_TEXTS = {
    table: [place for place, name in enumerate(names) if name in _UNBOUNDED]
    for table, names in COLUMNS.items()
}


def text_size(table: str, rows: Sequence[Row]) -> int:
    """Characters in the columns that grow without limit."""
    places = _LONG_TEXTS[table]
    return sum([len(text) for row in rows for place in places if (text := row[place])])


def trial_of(row: Row, steps: Sequence[Row], scores: Sequence[Row]) -> Trial:
    told = dict(zip(COLUMNS["trials"], row, strict=True))
    return Trial(
        case=told["case"],
        trial=told["trial"],
        route=told["route"],
        status=told["status"],
        error=told["error"],
        attempts=told["attempts"],
        started=told["started"],
        latency_s=told["latency_s"],
        trajectory=None if told["coverage"] is None else _trajectory(told, steps),
        scores=tuple(_score(score) for score in scores),
    )


def _trajectory(told: Mapping[str, Any], steps: Sequence[Row]) -> Trajectory:
    return Trajectory(
        steps=_nested(steps),
        output=_value(told["output"]),
        said=_decode_said(told["said"]) if told["said"] is not None else (),
        route=told["route_taken"],
        trace_id=told["trace_id"],
        stop_reason=told["stop_reason"],
        session=told["session"],
        user=told["user"],
        coverage=_decode_coverage(told["coverage"]),
        state=None if told["state"] is None else _decode_state(told["state"]),
    )


def _nested(rows: Sequence[Row]) -> tuple[Step, ...]:
    """Steps from their pre-order rows: the last first, so that children come before parents."""
    children: dict[int | None, list[Step]] = {}
    for row in reversed(rows):
        number, parent = row[2], row[3]
        fields = dict(zip(_STEP_FIELDS, row[5:], strict=True))
        fields["arguments"] = _value(fields["arguments"])
        fields["output"] = _value(fields["output"])
        offered = _value(fields["offered"])
        fields["offered"] = None if offered is None else tuple(offered)
        below = tuple(reversed(children.pop(number, [])))
        children.setdefault(parent, []).append(Step(**fields, steps=below))
    return tuple(reversed(children.get(None, [])))


def _score(row: Row) -> Score:
    scorer, value, passed, status, reason, findings, data = row[3:]
    return Score(
        scorer,
        value,
        passed,
        reason,
        _decode_findings(findings) if findings is not None else (),
        status,
        _value(data) or {},
    )
