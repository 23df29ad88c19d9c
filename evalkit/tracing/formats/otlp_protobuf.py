"""OTLP protobuf: a request of traces or logs, which look alike from outside."""

from __future__ import annotations

from evalkit.errors import InputError
from evalkit.tracing.otlp_protobuf import holds_logs, read_logs_protobuf, read_otlp_protobuf
from evalkit.tracing.parts import Part, parts_of_logs, parts_of_spans
from evalkit.tracing.reasons import Reasons


def read(document: bytes, refused: Reasons) -> list[Part]:
    """The message's spans, or else its log records. Raises InputError if it is neither."""
    reasons = Reasons()
    failed = None
    try:
        spans = read_otlp_protobuf(document, reasons)
    except InputError as error:
        spans, failed = [], error
    if not spans and (logs := _logs(document, refused)) is not None:
        return logs  # read as a span, a log record has no ids: its fields bear other numbers
    if failed is not None:
        raise failed
    refused.update(reasons)
    return parts_of_spans(spans, 2 * len(document) // max(1, len(spans)))


def _logs(document: bytes, refused: Reasons) -> list[Part] | None:
    """The message's log records; None if it is one of traces, or no message at all."""
    reasons = Reasons()
    try:
        logs = read_logs_protobuf(document, reasons)
        if not logs and not holds_logs(document):
            return None
    except InputError:
        return None
    refused.update(reasons)
    return parts_of_logs(logs)
