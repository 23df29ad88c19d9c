"""The weighted mean of what was scored."""

from __future__ import annotations

import pytest

from evalkit.dataset import Case
from evalkit.results import Score, could_not_judge, nothing_to_judge
from evalkit.scorers.trajectory_score import trajectory_score
from evalkit.trajectory import Trajectory

CASE = Case(id="c", input="?", route="r")


def judge(*scores: Score) -> Score:
    return trajectory_score(CASE, Trajectory(), scores={one.scorer: one for one in scores})


def scored(name: str, value: float) -> Score:
    return Score(name, value, value == 1, "")


def test_weights() -> None:
    parts = (
        scored("task_completion", 0),
        scored("step_efficiency", 1),
        scored("tool_selection", 0.5),
    )
    score = judge(*parts, scored("other", 0))
    assert score.value == pytest.approx(0.45)
    assert score.passed is False
    assert score.reason == "failed: task_completion, tool_selection"


def test_weights_are_renormalised_over_what_was_scored() -> None:
    score = judge(scored("task_completion", 1), nothing_to_judge("step_efficiency", "none"))
    assert (score.value, score.passed) == (1, True)
    assert judge(scored("task_completion", 0), scored("tool_selection", 1)).value == pytest.approx(
        3 / 7
    )


def test_nothing_scored_and_could_not_judge() -> None:
    assert judge().status == "nothing_to_judge"
    assert judge(nothing_to_judge("task_completion", "none")).status == "nothing_to_judge"
    failed = judge(scored("task_completion", 1), could_not_judge("tool_selection", "boom"))
    assert failed.status == "could_not_judge"
    assert "boom" in failed.reason
