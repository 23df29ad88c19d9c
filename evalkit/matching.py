"""Expected against actual steps: one optimal alignment under every match mode.

*Considered* are the actual steps whose kind the expectation names (``step`` names any kind but
workflow); with no steps expected, tools. What else happened is detail. A considered step that
encloses a matched one is its container, no further step. Steps of the actor ``user`` match
only expected steps of the user and are never unexpected.

Order: none in ``any_order``, ``superset``, ``unordered``, ``subset`` and ``effects``; the list's
in ``exact`` and ``in_order``, with the branches of ``parallel`` in any order beside one another.
Where a step of a list states ``after``, that takes the place of the list's order, in every mode.
A step comes before another if it starts before it.

Pairs are chosen to hold as many required steps in full (name and arguments) as can be, then as
many optional ones, then as many by name alone; never greedily. An optional step pairs only in
full. Values: a full pair counts 1, a pair by name alone 1/2. Where there are several ways to
satisfy an expectation (``paths``, sequences in ``any_of``, optional groups), the best one counts:
one that passes, else that of the highest F1.

Effects: state changes are compared, as the suite tells them, else the trace, else a tool's name.
Only calls that succeeded count; one that sets what the call right before it had set already (same
tool, arguments and recorded output) changed nothing further. An expected step of ``status``
``any`` holds too where the very call was made and refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from evalkit.alignment import Alignment, Forbidden, Pair, Superfluous, WrongArguments
from evalkit.arguments import arguments_hold, mismatches, superfluous, without
from evalkit.candidates import Candidates, Columns
from evalkit.changes import Changes, changed_by, changing, state_changes
from evalkit.dataset import Expected, ExpectedStep, MatchMode
from evalkit.expectation import (
    Plan,
    Row,
    alternatives,
    leaves,
    named_kinds,
    plans,
    projected,
    same_name,
)
from evalkit.soundness import problems
from evalkit.suite import Effects
from evalkit.trajectory import Flat, Step, Trajectory

__all__ = (
    "Alignment",
    "Forbidden",
    "Pair",
    "Superfluous",
    "WrongArguments",
    "align",
    "leaves",
    "may_call_nothing_more",
    "problems",
)

NOTHING_MORE = frozenset({"exact", "unordered", "subset", "effects"})
PARTIAL_CREDIT = 0.5


def align(
    expect: Expected,
    trajectory: Trajectory,
    effects: Effects,
    *,
    mode: MatchMode | None = None,
    kinds: frozenset[str] | None = None,
    view: Callable[[Row], Row | None] | None = None,
    ordered: bool = True,
) -> Alignment:
    """Aligns what a case expects with what happened, by the case's match mode.

    ``mode`` is another one to look at it by: then nothing is forbidden. ``kinds`` are the kinds
    of step to consider, where not those that the expectation names; ``view`` says which expected
    steps to look at, ``ordered=False`` to pair them in any order.

    Raises :class:`evalkit.assignment.TooLargeError` where an exact alignment would take too long,
    or the expectation can be satisfied in more than 1,000 ways.
    """
    flat = trajectory.flat()
    forbidden = tuple(_forbidden(expect, flat.steps)) if mode is None else ()
    mode = mode or expect.match
    changes = changing(flat.steps, effects) if mode == "effects" else None
    columns = _columns(expect, flat.steps, changes, kinds)
    stated = leaves(expect)
    best: Alignment | None = None
    for whole in _plans(expect, columns, changes, mode):
        plan = whole if view is None else projected(whole, view)
        found = _aligned(expect, plan, flat, columns, stated, forbidden, mode, ordered)
        if best is None or (found.passed, found.f1) > (best.passed, best.f1):
            best = found
        if best.passed and best.f1 >= 1:
            break
    assert best is not None  # there is always a plan
    return best


def may_call_nothing_more(expect: Expected) -> bool:
    """Whether a step beyond the expected ones fails: by mode, or since nothing may be called."""
    return _nothing_more(expect, expect.match)


def _nothing_more(expect: Expected, mode: MatchMode) -> bool:
    return mode in NOTHING_MORE or expect.steps == ()


def _aligned(
    expect: Expected,
    plan: Plan,
    flat: Flat,
    columns: Columns,
    stated: tuple[ExpectedStep, ...],
    forbidden: tuple[Forbidden, ...],
    mode: MatchMode,
    ordered: bool,
) -> Alignment:
    rows, numbers = plan.rows, columns.numbers
    candidates = Candidates(plan, columns, expect.args, mode == "effects")
    found = candidates.paired(ordered=ordered)
    full, wrong, extra = _split(plan, found, candidates, columns, expect)
    displaced = candidates.displaced(found) if None in found else []
    out_of_order = tuple([Pair(rows[row].position, numbers[place]) for row, place in displaced])
    served = {row for row, _ in displaced}
    missing = tuple(
        [
            row.position
            for number, row in enumerate(rows)
            if found[number] is None and not row.optional and number not in served
        ]
    )
    used = {numbers[place] for place in found if place is not None}
    strays = used.union([pair.step for pair in out_of_order], columns.free)
    considered = tuple(numbers)
    if containers := _enclosing(used, flat.parents) - used:
        considered = tuple([number for number in numbers if number not in containers])
    unexpected = tuple([number for number in considered if number not in strays])
    credit = len(full) + PARTIAL_CREDIT * len(wrong)
    necessary = tuple([row.position for row in rows if not row.optional])
    wanted = len(full) + len(wrong) + len(missing)
    wanted += sum([not rows[row].optional for row in served])
    taken = {*used, *unexpected, *(pair.step for pair in out_of_order)}
    taken.update(one.step for one in forbidden)
    if expect.paths is not None:
        expect = msgspec.structs.replace(expect, steps=expect.paths[plan.path], paths=None)
    return Alignment(
        expect=expect,
        leaves=stated,
        plan=plan,
        steps=flat.steps,
        pairs=full,
        wrong=wrong,
        missing=missing,
        out_of_order=out_of_order,
        unexpected=unexpected,
        superfluous=extra,
        forbidden=forbidden,
        considered=considered,
        necessary=necessary,
        precision=_share(credit, len(taken), wanted),
        recall=_share(credit, wanted, len(taken)),
        f1=2 * credit / (len(taken) + wanted) if taken or wanted else 1.0,
        passed=not (forbidden or wrong or out_of_order)
        and not (missing and mode != "subset")
        and not (unexpected and _nothing_more(expect, mode)),
    )


def _share(credit: float, whole: int, other: int) -> float:
    """Of nothing: 1 if the other side is nothing too, else 0."""
    return credit / whole if whole else float(not other)


# --- what is compared ---------------------------------------------------------------------


def _plans(
    expect: Expected, columns: Columns, changes: Changes | None, mode: MatchMode
) -> list[Plan]:
    """The ways to satisfy the expectation, as this mode looks at them; at least one."""
    if expect.steps is None and expect.paths is None:
        return [Plan(0, (), None, False)]
    ways = plans(expect, _Occurrences(columns.steps), mode)
    if expect.ignore:
        ways = [
            way._replace(rows=tuple(_compared(row, expect) for row in way.rows)) for way in ways
        ]
    return ways if changes is None else [changed_by(way, changes) for way in ways]


class _Occurrences:
    """How many actual steps there are of the most frequent of some names; counted when asked."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._counts: Counter[tuple[str, str]] | None = None

    def __call__(self, every: Sequence[ExpectedStep]) -> int:
        if self._counts is None:
            self._counts = Counter((step.name, step.actor) for step in self._steps)
        return max((self._counts[one.name or "", one.actor] for one in every), default=0)


