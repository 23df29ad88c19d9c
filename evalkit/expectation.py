"""An expectation, read: the rows that one actual step each may satisfy, and their order.

A list of expected steps with groups and counts may be satisfied in several *ways* (a choice of
sub-sequences, an optional group there or not); each way is a plan of rows with one order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce, wraps
from itertools import count as numbers_from
from operator import attrgetter, is_
from typing import Any, NamedTuple, TypeVar

import msgspec

from evalkit.assignment import TooLargeError
from evalkit.dataset import Expected, ExpectedStep, MatchMode, Times
from evalkit.predicates import literals
from evalkit.trajectory import STEP_KINDS, Step

Read = TypeVar("Read")

MAX_WAYS = 1_000
"""An expectation that can be satisfied in more ways than these is refused."""

MAX_ROWS = 100_000
MAX_ORDERED = 4_000
"""Plans with an order that is not simply the list's have at most so many rows."""

LISTED = frozenset({"exact", "in_order"})
"""The modes in which the list's own order counts."""

ANY_KIND = frozenset(STEP_KINDS) - {"workflow"}
"""The kinds that an expected ``step`` may be of."""


class Row(msgspec.Struct, frozen=True):
    """An expected step that one actual step satisfies; ``position`` as in :func:`leaves`.

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
"""How many actual steps there are of these names: the most that an open count can ask for."""


def _kept(read: Callable[[Expected], Read]) -> Callable[[Expected], Read]:
    """What is read of an expectation, read once and kept with it for all its trials."""
    name = read.__name__

    @wraps(read)
    def once(expect: Expected) -> Read:
        kept = vars(expect)
        if name not in kept:
            kept[name] = read(expect)
        found: Read = kept[name]
        return found

    return once


# --- reading single steps --------------------------------------------------------------------


@_kept
def named_kinds(expect: Expected) -> frozenset[str]:
    """The kinds of step that the expected ones name: all but workflow for a ``step`` of any kind,
    ``tool`` where nothing is expected."""
    kinds: set[str] = set()
    for reference in expect.references:
        for stated in reference:
            if stated.tool is not None:
                kinds.add("tool")
            else:
                kinds.update(one.kind or "" for one in stated.alternatives)
        if not reference:
            kinds.add("tool")
    return frozenset(ANY_KIND | kinds if "step" in kinds else kinds)


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


@_kept
def leaves(expect: Expected) -> tuple[ExpectedStep, ...]:
    """The single steps in the order in which they are written, groups and all paths included.

    Their places are what findings and alignments call ``expected``; in a plain list they are the
    places in the list.
    """
    found: list[ExpectedStep] = []
    for reference in expect.references:
        for stated in reference:
            if _is_alone(stated):
                found.append(stated)
            else:
                found.extend(_leaves(stated))
    return tuple(found)


def _is_alone(stated: ExpectedStep) -> bool:
    """Whether it is no group."""
    return stated.any_of is None and stated.parallel is None


def _leaves(stated: ExpectedStep) -> Iterator[ExpectedStep]:
    if stated.kind is not None or stated.is_single:
        yield stated
    else:
        for listed in stated.members:
            for one in listed:
                yield from _leaves(one)


# --- ways ---------------------------------------------------------------------------------


def plans(expect: Expected, occurrences: Occurrences, mode: MatchMode | None = None) -> list[Plan]:
    """Every way to satisfy the expectation, by its own mode or another one.

    Raises TooLargeError beyond 1,000 of them.
    """
    found: list[Plan] = []
    start = 0
    in_list_order = (mode or expect.match) in LISTED
    for path, (reference, rows) in enumerate(zip(expect.references, _plain(expect), strict=True)):
        if rows is not None:
            found.append(Plan(path, rows, None, listed=in_list_order))
            start += len(rows)
        else:
            ways = _Reader(in_list_order, occurrences).sequence(reference, start)
            found += [_plan(path, way, in_list_order) for way in ways]
            start += sum(1 for stated in reference for _ in _leaves(stated))
        _bound(found)
    return found


@_kept
def _plain(expect: Expected) -> list[tuple[Row, ...] | None]:
    """The rows of each reference that is a plain list."""
    found: list[tuple[Row, ...] | None] = []
    start = 0
    for reference in expect.references:
        rows = _rows(reference, start) if _is_plain(reference) else None
        found.append(rows)
        start += sum(len([*_leaves(one)]) for one in reference) if rows is None else len(rows)
    return found


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
        ways = [_NOTHING]
        for stated in listed:
            ways = _combined(ways, self._ways(stated, start), ordered)
            start += sum(1 for _ in _leaves(stated))
        return ways

    def _ways(self, stated: ExpectedStep, start: int) -> list[_Way]:
        if stated.is_single:
            return [self._repeated_step(stated, start)]
        branches = []
        for listed in stated.members:
            branches.append(self.sequence(listed, start))
            start += sum(1 for one in listed for _ in _leaves(one))
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
            open_count = max(least, 1, self.occurrences(stated.alternatives))
            most = open_count if times.le is None else times.le
        else:
            least = most = times
        if most > MAX_ROWS:
            raise TooLargeError(_too_many_rows(most))
        return (0 if stated.optional else least), most


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


# --- what need not happen ---------------------------------------------------------------------


@_kept
def open_places(expect: Expected) -> frozenset[int]:
    """The places (as :func:`leaves` has them) of steps that need not happen, of their own path.

    They are optional, within an optional group or a choice of sequences, or may come no times.
    """
    found: set[int] = set()
    start = 0
    for reference, rows in zip(expect.references, _plain(expect), strict=True):
        if rows is None:
            found |= _open(reference, start)
            start += sum(len([*_leaves(stated)]) for stated in reference)
        else:
            found.update([row.position for row in rows if row.optional])
            start += len(rows)
    return frozenset(found)


def _open(reference: Sequence[ExpectedStep], start: int) -> set[int]:
    found: set[int] = set()
    for stated in reference:
        size = sum(1 for _ in _leaves(stated))
        none = isinstance(stated.times, Times) and stated.times.ge == 0
        if stated.optional or none or (stated.any_of is not None and not stated.is_single):
            found.update(range(start, start + size))
        elif not stated.is_single:
            inner = start
            for listed in stated.members:
                found |= _open(listed, inner)
                inner += sum(1 for one in listed for _ in _leaves(one))
        start += size
    return found
