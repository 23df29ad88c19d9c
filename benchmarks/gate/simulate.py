"""False-alarm rate, power and price of the gate, measured: `python benchmarks/gate/simulate.py`.

Each repeat draws cases from a mix of near-sure, flaky and failing ones, runs a baseline and a
candidate of independent trials, and decides all routes with :func:`evalkit.confirming.confirm`,
the function that the gate uses, which asks for further trials of both arms. The candidate of an
effect differs on the first route only (drift and outage: on all). "found" is a blocking verdict
on that route. Seeds are fixed: two runs print the same tables.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
from cases import (
    ALL,
    BROKEN,
    CONCENTRATED,
    DIFFUSE,
    MIXES,
    NOTHING,
    OTHERS,
    PARTIAL,
    TWO_BROKEN,
    WITHOUT_CHANGE,
    WORSE,
    Arms,
    Scenario,
)
from scipy.special import betaincinv

from evalkit.confirming import confirm
from evalkit.verdicts import judge

ALPHA = 0.05
SEED = 20261121
BLOCKING = {"regressed", "broken"}
CHUNK = 25
COUNTED = {"found": "found", "any": "any alarm", "regressed": "any `regressed`"}


class Design(NamedTuple):
    """How much is tried: routes, cases of each, stored trials in each arm."""

    routes: int
    cases: int
    trials: int


class Cell(NamedTuple):
    """One scenario on one mix: repeats, how many alarmed, mean trials a case over both arms.

    ``named`` are the repeats that found something on the first route, named cases, and named none
    that did not get worse.
    """

    repeats: int
    alarms: int
    trials: float
    named: int

    def __add__(self, other: Cell) -> Cell:  # type: ignore[override]  # two samples, not a tuple
        repeats = self.repeats + other.repeats
        trials = (self.trials * self.repeats + other.trials * other.repeats) / repeats
        return Cell(repeats, self.alarms + other.alarms, trials, self.named + other.named)


def work(asked: tuple[str, int, Design, bool, int, int]) -> Cell:
    """Decides a part of a cell; the scenario is given by its place, since effects do not pickle."""
    mix, place, design, reruns, part, repeats = asked
    scenario = (*WITHOUT_CHANGE, *WORSE)[place]
    seed = [SEED, list(ALL).index(mix), place, *design, reruns, part]
    rng = np.random.default_rng(seed)
    total = Cell(0, 0, 0.0, 0)
    for _ in range(repeats):
        arms = Arms(mix, scenario, design.routes, design.cases, rng)
        total += (confirmed if reruns else one_stage)(arms, scenario, design)
    return total


def confirmed(arms: Arms, scenario: Scenario, design: Design) -> Cell:
    """One gate that tries again."""
    stored = arms.stored(design.trials)
    made = confirm(stored, arms.rerun, alpha=ALPHA)
    spent = sum(one.stored.trials for one in stored) + made.spent
    alarm = alarms([one.verdict for one in made.found], scenario)
    first = made.found[0]
    named = bool(first.cases) and set(first.cases) <= arms.lowered()
    return Cell(1, alarm, spent / (design.routes * design.cases), alarm and named)


def one_stage(arms: Arms, scenario: Scenario, design: Design) -> Cell:
    """One gate on stored trials alone."""
    family = [one.stored for one in arms.stored(design.trials)]
    spent = sum(one.trials for one in family) / (design.routes * design.cases)
    return Cell(1, alarms([one.verdict for one in judge(family, ALPHA)], scenario), spent, 0)


def alarms(verdicts: Sequence[str], scenario: Scenario) -> bool:
    """Whether this gate did what the scenario counts."""
    if scenario.alarm == "regressed":
        return "regressed" in verdicts
    return any(one in BLOCKING for one in (verdicts if scenario.alarm == "any" else verdicts[:1]))


def measure(
    pool: ProcessPoolExecutor,
    scenarios: Sequence[Scenario],
    design: Design,
    repeats: Sequence[int],
    *,
    reruns: bool = True,
    mixes: Sequence[str] = tuple(MIXES),
) -> Iterable[tuple[Scenario, dict[str, Cell]]]:
    """Every scenario on every mix, as it is ready; the same numbers on any count of processes."""
    places = [(*WITHOUT_CHANGE, *WORSE).index(one) for one in scenarios]
    jobs = [
        (mix, place, design, reruns, part, min(CHUNK, count - part * CHUNK))
        for place, count in zip(places, repeats, strict=True)
        for mix in mixes
        for part in range(math.ceil(count / CHUNK))
    ]
    cells = pool.map(work, jobs)
    for scenario, count in zip(scenarios, repeats, strict=True):
        yield (
            scenario,
            {
                mix: sum((next(cells) for _ in range(math.ceil(count / CHUNK))), Cell(0, 0, 0.0, 0))
                for mix in mixes
            },
        )


def interval(alarms: int, repeats: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a share."""
    low = betaincinv(alarms, repeats - alarms + 1, 0.025) if alarms else 0.0
    high = betaincinv(alarms + 1, repeats - alarms, 0.975) if alarms < repeats else 1.0
    return float(low), float(high)


