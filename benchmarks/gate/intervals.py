"""Do the gate's intervals hold the truth: `python benchmarks/gate/intervals.py`.

First those for cases like these (a route's mean, pass^k, pass@k, the difference of two versions in
`compare`): do they hold what is true of all cases of the mix? Then the gate's difference for these
very cases, of stored trials alone. Then where it tries again: each repeat decides as the gate does,
stored trials first, then fresh ones until it is settled, and looks at the first route: does the
interval that its row tells hold the true change? Last the margin: half of the cases always pass,
the others 55 or 90 % of the time, and the candidate is worse by just the margin; how often is it
called `ok` with all of the interval above? Seeds are fixed.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import numpy as np
from cases import ALL, CONCENTRATED, DIFFUSE, MIXES, NOTHING, Arms, Scenario, diffuse, levels

from evalkit.confirming import confirm
from evalkit.reliability import passes_of_k
from evalkit.settling import settle
from evalkit.stats import paired_interval
from evalkit.verdicts import judge

ALPHA = 0.05
MARGIN = 0.1
DROPS = (0.0, 0.1, 0.5)  # of all chances to pass, in proportion
SEED = 20261123
SMALL = Scenario("diffuse, -4 points", diffuse(0.04))
EFFECTS = (NOTHING, SMALL, DIFFUSE, CONCENTRATED)
MARGIN_MIXES = {f"half {p}": levels((1.0, p), (0.5, 0.5)) for p in (0.55, 0.9)}
ALL.update(MARGIN_MIXES)
Job = tuple[str, int, int, int, int, int]


def over_cases(mix: str, cases: int, trials: int, repeats: int) -> Iterator[tuple[str, int]]:
    """What each interval is of, and how often it held what is true of all cases of the mix."""
    rng = np.random.default_rng([SEED, list(ALL).index(mix), cases, trials])
    sample = np.repeat(np.arange(repeats), cases)
    counts = np.full(len(sample), float(trials))
    passed = rng.binomial(trials, ALL[mix](len(sample), rng)).astype(float)
    every = ALL[mix](1_000_000, rng)
    runs = passes_of_k(passed, counts, sample, repeats)
    for k in range(1, trials + 1):
        truths = float(np.mean(every**k)), float(1 - np.mean((1 - every) ** k))
        names = ("pass^k, k from 2", "pass@k, k from 2") if k > 1 else ("a route's mean",)
        for side, name in enumerate(names):
            ends = [shares[side].intervals[k] for shares in runs]
            yield name, sum(low <= truths[side] <= high for low, high in ends)
    for drop in DROPS:
        before = ALL[mix](len(sample), rng)
        after = rng.binomial(trials, before * (1 - drop))
        changes = ((after - rng.binomial(trials, before)) / trials).reshape(repeats, cases)
        told = [interval for row in changes if (interval := paired_interval(row))]
        truth = -drop * float(every.mean())
        yield "a difference in `compare`", sum(one.low <= truth <= one.high for one in told)


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


def say_over_cases(repeats: int) -> None:
    """The table of the intervals that are for cases like these."""
    found: dict[str, list[int]] = {}
    for mix, cases, trials in product(MIXES, (5, 10, 30), (1, 3, 5)):
        for name, held in over_cases(mix, cases, trials, repeats):
            found.setdefault(name, []).append(held)
    print("| interval of | settings | held | worst setting |\n| --- | ---: | ---: | ---: |")
    for name, counts in found.items():
        every, worst = share(sum(counts), repeats * len(counts)), share(min(counts), repeats)
        print(f"| {name} | {len(counts)} | {every} | {worst} |")
    print()


def main() -> None:
    """Prints all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=200, help="of each effect and mix")
    parser.add_argument("--single", type=int, default=2000, help="repeats of intervals over cases")
    parser.add_argument("--margin", type=int, default=2000, help="repeats of each margin")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    say_over_cases(asked.single)
    with ProcessPoolExecutor(asked.processes) as pool:
        settings = [
            (mix, drop, cases, trials, asked.repeats)
            for mix in ("near-sure", "mixed", "all flaky")
            for drop in DROPS
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
