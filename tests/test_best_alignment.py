"""Verdict and F1 are those of the best of all pairings, of groups, counts and optional steps too.

The tries below are made from the documentation alone: what a way of satisfying the steps is, which
pairs it allows, and what a mode asks of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, get_args

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from evalkit.dataset import Expected, ExpectedStep, MatchMode, Times
from evalkit.matching import align
from evalkit.suite import Effects
from evalkit.trajectory import Step, Trajectory

MODES: tuple[MatchMode, ...] = get_args(MatchMode)
WRITES = Effects(write=("a", "b", "c"))


class Slot(NamedTuple):
    """One actual step may satisfy it; ``earlier`` are the places of those that come before it."""

    choices: tuple[ExpectedStep, ...]
    optional: bool
    earlier: frozenset[int]
    ids: frozenset[str]
    after: frozenset[str]


Way = list[Slot]


def beside(one: Way, other: Way, ordered: bool) -> Way:
    """Two ways together, the other one after the one where they are ordered."""
    size = len(one)
    shifted = [
        slot._replace(
            earlier=frozenset(
                [*(place + size for place in slot.earlier), *(range(size) if ordered else ())]
            )
        )
        for slot in other
    ]
    return [*one, *shifted]


def in_list(listed: Sequence[ExpectedStep], ordered: bool, found: Sequence[str]) -> list[Way]:
    in_turn = ordered and not any(stated.after for stated in listed)
    ways: list[Way] = [[]]
    for stated in listed:
        more = of_step(stated, ordered, found)
        ways = [beside(one, other, in_turn) for one in ways for other in more]
    return ways


def of_step(stated: ExpectedStep, ordered: bool, found: Sequence[str]) -> list[Way]:
    least, most = 1, 1
    if isinstance(stated.times, int):
        least = most = stated.times
    elif stated.times is not None:
        least = stated.times.ge
        names = {one.name for one in stated.alternatives}
        most = stated.times.le or max(least, 1, sum(name in names for name in found))
    if stated.optional:
        least = 0
    ids = frozenset([stated.id] if stated.id else [])
    if stated.is_single:
        choices = stated.alternatives
        way: Way = []
        for time in range(most):
            slot = Slot(choices, time >= least, frozenset(), ids, frozenset(stated.after))
            way = beside(way, [slot], ordered)
        return [way]
    branches = [in_list(listed, ordered, found) for listed in stated.members]
    if stated.any_of is not None:
        once = [way for branch in branches for way in branch]
    else:
        once = [[]]
        for branch in branches:
            once = [beside(one, other, False) for one in once for other in branch]
    counted: list[Way] = [[]] if least == 0 else []
    current: list[Way] = [[]]
    for count in range(1, most + 1):
        current = [beside(one, other, ordered) for one in current for other in once]
        counted += current if count >= least else []
    return [
        [
            slot._replace(ids=slot.ids | ids, after=slot.after | frozenset(stated.after))
            for slot in way
        ]
        for way in counted
    ]


def closed(way: Way) -> list[set[int]]:
    before = [set(slot.earlier) for slot in way]
    for place, slot in enumerate(way):
        for other, earlier in enumerate(way):
            named = {*earlier.ids, *(one.name for one in earlier.choices)}
            if slot.after & named:
                before[place].add(other)
    for middle in range(len(way)):
        for earlier_rows in before:
            if middle in earlier_rows:
                earlier_rows.update(before[middle])
    return before


def pairings(
    way: Way, steps: Sequence[Step], before: list[set[int]]
) -> Iterator[tuple[list[int | None], list[bool]]]:
    """Every pairing that keeps the order, and which of its pairs hold in full."""

    def rest(pairs: list[int | None], full: list[bool]) -> Iterator[Any]:
        row = len(pairs)
        if row == len(way):
            if all(
                one is None or other is None or other < one
                for place, one in enumerate(pairs)
                for other in (pairs[earlier] for earlier in before[place])
            ):
                yield pairs, full
            return
        yield from rest([*pairs, None], [*full, False])
        for place, step in enumerate(steps):
            named = [one for one in way[row].choices if one.name == step.name]
            holds = any(
                one.args is None or one.args["x"] == (step.arguments or {})["x"] for one in named
            )
            if named and place not in pairs and (holds or not way[row].optional):
                yield from rest([*pairs, place], [*full, holds])

    yield from rest([], [])


def best(expected: Sequence[ExpectedStep], steps: Sequence[Step], mode: MatchMode) -> Any:
    top = (False, -1.0)
    for way in in_list(expected, mode in {"exact", "in_order"}, [step.name for step in steps]):
        before = closed(way)
        for pairs, full in pairings(way, steps, before):
            paired = sum(place is not None for place in pairs)
            lacking = sum(
                place is None and not slot.optional for slot, place in zip(way, pairs, strict=True)
            )
            passed = (
                sum(full) == paired
                and (not lacking or mode == "subset")
                and (paired == len(steps) or mode in {"in_order", "any_order", "superset"})
            )
            total = len(steps) + paired + lacking
            f1 = (sum(full) + paired) / total if total else 1.0
            top = max(top, (passed, f1))
    return top


arguments = st.sampled_from([None, None, {"x": 1}, {"x": 2}])
name = st.sampled_from("aabc")
times = st.sampled_from(
    [None, None, None, 2, Times(ge=0, le=1), Times(ge=1, le=2), Times(ge=1), Times(ge=0)]
)
plain = st.builds(lambda name, args: ExpectedStep(tool=name, args=args), name, arguments)
single = st.builds(
    lambda one, optional, times: ExpectedStep(
        tool=one.tool, args=one.args, optional=optional, times=times
    ),
    plain,
    st.booleans(),
    times,
)
choice = st.builds(
    lambda every, optional, times: ExpectedStep(any_of=every, optional=optional, times=times),
    st.tuples(plain, plain),
    st.booleans(),
    times,
)
sequence = st.tuples(single) | st.tuples(plain, single)
group = st.builds(
    lambda key, every, optional, times: ExpectedStep(
        **{key: every}, optional=optional, times=times
    ),
    st.sampled_from(["any_of", "parallel"]),
    st.tuples(sequence, sequence),
    st.booleans(),
    st.sampled_from([None, None, None, 2, Times(ge=0, le=1), Times(ge=1)]),
)


@st.composite
def expectations(draw: st.DrawFn) -> tuple[ExpectedStep, ...]:
    steps = draw(st.lists(single | single | choice | group, min_size=1, max_size=4))
    if draw(st.booleans()) and len(steps) > 1:
        first, last = draw(st.permutations(range(len(steps))))[:2]
        steps[first] = replaced(steps[first], id="S")
        steps[last] = replaced(steps[last], after=("S",))
    return tuple(steps)


def replaced(stated: ExpectedStep, **changes: Any) -> ExpectedStep:
    fields = {key: getattr(stated, key) for key in ("tool", "any_of", "parallel", "args")}
    fields |= {"optional": stated.optional, "times": stated.times}
    return ExpectedStep(**fields | changes)


actual = st.lists(
    st.builds(
        lambda name, x: Step(kind="tool", name=name, arguments={"x": x}),
        name,
        st.sampled_from([1, 2]),
    ),
    max_size=4,
)


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(expectations(), actual)
def test_nothing_is_better(
    mode: MatchMode, expected: tuple[ExpectedStep, ...], steps: list[Step]
) -> None:
    ways = in_list(expected, mode in {"exact", "in_order"}, [step.name for step in steps])
    assume(sum(len(steps) ** min(len(way), 6) for way in ways) < 5_000)
    found = align(Expected(steps=expected, match=mode), Trajectory(steps=tuple(steps)), WRITES)
    passed, f1 = best(expected, steps, mode)
    assert found.passed is passed
    assert found.f1 == pytest.approx(f1)