def _compared(row: Row, expect: Expected) -> Row:
    """The row without stated arguments that the case ignores."""
    every = [
        msgspec.structs.replace(one, args=without(one.args, ignored(expect, one.name or "")))
        for one in row.alternatives
    ]
    return Row(row.position, tuple(every), row.optional)


def _columns(
    expect: Expected,
    every: Sequence[Step],
    changes: Changes | None,
    kinds: frozenset[str] | None,
) -> Columns:
    numbers: list[int] = []
    free: set[int] = set()
    if expect.steps is None and expect.paths is None:
        pass
    elif changes is not None:
        numbers, free = state_changes(every, changes)
    else:
        kinds = named_kinds(expect) if kinds is None else kinds
        numbers = [number for number, step in enumerate(every) if step.kind in kinds]
    steps = [every[number] for number in numbers]
    free.update([number for number in numbers if every[number].actor == "user"])
    if expect.ignore:
        arguments = [without(step.arguments, ignored(expect, step.name)) for step in steps]
    else:
        arguments = [step.arguments for step in steps]
    return Columns(numbers, steps, arguments, frozenset(free))


def ignored(expect: Expected, tool: str) -> tuple[str, ...]:
    """The paths into a tool's arguments that the case never compares."""
    return (*expect.ignore.get(tool, ()), *expect.ignore.get("*", ()))


# --- what came of it ----------------------------------------------------------------------


def _split(
    plan: Plan,
    found: Sequence[int | None],
    candidates: Candidates,
    columns: Columns,
    expect: Expected,
) -> tuple[tuple[Pair, ...], tuple[WrongArguments, ...], tuple[Superfluous, ...]]:
    full: list[Pair] = []
    wrong: list[WrongArguments] = []
    extra: list[Superfluous] = []
    for number, (row, place) in enumerate(zip(plan.rows, found, strict=True)):
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
            wrong.append(WrongArguments(pair.expected, pair.step, failing, arguments is None))
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


def _enclosing(numbers: set[int], parents: Sequence[int | None]) -> set[int]:
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


def _forbidden(expect: Expected, steps: Sequence[Step]) -> Iterator[Forbidden]:
    if not expect.never:
        return
    patterns = [
        (place, one) for place, stated in enumerate(expect.never) for one in alternatives(stated)
    ]
    for number, step in enumerate(steps):
        for place, one in patterns:
            if same_name(one, step) and one.status in (None, "any", step.status):
                found = without(step.arguments, ignored(expect, step.name))
                unrecorded = found is None and not arguments_hold(one.args, None, expect.args)
                if unrecorded or arguments_hold(one.args, found, expect.args):
                    yield Forbidden(place, number, unrecorded)
                    break
