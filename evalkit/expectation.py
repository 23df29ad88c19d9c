"""An expectation, read: which kinds it names, what satisfies a step, what comes before what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from evalkit.dataset import Expected, ExpectedStep
from evalkit.predicates import problems as argument_problems
from evalkit.suite import Effects
from evalkit.trajectory import Step


def named_kinds(expect: Expected) -> frozenset[str]:
    """The kinds that the expected steps name; ``tool`` if nothing is expected."""
    kinds = {one.kind or "" for stated in expect.steps or () for one in stated.alternatives}
    return frozenset(kinds) if kinds or expect.steps is None else frozenset({"tool"})


def is_considered(step: Step, kinds: frozenset[str]) -> bool:
    """Whether a step is of one of these kinds; ``step`` is any kind but workflow."""
    return step.kind in kinds or ("step" in kinds and step.kind != "workflow")


def same_name(stated: ExpectedStep, step: Step) -> bool:
    """Whether kind, name and actor are those expected (arguments aside)."""
    return (
        stated.name == step.name
        and (stated.kind == step.kind or (stated.kind == "step" and step.kind != "workflow"))
        and stated.actor == step.actor
    )


def alternatives(stated: ExpectedStep) -> tuple[ExpectedStep, ...]:
    """The alternatives; arguments stated beside ``any_of`` are for those that state none."""
    if stated.any_of is None or stated.args is None:
        return stated.alternatives
    return tuple(
        one if one.args is not None else msgspec.structs.replace(one, args=stated.args)
        for one in stated.alternatives
    )


def changes_state(stated: ExpectedStep, effects: Effects) -> bool:
    """Whether an expected step is the call of a tool that changes state."""
    if stated.kind == "step":  # of any kind: a state change only if declared as one
        return effects.write is not None and stated.step in effects.write
    return stated.tool is not None and effects.changes_state(stated.tool)


def precedence(steps: Sequence[ExpectedStep]) -> list[int] | None:
    """For each step, a bit mask of all that must come before it; None if no ``after`` is stated.

    ``after`` names steps by ``id``, else by name: then all of that name.
    """
    if not any(stated.after for stated in steps):
        return None
    before = [
        sum({1 << place for name in stated.after for place in _referred(steps, name)})
        for stated in steps
    ]
    for middle in range(len(steps)):  # transitive closure
        through = before[middle]
        for row in range(len(steps)):
            if before[row] >> middle & 1:
                before[row] |= through
    return before


def _referred(steps: Sequence[ExpectedStep], name: str) -> list[int]:
    by_id = [place for place, stated in enumerate(steps) if stated.id == name]
    return by_id or [
        place
        for place, stated in enumerate(steps)
        if any(one.name == name for one in stated.alternatives)
    ]


# --- checking a dataset ---------------------------------------------------------------------


def problems(expect: Expected) -> list[str]:
    """What is wrong with an expectation: `after` that names nothing, several or itself in a
    circle, and arguments that can't be read. Each says where, and what to do."""
    steps = expect.steps or ()
    found = [
        f"{place}[{position}]{where}: {said}"
        for place, listed in (("steps", steps), ("never", expect.never))
        for position, stated in enumerate(listed)
        for where, said in _step_problems(stated)
    ]
    ids = [stated.id for stated in steps if stated.id is not None]
    found += [
        f"steps: the id {name!r} is given twice" for name in sorted(set(ids)) if ids.count(name) > 1
    ]
    for position, stated in enumerate(steps):
        for name in stated.after:
            referred = len(_referred(steps, name))
            if not referred:
                found.append(
                    f"steps[{position}].after: no expected step has the id or name {name!r}"
                )
            elif referred > 1:
                found.append(
                    f"steps[{position}].after: {name!r} names {referred} expected steps; "
                    "give the one that is meant an `id`"
                )
    before = precedence(steps) or []
    circle = [
        steps[row].id or steps[row].label for row, mask in enumerate(before) if mask >> row & 1
    ]
    if circle:
        found.append(f"steps: `after` goes in a circle: {', '.join(circle)}; no order satisfies it")
    found += [
        f"never[{place}].after: has no meaning in `never`"
        for place, one in enumerate(expect.never)
        if one.after
    ]
    return found


def _step_problems(stated: ExpectedStep) -> Iterator[tuple[str, str]]:
    yield from ((".args", said) for said in argument_problems(stated.args))
    for place, one in enumerate(stated.alternatives if stated.any_of else ()):
        where = f".any_of[{place}]"
        yield from ((f"{where}.args", said) for said in argument_problems(one.args))
        if one.after or one.optional or one.id:
            yield where, "`after`, `optional` and `id` go beside `any_of`, not within it"
