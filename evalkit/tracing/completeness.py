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


def _missing(  # noqa: PLR0912  one walk, a line per fact
    trajectory: Trajectory, steps: Sequence[Step], unseen: bool, by_hand: bool
) -> Iterator[str]:
    uses_models = calls = tools = silent = unserved = tokens = uncounted = False
    hidden = rebuilt = no_arguments = no_outputs = False
    for step in steps:
        kind = step.kind
        tokens = tokens or step.tokens_in is not None
        if kind == "llm":
            calls = True
            if step.status == "ok":
                uncounted = uncounted or step.tokens_in is None or step.tokens_out is None
                silent = silent or step.output is None
                hidden = hidden or (step.output is None and not _only_answered(step))
                unserved = unserved or step.model_served is None
        elif kind in ("tool", "handoff"):
            tools = True
            rebuilt = rebuilt or step.inferred == "call"
            if kind == "tool":
                no_arguments = no_arguments or (step.arguments is None and step.inferred != "call")
                no_outputs = no_outputs or (step.output is None and step.status == "ok")
        elif kind == "agent":
            uses_models = True
    uses_models = uses_models or calls
    if not calls and uses_models:
        yield "model calls"
    if not (tools or by_hand) and uses_models and (hidden or not calls):
        yield "tool calls"
    if rebuilt or unseen:
        yield "tool spans"
    if no_arguments:
        yield "arguments"
    if no_outputs:
        yield "outputs"
    if silent:
        yield "text"
    if uses_models and not tokens:
        yield "tokens"
    elif uncounted or (uses_models and not calls):
        known = all(trajectory.total(field).all for field in ("tokens_in", "tokens_out"))
        yield "tokens per call" if known else "tokens"
    if unserved:
        yield "served model"
