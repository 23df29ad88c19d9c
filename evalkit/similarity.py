"""How alike two inputs are: which of their words stand under which keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

MAX_WORDS = 5000

_WORD = re.compile(r"\w+")


def similarity(one: Any, other: Any) -> float:
    """The share of words, with the key they stand under, that two values have in common: [0, 1].

    Numbers count as alike in part: by how many of their leading digits and their length agree.
    """
    first, second = words(one), words(other)
    if not first and not second:
        return 1.0
    return len(first & second) / len(first | second)


def words(value: Any) -> frozenset[tuple[str, str]]:
    """Each word of a value with its key; of a number its size and sign as well as itself."""
    found: set[tuple[str, str]] = set()
    for key, word in _pairs(value):
        found.add((key, word))
        if len(found) >= MAX_WORDS:
            break
    return frozenset(found)


def scalars(value: Any) -> frozenset[Any]:
    """Texts and numbers anywhere in a value; truth values and None are too common to tell."""
    found: set[Any] = set()
    pending = [value]
    while pending and len(found) < MAX_WORDS:
        one = pending.pop()
        if isinstance(one, dict):
            pending.extend(one.values())
        elif isinstance(one, list | tuple):
            pending.extend(one)
        elif isinstance(one, str | int | float) and not isinstance(one, bool):
            found.add(one)
    return frozenset(found)


def _pairs(value: Any) -> Iterator[tuple[str, str]]:
    pending: list[tuple[str, Any]] = [("", value)]
    while pending:
        key, one = pending.pop()
        if isinstance(one, dict):
            pending.extend((str(name), inner) for name, inner in one.items())
        elif isinstance(one, list | tuple):
            pending.extend((key, inner) for inner in one)
        elif isinstance(one, str):
            yield from ((key, word.lower()) for word in _WORD.findall(one))
        elif isinstance(one, int | float) and not isinstance(one, bool):
            yield key, str(one)
            yield key, f"about 1e{len(str(int(abs(one)))) - 1}" if abs(one) < 1e15 else "huge"
        else:
            yield key, str(one)
