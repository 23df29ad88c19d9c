"""Which actual steps may serve which expected ones, and what each pair is worth.

By name alone 1; an optional step in full more than all of those; a required one in full more
still. Where effects are compared, a refused call pairs in full or not at all, and only with an
expected step that allows it; a call that changed something is worth a little more.

Nothing is compared before it is asked for: a path that is as expected takes one comparison a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from evalkit.arguments import arguments_hold
from evalkit.assignment import (
    Pairing,
    each_its_best,
    in_any_order,
    in_partial_order,
    in_sequence,
    keeps_order,
)
from evalkit.dataset import Expected, ExpectedStep
from evalkit.expectation import Plan, Row, same_name
from evalkit.predicates import literals, written
from evalkit.trajectory import Step

_Places = Sequence[int]


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

    __slots__ = (
        *("_columns", "_effects", "_found", "_mode", "_most", "_places", "_plan", "_stated"),
    )

    def __init__(self, plan: Plan, columns: Columns, expect: Expected) -> None:
        self._plan = plan
        self._columns = columns
        self._effects = expect.match == "effects"
        self._mode = expect.args
        size = min(len(plan.rows), len(columns.steps)) + 1
        self._most = [size if row.optional else size * size for row in plan.rows]
        self._places = _places(plan.rows, columns.steps)
        self._stated = literals([_only_arguments(row) for row in plan.rows])
        self._found = written(columns.arguments)
        if self._effects:
            for place, step in enumerate(columns.steps):
                if step.status == "error":
                    self._found[place] = None

    def paired(self, *, ordered: bool) -> Pairing:
        """The place of each row, in the plan's order or in any: the greatest worth possible.

        Raises :class:`evalkit.assignment.TooLargeError`.
        """
        plan = self._plan
        if ordered and plan.listed:
            begun = self._beginning()
            return in_sequence(self._weights(len(begun) and begun[-1][0] + 1), begun)
        found = each_its_best(self._places, self._most, self._worth)
        if found is None:
            found = in_any_order(self._weights())
        if not ordered or plan.before is None or keeps_order(found, plan.before):
            return found
        return in_partial_order(self._weights(), plan.before)

    def displaced(self, found: Pairing) -> list[tuple[int, int]]:
        """Rows left without a place in order that have one out of order."""
        used = set(found)
        left: list[dict[int, int]] = [{} for _ in found]
        for row, place in enumerate(found):
            if place is None and not used.issuperset(self._places[row]):
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
        return (
            self.is_same(row, place)
            or self._plan.rows[row].optional
            or self._is_refused(place)
            or self._worth(row, place) > 1
        )

    # --- what a pair is worth -------------------------------------------------------------

    def _worth(self, row: int, place: int) -> int:
        """What a row and one of its places are worth together; 0: they don't go together."""
        text = self._stated[row]
        if text is not None and text == self._found[place]:
            return self._most[row]
        stated = self._plan.rows[row]
        step = self._columns.steps[place]
        several = len(stated.alternatives) > 1
        fits = False
        for one in stated.alternatives:
            if (several and not same_name(one, step)) or not self._may_end(one, step):
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
        worths = ((place, self._worth(row, place)) for place in self._places[row])
        return {place: worth for place, worth in worths if worth}

    def _weights(self, start: int = 0) -> list[dict[int, int]]:
        """All options of the rows from ``start`` on."""
        rows = range(start, len(self._plan.rows))
        return [*({} for _ in range(start)), *map(self._options, rows)]

    def _beginning(self) -> list[tuple[int, int]]:
        """The first pairs of a list that holds in full from its first step on: no order of the
        list can be worth more than with them."""
        rows = self._plan.rows
        if any(row.optional or any(one.status for one in row.alternatives) for row in rows):
            return []
        columns = sorted(set().union(*{id(one): one for one in self._places}.values()))
        begun: list[tuple[int, int]] = []
        wanted = (row for row, places in enumerate(self._places) if places)
        for row, place in zip(wanted, columns, strict=False):
            if place not in self._places[row] or self._worth(row, place) != self._most[row]:
                break
            begun.append((row, place))
        return begun


def _only_arguments(row: Row) -> Any:
    """What the row states, if that is nothing but arguments; else None."""
    if len(row.alternatives) > 1:
        return None
    (stated,) = row.alternatives
    return stated.args if stated.status is None else None


def _places(rows: Sequence[Row], steps: Sequence[Step]) -> list[Sequence[int]]:
    """For each row the columns, ascending, of a name that it asks for."""
    named: dict[tuple[str, str, str], list[int]] = {}
    for place, step in enumerate(steps):
        named.setdefault((step.kind, step.name, step.actor), []).append(place)
    kinds = {kind for kind, _, _ in named} - {"workflow"}

    def of(one: ExpectedStep) -> Sequence[int]:
        if one.tool is not None:
            return named.get(("tool", one.tool, one.actor), ())
        if one.step is None:
            return named.get((one.kind or "", one.name or "", one.actor), ())
        every = (named.get((kind, one.step, one.actor), ()) for kind in kinds)
        return sorted(place for places in every for place in places)

    return [
        of(row.alternatives[0])
        if len(row.alternatives) == 1
        else sorted({place for one in row.alternatives for place in of(one)})
        for row in rows
    ]
