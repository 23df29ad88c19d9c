"""Expected against actual steps: one optimal alignment under every match mode.

*Considered* are the actual steps whose kind the expectation names (``step`` names any kind but
workflow); with no steps expected, tools. What else happened is detail. A considered step that
encloses a matched one is its container, no further step. Steps of the actor ``user`` match
only expected steps of the user and are never unexpected.

Order: none in ``any_order``, ``superset``, ``unordered``, ``subset`` and ``effects``; the list's
in ``exact`` and ``in_order``. Where any step states ``after``, that partial order is *the* order,
in every mode: in ``exact`` and ``in_order`` the list's order is then not imposed. A step comes
before another if it starts before it.

Pairs are chosen to hold as many required steps in full (name and arguments) as can be, then as
many optional ones, then as many by name alone; never greedily. An optional step pairs only in
full. Values: a full pair counts 1, a pair by name alone 1/2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from evalkit.arguments import Mismatch, arguments_hold, mismatches, superfluous
from evalkit.assignment import Weights, in_any_order, in_partial_order, in_sequence
from evalkit.dataset import Expected, ExpectedStep
from evalkit.expectation import (
    alternatives,
    changes_state,
    is_considered,
    named_kinds,
    precedence,
    problems,
    same_name,
)
from evalkit.suite import Effects
from evalkit.trajectory import Step, Trajectory, Visit

__all__ = (
    "Alignment",
    "Forbidden",
    "Pair",
    "Superfluous",
    "WrongArguments",
    "align",
    "may_call_nothing_more",
    "problems",
)

LISTED = frozenset({"exact", "in_order"})
NOTHING_MORE = frozenset({"exact", "unordered", "subset", "effects"})
PARTIAL_CREDIT = 0.5


class Pair(NamedTuple):
    """An expected step (its position) and the actual one (its number in the walk)."""

    expected: int
    step: int


class WrongArguments(NamedTuple):
    """A pair by name whose arguments fail; ``unrecorded`` if the trace tells no arguments."""

    expected: int
    step: int
    mismatches: tuple[Mismatch, ...]
    unrecorded: bool = False


class Superfluous(NamedTuple):
    """A pair whose actual step has arguments that are not stated: their paths."""

    expected: int
    step: int
    paths: tuple[str, ...]


class Forbidden(NamedTuple):
    """An actual step that the case says must never happen: position in ``never``, number."""

    never: int
    step: int
    unrecorded: bool = False


class Alignment(msgspec.Struct, frozen=True, kw_only=True):
    """How expected and actual steps go together. Positions and walk numbers, in order.

    ``pairs`` hold in full; ``wrong`` are pairs by name alone; ``missing`` are required steps
    that did not happen, ``out_of_order`` those that did, but not in their place; ``unexpected``
    are considered steps that nothing asked for. ``considered`` are all considered steps without
    containers. ``necessary`` are the positions of required steps that this mode looks at.
    ``precision``, ``recall`` and ``f1`` are in [0, 1]; with nothing expected and nothing done, 1.
    """

    expect: Expected
    visits: Sequence[Visit]
    pairs: tuple[Pair, ...]
    wrong: tuple[WrongArguments, ...]
    missing: tuple[int, ...]
    out_of_order: tuple[Pair, ...]
    unexpected: tuple[int, ...]
    superfluous: tuple[Superfluous, ...]
    forbidden: tuple[Forbidden, ...]
    considered: tuple[int, ...]
    necessary: tuple[int, ...]
    precision: float
    recall: float
    f1: float
    passed: bool

    def expected_step(self, position: int) -> ExpectedStep:
        """The expected step at that position."""
        return (self.expect.steps or ())[position]

    def step(self, number: int) -> Step:
        """The actual step of that number in the trajectory's walk."""
        return self.visits[number].step


class _Row(NamedTuple):
    """An expected step as one mode looks at it."""

    position: int
    alternatives: tuple[ExpectedStep, ...]
    optional: bool


