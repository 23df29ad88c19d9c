"""The real state after a trial: read by a suite's function, stored, and compared."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evalkit.dataset import Case, Expected
from evalkit.errors import FileError
from evalkit.results import Trial
from evalkit.runner import run
from evalkit.scorers.end_state import end_state
from evalkit.store import Store
from evalkit.trajectory import EndState, Trajectory
from evalkit.trials import open_trials
from tests.project import CASES, GOOD, load_project

SOURCE = (
    GOOD
    + """
ledger = {}
def answer(request):
    ledger[request["q"]] = look_up(request["q"])
    return {"answer": request["q"] * 2}
def state(case_input, context, answer):
    assert context.case == f"case-{case_input['q']}"
    assert answer["answer"] == case_input["q"] * 2
    return {"entry": ledger[case_input["q"]], "size": len(ledger)}
async def waits(case_input, context, answer):
    return [1]
def raises(case_input, context, answer):
    raise OSError("no database")
def loops(case_input, context, answer):
    while True: pass
def odd(case_input, context, answer):
    return object()
def short(case_input): ...
"""
)


def trials(folder: Path, state: str, expected: Any, **pipeline: Any) -> list[Trial]:
    cases = [
        {**case, "expect": {**case["expect"], "state": expected(case["input"]["q"])}}
        for case in CASES[:2]
    ]
    loaded = load_project(folder, SOURCE, cases=cases, trials=1, pipeline=pipeline)
    module = str(loaded.suite.pipeline.call).partition(":")[0]
    suite = msgspec.structs.replace(
        loaded.suite, state=f"{module}:{state}", scorers=("end_state", "trajectory_match")
    )
    finished = run(loaded._replace(suite=suite), label="x", store=folder / "s")
    return list(Store(folder / "s").trials(finished.id))


def test_the_state_is_read_stored_and_compared(tmp_path: Path) -> None:
    for trial in trials(tmp_path, "state", lambda q: {"entry": q * 2, "size": {"ge": 1}}):
        assert trial.trajectory is not None and trial.trajectory.state is not None
        assert trial.trajectory.state.value["entry"] == int(trial.case[-1]) * 2
        assert len(trial.trajectory.steps) == 1
        assert trial.scores[0].passed, trial.scores[0].reason


def test_the_state_is_read_with_other_settings_too(tmp_path: Path) -> None:
    """As the gate tries a baseline again."""
    loaded = load_project(tmp_path, SOURCE, cases=CASES[:1])
    module = str(loaded.suite.pipeline.call).partition(":")[0]
    suite = msgspec.structs.replace(loaded.suite, state=f"{module}:state")
    with open_trials(suite, tmp_path, {}, None) as opened:
        other = opened.with_settings({"any": 1})
        trial = asyncio.run(other.try_once(loaded.dataset.cases[0], 0))
    assert trial.trajectory is not None and trial.trajectory.state is not None
    assert trial.trajectory.state.value == {"entry": 0, "size": 1}


def test_a_state_that_is_not_as_expected(tmp_path: Path) -> None:
    for trial in trials(tmp_path, "state", lambda q: {"entry": -1}):
        score = trial.scores[0]
        assert (score.passed, score.value) == (False, 0)
        assert "state.entry: expected -1" in score.reason


def test_a_coroutine_function_may_read_it(tmp_path: Path) -> None:
    assert all(trial.scores[0].passed for trial in trials(tmp_path, "waits", lambda q: [1.0]))


@pytest.mark.parametrize(
    ("state", "says"),
    [("raises", "OSError: no database"), ("loops", "within 0.3 s"), ("odd", "object")],
)
def test_a_state_that_cannot_be_read_is_not_judged(tmp_path: Path, state: str, says: str) -> None:
    for trial in trials(tmp_path, state, lambda q: {}, timeout=0.3):
        assert (trial.status, trial.scores[0].status) == ("completed", "could_not_judge")
        assert says in trial.scores[0].reason
        assert trial.scores[1].passed


def test_the_scorer_alone() -> None:
    stated = Case(id="c", input=1, route="r", expect=Expected(state=None))
    assert end_state(stated, Trajectory(state=EndState())).passed
    assert end_state(stated, Trajectory(state=EndState(0))).passed is False
    assert end_state(stated, Trajectory()).status == "could_not_judge"
    assert end_state(Case(id="c", input=1, route="r"), Trajectory()).status == "nothing_to_judge"


def test_what_is_wrong_is_told_before_anything_runs(
    tmp_path: Path,
) -> None:
    case = {**CASES[0], "expect": {"state": {"a": 1}}}
    only = {"scorers": ["trajectory_match"], "gate": {"on": ["trajectory_match"]}}
    with pytest.raises(FileError, match="list task_completion or end_state"):
        load_project(tmp_path, SOURCE, cases=[case], **only)
    (tmp_path / "state_reader.py").write_text("def short(case_input): ...")
    with pytest.raises(FileError, match=r"can't be called as \(input, context, answer\)"):
        load_project(tmp_path, SOURCE, cases=CASES[:1], state="state_reader:short")


def test_scorers_that_count_as_checks_must_be_in_the_suite(tmp_path: Path) -> None:
    case = {**CASES[0], "expect": {"outcome": [{"passed": "jugde"}]}}
    scorers = ["routing", {"task_completion": {"passed": ["trajectory_score"]}}, "trajectory_score"]
    only = {"scorers": scorers, "gate": {"on": ["routing"]}}
    with pytest.raises(FileError) as error:
        load_project(tmp_path, SOURCE, cases=[case], **only)
    said = str(error.value)
    assert "unknown scorer 'jugde'" in said
    assert "trajectory_score itself rests on task_completion" in said
