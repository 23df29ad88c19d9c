"""Did the trial stay within the case's limits?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from evalkit.dataset import Case, Limits
from evalkit.expectation import ANY_KIND, named_kinds
from evalkit.results import Finding, Score, could_not_judge, nothing_to_judge
from evalkit.trajectory import Trajectory

NAME = "limits"


class _Limit(NamedTuple):
    name: str
    most: float
    taken: float | None


def limits(case: Case, trajectory: Trajectory, /) -> Score:
    """The share of stated limits that hold; passed: all do.

    ``steps`` counts the agent's steps of the kinds that the expectation names (every kind but
    workflow if it states no steps); ``tokens`` is prompt and completion; ``seconds`` goes from
    the earliest start of a step to the latest end. Could not judge: a limit is stated on what
    the trace does not record.
    """
    stated = case.expect.limits
    checks = [] if stated is None else list(_taken(case, stated, trajectory))
    if not checks:
        return nothing_to_judge(NAME, "the case states no limits")
    unknown = [one.name for one in checks if one.taken is None]
    if unknown:
        return could_not_judge(NAME, f"the trace does not record {' and '.join(unknown)}")
    over = [one for one in checks if one.taken is not None and one.taken > one.most]
    said = [f"{one.taken:g} {one.name}, at most {one.most:g} allowed" for one in over]
    return Score(
        NAME,
        1 - len(over) / len(checks),
        not over,
        "; ".join(said) or "within all limits",
        tuple(
            Finding("failed", f"limit {one.name}", detail=detail)
            for one, detail in zip(over, said, strict=True)
        ),
        data={"taken": {one.name: one.taken for one in checks}},
    )


def _taken(case: Case, stated: Limits, trajectory: Trajectory) -> Iterator[_Limit]:
    if stated.steps is not None:
        yield _Limit("steps", stated.steps, _steps(case, trajectory))
    if stated.tokens is not None:
        yield _Limit("tokens", stated.tokens, _tokens(trajectory))
    if stated.cost_usd is not None:
        yield _Limit("US dollars", stated.cost_usd, trajectory.cost_usd)
    if stated.seconds is not None:
        yield _Limit("seconds", stated.seconds, _seconds(trajectory))


def _steps(case: Case, trajectory: Trajectory) -> int:
    kinds = named_kinds(case.expect) if case.expect.references else ANY_KIND
    return sum(
        visit.step.actor == "agent" and visit.step.kind in kinds for visit in trajectory.walk()
    )


def _tokens(trajectory: Trajectory) -> int | None:
    prompt, completion = trajectory.tokens_in, trajectory.tokens_out
    return None if prompt is None or completion is None else prompt + completion


def _seconds(trajectory: Trajectory) -> float | None:
    steps = [visit.step for visit in trajectory.walk()]
    starts = [step.start_ns for step in steps if step.start_ns is not None]
    ends = [step.end_ns for step in steps if step.end_ns is not None]
    return max(0.0, (max(ends) - min(starts)) / 1e9) if starts and ends else None
