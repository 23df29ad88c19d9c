"""What a tool's name tells of its effect: whether it only reads, whether repeating it matters.

Only a guess: used where neither the suite's ``effects`` nor the trace's annotations tell.
"""

from __future__ import annotations

import re
from functools import lru_cache

READING_VERBS = frozenset(
    (
        *("analyze", "ask", "browse", "calculate", "can", "check", "classify", "compare"),
        *("compute", "count", "describe", "diff", "estimate", "evaluate", "exists", "explain"),
        *("fetch", "find", "get", "goto", "grep", "has", "inspect", "is", "list", "look"),
        *("lookup", "parse", "peek", "ping", "preview", "query", "read", "reason", "reflect"),
        *("rerank", "retrieve", "search", "show", "summarize", "think", "todo", "validate"),
        *("verify", "view"),
    )
)
"""A tool whose name begins with one of these changes nothing, as far as its name tells."""

CHANGING_PHRASES = frozenset({("check", "in"), ("check", "out"), ("check", "off")})
"""Of the reading verbs, those that the word after them makes one that changes state."""

READING_NAMES = re.compile(
    r"^(transfer|hand_?off|escalate)_?to_?(a_?)?human|^run_?\w*_?test$"
    r"|^(go|jump|move|switch|transition)_?to_?(\w+_)?(node|stage|state|step)$"
    r"|^(\w+_)?(todos?|to_?do_?list|scratch_?pad)$",
    re.IGNORECASE,
)
"""Handing over to a person, running a test and an orchestration's own bookkeeping (which node it is
at, its list of things to do) change nothing either."""

SETTING_VERBS = frozenset(
    (
        *("activate", "assign", "cancel", "change", "close", "deactivate", "delete", "disable"),
        *("edit", "enable", "lock", "modify", "overwrite", "put", "remove", "rename", "replace"),
        *("reset", "set", "unlock", "update", "upsert"),
    )
)
"""A tool whose name begins with one of these sets a state: twice the same is as good as once."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_NAMESPACE = re.compile(r"[./:]|__")


@lru_cache(maxsize=10_000)
def _words(tool: str) -> tuple[str, ...]:
    """The words of a tool's own name, at least one."""
    own = next((part for part in reversed(_NAMESPACE.split(tool[:500])) if part), "")
    return tuple(word.lower() for word in _WORD.findall(own) or [own])


def verb(tool: str) -> str:
    """The first word of a tool's own name: ``get`` of ``get_user`` or ``crm.getUser``."""
    return _words(tool)[0]


@lru_cache(maxsize=10_000)
def reads_by_name(tool: str) -> bool:
    """Whether a tool only reads, as far as its name tells."""
    words = _words(tool)
    if words[0] in READING_VERBS:
        return words[:2] not in CHANGING_PHRASES
    return READING_NAMES.match(tool[:500]) is not None


def sets_by_name(tool: str) -> bool:
    """Whether a tool sets a state, so that an immediate repetition changes nothing further."""
    return verb(tool) in SETTING_VERBS
