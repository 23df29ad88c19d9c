"""What a document may not hold and is read all the same, taken another way: counted by reason."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from evalkit.tracing.attributes import MAX_NESTING, MAX_TEXT, plain
from evalkit.tracing.reasons import (
    ENDS_EARLY,
    NO_NUMBER,
    NO_TIME,
    NO_UNICODE,
    TOO_DEEP,
    TOO_LONG,
    TOO_WIDE,
    Reasons,
)

_SURROGATE = re.compile("[\ud800-\udfff]")


def mended(document: bytes, found: Reasons) -> bytes:
    """JSON with what strict JSON has no room for replaced: NaN, bad UTF-8, lone surrogates.

    What was replaced is counted in ``found``. Raises ValueError or RecursionError where it is no
    JSON at all.
    """
    text = document.decode("utf-8", "replace")
    loaded = json.loads(text)
    bad = text.count("\ufffd") - document.count("\ufffd".encode())
    if bad:
        found[NO_UNICODE] += bad
    return msgspec.json.encode(bounded(loaded, found))


def bounded(value: Any, found: Reasons) -> Any:
    """As :func:`evalkit.tracing.attributes.plain`; what that changes is counted in ``found``."""
    made = plain(value)
    if made != value:
        found.update(_changes(value))
    return made


def in_order(start_ns: int, end_ns: int, found: Reasons) -> tuple[int, int]:
    """The start and end of a span, 0 where unknown; counted in ``found`` if not in that order."""
    if not start_ns or not end_ns:
        found[NO_TIME] += 1
    elif end_ns < start_ns:
        found[ENDS_EARLY] += 1
    return start_ns, max(start_ns, end_ns)


def _changes(value: Any) -> Iterator[str]:
    """The reasons for which a value is not what is kept of it."""
    pending = [(value, 0)]
    while pending:
        one, depth = pending.pop()
        if isinstance(one, Mapping | list | tuple):
            if depth >= MAX_NESTING:
                yield TOO_DEEP
            else:
                inner = [*one, *one.values()] if isinstance(one, Mapping) else one
                pending += [(item, depth + 1) for item in inner]
        elif isinstance(one, str):
            if len(one) > MAX_TEXT:
                yield TOO_LONG
            if _SURROGATE.search(one):
                yield NO_UNICODE
        elif isinstance(one, float) and not math.isfinite(one):
            yield NO_NUMBER
        elif isinstance(one, int) and not -(2**63) <= one < 2**63:
            yield TOO_WIDE
