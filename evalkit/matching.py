"""Expected against actual steps: one optimal alignment under every match mode.

*Considered* are the actual steps whose kind the expectation names (``step`` names any kind but
workflow); with no steps expected, tools. What else happened is detail. A considered step that
encloses a matched one is its container, no further step. Steps of the actor ``user`` match
only expected steps of the user and are never unexpected.

Order: none in ``any_order``, ``superset``, ``unordered``, ``subset`` and ``effects``; the list's
in ``exact`` and ``in_order``, with the branches of ``parallel`` in any order beside one another.
Where a step of a list states ``after``, that takes the place of the list's order, in every mode.
A step comes before another if it starts before it.

Pairs are chosen such that the mode passes, if any do: to hold as many required steps in full (name
and arguments) as can be, in ``subset`` as many of any. Else they are those of the highest F1, in
which a full pair counts 1, a pair by name alone 1/2; of equals, those with more full ones. Never
greedily. An optional step pairs only in full. Where there are several ways to
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

import msgspec

from evalkit.alignment import Alignment, Forbidden, Pair, Superfluous, WrongArguments, rates
from evalkit.arguments import arguments_hold, unrecorded, without
from evalkit.assignment import MAX_CELLS, TooLargeError
from evalkit.candidates import Columns
from evalkit.changes import Changes, changed_by, changing, state_changes
from evalkit.dataset import Expected, ExpectedStep, MatchMode
from evalkit.expectation import alternatives, leaves, named_kinds, same_name
from evalkit.matched import Matched, Sides
from evalkit.plans import Plan, Row, plans, projected
from evalkit.predicates import together, written
from evalkit.soundness import problems
from evalkit.suite import Effects
from evalkit.trajectory import Step, Trajectory

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


@together()
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
    steps = trajectory.flat().steps
    forbidden = tuple(_forbidden(expect, steps)) if mode is None else ()
    mode = mode or expect.match
    if mode == "effects":
        ways, sides = _effects(expect, trajectory, changing(steps, effects))
    else:
        sides = _sides(expect, trajectory, kinds)
        ways = _plans(expect, sides.columns.steps, mode)
    stated = leaves(expect)
    best: Alignment | None = None
    spent = 0
    for whole in ways:
        plan = whole if view is None else projected(whole, view)
        spent += len(plan.rows) * len(sides.columns.steps)
        if best is not None and spent > MAX_CELLS:  # of one way the pairing itself is bounded
            raise TooLargeError(_too_many_to_try(len(ways), len(sides.columns.steps)))
        found = _aligned(expect, plan, sides, steps, stated, forbidden, mode, ordered)
        if best is None or (found.passed, found.f1) > (best.passed, best.f1):
            best = found
        if best.passed and best.f1 >= 1:
            break
    assert best is not None  # there is always a plan
    return best


def _too_many_to_try(ways: int, steps: int) -> str:
    return (
        f"{ways:,} ways to satisfy the expected steps are too many to align with {steps:,} actual "
        f"ones each (at most {MAX_CELLS:,} pairs in all): state fewer alternatives of sequences "
        "and optional groups, or split the case"
    )


def may_call_nothing_more(expect: Expected) -> bool:
    """Whether a step beyond the expected ones fails: by mode, or since nothing may be called."""
    return _nothing_more(expect, expect.match)


def _nothing_more(expect: Expected, mode: MatchMode) -> bool:
    return mode in NOTHING_MORE or expect.steps == ()


def _aligned(
    expect: Expected,
    plan: Plan,
    sides: Sides,
    steps: Sequence[Step],
    stated: tuple[ExpectedStep, ...],
    forbidden: tuple[Forbidden, ...],
    mode: MatchMode,
    ordered: bool,
) -> Alignment:
    if expect.paths is not None:
        expect = msgspec.structs.replace(expect, steps=expect.paths[plan.path], paths=None)
    order = plan if ordered else Plan(plan.path, plan.rows, None, listed=False)
    never = frozenset([one.step for one in forbidden])
    found = sides.matched(order, "steps" if mode == "subset" else "required")
    passed = (
        not (forbidden or found.wrong or found.out_of_order)
        and not (found.missing and mode != "subset")
        and not (found.unexpected and _nothing_more(expect, mode))
    )
    if not passed and any(row.optional for row in plan.rows):
        found = _of_highest_f1(found, order, sides, never)
    precision, recall, f1 = rates(*_counts(found, never))
    return Alignment(
        expect=expect,
        leaves=stated,
        plan=plan,
        steps=steps,
        pairs=found.pairs,
        wrong=found.wrong,
        missing=found.missing,
        out_of_order=found.out_of_order,
        unexpected=found.unexpected,
        superfluous=found.superfluous,
        forbidden=forbidden,
        considered=found.considered,
        necessary=found.necessary,
        precision=precision,
        recall=recall,
        f1=f1,
        passed=passed,
    )


def _counts(found: Matched, never: frozenset[int]) -> tuple[float, int, int]:
    """The credit, the steps taken and the rows wanted, as rates are made of them."""
    credit = len(found.pairs) + PARTIAL_CREDIT * len(found.wrong)
    taken = found.taken + (len(never.difference(found.counted())) if never else 0)
    return credit, taken, found.wanted


def _of_highest_f1(found: Matched, order: Plan, sides: Sides, never: frozenset[int]) -> Matched:
    """Where nothing passes: what has an F1 above that of this one, until nothing has."""
    while True:
        credit, taken, wanted = counts = _counts(found, never)
        other = sides.matched(order, (round(2 * credit), taken + wanted))
        if rates(*_counts(other, never)).f1 <= rates(*counts).f1:
            return found
        found = other


# --- what is compared ---------------------------------------------------------------------


def _plans(expect: Expected, steps: Sequence[Step], mode: MatchMode) -> list[Plan]:
    """The ways to satisfy the expectation, of these steps at most; at least one."""
    if expect.steps is None and expect.paths is None:
        return [Plan(0, (), None, False)]
    ways = plans(expect, _Occurrences(steps), mode)
    if expect.ignore:
        ways = [
            way._replace(rows=tuple(_compared(row, expect) for row in way.rows)) for way in ways
        ]
    return ways


class _Occurrences:
    """How many actual steps there are of some names, together; counted when asked."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._counts: Counter[tuple[str, str]] | None = None

    def __call__(self, every: Sequence[ExpectedStep]) -> int:
        if self._counts is None:
            self._counts = Counter((step.name, step.actor) for step in self._steps)
        return sum(self._counts[key] for key in {(one.name or "", one.actor) for one in every})


