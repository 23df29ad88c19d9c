"""False-alarm rate and power of the gate, measured: `python benchmarks/gate/simulate.py`.

Each repeat draws cases from a mix, runs a baseline and a candidate of independent trials, and
judges all routes with :func:`evalkit.verdicts.judge`, the function that the gate uses. The
candidate of an effect differs on the first route only; "found" is a blocking verdict there,
"elsewhere" one on any other route. Seeds are fixed: two runs print the same table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from evalkit.comparison import Paired
from evalkit.observations import Observed
from evalkit.permutation import permutation_drop
from evalkit.verdicts import judge

ALPHA = 0.05
BLOCKING = {"regressed", "broken"}
# Shares of cases by their chance to pass.
MIXES = {
    "near-sure": ((0.99, 1.0),),
    "mixed": ((0.98, 0.7), (0.6, 0.2), (0.05, 0.1)),
    "flaky": ((0.7, 0.5), (0.4, 0.5)),
}

Effect = Callable[[np.ndarray], np.ndarray]


def diffuse(points: float) -> Effect:
    """The mean drops by so much, every case in proportion to its chance to pass."""
    return lambda chances: chances * max(0.0, 1 - points / max(1e-9, chances.mean()))


def broken(count: int) -> Effect:
    """That many of the surest cases never pass again."""

    def apply(chances: np.ndarray) -> np.ndarray:
        changed = chances.copy()
        changed[np.argsort(-chances)[:count]] = 0.0
        return changed

    return apply


EFFECTS: dict[str, Effect] = {
    "nothing": lambda chances: chances,
    "diffuse -10 points": diffuse(0.10),
    "diffuse -20 points": diffuse(0.20),
    "one case broken": broken(1),
    "two cases broken": broken(2),
    "three cases broken": broken(3),
    "five cases broken": broken(5),
}


def run(chances: np.ndarray, trials: int, rng: np.random.Generator) -> tuple[Observed, ...]:
    """Trials of one arm; one trial in fifty is lost, as in a real run."""
    passes = rng.random((len(chances), trials)) < chances[:, None]
    kept = rng.random(passes.shape) >= 0.02
    kept[:, 0] = True
    rows = (tuple(map(float, row[keep])) for row, keep in zip(passes, kept, strict=True))
    return tuple(Observed(row, row) for row in rows)


def repeat(
    mix: str, effect: Effect, routes: int, cases: int, trials: int, rng: np.random.Generator
) -> tuple[bool, bool]:
    """One gate: whether the first route was blocked, and whether any other was."""
    levels, shares = zip(*MIXES[mix], strict=True)
    family = []
    for route in range(routes):
        chances = rng.choice(levels, size=cases, p=shares)
        after = effect(chances) if route == 0 else chances
        names = tuple(map(str, range(cases)))
        family.append(Paired(names, run(chances, trials, rng), run(after, trials, rng)))
    blocked = [found.verdict in BLOCKING for found in judge(family, ALPHA)]
    return blocked[0], any(blocked[1:])


def level_of_mid_p(mix: str, cases: int, trials: int, repeats: int) -> tuple[float, float]:
    """How often p and mid-p of the linear part fall to 5 % when nothing changed."""
    rng = np.random.default_rng(7)
    levels, shares = zip(*MIXES[mix], strict=True)
    hits = np.zeros(2)
    for _ in range(repeats):
        chances = rng.choice(levels, size=cases, p=shares)
        arms = [[one.values for one in run(chances, trials, rng)] for _ in range(2)]
        found = permutation_drop(*arms)
        hits += (found.p <= ALPHA, found.mid_p <= ALPHA)
    return float(hits[0] / repeats), float(hits[1] / repeats)


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--routes", type=int, default=8)
    parser.add_argument("--cases", type=int, default=30)
    parser.add_argument("--trials", type=int, nargs="*", default=[3, 5])
    asked = parser.parse_args()
    began = time.perf_counter()
    print(f"{asked.routes} routes x {asked.cases} cases, {asked.repeats} repeats, alpha {ALPHA}")
    print(f"{'mix':<10} {'trials':>6}  {'effect on one route':<20} {'found':>6} {'elsewhere':>9}")
    for mix in MIXES:
        for trials in asked.trials:
            for name, effect in EFFECTS.items():
                rng = np.random.default_rng(20261120)
                found = [
                    repeat(mix, effect, asked.routes, asked.cases, trials, rng)
                    for _ in range(asked.repeats)
                ]
                here, there = np.mean(found, axis=0)
                if name == "nothing":
                    anywhere = np.mean([a or b for a, b in found])
                    print(f"{mix:<10} {trials:>6}  {'nothing (any alarm)':<20} {anywhere:>6.1%}")
                else:
                    print(f"{mix:<10} {trials:>6}  {name:<20} {here:>6.1%} {there:>9.1%}")
    print("\nlinear part alone, one route, nothing changed: share of p and mid-p at or under 5 %")
    for mix in MIXES:
        for cases, trials in ((8, 3), (30, 3), (30, 5)):
            full, mid = level_of_mid_p(mix, cases, trials, asked.repeats * 10)
            print(f"{mix:<10} {cases:>3} cases x {trials}: p {full:.1%}, mid-p {mid:.1%}")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
