"""Steps that a trace could not have shown: whether they happened is unknown, not a no."""

from __future__ import annotations

from collections.abc import Iterable

from evalkit.dataset import ExpectedStep
from evalkit.trajectory import Trajectory

CALLS = frozenset({"tool", "handoff"})
"""Kinds of step that are calls of a model's."""

_NONE: frozenset[str] = frozenset()
_MODELS = frozenset({"llm"})
_MAX_SCOPES = 3


def kinds(trajectory: Trajectory) -> frozenset[str]:
    """The kinds of step that the trajectory's coverage says its instrumentation does not tell."""
    missing = trajectory.coverage.missing
    if not missing:  # by far the most frequent
        return _NONE
    calls = CALLS if "tool calls" in missing else _NONE
    return calls | _MODELS if "model calls" in missing else calls


def may_be(stated: ExpectedStep, unrecorded: frozenset[str]) -> bool:
    """Whether a step of a kind that is not recorded could be this one; of any kind, a call."""
    return bool(unrecorded) and any(
        one.kind in unrecorded or (one.kind == "step" and "tool" in unrecorded)
        for one in stated.alternatives
    )


def why(trajectory: Trajectory, of: Iterable[str]) -> str | None:
    """Why it is unknown whether steps of these kinds happened; None where the trace tells."""
    unrecorded = kinds(trajectory)
    if not unrecorded or unrecorded.isdisjoint(of):
        return None
    by = f"its instrumentation{_scopes(trajectory)}"
    if CALLS.isdisjoint(of) or not unrecorded & CALLS:
        return f"the trace does not record model calls: {by} has no spans of models"
    models = "spans of models" if "llm" in unrecorded else "what the models said"
    return f"the trace does not record tool calls: {by} has neither spans of tools nor {models}"


def _scopes(trajectory: Trajectory) -> str:
    named = [
        f"{name[:100]} {version[:40]}".rstrip()
        for name, version in trajectory.coverage.scopes.items()
        if name
    ]
    more = ", ..." if len(named) > _MAX_SCOPES else ""
    return f" ({', '.join(named[:_MAX_SCOPES])}{more})" if named else ""
