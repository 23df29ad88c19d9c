"""Scores on no grid, and what trials take: `python benchmarks/gate/graded.py`.

How often is something called a change where nothing changed, and how often is a change seen, where
the versions have so many trials a case? At a level of 5 % for each direction, before Holm. Seeds
are fixed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np

from evalkit.efficiency import MARGIN, Change
from evalkit.permutation import mean_drop, permutation_drop

ALPHA = 0.05
SEED = 20261121
CASES = (5, 20, 100, 300)
SOME = 20  # cases in which changes are looked for
Generator = np.random.Generator
Draw = Callable[[Generator, tuple[int, int]], np.ndarray]


def one_of(*values: float, chances: tuple[float, ...]) -> Draw:
    """One of these values, by their chances."""
    return lambda rng, size: rng.choice(values, size, p=chances)


def unlike(rng: Generator, size: tuple[int, int]) -> np.ndarray:
    """Cases of very different spread."""
    spread = 0.03 * rng.lognormal(0, 1, (size[0], 1))
    return np.clip(0.6 + spread * rng.normal(0, 1, size), 0, 1)


def hanging(rng: Generator, size: tuple[int, int]) -> np.ndarray:
    """Seconds, of which every twentieth is fifty times as long."""
    return rng.lognormal(0, 0.2, size) * np.where(rng.random(size) < 0.05, 50, 1)


# Scores, and what part of them is left after a drop.
SCORES: dict[str, tuple[Draw, float]] = {
    "three values": (one_of(0.3183, 0.3679, 0.9123, chances=(0.2, 0.3, 0.5)), 0.8),
    "mostly 1": (one_of(1, 7 / 8, 7 / 9, 7 / 11, 7 / 13, chances=(0.6, *[0.1] * 4)), 0.95),
    "Beta(5, 2)": (lambda rng, size: rng.beta(5, 2, size), 0.9),
    "cases of unlike spread": (unlike, 0.975),
    "heavy tail": (lambda rng, size: np.minimum(1, rng.lognormal(-4, 1.5, size)), 0.4),
    "halves, on a grid": (one_of(0, 0.5, 1, chances=(0.2, 0.3, 0.5)), 0.8),
}
TAKEN: dict[str, Draw] = {
    "tokens, a fifth retried": one_of(1_000, 10_000, chances=(0.8, 0.2)),
    "seconds, lognormal 0.5": lambda rng, size: rng.lognormal(0, 0.5, size),
    "seconds, some hang": hanging,
    "steps, Poisson": lambda rng, size: 2.0 + rng.poisson(6, size),
}
LOST = "5, a fifth lost"
DESIGNS: dict[str, tuple[int, int]] = {
    **{
        f"{before} and {after}": (before, after)
        for before, after in ((1, 1), (3, 3), (1, 2), (1, 3), (2, 3), (3, 5), (5, 1))
    },
    LOST: (5, 5),
}


class Setting(NamedTuple):
    """What is drawn, the trials of a case, and what the candidate's values are multiplied by."""

    draw: str
    design: str
    cases: int
    scale: float
    repeats: int


def arms(setting: Setting, rng: Generator) -> list[np.ndarray]:
    """Both versions' values, a row for each case; NaN for what is lost."""
    draw = SCORES[setting.draw][0] if setting.draw in SCORES else TAKEN[setting.draw]
    sizes = DESIGNS[setting.design]
    both = draw(rng, (setting.cases, sum(sizes))).astype(float)
    both[:, sizes[0] :] *= setting.scale
    if setting.design == LOST:
        lost = rng.random(both.shape) < 0.2
        lost[:, [0, -1]] = False
        both[lost] = np.nan
    return [both[:, : sizes[0]], both[:, sizes[0] :]]


def seen(setting: Setting) -> np.ndarray:
    """Shares of repeats: values called lower, higher, and scores called lower by the mean alone."""
    places = [[*SCORES, *TAKEN].index(setting.draw), list(DESIGNS).index(setting.design)]
    rng = np.random.default_rng([SEED, *places, setting.cases, round(setting.scale * 1000)])
    found = np.zeros(3)
    for _ in range(setting.repeats):
        both = arms(setting, rng)
        if setting.draw in SCORES:
            listed = [[row[~np.isnan(row)].tolist() for row in arm] for arm in both]
            test = mean_drop(*listed)
            mean = test if setting.scale == 1 else permutation_drop(*listed)
            ps = (test.p, test.p_rise, mean.p)
        else:
            change = Change("route", "tokens", *both)
            ps = (change.p(worse=False), change.p(worse=True), 1.0)
        found += np.array(ps) <= ALPHA
    return found / setting.repeats


def percent(share: float) -> str:
    """A share in a cell."""
    return f"{share:.1%}"


def row(*cells: str) -> None:
    """Prints a line of a table in Markdown."""
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=100, help="of each setting")
    repeats = parser.parse_args().repeats
    with ProcessPoolExecutor(os.cpu_count()) as pool:

        def shares(draws: Iterable[str], designs: Iterable[str], scale: float) -> np.ndarray:
            grid = [
                (draw, design, cases) for draw in draws for design in designs for cases in CASES
            ]
            return np.array([*pool.map(seen, [Setting(*one, scale, repeats) for one in grid])])

        row("trials", "called lower", "called higher")
        row("---", "---:", "---:")
        for design in DESIGNS:
            same = shares(SCORES, [design], 1.0)[:, :2]
            row(design, *map(percent, same.mean(axis=0)))
        print()
        row("scores", "left of them", "drop found", "by the mean alone")
        row("---", *["---:"] * 3)
        for draw, (_, left) in SCORES.items():
            drops = [Setting(draw, design, SOME, left, repeats) for design in DESIGNS]
            power = np.mean([*pool.map(seen, drops)], axis=0)
            row(draw, f"{left:g}", percent(power[0]), percent(power[2]))
        print()
        row("what trials take", "called lower", "called higher", "10 % more", "40 % more, found")
        row("---", *["---:"] * 4)
        for draw in TAKEN:
            same, edge = (shares([draw], DESIGNS, scale) for scale in (1.0, 1 + MARGIN))
            rises = [Setting(draw, design, SOME, 1.4, repeats) for design in DESIGNS]
            power = np.mean([*pool.map(seen, rises)], axis=0)
            levels = (*same.mean(axis=0)[:2], edge[:, 1].mean(), power[1])
            row(draw, *map(percent, levels))


if __name__ == "__main__":
    main()
