"""Writes large runs as run folders: `python benchmarks/compare/large_runs.py STORE KIND=RUN`."""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.folders import Manifest, run_folder, table_path, write_manifest
from evalkit.folders.arrays import arrow_schema
from evalkit.folders.rows import COLUMNS
from evalkit.results import PlannedCase, Run
from evalkit.suite import GatePolicy, Pipeline, Suite

SCORERS = ("task_completion", "tool_selection", "trajectory_match", "step_efficiency")
STEPS = ("classify", "retrieve", "tool", "answer")
DROPS = {"worse": 0.1, "little": 0.02}
"""What a kind of run takes from every chance to pass."""

FINDINGS = np.array(
    [
        '[{"kind":"missing","name":"retrieve","expected":1}]',
        '[{"kind":"wrong_arguments","name":"tool","expected":2,"step":3}]',
        '[{"kind":"unexpected","name":"search","step":2},{"kind":"outcome","name":"contains"}]',
    ]
)
COVERAGE = '{"spans":%d,"understood":%d,"scopes":{"instrumentation.langgraph":"1.2.3"}}'


def write_run(store: Path, name: str, kind: str, routes: int, cases: int, trials: int) -> None:
    """One complete run folder.

    ``kind``: ``same`` as all others of its kind but for chance, ``worse`` by 10 points on every
    route, ``little`` by 2, ``unequal`` with a tenth of the trials lost, ``graded`` with scores
    that are shares of a case's few steps, ``fine`` with scores on no grid at all; several at once
    are joined by ``+``.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    kinds = kind.split("+")
    ids = [(f"route-{r}-case-{c}", f"route-{r}") for r in range(routes) for c in range(cases)]
    mix = np.random.default_rng(1)
    chances = mix.choice([0.98, 0.6, 0.05], len(ids), p=[0.7, 0.2, 0.1])
    chances -= sum(DROPS.get(one, 0.0) for one in kinds)
    of = np.repeat(np.arange(len(ids)), trials)
    number = np.tile(np.arange(trials), len(ids))
    if "unequal" in kinds:
        kept = (rng.random(len(of)) > 0.1) | (number == 0)
        of, number = of[kept], number[kept]
    count = len(of)
    base: dict[str, Any] = {
        "case": np.array([case for case, _ in ids])[of],
        "trial": number,
        "route": np.array([route for _, route in ids])[of],
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
        "coverage": np.array([COVERAGE % (n, n) for n in range(12)])[np.arange(count) % 12],
    }
    passed = rng.random((count, len(SCORERS))) < chances[of][:, None]
    value = passed.astype(float)
    if "graded" in kinds:
        shares = mix.integers(2, 9, len(ids))[of][:, None]
        value[~passed] = (np.floor(rng.random(passed.shape) * shares) / shares)[~passed]
    elif "fine" in kinds:
        value[~passed] = rng.random(passed.shape)[~passed]
    lines = np.arange(count * len(SCORERS)) % 5_000
    score_columns = {
        **{key: np.repeat(values, len(SCORERS)) for key, values in base.items()},
        "scorer": np.tile(SCORERS, count),
        "value": value.ravel(),
        "passed": passed.ravel(),
        "status": np.full(count * len(SCORERS), "scored"),
        "findings": np.where(
            passed, np.array(None), FINDINGS[rng.integers(len(FINDINGS), size=passed.shape)]
        )
        .ravel()
        .astype(object),
        "reason": np.array([f"2 of 3 checks met: no. {n} says so" for n in range(5_000)])[lines],
    }
    step_columns = {
        **{key: np.repeat(base[key], len(STEPS)) for key in ("case", "trial")},
        "number": np.tile(np.arange(len(STEPS)), count),
        "depth": np.zeros(count * len(STEPS), int),
        "kind": np.full(count * len(STEPS), "tool"),
        "name": np.tile(STEPS, count),
        "arguments": np.array([f'{{"query":"text no. {n}"}}' for n in range(5_000)])[
            np.arange(count * len(STEPS)) % 5_000
        ],
        "status": np.full(count * len(STEPS), "ok"),
    }
    folder = run_folder(store, name)
    folder.mkdir(parents=True)
    tables = {"trials": trial_columns, "scores": score_columns, "steps": step_columns}
    for table, columns in tables.items():
        schema = arrow_schema(COLUMNS[table])
        rows = len(columns["case"])
        arrays = [
            pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(rows, f.type)
            for f in schema
        ]
        with pq.ParquetWriter(table_path(folder, table), schema, compression="zstd") as writer:
            made = pa.Table.from_arrays(arrays, schema=schema)
            writer.write_table(made, row_group_size=2_000 * rows // count)
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
    counts = {table: len(columns["case"]) for table, columns in tables.items()}
    write_manifest(folder, Manifest(run=run, counts=counts))


def main() -> None:
    """Writes the runs that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("runs", nargs="+", metavar="KIND=RUN")
    parser.add_argument("--routes", type=int, default=50)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--trials", type=int, default=5)
    asked = parser.parse_args()
    for one in asked.runs:
        kind, name = one.split("=", 1)
        write_run(asked.store, name, kind, asked.routes, asked.cases, asked.trials)


if __name__ == "__main__":
    main()
