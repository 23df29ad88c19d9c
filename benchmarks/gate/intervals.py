"""Do the gate's intervals hold the truth: `python benchmarks/gate/intervals.py`.

First of stored trials alone. Then where it tries again: each repeat decides as the gate does,
stored trials first, then fresh ones until it is settled, and looks at the first route: does the
interval that its row tells hold the true change of these cases? Last the margin: half of the cases
always pass, the others 55 or 90 % of the time, and the candidate is worse by just the margin; how
often is it called `ok` with all of the interval above? Seeds are fixed.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from cases import ALL, CONCENTRATED, DIFFUSE, MIXES, NOTHING, Arms, Scenario, diffuse, levels

from evalkit.confirming import confirm
from evalkit.settling import settle
from evalkit.verdicts import judge

ALPHA = 0.05
MARGIN = 0.1
SEED = 20261123
SMALL = Scenario("diffuse, -4 points", diffuse(0.04))
EFFECTS = (NOTHING, SMALL, DIFFUSE, CONCENTRATED)
MARGIN_MIXES = {f"half {p}": levels((1.0, p), (0.5, 0.5)) for p in (0.55, 0.9)}
ALL.update(MARGIN_MIXES)
Job = tuple[str, int, int, int, int, int]


def stored_alone(job: tuple[str, float, int, int, int]) -> int:
    """How often the interval held where all chances to pass drop by this share."""
    mix, drop, cases, trials, repeats = job
    rng = np.random.default_rng([SEED, list(ALL).index(mix), int(100 * drop), cases, trials])
    effect = Scenario("", lambda chances, _: chances * (1 - drop))
    held = 0
    for _ in range(repeats):
        arms = Arms(mix, effect, 1, cases, rng)
        _, low, high = judge([arms.stored(trials)[0].stored], ALPHA)[0].interval
        held += low <= float((arms.after[0] - arms.before[0]).mean()) <= high
    return held


def work(job: Job) -> Counter[str]:
    """One cell: what the first route's row said, against the truth."""
    mix, place, routes, cases, trials, repeats = job
    rng = np.random.default_rng([SEED, list(ALL).index(mix), *job[1:5]])
    counts: Counter[str] = Counter()
    for _ in range(repeats):
        arms = Arms(mix, EFFECTS[place], routes, cases, rng)
        family = arms.stored(trials)
        made = confirm(family, arms.rerun, alpha=ALPHA).found[0]
        stored = judge([one.stored for one in family], ALPHA)[0]
        settled = settle(family[0].stored, stored, made)
        _, low, high = settled.judgement.interval
        change = float((arms.after[0] - arms.before[0]).mean())
        missed = not low <= change <= high
        counts["missed"] += missed
        counts["fresh"] += settled.fresh
        counts["fresh, missed"] += settled.fresh and missed
        counts["safe"] += settled.judgement.verdict == "ok" and low >= -MARGIN
    return counts


def share(part: int, whole: int) -> str:
    """In percent."""
    return f"{part / whole:.1%}" if whole else "-"


def main() -> None:
    """Prints all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=200, help="of each effect and mix")
    parser.add_argument("--margin", type=int, default=2000, help="repeats of each margin")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    with ProcessPoolExecutor(asked.processes) as pool:
        settings = [
            (mix, drop, cases, trials, asked.repeats)
            for mix in ("near-sure", "mixed", "all flaky")
            for drop in (0.0, 0.1, 0.5)
            for cases in (3, 8, 30)
            for trials in (1, 3, 5)
        ]
        held = list(pool.map(stored_alone, settings))
        print(
            f"Stored trials alone, {len(settings)} settings: held in "
            f"{share(sum(held), asked.repeats * len(held))}, at worst "
            f"{share(min(held), asked.repeats)}\n"
        )
        print(
            "| effect | stored trials | held | worst mix | told of fresh trials | of these held |"
        )
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for place, effect in enumerate(EFFECTS):
            for trials in (1, 3):
                jobs = [(mix, place, 8, 30, trials, asked.repeats) for mix in MIXES]
                cells = list(pool.map(work, jobs))
                every = sum(cells, Counter())
                whole, fresh = asked.repeats * len(cells), every["fresh"]
                print(
                    f"| {effect.name} | {trials} | {share(whole - every['missed'], whole)} | "
                    f"{share(asked.repeats - max(one['missed'] for one in cells), asked.repeats)} "
                    f"| {share(fresh, whole)} | {share(fresh - every['fresh, missed'], fresh)} |",
                    flush=True,
                )
        print("\n| worse by just the margin | cases | stored trials | called safe |")
        print("| --- | ---: | ---: | ---: |")
        jobs = [
            (mix, EFFECTS.index(DIFFUSE), 1, cases, trials, asked.margin)
            for mix in MARGIN_MIXES
            for cases in (30, 100)
            for trials in (1, 3)
        ]
        for (mix, _, _, cases, trials, repeats), found in zip(
            jobs, pool.map(work, jobs), strict=True
        ):
            said = share(found["safe"], repeats)
            print(f"| {mix} | {cases} | {trials} | {said} |", flush=True)


if __name__ == "__main__":
    main()
