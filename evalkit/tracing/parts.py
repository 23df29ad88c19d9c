"""What readers of files and requests give: parts of traces, packed where they go to disk.

A part can be spilled to disk, whatever format it came from; what is refused is counted by
reason, never dropped in silence.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from evalkit.spans import Span, SpanEvent
from evalkit.tracing.attributes import clean_text, plain
from evalkit.trajectory import Trajectory

MAX_SPAN = 4 * 1024 * 1024
"""Larger spans are refused. Bytes."""


class Part(NamedTuple):
    """Some spans, log records or a whole trajectory of one trace.

    ``codec`` says what ``data`` is: ``spans``, ``logs`` or ``trajectory``, as MessagePack, or
    ``counts`` of what befell others, of no trace; spans may lie there as they are, until they go
    to disk. ``spans`` is how many it holds; ``root``
    whether one of them has no parent; ``size`` about how many bytes it takes.
    """

    trace_id: str
    codec: str
    spans: int
    data: bytes | Sequence[Span]
    root: bool = False
    size: int = 0


class LogEvent(msgspec.Struct, frozen=True, gc=False):
    """A log record with a trace: an event of the span that it names."""

    trace_id: str
    span_id: str | None
    event: SpanEvent


class Counts(msgspec.Struct, frozen=True):
    """What was done to spans before they went to disk: refusals by reason, secrets by kind."""

    refused: dict[str, int] = {}
    secrets: dict[str, int] = {}


_SPAN_SIZE = 1000

HEAD = struct.Struct("<32sB?II")
"""What stands before a part's data on disk: trace id, codec, root, spans, size of the data."""

_CODECS = ("spans", "logs", "trajectory", "counts")

_encode = msgspec.msgpack.Encoder().encode
_decode_spans = msgspec.msgpack.Decoder(list[Span]).decode
_decode_logs = msgspec.msgpack.Decoder(list[LogEvent]).decode
_decode_trajectory = msgspec.msgpack.Decoder(Trajectory).decode
_decode_counts = msgspec.msgpack.Decoder(Counts).decode


def parts_of_spans(spans: Iterable[Span], size: int = _SPAN_SIZE) -> list[Part]:
    """The spans as parts, one of each trace; ``size`` is about how many bytes each takes."""
    by_trace: dict[str, list[Span]] = {}
    trace_id, some = "", []
    for span in spans:
        if span.trace_id != trace_id:  # spans of a trace mostly follow one another
            trace_id = span.trace_id
            some = by_trace.setdefault(trace_id, [])
        some.append(span)
    return [
        Part(key, "spans", len(some), some, _has_root(some), size * len(some))
        for key, some in by_trace.items()
    ]


def _has_root(spans: Sequence[Span]) -> bool:
    return None in [span.parent_id for span in spans]


def parts_of_logs(logs: Iterable[LogEvent]) -> list[Part]:
    """The log records as parts, one of each trace."""
    by_trace: dict[str, list[LogEvent]] = {}
    for log in logs:
        by_trace.setdefault(log.trace_id, []).append(log)
    return [Part(key, "logs", 0, _packed(some)) for key, some in by_trace.items()]


def part_of_trajectory(trace_id: str, trajectory: Trajectory) -> Part:
    """A trajectory that its file tells without spans, as a part."""
    try:
        data = _packed(trajectory)
    except (OverflowError, UnicodeEncodeError):  # an integer over 64 bits, a lone surrogate
        data = _packed(plain(msgspec.to_builtins(trajectory)))
    return Part(trace_id, "trajectory", trajectory.coverage.spans, data)


def part_of_counts(refused: Mapping[str, int], secrets: Mapping[str, int]) -> Part:
    """What was refused and redacted of a request, as a part beside those that it gave."""
    said = {clean_text(reason): count for reason, count in refused.items()}
    return Part("", "counts", 0, _packed(Counts(said, dict(secrets))))


def unpack_spans(data: bytes | Sequence[Span]) -> Sequence[Span]:
    """The spans of a ``spans`` part."""
    return _decode_spans(data) if isinstance(data, bytes) else data


def unpack_logs(data: Any) -> list[LogEvent]:
    """The log records of a ``logs`` part."""
    return _decode_logs(data)


def unpack_trajectory(data: Any) -> Trajectory:
    """The trajectory of a ``trajectory`` part."""
    return _decode_trajectory(data)


def unpack_counts(data: Any) -> Counts:
    """The counts of a ``counts`` part."""
    return _decode_counts(data)


def _packed(value: object) -> bytes:
    return _encode(value)


def on_disk(part: Part) -> tuple[bytes, bytes]:
    """The part as it is written: what stands before its data, and its data."""
    data = part.data if isinstance(part.data, bytes) else _packed_spans(part.data)
    codec = _CODECS.index(part.codec)
    return HEAD.pack(part.trace_id.encode(), codec, part.root, part.spans, len(data)), data


def _packed_spans(spans: Sequence[Span]) -> bytes:
    try:
        return _packed(spans)
    except (OverflowError, UnicodeEncodeError):  # an integer over 64 bits, a lone surrogate
        return _packed([_plain(span) for span in spans])


def _plain(span: Span) -> Span:
    return msgspec.structs.replace(
        span,
        name=clean_text(span.name),
        attributes=plain(span.attributes),
        events=tuple(
            SpanEvent(clean_text(event.name), event.time_ns, plain(event.attributes))
            for event in span.events
        ),
        status_message=clean_text(span.status_message),
        resource=plain(span.resource),
    )


def size_after(head: bytes) -> int | None:
    """How long the data after a head is; None if it is no head."""
    _, codec, _, _, size = HEAD.unpack(head)
    return int(size) if codec < len(_CODECS) else None


def part_of(head: bytes, data: bytes) -> Part:
    """The part that a head and the data after it are."""
    trace_id, codec, root, spans, _ = HEAD.unpack(head)
    return Part(trace_id.decode(), _CODECS[codec], spans, data, root)


def with_logs(spans: list[Span], logs: Iterable[LogEvent]) -> tuple[list[Span], int]:
    """The spans with log records as events of the spans that they name, in order of time.

    Also how many records name no span among these.
    """
    by_span: dict[str, list[SpanEvent]] = {}
    for log in logs:
        by_span.setdefault(log.span_id or "", []).append(log.event)
    joined = []
    for span in spans:
        events = by_span.pop(span.span_id, None)
        joined.append(_with_events(span, events) if events else span)
    return joined, sum(map(len, by_span.values()))


def _with_events(span: Span, events: list[SpanEvent]) -> Span:
    merged = sorted((*span.events, *events), key=lambda event: event.time_ns)
    return msgspec.structs.replace(span, events=tuple(merged))
