"""OTLP traces and logs as JSON: files, request bodies, the Collector's file exporter, Tempo.

Reading has two halves: :func:`split` cuts a document into one part per trace without reading
the spans' insides, and :func:`read_part` reads a part's spans. One bad span costs only itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from evalkit.errors import InputError
from evalkit.spans import Span, SpanEvent
from evalkit.tracing import ids
from evalkit.tracing.attributes import label, plain
from evalkit.tracing.otlp_values import AnyValue, KeyValue, attributes_of, time_of, value_of
from evalkit.tracing.parts import MAX_SPAN, LogEvent, Part, Reasons, parts_of_logs

NO_TRACE = "log record without a trace"
"""Not a refusal: most logs belong to no trace."""

_NULL = msgspec.Raw(b"null")
_CACHED_RESOURCE = 16_384


class _Event(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    time_unix_nano: int | float | str | None = None
    attributes: list[KeyValue] | None = None


class _Status(msgspec.Struct, gc=False):
    code: int | str | None = None
    message: str | None = None


class _Span(msgspec.Struct, rename="camel", gc=False):
    trace_id: str | int = ""
    span_id: str | int = ""
    parent_span_id: str | int | None = None
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


class _Fragment(msgspec.Struct, gc=False):
    """What :func:`split` writes: spans of one trace, resource and scope."""

    resource: msgspec.Raw = _NULL
    scope: _Scope | None = None
    spans: list[_Span] = []


class _RawFragment(msgspec.Struct, gc=False):
    resource: msgspec.Raw = _NULL
    scope: _Scope | None = None
    spans: list[msgspec.Raw] = []


class _RawScoped(msgspec.Struct, rename="camel", gc=False):
    scope: msgspec.Raw = _NULL
    instrumentation_library: msgspec.Raw = _NULL
    spans: list[msgspec.Raw] | None = None
    log_records: list[msgspec.Raw] | None = None


class _RawResource(msgspec.Struct, rename="camel", gc=False):
    resource: msgspec.Raw = _NULL
    scope_spans: list[_RawScoped] | None = None
    instrumentation_library_spans: list[_RawScoped] | None = None
    scope_logs: list[_RawScoped] | None = None


class _Document(msgspec.Struct, rename="camel", gc=False):
    resource_spans: list[_RawResource] | None = None
    batches: list[_RawResource] | None = None
    resource_logs: list[_RawResource] | None = None
    trace: _Document | None = None


class _Identity(msgspec.Struct, rename="camel", gc=False):
    trace_id: str | int = ""
    parent_span_id: str | int | None = None


class _Origin(NamedTuple):
    """What spans of one scope share."""

    scope: str
    version: str
    resource: Mapping[str, Any]


_decode_document = msgspec.json.Decoder(_Document).decode
_decode_identity = msgspec.json.Decoder(_Identity).decode
_decode_fragment = msgspec.json.Decoder(_Fragment).decode
_decode_raw_fragment = msgspec.json.Decoder(_RawFragment).decode
_decode_span = msgspec.json.Decoder(_Span).decode
_decode_log = msgspec.json.Decoder(_LogRecord).decode
_decode_resource = msgspec.json.Decoder(_Resource | None).decode

_UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeError)


def split(document: bytes, refused: Reasons) -> list[Part]:
    """An OTLP JSON document cut into parts, one per trace, resource and scope.

    Spans without a trace id and those over MAX_SPAN are counted in ``refused``, by reason; log
    records without a trace are too. Raises InputError if the document is no OTLP JSON.
    """
    try:
        found = _decode_document(document)
    except _UNREADABLE as error:
        raise InputError(f"no OTLP JSON: {error}") from None
    parts: list[Part] = []
    levels = [one for one in (found, found.trace) if one is not None]
    for level in levels:
        for resource in (*(level.resource_spans or ()), *(level.batches or ())):
            lists = (resource.scope_spans, resource.instrumentation_library_spans)
            for scoped in (one for listed in lists for one in listed or ()):
                parts += _parts(scoped, bytes(resource.resource), refused)
        for resource in level.resource_logs or ():
            for scoped in resource.scope_logs or ():
                logs = (_log(raw, refused) for raw in scoped.log_records or ())
                parts += parts_of_logs(log for log in logs if log is not None)
    return parts


def _parts(scoped: _RawScoped, resource: bytes, refused: Reasons) -> Iterator[Part]:
    by_trace: dict[str | int, list[msgspec.Raw]] = {}
    roots = set()
    for raw in scoped.spans or ():
        if len(memoryview(raw)) > MAX_SPAN:
            refused[f"span larger than {MAX_SPAN:,} bytes"] += 1
            continue
        try:
            identity = _decode_identity(raw)
        except _UNREADABLE as error:
            refused[f"span is malformed: {error}"] += 1
            continue
        by_trace.setdefault(identity.trace_id, []).append(raw)
        if not identity.parent_span_id:
            roots.add(identity.trace_id)
    scope = bytes(scoped.scope if scoped.scope != _NULL else scoped.instrumentation_library)
    head = b'{"resource":%s,"scope":%s,"spans":[' % (resource, scope)
    for key, raws in by_trace.items():
        trace_id = ids.trace_id(key)
        if trace_id is None:
            refused["span without a trace id of 16 bytes"] += len(raws)
            continue
        yield Part(trace_id, "otlp", len(raws), b"%s%s]}" % (head, b",".join(raws)), key in roots)


def read_part(data: bytes, refused: Reasons) -> list[Span]:
    """The spans of an ``otlp`` part; those that cannot be read are counted in ``refused``."""
    try:
        fragment = _decode_fragment(data)
        found, raw_resource = fragment.spans, fragment.resource
        named = fragment.scope or _Scope()
    except _UNREADABLE:
        found, raw_resource, named = _one_by_one(data, refused)
    origin = _Origin(named.name or "", named.version or "", _resource(raw_resource))
    spans = [_span(one, origin, refused) for one in found]
    return [span for span in spans if span is not None]


def _one_by_one(data: bytes, refused: Reasons) -> tuple[list[_Span], msgspec.Raw, _Scope]:
    """The good spans of a fragment in which something is bad."""
    try:
        fragment = _decode_raw_fragment(data)
    except _UNREADABLE:  # the scope: it is the same for all
        refused["span of a malformed scope"] += 1
        return [], _NULL, _Scope()
    good = []
    for raw in fragment.spans:
        try:
            good.append(_decode_span(raw))
        except _UNREADABLE:
            try:
                good.append(_decode_span(mended(bytes(raw))))
            except (*_UNREADABLE, ValueError) as error:
                refused[f"span is malformed: {error}"] += 1
    return good, fragment.resource, fragment.scope or _Scope()


def mended(document: bytes) -> bytes:
    """JSON with what strict JSON has no room for replaced: NaN, bad UTF-8, lone surrogates.

    Raises ValueError or RecursionError where it is no JSON at all.
    """
    loaded = json.loads(document.decode("utf-8", "replace"), parse_constant=lambda _: None)
    return msgspec.json.encode(plain(loaded))


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
    spans = [
        span for part in parts if part.codec == "otlp" for span in read_part(part.data, refused)
    ]
    if refused:
        raise InputError(f"OTLP JSON: {next(iter(refused))}")
    return spans


def _strictly(data: bytes, refused: Reasons) -> list[Part]:
    try:
        return split(data, refused)
    except InputError:
        lines = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
        if len(lines) < 2 or not lines[0][1].rstrip().endswith(b"}"):
            raise
    parts = []
    for number, line in lines:
        try:
            parts += split(line, refused)
        except InputError as error:
            raise InputError(f"line {number} is {error}") from None
    return parts


def _resource(raw: msgspec.Raw) -> Mapping[str, Any]:
    data = bytes(raw)
    return _cached_resource(data) if len(data) <= _CACHED_RESOURCE else _read_resource(data)


def _read_resource(data: bytes) -> Mapping[str, Any]:
    try:
        found = _decode_resource(data)
    except _UNREADABLE:
        return {}
    return attributes_of(found.attributes) if found else {}


_cached_resource = lru_cache(256)(_read_resource)


def _span(found: _Span, origin: _Origin, refused: Reasons) -> Span | None:
    trace_id, span_id = _trace_id(found.trace_id), _span_id(found.span_id)
    if trace_id is None or span_id is None:
        size, value = (16, found.trace_id) if trace_id is None else (8, found.span_id)
        refused[f"{str(value)[:40]!r} is no id of {size} bytes"] += 1
        return None
    start, end = time_of(found.start_time_unix_nano), time_of(found.end_time_unix_nano)
    status = found.status
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=_span_id(found.parent_span_id) if found.parent_span_id else None,
        name=found.name or "",
        start_ns=start,
        end_ns=end if end >= start else start,
        attributes=attributes_of(found.attributes),
        events=tuple(map(_event, found.events)) if found.events else (),
        error=status is not None and status.code in (2, "2", "STATUS_CODE_ERROR"),
        status_message=(status.message or "") if status is not None else "",
        scope=origin.scope,
        scope_version=origin.version,
        resource=origin.resource,
    )


_trace_id = lru_cache(4096)(ids.trace_id)


def _span_id(value: str | int | None) -> str | None:
    """As :func:`ids.span_id`, quick for the usual form."""
    if isinstance(value, str) and len(value) == 16:
        try:
            raw = bytes.fromhex(value)
        except ValueError:
            return None
        return raw.hex() if len(raw) == 8 and raw != b"\0\0\0\0\0\0\0\0" else None
    return ids.span_id(value)


def _event(found: _Event) -> SpanEvent:
    return SpanEvent(
        found.name or "", time_of(found.time_unix_nano), attributes_of(found.attributes)
    )


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
    return LogEvent(
        trace_id,
        ids.span_id(found.span_id),
        log_event(found.event_name, at, value_of(found.body), attributes_of(found.attributes)),
    )


def log_event(name: str | None, at: int, body: Any, attributes: dict[str, Any]) -> SpanEvent:
    """A log record as an event: the fields of a body that is a map are attributes beside its own.

    Any other body is the attribute ``body``. Older SDKs give the name as ``event.name``.
    """
    fields = body if isinstance(body, dict) else {} if body is None else {"body": body}
    named = name or label(attributes.get("event.name")) or "log"
    return SpanEvent(named, at, {**fields, **attributes})
