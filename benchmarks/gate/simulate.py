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
    that did not get worse; ``undecided`` those with a route that is inconclusive.
    """

    repeats: int
    alarms: int
    trials: float
    named: int
    undecided: int


def together(cells: Iterable[Cell]) -> Cell:
    """All repeats of several cells as one."""
    parts = list(cells)
    repeats = sum(one.repeats for one in parts)
    return Cell(
        repeats,
        sum(one.alarms for one in parts),
        sum(one.trials * one.repeats for one in parts) / repeats,
        sum(one.named for one in parts),
        sum(one.undecided for one in parts),
    )


def work(asked: tuple[str, int, Design, bool, int, int]) -> Cell:
    """Decides a part of a cell; the scenario is given by its place, since effects do not pickle."""
    mix, place, design, reruns, part, repeats = asked
    scenario = (*WITHOUT_CHANGE, *WORSE)[place]
    seed = [SEED, list(ALL).index(mix), place, *design, reruns, part]
    rng = np.random.default_rng(seed)
    gate = confirmed if reruns else one_stage
    return together(
        gate(Arms(mix, scenario, design.routes, design.cases, rng), scenario, design)
        for _ in range(repeats)
    )


def confirmed(arms: Arms, scenario: Scenario, design: Design) -> Cell:
    """One gate that tries again."""
    stored = arms.stored(design.trials)
    made = confirm(stored, arms.rerun, alpha=ALPHA)
    spent = sum(one.stored.trials for one in stored) + made.spent
    alarm = alarms([one.verdict for one in made.found], scenario)
    first = made.found[0]
    named = bool(first.cases) and set(first.cases) <= arms.lowered()
    undecided = any(one.verdict == "inconclusive" for one in made.found)
    price = spent / (design.routes * design.cases)
    return Cell(1, alarm, price, alarm and named, undecided)


def one_stage(arms: Arms, scenario: Scenario, design: Design) -> Cell:
    """One gate on stored trials alone."""
    family = [one.stored for one in arms.stored(design.trials)]
    spent = sum(one.trials for one in family) / (design.routes * design.cases)
    said = [one.verdict for one in judge(family, ALPHA)]
    return Cell(1, alarms(said, scenario), spent, 0, "inconclusive" in said)


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
            {mix: together(next(cells) for _ in range(math.ceil(count / CHUNK))) for mix in mixes},
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
        every = together(cells.values())
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
    every = together(cells.values())
    print(f"- {scenario.name}: cases named, and none wrongly, in {every.named} of {every.alarms}")


def say_effects(pool: ProcessPoolExecutor, design: Design, asked: argparse.Namespace) -> None:
    """Every effect on every mix, and how often the right cases were named."""
    scenarios = (*WITHOUT_CHANGE, *WORSE)
    repeats = [asked.null] + [asked.repeats] * (len(scenarios) - 1)
    seen = []

    def noted() -> Iterable[tuple[Scenario, dict[str, Cell]]]:
        for row in measure(pool, scenarios, design, repeats):
            seen.append(row)
            yield row

    say(noted())
    print()
    for scenario, cells in seen:
        if scenario in WORSE and scenario not in (DIFFUSE, CONCENTRATED):
            say_named(scenario, cells)
        if scenario.lost:
            every = together(cells.values())
            print(f"- {scenario.name}: a route undecided in {every.undecided} of {every.repeats}")


def say_one_route(pool: ProcessPoolExecutor, design: Design, asked: argparse.Namespace) -> None:
    """A suite of one route."""
    one = design._replace(routes=1)
    say(measure(pool, (NOTHING, DIFFUSE, BROKEN), one, [asked.repeats] * 3))


def say_fifty_routes(pool: ProcessPoolExecutor, design: Design, asked: argparse.Namespace) -> None:
    """A suite of fifty routes."""
    fifty = design._replace(routes=50)
    say(measure(pool, (NOTHING,), fifty, [max(1, asked.repeats * 3 // 8)]))


def say_other_mixes(pool: ProcessPoolExecutor, design: Design, asked: argparse.Namespace) -> None:
    """Mixes of another kind than those on which the gate's rounds were chosen."""
    which = (NOTHING, DIFFUSE, PARTIAL)
    half = max(1, asked.repeats // 2)
    say(measure(pool, which, design, [half] * 3, mixes=tuple(OTHERS)))


def say_stored(pool: ProcessPoolExecutor, design: Design, asked: argparse.Namespace) -> None:
    """Decisions on stored trials alone."""
    which = (NOTHING, DIFFUSE, CONCENTRATED, BROKEN, TWO_BROKEN)
    half = max(1, asked.repeats // 2)
    say(measure(pool, which, design, [half] * 5, reruns=False), price=False)


TABLES = {
    "effects": say_effects,
    "one-route": say_one_route,
    "fifty-routes": say_fifty_routes,
    "other-mixes": say_other_mixes,
    "stored": say_stored,
}


def main() -> None:
    """Prints the tables that are asked for, all by default."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--table", action="append", choices=[*TABLES], help="this one alone")
    parser.add_argument("--repeats", type=int, default=400, help="of each effect and mix")
    parser.add_argument("--null", type=int, default=1000, help="repeats where nothing changed")
    parser.add_argument("--cases", type=int, default=30)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    began = time.perf_counter()
    design = Design(8, asked.cases, asked.trials)
    print(
        f"\n8 routes x {design.cases} cases, {design.trials} stored trials, if not said otherwise"
    )
    with ProcessPoolExecutor(asked.processes) as pool:
        for name in asked.table or TABLES:
            print(f"\n{name}: {TABLES[name].__doc__}\n")
            TABLES[name](pool, design, asked)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
