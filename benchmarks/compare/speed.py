"""What it takes to gate and to compare large runs: `python benchmarks/compare/speed.py`.

Writes run folders of 50 routes x 300 cases x 5 trials x 4 scorers into a temporary store, then
runs `evalkit gate` and `evalkit compare` as a user starts them, each in a process of its own, and
prints for each its processor time, wall time and peak memory (Linux). A goal that is missed is
marked, and the exit code is then 1.
"""

# This process stays small: a child's peak memory begins with what its parent held.

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

WRITER = Path(__file__).with_name("large_runs.py")
GATE_S, COMPARE_S, MEMORY_MB = 2.0, 5.0, 500.0


class Cost(NamedTuple):
    """Of one process: seconds of processor and wall time, and megabytes at its peak."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def cost(*arguments: str) -> Cost:
    """What a Python process with these arguments takes; it may exit with 0 or 1."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=said
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        took = time.perf_counter() - began
        if child.returncode not in (0, 1):
            said.seek(0)
            raise SystemExit(said.read().decode())
    return Cost(used.ru_utime + used.ru_stime, took, used.ru_maxrss / 1000)


def best(repeats: int, *arguments: str) -> Cost:
    """Of several runs the least processor and wall time, and the most memory."""
    found = [cost(*arguments) for _ in range(repeats)]
    return Cost(
        min(one.cpu_s for one in found),
        min(one.wall_s for one in found),
        max(one.peak_mb for one in found),
    )


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="how many are compared")
    parser.add_argument("--routes", type=int, default=50)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3, help="of each command; the best counts")
    asked = parser.parse_args()
    size = [f"--{name}={getattr(asked, name)}" for name in ("routes", "cases", "trials")]
    missed = 0

    def told(said: str, goal_s: float | None, *command: str, repeats: int = asked.repeats) -> None:
        nonlocal missed
        found = best(repeats, "-m", "evalkit", *command)
        late = goal_s is not None and (found.cpu_s >= goal_s or found.peak_mb >= MEMORY_MB)
        missed += late
        goal = "" if goal_s is None else f"< {goal_s:g} s, {MEMORY_MB:g} MB"
        row = f"{said:<42}{found.cpu_s:7.2f}{found.wall_s:8.2f}{found.peak_mb:7.0f}  {goal}"
        print(row + ("  MISSED" if late else ""), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        gates, many, fresh = (str(Path(folder, name)) for name in ("gates", "many", "fresh"))
        cost(
            *(str(WRITER), gates, *size, "same=base", "same=again", "worse=worse"),
            *(
                "unequal=unequal",
                "graded=graded-1",
                "graded=graded-2",
                "fine=fine-1",
                "fine=fine-2",
                "unequal+fine=fine-unequal",
                "worse+fine=fine-worse",
            ),
        )
        names = [f"run-{number:02}" for number in range(asked.runs)]
        kinds = ["same", "little", "same", "worse"]
        runs = [f"{kinds[at % 4]}={name}" for at, name in enumerate(names)]
        cost(str(WRITER), many, *size, *runs)
        what = f"{asked.routes} routes x {asked.cases} cases x {asked.trials} trials x 4 scorers"
        print(f"{what}; the best of {asked.repeats}, the goal in processor time\n")
        print(f"{'command':<42}{'CPU s':>7}{'wall s':>8}{'MB':>7}  goal")
        there = ("--format", "json", "--store")
        for said, candidate, baseline in (
            ("gate, nothing changed", "again", "base"),
            ("gate, all routes regress", "worse", "base"),
            ("gate, unequal trials", "unequal", "base"),
            ("gate, graded scores", "graded-2", "graded-1"),
            ("gate, scores off any grid", "fine-2", "fine-1"),
            ("gate, off any grid, all routes regress", "fine-worse", "fine-1"),
            ("gate, off any grid, unequal trials", "fine-unequal", "fine-1"),
        ):
            command = ("gate", candidate, "--baseline", baseline, *there, gates)
            told(f"{said}, no database", GATE_S, *command)
        told("rebuild: the database of 10 runs", None, "rebuild", "--store", gates, repeats=1)
        gate = ("gate", "again", "--baseline", "base", *there, gates)
        told("gate, nothing changed, with the database", GATE_S, *gate)
        file = str(Path(folder, "base.parquet"))
        export = ("baseline", "export", "base", file, "--store", gates)
        told("baseline export", None, *export, repeats=1)
        cost(str(WRITER), fresh, *size, "same=again")
        gate = ("gate", "again", "--baseline", file, *there, fresh)
        told("gate, baseline file, first time", None, *gate, repeats=1)
        told("gate, baseline file, in the store", GATE_S, *gate)
        told(f"compare {asked.runs} runs", COMPARE_S, "compare", *names, *there, many)
        told(
            f"rebuild: the database of {asked.runs} runs",
            None,
            "rebuild",
            "--store",
            many,
            repeats=1,
        )
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
