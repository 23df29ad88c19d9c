"""Pairs are the best there are, whatever way they were found: all ways agree with trying each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.arguments import arguments_hold
from evalkit.dataset import Expected, ExpectedStep, MatchMode
from evalkit.matching import align
from evalkit.scorers.trajectory_match import match
from evalkit.suite import Effects
from evalkit.trajectory import Step, Trajectory

Calls = list[dict[str, Any]]

MODES: tuple[MatchMode, ...] = get_args(MatchMode)

values = st.sampled_from([0, 1, 1.0, True, False, None, "a", [1, 2], [2, 1], {"k": 1}, {"ge": 1}])
stated_values = values | st.sampled_from([{"any": True}, {"absent": True}, {"one_of": [1, "a"]}])
names = st.sampled_from(["look_a", "look_b"])


def calls(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Calls]:
    args = st.dictionaries(st.sampled_from(["x", "y", "x.k"]), of, max_size=2)
    one = st.fixed_dictionaries({"name": names, "args": args})
    return st.lists(one, max_size=4)


def ways(rows: int, columns: int) -> Iterator[list[int | None]]:
    """Every pairing of rows with columns of their own."""
    places = [*range(columns), *([None] * rows)]
    yield from ([*one] for one in set(permutations(places, rows)))


def worth(expected: Calls, actual: Calls, pairing: Sequence[int | None]) -> tuple[int, int]:
    """Pairs in full, and all pairs; (-1, -1) where names differ."""
    full = count = 0
    for stated, place in zip(expected, pairing, strict=True):
        if place is not None:
            if stated["name"] != actual[place]["name"]:
                return (-1, -1)
            count += 1
            full += arguments_hold(stated["args"], actual[place]["args"])
    return (full, count)


def counted(expected: Calls, actual: Calls, mode: MatchMode) -> tuple[int, int]:
    data = match(expected, actual, mode=mode).data
    return (data["right"], data["right"] + data["wrong_arguments"])


@settings(max_examples=150, deadline=None)
@given(calls(stated_values), calls(values))
def test_no_pairing_in_any_order_is_better(expected: Calls, actual: Calls) -> None:
    best = max(worth(expected, actual, way) for way in ways(len(expected), len(actual)))
    assert counted(expected, actual, "unordered") == best


@settings(max_examples=150, deadline=None)
@given(calls(stated_values), calls(values))
def test_no_pairing_in_order_is_better(expected: Calls, actual: Calls) -> None:
    in_order = (
        way
        for way in ways(len(expected), len(actual))
        if (places := [place for place in way if place is not None]) == sorted(places)
    )
    # Of pairs in order the most right are not always the most: what counts is 1 and 1/2.
    best = max((sum(one), one) for way in in_order if (one := worth(expected, actual, way)))
    assert counted(expected, actual, "in_order") == best[1]


@given(calls(stated_values), calls(values), st.lists(st.sampled_from(MODES), min_size=1))
def test_what_is_kept_of_an_expectation_changes_nothing(
    expected: Calls, actual: Calls, modes: list[MatchMode]
) -> None:
    steps = tuple(ExpectedStep(tool=one["name"], args=one["args"]) for one in expected)
    done = Trajectory(
        steps=tuple(Step(kind="tool", name=one["name"], arguments=one["args"]) for one in actual)
    )
    kept = Expected(steps=steps)
    for mode in modes:
        again = align(kept, done, Effects(), mode=mode)
        fresh = align(Expected(steps=steps), done, Effects(), mode=mode)
        assert (again.pairs, again.wrong, again.f1) == (fresh.pairs, fresh.wrong, fresh.f1)


@pytest.mark.parametrize(
    ("stated", "found", "right"),
    [
        ({"x": 1}, {"x": True}, False),
        ({"x": [0]}, {"x": [False]}, False),
        ({"x": True}, {"x": 1}, False),
        ({"x": 1}, {"x": 1.0}, True),
        ({"x": None}, {"x": None}, True),
        ({"x": math.nan}, {"x": math.nan}, False),
        ({"x": math.nan}, {"x": None}, False),
        ({"filter": {"ge": 5}}, {"filter": {"ge": 5}}, False),
        ({"filter": {"equals": {"ge": 5}}}, {"filter": {"ge": 5}}, True),
        ({"any": 1}, {"any": 1}, True),
        ({"x": '{"any":1}'}, {"x": '{"any":1}'}, True),
        ({"x": "\ud800"}, {"x": "\ud800"}, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_the_same_text_is_the_same_only_where_it_means_the_same(
    stated: Any, found: Any, right: bool, mode: MatchMode
) -> None:
    score = match(
        [{"name": "set_x", "args": stated}], [{"name": "set_x", "args": found}], mode=mode
    )
    assert score.passed is right


def test_a_thousand_calls_of_one_name_that_differ_are_paired() -> None:
    expected = [{"name": "look", "args": {"x": n}} for n in range(1000)]
    actual = [{"name": "look", "args": {"x": n if n % 3 else -n}} for n in reversed(range(1000))]
    score = match(expected, actual, mode="unordered")
    assert (score.data["right"], score.data["wrong_arguments"]) == (667, 333)
