"""What the policies share: the steps that a rule names, what came first, and the score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from evalkit import unrecorded
from evalkit.arguments import arguments_hold
from evalkit.arguments import unrecorded as untold
from evalkit.dataset import ExpectedStep
from evalkit.expectation import alternatives, same_name
from evalkit.results import Finding, Score, could_not_judge, nothing_to_judge
from evalkit.trajectory import Step, Trajectory

StepNames = str | ExpectedStep | tuple[str | ExpectedStep, ...]
"""A step by its name, or as a case states it (``{tool: refund, args: ...}``), or several."""

MAX_FINDINGS = 100


MAX_PAIRS = 4_000_000
"""At most so many pairs of steps are compared for one rule."""


class Placed(NamedTuple):
    """A step with its number in pre-order, its parent's, and that of the last step below it."""

    number: int
    last: int
    parent: int | None
    step: Step


class Ruling(NamedTuple):
    """What a rule found: how often it applied, where it was broken, and what it cannot know."""

    applied: int
    broken: Sequence[Finding]
    unknown: Sequence[str] = ()


def stated(names: StepNames) -> tuple[ExpectedStep, ...]:
    """The steps that a rule names; a bare name is of any kind but workflow."""
    listed = names if isinstance(names, tuple) else (names,)
    return tuple(
        one
        for name in listed
        for one in alternatives(ExpectedStep(step=name) if isinstance(name, str) else name)
    )


def is_named(step: Step, named: Iterable[ExpectedStep]) -> bool | None:
    """Whether a step is one of these; None where only its arguments, unrecorded, could tell."""
    found: bool | None = False
    for one in named:
        if not same_name(one, step):
            continue
        if arguments_hold(one.args, step.arguments):
            return True
        if untold(one.args, step.arguments):
            found = None
    return found


def placed(trajectory: Trajectory) -> list[Placed]:
    """Every step in pre-order."""
    visits = list(trajectory.walk())
    last = list(range(len(visits)))
    for visit in reversed(visits):
        if visit.parent is not None:
            last[visit.parent] = max(last[visit.parent], last[visit.number])
    return [Placed(one.number, last[one.number], one.parent, one.step) for one in visits]


def visits_of(trajectory: Trajectory, names: StepNames) -> tuple[list[Placed], list[str]]:
    """The steps of these names, in order; and what cannot be told of others."""
    named = stated(names)
    chosen, unknown = [], unshown(trajectory, named)
    for visit in placed(trajectory):
        verdict = is_named(visit.step, named)
        if verdict:
            chosen.append(visit)
        elif verdict is None:
            unknown.append(f"the trace does not record the arguments of {visit.step.label}")
    return chosen, unknown


def unshown(trajectory: Trajectory, named: Sequence[ExpectedStep]) -> list[str]:
    """Why it is unknown whether some of these steps happened; nothing where the trace tells.

    A step of any kind that is recorded as one is told, but for calls that models asked for and that
    are not seen.
    """
    unknown = unrecorded.of(trajectory)
    if unknown is None:
        return []
    steps = trajectory.flat().steps
    unseen = [one for one in named if not any(same_name(one, step) for step in steps)]
    of_kind = unknown.kinds if any(map(unknown.may_be, unseen)) else ()
    whys = (
        unrecorded.why_kinds(trajectory, of_kind),
        unrecorded.why_calls(trajectory, unknown.asked(named)),
    )
    return [why for why in whys if why]


def succeeded(visits: Iterable[Placed]) -> tuple[list[Placed], list[str]]:
    """Those that succeeded; and of which the trace does not tell."""
    good = [one for one in visits if one.step.status == "ok"]
    why = unrecorded.outcome(one.step for one in good)
    return good, [why] if why else []


def ended_before(first: Placed, then: Placed) -> bool:
    """Whether one step was over when the other began: by their times, else by their order.

    Steps are in order of start; where a time is unknown, a step is over when the next one that
    is not within it starts.
    """
    end, start = first.step.end_ns, then.step.start_ns
    if end is not None and start is not None:
        return end <= start and first.number != then.number
    return first.last < then.number


def is_within(inner: Placed, outer: Placed) -> bool:
    """Whether a step is below another one."""
    return outer.number < inner.number <= outer.last


def too_many(some: Sequence[Any], others: Sequence[Any]) -> list[str]:
    """That the pairs of two lists are too many to compare, if so."""
    if len(some) * len(others) <= MAX_PAIRS:
        return []
    return [f"{len(some)} and {len(others)} steps are too many to compare"]


def describe(names: StepNames) -> str:
    """The named steps, for a person."""
    return " or ".join(one.name or "" if one.kind == "step" else one.label for one in stated(names))


def rule(
    name: str, trajectory: Trajectory, ruling: Ruling, nothing: str, *, certain: bool = False
) -> Score:
    """The score of a policy: 1 and passed if it was never broken, else the share that kept it.

    Could not judge: something is unknown, spans that could not be read included. Only a breach
    that stands by itself (``certain``), and not for want of a step, stands beside it.
    """
    unknown = list(dict.fromkeys(ruling.unknown))
    if lost := trajectory.coverage.quarantined:
        unknown.append(f"{lost} spans of the trace could not be read")
    broken = ruling.broken
    if unknown and not (broken and certain):
        return could_not_judge(name, "; ".join(unknown[:3]))
    if not broken and not ruling.applied:
        return nothing_to_judge(name, nothing)
    more = f"; and {len(broken) - 1} more" if len(broken) > 1 else ""
    applied = max(ruling.applied, len(broken))
    return Score(
        name,
        1 - len(broken) / applied,
        not broken,
        f"{broken[0].detail}{more}" if broken else f"kept all {applied} times it applied",
        tuple(broken[:MAX_FINDINGS]),
        data={"applied": applied, "broken": len(broken)},
    )


def breach(kind: Any, visit: Placed, detail: str) -> Finding:
    """A finding about one step."""
    return Finding(kind, visit.step.label[:200], step=visit.number, detail=detail[:500])
