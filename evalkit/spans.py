"""A span as evalkit reads it: one record for spans of any exporter, file or convention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class SpanEvent(msgspec.Struct, frozen=True, gc=False):
    """A named point in time within a span, such as an exception or a message."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any] = {}


class Span(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One OpenTelemetry span. Ids are lower-case hex; times are nanoseconds since the epoch.

    ``attributes`` holds plain values: str, bool, int, float, bytes, lists and maps of them.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None
    name: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any] = {}
    events: tuple[SpanEvent, ...] = ()
    error: bool = False
    status_message: str = ""
    scope: str = ""
    scope_version: str = ""
    resource: Mapping[str, Any] = {}
