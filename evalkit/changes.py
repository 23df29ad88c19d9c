"""State changes: which tools make them, which were made, and which of those changed nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from evalkit.dataset import ExpectedStep
from evalkit.effects import sets_by_name
from evalkit.expectation import same_name
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
    """The expected state changes, and the steps that one of them comes `after`.

    A choice in which an alternative changes nothing is optional, unless a change comes after it.
    """
    needed = 0
    for row, earlier in zip(plan.rows, plan.before or (), strict=False):
        if any(map(changes.expected, row.alternatives)):
            needed |= earlier
    before_changes = {row.position for place, row in enumerate(plan.rows) if needed >> place & 1}

    def changing(row: Row) -> Row | None:
        every = tuple(one for one in row.alternatives if changes.expected(one))
        if len(every) == len(row.alternatives) or row.position in before_changes:
            return row
        return Row(row.position, every, optional=True) if every else None

    return projected(plan, changing)


def state_changes(
    steps: Sequence[Step], changes: Changes, plans: Sequence[Plan]
) -> tuple[list[int], set[int]]:
    """Calls of tools that change state, and what else a row of the plans may be: all that is to
    be compared; and those of them that changed nothing (further)."""
    awaited: dict[str | None, list[ExpectedStep]] = {}
    for one in _changing_nothing(plans, changes):
        awaited.setdefault(one.name, []).append(one)
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
        elif any(same_name(one, step) for one in awaited.get(step.name, ())):
            numbers.append(number)
            idle.add(number)
    return numbers, idle


def _changing_nothing(plans: Sequence[Plan], changes: Changes) -> Iterator[ExpectedStep]:
    for row in {row.position: row for plan in plans for row in plan.rows}.values():
        for one in row.alternatives:
            if not changes.expected(one):
                yield one


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