def align(
    expect: Expected,
    trajectory: Trajectory,
    effects: Effects,
    *,
    kinds: frozenset[str] | None = None,
) -> Alignment:
    """Aligns what a case expects with what happened, by the case's match mode.

    ``kinds`` are the kinds of step to consider, where not those that the expectation names.

    Raises :class:`evalkit.assignment.TooLargeError` where an exact alignment would take too long.
    """
    visits = list(trajectory.walk())
    rows = _effect_rows(expect, effects) if expect.match == "effects" else _rows(expect)
    columns = _columns(expect, visits, effects, kinds)
    weights = _weights(rows, [visits[number].step for number in columns], expect)
    found = _order(rows, weights, expect)
    paired = [(row, place) for row, place in zip(rows, found, strict=True) if place is not None]
    full, wrong, extra = _split(paired, columns, visits, expect)
    displaced = _displaced(rows, weights, found)
    out_of_order = tuple(Pair(rows[row].position, columns[place]) for row, place in displaced)
    placed = {row.position for row, _ in paired} | {pair.expected for pair in out_of_order}
    forbidden = tuple(_forbidden(expect, visits))
    used = {columns[place] for _, place in paired}
    containers = _enclosing(used, visits)
    considered = tuple(number for number in columns if number in used or number not in containers)
    strays = used.union(pair.step for pair in out_of_order)
    unexpected = tuple(
        number
        for number in considered
        if number not in strays and visits[number].step.actor != "user"
    )
    missing = tuple(row.position for row in rows if not row.optional and row.position not in placed)
    credit = len(full) + PARTIAL_CREDIT * len(wrong)
    wanted = sum(not row.optional for row in rows) + sum(row.optional for row, _ in paired)
    taken = {*used, *unexpected, *(pair.step for pair in out_of_order)}
    taken.update(one.step for one in forbidden)
    return Alignment(
        expect=expect,
        visits=visits,
        pairs=full,
        wrong=wrong,
        missing=missing,
        out_of_order=out_of_order,
        unexpected=unexpected,
        superfluous=extra,
        forbidden=forbidden,
        considered=considered,
        necessary=tuple(row.position for row in rows if not row.optional),
        precision=_share(credit, len(taken), wanted),
        recall=_share(credit, wanted, len(taken)),
        f1=2 * credit / (len(taken) + wanted) if taken or wanted else 1.0,
        passed=not (forbidden or wrong or out_of_order)
        and not (missing and expect.match != "subset")
        and not (unexpected and may_call_nothing_more(expect)),
    )


def may_call_nothing_more(expect: Expected) -> bool:
    """Whether a step beyond the expected ones fails: by mode, or since nothing may be called."""
    return expect.match in NOTHING_MORE or expect.steps == ()


def _share(credit: float, whole: int, other: int) -> float:
    """Of nothing: 1 if the other side is nothing too, else 0."""
    return credit / whole if whole else float(not other)


# --- what is compared ---------------------------------------------------------------------


def _rows(expect: Expected) -> list[_Row]:
    return [
        _Row(position, alternatives(stated), stated.optional)
        for position, stated in enumerate(expect.steps or ())
    ]


def _effect_rows(expect: Expected, effects: Effects) -> list[_Row]:
    """The expected state changes; one that has an alternative without any is optional."""
    rows = []
    for position, stated in enumerate(expect.steps or ()):
        every = alternatives(stated)
        changing = tuple(one for one in every if changes_state(one, effects))
        if changing:
            optional = stated.optional or len(changing) < len(every)
            rows.append(_Row(position, changing, optional))
    return rows


def _columns(
    expect: Expected, visits: Sequence[Visit], effects: Effects, kinds: frozenset[str] | None
) -> list[int]:
    if expect.steps is None:
        return []
    if expect.match == "effects":
        return [
            number
            for number, _, _, step in visits
            if step.kind == "tool" and step.status == "ok" and effects.changes_state(step.name)
        ]
    kinds = named_kinds(expect) if kinds is None else kinds
    return [number for number, _, _, step in visits if is_considered(step, kinds)]


