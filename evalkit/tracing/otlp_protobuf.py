"""OTLP traces and logs as protobuf: request bodies, and the Collector's file exporter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from evalkit.errors import InputError
from evalkit.spans import Span, SpanEvent
from evalkit.tracing import ids
from evalkit.tracing.attributes import label
from evalkit.tracing.mending import in_order
from evalkit.tracing.otlp import NO_TRACE_ID, log_event, no_span_id
from evalkit.tracing.otlp_values import MAX_NESTING, finite
from evalkit.tracing.parts import MAX_SPAN, LogEvent
from evalkit.tracing.reasons import NO_TRACE, TOO_DEEP, Reasons
from evalkit.tracing.shapes import shaped
from evalkit.tracing.wire import fields

_MAX_TIME = 2**63

# A trace's id, and a parent's, are those of several spans in a row.
_trace_id = lru_cache(4096)(ids.trace_id)
_parent_id = lru_cache(4096)(ids.span_id)


def read_otlp_protobuf(data: bytes, refused: Reasons | None = None) -> list[Span]:
    """The spans of an OTLP ``ExportTraceServiceRequest`` (or ``TracesData``, which is the same).

    Raises InputError if the bytes are no such message. A span that is damaged, over MAX_SPAN or
    without ids is counted in ``refused``; without it, that raises InputError too.
    """
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    reasons = Reasons() if refused is None else refused
    request = _request(ExportTraceServiceRequest, data, reasons)
    may_be_large = len(data) > MAX_SPAN
    spans = []
    for found in request.resource_spans:
        resource = _attributes(found.resource.attributes, reasons)
        for scoped in found.scope_spans:
            scope, version = label(scoped.scope.name) or "", label(scoped.scope.version) or ""
            for one in scoped.spans:
                if may_be_large and one.ByteSize() > MAX_SPAN:
                    reasons[f"span larger than {MAX_SPAN:,} bytes"] += 1
                    continue
                span = _span(one, scope, version, resource, reasons)
                if span is not None:
                    spans.append(span)
    if refused is None and (bad := reasons.refused()):
        raise InputError(f"OTLP protobuf: {next(iter(bad))}")
    return spans


def read_logs_protobuf(data: bytes, refused: Reasons) -> list[LogEvent]:
    """The log records with a trace of an OTLP ``ExportLogsServiceRequest``.

    Raises InputError if the bytes are no such message; damaged records are counted in ``refused``.
    """
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = _request(ExportLogsServiceRequest, data, refused)
    logs = [_log(record, refused) for record in _records(request)]
    return [log for log in logs if log is not None]


def holds_logs(data: bytes) -> bool:
    """Whether a request is one of logs: its records have times where spans have other fields."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = _request(ExportLogsServiceRequest, data, Reasons())
    return any(one.time_unix_nano or one.observed_time_unix_nano for one in _records(request))


def _records(request: Any) -> Iterator[Any]:
    scopes = (scoped for found in request.resource_logs for scoped in found.scope_logs)
    return (record for scoped in scopes for record in scoped.log_records)