def _compared(row: Row, expect: Expected) -> Row:
    """The row without stated arguments that the case ignores."""
    every = [
        msgspec.structs.replace(one, args=without(one.args, ignored(expect, one.name or "")))
        for one in row.alternatives
    ]
    return Row(row.position, tuple(every), row.optional)


def _sides(expect: Expected, trajectory: Trajectory, kinds: frozenset[str] | None) -> Sides:
    """Those that the trajectory was last compared by, if they are the same; else made, and kept."""
    kinds = named_kinds(expect) if kinds is None else kinds
    kept: Sides | None = vars(trajectory).get("sides")
    if kept is not None and kept.are_of(expect, kinds):
        return kept
    flat = trajectory.flat()
    numbers: list[int] = []
    if expect.steps is not None or expect.paths is not None:
        numbers = [number for number, step in enumerate(flat.steps) if step.kind in kinds]
    columns = _columns(expect, flat.steps, numbers, set())
    made = Sides(expect, kinds, columns, flat.parents, effects=False)
    vars(trajectory)["sides"] = made
    return made


def _effects(
    expect: Expected, trajectory: Trajectory, changes: Changes
) -> tuple[list[Plan], Sides]:
    """The ways to make the expected state changes, and what is compared with them.

    It is the suite's word that says what is considered: not kept.
    """
    flat = trajectory.flat()
    ways = [changed_by(way, changes) for way in _plans(expect, flat.steps, "effects")]
    numbers: list[int] = []
    free: set[int] = set()
    if expect.steps is not None or expect.paths is not None:
        numbers, free = state_changes(flat.steps, changes, ways)
    columns = _columns(expect, flat.steps, numbers, free)
    return ways, Sides(expect, frozenset(), columns, flat.parents, effects=True)


def _columns(
    expect: Expected, every: Sequence[Step], numbers: Sequence[int], free: set[int]
) -> Columns:
    """The considered steps of these numbers; ``free`` and the user's are never unexpected."""
    steps = [every[number] for number in numbers]
    free.update([number for number in numbers if every[number].actor == "user"])
    if expect.ignore:
        arguments = [without(step.arguments, ignored(expect, step.name)) for step in steps]
    else:
        arguments = [step.arguments for step in steps]
    texts = written(
        [
            (step.kind, step.name, step.actor, found)
            for step, found in zip(steps, arguments, strict=True)
        ]
    )
    return Columns(numbers, steps, arguments, texts, frozenset(free))


def ignored(expect: Expected, tool: str) -> tuple[str, ...]:
    """The paths into a tool's arguments that the case never compares."""
    return (*expect.ignore.get(tool, ()), *expect.ignore.get("*", ()))


# --- what must never happen ---------------------------------------------------------------


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
                # Whatever `args` asks of the expected steps: what is stated here is a pattern.
                holds = arguments_hold(one.args, found, "stated")
                if holds or unrecorded(one.args, found):
                    yield Forbidden(place, number, not holds)
                    break
