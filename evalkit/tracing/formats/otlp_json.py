"""OTLP JSON: requests, the Collector's file exporter, and Tempo's older names of the same."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.tracing.cutting import Shape
from evalkit.tracing.otlp import read_parts
from evalkit.tracing.parts import Part
from evalkit.tracing.reasons import Reasons

KEYS = (
    *("resourceSpans", "resourceLogs", "resourceMetrics", "batches", "scopeSpans"),
    *("resource_spans", "resource_logs", "resource_metrics", "scope_spans"),
)

_RESOURCES: Shape = {"scopeSpans": {"spans": {}}, "instrumentationLibrarySpans": {"spans": {}}}
SHAPE: Shape = {
    "resourceSpans": _RESOURCES,
    "batches": _RESOURCES,
    "resourceLogs": {"scopeLogs": {"logRecords": {}}},
    # As protobuf's own names have it.
    "resource_spans": {"scope_spans": {"spans": {}}},
    "resource_logs": {"scope_logs": {"log_records": {}}},
}


def read(document: bytes, refused: Reasons) -> Iterator[Part]:
    """The document's traces and log records; metrics are ignored. Raises InputError."""
    return read_parts(document, refused)