def parsed(message: Any, data: bytes) -> Any:
    """The message with the bytes read into it. Raises InputError if they are no such message."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # has no stubs

    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise InputError(f"no OTLP protobuf: {error}") from None
    return message


def _request(kind: type[Any], data: bytes, refused: Reasons) -> Any:
    """The request that the bytes are; of one that does not parse, the spans or records that do."""
    try:
        return parsed(kind(), data)
    except InputError as error:
        salvaged = _salvaged(kind(), data, counts := Reasons())
        if salvaged is None:
            raise error from None
        refused.update(counts or {"part of a message that is no OTLP protobuf": 1})
        return salvaged


def _salvaged(request: Any, data: bytes, refused: Reasons) -> Any:
    """What is good in a damaged request of traces or logs; None where nothing is.

    Both have the same form: field 1 is a resource's, therein 2 a scope's, therein 2 an item; the
    resource and the scope themselves are field 1.
    """
    is_any = False
    for _, of_resource in (one for one in fields(data) if one[0] == 1):
        resource = _repeated(request, 1).add()
        for number, of_scope in fields(of_resource):
            if number == 1:
                _merged(resource.resource, of_scope, refused)
            elif number == 2:
                scoped = _repeated(resource, 2).add()
                for place, item in fields(of_scope):
                    if place == 1:
                        _merged(scoped.scope, item, refused)
                    elif place == 2:
                        listed = _repeated(scoped, 2)
                        if _merged(listed.add(), item, refused):
                            is_any = True
                        else:
                            listed.pop()
    return request if is_any else None


def _repeated(message: Any, number: int) -> Any:
    return getattr(message, message.DESCRIPTOR.fields_by_number[number].name)


def _merged(message: Any, data: memoryview, refused: Reasons) -> bool:
    """Whether the message could be read; if not, that is counted."""
    try:
        parsed(message, bytes(data))
    except InputError as error:
        name = {"Span": "span", "LogRecord": "log record"}.get(message.DESCRIPTOR.name, "origin")
        refused[f"{name} is malformed: {str(error).rpartition(': ')[2]}"] += 1
        return False
    return True


def _span(
    found: Any, scope: str, version: str, resource: dict[str, Any], refused: Reasons
) -> Span | None:
    raw, span_id = found.trace_id, ids.span_id(found.span_id)
    trace_id = _trace_id(raw) if len(raw) == ids.TRACE_BYTES else None
    if trace_id is None or span_id is None:
        refused[NO_TRACE_ID if trace_id is None else no_span_id(found.span_id.hex())] += 1
        return None
    start, end = _time(found.start_time_unix_nano), _time(found.end_time_unix_nano)
    if not 0 < start <= end:
        start, end = in_order(start, end, refused)
    events, parent, status = found.events, found.parent_span_id, found.status
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=_parent_id(parent) if len(parent) == ids.SPAN_BYTES else None,
        name=found.name,
        start_ns=start,
        end_ns=end,
        attributes=_attributes(found.attributes, refused),
        events=tuple(_event(event, refused) for event in events) if events else (),
        error=status.code == 2,
        status_message=status.message,
        scope=scope,
        scope_version=version,
        resource=resource,
    )


def _event(found: Any, refused: Reasons) -> SpanEvent:
    attributes = _attributes(found.attributes, refused)
    return SpanEvent(found.name, _time(found.time_unix_nano), attributes)


def _log(found: Any, refused: Reasons) -> LogEvent | None:
    trace_id = ids.trace_id(found.trace_id)
    if trace_id is None:
        refused[NO_TRACE] += 1
        return None
    at = _time(found.time_unix_nano) or _time(found.observed_time_unix_nano)
    body, attributes = _plain(found.body, refused), _attributes(found.attributes, refused)
    event = log_event(found.event_name, at, body, attributes)
    return LogEvent(trace_id, ids.span_id(found.span_id), event)


def _time(value: int) -> int:
    return value if value < _MAX_TIME else 0


def _attributes(pairs: Iterable[Any], mended: Reasons) -> dict[str, Any]:
    # Each access makes an object: so each is asked for once, and let go of at once. What is empty
    # or zero may be that, or no value at all: only then the kind is asked for.
    keys: list[str] = []
    values: list[Any] = []
    for pair in pairs:
        value = pair.value
        keys.append(pair.key)
        values.append(value.string_value or value.int_value or _plain(value, mended))
    return shaped(tuple(keys), values)


def _plain(value: Any, mended: Reasons, depth: int = 0) -> Any:
    kind = value.WhichOneof("value")
    if kind is None or depth > MAX_NESTING:
        if kind is not None:
            mended[TOO_DEEP] += 1
        return None
    found = getattr(value, kind)
    if kind == "double_value":
        return finite(found, mended)
    if kind == "array_value":
        return [_plain(item, mended, depth + 1) for item in found.values]
    if kind == "kvlist_value":
        return {
            pair.key: _plain(pair.value, mended, depth + 1) for pair in found.values if pair.key
        }
    return found
