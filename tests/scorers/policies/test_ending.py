"""How it ended: the stop reason, the loop cap, and what was handed over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.dataset import Case
from evalkit.results import Score
from evalkit.scorers.policies.ending import handoff_fields, loop_cap, stop_reason
from evalkit.trajectory import Step, Trajectory

CASE = Case(id="c", input="?", route="r")


def llm(reason: str | None, **more: Any) -> Step:
    return Step(kind="llm", name="model", stop_reason=reason, **more)


def stopped(*steps: Step, whole: str | None = None, **more: Any) -> Score:
    return stop_reason(CASE, Trajectory(steps=steps, stop_reason=whole), **more)


def test_a_stop_reason_is_present_and_allowed() -> None:
    assert stopped(llm("tool_calls"), llm("STOP")).passed
    cut = stopped(llm("stop"), llm("length"))
    assert (cut.passed, cut.value, cut.steps[0].step) == (False, 0.5, 1)
    assert "stopped for length" in cut.reason
    assert stopped(llm("stop"), llm("tool_calls")).passed is False  # ended before its answer
    assert stopped(llm("tool_calls"), Step(kind="tool", name="t")).passed  # what it stopped for
    assert stopped(llm("length"), Step(kind="tool", name="t")).passed is False
    assert stopped(llm("stop"), llm(None)).passed is False
    assert stopped(llm("tool_calls"), llm("length"), final=("length",)).passed


def test_what_is_not_recorded_is_not_judged() -> None:
    assert stopped(llm(None), llm(None)).status == "could_not_judge"
    assert stopped(llm("stop"), run=("user_stop",)).status == "could_not_judge"
    assert stopped(Step(kind="tool", name="t")).status == "nothing_to_judge"
    assert stopped(llm("stop"), llm(None, status="error")).passed


def test_the_whole_run_may_have_a_reason_too() -> None:
    assert stopped(llm("stop"), whole="user_stop", run=("user_stop",)).passed
    assert stopped(llm("stop"), whole="max_steps", run=("user_stop",)).passed is False


def calls(names: str) -> Trajectory:
    return Trajectory(steps=tuple(Step(kind="tool", name=n, arguments={"n": n}) for n in names))


@pytest.mark.parametrize(
    ("names", "first"),
    [
        ("aaaa", 0),
        ("xabababab", 1),
        ("abcabcabcabcz", 0),
        ("aaa", None),
        ("ababab", None),
        ("abcd", None),
        ("aabaabaabaab", 0),
    ],
)
def test_cycles_of_any_period(names: str, first: int | None) -> None:
    found = loop_cap(CASE, calls(names), cycles=3)
    assert found.passed == (first is None)
    assert [one.step for one in found.steps[:1]] == ([] if first is None else [first])


@given(st.text("abc", min_size=1, max_size=14), st.integers(1, 3))
def test_cycles_by_brute_force(names: str, cycles: int) -> None:
    looping = any(
        names[at : at + period] * (cycles + 1) == names[at : at + period * (cycles + 1)]
        for period in range(1, len(names))
        for at in range(len(names) - period * (cycles + 1) + 1)
    )
    assert loop_cap(CASE, calls(names), cycles=cycles).passed is (not looping)


def test_other_arguments_are_no_loop_and_a_cap_counts_them_all() -> None:
    steps = tuple(Step(kind="tool", name="search", arguments={"page": n}) for n in range(6))
    assert loop_cap(CASE, Trajectory(steps=steps)).passed
    capped = loop_cap(CASE, Trajectory(steps=steps), most={"search": 4})
    assert (capped.passed, capped.steps[0].step) == (False, 4)
    assert "happened 6 times, at most 4" in capped.reason
    assert loop_cap(CASE, Trajectory()).status == "could_not_judge"


def handed(arguments: Any, fields: Any) -> Score:
    step = Step(kind="handoff", name="to_compliance", arguments=arguments)
    return handoff_fields(CASE, Trajectory(steps=(step,)), fields={"to_compliance": fields})


def test_a_handoff_carries_its_fields() -> None:
    full = {"case_id": 7, "customer": {"name": "Ann"}}
    assert handed(full, ("case_id", "customer.name")).passed
    lacking = handed({"case_id": "", "customer": {}}, ("case_id", "customer.name"))
    assert (lacking.passed, lacking.steps[0].detail) == (
        False,
        "handoff to_compliance did not carry case_id, customer.name",
    )
    listed = {"items": [{"sku": "A"}, {"sku": ""}]}
    assert handed(listed, ("items[0].sku",)).passed
    assert handed(listed, ("items[1].sku",)).passed is False
    assert handed(listed, ("items[2].sku",)).passed is False
    assert handed({"amount": 5}, {"amount": {"ge": 5}}).passed
    assert handed({"amount": 4}, {"amount": {"ge": 5}}).passed is False
    assert handed(0, ("case_id",)).passed is False
    assert handed(None, ("case_id",)).status == "could_not_judge"
    nothing = handoff_fields(CASE, Trajectory(), fields={"x": ("y",)})
    assert nothing.status == "nothing_to_judge"
