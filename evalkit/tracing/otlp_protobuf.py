"""OTLP traces and logs as protobuf: request bodies, and the Collector's file exporter."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from evalkit.errors import InputError
from evalkit.spans import Span, SpanEvent
from evalkit.tracing import ids
from evalkit.tracing.otlp import NO_TRACE, NO_TRACE_ID, log_event, no_span_id
from evalkit.tracing.otlp_values import MAX_NESTING
from evalkit.tracing.parts import MAX_SPAN, LogEvent, Reasons
from evalkit.tracing.shapes import shaped

_MAX_TIME = 2**63

# A trace's id, and a parent's, are those of several spans in a row.
_trace_id = lru_cache(4096)(ids.trace_id)
_parent_id = lru_cache(4096)(ids.span_id)


def read_otlp_protobuf(data: bytes, refused: Reasons | None = None) -> list[Span]:
    """The spans of an OTLP ``ExportTraceServiceRequest`` (or ``TracesData``, which is the same).

    Raises InputError if the bytes are no such message. A span without ids, or over MAX_SPAN, is
    counted in ``refused``; without it, that raises InputError too.
    """
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = parsed(ExportTraceServiceRequest(), data)
    reasons = Reasons() if refused is None else refused
    may_be_large = len(data) > MAX_SPAN
    spans = []
    for found in request.resource_spans:
        resource = _attributes(found.resource.attributes)
        for scoped in found.scope_spans:
            scope, version = scoped.scope.name, scoped.scope.version
            for one in scoped.spans:
                if may_be_large and one.ByteSize() > MAX_SPAN:
                    reasons[f"span larger than {MAX_SPAN:,} bytes"] += 1
                    continue
                span = _span(one, scope, version, resource, reasons)
                if span is not None:
                    spans.append(span)
    if refused is None and reasons:
        raise InputError(f"OTLP protobuf: {next(iter(reasons))}")
    return spans


def read_logs_protobuf(data: bytes, refused: Reasons) -> list[LogEvent]:
    """The log records with a trace of an OTLP ``ExportLogsServiceRequest``; raises InputError."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = parsed(ExportLogsServiceRequest(), data)
    scopes = (scoped for found in request.resource_logs for scoped in found.scope_logs)
    logs = [_log(record, refused) for scoped in scopes for record in scoped.log_records]
    return [log for log in logs if log is not None]


def parsed(message: Any, data: bytes) -> Any:
    """The message with the bytes read into it. Raises InputError if they are no such message."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # has no stubs

    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise InputError(f"no OTLP protobuf: {error}") from None
    return message


def _span(
    found: Any, scope: str, version: str, resource: dict[str, Any], refused: Reasons
) -> Span | None:
    trace_id, span_id = _trace_id(found.trace_id), ids.span_id(found.span_id)
    if trace_id is None or span_id is None:
        refused[NO_TRACE_ID if trace_id is None else no_span_id(found.span_id.hex())] += 1
        return None
    start, end = _time(found.start_time_unix_nano), _time(found.end_time_unix_nano)
    events, parent, status = found.events, found.parent_span_id, found.status
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=_parent_id(parent) if parent else None,
        name=found.name,
        start_ns=start,
        end_ns=end if end >= start else start,
        attributes=_attributes(found.attributes),
        events=tuple(
            SpanEvent(event.name, _time(event.time_unix_nano), _attributes(event.attributes))
            for event in events
        )
        if events
        else (),
        error=status.code == 2,
        status_message=status.message,
        scope=scope,
        scope_version=version,
        resource=resource,
    )


def _log(found: Any, refused: Reasons) -> LogEvent | None:
    trace_id = ids.trace_id(found.trace_id)
    if trace_id is None:
        refused[NO_TRACE] += 1
        return None
    at = _time(found.time_unix_nano) or _time(found.observed_time_unix_nano)
    event = log_event(found.event_name, at, _plain(found.body), _attributes(found.attributes))
    return LogEvent(trace_id, ids.span_id(found.span_id), event)


def _time(value: int) -> int:
    return value if value < _MAX_TIME else 0


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    # Each access makes an object: so each is asked for once. An empty string may be a text, or no
    # value at all: only then the kind is asked for.
    listed = [(pair.key, pair.value) for pair in pairs]
    return shaped(
        tuple([key for key, _ in listed]),
        [value.string_value or _plain(value) for _, value in listed],
    )


def _plain(value: Any, depth: int = 0) -> Any:
    kind = value.WhichOneof("value")
    if kind is None or depth > MAX_NESTING:
        return None
    found = getattr(value, kind)
    if kind == "array_value":
        return [_plain(item, depth + 1) for item in found.values]
    if kind == "kvlist_value":
        return {pair.key: _plain(pair.value, depth + 1) for pair in found.values if pair.key}
    return found
