"""Recorded agent runs with their true reward, as cases and trajectories.

One rule for every file: a case is made of what its task states, never of which file it is in.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from evalkit.dataset import Case
from evalkit.suite import Effects
from evalkit.tracing.tau.cases import BASIS, Action, Task, effects_of, to_case
from evalkit.trajectory import Step, Trajectory

DATA = Path(__file__).parents[3] / "shared" / "data"
SOLVED = 1 - 1e-6


class Recorded(NamedTuple):
    """One run: what was expected, what happened, and whether the benchmark called it solved.

    ``ran`` is False where nothing happened at all; ``basis`` is what the reward rests on.
    """

    file: str
    name: str
    case: Case
    trajectory: Trajectory
    effects: Effects
    solved: bool
    ran: bool
    basis: tuple[str, ...]
    breakdown: dict[str, Any]


def read_all(folder: Path) -> list[Recorded]:
    """Every run of every file of a folder of ``*.jsonl.gz``, in order."""
    return [run for path in sorted(folder.glob("*.jsonl*")) for run in read(path)]


def read(path: Path) -> Iterator[Recorded]:
    """The runs of one file."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as lines:
        records = [json.loads(line) for line in lines if line.strip()]
    tools: dict[str, set[str]] = {}
    for record in records:
        named = tools.setdefault(record["domain"], set())
        named.update(one["name"] for one in record["expected_actions"] or ())
        named.update(one["name"] for one in record["steps"] if one["kind"] == "tool_call")
    for record in records:
        yield Recorded(
            file=path.name.partition(".jsonl")[0],
            name=f"{record['run']} task {record['task_id']} trial {record['trial']}",
            case=_case(record),
            trajectory=_trajectory(record),
            effects=effects_of(record["domain"], tools[record["domain"]]),
            solved=(record["reward"] or 0) >= SOLVED,
            ran=bool(record["steps"]),
            basis=tuple(record["reward_basis"] or ()),
            breakdown=record["reward_breakdown"] or {},
        )


def _case(record: dict[str, Any]) -> Case:
    actions = tuple(
        Action(
            name=one["name"],
            arguments=one["args"] or {},
            requestor=one.get("requestor"),
            compare_args=None if one.get("compare_args") is None else tuple(one["compare_args"]),
        )
        for one in record["expected_actions"] or ()
    )
    said = tuple(str(text) for text in record["communicate_info"] or ())
    basis = tuple(record["reward_basis"] or BASIS)
    task = Task(
        id=str(record["task_id"]), input=record["input"], actions=actions, said=said, basis=basis
    )
    case = to_case(task, record["domain"], record["source"])
    return msgspec.json.decode(msgspec.json.encode(case), type=Case)  # as a dataset would hold it


def _trajectory(record: dict[str, Any]) -> Trajectory:
    steps, said = [], []
    for one in record["steps"]:
        if one["kind"] == "tool_call":
            steps.append(_call(one))
        elif one["role"] == "assistant" and isinstance(one["output"], str) and one["output"]:
            said.append(one["output"])
            steps.append(Step(kind="llm", name="assistant", output=one["output"]))
    return Trajectory(
        steps=tuple(steps),
        said=tuple(said),
        output=said[-1] if said else None,
        stop_reason=record["termination_reason"],
    )


def _call(one: dict[str, Any]) -> Step:
    failed = bool(one["error"]) or str(one["output"] or "").startswith("Error")
    return Step(
        kind="tool",
        name=one["name"],
        arguments=one["args"],
        output=one["output"],
        status="error" if failed else "ok",
        actor="user" if one["requestor"] == "user" else "agent",
    )
