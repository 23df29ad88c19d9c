"""Path scores agree with what is known of recorded agent runs, and stay there."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from evalkit.trajectory import Step, Trajectory

ROOT = Path(__file__).parents[2]
RUNS = ROOT.parent / "shared" / "data" / "trajectories"


@pytest.fixture(scope="module")
def agreement() -> Any:
    path = list(sys.path)
    try:
        yield runpy.run_path(str(ROOT / "benchmarks" / "scoring" / "agreement.py"))
    finally:
        sys.path[:] = path
        sys.modules.pop("recorded", None)


@pytest.mark.slow
def test_the_default_configuration_foretells_the_reward(agreement: Any) -> None:
    if not RUNS.exists():
        pytest.skip("the recorded runs are not on this machine")
    runs = [run for run in agreement["read_all"](RUNS) if agreement["could_judge"](run)]
    judged = [agreement["judge"](run) for run in runs]
    assert len(judged) == 973
    solved = [run.solved for run in runs]
    right = sum(one.passed == truth for one, truth in zip(judged, solved, strict=True))
    assert right / len(judged) >= 0.985
    assert agreement["auc"]([one.value for one in judged], solved) >= 0.988
    stated = [agreement["by_suite"](run) for run in runs]
    assert [one.passed for one in stated] == [one.passed for one in judged]
    assert agreement["auc"]([one.value for one in stated], solved) >= 0.988


@pytest.fixture(scope="module")
def failing_steps() -> Any:
    path = list(sys.path)
    try:
        yield runpy.run_path(str(ROOT / "benchmarks" / "scoring" / "failing_steps.py"))
    finally:
        sys.path[:] = path
        for name in ("recorded", "failures"):
            sys.modules.pop(name, None)


def test_the_step_that_people_blame_is_flagged_more_often_than_by_chance(
    failing_steps: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled = RUNS.parent / "failures"
    if not labelled.exists():
        pytest.skip("the labelled runs are not on this machine")
    failing_steps["main"](labelled)
    rows = {line[:30].strip(): line.split() for line in capsys.readouterr().out.splitlines()}
    assert float(rows["expectation"][3]) >= 0.4
    assert float(rows["expectation"][-2]) > 4 * float(rows["expectation"][-1])


def test_the_chance_of_a_random_step_is_exact(failing_steps: Any) -> None:
    steps = (Step(kind="other", name="x"),) * 4
    runs = [failing_steps["Labelled"](Trajectory(steps=steps), step, {}) for step in (0, 2)]
    assert failing_steps["random_step"](runs, 0) == 0.25
    assert failing_steps["random_step"](runs, 1) == (2 / 4 + 3 / 4) / 2
