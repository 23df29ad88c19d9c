"""OTLP protobuf: a request of traces or logs, which look alike from outside."""

from __future__ import annotations

from evalkit.errors import InputError
from evalkit.tracing.otlp_protobuf import read_logs_protobuf, read_otlp_protobuf
from evalkit.tracing.parts import Part, Reasons, parts_of_logs, parts_of_spans


def read(document: bytes, refused: Reasons) -> list[Part]:
    """The message's spans, or else its log records. Raises InputError if it is neither."""
    reasons = Reasons()
    try:
        spans = read_otlp_protobuf(document, reasons)
    except InputError as error:
        logs = _logs(document)
        if not logs:
            raise error from None
        return logs
    if not spans and reasons:
        # A log record read as a span has no ids: its fields bear other numbers.
        logs = _logs(document)
        if logs:
            return logs
    refused.update(reasons)
    return parts_of_spans(spans, 2 * len(document) // max(1, len(spans)))


def _logs(document: bytes) -> list[Part]:
    try:
        return parts_of_logs(read_logs_protobuf(document, Reasons()))
    except InputError:
        return []
