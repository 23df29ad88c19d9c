"""How long many large runs take to gate and to compare: `python benchmarks/compare/speed.py`.

Writes run folders of 50 routes x 300 cases x 5 trials x 4 scorers into a temporary store, then
times `evalkit gate` and `evalkit compare` as a user starts them, with the memory they took.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.folders import Manifest, run_folder, table_path, write_manifest
from evalkit.folders.arrays import arrow_schema
from evalkit.folders.rows import COLUMNS
from evalkit.results import PlannedCase, Run
from evalkit.suite import GatePolicy, Pipeline, Suite

SCORERS = ("task_completion", "tool_selection", "trajectory_match", "step_efficiency")


def write_run(store: Path, name: str, routes: int, cases: int, trials: int, drop: float) -> None:
    """One complete run folder; ``drop`` is taken from every chance to pass."""
    rng = np.random.default_rng(abs(hash(name)) % 2**32)
    ids = [(f"route-{r}-case-{c}", f"route-{r}") for r in range(routes) for c in range(cases)]
    chances = np.random.default_rng(1).choice([0.98, 0.6, 0.05], len(ids), p=[0.7, 0.2, 0.1])
    count = len(ids) * trials
    base = {
        "case": np.repeat([case for case, _ in ids], trials),
        "trial": np.tile(np.arange(trials), len(ids)),
        "route": np.repeat([route for _, route in ids], trials),
    }
    trial_columns = {
        **base,
        "status": np.full(count, "completed"),
        "attempts": np.ones(count, int),
        "started": np.arange(count) / 10,
        "latency_s": rng.lognormal(0, 0.5, count),
        "tokens_in": rng.integers(500, 2000, count),
        "tokens_out": rng.integers(50, 200, count),
        "cost_usd": rng.lognormal(-6, 0.3, count),
    }
    passed = rng.random((count, len(SCORERS))) < np.repeat(chances - drop, trials)[:, None]
    score_columns = {
        **{key: np.repeat(values, len(SCORERS)) for key, values in base.items()},
        "scorer": np.tile(SCORERS, count),
        "value": passed.ravel().astype(float),
        "passed": passed.ravel(),
        "status": np.full(count * len(SCORERS), "scored"),
        "reason": np.full(count * len(SCORERS), "a reason of some length, as they are"),
    }
    folder = run_folder(store, name)
    folder.mkdir(parents=True)
    for table, columns in (("trials", trial_columns), ("scores", score_columns), ("steps", {})):
        schema = arrow_schema(COLUMNS[table])
        rows = len(next(iter(columns.values()))) if columns else 0
        arrays = [
            pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(rows, f.type)
            for f in schema
        ]
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), table_path(folder, table))
    suite = Suite(
        name="large",
        pipeline=Pipeline(call="a:b"),
        dataset="d.jsonl",
        scorers=SCORERS,
        gate=GatePolicy(on=SCORERS),
    )
    run = Run(
        id=name,
        label=name,
        suite=suite,
        dataset_digest="d",
        planned=tuple(PlannedCase(case, route, f"digest of {case}") for case, route in ids),
        trials=trials,
        status="complete",
        started=1.0,
    )
    write_manifest(folder, Manifest(run=run, counts={}))


def timed(*arguments: str) -> tuple[float, float]:
    """Seconds and peak megabytes of one command."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "evalkit", *arguments], capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - began
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--routes", type=int, default=50)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--trials", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        names = [f"run-{n:02}" for n in range(asked.runs)]
        for n, name in enumerate(names):
            write_run(store, name, asked.routes, asked.cases, asked.trials, n / 200)
        place = ("--store", folder, "--format", "json")
        size = f"{asked.routes} routes x {asked.cases} cases x {asked.trials} trials x 4 scorers"
        print(f"{size}, wall seconds and peak MB (of all commands so far) from the command line")
        for said, arguments in (
            (f"compare {asked.runs} runs", ("compare", *names)),
            ("gate, database built first", ("gate", names[1], "--baseline", names[0])),
            ("gate", ("gate", names[1], "--baseline", names[0])),
        ):
            took, memory = timed(*arguments, *place)
            print(f"{said:<28} {took:6.2f} s {memory:7.0f} MB")


if __name__ == "__main__":
    main()
