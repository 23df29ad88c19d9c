"""Scores by match mode, with the steps they are about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from evalkit.dataset import Case, Expected, ExpectedStep, MatchMode
from evalkit.errors import InputError
from evalkit.scorers.trajectory_match import match, trajectory_match
from evalkit.trajectory import Step, Trajectory

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "peers.jsonl"
MODES: tuple[MatchMode, ...] = get_args(MatchMode)


def judge(expect: Expected, *steps: Step) -> Any:
    case = Case(id="c", input="?", route="r", expect=expect)
    return trajectory_match(case, Trajectory(steps=steps))


def test_a_missing_step_is_named() -> None:
    expect = Expected(
        steps=(ExpectedStep(node="classify"), ExpectedStep(retriever="retrieve_policy"))
    )
    score = judge(expect, Step(kind="node", name="classify"))
    assert score.reason == "expected retriever retrieve_policy: missing"
    assert [(one.kind, one.expected) for one in score.steps] == [("missing", 1)]
    assert score.value == pytest.approx(2 / 3)


def test_wrong_and_superfluous_arguments_are_named() -> None:
    step = ExpectedStep(tool="pay", args={"amount": {"ge": 5000}})
    paid = Step(kind="tool", name="pay", arguments={"amount": 3, "to": "x"})
    score = judge(Expected(steps=(step,)), paid)
    assert score.reason == "expected tool pay: wrong arguments (amount: expected >= 5000, found 3)"
    assert [one.kind for one in score.steps] == ["wrong_arguments", "superfluous_arguments"]
    assert (score.steps[0].expected, score.steps[0].step) == (0, 0)
    exact = Expected(steps=(ExpectedStep(tool="pay", args={"amount": 3}),), args="exact")
    assert not judge(exact, paid).passed


def test_arguments_that_the_trace_does_not_record_are_not_wrong() -> None:
    expect = Expected(steps=(ExpectedStep(tool="pay", args={"amount": 3}), ExpectedStep(tool="b")))
    silent = Step(kind="tool", name="pay")
    assert judge(expect, silent, Step(kind="tool", name="b")).status == "could_not_judge"
    assert judge(expect, silent).passed is False  # b is missing whatever the arguments were


def test_forbidden_comes_first() -> None:
    expect = Expected(steps=(ExpectedStep(tool="a"),), never=(ExpectedStep(tool="b"),))
    score = judge(expect, Step(kind="tool", name="b", arguments={}))
    assert score.reason == "tool b must never happen, and did; and 1 more"
    assert score.passed is False


def test_nothing_stated_is_nothing_to_judge() -> None:
    assert judge(Expected(), Step(kind="tool", name="a")).status == "nothing_to_judge"


def test_calls_are_matched_without_a_suite() -> None:
    calls = [{"name": "a", "args": {"x": 1}}, {"name": "b"}]
    assert match(calls, calls, mode="exact", args="exact").passed
    assert match(calls, [*calls, {"name": "c"}]).passed
    assert match([ExpectedStep(node="n")], [Step(kind="node", name="n")]).value == 1
    with pytest.raises(InputError, match="name"):
        match([{"tool": "a"}], [])


def calls_of(vector: dict[str, Any], key: str) -> list[dict[str, Any]] | None:
    calls = vector.get(key)
    if not isinstance(calls, list) or vector.get("turns"):
        return None
    if not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in calls):
        return None
    return [
        {"name": one["name"] or "unnamed", "args": args if isinstance(args, dict) else {}}
        for one in calls
        for args in [one.get("args")]
    ]


def test_peers_vectors_keep_identity_emptiness_and_bounds() -> None:
    if not VECTORS.exists():
        pytest.skip("the peers' vectors are not on this machine")
    seen = 0
    for line in VECTORS.read_text().splitlines():
        vector = json.loads(line)
        reference, actual = calls_of(vector, "reference"), calls_of(vector, "actual")
        if reference is None or actual is None:
            continue
        seen += 1
        literal = [
            {**one, "args": {k: {"equals": v} for k, v in one["args"].items()}} for one in reference
        ]
        for mode in MODES:
            assert match(literal, reference, mode=mode, args="exact").value == 1, vector["id"]
            found = match(literal, actual, mode=mode, args="exact")
            assert found.value is not None
            assert 0 <= found.value <= 1
            if bool(reference) != bool(actual) and mode != "effects":  # there reading is free
                assert found.value == 0, vector["id"]
    assert seen > 200


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "expect", [{"steps": ()}, {"paths": ((),)}, {"paths": ((ExpectedStep(tool="other"),), ())}]
)
def test_where_no_steps_are_expected_any_tool_call_fails_but_for_effects(
    mode: MatchMode, expect: dict[str, Any]
) -> None:
    expected = Expected(**expect, match=mode)
    read, change = Step(kind="tool", name="get_order"), Step(kind="tool", name="refund")
    failed = Step(kind="tool", name="refund", status="error")
    assert judge(expected).passed
    assert judge(expected, Step(kind="retriever", name="docs")).passed
    assert [judge(expected, one).passed for one in (read, change, failed)] == (
        [True, False, True] if mode == "effects" else [False] * 3
    )
