"""OTLP traces and logs as JSON: files, request bodies, the Collector's file exporter, Tempo.

A document is cut into spans, which are read some at a time; where something is bad, one by one, so
that one bad span costs only itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import msgspec

from evalkit.errors import InputError
from evalkit.spans import Span, SpanEvent
from evalkit.tracing import ids
from evalkit.tracing.attributes import label
from evalkit.tracing.mending import in_order, mended
from evalkit.tracing.otlp_values import AnyValue, KeyValue, attributes_of, time_of, value_of
from evalkit.tracing.parts import (
    MAX_SPAN,
    LogEvent,
    Part,
    parts_of_logs,
    parts_of_spans,
    unpack_spans,
)
from evalkit.tracing.reasons import NO_TRACE, Reasons

NO_TRACE_ID = "span without a trace id of 16 bytes"

_NULL = msgspec.Raw(b"null")
_CACHED_RESOURCE = 16_384


class _Event(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    time_unix_nano: int | float | str | None = None
    attributes: list[KeyValue] | None = None


class _Status(msgspec.Struct, gc=False):
    code: int | str | None = None
    message: str | None = None


_Id = Annotated[str, msgspec.Meta(max_length=64)] | int
"""Longer ones are none in any form, and must not be kept in a cache."""


class _Span(msgspec.Struct, rename="camel", gc=False):
    trace_id: _Id = ""
    span_id: _Id = ""
    parent_span_id: _Id | None = None
    name: str | None = None
    start_time_unix_nano: int | float | str | None = None
    end_time_unix_nano: int | float | str | None = None
    attributes: list[KeyValue] | None = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _LogRecord(msgspec.Struct, rename="camel", gc=False):
    trace_id: str | int = ""
    span_id: str | int | None = None
    time_unix_nano: int | float | str | None = None
    observed_time_unix_nano: int | float | str | None = None
    event_name: str | None = None
    body: AnyValue | None = None
    attributes: list[KeyValue] | None = None


class _Scope(msgspec.Struct, gc=False):
    name: str | None = None
    version: str | None = None


class _Resource(msgspec.Struct, gc=False):
    attributes: list[KeyValue] | None = None


class _Scoped(msgspec.Struct, rename="camel", gc=False):
    scope: msgspec.Raw = _NULL
    instrumentation_library: msgspec.Raw = _NULL
    spans: list[msgspec.Raw] | None = None
    log_records: list[msgspec.Raw] | None = None


class _ResourceSpans(msgspec.Struct, rename="camel", gc=False):
    resource: msgspec.Raw = _NULL
    scope_spans: list[_Scoped] | None = None
    instrumentation_library_spans: list[_Scoped] | None = None
    scope_logs: list[_Scoped] | None = None


class _Document(msgspec.Struct, rename="camel", gc=False):
    resource_spans: list[_ResourceSpans] | None = None
    batches: list[_ResourceSpans] | None = None
    resource_logs: list[_ResourceSpans] | None = None
    trace: _Document | None = None


class _Origin(NamedTuple):
    """What spans of one scope share."""

    scope: str
    version: str
    resource: Mapping[str, Any]


_NAMED = (_Document, _ResourceSpans, _Scoped, _Span, _Event, _LogRecord, AnyValue)
_CAMEL = {
    own.encode(): name.encode()
    for one in _NAMED
    for own, name in zip(one.__struct_fields__, one.__struct_encode_fields__, strict=True)
    if own != name
}
_SNAKE = re.compile(rb'(?<=[{,\s])"(%s)"(?=\s*:)' % b"|".join(sorted(_CAMEL)))
"""A key by protobuf's own name; within a text, a quote stands after a backslash."""

_EMPTY = _Document()

_decode_document = msgspec.json.Decoder(_Document).decode
_decode_span = msgspec.json.Decoder(_Span).decode
_decode_spans = msgspec.json.Decoder(list[_Span]).decode
_decode_scope = msgspec.json.Decoder(_Scope | None).decode
_decode_log = msgspec.json.Decoder(_LogRecord).decode
_decode_resource = msgspec.json.Decoder(_Resource | None).decode

_UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeError)
_CHUNK = 20
"""Spans that are read at once: so few that what is made of them is still in the cache."""


