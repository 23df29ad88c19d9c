"""The ways to satisfy an expectation: rows that one actual step each may satisfy, and their order.

A list of expected steps with groups and counts may be satisfied in several *ways* (a choice of
sub-sequences, an optional group there or not); each way is a plan of rows with one order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import count as numbers_from
from operator import attrgetter, is_
from typing import Any, NamedTuple

import msgspec

from evalkit.assignment import TooLargeError
from evalkit.dataset import Expected, ExpectedStep, MatchMode, Times
from evalkit.expectation import alternatives, kept, references, single_steps
from evalkit.predicates import literals

MAX_WAYS = 1_000
"""An expectation that can be satisfied in more ways than these is refused."""

MAX_ROWS = 100_000
MAX_ORDERED = 4_000
"""Plans with an order that is not simply the list's have at most so many rows."""

LISTED = frozenset({"exact", "in_order"})
"""The modes in which the list's own order counts."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """An expected step that one actual step satisfies; ``position`` is its place among the leaves.

    ``text`` is all that it states, where a step of the same text is sure to satisfy it (see
    :class:`evalkit.candidates.Columns`); None where that takes a comparison.
    """

    position: int
    alternatives: tuple[ExpectedStep, ...]
    optional: bool
    text: bytes | None = None


class Plan(NamedTuple):
    """One way to satisfy an expectation.

    ``before`` is for each row a bit mask of all that must come before it (transitively closed);
    None if there is no such order; ``listed`` if the rows' own order is the order. ``path`` is
    the number of the reference that it is a way of.
    """

    path: int
    rows: tuple[Row, ...]
    before: list[int] | None
    listed: bool


def projected(plan: Plan, choose: Callable[[Row], Row | None]) -> Plan:
    """The plan of the rows that are chosen, in the order that they have in the whole one."""
    chosen = [choose(row) for row in plan.rows]
    if all(map(is_, chosen, plan.rows)):
        return plan
    rows = tuple([row for row in chosen if row is not None])
    before = plan.before
    if before is not None and len(rows) < len(chosen):
        masks = before
        kept = [place for place, row in enumerate(chosen) if row is not None]
        before = [
            sum(1 << number for number, other in enumerate(kept) if masks[place] >> other & 1)
            for place in kept
        ]
    return Plan(plan.path, rows, before, plan.listed)


class _Leaf(NamedTuple):
    row: Row
    ids: frozenset[str]
    after: frozenset[str]


class _Way(NamedTuple):
    leaves: tuple[_Leaf, ...]
    before: tuple[int, ...]


_NOTHING = _Way((), ())

Occurrences = Callable[[Sequence[ExpectedStep]], int]
"""How many actual steps there are of these names, together."""


# --- ways ---------------------------------------------------------------------------------


def plans(expect: Expected, occurrences: Occurrences, mode: MatchMode | None = None) -> list[Plan]:
    """Every way to satisfy the expectation, by its own mode or another one.

    Raises TooLargeError beyond 1,000 of them.
    """
    found: list[Plan] = []
    in_list_order = (mode or expect.match) in LISTED
    for path, (reference, rows) in enumerate(zip(references(expect), _plain(expect), strict=True)):
        if rows is not None:
            found.append(Plan(path, rows, None, listed=in_list_order))
        else:
            ways = _Reader(in_list_order, occurrences).sequence(reference.steps, reference.start)
            found += [_plan(path, way, in_list_order) for way in ways]
        _bound(found)
    return found


@kept
def _plain(expect: Expected) -> list[tuple[Row, ...] | None]:
    """The rows of each reference that is a plain list."""
    return [
        _rows(reference.steps, reference.start) if _is_plain(reference.steps) else None
        for reference in references(expect)
    ]


def _rows(reference: Sequence[ExpectedStep], start: int) -> tuple[Row, ...]:
    texts = literals(list(map(_all_stated, reference)))
    return tuple(
        [
            Row(position, _either(stated), stated.optional, text)
            for position, stated, text in zip(numbers_from(start), reference, texts, strict=False)
        ]
    )


def _either(stated: ExpectedStep) -> tuple[ExpectedStep, ...]:
    return (stated,) if stated.any_of is None else alternatives(stated)


def _all_stated(stated: ExpectedStep) -> Any:
    """What it states, if that is one step of one kind and what its arguments are; else None."""
    if stated.status is not None:
        return None
    if stated.tool is not None:  # by far the most frequent
        return ("tool", stated.tool, stated.actor, stated.args)
    if stated.any_of is not None or stated.step is not None:
        return None
    return (stated.kind, stated.name, stated.actor, stated.args)


_shape = attrgetter("parallel", "times", "after", "any_of")
_STEP_ONCE = (None, None, (), None)


def _is_plain(reference: Sequence[ExpectedStep]) -> bool:
    """Whether each step of a list, or one of its alternatives, happens once, and in its place."""
    for stated in reference:
        shape = _shape(stated)
        if shape != _STEP_ONCE and not (shape[:-1] == _STEP_ONCE[:-1] and stated.is_single):
            return False
    return True


class _Reader(NamedTuple):
    """Reads nested lists of steps into ways; ``in_list_order`` as the match mode says."""

    in_list_order: bool
    occurrences: Occurrences

    def sequence(self, listed: Sequence[ExpectedStep], start: int) -> list[_Way]:
        """One after the other: in the list's order, unless a step of the list says ``after``."""
        ordered = self.in_list_order and not any(one.after for one in listed)
        ways, since = [_NOTHING], _NOTHING
        for stated in listed:
            found = self._ways(stated, start)
            if len(found) == 1:  # joined with one another first, not each with every way before
                since = _joined(since, found[0], ordered)
            else:
                ways, since = _combined(_combined(ways, [since], ordered), found, ordered), _NOTHING
            start += len([*single_steps(stated)])
        return _combined(ways, [since], ordered)

    def _ways(self, stated: ExpectedStep, start: int) -> list[_Way]:
        if stated.is_single:
            return [self._repeated_step(stated, start)]
        branches = []
        for listed in stated.members:
            branches.append(self.sequence(listed, start))
            start += sum(len([*single_steps(one)]) for one in listed)
        if stated.any_of is not None:
            ways = [way for branch in branches for way in branch]
        else:
            ways = reduce(lambda one, other: _combined(one, other, False), branches)
        least, most = self._counts(stated)
        ways = _repeated(ways, least, most, self.in_list_order)
        tagged = frozenset({stated.id} if stated.id else ()), frozenset(stated.after)
        return [_tagged(way, *tagged) for way in ways] if any(tagged) else ways

    def _repeated_step(self, stated: ExpectedStep, start: int) -> _Way:
        """A row for each time that it must happen, an optional one for each that it may."""
        least, most = self._counts(stated)
        every = alternatives(stated)
        ids = frozenset({stated.id} if stated.id else ())
        after = frozenset(stated.after)
        (text,) = literals([_all_stated(stated)])
        made = [_Leaf(Row(start, every, place >= least, text), ids, after) for place in range(most)]
        if self.in_list_order and most > 1:
            if most > MAX_ORDERED:
                raise TooLargeError(_too_many_rows(most))
            return _Way(tuple(made), tuple((1 << place) - 1 for place in range(most)))
        return _Way(tuple(made), (0,) * most)

    def _counts(self, stated: ExpectedStep) -> tuple[int, int]:
        """At least and at most how often; an open count is as many as there can be."""
        times = stated.times
        if times is None:
            least = most = 1
        elif isinstance(times, Times):
            least = times.ge
            open_count = max(least, 1, self._occurring(stated))
            most = open_count if times.le is None else times.le
        else:
            least = most = times
        if most > MAX_ROWS:
            raise TooLargeError(_too_many_rows(most))
        return (0 if stated.optional else least), most

    def _occurring(self, stated: ExpectedStep) -> int:
        """At most how often the actual steps can be a step or group: what is beyond has no part
        in them. Alternatives may take turns."""
        if stated.is_single:
            return self.occurrences(stated.alternatives)
        members = [max(map(self._occurring, listed), default=0) for listed in stated.members]
        return max(members) if stated.any_of is None else sum(members)


