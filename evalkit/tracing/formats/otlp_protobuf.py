"""OTLP protobuf: a request of traces or logs, which look alike from outside."""

from __future__ import annotations

from evalkit.errors import InputError
from evalkit.tracing.otlp_protobuf import read_logs_protobuf, split_protobuf
from evalkit.tracing.parts import Part, Reasons, parts_of_logs


def read(document: bytes, refused: Reasons) -> list[Part]:
    """The message's spans, or else its log records. Raises InputError if it is neither."""
    reasons = Reasons()
    try:
        parts = split_protobuf(document, reasons)
    except InputError as error:
        logs = _logs(document)
        if not logs:
            raise error from None
        return logs
    if not parts and reasons:
        # A log record read as a span has no ids: its fields bear other numbers.
        logs = _logs(document)
        if logs:
            return logs
    refused.update(reasons)
    return parts


def _logs(document: bytes) -> list[Part]:
    try:
        return parts_of_logs(read_logs_protobuf(document, Reasons()))
    except InputError:
        return []
