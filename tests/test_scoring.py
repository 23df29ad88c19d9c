"""Scorers are checked when bound, and their failures are data."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evalkit.dataset import Case, Expected, OutcomeCheck
from evalkit.errors import PluginError
from evalkit.results import Score
from evalkit.scoring import BoundScorer, bind, score_trial, score_trial_async
from evalkit.suite import DEFAULT_SCORERS, Effects, ScorerUse
from evalkit.trajectory import Trajectory

CASE = Case(id="c", input="?", route="r")
DONE = Trajectory(route="r")

SCORERS = """
import asyncio
from evalkit.results import Score
def strict(case, trajectory, /, *, threshold: float = 0.5, effects=None):
    return Score("strict", threshold, effects.write == ("w",), "ok")
def one_argument(case): ...
async def waits(case, trajectory, *, seconds: float = 0):
    await asyncio.sleep(seconds)
    return Score("waits", 1.0, True, "ok")
async def streams(case, trajectory):
    yield
def loops(case, trajectory):
    while True: pass
def exits(case, trajectory):
    raise ValueError("no")
def late(case, trajectory):
    raise TimeoutError("mine")
class Shape: ...
number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bound_scorers.py").write_text(SCORERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def bound(function: Any, name: str = "mine", wants: str | None = None) -> BoundScorer:
    return BoundScorer(name, function, {}, wants)


def test_built_in_scorers_bind_and_score() -> None:
    scorers = bind([ScorerUse(name) for name in reversed(DEFAULT_SCORERS)], Effects(), None)
    listed = score_trial(CASE, DONE, scorers)
    assert [score.scorer for score in listed] == list(reversed(DEFAULT_SCORERS))
    scores = {score.scorer: score for score in listed}
    cut_off = Expected(outcome=(OutcomeCheck(finished=True),))
    first = score_trial(msgspec.structs.replace(CASE, expect=cut_off), DONE, scorers)
    parts = {score.scorer: score for score in first}["trajectory_score"].data["parts"]
    assert parts == {"task_completion": 1.0}, "it is applied last, wherever it is listed"
    assert set(scores) == set(DEFAULT_SCORERS)
    assert scores["routing"].value == 1
    assert scores["trajectory_match"].status == "nothing_to_judge"


def test_arguments_and_effects_are_given(folder: Path) -> None:
    use = ScorerUse("bound_scorers:strict", {"threshold": 0.25})
    (score,) = score_trial(CASE, DONE, bind([use], Effects(write=("w",)), folder))
    assert (score.scorer, score.value, score.passed) == ("strict", 0.25, True)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (ScorerUse("bound_scorers:strict", {"treshold": 1}), "'treshold'; it has: threshold"),
        (ScorerUse("bound_scorers:strict", {"effects": 1}), "effects"),
        (ScorerUse("bound_scorers:one_argument"), "can't be called"),
        (ScorerUse("bound_scorers:streams"), "async generator"),
        (ScorerUse("bound_scorers:strict", {"threshold": "high"}), "argument 'threshold'"),
        (ScorerUse("bound_scorers:Shape"), "a class"),
        (ScorerUse("bound_scorers:number"), "a int"),
        (ScorerUse("task_complete"), "task_completion"),
    ],
)
def test_a_scorer_of_the_wrong_shape_is_refused(use: ScorerUse, message: str, folder: Path) -> None:
    with pytest.raises(PluginError, match="scorer") as caught:
        bind([use], Effects(), folder)
    assert message in str(caught.value)


def test_a_scorer_listed_twice_is_refused() -> None:
    with pytest.raises(PluginError, match="twice"):
        bind([ScorerUse("routing"), ScorerUse("routing")], Effects(), None)


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def raises(error: BaseException) -> Any:
    def scorer(case: Case, trajectory: Trajectory) -> Score:
        raise error

    return scorer


