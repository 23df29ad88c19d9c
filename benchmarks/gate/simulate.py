"""False-alarm rate, power and price of the gate, measured: `python benchmarks/gate/simulate.py`.

Each repeat draws cases from a mix of near-sure, flaky and failing ones, runs a baseline and a
candidate of independent trials, and decides all routes with :func:`evalkit.confirming.confirm`,
the function that the gate uses, which asks for further trials of both arms. The candidate of an
effect differs on the first route only (drift and outage: on all). "found" is a blocking verdict
on that route, "elsewhere" one on any other. Seeds are fixed: two runs print the same tables.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from evalkit.comparison import Paired
from evalkit.confirming import Comparison, Confirmation, Row, confirm
from evalkit.observations import Observed
from evalkit.permutation import permutation_drop
from evalkit.verdicts import judge

ALPHA = 0.05
SEED = 20261121
BLOCKING = {"regressed", "broken"}
SCORER = "task_completion"
# Chances to pass and their shares of the cases. The first three are drawn by hand; in the
# fourth every case has a chance of its own, Beta(2, 0.5): most near 1, a long tail below.
MIXES: dict[str, tuple[tuple[float, ...], tuple[float, ...]] | None] = {
    "near-sure": ((0.99, 0.97, 0.9), (0.7, 0.2, 0.1)),
    "mixed": ((0.98, 0.6, 0.05), (0.7, 0.2, 0.1)),
    "agentic": ((0.97, 0.8, 0.5, 0.15), (0.45, 0.2, 0.2, 0.15)),
    "beta": None,
    "flaky": ((0.95, 0.7, 0.4, 0.1), (0.3, 0.4, 0.2, 0.1)),
}

Chances = np.ndarray
Effect = Callable[[Chances, np.random.Generator], Chances]


def draw_cases(mix: str, cases: int, rng: np.random.Generator) -> Chances:
    """The chance to pass of each case of one route."""
    if MIXES[mix] is None:
        return rng.beta(2, 0.5, cases)
    levels, shares = MIXES[mix]
    return rng.choice(levels, size=cases, p=shares)


def diffuse(points: float) -> Effect:
    """The mean drops by so much, every case in proportion to its chance to pass."""
    return lambda chances, _: chances * max(0.0, 1 - points / max(1e-9, chances.mean()))


def concentrated(points: float) -> Effect:
    """The mean drops by so much, all of it in the surest sixth of the cases."""

    def apply(chances: Chances, _: np.random.Generator) -> Chances:
        changed = chances.copy()
        hit = np.argsort(-chances)[: max(1, round(len(chances) / 6))]
        changed[hit] = np.maximum(0, chances[hit] - points * len(chances) / len(hit))
        return changed

    return apply


def set_surest(count: int, chance: float) -> Effect:
    """That many of the surest cases pass with this chance from now on."""

    def apply(chances: Chances, _: np.random.Generator) -> Chances:
        changed = chances.copy()
        changed[np.argsort(-chances)[:count]] = chance
        return changed

    return apply


def drift(size: float) -> Effect:
    """Every case moves up or down, by at most so much; the mean over cases stays exactly."""

    def apply(chances: Chances, rng: np.random.Generator) -> Chances:
        moves = np.minimum(size, np.minimum(chances, 1 - chances))
        moves = moves * rng.choice([-1.0, 1.0], len(chances))
        up, down = moves[moves > 0].sum(), -moves[moves < 0].sum()
        level = min(up, down)
        scale = np.where(moves > 0, level / max(1e-9, up), level / max(1e-9, down))
        return chances + moves * scale

    return apply


class Scenario(NamedTuple):
    """What differs in the candidate, and what goes wrong while trials are made."""

    name: str
    effect: Effect
    everywhere: bool = False
    outage: float = 0.0
    lost: float = 0.0
    unequal: bool = False
    alarm: str = "found"


def nothing(chances: Chances, _: np.random.Generator) -> Chances:
    """The candidate is what the baseline was."""
    return chances


SCENARIOS = (
    Scenario("nothing", nothing, alarm="any"),
    Scenario("nothing, 5-point outage in one window", nothing, outage=0.05, alarm="any"),
    Scenario("nothing, 5 % of trials lost", nothing, lost=0.05, alarm="any"),
    Scenario("nothing, 2 trials against 4", nothing, unequal=True, alarm="any"),
    Scenario("drift that leaves the mean", drift(0.2), everywhere=True, alarm="regressed"),
    Scenario("diffuse, -10 points", diffuse(0.10)),
    Scenario("concentrated, -10 points", concentrated(0.10)),
    Scenario("one case broken", set_surest(1, 0.0)),
    Scenario("two cases broken", set_surest(2, 0.0)),
    Scenario("one case breaks to 0.3", set_surest(1, 0.3)),
    Scenario("improvement", lambda chances, _: 1 - (1 - chances) * 0.5, alarm="any"),
)


class Arms:
    """Both versions of one repeat: trials on demand, for the store and for re-runs."""

    def __init__(
        self, mix: str, scenario: Scenario, routes: int, cases: int, rng: np.random.Generator
    ) -> None:
        self.rng, self.scenario = rng, scenario
        self.before = [draw_cases(mix, cases, rng) for _ in range(routes)]
        self.after = [
            scenario.effect(chances, rng) if route == 0 or scenario.everywhere else chances
            for route, chances in enumerate(self.before)
        ]

    def stored(self, trials: int) -> list[Comparison]:
        """The trials that both runs made, before anything is suspected."""
        counts = (2, 4) if self.scenario.unequal else (trials, trials)
        return [
            Comparison(
                f"r{route}",
                SCORER,
                Paired(
                    tuple(f"r{route}-{case}" for case in range(len(before))),
                    self._observed(before, counts[0]),
                    self._observed(np.maximum(0, after - self.scenario.outage), counts[1]),
                ),
            )
            for route, (before, after) in enumerate(zip(self.before, self.after, strict=True))
        ]

    def _observed(self, chances: Chances, trials: int) -> tuple[Observed, ...]:
        passes = self.rng.random((len(chances), trials)) < chances[:, None]
        kept = self.rng.random(passes.shape) >= self.scenario.lost
        kept[:, 0] = True
        rows = (tuple(map(float, row[keep])) for row, keep in zip(passes, kept, strict=True))
        return tuple(Observed(row, row) for row in rows)

    def rerun(self, wanted: Mapping[str, int]) -> tuple[list[Row], list[Row]]:
        """Fresh trials of these cases in both arms."""
        return self._rows(wanted, self.before), self._rows(wanted, self.after)

    def _rows(self, wanted: Mapping[str, int], arm: list[Chances]) -> list[Row]:
        rows = []
        for name, trials in wanted.items():
            route, case = map(int, name[1:].split("-"))
            passes = self.rng.random(trials) < arm[route][case]
            kept = self.rng.random(trials) >= self.scenario.lost
            rows += [
                Row(f"r{route}", name, trial, SCORER, float(ok), bool(ok))
                for trial, (ok, keep) in enumerate(zip(passes, kept, strict=True))
                if keep
            ]
        return rows


class Outcome(NamedTuple):
    """One repeat: verdicts that block, here and elsewhere, and trials a case over both arms."""

    here: bool
    elsewhere: bool
    anywhere_regressed: bool
    trials: float


def outcome(found: Confirmation, stored: list[Comparison]) -> Outcome:
    verdicts = [one.verdict for one in found.found]
    blocked = [verdict in BLOCKING for verdict in verdicts]
    cases = sum(len(one.stored.cases) for one in stored)
    trials = sum(one.stored.trials for one in stored) + found.spent
    return Outcome(blocked[0], any(blocked[1:]), "regressed" in verdicts, trials / cases)


def measure(
    mix: str, scenario: Scenario, routes: int, cases: int, trials: int, repeats: int
) -> np.ndarray:
    """Shares: blocked here, elsewhere, anywhere, `regressed` anywhere; mean trials a case."""
    rng = np.random.default_rng([SEED, routes, cases])
    seen = []
    for _ in range(repeats):
        arms = Arms(mix, scenario, routes, cases, rng)
        stored = arms.stored(trials)
        one = outcome(confirm(stored, arms.rerun, alpha=ALPHA), stored)
        seen.append(
            (one.here, one.elsewhere, one.here or one.elsewhere, one.anywhere_regressed, one.trials)
        )
    return np.mean(seen, axis=0)


def one_stage(mix: str, scenario: Scenario, routes: int, cases: int, trials: int, repeats: int):
    """The same without re-runs: what a gate on stored runs finds, here and anywhere."""
    rng = np.random.default_rng([SEED, routes, cases])
    seen = []
    for _ in range(repeats):
        family = [one.stored for one in Arms(mix, scenario, routes, cases, rng).stored(trials)]
        blocked = [found.verdict in BLOCKING for found in judge(family, ALPHA)]
        seen.append((blocked[0], any(blocked)))
    return np.mean(seen, axis=0)


def level_of_mid_p(mix: str, cases: int, trials: int, repeats: int) -> tuple[float, float]:
    """How often p and mid-p of the linear part fall to 5 % when nothing changed."""
    rng = np.random.default_rng(7)
    hits = np.zeros(2)
    for _ in range(repeats):
        (one,) = Arms(mix, SCENARIOS[0], 1, cases, rng).stored(trials)
        found = permutation_drop(
            [seen.values for seen in one.stored.baseline],
            [seen.values for seen in one.stored.candidate],
        )
        hits += (found.p <= ALPHA, found.mid_p <= ALPHA)
    return float(hits[0] / repeats), float(hits[1] / repeats)


def say_confirm(routes: int, cases: int, trials: int, repeats: int, scenarios) -> None:
    """A Markdown table: scenario by mix, in percent; trials a case in brackets."""
    print(f"\n{routes} routes x {cases} cases, {trials} stored trials, {repeats} repeats\n")
    print("| effect | counted | " + " | ".join(MIXES) + " |")
    print("| --- | --- |" + " ---: |" * len(MIXES))
    for scenario in scenarios:
        cells = []
        for mix in MIXES:
            here, _, anywhere, regressed, price = measure(
                mix, scenario, routes, cases, trials, repeats
            )
            share = {"found": here, "any": anywhere, "regressed": regressed}[scenario.alarm]
            cells.append(f"{share:.1%} ({price:.1f})")
        counted = {"found": "found", "any": "any alarm", "regressed": "any `regressed`"}
        print(
            f"| {scenario.name} | {counted[scenario.alarm]} | " + " | ".join(cells) + " |",
            flush=True,
        )


def say_one_stage(routes: int, cases: int, trials: int, repeats: int) -> None:
    """The same effects without re-runs."""
    print(f"\nWithout re-runs: {routes} routes x {cases} cases x {trials} trials\n")
    print("| effect | counted | " + " | ".join(MIXES) + " |")
    print("| --- | --- |" + " ---: |" * len(MIXES))
    for scenario in (SCENARIOS[0], SCENARIOS[5], SCENARIOS[6], SCENARIOS[7], SCENARIOS[8]):
        cells = []
        for mix in MIXES:
            here, anywhere = one_stage(mix, scenario, routes, cases, trials, repeats)
            cells.append(f"{anywhere if scenario.alarm == 'any' else here:.1%}")
        counted = "any alarm" if scenario.alarm == "any" else "found"
        print(f"| {scenario.name} | {counted} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Prints all tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--cases", type=int, default=30)
    parser.add_argument("--trials", type=int, default=3)
    asked = parser.parse_args()
    began = time.perf_counter()
    cases, trials = asked.cases, asked.trials
    say_confirm(8, cases, trials, asked.repeats, SCENARIOS)
    say_confirm(1, cases, trials, asked.repeats, (SCENARIOS[0], SCENARIOS[5]))
    say_confirm(50, cases, trials, max(16, asked.repeats // 10), SCENARIOS[:1])
    say_one_stage(8, cases, trials, max(40, asked.repeats // 4))
    print("\nLinear part alone, nothing changed: share of p and of mid-p at or under 5 %\n")
    for mix in MIXES:
        full, mid = level_of_mid_p(mix, cases, trials, asked.repeats * 2)
        print(f"- {mix}: p {full:.1%}, mid-p {mid:.1%}")
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