def say(rows: Iterable[tuple[Scenario, dict[str, Cell]]], *, price: bool = True) -> None:
    """A Markdown table: scenario by mix, in percent; trials a case in brackets; all mixes last."""
    for number, (scenario, cells) in enumerate(rows):
        if not number:
            print(
                f"| effect | counted | repeats | {' | '.join(cells)} | all: count, 95 % interval |"
            )
            print("| --- | --- | ---: |" + " ---: |" * (len(cells) + 1))
        said = [
            f"{one.alarms / one.repeats:.1%}" + (f" ({one.trials:.1f})" if price else "")
            for one in cells.values()
        ]
        every = sum(cells.values(), Cell(0, 0, 0.0, 0))
        low, high = interval(every.alarms, every.repeats)
        count = f"{every.alarms} of {every.repeats}, {low:.1%} to {high:.1%}"
        name, repeats = scenario.name, every.repeats // len(cells)
        print(
            f"| {name} | {COUNTED[scenario.alarm]} | {repeats} | "
            + " | ".join((*said, count))
            + " |",
            flush=True,
        )


def say_named(scenario: Scenario, cells: dict[str, Cell]) -> None:
    """Of the alarms, how many named the cases that got worse and no others."""
    every = sum(cells.values(), Cell(0, 0, 0.0, 0))
    print(f"- {scenario.name}: cases named, and none wrongly, in {every.named} of {every.alarms}")


def main() -> None:
    """Prints all tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=400, help="of each effect and mix")
    parser.add_argument("--null", type=int, default=1000, help="repeats where nothing changed")
    parser.add_argument("--cases", type=int, default=30)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    began = time.perf_counter()
    eight = Design(8, asked.cases, asked.trials)
    one, fifty = eight._replace(routes=1), eight._replace(routes=50)
    with ProcessPoolExecutor(asked.processes) as pool:
        repeats = [asked.null] + [asked.repeats] * (len(WITHOUT_CHANGE) + len(WORSE) - 1)
        print(f"\n8 routes x {eight.cases} cases, {eight.trials} stored trials\n")
        seen = []

        def noted(rows: Iterable[tuple[Scenario, dict[str, Cell]]]):
            for row in rows:
                seen.append(row)
                yield row

        say(noted(measure(pool, (*WITHOUT_CHANGE, *WORSE), eight, repeats)))
        print()
        for scenario, cells in seen:
            if scenario in WORSE and scenario not in (DIFFUSE, CONCENTRATED):
                say_named(scenario, cells)
        print("\n1 route\n")
        say(measure(pool, (NOTHING, DIFFUSE, BROKEN), one, [asked.repeats] * 3))
        print("\n50 routes\n")
        say(measure(pool, (NOTHING,), fifty, (max(1, asked.repeats * 3 // 8),)))
        print("\n8 routes, mixes of another kind\n")
        half = max(1, asked.repeats // 2)
        which = (NOTHING, DIFFUSE, PARTIAL)
        say(measure(pool, which, eight, [half] * 3, mixes=tuple(OTHERS)))
        print("\n8 routes without re-runs\n")
        which = (NOTHING, DIFFUSE, CONCENTRATED, BROKEN, TWO_BROKEN)
        say(measure(pool, which, eight, [half] * 5, reruns=False), price=False)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
