"""State changes: which tools make them, which were made, and which of those changed nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from evalkit.dataset import ExpectedStep
from evalkit.effects import sets_by_name
from evalkit.plans import Plan, Row, projected
from evalkit.suite import Effects
from evalkit.trajectory import Step
from evalkit.values import canonical


class Changes(NamedTuple):
    """Which tools change state, and those that the suite itself declares to."""

    tool: Callable[[str], bool]
    declared: frozenset[str]

    def expected(self, stated: ExpectedStep) -> bool:
        """Whether an expected step is the call of a tool that changes state."""
        if stated.kind == "step":  # of any kind: a state change only if declared as one
            return stated.step in self.declared
        return stated.tool is not None and self.tool(stated.tool)


def changing(steps: Sequence[Step], effects: Effects) -> Changes:
    """Which tools change state in this trial."""
    return Changes(changes_state(steps, effects), frozenset(effects.write or ()))


def changes_state(steps: Sequence[Step], effects: Effects) -> Callable[[str], bool]:
    """Which tools change state: as the suite states, else as the trace tells, else by name."""
    told: dict[str, bool] = {}
    if effects.write is None:
        for step in steps:
            if step.read_only is not None:
                told.setdefault(step.name, not step.read_only)

    def changes(tool: str) -> bool:
        return told[tool] if tool in told else effects.changes_state(tool)

    return changes


def changed_by(plan: Plan, changes: Changes) -> Plan:
    """The expected state changes; one that has an alternative without any is optional."""

    def changing(row: Row) -> Row | None:
        every = tuple(one for one in row.alternatives if changes.expected(one))
        if len(every) == len(row.alternatives):
            return row
        return Row(row.position, every, optional=True) if every else None

    return projected(plan, changing)


def state_changes(steps: Sequence[Step], changes: Changes) -> tuple[list[int], set[int]]:
    """Calls of tools that change state, and those of them that changed nothing (further)."""
    numbers: list[int] = []
    idle: set[int] = set()
    last: Step | None = None
    for number, step in enumerate(steps):
        if step.kind == "tool" and changes.tool(step.name):
            numbers.append(number)
            if step.status != "ok" or _sets_again(step, last):
                idle.add(number)
            if step.status == "ok":
                last = step
    return numbers, idle


def _sets_again(step: Step, last: Step | None) -> bool:
    """Whether the state change right before it had set the same already, as the trace shows."""
    return (
        last is not None
        and step.name == last.name
        and step.output is not None
        and sets_by_name(step.name)
        and canonical(step.arguments) == canonical(last.arguments)
        and canonical(step.output) == canonical(last.output)
    )
