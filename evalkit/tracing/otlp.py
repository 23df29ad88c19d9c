"""OTLP trace data, as JSON or protobuf, into spans: what files and exporters hold."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from evalkit.errors import InputError
from evalkit.spans import Span, SpanEvent

MAX_NESTING = 64
"""Attribute values nested deeper than this are left out."""

_MAX_TIME = 2**63


class _AnyValue(msgspec.Struct, rename="camel", gc=False):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    array_value: _ArrayValue | None = None
    kvlist_value: _KeyValueList | None = None
    bytes_value: str | None = None


class _ArrayValue(msgspec.Struct, gc=False):
    values: list[_AnyValue | None] | None = None


class _KeyValue(msgspec.Struct, gc=False):
    key: str | None = None
    value: _AnyValue | None = None


class _KeyValueList(msgspec.Struct, gc=False):
    values: list[_KeyValue] | None = None


class _Event(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    time_unix_nano: int | str | None = None
    attributes: list[_KeyValue] | None = None


class _Status(msgspec.Struct, gc=False):
    code: int | str | None = None
    message: str | None = None


class _Span(msgspec.Struct, rename="camel", gc=False):
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str | None = None
    name: str | None = None
    start_time_unix_nano: int | str | None = None
    end_time_unix_nano: int | str | None = None
    attributes: list[_KeyValue] | None = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _Scope(msgspec.Struct, gc=False):
    name: str | None = None
    version: str | None = None


class _ScopeSpans(msgspec.Struct, gc=False):
    scope: _Scope | None = None
    spans: list[_Span] | None = None


class _Resource(msgspec.Struct, gc=False):
    attributes: list[_KeyValue] | None = None


class _ResourceSpans(msgspec.Struct, rename="camel", gc=False):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Traces(msgspec.Struct, rename="camel", gc=False):
    resource_spans: list[_ResourceSpans] | None = None


class _Origin(NamedTuple):
    """What spans of one scope share."""

    scope: str
    version: str
    resource: Mapping[str, Any]


_decoder = msgspec.json.Decoder(_Traces)


def read_otlp_json(data: bytes | str) -> list[Span]:
    """The spans of an OTLP JSON document, or of several, one per line (a collector's file).

    Ids may be hex, as OTLP has it, or base64, as protobuf's own JSON mapping writes them; enums
    numbers or names; 64-bit numbers strings. Raises InputError that says what is wrong and where.
    """
    if not isinstance(data, str):
        try:
            data = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"OTLP JSON is not UTF-8: {error}") from None
    try:
        documents = [_decoder.decode(data)]
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        documents = _lines(data, error)
    return [
        _span(span, origin)
        for document in documents
        for found in document.resource_spans or ()
        for scoped, origin in _scopes(found)
        for span in scoped.spans or ()
    ]


def _lines(data: str, error: Exception) -> list[_Traces]:
    lines = [(number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip()]
    if len(lines) < 2 or not lines[0][1].rstrip().endswith("}"):
        raise InputError(f"no OTLP JSON: {error}") from None
    documents = []
    for number, line in lines:
        try:
            documents.append(_decoder.decode(line))
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as found:
            raise InputError(f"line {number} is no OTLP JSON: {found}") from None
    return documents


def _scopes(found: _ResourceSpans) -> list[tuple[_ScopeSpans, _Origin]]:
    resource = _attributes(found.resource.attributes if found.resource else None)
    return [
        (scoped, _Origin(scope.name or "", scope.version or "", resource))
        for scoped in found.scope_spans or ()
        for scope in [scoped.scope or _Scope()]
    ]


def _span(found: _Span, origin: _Origin) -> Span:
    status = found.status or _Status()
    name = found.name or ""
    span_id = _hex_id(found.span_id, 8, name)
    return Span(
        trace_id=_hex_id(found.trace_id, 16, name),
        span_id=span_id,
        parent_id=_parent_id(found.parent_span_id, name),
        name=name,
        start_ns=_time(found.start_time_unix_nano),
        end_ns=_time(found.end_time_unix_nano),
        attributes=_attributes(found.attributes),
        events=tuple(
            SpanEvent(event.name or "", _time(event.time_unix_nano), _attributes(event.attributes))
            for event in found.events or ()
        ),
        error=status.code in (2, "2", "STATUS_CODE_ERROR"),
        status_message=status.message or "",
        scope=origin.scope,
        scope_version=origin.version,
        resource=origin.resource,
    )


def _hex_id(value: str, size: int, name: str) -> str:
    """An id of ``size`` bytes as lower-case hex, from hex or base64."""
    try:
        raw = bytes.fromhex(value) if len(value) == 2 * size else base64.b64decode(value)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != size or not any(raw):
        raise InputError(
            f"span {name[:100]!r}: {value[:100]!r} is no id of {size} bytes as hex or base64"
        )
    return raw.hex()


def _parent_id(value: str | None, name: str) -> str | None:
    if not value or not value.strip("0") or not value.strip("A="):
        return None
    return _hex_id(value, 8, name)


def _time(value: int | str | None) -> int:
    """Nanoseconds since the epoch; 0 where it is unknown or absurd."""
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdigit() and len(value) < 20 else 0
    return value if value is not None and 0 <= value < _MAX_TIME else 0


def _attributes(found: Sequence[_KeyValue] | None) -> dict[str, Any]:
    return {pair.key: _plain(pair.value) for pair in found or () if pair.key}


def _plain(value: _AnyValue | None, depth: int = 0) -> Any:
    if value is None or depth > MAX_NESTING:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.bool_value is not None:
        return value.bool_value
    if value.int_value is not None:
        return _number(value.int_value, int)
    if value.double_value is not None:
        return _number(value.double_value, float)
    if value.array_value is not None:
        return [_plain(item, depth + 1) for item in value.array_value.values or ()]
    if value.kvlist_value is not None:
        pairs = value.kvlist_value.values or ()
        return {pair.key: _plain(pair.value, depth + 1) for pair in pairs if pair.key}
    return _bytes(value.bytes_value)


def _number(value: Any, kind: type[int] | type[float]) -> Any:
    try:
        return kind(value) if len(str(value)) < 400 else None
    except (ValueError, OverflowError):
        return None


def _bytes(value: str | None) -> bytes | None:
    try:
        return None if value is None else base64.b64decode(value)
    except (ValueError, binascii.Error):
        return None


def read_otlp_protobuf(data: bytes) -> list[Span]:
    """The spans of an OTLP ``ExportTraceServiceRequest`` (or ``TracesData``, which is the same).

    Raises InputError if the bytes are no such message, or an id has not its length.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # has no stubs
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(data)
    except DecodeError as error:
        raise InputError(f"no OTLP protobuf: {error}") from None
    return [
        _proto_span(span, origin)
        for found in request.resource_spans
        for resource in [_proto_attributes(found.resource.attributes)]
        for scoped in found.scope_spans
        for origin in [_Origin(scoped.scope.name, scoped.scope.version, resource)]
        for span in scoped.spans
    ]


def _proto_span(found: Any, origin: _Origin) -> Span:
    return Span(
        trace_id=_hex_id(found.trace_id.hex(), 16, found.name),
        span_id=_hex_id(found.span_id.hex(), 8, found.name),
        parent_id=_parent_id(found.parent_span_id.hex(), found.name),
        name=found.name,
        start_ns=_time(found.start_time_unix_nano),
        end_ns=_time(found.end_time_unix_nano),
        attributes=_proto_attributes(found.attributes),
        events=tuple(
            SpanEvent(event.name, _time(event.time_unix_nano), _proto_attributes(event.attributes))
            for event in found.events
        ),
        error=found.status.code == 2,
        status_message=found.status.message,
        scope=origin.scope,
        scope_version=origin.version,
        resource=origin.resource,
    )


def _proto_attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _proto_plain(pair.value) for pair in pairs if pair.key}


def _proto_plain(value: Any, depth: int = 0) -> Any:
    kind = value.WhichOneof("value")
    if kind is None or depth > MAX_NESTING:
        return None
    found = getattr(value, kind)
    if kind == "array_value":
        return [_proto_plain(item, depth + 1) for item in found.values]
    if kind == "kvlist_value":
        return {pair.key: _proto_plain(pair.value, depth + 1) for pair in found.values if pair.key}
    return found


def inflate(data: bytes, limit: int) -> bytes:
    """What gzip or zlib data holds. InputError if that is over ``limit`` bytes, or damaged."""
    found = bytearray()
    try:
        while data:
            stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
            found += stream.decompress(data, limit + 1 - len(found))
            if len(found) > limit:
                raise InputError(f"compressed data holds more than {limit:,} bytes")
            if not stream.eof:
                raise InputError("compressed data is cut off")
            data = stream.unused_data.lstrip(b"\0")  # a gzip file may have several members
    except zlib.error as error:
        raise InputError(f"not gzip: {error}") from None
    return bytes(found)
