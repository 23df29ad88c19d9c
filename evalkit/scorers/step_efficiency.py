"""Did it get there without surplus steps, and if not, what were they?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Literal

from evalkit import unrecorded
from evalkit.dataset import Case, Limits
from evalkit.expectation import is_for_agent, named_kinds
from evalkit.matching import Alignment, align
from evalkit.plans import Row
from evalkit.results import Finding, Score, could_not_judge, nothing_to_judge
from evalkit.suite import Effects
from evalkit.trajectory import Step, Trajectory
from evalkit.values import canonical

NAME = "step_efficiency"
MAX_FINDINGS = 100
MAX_PERIOD = 32
"""Loops of longer sequences are not looked for."""

Cause = Literal["duplicate", "retry", "loop", "fallback", "detour"]


def step_efficiency(case: Case, trajectory: Trajectory, /) -> Score:
    """necessary / (necessary + surplus), in [0, 1]; 1 and passed: no surplus step.

    ``necessary`` are the expected steps that are not optional, done or not. ``surplus`` are those
    of the steps taken that no expected one accounts for; ``taken`` are the considered actual steps
    (see :mod:`evalkit.matching`) without those that enclose others and without optional ones.
    A step that is missing does not make room for another. Where nothing necessary happened at all
    the value is 0: doing nothing is not efficient. Nothing expected and nothing done is nothing to
    judge; nothing expected and something done, 0. Could not judge: the case names tools or
    handoffs, which the trace does not record.

    Each surplus step has exactly one cause, the first that fits: ``loop`` (it repeats, call by
    call, the sequence of two or more different steps right before it), ``duplicate`` (as an
    earlier step that succeeded), ``retry`` (as an earlier step that failed), ``fallback`` (right
    after a failed step, with another name or model), ``detour``. Steps are alike if kind, name,
    arguments and the model asked for are.
    """
    if not case.expect.references:
        return nothing_to_judge(NAME, "the case states no expected steps")
    if unknown := unrecorded.why(trajectory, unrecorded.CALLS & named_kinds(case.expect)):
        return could_not_judge(NAME, unknown)
    alignment = align(
        case.expect,
        trajectory,
        Effects(),
        mode="unordered",
        view=None if is_for_agent(case.expect) else _agents,
        ordered=False,
    )
    taken = len(_taken(alignment))
    necessary = len(alignment.necessary)
    if not necessary and not taken:
        return nothing_to_judge(NAME, "no step was necessary and none was taken")
    surplus = _causes(alignment)
    happened = len(alignment.missing) < necessary
    return Score(
        NAME,
        necessary / (necessary + len(surplus)) if happened else 0.0,
        happened and not surplus,
        _reason(necessary, taken, happened, surplus),
        tuple(
            Finding(cause, alignment.step(number).label, step=number)
            for number, cause in list(surplus.items())[:MAX_FINDINGS]
        ),
        data={
            "necessary": necessary,
            "taken": taken,
            "causes": dict(Counter(surplus.values())),
            "surplus": _spent([alignment.step(number) for number in surplus]) if surplus else {},
            "beyond": _beyond(case.expect.limits, trajectory),
        },
    )


def _agents(row: Row) -> Row | None:
    """What the agent has to do; one that the user may do as well is optional."""
    mine = tuple(one for one in row.alternatives if one.actor == "agent")
    if len(mine) == len(row.alternatives):
        return row
    return Row(row.position, mine, optional=True) if mine else None


def _spent(steps: Sequence[Step]) -> dict[str, float]:
    """What the surplus steps took: tokens, US dollars and seconds, as far as they tell."""
    tokens = [sum(filter(None, (step.tokens_in, step.tokens_out))) for step in steps]
    seconds = [
        max(0, step.end_ns - step.start_ns) / 1e9
        for step in steps
        if step.start_ns is not None and step.end_ns is not None
    ]
    return {
        "tokens": sum(tokens),
        "cost_usd": sum(step.cost_usd or 0.0 for step in steps),
        "seconds": sum(seconds),
    }


def _beyond(limits: Limits | None, trajectory: Trajectory) -> dict[str, float]:
    """Tokens, US dollars and seconds of the trial beyond what the case's limits state."""
    if limits is None:
        return {}
    found: dict[str, float] = {}
    tokens_in, tokens_out = trajectory.tokens_in, trajectory.tokens_out
    if limits.tokens is not None and (tokens_in is not None or tokens_out is not None):
        found["tokens"] = max(0, (tokens_in or 0) + (tokens_out or 0) - limits.tokens)
    if limits.cost_usd is not None and (cost := trajectory.cost_usd) is not None:
        found["cost_usd"] = max(0.0, cost - limits.cost_usd)
    ends = [step.end_ns for step in trajectory.steps if step.end_ns is not None]
    starts = [step.start_ns for step in trajectory.steps if step.start_ns is not None]
    if limits.seconds is not None and starts and ends:
        found["seconds"] = max(0.0, (max(ends) - min(starts)) / 1e9 - limits.seconds)
    return found


