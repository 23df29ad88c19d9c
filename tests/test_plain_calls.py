"""The verdict on plain calls is that of the score, however it was come by."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import match, matches
from evalkit.dataset import ArgumentsMode, MatchMode
from evalkit.errors import InputError

scalars = st.sampled_from([0, 1, 1.0, True, False, None, "a", "1"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2)
    ),
    max_leaves=4,
)
predicates = st.sampled_from([{"any": True}, {"contains": "a"}, {"one_of": [1, "a"]}, {"ge": 1}])
actual_arguments = st.dictionaries(st.sampled_from(["x", "y", "x.y"]), values, max_size=2)
stated_arguments = st.dictionaries(
    st.sampled_from(["x", "y", "x.y"]), values | predicates, max_size=2
)


def calls(arguments: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Up to five calls of few names, so that they often have names in common."""
    call = st.fixed_dictionaries({"name": st.sampled_from("fg"), "args": arguments})
    return st.lists(call, max_size=5)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Expected and actual calls; half of the actual ones are made of the expected ones."""
    expected = draw(calls(draw(st.sampled_from([stated_arguments, actual_arguments]))))
    actual = draw(calls(actual_arguments))
    if draw(st.booleans()):
        actual = draw(st.permutations([*expected, *actual[:1]]))
    return expected, actual


@pytest.mark.parametrize("args", get_args(ArgumentsMode))
@pytest.mark.parametrize("mode", get_args(MatchMode))
@given(pairs())
def test_a_verdict_is_the_score_s(
    mode: MatchMode, args: ArgumentsMode, pair: tuple[list[dict[str, Any]], list[dict[str, Any]]]
) -> None:
    expected, actual = pair
    passed = match(expected, actual, mode=mode, args=args).passed
    assert matches(expected, actual, mode=mode, args=args) is (passed is True)


def test_true_is_no_one() -> None:
    assert not matches([{"name": "f", "args": {"x": 1}}], [{"name": "f", "args": {"x": True}}])
    assert matches([{"name": "f", "args": {"x": 1}}], [{"name": "f", "args": {"x": 1.0}}])


def test_calls_may_come_from_an_iterator() -> None:
    call = {"name": "f", "args": {"x": 1}}
    assert matches(iter([call]), iter([call]))


def test_what_is_no_call_is_refused() -> None:
    with pytest.raises(InputError, match="a step is"):
        matches([{"tool": "f"}], [{"name": "f", "args": {}}])
