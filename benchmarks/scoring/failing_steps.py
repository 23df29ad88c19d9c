"""How near the first step that evalkit flags is to the one that people say a run failed at.

    python benchmarks/scoring/failing_steps.py [FOLDER]

Two sets of failed runs whose failing step people labelled (FOLDER, by default the shared data):
Who&When, conversations of several agents, and AgentRx, runs of tau-bench's retail domain, whose
root cause counts. A step is a message, numbered as the labels number them. Flagged is

- without an expectation (both sets): the first step that triage's signals name: an error, a
  timeout, a loop, a retry, ...
- with one (AgentRx has the expected calls): the first step that trajectory_match names, in mode
  ``effects``, or the first state change that was tried and refused; where it only misses a step,
  the last one, by which it should have happened.

Beside it: always the last step, and a step at random (its chance, exactly). A run in which nothing
is flagged is a miss; the last columns look only at the runs in which something is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "triage"))

from failures import agent_rx, rows, who_and_when
from recorded import DATA

from evalkit.scorers.trajectory_match import trajectory_match
from evalkit.tracing.tau.cases import Action, Task, effects_of, to_case
from evalkit.trajectory import Trajectory
from evalkit.triaging.signals import signals_of

DOMAIN = "retail"


class Labelled(NamedTuple):
    """A failed run, the number of the step that people blame, and its raw record."""

    trajectory: Trajectory
    step: int
    record: dict[str, Any]

    @property
    def length(self) -> int:
        """How many steps it has."""
        return len(self.trajectory.steps)


Flag = Callable[[Labelled], int | None]


def by_signals(run: Labelled) -> int | None:
    """The first step that a signal names."""
    numbers = (one.number for one in signals_of(run.trajectory) if one.number is not None)
    return min(numbers, default=None)


def by_expectation(run: Labelled) -> int | None:
    """The first step that is not as expected, or was refused; else the last of the run."""
    stated = run.record["task"]
    actions = tuple(Action(one["name"], kwargs=one["kwargs"]) for one in stated["actions"])
    case = to_case(Task("task", stated["instruction"], actions), DOMAIN, "AgentRx")
    effects = effects_of(DOMAIN, ())
    score = trajectory_match(case, run.trajectory, effects=effects)
    if score.passed:
        return None
    named = [one.step for one in score.steps if one.step is not None and one.kind in FAILING]
    named += [
        number
        for number, step in enumerate(run.trajectory.steps)
        if step.kind == "tool" and step.status == "error" and effects.changes_state(step.name)
    ]
    return min(named, default=run.length - 1)


FAILING = frozenset({"unexpected", "wrong_arguments", "forbidden", "out_of_order"})


def last(run: Labelled) -> int | None:
    """Always the last step."""
    return run.length - 1


def who_when_runs(folder: Path) -> list[Labelled]:
    """Who&When's runs."""
    found = rows(folder / "whoandwhen_40.jsonl.gz")
    return [Labelled(who_and_when(row)[0], int(row["mistake_step"]), row) for row in found]


def agent_rx_runs(folder: Path) -> list[Labelled]:
    """AgentRx's runs, each with the step of its root cause."""
    return [
        Labelled(agent_rx(row)[0], _root(row), row)
        for row in rows(folder / "agentrx_tau_retail_24.jsonl.gz")
    ]


def _root(row: dict[str, Any]) -> int:
    told = row["annotation"]
    root = told["root_cause"]["failure_id"]
    steps = {one["failure_id"]: one["step_number"] for one in told["failures"]}
    return int(steps.get(root, told["failures"][0]["step_number"]))


def random_step(runs: Iterable[Labelled], within: int) -> float:
    """The chance that a step at random is within so many of the labelled one, over the runs."""
    chances = [
        sum(abs(step - run.step) <= within for step in range(run.length)) / run.length
        for run in runs
    ]
    return sum(chances) / len(chances)


def _line(name: str, runs: list[Labelled], flag: Flag) -> str:
    flagged = [(run, step) for run in runs if (step := flag(run)) is not None]
    hits = [sum(abs(step - run.step) <= within for run, step in flagged) for within in (0, 1)]
    among = [run for run, _ in flagged]
    cells = [f"{len(flagged)}/{len(runs)}", *(f"{hit / len(runs):.2f}" for hit in hits)]
    if among:
        cells += [f"{hits[1] / len(among):.2f}", f"{random_step(among, 1):.2f}"]
    return f"  {name:28}" + "".join(f"{cell:>12}" for cell in cells)


def main(folder: Path) -> None:
    """Prints a table for each set."""
    heads = ["flagged", "that step", "within one", "of flagged", "random there"]
    print(f"{'':30}" + "".join(f"{head:>12}" for head in heads))
    signals = ("signals", by_signals)
    for name, runs, flags in (
        ("Who&When", who_when_runs(folder), [signals]),
        ("AgentRx", agent_rx_runs(folder), [("expectation", by_expectation), signals]),
    ):
        print(f"{name}, {len(runs)} runs")
        for label, flag in (*flags, ("always the last step", last)):
            print(_line(label, runs, flag))
        chances = [f"{random_step(runs, within):.2f}" for within in (0, 1)]
        print(f"  {'a step at random':28}{'':12}" + "".join(f"{cell:>12}" for cell in chances))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA / "failures")
