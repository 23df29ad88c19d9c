"""How well triage finds planted faults, and how fast it is.

    python benchmarks/triage/triage.py --store STORE --run RUN [--large 100000]

RUN is a run of pipelines/vendor_assistant/suite.yaml. 5,000 traces are made of it, 2 % of them
with one of 8 kinds of faults; what triage says of each is compared with what was planted.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from sklearn.metrics import adjusted_rand_score
from traffic import FAULTS, only_happy, traffic

from evalkit.journal import Journal
from evalkit.results import PlannedCase, Run, Trial, new_run_id
from evalkit.store import Store
from evalkit.triage import triage
from evalkit.triaging.problems import Problem


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--traces", type=int, default=5000)
    parser.add_argument("--share", type=float, default=0.02)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--large", type=int, default=0)
    args = parser.parse_args()
    store = Store(args.store)
    run = store.find(args.run)
    happy = {case.id for case in run.planned if "happy" in case.tags}
    base = only_happy(store.trials(run.id), happy)
    for seed in range(1, args.seeds + 1):
        report(base, args.traces, args.share, seed)
    if args.large:
        large(run, base, args.large, args.share)


def report(base: list[Trial], count: int, share: float, seed: int) -> None:
    planted = {}
    trials = []
    for trial, fault in traffic(base, count, share, seed):
        trials.append(trial)
        if fault:
            planted[trial.case] = fault.signal
    before = [trial for trial, _ in traffic(base, count, 0.0, seed + 1000)]
    for name, earlier in (("alone", []), ("with an earlier window", before)):
        started = time.perf_counter()
        found = triage(trials, before=earlier)
        took = time.perf_counter() - started
        group = {t: p for p in found.problems for t in p.traces}
        right = Counter(planted[t] for t in planted if t in group and _right(group[t], planted[t]))
        false = [t for t in group if t not in planted]
        labels = [(planted[t], str(group[t].name)) for t in planted if t in group]
        ari = adjusted_rand_score(*zip(*labels, strict=True))
        print(
            f"seed {seed}, {name}: {len(planted)} faulty of {count}; right signal "
            f"{sum(right.values()) / len(planted):.1%}; others flagged "
            f"{len(false) / (count - len(planted)):.2%}; {len(found.problems)} problems, "
            f"ARI {ari:.3f}; {took:.1f} s"
        )
        total = Counter(planted.values())
        print("   " + ", ".join(f"{f.signal} {right[f.signal]}/{total[f.signal]}" for f in FAULTS))


def _right(problem: Problem, signal: str) -> bool:
    return problem.signal == signal


def large(like: Run, base: list[Trial], count: int, share: float) -> None:
    """A stored run of this many traces, read and triaged as the command does it."""
    folder = Path(tempfile.mkdtemp(prefix="triage-"))
    try:
        planned = tuple(PlannedCase(f"{n}", "r", "") for n in range(1))
        now = time.time()
        run = Run(
            id=new_run_id(now), label="large", suite=like.suite, dataset_digest="",
            planned=planned, trials=1, started=now,
        )  # fmt: skip
        with Journal.start(folder, run) as journal:
            journal.extend(trial for trial, _ in traffic(base, count, share))
            journal.finish()
        print(f"{count} traces written in {time.time() - now:.0f} s")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, busy = time.perf_counter(), time.process_time()
        found = triage(Store(folder).trials(run.id))
        took, busy = time.perf_counter() - started, time.process_time() - busy
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(
            f"{found.traces} traces triaged in {took:.1f} s ({busy:.1f} s of processor time) from "
            f"the store, {found.flagged} flagged, {len(found.problems)} problems, memory grew by "
            f"{grown / 1024:.0f} MB"
        )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
