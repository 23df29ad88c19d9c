"""What must have come first: an order, an approval, a verified success."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.dataset import Case, ExpectedStep
from evalkit.results import Score
from evalkit.scorers.policies.ordering import Order, approval, before, memory_after_success
from evalkit.suite import Effects
from evalkit.trajectory import Coverage, Step, Trajectory

CASE = Case(id="c", input="?", route="r")
RETRIEVE = Order(first="retrieve", then="refund")


def tool(name: str, /, **more: Any) -> Step:
    return Step(kind="tool", name=name, **{"arguments": {}, **more})


def ran(*steps: Step | str, **more: Any) -> Trajectory:
    made = tuple(tool(one) if isinstance(one, str) else one for one in steps)
    return Trajectory(steps=made, **more)


def ordered(trajectory: Trajectory, *rules: Order) -> Score:
    return before(CASE, trajectory, rules=rules or (RETRIEVE,))


def test_a_step_that_came_first_and_one_that_did_not() -> None:
    assert ordered(ran("retrieve", "refund")).passed
    late = ordered(ran("refund", "retrieve"))
    assert (late.passed, late.value, late.steps[0].step) == (False, 0, 0)
    assert late.steps[0].kind == "out_of_order"
    assert "tool refund without an earlier success of retrieve" in late.reason


def test_only_what_succeeded_and_was_over_counts() -> None:
    failed = tool("retrieve", status="error")
    assert ordered(ran(failed, "refund")).passed is False
    parallel = (
        tool("retrieve", start_ns=0, end_ns=10),
        tool("refund", start_ns=5, end_ns=9),
    )
    assert ordered(ran(*parallel)).passed is False
    assert ordered(ran(tool("retrieve", steps=(tool("refund"),)))).passed is False
    after = (parallel[0], tool("refund", start_ns=10, end_ns=12))
    assert ordered(ran(*after)).passed


def test_the_value_is_the_share_that_kept_the_order() -> None:
    found = ordered(ran("refund", "retrieve", "refund"))
    assert (found.value, found.passed, found.data) == (0.5, False, {"applied": 2, "broken": 1})


def test_nothing_to_order() -> None:
    assert ordered(ran("retrieve")).status == "nothing_to_judge"


@pytest.mark.parametrize("path", ["order.id", "items[0].id"])
def test_what_must_be_the_same_may_be_deeper(path: str) -> None:
    rule = msgspec.structs.replace(RETRIEVE, same=(path,))
    one, other = ({"order": {"id": at}, "items": [{"id": at}]} for at in (1, 2))
    first = tool("retrieve", arguments=one)
    assert ordered(ran(first, tool("refund", arguments=one)), rule).passed
    assert ordered(ran(first, tool("refund", arguments=other)), rule).passed is False


def test_the_same_order_must_be_meant() -> None:
    rule = msgspec.structs.replace(RETRIEVE, same=("order",))
    mine, other = tool("retrieve", arguments={"order": 1}), tool("retrieve", arguments={"order": 2})
    refund = tool("refund", arguments={"order": 1.0})
    assert ordered(ran(mine, refund), rule).passed
    assert ordered(ran(other, refund), rule).passed is False
    assert ordered(ran(tool("retrieve", arguments=None), refund), rule).status == "could_not_judge"


def test_unread_spans_make_a_missing_step_doubtful() -> None:
    lost = ran("refund", coverage=Coverage(spans=2, quarantined=1))
    assert ordered(lost).status == "could_not_judge"


def test_unrecorded_arguments_that_would_tell_make_it_doubtful() -> None:
    rule = Order(first=ExpectedStep(tool="retrieve", args={"topic": "refund"}), then="refund")
    assert ordered(ran(tool("retrieve", arguments=None), "refund"), rule).status == (
        "could_not_judge"
    )


@given(st.lists(st.sampled_from(["retrieve", "refund", "other"]), max_size=12))
def test_by_brute_force(names: list[str]) -> None:
    found = ordered(ran(*names))
    refunds = [at for at, name in enumerate(names) if name == "refund"]
    good = [at for at in refunds if "retrieve" in names[:at]]
    if not refunds:
        assert found.status == "nothing_to_judge"
    else:
        assert found.value == pytest.approx(len(good) / len(refunds))
        assert found.passed == (len(good) == len(refunds))


def test_a_flood_of_steps_is_bounded() -> None:
    found = ordered(ran(*["retrieve"] * 2_100, *["refund"] * 2_100))
    assert (found.status, "too many" in found.reason) == ("could_not_judge", True)


# --- approval ---------------------------------------------------------------------------------


def approved(*steps: Step | str, **more: Any) -> Score:
    return approval(CASE, ran(*steps), actions="refund", by="ask_human", **more)


def test_every_action_needs_an_approval_of_its_own() -> None:
    assert approved("ask_human", "refund").passed
    assert approved("refund").passed is False
    twice = approved("ask_human", "refund", "refund")
    assert (twice.value, twice.steps[0].step) == (0.5, 2)
    assert approved("ask_human", "ask_human", "refund", "refund").passed


def test_a_failed_action_may_be_tried_again_under_the_same_approval() -> None:
    assert approved("ask_human", tool("refund", status="error"), "refund").passed


def test_only_a_granted_approval_counts() -> None:
    granted = {"approved": True}
    yes, no = tool("ask_human", output={"approved": True}), tool("ask_human", output={})
    assert approved(yes, "refund", granted=granted).passed
    assert approved(no, "refund", granted=granted).passed is False
    assert approved("ask_human", "refund", granted=granted).status == "could_not_judge"


NO = [
    False,
    "no",
    "No.",
    "Denied",
    " rejected\n",
    {"approved": False},
    {"decision": "rejected", "by": "ann"},
    {"result": {"granted": "NO"}},
    {"verified": False},
]


@pytest.mark.parametrize("output", NO)
def test_a_plain_no_grants_nothing(output: Any) -> None:
    assert approved(tool("ask_human", output=output), "refund").passed is False
    assert remembered(tool("verify", output=output), "remember").passed is False


YES = [None, True, "ok", "yes", "No problem, go ahead.", 0, {"approved": True, "fee": False}, {}]


@pytest.mark.parametrize("output", YES)
def test_any_other_output_grants(output: Any) -> None:
    assert approved(tool("ask_human", output=output), "refund").passed
    assert remembered(tool("verify", output=output), "remember").passed


def test_what_is_stated_decides_alone() -> None:
    assert approved(tool("ask_human", output="no"), "refund", granted="no").passed


def test_an_approval_is_for_what_was_approved() -> None:
    steps = (
        tool("ask_human", arguments={"amount": 10}),
        tool("refund", arguments={"amount": 900}),
    )
    assert approved(*steps, same=("amount",)).passed is False
    assert approved(*steps).passed


def test_no_action_no_judgement() -> None:
    assert approved("ask_human").status == "nothing_to_judge"


# --- memory -----------------------------------------------------------------------------------


def remembered(*steps: Step | str, **more: Any) -> Score:
    given = {"writes": "remember", "verified_by": "verify", **more}
    return memory_after_success(CASE, ran(*steps), **given)


def test_memory_is_written_after_verified_success() -> None:
    assert remembered("refund", "verify", "remember").passed
    assert remembered("refund", "remember", "verify").passed is False
    assert remembered("refund", tool("verify", status="error"), "remember").passed is False
    assert remembered("refund").status == "nothing_to_judge"


def test_a_verification_older_than_the_last_change_vouches_for_nothing() -> None:
    steps = ("verify", "refund", "remember")
    assert remembered(*steps).passed
    assert remembered(*steps, effects=Effects(write=("refund",))).passed is False
    after = ("verify", "remember", "refund")
    assert remembered(*after, effects=Effects(write=("refund",))).passed


def test_the_verification_must_say_success() -> None:
    bad = tool("verify", output={"ok": False})
    assert remembered(bad, "remember", verified={"ok": True}).passed is False
    assert remembered("verify", "remember", verified={"ok": True}).status == "could_not_judge"
