"""Which convention reads a span: the first that claims it, nearly always told by its shape."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from evalkit.plugins import load, registered
from evalkit.protocols import Convention, Reading
from evalkit.spans import Span
from evalkit.tracing.shapes import Shape

_MAX_SCOPES = 100
# The more particular before the more general: the first that claims a span reads it.
_BUILT_IN = (
    "plain",
    "openinference",
    "langsmith",
    "traceai",
    "traceloop",
    "mcp",
    "litellm",
    "vercel_ai",
    "claude",
    "haystack",
    "llamaindex",
    "google_adk",
    "pydantic_ai",
    "semantic_kernel",
    "agent_framework",
    "strands",
    "crewai",
    "mastra",
    "langfuse",
    "genai",
)


class _Choice(NamedTuple):
    """Who reads spans of one shape and scope: ``found``, unless one of ``asked`` claims them.

    Spans whose names begin with one of ``names`` are a matter for all conventions.
    """

    names: tuple[str, ...]
    asked: tuple[Convention, ...]
    found: Convention | None


def reader_of(span: Span, shape: Shape) -> Convention | None:
    """The first convention that claims the span, of all that are installed."""
    choice = shape.tells(_by_scope).get(span.scope) or _choose(span, shape)
    names, asked, found = choice
    if names and span.name.startswith(names):
        return _claimant(span, _candidates(span.scope))
    return (_claimant(span, asked) or found) if asked else found


def _by_scope(keys: tuple[str, ...]) -> dict[str, _Choice]:
    """The choices for spans of a shape: made as scopes are met."""
    return {}


def _choose(span: Span, shape: Shape) -> _Choice:
    candidates = _candidates(span.scope)
    by_keys = [one for one in candidates if getattr(one, "claims_by_keys", False)]
    names = {name for one in by_keys for name in getattr(one, "names", ())}
    unnamed = not span.name.startswith(tuple(names))
    found = _claimant(span, by_keys if unnamed else candidates)
    before = candidates if found not in candidates else candidates[: candidates.index(found)]
    asked = tuple(one for one in before if one not in by_keys)
    choice = _Choice(tuple(names), asked, found)
    if unnamed:
        known = shape.tells(_by_scope)
        if len(known) >= _MAX_SCOPES:
            known.clear()
        known[span.scope] = choice
    return choice


def _claimant(span: Span, conventions: Sequence[Convention]) -> Convention | None:
    for convention in conventions:
        try:
            if convention.claims(span):
                return convention
        except Exception:  # a third party's convention may raise anything on a span it mistakes
            return _Mistaken(convention.name)
    return None


class _Mistaken:
    """In the place of a convention that raised when it was asked: the span is not understood."""

    def __init__(self, name: str) -> None:
        self.name = name

    def claims(self, span: Span) -> bool:
        return True

    def read(self, span: Span, parent: Span | None) -> Reading:
        return Reading(role="unknown")


@lru_cache(maxsize=1024)
def _candidates(scope: str) -> tuple[Convention, ...]:
    """The conventions that may claim spans of a scope; a dialect names the scopes it is for."""
    return tuple(
        one
        for one in _conventions()
        if not (scopes := getattr(one, "scopes", ())) or scope.startswith(scopes)
    )


@cache
def _conventions() -> tuple[Convention, ...]:
    """All installed conventions; ours last, and of these the one that shares its keys least."""
    names = registered("convention")
    ordered = [name for name in names if name not in _BUILT_IN]
    ordered += [name for name in _BUILT_IN if name in names]
    found = [load("convention", name) for name in ordered]
    return tuple(one() if isinstance(one, type) else one for one in found)