def read_parts(document: bytes, refused: Reasons) -> Iterator[Part]:
    """An OTLP JSON document as parts, each of some spans of one trace and scope.

    Its keys are JSON's (``resourceSpans``) or protobuf's (``resource_spans``), which a reader of
    protobuf's JSON takes too.

    Spans that cannot be read, have no ids or are over MAX_SPAN are counted in ``refused``, by
    reason; log records without a trace are too. Raises InputError, at once, if the document is
    no OTLP JSON.
    """
    try:
        found = _decode_document(document)
        if found == _EMPTY:
            found = _decode_document(_SNAKE.sub(_camel, document))
    except _UNREADABLE as error:
        raise InputError(f"no OTLP JSON: {error}") from None
    return _parts(found, len(document) > MAX_SPAN, refused)


def _camel(found: re.Match[bytes]) -> bytes:
    return b'"%s"' % _CAMEL[found[1]]


def _parts(document: _Document, is_large: bool, refused: Reasons) -> Iterator[Part]:
    for level in (document, document.trace):
        if level is None:
            continue
        for resource in (*(level.resource_spans or ()), *(level.batches or ())):
            lists = (resource.scope_spans, resource.instrumentation_library_spans)
            for scoped in (one for listed in lists for one in listed or ()):
                if is_large:
                    scoped.spans = _small(scoped.spans, refused)
                for spans, size in _good_spans(scoped, resource.resource, refused):
                    yield from parts_of_spans(spans, size)
        for resource in level.resource_logs or ():
            for scoped in resource.scope_logs or ():
                yield from _log_parts(scoped.log_records, refused)


def _small(raws: list[msgspec.Raw] | None, refused: Reasons) -> list[msgspec.Raw]:
    small = [raw for raw in raws or () if len(memoryview(raw)) <= MAX_SPAN]
    if raws and len(small) < len(raws):
        refused[f"span larger than {MAX_SPAN:,} bytes"] += len(raws) - len(small)
    return small


def _good_spans(
    scoped: _Scoped, resource: msgspec.Raw, refused: Reasons
) -> Iterator[tuple[list[Span], int]]:
    """The good spans of a scope, some at a time, and about how many bytes each takes."""
    raws = scoped.spans or []
    named = scoped.scope if scoped.scope != _NULL else scoped.instrumentation_library
    try:
        origin = _origin(_decode_scope(named), resource, refused)
    except _UNREADABLE:
        if raws:
            refused["span of a malformed scope"] += len(raws)
        return
    shared = len(memoryview(resource)) + len(memoryview(named))
    for start in range(0, len(raws), _CHUNK):
        chunk = raws[start : start + _CHUNK]
        joined = b"[%s]" % b",".join(chunk)
        try:
            found = _decode_spans(joined)
        except _UNREADABLE:
            found = [one for one in (_one(raw, refused) for raw in chunk) if one is not None]
        yield _spans(found, origin, refused), 2 * (shared + len(joined)) // len(chunk)


def _one(raw: msgspec.Raw, refused: Reasons) -> _Span | None:
    try:
        return _decode_span(raw)
    except _UNREADABLE:
        try:
            found = _decode_span(mended(bytes(raw), counts := Reasons()))
            refused.update(counts)
            return found
        except (*_UNREADABLE, ValueError) as error:
            refused[f"span is malformed: {error}"] += 1
            return None


def _log_parts(raws: list[msgspec.Raw] | None, refused: Reasons) -> list[Part]:
    logs = (_log(raw, refused) for raw in raws or ())
    return parts_of_logs(log for log in logs if log is not None)


def read_otlp_json(data: bytes | str) -> list[Span]:
    """The spans of an OTLP JSON document, or of several, one per line (a collector's file).

    Ids may be hex, as OTLP has it, base64, as protobuf's own JSON mapping writes them, or
    decimal; enums numbers or names; 64-bit numbers strings. Log records in it join their spans.
    Raises InputError that says what is wrong and where: the strict way, for whole documents.
    """
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    refused = Reasons()
    parts = _strictly(data.removeprefix(b"\xef\xbb\xbf"), refused)
    spans = [span for part in parts if part.codec == "spans" for span in unpack_spans(part.data)]
    if bad := refused.refused():
        raise InputError(f"OTLP JSON: {next(iter(bad))}")
    return spans


def _strictly(data: bytes, refused: Reasons) -> list[Part]:
    try:
        return list(read_parts(data, refused))
    except InputError:
        lines = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
        if len(lines) < 2 or not lines[0][1].rstrip().endswith(b"}"):
            raise
    parts: list[Part] = []
    for number, line in lines:
        try:
            parts += read_parts(line, refused)
        except InputError as error:
            raise InputError(f"line {number} is {error}") from None
    return parts


