"""The policy on silent fallback: another model or step answered, and nothing says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from evalkit.dataset import Case, ExpectedStep
from evalkit.model_names import Aliases, served_evidence
from evalkit.predicates import holds
from evalkit.results import Finding, Score, could_not_judge
from evalkit.scorers.policies.naming import (
    Placed,
    Ruling,
    StepNames,
    breach,
    placed,
    rule,
    stated,
    unshown,
    visits_of,
)
from evalkit.trajectory import Trajectory


def silent_fallback(
    case: Case,
    trajectory: Trajectory,
    /,
    *,
    aliases: dict[str, tuple[str, ...]] | None = None,
    models: tuple[str, ...] = (),
    fallbacks: dict[str, tuple[str, ...]] | None = None,
    disclosed_by: StepNames = (),
    disclosed_in: Any = None,
) -> Score:
    """The model asked for is the model that answered, or something says that it was not.

    By identity, see :func:`evalkit.model_names.served_evidence`: ``aliases`` says which models
    may answer for a name of one's own (``primary: [gpt-4o]``). ``models`` are
    those that the pipeline is meant to ask; asking another is a fallback too, and so is a model
    that succeeds after another one failed beside it. ``fallbacks`` names steps that stand in for
    another: ``{live_price: [cached_price]}``. A fallback is not silent if a step of
    ``disclosed_by`` follows it, or the answer holds ``disclosed_in`` (a plain value or predicate).
    Could not judge: a model step does not tell what was asked for or what was served, or steps that
    have a stand-in, or stand in, are not recorded. Nothing to
    judge: no model step, and no step that has a stand-in.
    """
    visits = placed(trajectory)
    calls = [visit for visit in visits if _is_call(visit)]
    named = {name: tuple(listed) for name, listed in (fallbacks or {}).items()}
    primary = [visit for visit in visits if visit.step.name in named]
    stand_ins = {name for listed in named.values() for name in listed}
    standing_in = [visit for visit in visits if visit.step.name in stand_ins]
    broken = [
        *_other_models(calls, aliases or {}, models),
        *_after_failures(calls, aliases or {}),
        *_stand_ins(standing_in),
    ]
    if broken and _is_disclosed(trajectory, broken, disclosed_by, disclosed_in):
        broken = []
    unknown = [
        f"the trace does not tell which model {what} {visit.step.label}"
        for visit in calls
        if visit.step.status == "ok"
        for what, known in (
            ("was asked for in", visit.step.model_requested),
            ("answered", visit.step.model_served),
        )
        if known is None
    ]
    stated_in = [ExpectedStep(step=name) for name in (*named, *stand_ins)]
    unknown += unshown(trajectory, stated_in)
    if broken or calls or primary or standing_in:
        found = {one.step: one for one in reversed(broken)}  # the first reason of each step
        ruling = Ruling(len(calls) + len(primary) + len(standing_in), list(found.values()), unknown)
        return rule("silent_fallback", trajectory, ruling, "no model was called", certain=True)
    if not trajectory.steps and not case.expect.calls_nothing:
        return could_not_judge("silent_fallback", "the trace has no steps")
    return rule("silent_fallback", trajectory, Ruling(0, [], unknown), "no model was called")


def _is_call(visit: Placed) -> bool:
    """A model step of the agent's that is no wrapper around others."""
    step = visit.step
    return (
        step.kind == "llm"
        and step.actor == "agent"
        and not any(child.kind == "llm" for child in step.steps)
    )


def _other_models(
    calls: Sequence[Placed], aliases: Aliases, models: Sequence[str]
) -> Iterator[Finding]:
    for visit in calls:
        asked, served = visit.step.model_requested, visit.step.model_served
        if visit.step.status != "ok":
            continue
        if served_evidence(asked, served, aliases) == "mismatch":
            detail = f"{str(asked)[:100]} was asked for, {str(served)[:100]} answered"
            yield breach("fallback", visit, detail)
        asked = asked if asked is not None else served
        if models and asked is not None and not _is_one_of(asked, models, aliases):
            detail = f"{asked[:100]} was asked, the pipeline's is {', '.join(models)}"
            yield breach("fallback", visit, detail)


def _is_one_of(asked: str, models: Sequence[str], aliases: Aliases) -> bool:
    return any(served_evidence(model, asked, aliases) == "match" for model in models)


def _after_failures(calls: Sequence[Placed], aliases: Aliases) -> Iterator[Finding]:
    """Models that succeeded where another one, under the same parent, had just failed."""
    failed: dict[int | None, str] = {}
    for visit in calls:
        asked = visit.step.model_requested or visit.step.model_served
        if asked is None:
            continue
        if visit.step.status == "error":
            failed.setdefault(visit.parent, asked)
            continue
        first = failed.pop(visit.parent, None)
        if first is not None and served_evidence(first, asked, aliases) == "mismatch":
            yield breach("fallback", visit, f"{asked[:100]} answered after {first[:100]} failed")


def _stand_ins(visits: Sequence[Placed]) -> Iterator[Finding]:
    for visit in visits:
        if visit.step.status == "ok":
            yield breach("fallback", visit, f"{visit.step.label} stood in")


def _is_disclosed(
    trajectory: Trajectory, broken: Sequence[Finding], by: StepNames, within: Any
) -> bool:
    if within is not None and holds(within, trajectory.output):
        return True
    told = visits_of(trajectory, by)[0] if stated(by) else []
    last = max(one.step or 0 for one in broken)
    return any(one.number > last for one in told)
