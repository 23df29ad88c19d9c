"""Spans that say themselves which step they are: ``evalkit.step.*``, ``agent.trajectory.step``.

The first is what :mod:`evalkit.tracing.steps` writes. The second is the least that a span by hand
needs: the step's name, or its number, and the span's own name then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.attributes import amount, count, label, parsed, plain, step_name
from evalkit.trajectory import STEP_KINDS, Step, StepKind

KIND = "evalkit.step.kind"
STEP = "agent.trajectory.step"

_OTHERS = (
    "gen_ai.",
    "openinference.",
    "fi.",
    "traceloop.",
    "langsmith.",
    "langfuse.",
    "ai.",
    "mcp.",
)
"""How the keys of conventions begin that say more of a span than that it is a step."""


class Plain:
    """Reads spans by ``evalkit.step.kind``, ``.arguments``, ..., or ``agent.trajectory.step``."""

    name = "plain"
    claims_by_keys = True

    def claims(self, span: Span) -> bool:
        """Whether the span names its kind of step, or is a step in no convention else."""
        found = span.attributes
        return KIND in found or (
            STEP in found and not any(key.startswith(_OTHERS) for key in found)
        )

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The step that the span states; ``wrapper`` is a kind too, an unknown kind is not."""
        named = "tool" if "tool.name" in span.attributes else "node"
        kind = span.attributes.get(KIND, named)
        if kind == "wrapper":
            return Reading(role="wrapper")
        if kind not in STEP_KINDS:
            return Reading(role="unknown")
        return Reading(role="step", step=_step(cast("StepKind", kind), span))


def _step(kind: StepKind, span: Span) -> Step:
    stated: dict[str, Any] = {}
    for key, value in span.attributes.items():
        field = key.removeprefix(_PREFIX)
        if field != key and (read := _FIELDS.get(field)) is not None:
            stated[field] = read(value)
    found = span.attributes
    for field, key in _BARE.items():
        if STEP in found and key in found and field not in stated:
            stated[field] = _json(found[key])
    numbered = found.get(STEP)
    name = numbered if isinstance(numbered, str) and not numbered.isdecimal() else None
    return Step(
        kind=kind,
        name=step_name(found.get("evalkit.step.name"), found.get("tool.name"), name, span.name),
        actor="user" if found.get("evalkit.step.actor") == "user" else "agent",
        **stated,
    )


def _json(value: Any) -> Any:
    return plain(parsed(value))


_PREFIX = "evalkit.step."
_BARE = {"arguments": "input.value", "output": "output.value"}
_FIELDS: dict[str, Callable[[Any], Any]] = {
    "arguments": _json,
    "output": _json,
    "agent": label,
    "model_requested": label,
    "model_served": label,
    "provider": label,
    "stop_reason": label,
    "tokens_in": count,
    "tokens_out": count,
    "tokens_cached": count,
    "tokens_reasoning": count,
    "cost_usd": amount,
    "call_id": label,
}
