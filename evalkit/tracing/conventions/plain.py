"""The convention of :mod:`evalkit.tracing.steps`: ``evalkit.step.*`` attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.attributes import amount, count, label, parsed, plain, step_name
from evalkit.trajectory import STEP_KINDS, Step, StepKind

KIND = "evalkit.step.kind"


class Plain:
    """Reads spans that say which step they are: ``evalkit.step.kind``, ``.arguments``, ..."""

    name = "plain"
    claims_by_keys = True

    def claims(self, span: Span) -> bool:
        """Whether the span names its kind of step."""
        return KIND in span.attributes

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The step that the span states; ``wrapper`` is a kind too, an unknown kind is not."""
        kind = span.attributes[KIND]
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
    actor = span.attributes.get("evalkit.step.actor")
    return Step(
        kind=kind,
        name=step_name(span.attributes.get("evalkit.step.name"), span.name),
        actor="user" if actor == "user" else "agent",
        **stated,
    )


def _json(value: Any) -> Any:
    return plain(parsed(value))


_PREFIX = "evalkit.step."
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
