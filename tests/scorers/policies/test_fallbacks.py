"""Silent fallback: who answered is not who was asked, and nothing says so."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.dataset import Case
from evalkit.results import Score
from evalkit.scorers.policies.fallbacks import silent_fallback
from evalkit.trajectory import Step, Trajectory

CASE = Case(id="c", input="?", route="r")


def call(asked: str | None, served: str | None, **more: Any) -> Step:
    return Step(kind="llm", name="chat", model_requested=asked, model_served=served, **more)


def judged(*steps: Step, output: Any = None, **more: Any) -> Score:
    return silent_fallback(CASE, Trajectory(steps=steps, output=output), **more)


def test_models_are_told_by_identity_and_a_table_says_the_rest() -> None:
    assert judged(call("gpt-4o", "gpt-4o")).passed
    other = judged(call("gpt-4o", "gpt-4o-mini"))
    assert (other.passed, other.steps[0].kind, other.steps[0].step) == (False, "fallback", 0)
    assert other.reason == "gpt-4o was asked for, gpt-4o-mini answered"
    assert judged(call("gpt-4o", "gpt-4o-2024-08-06")).passed
    assert judged(call("gpt-4o-2024-05-13", "gpt-4o-2024-08-06")).passed is False
    own = call("primary", "gpt-4o-2024-08-06")
    assert judged(own).passed is False
    assert judged(own, aliases={"primary": ("gpt-4o",)}).passed


@pytest.mark.parametrize("step", [call("gpt-4o", None), call(None, "gpt-4o"), call(None, None)])
def test_an_unknown_model_is_no_pass(step: Step) -> None:
    assert judged(step).status == "could_not_judge"
    assert judged(step, call("a", "b")).passed is False  # what is known is known


def test_a_model_that_answers_after_another_failed() -> None:
    failed, second = call("large", None, status="error"), call("small", "small")
    found = judged(failed, second)
    assert (found.passed, found.steps[0].step) == (False, 1)
    assert found.reason == "small answered after large failed"
    assert judged(failed, call("large", "large")).passed  # a retry


def test_a_model_that_the_pipeline_is_not_meant_to_ask() -> None:
    assert judged(call("small", "small"), models=("large",)).passed is False
    assert judged(call("large", "large"), models=("large",)).passed


def test_a_declared_stand_in() -> None:
    price, cached = Step(kind="tool", name="live_price"), Step(kind="tool", name="cached_price")
    fallbacks = {"live_price": ("cached_price",)}
    assert judged(price, fallbacks=fallbacks).passed
    assert judged(cached, fallbacks=fallbacks).passed is False
    assert judged(Step(kind="tool", name="other"), fallbacks=fallbacks).status == (
        "nothing_to_judge"
    )


def test_what_is_disclosed_is_not_silent() -> None:
    other, notice = call("large", "small"), Step(kind="node", name="degraded_notice")
    assert judged(other, notice, disclosed_by="degraded_notice").passed
    assert judged(notice, other, disclosed_by="degraded_notice").passed is False
    within = {"degraded": True}
    assert judged(other, output={"degraded": True}, disclosed_in=within).passed
    assert judged(other, output={"degraded": False}, disclosed_in=within).passed is False


def test_a_wrapper_around_models_is_not_judged_twice() -> None:
    wrapper = call("large", None, steps=(call("large", "large"),))
    assert judged(wrapper).data["applied"] == 1