def endless(case: Case, trajectory: Trajectory) -> Iterator[Score]:
    number = 0
    while True:
        number += 1
        yield Score(f"s{number}", 1.0, True, "")


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (raises(ValueError("no\nway" * 1000)), "ValueError: no way"),
        (raises(RecursionError("deep")), "RecursionError"),
        (raises(GeneratorExit()), "GeneratorExit"),
        (raises(Odd()), "Odd: no message"),
        (lambda case, trajectory: 0.5, "returned a float"),
        (lambda case, trajectory: None, "returned a NoneType"),
        (lambda case, trajectory: {"value": 1}, "returned a dict"),
        (lambda case, trajectory: [], "returned no score"),
        (lambda case, trajectory: [1], "int among"),
        (lambda case, trajectory: Score("x", float("nan"), True, ""), "not in [0, 1]"),
        (lambda case, trajectory: Score("x", 1.0, "yes", ""), "bool"),
        (lambda case, trajectory: Score("x", 1.0, True, "", data={"a": object()}), "object"),
        (lambda case, trajectory: Score("x", 1.0, True, "", data={"a": nested(9999)}), "Recursion"),
        (lambda case, trajectory: [Score("x", 1.0, True, "")] * 2, "second score named 'x'"),
        (endless, "more than 100"),
    ],
)
def test_a_scorer_that_fails_could_not_judge_and_others_go_on(function: Any, message: str) -> None:
    good = bound(lambda case, trajectory: Score("good", 1.0, True, "fine"), "good")
    bad, fine = score_trial(CASE, DONE, [bound(function), good])
    assert (bad.scorer, bad.status, bad.value, bad.passed) == (
        "mine",
        "could_not_judge",
        None,
        None,
    )
    assert message in bad.reason
    assert len(bad.reason) < 500
    assert "\n" not in bad.reason
    assert fine.value == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_must_stop_the_run_stops_it(error: type[BaseException]) -> None:
    with pytest.raises(error):
        score_trial(CASE, DONE, [bound(raises(error()))])


def test_a_coroutine_is_closed_and_refused() -> None:
    async def late() -> None: ...

    (score,) = score_trial(CASE, DONE, [bound(lambda case, trajectory: late())])
    assert "coroutine" in score.reason


def test_several_scores_and_scores_so_far() -> None:
    def two(case: Case, trajectory: Trajectory) -> list[Score]:
        return [Score("p", 1.0, True, ""), Score("q", 0.0, False, "")]

    def sees(case: Case, trajectory: Trajectory, *, scores: Mapping[str, Score]) -> Score:
        return Score("sees", 1.0, sorted(scores) == ["p", "q"], "")

    found = score_trial(CASE, DONE, [bound(two), bound(sees, "sees", wants="scores")])
    assert [score.scorer for score in found] == ["p", "q", "sees"]
    assert found[-1].passed


# --- asynchronous and endless scorers --------------------------------------------------------


def own(folder: Path, *uses: ScorerUse, timeout: float = 5) -> dict[str, Score]:
    bound_here = bind(uses, Effects(), folder)
    scores = asyncio.run(score_trial_async(CASE, DONE, bound_here, timeout=timeout))
    return {score.scorer: score for score in scores}


def test_asynchronous_scorers_are_awaited_beside_others(folder: Path) -> None:
    uses = [ScorerUse("routing"), ScorerUse("bound_scorers:waits"), ScorerUse("trajectory_score")]
    found = own(folder, *uses)
    assert {name: score.status for name, score in found.items()} == {
        "routing": "scored",
        "waits": "scored",
        "trajectory_score": "nothing_to_judge",
    }


@pytest.mark.parametrize(
    "use", [ScorerUse("bound_scorers:loops"), ScorerUse("bound_scorers:waits", {"seconds": 60})]
)
def test_a_scorer_that_does_not_return_could_not_judge_and_stops(
    folder: Path, use: ScorerUse
) -> None:
    before = threading.active_count()
    found = own(folder, use, ScorerUse("routing"), timeout=0.1)
    name = use.name.partition(":")[2]
    assert (found[name].status, found[name].reason) == (
        "could_not_judge",
        "did not return within 0.1 s",
    )
    assert found["routing"].passed
    while threading.active_count() > before:  # the thread of the endless one ends, or this hangs
        time.sleep(0.01)


def test_what_a_scorer_of_ones_own_raises_is_its_reason(folder: Path) -> None:
    found = own(folder, ScorerUse("bound_scorers:exits"), ScorerUse("bound_scorers:late"))
    assert found["exits"].reason == "ValueError: no"
    assert found["late"].reason == "TimeoutError: mine"


def test_evalkits_own_scorers_take_no_thread() -> None:
    scorers = bind([ScorerUse(name) for name in DEFAULT_SCORERS], Effects(), None)
    assert not any(scorer.bounded or scorer.is_async for scorer in scorers)
    direct = score_trial(CASE, DONE, scorers)
    assert asyncio.run(score_trial_async(CASE, DONE, scorers)) == direct
