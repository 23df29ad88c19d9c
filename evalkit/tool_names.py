"""Names of one tool: what a model calls it by, and what the step of the call is called."""

from __future__ import annotations

import re
from functools import lru_cache

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