def _combined(ways: list[_Way], others: list[_Way], ordered: bool) -> list[_Way]:
    if len(ways) * len(others) > MAX_WAYS:
        raise TooLargeError(_too_many_ways(len(ways) * len(others)))
    return [_joined(one, other, ordered) for one in ways for other in others]


def _joined(one: _Way, other: _Way, ordered: bool) -> _Way:
    if not one.leaves or not other.leaves:
        return one if one.leaves else other
    size = len(one.leaves)
    if size + len(other.leaves) > (MAX_ORDERED if ordered else MAX_ROWS):
        raise TooLargeError(_too_many_rows(size + len(other.leaves)))
    all_before = (1 << size) - 1 if ordered else 0
    shifted = tuple(mask << size | all_before for mask in other.before)
    return _Way(one.leaves + other.leaves, one.before + shifted)


def _repeated(ways: list[_Way], least: int, most: int, ordered: bool) -> list[_Way]:
    """A whole group so many times, one after the other."""
    if (least, most) == (1, 1):
        return ways
    found: list[_Way] = []
    current = [_NOTHING]
    for count in range(most + 1):
        if count >= least:
            found += current
        if count < most:
            current = _combined(current, ways, ordered)
        if len(found) > MAX_WAYS:
            raise TooLargeError(_too_many_ways(len(found)))
    return found


