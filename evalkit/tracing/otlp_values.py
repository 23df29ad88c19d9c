"""The values of OTLP JSON, as typed records, and as plain Python values."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from evalkit.tracing.reasons import NO_NUMBER, TOO_DEEP, TOO_WIDE, Reasons
from evalkit.tracing.shapes import shaped

MAX_NESTING = 64
"""Attribute values nested deeper than this are left out."""

_MAX_TIME = 2**63
_MAX_DIGITS = 400


class AnyValue(msgspec.Struct, rename="camel", gc=False):
    """One value: the field that is not None is its kind."""

    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | float | str | None = None
    double_value: float | str | None = None
    array_value: ArrayValue | None = None
    kvlist_value: KeyValueList | None = None
    bytes_value: str | None = None


class ArrayValue(msgspec.Struct, gc=False):
    """A list."""

    values: list[AnyValue | None] | None = None


class KeyValue(msgspec.Struct, gc=False):
    """An attribute, or an entry of a map."""

    key: str | None = None
    value: AnyValue | None = None


class KeyValueList(msgspec.Struct, gc=False):
    """A map."""

    values: list[KeyValue] | None = None


def time_of(value: int | float | str | None) -> int:
    """Nanoseconds since the epoch; 0 where it is unknown or absurd."""
    if isinstance(value, str):
        if len(value) >= 20 or not value.isascii() or not value.isdigit():
            return 0
        value = int(value)
        return value if value < _MAX_TIME else 0
    return int(value) if value is not None and 0 <= value < _MAX_TIME else 0


def attributes_of(found: Sequence[KeyValue] | None, mended: Reasons) -> dict[str, Any]:
    """The attributes as a dict; those without a key are left out.

    A value that cannot be what it says is None, and counted in ``mended``.
    """
    if not found:
        return {}
    keys: list[str | None] = []
    values: list[Any] = []
    for pair in found:
        value = pair.value
        # Texts are nearly all there is: they are taken here, without a call.
        text = None if value is None else value.string_value
        keys.append(pair.key)
        values.append(value_of(value, mended) if text is None else text)
    return shaped(tuple(keys), values)


def value_of(value: AnyValue | None, mended: Reasons, depth: int = 0) -> Any:
    """The value as str, bool, int, float, bytes, list or dict; None where it is none of them."""
    if value is None or depth > MAX_NESTING:
        if value is not None:
            mended[TOO_DEEP] += 1
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return _whole(value.int_value, mended)
    if value.bool_value is not None:
        return value.bool_value
    if value.double_value is not None:
        return finite(value.double_value, mended)
    if value.array_value is not None:
        return [value_of(item, mended, depth + 1) for item in value.array_value.values or ()]
    if value.kvlist_value is not None:
        pairs = value.kvlist_value.values or ()
        return {pair.key: value_of(pair.value, mended, depth + 1) for pair in pairs if pair.key}
    return _bytes(value.bytes_value)


def finite(value: float | str, mended: Reasons) -> float | None:
    """The value as a finite number; None, and counted, where it is none."""
    try:
        number = float(value) if not isinstance(value, str) or len(value) < _MAX_DIGITS else None
    except (ValueError, OverflowError):
        number = None
    if number is None or not math.isfinite(number):
        mended[NO_NUMBER] += 1
        return None
    return number


def _whole(value: float | str, mended: Reasons) -> int | float | None:
    """The value as a whole number within 64 bits; else the nearest double, or None: counted."""
    try:
        number = int(value) if not isinstance(value, str) or len(value) < _MAX_DIGITS else None
    except (ValueError, OverflowError):
        number = None
    if number is None:
        mended[NO_NUMBER] += 1
        return None
    if -(2**63) <= number < 2**63:
        return number
    if not isinstance(value, float):  # one that is a double already was counted, if it was more
        mended[TOO_WIDE] += 1
    return finite(number, mended)


def _bytes(value: str | None) -> bytes | None:
    try:
        return None if value is None else base64.b64decode(value)
    except (ValueError, binascii.Error):
        return None
