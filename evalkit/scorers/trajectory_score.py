"""One number for a trial: outcome, economy and choice of tools together."""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.dataset import Case
from evalkit.results import Score, could_not_judge, nothing_to_judge
from evalkit.trajectory import Trajectory

NAME = "trajectory_score"
WEIGHTS = {"task_completion": 0.4, "step_efficiency": 0.3, "tool_selection": 0.3}


def trajectory_score(
    case: Case, trajectory: Trajectory, /, *, scores: Mapping[str, Score]
) -> Score:
    """The weighted mean of task_completion (0.4), step_efficiency and tool_selection (0.3 each).

    Weights are renormalised over what was scored; passed: all of that passed. Could not judge
    if one of them could not. These scorers must be in the suite to count.
    """
    parts = {name: scores[name] for name in WEIGHTS if name in scores}
    for name, score in parts.items():
        if score.status == "could_not_judge":
            return could_not_judge(NAME, f"{name} could not judge: {score.reason}")
    scored = {name: score for name, score in parts.items() if score.value is not None}
    if not scored:
        return nothing_to_judge(NAME, f"none of {', '.join(WEIGHTS)} was scored")
    total = sum(WEIGHTS[name] for name in scored)
    value = sum(WEIGHTS[name] * (score.value or 0.0) for name, score in scored.items()) / total
    failed = [name for name, score in scored.items() if not score.passed]
    reason = f"failed: {', '.join(failed)}" if failed else f"passed: {', '.join(scored)}"
    return Score(
        NAME,
        min(1.0, value),
        not failed,
        reason,
        data={"parts": {name: score.value for name, score in scored.items()}},
    )
