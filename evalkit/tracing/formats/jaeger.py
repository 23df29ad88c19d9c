"""Jaeger's JSON: what its interface and API export; times in microseconds, attributes as tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from evalkit.errors import InputError
from evalkit.spans import Span, SpanEvent
from evalkit.tracing import ids
from evalkit.tracing.attributes import as_list, as_map, label, parsed, text
from evalkit.tracing.cutting import Shape
from evalkit.tracing.mending import bounded, in_order
from evalkit.tracing.parts import Part, parts_of_spans
from evalkit.tracing.reasons import Reasons

SHAPE: Shape = {"data": {}, "": {}}
KEYS = ("traceID", "spanID", "operationName")

_OWN_TAGS = frozenset(
    {"otel.scope.name", "otel.scope.version", "otel.status_code", "otel.status_description"}
)
_MAX_US = 2**63 // 1000


def read(document: bytes, refused: Reasons) -> list[Part]:
    """The spans of ``{"data": [trace]}``, of one trace, or of a list of them. Raises InputError."""
    try:
        found = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise InputError(f"no Jaeger JSON: {error}") from None
    traces = found.get("data", [found]) if isinstance(found, dict) else found
    listed = [one for one in as_list(traces) if isinstance(one, dict) and "spans" in one]
    if not listed:
        raise InputError("no Jaeger JSON: it has no trace with spans")
    spans = [
        _span(as_map(span), as_map(trace.get("processes")), refused)
        for trace in listed
        for span in as_list(trace["spans"])
    ]
    return parts_of_spans(span for span in spans if span is not None)


def _span(found: Mapping[str, Any], processes: Mapping[str, Any], refused: Reasons) -> Span | None:
    trace_id, span_id = _id(found.get("traceID"), 32), _id(found.get("spanID"), 16)
    if trace_id is None or span_id is None:
        refused["Jaeger span without ids"] += 1
        return None
    tags = _tags(found.get("tags"), refused)
    start, took = _ns(found.get("startTime")), _ns(found.get("duration"))
    start, end = in_order(start, min(start + took, 2**63 - 1), refused)
    process = as_map(processes.get(str(found.get("processID")))) or as_map(found.get("process"))
    service = label(process.get("serviceName"))
    resource = _tags(process.get("tags"), refused)
    if service:
        resource["service.name"] = service
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=_parent(found, trace_id),
        name=text(found.get("operationName")) or "",
        start_ns=start,
        end_ns=end,
        attributes={key: value for key, value in tags.items() if key not in _OWN_TAGS},
        events=tuple(_event(as_map(one), refused) for one in as_list(found.get("logs"))),
        error=tags.get("otel.status_code") == "ERROR" or tags.get("error") in (True, "true"),
        status_message=label(tags.get("otel.status_description")) or "",
        scope=label(tags.get("otel.scope.name")) or "",
        scope_version=label(tags.get("otel.scope.version")) or "",
        resource=resource,
    )


def _parent(found: Mapping[str, Any], trace_id: str) -> str | None:
    """The span that this one is a child of, else the one that it follows from, of its trace."""
    named: dict[Any, str | None] = {}
    for one in map(as_map, as_list(found.get("references"))):
        if one.get("traceID") is None or _id(one["traceID"], 32) == trace_id:
            named.setdefault(text(one.get("refType")), _id(one.get("spanID"), 16))
    return named.get("CHILD_OF") or _id(found.get("parentSpanID"), 16) or named.get("FOLLOWS_FROM")


def _id(value: Any, digits: int) -> str | None:
    """Jaeger leaves leading zeros out."""
    if not isinstance(value, str) or not 0 < len(value) <= digits:
        return None
    filled = value.rjust(digits, "0")
    return ids.trace_id(filled) if digits == 32 else ids.span_id(filled)


def _tags(listed: Any, refused: Reasons) -> dict[str, Any]:
    tags = (as_map(one) for one in as_list(listed))
    found = ((text(tag.get("key")), tag) for tag in tags)
    return {key: bounded(_value(tag), refused) for key, tag in found if key}


def _value(tag: Mapping[str, Any]) -> Any:
    """A tag's value; lists and maps travel as JSON text."""
    value = tag.get("value")
    return parsed(value) if isinstance(value, str) and value[:2] in ('["', "[]") else value


def _event(found: Mapping[str, Any], refused: Reasons) -> SpanEvent:
    fields = _tags(found.get("fields"), refused)
    return SpanEvent(label(fields.pop("event", None)) or "log", _ns(found.get("timestamp")), fields)


def _ns(microseconds: Any) -> int:
    if isinstance(microseconds, bool) or not isinstance(microseconds, int | float):
        return 0
    return int(microseconds) * 1000 if 0 <= microseconds < _MAX_US else 0