def _tagged(way: _Way, ids: frozenset[str], after: frozenset[str]) -> _Way:
    tagged = (leaf._replace(ids=leaf.ids | ids, after=leaf.after | after) for leaf in way.leaves)
    return _Way(tuple(tagged), way.before)


def _bound(found: Sequence[Plan]) -> None:
    if len(found) > MAX_WAYS:
        raise TooLargeError(_too_many_ways(len(found)))


def _too_many_ways(count: int) -> str:
    return (
        f"the expected steps can be satisfied in more than {min(count, MAX_WAYS):,} ways: "
        "state fewer alternatives of sequences and optional groups, or split the case"
    )


def _too_many_rows(count: int) -> str:
    return f"{count:,} expected steps with their counts are too many: expect fewer, or split"


# --- order --------------------------------------------------------------------------------


def _plan(path: int, way: _Way, in_list_order: bool) -> Plan:
    rows = tuple(leaf.row for leaf in way.leaves)
    before = list(way.before)
    if any(leaf.after for leaf in way.leaves):
        meant = _meant(way.leaves)
        for place, leaf in enumerate(way.leaves):
            for name in leaf.after:
                before[place] |= meant.get(name, 0)
        _close(before)
    if not any(before):
        return Plan(path, rows, None, listed=False)
    if in_list_order and all(mask == (1 << place) - 1 for place, mask in enumerate(before)):
        return Plan(path, rows, None, listed=True)
    return Plan(path, rows, before, listed=False)


def _meant(among: Sequence[_Leaf]) -> dict[str, int]:
    """The rows that ``after`` means by a name, as a bit mask: those of that id, else of that
    name."""
    by_id: dict[str, int] = {}
    by_name: dict[str, int] = {}
    for place, leaf in enumerate(among):
        for name in leaf.ids:
            by_id[name] = by_id.get(name, 0) | 1 << place
        for one in leaf.row.alternatives:
            by_name[one.name or ""] = by_name.get(one.name or "", 0) | 1 << place
    return by_name | by_id


def _close(before: list[int]) -> None:
    """Adds what comes before what comes before."""
    for middle in range(len(before)):
        bit, through = 1 << middle, before[middle]
        if through:
            before[:] = [mask | through if mask & bit else mask for mask in before]
