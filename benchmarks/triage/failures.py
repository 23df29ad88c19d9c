"""What triage's signals say of real failures that people labelled, and of failed benchmark runs.

    python benchmarks/triage/failures.py DATA

DATA has `failures/` (Who&When, AgentRx) and `trajectories/` (tau-bench and tau2-bench runs with
their true reward). Most of these failures are wrong decisions, which no signal of a path shows.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from evalkit.tracing.failures import judged
from evalkit.trajectory import Step, Trajectory
from evalkit.triaging.signals import signals_of

NEAR = 2
EXECUTOR = "Computer_terminal"


def main() -> None:
    data = Path(sys.argv[1])
    labelled(
        "Who&When", (who_and_when(row) for row in rows(data / "failures/whoandwhen_40.jsonl.gz"))
    )
    labelled(
        "AgentRx", (agent_rx(row) for row in rows(data / "failures/agentrx_tau_retail_24.jsonl.gz"))
    )
    for file in sorted((data / "trajectories").glob("*.jsonl.gz")):
        rewarded(file)


def rows(file: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(file, "rt") as lines:
        yield from map(json.loads, lines)


def who_and_when(row: dict[str, Any]) -> tuple[Trajectory, set[int]]:
    """A message is a step; the label is the number of a message.

    The one that runs code says how that ended, as a tool's result in a conversation does.
    """
    steps = [
        Step(kind="agent", name=str(one.get("name") or one["role"])[:60], output=one["content"])
        for one in row["history"]
    ]
    told = tuple(
        judged(step, from_messages=True) if step.name == EXECUTOR else step for step in steps
    )
    return Trajectory(steps=told, output="said"), {int(row["mistake_step"])}


def agent_rx(row: dict[str, Any]) -> tuple[Trajectory, set[int]]:
    """A tool's result is the step of its call; a label counts messages, the first being 0."""
    calls: dict[str, Any] = {}
    steps = []
    for one in row["traj"]:
        for call in one.get("tool_calls") or ():
            calls[call["id"]] = json.loads(call["function"]["arguments"])
        if one["role"] == "tool":
            failed = str(one["content"]).startswith("Error")
            steps.append(
                Step(
                    kind="tool",
                    name=one["name"],
                    arguments=calls.get(one["tool_call_id"]),
                    output=one["content"],
                    status="error" if failed else "ok",
                    error=one["content"] if failed else None,
                )
            )
        else:
            steps.append(Step(kind="other", name=one["role"], output=one["content"]))
    labels = {int(one["step_number"]) for one in row["annotation"]["failures"]}
    return Trajectory(steps=tuple(steps), output="said"), labels


def labelled(name: str, found: Iterable[tuple[Trajectory, set[int]]]) -> None:
    total = flagged = near = 0
    kinds: Counter[str] = Counter()
    for trajectory, labels in found:
        signals = signals_of(trajectory)
        total += 1
        flagged += bool(signals)
        kinds.update({one.kind for one in signals})
        places = {one.number for one in signals if one.number is not None}
        near += any(abs(place - label) <= NEAR for place in places for label in labels)
    print(f"{name}: {flagged} of {total} failed runs flagged, {near} within {NEAR} steps of the")
    print(f"   labelled one; {dict(kinds.most_common())}")


def rewarded(file: Path) -> None:
    """How often failed and passed runs are flagged: a signal that tells nothing has no gap."""
    counts = {True: Counter[str](), False: Counter[str]()}
    totals: Counter[bool] = Counter()
    for row in rows(file):
        if not row["steps"]:
            continue
        passed = row["reward"] == 1.0
        totals[passed] += 1
        signals: set[str] = {one.kind for one in signals_of(as_trajectory(row["steps"]))}
        counts[passed].update(signals or {"none"})
    name = file.name.removesuffix(".jsonl.gz")
    print(f"{name}: {totals[False]} failed, {totals[True]} passed")
    for kind in sorted(set(counts[True]) | set(counts[False])):
        shares = [counts[passed][kind] / max(1, totals[passed]) for passed in (False, True)]
        print(f"   {kind:20} {shares[0]:6.1%} of failed, {shares[1]:6.1%} of passed")


def as_trajectory(told: list[dict[str, Any]]) -> Trajectory:
    """The calls of the agent's tools, each with its result."""
    return Trajectory(
        steps=tuple(
            Step(
                kind="tool",
                name=one["name"] or "tool",
                arguments=one["args"],
                output=one["output"],
                status="error" if _failed(one) else "ok",
                error=str(one["output"]) if _failed(one) else None,
            )
            for one in told
            if one["kind"] == "tool_call" and one["requestor"] != "user"
        ),
        output="said",
    )


def _failed(call: dict[str, Any]) -> bool:
    return bool(call["error"]) or str(call["output"]).startswith("Error")


if __name__ == "__main__":
    main()
