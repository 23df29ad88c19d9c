"""Which actual steps may serve which expected ones, and what each pair is worth.

That is told by :class:`Worths`. Where effects are compared, a refused call pairs in full or not at
all, and only with an expected step that allows it; a call that changed something is worth a little
more.

Nothing is compared before it is asked for: a path that is as expected takes one comparison a step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Literal, NamedTuple

from evalkit.arguments import arguments_hold
from evalkit.assignment import Pairing, assigned, each_its_best, in_any_order, paired
from evalkit.dataset import ArgumentsMode, ExpectedStep
from evalkit.expectation import same_name
from evalkit.partial_order import keeps_order, put_in_order
from evalkit.plans import Row
from evalkit.subsequence import in_sequence
from evalkit.trajectory import Step

FEW = 10_000
"""Of fewer pairs than these it is kept what each is worth, and whether its arguments hold."""


class Columns(NamedTuple):
    """The considered actual steps: their numbers, and their arguments without ignored keys.

    ``texts`` are all that an expected step can state of each, as JSON, where that can be written.
    ``free`` may pair, but are never unexpected: the user's, and those that changed nothing.
    """

    numbers: Sequence[int]
    steps: Sequence[Step]
    arguments: Sequence[Any]
    texts: Sequence[bytes | None]
    free: frozenset[int]


class Worths(NamedTuple):
    """What a pair is worth: in full, by a required and by an optional row, and by name alone."""

    required: int
    optional: int
    name: int


Goal = Literal["required", "steps"] | tuple[int, int]
"""What pairs are chosen for: as many required rows in full as can be, then optional ones; as many
steps; or an F1 above this one (numerator and denominator), if there is any."""


def worths(goal: Goal, rows: int, steps: int) -> Worths:
    """What pairs of so many rows and steps are worth, where their sum is the goal.

    F1 is 2 x credit / (steps taken + rows wanted); a full pair has credit 1, one by name alone 1/2.
    An optional row is wanted only where it is paired. So above r/t is what makes 2 x credit x t -
    (taken + wanted) x r positive (Dinkelbach 1967). Among equals more full pairs are better.
    """
    size = min(rows, steps) + 1
    if goal == "required":
        return Worths(size * size, size, 1)
    if goal == "steps":
        return Worths(size * size + size, size * size, 1)
    right, total = goal
    return Worths(2 * total * size + 1, (2 * total - right) * size + 1, total * size)


class Candidates:
    """The pairs that the rows of a plan and the considered steps can form.

    ``held`` is kept by row and step of some of them: whether the arguments hold.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        columns: Columns,
        args: ArgumentsMode,
        effects: bool,
        worths: Worths,
        held: dict[tuple[int, int], bool],
    ) -> None:
        self._rows = rows
        self._columns = columns
        self._effects = effects
        self._mode = args
        self._by_name_alone = worths.name
        self._most = [worths.optional if row.optional else worths.required for row in rows]
        # A row and a step of the same text hold in full; of others it takes a comparison.
        self._stated = [row.text for row in rows]
        self._found = columns.texts
        if effects:
            self._found = [
                None if self._is_refused(place) else text
                for place, text in enumerate(columns.texts)
            ]
        self._held = held
        self._of_text: dict[Hashable, dict[int, int]] = {}
        self._last: Hashable = None
        self._of_name: dict[tuple[str | None, str | None, str], list[int]] = {}

    def paired(self, before: Sequence[int] | None = None, *, listed: bool = False) -> Pairing:
        """The place of each row, in the list's order, in that of ``before``, or in any.

        The worth is the greatest possible. Raises :class:`evalkit.assignment.TooLargeError`.
        """
        if listed:
            return self._in_sequence()
        found = self._in_any_order()
        if before is None or keeps_order(found, before):
            return found
        return put_in_order(self._weights, before)

    def displaced(self, found: Pairing) -> list[tuple[int, int]]:
        """Required rows left without a place in order that have one out of order."""
        used = set(found)
        left: list[dict[int, int]] = [{} for _ in found]
        alike: dict[Hashable, dict[int, int]] = {}
        for row, place in enumerate(found):
            if place is not None or self._is_optional(row):
                continue
            if not used.issuperset(self._places(row)):
                like = self._like(row)
                if like not in alike:
                    options = self._options(row).items()
                    alike[like] = {one: worth for one, worth in options if one not in used}
                left[row] = alike[like]
        if not any(left):
            return []
        pairing = in_any_order(left)
        return [(row, place) for row, place in enumerate(pairing) if place is not None]

    def is_same(self, row: int, place: int) -> bool:
        """Whether the arguments are the very ones that the row states, and all that it states."""
        text = self._stated[row]
        return text is not None and text == self._found[place]

    def is_full(self, row: int, place: int) -> bool:
        """Whether a pair holds in full, and not by name alone."""
        optional = self._rows[row].optional
        return optional or self._is_refused(place) or self._worth(row, place) > self._by_name_alone

    # --- in which order -------------------------------------------------------------------

    def _in_sequence(self) -> Pairing:
        """Where a list begins with required steps that are the same, no order of it is worth more
        than with them: what comes after is aligned."""
        start, size = self._same_at_first, len(self._rows)
        if size == len(self._found) and all(map(self._is_best_here, range(start, size))):
            return list(range(size))
        rest = _After(self._options, start, size)
        after = in_sequence(list(rest) if len(rest) * len(self._found) < FEW else rest)
        return [*range(start), *after]

    def _is_best_here(self, row: int) -> bool:
        """Whether a row is worth most with the step of its own place. Where every row is, and they
        are as many as the steps, no other order is worth as much."""
        worth = self._worth(row, row)
        return worth == self._most[row] or 0 < worth == max(self._options(row).values())

    @cached_property
    def _same_at_first(self) -> int:
        """How many required rows at the beginning are the same as the steps of their places."""
        start, end = 0, min(len(self._stated), len(self._found))
        while start < end and not self._is_optional(start) and self.is_same(start, start):
            start += 1
        return start

    def _is_by_name(self) -> bool:
        """Whether rows of different names have no step in common."""
        return all(
            len(row.alternatives) == 1
            and (one := row.alternatives[0]).status is None
            and one.step is None
            for row in self._rows
        )

    def _in_any_order(self) -> Pairing:
        start, size = self._same_at_first, len(self._rows)
        pairs = each_its_best(range(start, size), self._places, self._most, self._worth, start)
        if pairs is not None:
            return paired(size, chain(enumerate(range(start)), pairs))
        return self._by_name() if self._is_by_name() else assigned(self._weights)

    def _by_name(self) -> Pairing:
        """The best in any order, name by name.

        Where no row of a name holds with two steps, and no step with two rows, those that hold go
        together and what is left does in order: with linear memory. What else is assigned.
        """
        pairing: Pairing = [None] * len(self._rows)
        ambiguous: list[dict[int, int]] = [{} for _ in pairing]
        named: dict[tuple[str | None, str | None, str], list[int]] = {}
        for row, stated in enumerate(self._rows):
            named.setdefault(_key(stated), []).append(row)
        for rows in named.values():
            pairs = each_its_best(rows, self._alike, self._most, self._worth)
            if pairs is None:
                pairs = self._unambiguous(rows)
            if pairs is None:
                alike: dict[Hashable, dict[int, int]] = {}
                for row in rows:
                    like = self._like(row)
                    if like not in alike:
                        alike[like] = self._options(row)
                    ambiguous[row] = alike[like]
                continue
            for row, place in pairs:
                pairing[row] = place
        if any(ambiguous):
            for row, found in enumerate(assigned(ambiguous)):
                if found is not None:
                    pairing[row] = found
        return pairing

    def _unambiguous(self, rows: Sequence[int]) -> list[tuple[int, int]] | None:
        """The best pairs of the rows of a name, if none holds with two steps, nor a step with two
        of them."""
        pairs = [(row, place) for row in rows for place in self._fulls(row)]
        held, taken = {row for row, _ in pairs}, {place for _, place in pairs}
        if min(len(held), len(taken)) < len(pairs):
            return None
        left = [row for row in rows if row not in held and not self._is_optional(row)]
        free = (place for place in self._alike(rows[0]) if place not in taken)
        return [*pairs, *zip(left, free, strict=False)]

    # --- what a pair is worth -------------------------------------------------------------

    def _worth(self, row: int, place: int) -> int:
        """What a row and one of its places are worth together; 0: they don't go together."""
        text = self._stated[row]
        if text is not None and text == self._found[place]:
            return self._most[row]
        stated = self._rows[row]
        step = self._columns.steps[place]
        fits = False
        for one in stated.alternatives:
            if not (same_name(one, step) and self._may_end(one, step)):
                continue
            if self._hold(row, one, place):
                return self._most[row] - self._is_refused(place)
            fits = True
        if fits and not stated.optional and not self._is_refused(place):
            return self._by_name_alone
        return 0

    def _hold(self, row: int, stated: ExpectedStep, place: int) -> bool:
        """Whether a step's arguments hold what a row, by this alternative, states of them; the
        answers for rows of one alternative are kept while they are few."""
        held = self._held
        if (row, place) in held:
            return held[row, place]
        found = arguments_hold(stated.args, self._columns.arguments[place], self._mode)
        if len(self._rows[row].alternatives) == 1 and len(held) < FEW:
            held[row, place] = found
        return found

    def _may_end(self, stated: ExpectedStep, step: Step) -> bool:
        """Whether an actual step ended as the expected one must."""
        if stated.status is None:
            return not self._effects or step.status == "ok"
        return stated.status in ("any", step.status)

    def _is_refused(self, place: int) -> bool:
        return self._effects and self._columns.steps[place].status == "error"

    def _is_optional(self, row: int) -> bool:
        return self._rows[row].optional

    def _options(self, row: int) -> dict[int, int]:
        """The places that a row goes with, and what each is worth."""
        stated = self._rows[row]
        if len(stated.alternatives) > 1 or stated.alternatives[0].status is not None:
            worths = [(place, self._worth(row, place)) for place in self._places(row)]
            return {place: worth for place, worth in worths if worth}
        if stated.optional:
            return self._fulls(row)
        return dict.fromkeys(self._alike(row), self._by_name_alone) | self._fulls(row)

    def _like(self, row: int) -> Hashable:
        """Equal for rows of the same options: these are kept once for all of them."""
        return (self._stated[row] or id(self._rows[row].alternatives), self._is_optional(row))

    def _fulls(self, row: int) -> dict[int, int]:
        """The steps that hold in full with a row of one name, and what each is worth; kept once
        for all rows of the same text, and for the last step without one, which may come again."""
        like = self._like(row)
        if like not in self._of_text:
            if self._stated[row] is None:
                self._of_text.pop(self._last, None)
                self._last = like
            self._of_text[like] = self._holding(row)
        return self._of_text[like]

    def _holding(self, row: int) -> dict[int, int]:
        (stated,) = self._rows[row].alternatives
        text, most = self._stated[row], self._most[row]
        by_text: dict[bytes, bool] = {} if text is None else {text: True}
        holding: dict[int, int] = {}
        for place in self._alike(row):
            found = self._found[place]
            if found is None or found not in by_text:
                holds = self._hold(row, stated, place)
                if found is not None:
                    by_text[found] = holds
            else:
                holds = by_text[found]
            if holds:
                holding[place] = most
        return holding

    def _alike(self, row: int) -> list[int]:
        """The places that a row of one name goes with at least by name; kept once for a name."""
        key = _key(self._rows[row])
        if key not in self._of_name:
            (stated,) = self._rows[row].alternatives
            steps = self._columns.steps
            self._of_name[key] = [
                place
                for place in self._places(row)
                if same_name(stated, steps[place]) and not self._is_refused(place)
            ]
        return self._of_name[key]

    @cached_property
    def _weights(self) -> list[dict[int, int]]:
        return [self._options(row) for row in range(len(self._rows))]

    def _places(self, row: int) -> Sequence[int]:
        """The columns, ascending, of a name that the row asks for."""
        every = self._rows[row].alternatives
        if len(every) == 1:
            return self._named.get(every[0].tool or every[0].name or "", ())
        return sorted({place for one in every for place in self._named.get(one.name or "", ())})

    @cached_property
    def _named(self) -> dict[str, list[int]]:
        named: dict[str, list[int]] = defaultdict(list)
        for place, step in enumerate(self._columns.steps):
            named[step.name].append(place)
        return named


class _After(Sequence[dict[int, int]]):
    """The options of the rows from ``start`` on, of the places from ``start`` on.

    They are made when asked for and not kept: all of them are as many as rows x steps.
    """

    def __init__(self, options: Callable[[int], dict[int, int]], start: int, rows: int) -> None:
        self._options, self._start, self._rows = options, start, rows

    def __len__(self) -> int:
        return self._rows - self._start

    def __getitem__(self, row: Any) -> Any:
        options, start = self._options(row + self._start), self._start
        if not options or min(options) >= start:
            return options
        return {place: worth for place, worth in options.items() if place >= start}

    def __iter__(self) -> Iterator[dict[int, int]]:
        return map(self.__getitem__, range(len(self)))


def _key(row: Row) -> tuple[str | None, str | None, str]:
    (one,) = row.alternatives
    if one.tool is not None:  # by far the most frequent
        return ("tool", one.tool, one.actor)
    return (one.kind, one.name, one.actor)
