"""Did the trial stay within the case's limits?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from evalkit import unrecorded
from evalkit.dataset import Case, Limits
from evalkit.expectation import ANY_KIND, named_kinds
from evalkit.results import Finding, Score, could_not_judge, nothing_to_judge
from evalkit.trajectory import Trajectory

NAME = "limits"


class _Taken(NamedTuple):
    """What was taken, as far as it is recorded: all of it, or at least so much."""

    known: float | None
    all: bool = True

    def __str__(self) -> str:
        return f"{'' if self.all else 'at least '}{self.known:g}"


class _Limit(NamedTuple):
    name: str
    most: float
    taken: _Taken

    @property
    def is_broken(self) -> bool:
        """For certain: by what is known alone."""
        return self.taken.known is not None and self.taken.known > self.most

    @property
    def is_kept(self) -> bool:
        return self.taken.known is not None and self.taken.all and not self.is_broken


def limits(case: Case, trajectory: Trajectory, /) -> Score:
    """The share of stated limits that hold, of those of which it is known; passed: all do.

    ``steps`` counts the agent's steps of the kinds that the expectation names (every kind but
    workflow if it states no steps); ``tokens`` is prompt and completion; ``seconds`` goes from
    the earliest start of a step to the latest end. A limit that is broken by what is recorded
    decides. Else, could not judge: a limit is stated on what the trace does not record, be it of
    one model step that succeeded.
    """
    stated = case.expect.limits
    checks = [] if stated is None else list(_taken(case, stated, trajectory))
    if not checks:
        return nothing_to_judge(NAME, "the case states no limits")
    over = [one for one in checks if one.is_broken]
    kept = [one for one in checks if one.is_kept]
    if not over and len(kept) < len(checks):
        unknown = " and ".join(_untold(one) for one in checks if not one.is_kept)
        return could_not_judge(NAME, f"the trace does not record {unknown}")
    said = [f"{one.taken} {one.name}, at most {one.most:g} allowed" for one in over]
    return Score(
        NAME,
        len(kept) / (len(kept) + len(over)),
        not over,
        "; ".join(said) or "within all limits",
        tuple(
            Finding("failed", f"limit {one.name}", detail=detail)
            for one, detail in zip(over, said, strict=True)
        ),
        data={"taken": {one.name: one.taken.known for one in (*kept, *over)}},
    )


def _untold(one: _Limit) -> str:
    if one.name == "steps":
        return "all steps"
    return one.name if one.taken.known is None else f"the {one.name} of every model step"


def _taken(case: Case, stated: Limits, trajectory: Trajectory) -> Iterator[_Limit]:
    if stated.steps is not None:
        yield _Limit("steps", stated.steps, _steps(case, trajectory))
    if stated.tokens is not None:
        yield _Limit("tokens", stated.tokens, _tokens(trajectory))
    if stated.cost_usd is not None:
        yield _Limit("US dollars", stated.cost_usd, _summed(trajectory, "cost_usd"))
    if stated.seconds is not None:
        yield _Limit("seconds", stated.seconds, _Taken(_seconds(trajectory)))


def _steps(case: Case, trajectory: Trajectory) -> _Taken:
    kinds = named_kinds(case.expect) if case.expect.references else ANY_KIND
    known = sum(
        visit.step.actor == "agent" and visit.step.kind in kinds for visit in trajectory.walk()
    )
    return _Taken(known, unrecorded.why(trajectory, unrecorded.CALLS & kinds) is None)


def _tokens(trajectory: Trajectory) -> _Taken:
    both = [_summed(trajectory, field) for field in ("tokens_in", "tokens_out")]
    known = [one.known for one in both if one.known is not None]
    return _Taken(sum(known) if known else None, len(known) == 2 and all(one.all for one in both))


def _summed(trajectory: Trajectory, field: str) -> _Taken:
    """A field's sum, and whether it is of every model step that succeeded."""
    return _Taken(*trajectory.total(field))


def _seconds(trajectory: Trajectory) -> float | None:
    steps = [visit.step for visit in trajectory.walk()]
    starts = [step.start_ns for step in steps if step.start_ns is not None]
    ends = [step.end_ns for step in steps if step.end_ns is not None]
    return max(0.0, (max(ends) - min(starts)) / 1e9) if starts and ends else None
