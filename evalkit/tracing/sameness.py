"""Whether two recordings are of one thing: by what both know, and never by what one leaves out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_FORMS = ("__", "-", ".", "/")
_FORM = re.compile(r"__|[-./]")


@lru_cache(maxsize=4096)
def own_name(name: str) -> str:
    """The last part of a tool's name: all names of one tool have it, and so may other tools."""
    return _FORM.split(name)[-1]


def is_same_tool(one: str, other: str) -> bool:
    """Whether the names are one tool's: equal, or one has its server or plugin before it.

    ``mcp__kb__find``, ``kb-find``, ``kb.find`` and ``kb/find`` may be ``find``; ``kb-find`` and
    ``web-find`` are two.
    """
    if one == other:
        return True
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    return longer.endswith(shorter) and longer[: len(longer) - len(shorter)].endswith(_FORMS)


def apart(one: Any, other: Any) -> bool:
    """Whether both are known and are not the same."""
    return one is not None and other is not None and bool(one != other)


def includes(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether one of two calls' arguments are all among the other's, which may add defaults."""
    fewer, more = (one, other) if len(one) < len(other) else (other, one)
    return all(key in more and more[key] == value for key, value in fewer.items())
