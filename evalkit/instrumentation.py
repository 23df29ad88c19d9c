"""Whether a run's instrumentation still tells what the baseline's told.

An instrumentor that was upgraded may stop recording a kind of step. The pipeline did not get
worse then, though scorers that look for such steps say so: whether it did cannot be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from evalkit.results import Told

LOOKS_AT_STEPS = frozenset(
    {"tool_selection", "trajectory_match", "step_efficiency", "trajectory_score", "routing"}
)
"""Scorers that score lower where steps are not recorded."""

LOOKS_FOR_NONE = frozenset(
    {
        *("before", "approval", "memory_after_success", "forbidden", "guardrail", "injection"),
        *("loop_cap", "handoff_fields", "silent_fallback"),
    }
)
"""Scorers that find no fault where steps are not recorded."""

UNTOLD = {
    "arguments": "the arguments of tools",
    "outputs": "what tools returned",
    "text": "what the models said",
    "tokens": "tokens",
    "served model": "which model answered",
    "model calls": "model calls",
}
"""Words of :attr:`evalkit.trajectory.Coverage.missing` as a person reads them; what becomes of
tool calls shows in the kinds of steps."""


class Loss(NamedTuple):
    """Kinds of steps that a route's trajectories no longer have since ``changed``, as texts."""

    kinds: tuple[str, ...]
    changed: str
    baseline_trials: int

    def doubt(self, scorer: str, was: float | None, now: float | None) -> str | None:
        """Why what this scorer says of the route cannot be trusted, if so; means before and after.

        A scorer that looks for steps is doubted where it dropped, or judged nothing any more; one
        that finds faults, always.
        """
        dropped = was is not None and (now is None or now < was)
        if not (scorer in LOOKS_FOR_NONE or (scorer in LOOKS_AT_STEPS and dropped)):
            return None
        return (
            f"the instrumentation changed ({self.changed}) and records no {self.named} any more, "
            f"which the baseline's {self.baseline_trials} trials have: whether the pipeline changed"
            " cannot be told. Make the baseline anew with this instrumentation, or bring the old "
            "one back"
        )

    @property
    def named(self) -> str:
        """``tool steps``, ``retriever and tool steps``."""
        return " and ".join(self.kinds) + " steps"


def losses(after: Mapping[str, Told], before: Mapping[str, Told]) -> dict[str, Loss]:
    """By route, the kinds of steps that the candidate's instrumentation does not record.

    A kind is lost where the baseline has it on the route, no trajectory of the candidate's route
    has it, and a scope that records the route is new or of another version. A scope that is gone
    proves nothing: what it records may just not have happened. Nor is a kind lost where another
    route, recorded by the same new scopes, has it: they can tell, so that it did not happen.
    """
    found: dict[str, Loss] = {}
    for route, now in after.items():
        was = before.get(route)
        if was is None or not now.trials:
            continue
        changed = now.scopes - was.scopes
        kinds = {
            kind
            for kind in was.kinds - now.kinds
            if not any(kind in one.kinds and changed <= one.scopes for one in after.values())
        }
        if changed and kinds:
            said = ", ".join(_said(name, version, was) for name, version in sorted(changed))
            found[route] = Loss(tuple(sorted(kinds)), said, was.trials)
    return found


def untold(after: Mapping[str, Told], before: Mapping[str, Told]) -> list[str]:
    """Notes of what no trajectory of a route tells any more, and all of the baseline's told."""
    routes: dict[str, list[str]] = {}
    for route, now in after.items():
        was = before.get(route)
        if was is None or not now.trials:
            continue
        for word, named in UNTOLD.items():
            if now.missing.get(word, 0) == now.trials and not was.missing.get(word):
                routes.setdefault(named, []).append(route)
    return [
        f"the instrumentation no longer tells {named} on {', '.join(listed)}"
        for named, listed in routes.items()
    ]


def _said(name: str, version: str, was: Told) -> str:
    old = ", ".join(sorted(known for scope, known in was.scopes if scope == name))
    return f"{name} {old or 'not there'} → {version or 'no version'}"