def _weights(rows: Sequence[_Row], steps: Sequence[Step], expect: Expected) -> Weights:
    """By name alone 1; optional in full more than all of those; required in full more still."""
    by_name: dict[tuple[str | None, str | None, str], list[int]] = {}
    for place, step in enumerate(steps):
        by_name.setdefault((step.kind, step.name, step.actor), []).append(place)
        if step.kind != "workflow":
            by_name.setdefault(("step", step.name, step.actor), []).append(place)
    size = min(len(rows), len(steps)) + 1
    weights: list[dict[int, int]] = []
    for row in rows:
        in_full = size if row.optional else size * size
        options: dict[int, int] = {}
        for one in row.alternatives:
            for place in by_name.get((one.kind, one.name, one.actor), ()):
                if arguments_hold(one.args, steps[place].arguments, expect.args):
                    options[place] = in_full
                elif not row.optional:
                    options.setdefault(place, 1)
        weights.append(options)
    return weights


# --- in which order -----------------------------------------------------------------------


def _order(rows: Sequence[_Row], weights: Weights, expect: Expected) -> list[int | None]:
    before = precedence(expect.steps or ())
    if before is not None:
        return in_partial_order(weights, _among(rows, before))
    if expect.match in LISTED:
        return in_sequence(weights)
    return in_any_order(weights)


def _among(rows: Sequence[_Row], before: Sequence[int]) -> list[int]:
    """The masks over positions as masks over rows."""
    if len(rows) == len(before):
        return list(before)
    return [
        sum(
            1 << other for other, one in enumerate(rows) if before[row.position] >> one.position & 1
        )
        for row in rows
    ]


def _displaced(
    rows: Sequence[_Row], weights: Weights, found: Sequence[int | None]
) -> list[tuple[int, int]]:
    """Steps left without a pair in order that have one out of order."""
    used = set(found)
    left = [
        {place: weight for place, weight in options.items() if place not in used}
        if found[row] is None
        else {}
        for row, options in enumerate(weights)
    ]
    if not any(left):
        return []
    pairing = in_any_order(left)
    return [(row, place) for row, place in enumerate(pairing) if place is not None]


# --- what came of it ----------------------------------------------------------------------


def _split(
    paired: Sequence[tuple[_Row, int]],
    columns: Sequence[int],
    visits: Sequence[Visit],
    expect: Expected,
) -> tuple[tuple[Pair, ...], tuple[WrongArguments, ...], tuple[Superfluous, ...]]:
    full: list[Pair] = []
    wrong: list[WrongArguments] = []
    extra: list[Superfluous] = []
    for row, place in paired:
        number = columns[place]
        step = visits[number].step
        stated = _closest(row, step, expect)
        if arguments_hold(stated.args, step.arguments, expect.args):
            full.append(Pair(row.position, number))
        else:
            failing = mismatches(stated.args, step.arguments, expect.args)
            unrecorded = step.arguments is None
            wrong.append(WrongArguments(row.position, number, failing, unrecorded))
        if expect.args == "stated" and (paths := superfluous(stated.args, step.arguments)):
            extra.append(Superfluous(row.position, number, paths))
    return tuple(full), tuple(wrong), tuple(extra)


def _closest(row: _Row, step: Step, expect: Expected) -> ExpectedStep:
    """The alternative that the step is: one that holds in full, else the first of its name."""
    named = [one for one in row.alternatives if same_name(one, step)]
    if len(named) == 1:
        return named[0]
    holding = (one for one in named if arguments_hold(one.args, step.arguments, expect.args))
    return next(holding, named[0])


def _enclosing(numbers: set[int], visits: Sequence[Visit]) -> set[int]:
    """All ancestors of these steps."""
    found: set[int] = set()
    for number in numbers:
        parent = visits[number].parent
        while parent is not None and parent not in found:
            found.add(parent)
            parent = visits[parent].parent
    return found


def _forbidden(expect: Expected, visits: Sequence[Visit]) -> Iterator[Forbidden]:
    if not expect.never:
        return
    patterns = [
        (place, one) for place, stated in enumerate(expect.never) for one in alternatives(stated)
    ]
    for number, _, _, step in visits:
        for place, one in patterns:
            if same_name(one, step):
                unrecorded = step.arguments is None and not arguments_hold(
                    one.args, None, expect.args
                )
                if unrecorded or arguments_hold(one.args, step.arguments, expect.args):
                    yield Forbidden(place, number, unrecorded)
                    break
