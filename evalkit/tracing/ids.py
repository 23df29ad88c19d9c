"""Trace and span ids as exporters write them, as lower-case hex."""

from __future__ import annotations

import base64
import binascii

TRACE_BYTES = 16
SPAN_BYTES = 8


def trace_id(value: object) -> str | None:
    """A trace id as 32 hex digits, from hex, base64, a decimal number or bytes; None if none."""
    return _hex(value, TRACE_BYTES)


def span_id(value: object) -> str | None:
    """A span id as 16 hex digits, from hex, base64, a decimal number or bytes; None if none."""
    return _hex(value, SPAN_BYTES)


def _hex(value: object, size: int) -> str | None:
    raw = _raw(value, size)
    return raw.hex() if len(raw) == size and raw.strip(b"\0") else None


def _raw(value: object, size: int) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return _number(value, size)
    if not isinstance(value, str) or len(value) > 5 * size:
        return b""
    value = value.removeprefix("0x")
    try:
        if len(value) == 2 * size:
            return bytes.fromhex(value)
        if len(value.rstrip("=")) == (8 * size + 5) // 6:
            return base64.b64decode(value.rstrip("=") + "==")
        if value.isascii() and value.isdigit():
            return _number(int(value), size)
    except (ValueError, binascii.Error):
        return b""
    return b""


def _number(value: int, size: int) -> bytes:
    try:
        return value.to_bytes(size, "big")
    except OverflowError:
        return b""
