"""Necessary over taken, and one cause for each surplus step."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.dataset import Case, Expected, ExpectedStep, Times
from evalkit.results import Score
from evalkit.scorers.step_efficiency import step_efficiency
from evalkit.trajectory import Step, Trajectory


def judge(expected: Any, *steps: Step | str) -> Score:
    stated = (
        None
        if expected is None
        else tuple(ExpectedStep(tool=one) if isinstance(one, str) else one for one in expected)
    )
    case = Case(id="c", input="?", route="r", expect=Expected(steps=stated))
    done = tuple(call(one) if isinstance(one, str) else one for one in steps)
    return step_efficiency(case, Trajectory(steps=done))


def call(name: str, status: Any = "ok", **more: Any) -> Step:
    return Step(kind="tool", name=name, arguments=more.pop("arguments", {}), status=status, **more)


def causes(score: Score) -> list[tuple[str, int | None]]:
    return [(one.kind, one.step) for one in score.steps]


def test_no_surplus() -> None:
    score = judge("ab", "a", "b")
    assert (score.value, score.passed, score.steps) == (1, True, ())


def test_ten_identical_calls_are_a_tenth() -> None:
    score = judge("a", *"a" * 10)
    assert score.value == pytest.approx(0.1)
    assert score.data["causes"] == {"duplicate": 9}


def test_a_missing_step_makes_no_room_for_a_surplus_one() -> None:
    score = judge("ab", "a", "x")
    assert (score.value, score.passed, score.data["taken"]) == (pytest.approx(2 / 3), False, 2)


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abcx"), max_size=9))
def test_only_a_path_without_surplus_is_1_and_a_complete_one_is_necessary_over_taken(
    expected: list[str], done: list[str]
) -> None:
    score = judge(expected, *done)
    assert score.value is None or (score.value == 1) == score.passed
    if expected and not Counter(expected) - Counter(done):
        assert score.value == pytest.approx(len(expected) / len(done))


def test_doing_nothing_is_not_efficient() -> None:
    assert judge("ab").value == 0
    assert judge("ab", "x").value == 0
    assert judge("", "x").value == 0
    assert judge("").status == "nothing_to_judge"
    assert judge(None, "x").status == "nothing_to_judge"


def test_optional_steps_are_neither_necessary_nor_taken() -> None:
    optional = ["a", ExpectedStep(tool="b", optional=True)]
    assert judge(optional, "a").value == judge(optional, "a", "b").value == 1
    assert judge([optional[1]], "b").status == "nothing_to_judge"


def test_each_cause() -> None:
    assert causes(judge("a", "a", "a")) == [("duplicate", 1)]
    assert causes(judge("a", call("a", "error"), "a")) == [("retry", 1)]
    assert causes(judge("a", call("a", "error"), "b")) == [("fallback", 1)]
    assert causes(judge("a", "a", "b")) == [("detour", 1)]
    assert causes(judge("ab", "a", "b", "a", "b")) == [("loop", 2), ("loop", 3)]
    assert causes(judge("a", "a", call("a", arguments={"x": 1}))) == [("detour", 1)]


def test_another_model_after_a_failure_is_a_fallback() -> None:
    asked = Step(kind="llm", name="chat", model_requested="large", status="error")
    again = Step(kind="llm", name="chat", model_requested="small")
    score = judge([ExpectedStep(llm="chat")], asked, again)
    assert causes(score) == [("fallback", 1)]


@given(st.text("abc", max_size=5), st.text("abc", max_size=12))
def test_value_is_a_share_and_every_surplus_step_has_one_cause(expected: str, actual: str) -> None:
    score = judge(expected, *actual)
    if score.value is None:
        assert not expected
        assert not actual
        return
    assert 0 <= score.value <= 1
    assert len({one.step for one in score.steps}) == len(score.steps)
    matched = sum(min(expected.count(one), actual.count(one)) for one in "abc")
    assert len(score.steps) == len(actual) - matched


def test_a_parallel_set_and_counts_are_no_surplus() -> None:
    both = ExpectedStep(parallel=(ExpectedStep(tool="b"), ExpectedStep(tool="c")))
    assert judge(["a", both], "a", "c", "b").value == 1
    assert judge([ExpectedStep(tool="a", times=2)], "a", "a").value == 1
    assert judge([ExpectedStep(tool="a", times=2)], "a", "a", "a").value == pytest.approx(2 / 3)


def test_what_surplus_steps_took_is_told() -> None:
    again = call("a", tokens_in=7, tokens_out=3, cost_usd=0.5, start_ns=0, end_ns=10**9)
    assert judge("a", "a", again).data["surplus"] == {
        "tokens": 10,
        "cost_usd": 0.5,
        "seconds": 1.0,
    }


def test_steps_that_may_come_more_often_are_no_surplus() -> None:
    more = (ExpectedStep(tool="a", times=Times(ge=1, le=3)), ExpectedStep(tool="b"))
    case = Case(id="c", input="?", route="r", expect=Expected(steps=more))
    for names, value, surplus in (("aab", 1.0, 0), ("aaab", 1.0, 0), ("aaaab", 2 / 3, 1)):
        done = Trajectory(steps=tuple(Step(kind="tool", name=name) for name in names))
        score = step_efficiency(case, done)
        assert (score.value, len(score.steps)) == (value, surplus)
        assert score.passed is (surplus == 0)