def _taken(alignment: Alignment) -> list[int]:
    """What was done, in order: considered steps but the user's, and those that may happen as well.

    Of a step that may come more often than it must, the first count.
    """
    due = Counter(alignment.necessary)
    free = set()
    for pair in alignment.pairs:
        if due[pair.expected] > 0:
            due[pair.expected] -= 1
        else:
            free.add(pair.step)
    steps = alignment.steps
    return [
        number
        for number in alignment.considered
        if number not in free and steps[number].actor == "agent"
    ]


def _reason(necessary: int, taken: int, happened: bool, surplus: dict[int, Cause]) -> str:
    if not necessary:
        return f"no step was necessary, {taken} taken"
    if not happened:
        return f"none of the {necessary} necessary steps happened"
    if not surplus:
        return "no surplus step"
    counts = Counter(surplus.values()).most_common()
    causes = ", ".join(f"{count} {cause}" for cause, count in counts)
    return f"{len(surplus)} surplus of {taken} steps ({causes}); {necessary} necessary"


# --- causes -------------------------------------------------------------------------------


def _causes(alignment: Alignment) -> dict[int, Cause]:
    """The cause of each surplus step, by its number in the walk."""
    if not alignment.unexpected:
        return {}
    surplus = set(alignment.unexpected)
    steps = [alignment.step(number) for number in alignment.considered]
    named = [(step.kind, step.name, step.model_requested) for step in steps]
    places = [place for place, number in enumerate(alignment.considered) if number in surplus]
    looping = _looping(steps, named, places)
    doubtful = {named[place] for place in places}
    succeeded: set[Hashable] = set()
    failed: set[Hashable] = set()
    causes: dict[int, Cause] = {}
    for place, number in enumerate(alignment.considered):
        if named[place] not in doubtful:
            continue
        likeness = named[place], canonical(steps[place].arguments)
        if number in surplus:
            if place in looping:
                causes[number] = "loop"
            elif likeness in succeeded:
                causes[number] = "duplicate"
            elif likeness in failed:
                causes[number] = "retry"
            else:
                causes[number] = "fallback" if _falls_back(steps, place) else "detour"
        (failed if steps[place].status == "error" else succeeded).add(likeness)
    return causes


def _looping(steps: Sequence[Step], named: Sequence[Hashable], surplus: Sequence[int]) -> set[int]:
    """Places that repeat the sequence of two or more different steps right before it.

    Arguments are read only where the names alone repeat and surplus steps are among them.
    """
    if _repeated(named, least=1).isdisjoint(surplus):
        return set()
    return _repeated(
        [(name, canonical(step.arguments)) for name, step in zip(named, steps, strict=True)]
    )


def _repeated(likeness: Sequence[Hashable], least: int = 2) -> set[int]:
    """Places that repeat the sequence, of at least so many different ones, right before it."""
    numbers: dict[Hashable, int] = {}
    series = [numbers.setdefault(one, len(numbers)) for one in likeness]
    found: set[int] = set()
    if len(numbers) == len(series):  # none is alike any other
        return found
    for period in range(2, min(MAX_PERIOD, len(series) // 2) + 1):
        repeated = 0
        for place in range(period, len(series)):
            repeated = repeated + 1 if series[place] == series[place - period] else 0
            if repeated >= period and len(set(series[place - period + 1 : place + 1])) >= least:
                found.update(range(place - period + 1, place + 1))
    return found


def _falls_back(steps: Sequence[Step], place: int) -> bool:
    if not place or steps[place - 1].status != "error":
        return False
    before, step = steps[place - 1], steps[place]
    return before.name != step.name or before.model_requested != step.model_requested
