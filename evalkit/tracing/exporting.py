"""Scores go back to where traces are looked at: OpenTelemetry ``gen_ai.evaluation.result`` events.

Each score is a log record on the trial's trace and its outermost span, as the GenAI conventions
have it, sent to any OTLP/HTTP endpoint.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from evalkit.errors import IncompleteError, InputError
from evalkit.results import Run, Score, Trial

EVENT = "gen_ai.evaluation.result"
BATCH = 500
TIMEOUT_S = 30.0
MAX_EXPLANATION = 2_000


class Exported(NamedTuple):
    """Events that were taken and rejected, and scores of trials that have no trace."""

    sent: int
    rejected: int
    without_trace: int


def export_scores(
    run: Run, trials: Iterable[Trial], endpoint: str, headers: Mapping[str, str] | None = None
) -> Exported:
    """Sends the trials' scores to ``ENDPOINT/v1/logs``.

    Raises InputError for an endpoint that is no HTTP URL, IncompleteError where it does not
    answer or refuses; what was sent before stays sent.
    """
    connection, path = _connection(endpoint)
    sent = rejected = 0
    missing = [0]
    events = _events(run, trials, missing)
    try:
        while batch := list(islice(events, BATCH)):
            refused = _post(connection, path, evaluation_request(run, batch), headers or {})
            sent, rejected = sent + len(batch) - refused, rejected + refused
    except (OSError, http.client.HTTPException) as error:
        raise IncompleteError(f"{endpoint} does not take scores: {error}") from error
    finally:
        connection.close()
    return Exported(sent, rejected, missing[0])


def _events(run: Run, trials: Iterable[Trial], missing: list[int]) -> Iterator[tuple[Trial, Score]]:
    for trial in trials:
        happened = trial.trajectory
        if happened is None or happened.trace_id is None:
            missing[0] += len(trial.scores)
        else:
            yield from ((trial, score) for score in trial.scores)


def evaluation_request(run: Run, events: Iterable[tuple[Trial, Score]]) -> bytes:
    """An OTLP ``ExportLogsServiceRequest`` of the scores, each on its trial's trace."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    scoped = request.resource_logs.add().scope_logs.add()
    scoped.scope.name, scoped.scope.version = "evalkit", run.evalkit_version
    for trial, score in events:
        happened = trial.trajectory
        assert happened is not None
        record = scoped.log_records.add(event_name=EVENT)
        record.trace_id = bytes.fromhex(happened.trace_id or "")
        root = next((step.span_id for step in happened.steps if step.span_id), None)
        if root is not None:
            record.span_id = bytes.fromhex(root)
        record.time_unix_nano = int((run.finished or run.started) * 1e9)
        for key, value in _attributes(run, trial, score).items():
            _set(record.attributes.add(key=key).value, value)
    return bytes(request.SerializeToString())


def _attributes(run: Run, trial: Trial, score: Score) -> dict[str, str | int | float]:
    told: dict[str, str | int | float | None] = {
        "gen_ai.evaluation.name": score.scorer,
        "gen_ai.evaluation.score.value": score.value,
        "gen_ai.evaluation.score.label": _label(score),
        "gen_ai.evaluation.explanation": score.reason[:MAX_EXPLANATION],
        "error.type": "could_not_judge" if score.status == "could_not_judge" else None,
        "evalkit.run": run.id,
        "evalkit.label": run.label,
        "evalkit.suite": run.suite.name,
        "evalkit.case": trial.case,
        "evalkit.trial": trial.trial,
        "evalkit.route": trial.route,
    }
    return {key: value for key, value in told.items() if value is not None}


def _label(score: Score) -> str:
    if score.passed is None:
        return score.status
    return "pass" if score.passed else "fail"


def _set(value: Any, found: str | int | float) -> None:
    if isinstance(found, str):
        value.string_value = found.encode("utf-8", "replace").decode()
    elif isinstance(found, int):
        value.int_value = found
    else:
        value.double_value = found


def _connection(endpoint: str) -> tuple[http.client.HTTPConnection, str]:
    try:
        url = urlsplit(endpoint)
        host, port = url.hostname, url.port
    except ValueError:
        host = port = None
    if host is None or url.scheme not in ("http", "https"):
        raise InputError(f"{endpoint[:200]!r} is no endpoint: give http://HOST:PORT")
    path = url.path.rstrip("/").removesuffix("/v1/logs") + "/v1/logs"
    if url.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context), path
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S), path


def _post(
    connection: http.client.HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]
) -> int:
    """Sends one request; how many records of it were rejected."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    connection.request("POST", path, body, {**headers, "Content-Type": "application/x-protobuf"})
    answer = connection.getresponse()
    data = answer.read(1 << 20)
    if answer.status != 200:
        said = data[:300].decode("utf-8", "replace")
        raise IncompleteError(f"the endpoint answered {answer.status}: {said}")
    if "protobuf" not in (answer.getheader("Content-Type") or ""):
        return 0
    from evalkit.tracing.otlp_protobuf import parsed

    response = parsed(ExportLogsServiceResponse(), data)
    return int(response.partial_success.rejected_log_records)
