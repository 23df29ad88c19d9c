from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Iterator
from typing import Any

import pytest

from evalkit.tracing.collector import Collector
from evalkit.tracing.normalizer import to_trajectory
from evalkit.tracing.steps import MAX_JSON, as_json, step
from evalkit.trajectory import Step, Trajectory


class Recorder:
    """Gives the trajectory of what was called so far."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened

    def trajectory(self) -> Trajectory:
        return to_trajectory(self._opened.take())

    def only(self) -> Step:
        [found] = self.trajectory().steps
        return found


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Collector() as collector:
        collector.ensure_provider()
        with collector.trial() as opened:
            yield Recorder(opened)


def test_decorated_function(recorder: Recorder) -> None:
    @step("retriever", "policies")
    def find(domain: str, *, limit: int = 5) -> list[str]:
        """Finds policies."""
        return [domain] * limit

    assert find("vendor", limit=2) == ["vendor", "vendor"]
    assert (find.__name__, find.__doc__) == ("find", "Finds policies.")
    found = recorder.only()
    assert (found.kind, found.name) == ("retriever", "policies")
    assert (found.arguments, found.output) == (
        {"domain": "vendor", "limit": 2},
        ["vendor", "vendor"],
    )


def test_decorated_without_brackets_is_a_node(recorder: Recorder) -> None:
    @step
    def classify(text: str) -> str:
        return "refund"

    classify("x")
    assert recorder.only().label == "node classify"


def test_decorated_coroutine_stays_one_and_nests(recorder: Recorder) -> None:
    @step("tool")
    async def inner(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    @step("workflow")
    async def outer() -> int:
        first, second = await asyncio.gather(inner(1), inner(2))
        return first + second

    assert inspect.iscoroutinefunction(inner)
    assert asyncio.run(outer()) == 5
    found = recorder.only()
    assert [child.arguments for child in found.steps] == [{"x": 1}, {"x": 2}]
    assert found.output == 5


def test_method_is_recorded_without_self(recorder: Recorder) -> None:
    class Shop:
        @step("tool")
        def buy(self, sku: str) -> None: ...

    Shop().buy("a")
    assert recorder.only().arguments == {"sku": "a"}


def test_context_manager_for_a_model_call(recorder: Recorder) -> None:
    with step("llm", "answer", model_requested="m") as call:
        call.output = "yes"
        call.model_served = "m-2"
        call.tokens_in, call.tokens_out = 12, 3
        call.cost_usd = 0.5
        call.stop_reason = "stop"
        call.route = "refund"
        call.said = "Yes, you can."
    found = recorder.trajectory()
    [llm] = found.steps
    assert (llm.model_requested, llm.model_served) == ("m", "m-2")
    assert (llm.tokens_in, llm.tokens_out, llm.cost_usd) == (12, 3, 0.5)
    assert (found.route, found.said, found.stop_reason) == ("refund", ("Yes, you can.",), "stop")


def test_an_exception_is_an_error_and_goes_on(recorder: Recorder) -> None:
    @step("tool")
    def fails(x: int) -> None:
        raise TimeoutError("no answer in 50 ms")

    with pytest.raises(TimeoutError):
        fails(1)
    found = recorder.only()
    assert (found.status, found.error) == ("error", "no answer in 50 ms")
    assert found.arguments == {"x": 1}


def test_wrong_call_fails_as_it_would_without(recorder: Recorder) -> None:
    @step("tool")
    def one(x: int) -> None: ...

    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        one()  # type: ignore[call-arg]  # this is the point


def test_unknown_kind_and_field_say_what_is_known() -> None:
    with pytest.raises(ValueError, match="one of workflow, agent, node"):
        step("tol")  # type: ignore[arg-type, call-overload]  # this is the point
    with pytest.raises(TypeError, match="step\\(\\) has no tokens_inn; known: actor"):
        step("llm", tokens_inn=3)


def test_without_tracing_it_does_nothing() -> None:
    @step("tool")
    def plain(x: int) -> int:
        return x

    assert plain(3) == 3


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_json_is_bounded_and_never_raises() -> None:
    looped: list[Any] = []
    looped.append(looped)
    assert as_json({"a": 1, "b": [2.5, None]}) == '{"a":1,"b":[2.5,null]}'
    assert as_json(math.nan) == "null"
    assert "[...]" in as_json(looped)
    assert as_json(Odd()) == '"<Odd>"'
    assert as_json({(1, 2): "a"})
    assert as_json("\ud800")
    assert len(as_json("x" * 2 * MAX_JSON)) < MAX_JSON + 100