def _origin(scope: _Scope | None, resource: msgspec.Raw, refused: Reasons) -> _Origin:
    named = scope or _Scope()
    attributes, mended = _resource(resource)
    if mended:
        refused.update(mended)
    return _Origin(label(named.name) or "", label(named.version) or "", attributes)


def _resource(raw: msgspec.Raw) -> tuple[Mapping[str, Any], Reasons]:
    data = bytes(raw)
    return _cached_resource(data) if len(data) <= _CACHED_RESOURCE else _read_resource(data)


def _read_resource(data: bytes) -> tuple[Mapping[str, Any], Reasons]:
    mended = Reasons()
    try:
        found = _decode_resource(data)
    except _UNREADABLE:
        return {}, mended
    return attributes_of(found.attributes if found else None, mended), mended


_cached_resource = lru_cache(256)(_read_resource)


def _spans(found: Sequence[_Span], origin: _Origin, refused: Reasons) -> list[Span]:
    """The spans with ids that are some; the others are counted in ``refused``."""
    scope, version, resource = origin
    spans = []
    for one in found:
        trace_id, span_id = _trace_id(one.trace_id), _span_id(one.span_id)
        if trace_id is None or span_id is None:
            refused[NO_TRACE_ID if trace_id is None else no_span_id(one.span_id)] += 1
            continue
        start, end = time_of(one.start_time_unix_nano), time_of(one.end_time_unix_nano)
        if not 0 < start <= end:  # rare: spares a call
            start, end = in_order(start, end, refused)
        status, parent = one.status, one.parent_span_id
        span = Span(
            trace_id=trace_id,
            span_id=span_id,
            parent_id=_known_span_id(parent) if parent else None,
            name=one.name or "",
            start_ns=start,
            end_ns=end,
            attributes=attributes_of(one.attributes, refused),
            events=tuple([_event(event, refused) for event in one.events]) if one.events else (),
            error=status is not None and status.code in (2, "2", "STATUS_CODE_ERROR"),
            status_message=(status.message or "") if status is not None else "",
            scope=scope,
            scope_version=version,
            resource=resource,
        )
        spans.append(span)
    return spans


def no_span_id(value: str | int) -> str:
    """What is said of a span whose id is none."""
    told = str(value)
    said = repr(told) if len(told) <= 12 else f"a text of {len(told)} characters"  # be it a secret
    if told and not told.strip("0"):
        said = "a row of zeros"
    return f"{said} is no id of 8 bytes"


def _span_id(value: str | int | None) -> str | None:
    """As :func:`ids.span_id`, quick for the usual form."""
    if isinstance(value, str) and len(value) == 16:
        try:
            raw = bytes.fromhex(value)
        except ValueError:
            return None
        return raw.hex() if len(raw) == 8 and raw != b"\0\0\0\0\0\0\0\0" else None
    return ids.span_id(value)


# A trace's id, and a parent's, are those of several spans in a row.
_trace_id = lru_cache(4096)(ids.trace_id)
_known_span_id = lru_cache(4096)(_span_id)


def _event(found: _Event, refused: Reasons) -> SpanEvent:
    attributes = attributes_of(found.attributes, refused)
    return SpanEvent(found.name or "", time_of(found.time_unix_nano), attributes)


def _log(raw: msgspec.Raw, refused: Reasons) -> LogEvent | None:
    if len(memoryview(raw)) > MAX_SPAN:
        refused[f"log record larger than {MAX_SPAN:,} bytes"] += 1
        return None
    try:
        found = _decode_log(raw)
    except _UNREADABLE as error:
        refused[f"log record is malformed: {error}"] += 1
        return None
    trace_id = ids.trace_id(found.trace_id)
    if trace_id is None:
        refused[NO_TRACE] += 1
        return None
    at = time_of(found.time_unix_nano) or time_of(found.observed_time_unix_nano)
    body, attributes = value_of(found.body, refused), attributes_of(found.attributes, refused)
    event = log_event(found.event_name, at, body, attributes)
    return LogEvent(trace_id, ids.span_id(found.span_id), event)


def log_event(name: str | None, at: int, body: Any, attributes: dict[str, Any]) -> SpanEvent:
    """A log record as an event: the fields of a body that is a map are attributes beside its own.

    Any other body is the attribute ``body``. Older SDKs give the name as ``event.name``.
    """
    fields = body if isinstance(body, dict) else {} if body is None else {"body": body}
    named = name or label(attributes.get("event.name")) or "log"
    return SpanEvent(named, at, {**fields, **attributes})
