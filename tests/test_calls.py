"""What Python hands over to be matched is checked as a dataset is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from evalkit import ExpectedStep, Step, match, matches
from evalkit.errors import InputError

CALL = {"name": "f", "args": {"x": 1}}


@pytest.mark.parametrize("judge", [match, matches])
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"mode": "strict"}, "mode='strict': expected one of exact, in_order, any_order"),
        ({"mode": "EXACT"}, "mode='EXACT'"),
        ({"mode": ["exact"]}, "mode="),
        ({"args": "strict"}, "args='strict': expected one of stated, exact, ignore"),
    ],
)
def test_a_mode_that_does_not_exist_is_refused(
    judge: Callable[..., Any], asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as refused:
        judge([CALL], [CALL], **asked)
    assert said in str(refused.value)


@pytest.mark.parametrize("mode", ["exact", "unordered"])
@pytest.mark.parametrize("judge", [match, matches])
@pytest.mark.parametrize(
    ("predicate", "said"),
    [
        ({"regex": "("}, "x: regex '('"),
        ({"one_of": 5}, "x: `one_of` needs a list of values, found 5"),
        ({"one_of": "abc"}, "x: `one_of` needs"),
        ({"approx": {"value": 1, "tolerance": "2"}}, "x: `approx` needs"),
        ({"approx": {"tolerance": 1}}, "x: `approx` needs"),
    ],
)
def test_a_predicate_that_cannot_be_read_is_refused(
    judge: Callable[..., Any], mode: str, predicate: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as refused:
        judge([{"name": "f", "args": {"x": predicate}}], [CALL], mode=mode)
    assert said in str(refused.value)


@pytest.mark.parametrize("judge", [match, matches])
@pytest.mark.parametrize(
    ("expected", "actual", "said"),
    [
        ("abc", "abc", "`expected` is a list of steps, found 'abc'"),
        (None, [], "`expected` is a list of steps"),
        ([], CALL, "`actual` is a list of steps"),
        (["f"], [CALL], "expected[0]: a step is"),
        ([], [CALL, 5], "actual[1]: a step is"),
        ([{1: 2, "tool": "f"}], [CALL], "expected[0]: a step is"),
        ([{"name": "f", "args": 5}], [CALL], "expected[0] 'f': `args` is an object"),
    ],
)
def test_what_is_no_list_of_steps_is_refused(
    judge: Callable[..., Any], expected: Any, actual: Any, said: str
) -> None:
    with pytest.raises(InputError) as refused:
        judge(expected, actual)
    assert said in str(refused.value)


def test_effects_are_a_record() -> None:
    with pytest.raises(InputError, match="expected a record such as"):
        match([CALL], [CALL], mode="effects", effects={"write": ["f"]})  # type: ignore[arg-type]  # wrong on purpose


def test_an_order_that_nothing_satisfies_is_refused() -> None:
    done = [Step(kind="tool", name="a"), Step(kind="tool", name="b")]
    with pytest.raises(InputError, match="no expected step has the id or name 'z'"):
        match([ExpectedStep(tool="a", after=("z",))], done)
    circle = [ExpectedStep(tool="a", after=("b",)), ExpectedStep(tool="b", after=("a",))]
    with pytest.raises(InputError, match="in a circle"):
        match(circle, done)
