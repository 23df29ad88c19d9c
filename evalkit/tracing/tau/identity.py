"""Which task and trial a simulation is: ids are checked against the actions that were checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from evalkit.errors import FileError, Problem
from evalkit.tracing.tau.cases import Task
from evalkit.tracing.tau.files import Aside, ResultsFile, Simulation


class Identified(NamedTuple):
    """Simulations that are of a known task and a trial of their own, those that are not, notes."""

    simulations: list[Simulation]
    asides: list[Aside]
    notes: tuple[str, ...]


def identify(results: ResultsFile, file: str) -> Identified:
    """Gives every simulation its task and trial.

    A task id that disagrees with the ids of the simulation's checked actions is corrected from
    them. Files where that happens number their simulations wrongly, so their simulations without
    checked actions are set aside, as are second ones of the same task and trial. FileError where
    no simulation has a task id, or checked actions contradict one another.
    """
    _require_task_ids(results, file)
    owners = _owners(results.tasks)
    told = [_told(one, owners, results.tasks, file) for one in results.simulations]
    pairs = list(zip(results.simulations, told, strict=True))
    corrected = sum(task is not None and task != one.task_id for one, task in pairs)
    kept: dict[tuple[str, int], Simulation] = {}
    asides: list[Aside] = []
    met: dict[str, int] = {}
    for one, task in pairs:
        task_id = task or one.task_id
        trial = one.trial if one.trial is not None else met.get(task_id or "", 0)
        met[task_id or ""] = met.get(task_id or "", 0) + 1
        reason = _unplaced(task_id, trial, results.tasks, kept)
        if corrected and task is None:
            reason = reason or "task ids of this file are wrong, and nothing tells the right one"
        if reason or task_id is None:
            asides.append(Aside(label=one.label, reason=reason or "it has no task_id"))
        else:
            kept[task_id, trial] = replace(one, task_id=task_id, trial=trial)
    note = f"{corrected} task ids were wrong, and corrected from the actions that were checked"
    return Identified(list(kept.values()), asides, (note,) if corrected else ())


def _require_task_ids(results: ResultsFile, file: str) -> None:
    if not results.simulations or any(one.task_id is not None for one in results.simulations):
        return
    first, count = results.simulations[0], len(results.simulations)
    message = (
        f"{first.label} has no task_id, nor has any of the {count} simulations: which task each"
        " one tried cannot be known. Export the results again with task ids"
    )
    raise FileError(Problem(file, message, key="task_id"))


def _owners(tasks: Mapping[str, Task]) -> dict[str, set[str]]:
    """The tasks that expect an action, by the action's id; several may share one."""
    owners: dict[str, set[str]] = {}
    for task in tasks.values():
        for action in task.actions or ():
            if action.action_id:
                owners.setdefault(action.action_id, set()).add(task.id)
    return owners


def _told(
    one: Simulation, owners: Mapping[str, set[str]], tasks: Mapping[str, Task], file: str
) -> str | None:
    """The task that a simulation's checked actions tell; None where they tell nothing."""
    checked = [found for found in (_owner(check, owners, tasks) for check in one.checks) if found]
    if not checked:
        return None
    common = set.intersection(*checked)
    if one.task_id in common:
        return one.task_id
    if len(common) == 1:
        return next(iter(common))
    names = ", ".join(sorted(set.union(*checked))[:5])
    message = (
        f"{one.label} has task_id {one.task_id!r}, but its checked actions are of other tasks"
        f" ({names}): the file contradicts itself, so no simulation in it can be trusted"
    )
    raise FileError(Problem(file, message, key="action_checks"))


def _owner(check: str, owners: Mapping[str, set[str]], tasks: Mapping[str, Task]) -> set[str]:
    """The tasks that a checked action may be of: those that expect it, else by its id's prefix."""
    prefix = check.rpartition("_")[0]
    return owners.get(check) or ({prefix} if prefix in tasks else set())


def _unplaced(
    task_id: str | None,
    trial: int,
    tasks: Mapping[str, Task],
    kept: Mapping[tuple[str, int], Simulation],
) -> str:
    """Why a simulation cannot be placed; empty if it can."""
    if task_id is None:
        return "it has no task_id"
    if task_id not in tasks:
        return f"its task {task_id!r} is not among the file's tasks"
    if trial < 0:
        return f"its trial is {trial}"
    if (task_id, trial) in kept:
        return f"{kept[task_id, trial].label} is trial {trial} of task {task_id} already"
    return ""
