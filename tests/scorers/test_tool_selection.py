"""Right, wrong, missed and spurious choices of tools."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.dataset import Case, Expected, ExpectedStep
from evalkit.results import Score
from evalkit.scorers.tool_selection import tool_selection
from evalkit.trajectory import Step, Trajectory


def judge(expected: Any, actual: str, *others: Step) -> Score:
    steps = (
        None
        if expected is None
        else tuple(ExpectedStep(tool=one) if isinstance(one, str) else one for one in expected)
    )
    case = Case(id="c", input="?", route="r", expect=Expected(steps=steps))
    done = tuple(Step(kind="tool", name=one, arguments={}) for one in actual)
    return tool_selection(case, Trajectory(steps=(*done, *others)))


@pytest.mark.parametrize(
    ("expected", "actual", "value", "counts"),
    [
        ("ab", "ab", 1, (2, 0, 0, 0)),
        ("ab", "ba", 1, (2, 0, 0, 0)),
        ("aa", "aa", 1, (2, 0, 0, 0)),
        ("ab", "ac", 1 / 2, (1, 1, 0, 0)),
        ("ab", "a", 1 / 2, (1, 0, 1, 0)),
        ("a", "a" * 20, 1 / 20, (1, 0, 0, 19)),
        ("a", "", 0, (0, 0, 1, 0)),
        ("", "a", 0, (0, 0, 0, 1)),
        ("", "", 1, (0, 0, 0, 0)),
    ],
)
def test_counts(expected: str, actual: str, value: float, counts: tuple[int, ...]) -> None:
    score = judge(expected, actual)
    assert score.value == pytest.approx(value)
    assert score.passed is (value == 1)
    assert tuple(score.data[key] for key in ("right", "wrong", "missed", "spurious")) == counts


def test_confusion_pairs_expected_with_chosen() -> None:
    score = judge("abd", "acde")
    assert score.data["confusion"] == [["a", "a"], ["d", "d"], ["b", "c"], [None, "e"]]
    said = "expected tool b: c called instead; and 1 more; 1 of 4 calls acceptable when made"
    assert score.reason == said
    assert [(one.kind, one.expected, one.step) for one in score.steps] == [
        ("missing", 1, 1),
        ("unexpected", None, 3),
    ]


def test_positions_are_those_of_the_case() -> None:
    score = judge([ExpectedStep(node="n"), "a"], "")
    assert score.steps[0].expected == 1


def test_optional_and_alternatives() -> None:
    optional = [ExpectedStep(tool="a", optional=True)]
    assert judge(optional, "a").value == judge(optional, "").value == 1
    either = [ExpectedStep(any_of=(ExpectedStep(tool="a"), ExpectedStep(node="n")))]
    assert judge(either, "").passed
    assert judge(either, "a").data["right"] == 1


def test_retrievals_are_decisions_if_the_case_names_one() -> None:
    retrieval = Step(kind="retriever", name="r")
    assert judge("a", "a", retrieval).value == 1
    assert judge([ExpectedStep(retriever="r")], "").value == 0
    assert judge([ExpectedStep(retriever="r")], "", retrieval).value == 1
    assert judge([ExpectedStep(retriever="r")], "x", retrieval).value == 0.5


def test_no_expectation_is_nothing_to_judge() -> None:
    assert judge(None, "a").status == "nothing_to_judge"


def test_decisions_are_judged_given_what_was_done() -> None:
    data = judge("abc", "acb").data["decisions"]
    assert (data["made"], data["acceptable"]) == (3, 2)
    assert data["wrong"] == [{"step": 1, "chosen": "c", "acceptable": ["b"]}]
    both = ["a", ExpectedStep(parallel=(ExpectedStep(tool="b"), ExpectedStep(tool="c")))]
    assert judge(both, "acb").data["decisions"]["acceptable"] == 3
    assert judge(both, "acb").value == 1


def test_arguments_are_named_and_no_part_of_the_value() -> None:
    expected = [ExpectedStep(tool="a", args={"x": 1, "y": 2}), ExpectedStep(tool="b", args={})]
    done = Step(kind="tool", name="a", arguments={"x": 3})
    score = judge(expected, "", done, Step(kind="tool", name="b", arguments={"z": 1}))
    assert score.value == 1
    arguments = score.data["arguments"]
    assert arguments["right"] == 1
    assert [one["path"] for one in arguments["wrong"]] == ["x"]
    assert [one["path"] for one in arguments["missing"]] == ["y"]
    assert [one["path"] for one in arguments["superfluous"]] == ["z"]


def test_abstention_and_hallucinated_tools() -> None:
    said = [judge(*one).data["abstention"] for one in (("", ""), ("a", ""), ("", "a"), ("a", "a"))]
    assert said == ["right", "wrong", "broken", None]


def offers(*names: str) -> Step:
    return Step(kind="llm", name="m", offered=names)


def called(name: str, **more: Any) -> Step:
    return Step(kind="tool", name=name, arguments={}, **more)


@pytest.mark.parametrize(
    ("steps", "hallucinated"),
    [
        ((offers("a", "b"), called("a"), called("c")), ["c"]),
        ((offers("a"), called("b"), offers("b")), ["b"]),
        ((offers("a"), offers("b"), called("a"), called("b")), []),
        ((called("a"), offers("b"), called("b")), []),
        ((offers(), called("a")), ["a"]),
        ((offers(), called("a", actor="user")), []),
        ((called("a"),), None),
        ((offers("a"), Step(kind="llm", name="m"), called("b")), []),
        ((offers("a"), Step(kind="llm", name="m"), offers("a"), called("b")), ["b"]),
    ],
)
def test_a_call_is_hallucinated_that_nothing_had_offered_by_then(
    steps: tuple[Step, ...], hallucinated: list[str] | None
) -> None:
    case = Case(id="c", input="?", route="r", expect=Expected(steps=()))
    assert tool_selection(case, Trajectory(steps=steps)).data["hallucinated"] == hallucinated


def test_the_share_of_decisions_that_were_acceptable_is_told() -> None:
    late = judge("abc", "cba")
    assert (late.value, late.data["decisions"]["accuracy"]) == (1.0, 1 / 3)
    assert late.reason == "every tool as expected; 1 of 3 calls acceptable when made"
    assert judge("abc", "abc").data["decisions"]["accuracy"] == 1.0
    assert judge("abc", "abc").reason == "every tool as expected"
    assert judge("a", "").data["decisions"]["accuracy"] is None
