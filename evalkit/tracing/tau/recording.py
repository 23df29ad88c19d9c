"""A result file of tau-bench or tau2-bench as cases, trials and what became of the rest."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from evalkit.dataset import Case
from evalkit.errors import FileError, Problem
from evalkit.results import Score, Trial, TrialStatus, could_not_judge
from evalkit.suite import Effects
from evalkit.tracing.tau.cases import WRITES, Task, effects_of, find_domain, to_case
from evalkit.tracing.tau.chat import deeper_than, read_chat, to_ns
from evalkit.tracing.tau.files import Aside, ResultsFile, Simulation, read_results
from evalkit.tracing.tau.identity import identify

MAX_DEPTH = 50
SOLVED = 1 - 1e-6
"""The benchmarks call a task solved where its reward is at least this."""

FAILED_RUNS = frozenset({"infrastructure_error"})


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A result file, read. ``asides`` are simulations set aside, each with its reason.

    ``trials`` have the file's own trial numbers and one score, ``reward``.
    """

    source: str
    domain: str
    model: str | None
    cases: tuple[Case, ...]
    trials: tuple[Trial, ...]
    effects: Effects
    asides: tuple[Aside, ...] = ()
    notes: tuple[str, ...] = ()


def read_tau(data: bytes, file: str) -> Recording:
    """A result file's tasks as cases and its simulations as trials.

    Simulations that cannot be read or placed are set aside; FileError where the file is of
    neither benchmark, contradicts itself, or has most of its simulations set aside.
    """
    results = read_results(data, file)
    identified = identify(results, file)
    asides = (*results.asides, *identified.asides)
    _require_most(identified.simulations, asides, file)
    tools = _tools(results.tasks, identified.simulations)
    domain = results.domain or _stated_domain(results.tasks) or find_domain(tools) or "tau"
    cases = {task.id: _checked_case(task, domain, results, file) for task in results.tasks.values()}
    trials = [_trial(one, cases, results) for one in identified.simulations]
    told = {name: kind for one in identified.simulations for name, kind in one.tool_types}
    effects = effects_of(domain, tools, told)
    return Recording(
        source=results.source,
        domain=domain,
        model=_model_name(results.model),
        cases=tuple(cases.values()),
        trials=tuple(trials) + _unreadable(asides, trials, cases),
        effects=effects,
        asides=asides,
        notes=(*identified.notes, *_effects_note(domain, tools - told.keys(), effects)),
    )


def _require_most(kept: Sequence[Simulation], asides: Sequence[Aside], file: str) -> None:
    total = len(kept) + len(asides)
    if not total:
        raise FileError(Problem(file, "no simulations in it: there is nothing to ingest"))
    if 2 * len(asides) > total:
        first = asides[0]
        message = f"{len(asides)} of {total} simulations cannot be used; {first.label}: "
        raise FileError(Problem(file, message + first.reason))


def _tools(tasks: Mapping[str, Task], simulations: Sequence[Simulation]) -> set[str]:
    """Every tool that the file's tasks expect or its simulations call."""
    expected = {action.name for task in tasks.values() for action in task.actions or ()}
    calls = [
        call for one in simulations for message in one.messages for call in message.tool_calls or ()
    ]
    return expected | {call.function.name if call.function else call.name or "" for call in calls}


def _stated_domain(tasks: Mapping[str, Task]) -> str | None:
    """The domain that a task's own scenario names."""
    for task in tasks.values():
        scenario = task.input if isinstance(task.input, dict) else {}
        instructions = scenario.get("instructions")
        domain = instructions.get("domain") if isinstance(instructions, dict) else None
        if isinstance(domain, str) and domain:
            return domain
    return None


def _checked_case(task: Task, domain: str, results: ResultsFile, file: str) -> Case:
    """The task's case, once it is sure that a dataset's reader takes it."""
    stated: list[Any] = [task.input, *[action.arguments for action in task.actions or ()]]
    if any(deeper_than(value, MAX_DEPTH) for value in stated):
        raise FileError(Problem(file, f"nests deeper than {MAX_DEPTH} levels", case=task.id))
    case = to_case(task, domain, results.source)
    try:
        return msgspec.json.decode(msgspec.json.encode(case), type=Case)
    except msgspec.ValidationError as error:
        raise FileError(Problem(file, f"its task makes no case: {error}", case=task.id)) from None


def _trial(one: Simulation, cases: Mapping[str, Case], results: ResultsFile) -> Trial:
    case = cases[one.task_id or ""]
    status, error = _status(one)
    started = to_ns(one.started)
    return Trial(
        case=case.id,
        trial=one.trial or 0,
        route=case.route,
        status=status,
        error=error,
        started=started / 1e9 if started else 0.0,
        latency_s=one.seconds,
        trajectory=read_chat(
            one.messages,
            source=results.source,
            model=_model_name(results.model),
            trace_id=_trace_id(one.id),
            stop_reason=one.stop_reason,
        ),
        scores=(_reward(one.reward),) if status == "completed" else (),
    )


def _status(one: Simulation) -> tuple[TrialStatus, str | None]:
    """Whether the simulation ran: one without messages did not, whatever its reward."""
    ended = f" (termination: {one.stop_reason})" if one.stop_reason else ""
    if not one.messages:
        return "no_trace", f"the simulation has no messages{ended}: it never ran"
    if one.stop_reason in FAILED_RUNS:
        return "crashed", f"the benchmark's own infrastructure failed{ended}"
    return "completed", None


def _reward(reward: float | None) -> Score:
    """The benchmark's own reward as a score."""
    if reward is None:
        return could_not_judge("reward", "the benchmark gave no reward")
    if not (math.isfinite(reward) and -1e-6 <= reward <= 1 + 1e-6):
        return could_not_judge("reward", f"the benchmark's reward is {reward}, not in [0, 1]")
    value = min(max(reward, 0.0), 1.0)
    return Score("reward", value, reward >= SOLVED, f"the benchmark's reward is {value:g}")


def _unreadable(
    asides: Sequence[Aside], trials: Sequence[Trial], cases: Mapping[str, Case]
) -> tuple[Trial, ...]:
    """Unreadable simulations whose task and trial are known: trials that failed, not wrong."""
    taken = {trial.key for trial in trials}
    found: dict[tuple[str, int], Trial] = {}
    for aside in asides:
        case = cases.get(aside.task_id or "")
        if case is None or aside.trial is None or aside.trial < 0:
            continue
        key = (case.id, aside.trial)
        if key not in taken:
            found[key] = Trial(
                case=case.id,
                trial=aside.trial,
                route=case.route,
                status="unserializable",
                error=f"{aside.label} cannot be read: {aside.reason}",
            )
    return tuple(found.values())


def _effects_note(domain: str, judged: set[str], effects: Effects) -> tuple[str, ...]:
    if domain in WRITES or not judged:
        return ()
    listed = ", ".join(sorted(judged.intersection(effects.write or ()))) or "none"
    return (f"which tools of {domain!r} change state was judged by their names: {listed}",)


def _model_name(name: str | None) -> str | None:
    """A model's name, where it looks like one and like nothing that must not be kept."""
    return name if name and re.fullmatch(r"[A-Za-z0-9][\w./:@+-]{0,99}", name) else None


def _trace_id(simulation: str | None) -> str | None:
    """A simulation's UUID as a trace id."""
    plain = (simulation or "").replace("-", "").lower()
    return plain if re.fullmatch(r"[0-9a-f]{32}", plain) else None
