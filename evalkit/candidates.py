"""Which actual steps may serve which expected ones, and what each pair is worth.

By name alone 1; an optional step in full more than all of those; a required one in full more
still. Where effects are compared, a refused call pairs in full or not at all, and only with an
expected step that allows it; a call that changed something is worth a little more.

Nothing is compared before it is asked for: a path that is as expected takes one comparison a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from evalkit.arguments import arguments_hold
from evalkit.assignment import (
    Pairing,
    assigned,
    each_its_best,
    in_any_order,
    in_sequence,
    keeps_order,
    put_in_order,
)
from evalkit.dataset import Expected, ExpectedStep
from evalkit.expectation import Plan, Row, same_name
from evalkit.predicates import literals, written
from evalkit.trajectory import Step


class Columns(NamedTuple):
    """The considered actual steps: their numbers, and their arguments without ignored keys.

    ``free`` may pair, but are never unexpected: the user's, and those that changed nothing.
    """

    numbers: Sequence[int]
    steps: Sequence[Step]
    arguments: Sequence[Any]
    free: frozenset[int]


class Candidates:
    """The pairs that the rows of a plan and the considered steps can form."""

    def __init__(self, plan: Plan, columns: Columns, expect: Expected) -> None:
        self._plan = plan
        self._columns = columns
        self._effects = expect.match == "effects"
        self._mode = expect.args
        self._known: dict[tuple[bytes | int, int], dict[int, int]] = {}
        size = min(len(plan.rows), len(columns.steps)) + 1
        self._most = [size if row.optional else size * size for row in plan.rows]
        # A row and a step of the same text hold in full; of others it takes a comparison.
        self._stated = literals([_stated(row) for row in plan.rows])
        self._found = written(
            [
                (step.kind, step.name, step.actor, arguments)
                for step, arguments in zip(columns.steps, columns.arguments, strict=True)
            ]
        )
        if self._effects:
            for place in range(len(columns.steps)):
                if self._is_refused(place):
                    self._found[place] = None

    def paired(self, *, ordered: bool) -> Pairing:
        """The place of each row, in the plan's order or in any: the greatest worth possible.

        Raises :class:`evalkit.assignment.TooLargeError`.
        """
        if ordered and self._plan.listed:
            return self._in_sequence()
        found = each_its_best(self._places, self._most, self._worth)
        if found is None:
            found = assigned(self._weights)
        before = self._plan.before if ordered else None
        if before is None or keeps_order(found, before):
            return found
        return put_in_order(self._weights, before)

    def displaced(self, found: Pairing) -> list[tuple[int, int]]:
        """Rows left without a place in order that have one out of order."""
        used = set(found)
        left: list[dict[int, int]] = [{} for _ in found]
        for row, place in enumerate(found):
            if place is None and not used.issuperset(self._places(row)):
                options = self._options(row)
                left[row] = {one: worth for one, worth in options.items() if one not in used}
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
        optional = self._plan.rows[row].optional
        return optional or self._is_refused(place) or self._worth(row, place) > 1

    # --- in which order -------------------------------------------------------------------

    def _in_sequence(self) -> Pairing:
        """Where a list begins with required steps that are the same, no order of it is worth more
        than with them: what comes after is aligned."""
        start, end = 0, min(len(self._stated), len(self._found))
        rows = self._plan.rows
        while start < end and not rows[start].optional and self.is_same(start, start):
            start += 1
        after = [
            {place: worth for place, worth in self._options(row).items() if place >= start}
            for row in range(start, len(rows))
        ]
        return [*range(start), *in_sequence(after)]

    # --- what a pair is worth -------------------------------------------------------------

    def _worth(self, row: int, place: int) -> int:
        """What a row and one of its places are worth together; 0: they don't go together."""
        if self.is_same(row, place):
            return self._most[row]
        stated = self._plan.rows[row]
        step = self._columns.steps[place]
        fits = False
        for one in stated.alternatives:
            if not (same_name(one, step) and self._may_end(one, step)):
                continue
            if arguments_hold(one.args, self._columns.arguments[place], self._mode):
                return self._most[row] - self._is_refused(place)
            fits = True
        return int(fits and not stated.optional and not self._is_refused(place))

    def _may_end(self, stated: ExpectedStep, step: Step) -> bool:
        """Whether an actual step ended as the expected one must."""
        if stated.status is None:
            return not self._effects or step.status == "ok"
        return stated.status in ("any", step.status)

    def _is_refused(self, place: int) -> bool:
        return self._effects and self._columns.steps[place].status == "error"

    def _options(self, row: int) -> dict[int, int]:
        """The places that a row goes with, and what each is worth; one for all rows alike."""
        alike = (self._stated[row] or row, self._most[row])
        if alike not in self._known:
            worths = self._each_worth if self._stated[row] is None else self._worths_by_text
            self._known[alike] = worths(row)
        return self._known[alike]

    def _each_worth(self, row: int) -> dict[int, int]:
        worths = [(place, self._worth(row, place)) for place in self._places(row)]
        return {place: worth for place, worth in worths if worth}

    def _worths_by_text(self, row: int) -> dict[int, int]:
        """Of a row that states nothing but arguments: steps of the same text are worth the same."""
        by_text: dict[bytes, int] = {}
        found: dict[int, int] = {}
        for place in self._places(row):
            text = self._found[place]
            if text is None:
                worth = self._worth(row, place)
            elif text in by_text:
                worth = by_text[text]
            else:
                worth = by_text[text] = self._worth(row, place)
            if worth:
                found[place] = worth
        return found

    @cached_property
    def _weights(self) -> list[dict[int, int]]:
        return [self._options(row) for row in range(len(self._plan.rows))]

    def _places(self, row: int) -> Sequence[int]:
        """The columns, ascending, of a name that the row asks for."""
        every = self._plan.rows[row].alternatives
        if len(every) == 1:
            return self._named.get(every[0].name or "", ())
        return sorted({place for one in every for place in self._named.get(one.name or "", ())})

    @cached_property
    def _named(self) -> dict[str, list[int]]:
        named: dict[str, list[int]] = {}
        for place, step in enumerate(self._columns.steps):
            named.setdefault(step.name, []).append(place)
        return named


def _stated(row: Row) -> Any:
    """All that the row states, if that is one step with arguments of one kind; else None."""
    if len(row.alternatives) > 1:
        return None
    (one,) = row.alternatives
    if one.status is not None or one.step is not None:
        return None
    return (one.kind, one.name, one.actor, one.args)
