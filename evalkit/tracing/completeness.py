"""What a trace could not tell, so that a scorer can say so instead of judging it as wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from evalkit.spans import Span
from evalkit.tracing.attributes import as_map, label, parsed
from evalkit.tracing.shapes import shape_of
from evalkit.trajectory import Step, Trajectory

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
    "gcp.vertex.agent.session_id",
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

_GEMINI = re.compile("gemini|google|vertex|gcp")

NAMING = (*_SESSION, *_USER, "metadata")
"""Keys of attributes of which one may name the session or the user."""


def session_and_user(spans: Sequence[Span]) -> tuple[str | None, str | None]:
    """The session (or conversation) and the user that the first span naming one names."""
    return _named(spans, 0, "session_id"), _named(spans, 1, "user_id")


def _namings(keys: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys that may name the session, and those that may name the user."""
    session, user = ([key for key in names if key in keys] for names in (_SESSION, _USER))
    return tuple(session), tuple(user)


def _named(spans: Sequence[Span], which: int, field: str) -> str | None:
    for span in spans:
        found = span.attributes
        for key in shape_of(found).tells(_namings)[which]:
            if (name := label(parsed(found[key]))) is not None:
                return name
    for span in spans:
        if "metadata" in span.attributes:
            name = label(as_map(span.attributes["metadata"]).get(field))
            if name is not None:
                return name
    return None


def missing(
    trajectory: Trajectory, steps: Sequence[Step], *, unseen: bool = False, by_hand: bool = False
) -> tuple[str, ...]:
    """What the instrumentation did not tell of a trajectory's steps, in fixed words.

    ``steps`` are all of them.

    ``model calls``: no step is one. ``tool calls``: there is none, nor could the model's text
    show any, or why it stopped that there was none; where the application itself says what its
    steps are (``by_hand``), there was none.
    ``tool spans``: some calls are known from the model's messages alone (``unseen``:
    one at least that no step shows, as nothing tells whether it took place). ``arguments``
    and ``outputs``: of some tool. ``text``: of some answer. ``tokens``: of some call at least;
    ``tokens per call``: only an agent's total has them. ``served model``: of some call.
    """
    return tuple(_missing(trajectory, steps, unseen, by_hand)) if steps else ()


def _only_answered(step: Step) -> bool:
    """Whether the model says that it stopped for its answer was done, which Gemini says of calls,
    too."""
    named = f"{step.provider} {step.model_requested} {step.model_served}".lower()
    return step.stop_reason == "stop" and not _GEMINI.search(named)


def _missing(
    trajectory: Trajectory, steps: Sequence[Step], unseen: bool, by_hand: bool
) -> Iterator[str]:
    models = [step for step in steps if step.kind == "llm"]
    calls = [step for step in steps if step.kind in ("tool", "handoff")]
    answered = [step for step in models if step.status == "ok"]
    silent = [step for step in answered if step.output is None]
    tools = [step for step in calls if step.kind == "tool"]
    rebuilt = [step for step in calls if step.inferred == "call"]
    uses_models = bool(models) or any(step.kind == "agent" for step in steps)
    if uses_models and not models:
        yield "model calls"
    could_show = by_hand or (models and all(map(_only_answered, silent)))
    if uses_models and not calls and not could_show:
        yield "tool calls"
    if unseen or rebuilt:
        yield "tool spans"
    if any(step.arguments is None and step.inferred != "call" for step in tools):
        yield "arguments"
    if any(step.output is None and step.status == "ok" for step in tools):
        yield "outputs"
    if silent:
        yield "text"
    if uses_models:
        yield from _uncounted(trajectory, steps, answered if models else None)
    if any(step.model_served is None for step in answered):
        yield "served model"


def _uncounted(
    trajectory: Trajectory, steps: Sequence[Step], answered: Sequence[Step] | None
) -> Iterator[str]:
    """What is not known of tokens; ``answered`` are calls of models, None where no step is one."""
    if all(step.tokens_in is None for step in steps):
        yield "tokens"
    elif answered is None or any(None in (one.tokens_in, one.tokens_out) for one in answered):
        known = all(trajectory.total(field).all for field in ("tokens_in", "tokens_out"))
        yield "tokens per call" if known else "tokens"
