"""Which rows of a plan and which considered steps go together, and what is left over.

The match mode has no part in it but for the order: the scorers of one trial, each of which looks
at it by a mode of its own, share what they compare and, where the pairs are the same, what came
of it. It is kept with the trajectory, for the last expectation that it was compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from evalkit.alignment import Pair, Superfluous, WrongArguments
from evalkit.arguments import arguments_hold, mismatches, superfluous, unrecorded
from evalkit.assignment import Pairing
from evalkit.candidates import Candidates, Columns, Goal, worths
from evalkit.dataset import Expected, ExpectedStep
from evalkit.expectation import same_name
from evalkit.plans import Plan, Row
from evalkit.trajectory import Step

ANY_F1 = (0, 1)
"""The goal of any F1 above 0."""


class Matched(NamedTuple):
    """As the fields of :class:`evalkit.alignment.Alignment` of these names.

    ``wanted`` is how many rows are necessary or were paired; ``used`` are the steps paired.
    """

    pairs: tuple[Pair, ...]
    wrong: tuple[WrongArguments, ...]
    superfluous: tuple[Superfluous, ...]
    missing: tuple[int, ...]
    out_of_order: tuple[Pair, ...]
    unexpected: tuple[int, ...]
    considered: tuple[int, ...]
    necessary: tuple[int, ...]
    wanted: int
    used: frozenset[int]

    @property
    def taken(self) -> int:
        """How many steps were paired, in order or out of it, or are unexpected: none is twice."""
        return len(self.used) + len(self.out_of_order) + len(self.unexpected)

    def counted(self) -> set[int]:
        """Those steps."""
        return {*self.used, *[pair.step for pair in self.out_of_order], *self.unexpected}


class Sides:
    """What an expectation considers of a trajectory, and the rows that it was last compared with.

    ``parents`` are the numbers of the steps' parents; ``effects``, whether effects are compared.
    """

    def __init__(
        self,
        expect: Expected,
        kinds: frozenset[str],
        columns: Columns,
        parents: Sequence[int | None],
        effects: bool,
    ) -> None:
        self._of = (expect, kinds)
        self._parents = parents
        self._effects = effects
        self._last: _Comparison | None = None
        self.columns = columns

    def are_of(self, expect: Expected, kinds: frozenset[str]) -> bool:
        """Whether they are of this very expectation, and of steps of these kinds."""
        return self._of[0] is expect and self._of[1] == kinds

    def matched(self, plan: Plan, goal: Goal) -> Matched:
        """What goes together in the plan's order, chosen for this goal.

        Raises :class:`evalkit.assignment.TooLargeError`.
        """
        last = self._last
        if last is None or last.rows is not plan.rows:
            expect = self._of[0]
            last = _Comparison(expect, plan.rows, self.columns, self._parents, self._effects)
            self._last = last
        return last.matched(plan, goal)


class _Comparison:
    """Rows beside columns. Pairs of no order and of the list's order are kept."""

    def __init__(
        self,
        expect: Expected,
        rows: tuple[Row, ...],
        columns: Columns,
        parents: Sequence[int | None],
        effects: bool,
    ) -> None:
        self.rows = rows
        self._expect = expect
        self._columns = columns
        self._parents = parents
        self._effects = effects
        self._held: dict[tuple[int, int], bool] = {}
        self._candidates: dict[Goal, Candidates] = {}
        self._necessary = tuple([row.position for row in rows if not row.optional])
        self._kept: dict[tuple[bool, Goal], tuple[Pairing, Matched]] = {}

    def matched(self, plan: Plan, goal: Goal) -> Matched:
        if len(self._necessary) == len(self.rows):
            goal = ANY_F1  # what is worth most by it is so by all goals
        candidates = self._chosen_for(goal)
        if plan.before is not None:
            return self._matched(candidates.paired(plan.before), candidates)
        if (key := (plan.listed, goal)) not in self._kept:
            found = candidates.paired(listed=plan.listed)
            same = (matched for pairing, matched in self._kept.values() if pairing == found)
            self._kept[key] = found, next(same, None) or self._matched(found, candidates)
        return self._kept[key][1]

    def _chosen_for(self, goal: Goal) -> Candidates:
        if goal not in self._candidates:
            self._candidates[goal] = Candidates(
                self.rows,
                self._columns,
                self._expect.args,
                self._effects,
                worths(goal, len(self.rows), len(self._columns.steps)),
                self._held,
            )
        return self._candidates[goal]

    def _matched(self, found: Pairing, candidates: Candidates) -> Matched:
        rows, numbers = self.rows, self._columns.numbers
        full, wrong, extra = self._split(found, candidates)
        missing: tuple[int, ...] = ()
        displaced = candidates.displaced(found) if None in found else []
        served = {row for row, _ in displaced}
        if None in found:
            missing = tuple(
                [
                    row.position
                    for number, row in enumerate(rows)
                    if found[number] is None and not row.optional and number not in served
                ]
            )
        out_of_order = tuple([Pair(rows[row].position, numbers[place]) for row, place in displaced])
        used = frozenset([numbers[place] for place in found if place is not None])
        strays = used.union([pair.step for pair in out_of_order], self._columns.free)
        considered = tuple(numbers)
        if containers := _enclosing(used, self._parents) - used:
            considered = tuple([number for number in numbers if number not in containers])
        wanted = len(full) + len(wrong) + len(missing)
        return Matched(
            pairs=full,
            wrong=wrong,
            superfluous=extra,
            missing=missing,
            out_of_order=out_of_order,
            unexpected=tuple([number for number in considered if number not in strays]),
            considered=considered,
            necessary=self._necessary,
            wanted=wanted + len(served),
            used=used,
        )

    def _split(
        self, found: Pairing, candidates: Candidates
    ) -> tuple[tuple[Pair, ...], tuple[WrongArguments, ...], tuple[Superfluous, ...]]:
        columns, expect = self._columns, self._expect
        full: list[Pair] = []
        wrong: list[WrongArguments] = []
        extra: list[Superfluous] = []
        for number, (row, place) in enumerate(zip(self.rows, found, strict=True)):
            if place is None:
                continue
            pair = Pair(row.position, columns.numbers[place])
            if candidates.is_same(number, place):
                full.append(pair)
                continue
            arguments = columns.arguments[place]
            stated = _closest(row, columns.steps[place], arguments, expect)
            if candidates.is_full(number, place):
                full.append(pair)
            else:
                failing = mismatches(stated.args, arguments, expect.args)
                untold = unrecorded(stated.args, arguments)
                wrong.append(WrongArguments(pair.expected, pair.step, failing, untold))
            if expect.args == "stated" and (paths := superfluous(stated.args, arguments)):
                extra.append(Superfluous(pair.expected, pair.step, paths))
        return tuple(full), tuple(wrong), tuple(extra)


def _closest(row: Row, step: Step, arguments: Any, expect: Expected) -> ExpectedStep:
    """The alternative that the step is: one that holds in full, else the first of its name."""
    named = [one for one in row.alternatives if same_name(one, step)]
    if len(named) == 1:
        return named[0]
    holding = (one for one in named if arguments_hold(one.args, arguments, expect.args))
    return next(holding, named[0])


def _enclosing(numbers: frozenset[int], parents: Sequence[int | None]) -> set[int]:
    """All ancestors of these steps."""
    found: set[int] = set()
    if not parents:
        return found
    for number in numbers:
        parent = parents[number]
        while parent is not None and parent not in found:
            found.add(parent)
            parent = parents[parent]
    return found
