"""What a trace could not tell, so that a scorer can say so instead of judging it as wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.spans import Span
from evalkit.tracing.attributes import as_map, label, parsed
from evalkit.trajectory import Step

_SESSION = (
    "gen_ai.conversation.id",
    "session.id",
    "langsmith.metadata.session_id",
    "langsmith.metadata.thread_id",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.thread_id",
    "ai.telemetry.metadata.sessionId",
    "mastra.metadata.sessionId",
    "metadata.sessionId",
    "langfuse.trace.metadata.session_id",
    "langfuse.session.id",
)
_USER = (
    "user.id",
    "enduser.id",
    "langsmith.metadata.user_id",
    "traceloop.association.properties.user_id",
    "ai.telemetry.metadata.userId",
    "mastra.metadata.userId",
    "metadata.userId",
    "langfuse.trace.metadata.user_id",
    "langfuse.user.id",
    "llm.user",
)


_NAMING = frozenset(_SESSION + _USER)


def session_and_user(spans: Sequence[Span]) -> tuple[str | None, str | None]:
    """The session (or conversation) and the user that the first span naming one names."""
    return _named(spans, _SESSION, "session_id"), _named(spans, _USER, "user_id")


def _named(spans: Sequence[Span], keys: tuple[str, ...], field: str) -> str | None:
    for span in spans:
        found = span.attributes
        for key in () if _NAMING.isdisjoint(found) else keys:
            if key in found and (name := label(parsed(found[key]))) is not None:
                return name
    for span in spans:
        if "metadata" in span.attributes:
            name = label(as_map(span.attributes["metadata"]).get(field))
            if name is not None:
                return name
    return None


def missing(steps: Sequence[Step]) -> tuple[str, ...]:
    """What the instrumentation did not tell of a trajectory's steps, in fixed words.

    ``model calls``: no step is one. ``tool calls``: there is none, nor could the model's text
    show any. ``tool spans``: some calls are known from the model's messages alone. ``arguments``
    and ``outputs``: of some tool. ``text``: of some answer. ``tokens``: none are known; ``tokens
    per call``: only totals are. ``served model``: of some call.
    """
    return tuple(_missing(steps)) if steps else ()


def _missing(steps: Sequence[Step]) -> Iterator[str]:
    calls = [step for step in steps if step.kind == "llm"]
    answered = [step for step in calls if step.status == "ok"]
    tools = [step for step in steps if step.kind in ("tool", "handoff")]
    recorded = [step for step in tools if step.inferred != "call" and step.kind == "tool"]
    silent = any(step.output is None for step in answered)
    uses_models = bool(calls) or any(step.kind == "agent" for step in steps)
    if not calls and uses_models:
        yield "model calls"
    if not tools and uses_models and (silent or not calls):
        yield "tool calls"
    if any(step.inferred == "call" for step in tools):
        yield "tool spans"
    if any(step.arguments is None for step in recorded):
        yield "arguments"
    if any(step.output is None and step.status == "ok" for step in tools if step.kind == "tool"):
        yield "outputs"
    if silent:
        yield "text"
    if uses_models and not any(step.tokens_in is not None for step in steps):
        yield "tokens"
    elif uses_models and not any(step.tokens_in is not None for step in calls):
        yield "tokens per call"
    if any(step.model_served is None for step in answered):
        yield "served model"
