"""What an expectation states, step by step: names, kinds, and the places that steps are called by.

What is read of an expectation is read once and kept with it, for all its trials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import NamedTuple, TypeVar

import msgspec

from evalkit.dataset import Expected, ExpectedStep, Times
from evalkit.trajectory import STEP_KINDS, Step

Read = TypeVar("Read")

ANY_KIND = frozenset(STEP_KINDS) - {"workflow"}
"""The kinds that an expected ``step`` may be of."""


class Reference(NamedTuple):
    """One acceptable list of steps, and the single steps in it as written, groups opened.

    Findings and alignments call a single step by its place among those of all references:
    ``start`` is the place of this one's first.
    """

    steps: tuple[ExpectedStep, ...]
    start: int
    leaves: tuple[ExpectedStep, ...]


def kept(read: Callable[[Expected], Read]) -> Callable[[Expected], Read]:
    """What is read of an expectation, read once and kept with it."""
    name = read.__name__

    @wraps(read)
    def once(expect: Expected) -> Read:
        known = vars(expect)
        if name not in known:
            known[name] = read(expect)
        found: Read = known[name]
        return found

    return once


# --- single steps ---------------------------------------------------------------------------


def same_name(stated: ExpectedStep, step: Step) -> bool:
    """Whether kind, name and actor are those expected (arguments aside)."""
    if stated.tool is not None:  # by far the most frequent
        return stated.tool == step.name and step.kind == "tool" and stated.actor == step.actor
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


def is_group(stated: ExpectedStep) -> bool:
    """Whether it is of several steps, and not one or a choice of single ones."""
    if stated.any_of is None and stated.parallel is None:  # by far the most frequent
        return False
    return not stated.is_single


def single_steps(stated: ExpectedStep) -> Iterator[ExpectedStep]:
    """The single steps in it, in the order in which they are written: itself, if it is one."""
    if not is_group(stated):
        yield stated
    else:
        for listed in stated.members:
            for one in listed:
                yield from single_steps(one)


# --- all of them -----------------------------------------------------------------------------


@kept
def references(expect: Expected) -> tuple[Reference, ...]:
    """The acceptable lists of steps: none if the case says nothing about the path."""
    found: list[Reference] = []
    start = 0
    for steps in expect.references:
        listed = steps
        if any(map(is_group, steps)):
            listed = tuple([one for stated in steps for one in single_steps(stated)])
        found.append(Reference(steps, start, listed))
        start += len(listed)
    return tuple(found)


@kept
def leaves(expect: Expected) -> tuple[ExpectedStep, ...]:
    """The single steps of all references: in a plain list their places are those in the list."""
    listed = references(expect)
    if len(listed) == 1:
        return listed[0].leaves
    return tuple([one for reference in listed for one in reference.leaves])


@kept
def named_kinds(expect: Expected) -> frozenset[str]:
    """The kinds of step that the expected ones name: all but workflow for a ``step`` of any kind,
    ``tool`` where nothing is expected."""
    kinds: set[str] = set()
    for reference in references(expect):
        for stated in reference.leaves:
            if stated.tool is not None:
                kinds.add("tool")
            else:
                kinds.update([one.kind or "" for one in stated.alternatives])
        if not reference.steps:
            kinds.add("tool")
    return frozenset(ANY_KIND | kinds if "step" in kinds else kinds)


@kept
def is_for_agent(expect: Expected) -> bool:
    """Whether every expected step is the agent's, and none may be the user's."""
    for stated in leaves(expect):
        if stated.any_of is None:
            if stated.actor != "agent":
                return False
        elif any(one.actor != "agent" for one in stated.alternatives):
            return False
    return True


@kept
def open_places(expect: Expected) -> frozenset[int]:
    """The places of the single steps that need not happen, of their own path.

    They are optional, within an optional group or a choice of sequences, or may come no times.
    """
    found: set[int] = set()
    for reference in references(expect):
        place = reference.start
        for stated in reference.steps:
            if stated.optional or stated.times is not None or is_group(stated):
                place = _opened(stated, place, False, found)
            else:
                place += 1
    return frozenset(found)


def _opened(stated: ExpectedStep, place: int, is_open: bool, found: set[int]) -> int:
    """Adds the places in a step whose first is ``place``; returns the next one after them."""
    may_lack = isinstance(stated.times, Times) and stated.times.ge == 0
    several = is_group(stated)
    is_choice = several and stated.any_of is not None
    is_open = is_open or stated.optional or may_lack or is_choice
    if not several:
        if is_open:
            found.add(place)
        return place + 1
    for listed in stated.members:
        for one in listed:
            place = _opened(one, place, is_open, found)
    return place
