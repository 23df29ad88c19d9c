"""Policies on how it ended: the stop reason, the loop cap, and what was handed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalkit import unrecorded
from evalkit.dataset import Case, ExpectedStep
from evalkit.expectation import same_name
from evalkit.predicates import ABSENT, all_hold, at_key
from evalkit.results import Score, could_not_judge
from evalkit.scorers.policies.naming import Placed, Ruling, breach, placed, rule, unshown
from evalkit.trajectory import Trajectory
from evalkit.values import canonical

FINAL = ("stop", "end_turn", "stop_sequence", "complete", "completed", "finished", "eos")
GOING_ON = ("tool_calls", "tool_use", "function_call", "tool_call", "pause_turn")
MAX_PERIOD = 20


def stop_reason(
    case: Case,
    trajectory: Trajectory,
    /,
    *,
    final: tuple[str, ...] = FINAL,
    going_on: tuple[str, ...] = GOING_ON,
    run: tuple[str, ...] = (),
) -> Score:
    """A stop reason is present and allowed, case ignored.

    The last model step that succeeded must stop for one of ``final``, the earlier ones, or one
    that a tool call follows, for one of those or of ``going_on``. A cut-off answer (``length``,
    ``max_tokens``) or a refused one is neither. With ``run``, the whole execution's stop reason
    must be one of it. A step without a reason breaks it where others have one; could not judge:
    the trace records none at all.
    Nothing to judge: no model step, and ``run`` is not set.
    """
    calls = [
        visit
        for visit in placed(trajectory)
        if visit.step.kind == "llm" and visit.step.status == "ok" and visit.step.actor == "agent"
    ]
    calls = [one for one in calls if not any(child.kind == "llm" for child in one.step.steps)]
    if calls and not any(visit.step.stop_reason for visit in calls):
        return could_not_judge("stop_reason", "the trace records no stop reason of a model")
    if run and not trajectory.stop_reason:
        return could_not_judge("stop_reason", "the trace records no stop reason of the whole")
    broken = []
    for visit in calls:
        goes_on = visit is not calls[-1] or _acts_later(trajectory, visit)
        allowed = (*final, *going_on) if goes_on else final
        if not _is_one_of(visit.step.stop_reason, allowed):
            found = visit.step.stop_reason or "nothing"
            detail = f"{visit.step.label} stopped for {found[:100]}; allowed: {', '.join(allowed)}"
            broken.append(breach("failed", visit, detail))
    if run and not _is_one_of(trajectory.stop_reason, run):
        whole = next(iter(placed(trajectory)), None)
        detail = f"the run stopped for {trajectory.stop_reason}; allowed: {', '.join(run)}"
        if whole is None:
            return Score("stop_reason", 0.0, False, detail)
        broken.append(breach("failed", whole, detail))
    applied = len(calls) + bool(run)
    return rule(
        "stop_reason", trajectory, Ruling(applied, broken), "no model was called", certain=True
    )


def _acts_later(trajectory: Trajectory, last: Placed) -> bool:
    """Whether the agent calls a tool after its last model step: that is what it stopped for."""
    later = (visit.step for visit in placed(trajectory) if visit.number > last.number)
    return any(step.kind == "tool" and step.actor == "agent" for step in later)


def _is_one_of(found: str | None, allowed: Sequence[str]) -> bool:
    return found is not None and found.casefold() in {one.casefold() for one in allowed}


def loop_cap(
    case: Case,
    trajectory: Trajectory,
    /,
    *,
    cycles: int = 3,
    most: dict[str, int] | None = None,
) -> Score:
    """The loop cap held.

    ``most`` caps how often a step of a name may happen in all. ``cycles`` is how often in a row
    the same steps with the same arguments may be repeated among siblings, for cycles of 1 to 20
    steps (a, b, a, b, a, b is a cycle of two, three times). Could not judge: nothing is recorded,
    and the case does not ask for that, or no tool calls are.
    """
    if not trajectory.steps and not case.expect.calls_nothing:
        return could_not_judge("loop_cap", "the trace has no steps")
    called = unrecorded.why(trajectory, ("tool",))
    broken, unknown = [], [called] if called else []
    for name, cap in (most or {}).items():
        named = ExpectedStep(step=name)
        times = [visit for visit in placed(trajectory) if same_name(named, visit.step)]
        for over in times[cap : cap + 1]:
            detail = f"{over.step.label} happened {len(times)} times, at most {cap} allowed"
            broken.append(breach("loop", over, detail))
    for visit, period, times_over in _cycles(trajectory, cycles):
        what = "was" if period == 1 else f"and the {period - 1} after it were"
        detail = f"{visit.step.label} {what} repeated {times_over} times in a row, at most {cycles}"
        broken.append(breach("loop", visit, detail))
    ruling = Ruling(1 + len(most or {}), broken, unknown)
    return rule("loop_cap", trajectory, ruling, "", certain=True)


def _cycles(trajectory: Trajectory, cycles: int) -> Iterator[tuple[Placed, int, int]]:
    """Where siblings repeat themselves more often than that: the first step, period, times."""
    siblings: dict[int | None, list[Placed]] = {}
    for visit in placed(trajectory):
        siblings.setdefault(visit.parent, []).append(visit)
    for listed in siblings.values():
        if len(listed) <= cycles:
            continue
        forms = [(one.step.label, canonical(one.step.arguments)) for one in listed]
        yield from _repeated(listed, forms, cycles)


def _repeated(
    listed: Sequence[Placed], forms: Sequence[Any], cycles: int
) -> Iterator[tuple[Placed, int, int]]:
    told = -1
    for period in range(1, min(MAX_PERIOD, len(forms) // 2) + 1):
        length = 0  # of the stretch in which each step equals the one a period earlier
        for at in range(period, len(forms) + 1):
            if at < len(forms) and forms[at] == forms[at - period]:
                length += 1
                continue
            start, times = at - length - period, 1 + length // period
            if times > cycles and start > told:
                told = at - 1
                yield listed[start], period, times
            length = 0


def handoff_fields(
    case: Case,
    trajectory: Trajectory,
    /,
    *,
    fields: dict[str, tuple[str, ...] | dict[str, Any]],
) -> Score:
    """A handoff carried the fields that it had to.

    ``fields`` says for a step's name which of its arguments must be there and not empty, or, as
    in a case, what they must hold (``{amount: {ge: 0}}``). Nothing to judge: no such handoff.
    Could not judge: the trace does not record what was handed over.
    """
    broken, applied = [], 0
    unknown = unshown(trajectory, [ExpectedStep(step=name) for name in fields])
    for visit in placed(trajectory):
        wanted = next((w for name, w in fields.items() if visit.step.name == name), None)
        if wanted is None or visit.step.kind == "workflow":
            continue
        applied += 1
        if visit.step.arguments is None:
            unknown.append(f"the trace does not record the arguments of {visit.step.label}")
        elif lacking := _lacking(wanted, visit.step.arguments):
            detail = f"{visit.step.label} did not carry {', '.join(lacking)}"
            broken.append(breach("wrong_arguments", visit, detail))
    ruling = Ruling(applied, broken, unknown)
    return rule("handoff_fields", trajectory, ruling, "no such handoff", certain=True)


def _lacking(wanted: Sequence[str] | Mapping[str, Any], found: Any) -> list[str]:
    if isinstance(wanted, Mapping):
        return [key for key, value in wanted.items() if not all_hold({key: value}, found)]
    if not isinstance(found, Mapping):
        return list(wanted)
    return [path for path in wanted if at_key(found, path) in (None, "", ABSENT, [], {}, ())]
