"""Path scores agree with the true reward of recorded agent runs, and stay there."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

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
