"""Steps that a trace could not have shown: whether they happened is unknown, not a no."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from evalkit.dataset import ExpectedStep
from evalkit.tool_names import is_same_tool
from evalkit.trajectory import Coverage, Step, Trajectory, Unseen

CALLS = frozenset({"tool", "handoff"})
"""Kinds of step that are calls of a model's."""

_NONE: frozenset[str] = frozenset()
_MODELS = frozenset({"llm"})
_MAX_SCOPES = 3


class Unrecorded(NamedTuple):
    """What may have happened besides the steps: any of these kinds, and these very calls."""

    kinds: frozenset[str]
    calls: tuple[Unseen, ...]

    def may_be(self, stated: ExpectedStep) -> bool:
        """Whether something that is not recorded could be this step."""
        return bool(self.asked((stated,))) or any(
            one.kind in self.kinds or (one.kind == "step" and "tool" in self.kinds)
            for one in stated.alternatives
        )

    def asked(self, stated: Iterable[ExpectedStep]) -> list[Unseen]:
        """The calls that could be one of these steps."""
        every = [one for listed in stated for one in listed.alternatives] if self.calls else []
        return [call for call in self.calls if any(_is(one, call) for one in every)]


def kinds(trajectory: Trajectory) -> frozenset[str]:
    """The kinds of step that the trajectory's coverage says its instrumentation does not tell."""
    return kinds_untold(trajectory.coverage)


def kinds_untold(coverage: Coverage) -> frozenset[str]:
    """The same, of the coverage."""
    missing = coverage.missing
    if not missing:  # by far the most frequent
        return _NONE
    calls = CALLS if "tool calls" in missing else _NONE
    return calls | _MODELS if "model calls" in missing else calls


def of(trajectory: Trajectory) -> Unrecorded | None:
    """What the trajectory could not have shown; None where it shows all that happened."""
    coverage = trajectory.coverage
    if not coverage.missing:
        return None
    found = Unrecorded(kinds(trajectory), coverage.unseen)
    return found if any(found) else None


def why(trajectory: Trajectory, of: Collection[str]) -> str | None:
    """Why it is unknown whether steps of these kinds happened; None where the trace tells."""
    calls = [call for call in trajectory.coverage.unseen if call.kind in of]
    return why_kinds(trajectory, of) or why_calls(trajectory, calls)


def why_kinds(trajectory: Trajectory, of: Collection[str]) -> str | None:
    """The same where it is enough that models asked for calls."""
    unrecorded = kinds(trajectory)
    if not unrecorded or unrecorded.isdisjoint(of):
        return None
    by = f"its instrumentation{_scopes(trajectory)}"
    if CALLS.isdisjoint(of) or not unrecorded & CALLS:
        return f"the trace does not record model calls: {by} has no spans of models"
    models = "spans of models" if "llm" in unrecorded else "what the models said"
    return f"the trace does not record tool calls: {by} has neither spans of tools nor {models}"


def why_calls(trajectory: Trajectory, calls: Sequence[Unseen]) -> str | None:
    """Why it is unknown whether these calls happened, of which there may be none."""
    if not calls:
        return None
    return (
        f"the trace does not record whether {calls[0].label} happened: a model called it, and its "
        f"instrumentation{_scopes(trajectory)} has neither a span of it nor a result"
    )


def outcome(steps: Iterable[Step]) -> str | None:
    """Why it is unknown how one of these steps ended; None where the trace tells of all."""
    step = next((one for one in steps if not one.outcome_known), None)
    if step is None:
        return None
    return (
        f"the trace does not record how {step.label} ended: only a model's message shows the call, "
        "and nothing what it returned"
    )


def _is(stated: ExpectedStep, call: Unseen) -> bool:
    return (
        stated.kind in (call.kind, "step")
        and stated.actor == "agent"
        and is_same_tool(stated.name or "", call.name)
    )


def _scopes(trajectory: Trajectory) -> str:
    named = [
        f"{name[:100]} {version[:40]}".rstrip()
        for name, version in trajectory.coverage.scopes.items()
        if name
    ]
    more = ", ..." if len(named) > _MAX_SCOPES else ""
    return f" ({', '.join(named[:_MAX_SCOPES])}{more})" if named else ""
