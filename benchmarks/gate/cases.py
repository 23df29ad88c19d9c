"""The pipelines that the gate is tried on: cases, what becomes of them, and trials on demand.

Every case has a chance to pass; a trial is a draw with that chance. An effect changes the chances
of the candidate. Things that go wrong while trials are made (an outage, lost trials) change no
case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from evalkit.comparison import Paired
from evalkit.confirming import Comparison, Row
from evalkit.observations import Observed

SCORER = "task_completion"

Chances = np.ndarray
Effect = Callable[[Chances, np.random.Generator], Chances]
Mix = Callable[[int, np.random.Generator], Chances]


def levels(chances: tuple[float, ...], shares: tuple[float, ...]) -> Mix:
    """Each case has one of these chances to pass, by their shares."""
    return lambda cases, rng: rng.choice(chances, size=cases, p=shares)


def beta(a: float, b: float) -> Mix:
    """Each case has a chance of its own, from a Beta distribution."""
    return lambda cases, rng: rng.beta(a, b, cases)


MIXES: dict[str, Mix] = {
    "near-sure": levels((0.99, 0.97, 0.9), (0.7, 0.2, 0.1)),
    "mixed": levels((0.98, 0.6, 0.05), (0.7, 0.2, 0.1)),
    "agentic": levels((0.97, 0.8, 0.5, 0.15), (0.45, 0.2, 0.2, 0.15)),
    "beta": beta(2, 0.5),
    "good": beta(4, 1),
    "flaky": levels((0.95, 0.7, 0.4, 0.1), (0.3, 0.4, 0.2, 0.1)),
    "all flaky": beta(2, 2),
}
# Of another kind than those on which the gate's rounds were chosen.
OTHERS: dict[str, Mix] = {
    "60/30/10": levels((0.99, 0.6, 0.05), (0.6, 0.3, 0.1)),
    "sure": lambda cases, rng: rng.uniform(0.95, 0.99, cases),
    "six levels": levels((0.98, 0.8, 0.6, 0.4, 0.2, 0.02), (0.25, 0.15, 0.15, 0.1, 0.15, 0.2)),
    "Beta(7, 3)": beta(7, 3),
    "coin": levels((0.5,), (1.0,)),
}
ALL = {**MIXES, **OTHERS}


def nothing(chances: Chances, _: np.random.Generator) -> Chances:
    """The candidate is what the baseline was."""
    return chances


def improvement(chances: Chances, _: np.random.Generator) -> Chances:
    """Every case fails half as often."""
    return 1 - (1 - chances) * 0.5


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
    """What differs in the candidate, and what goes wrong while trials are made.

    The effect is on the first route, or on all (``everywhere``). ``outage`` is taken off the
    chances while the candidate's stored trials are made, ``lost`` is the chance of any trial to
    be lost, ``unequal`` stores 2 trials against 4. ``alarm`` says what is counted: a blocking
    verdict on the first route (found), on any (any), or `regressed` on any (regressed).
    """

    name: str
    effect: Effect
    everywhere: bool = False
    outage: float = 0.0
    lost: float = 0.0
    unequal: bool = False
    alarm: str = "found"


NOTHING = Scenario("nothing", nothing, alarm="any")
DIFFUSE = Scenario("diffuse, -10 points", diffuse(0.10))
CONCENTRATED = Scenario("concentrated, -10 points", concentrated(0.10))
BROKEN = Scenario("one case broken", set_surest(1, 0.0))
TWO_BROKEN = Scenario("two cases broken", set_surest(2, 0.0))
PARTIAL = Scenario("one case breaks to 0.3", set_surest(1, 0.3))
WITHOUT_CHANGE = (
    NOTHING,
    Scenario("nothing, 5-point outage in one window", nothing, outage=0.05, alarm="any"),
    Scenario("nothing, 5 % of trials lost", nothing, lost=0.05, alarm="any"),
    Scenario("nothing, 2 trials against 4", nothing, unequal=True, alarm="any"),
    Scenario("drift that leaves the mean", drift(0.2), everywhere=True, alarm="regressed"),
    Scenario("improvement", improvement, alarm="any"),
)
WORSE = (
    DIFFUSE,
    CONCENTRATED,
    BROKEN,
    TWO_BROKEN,
    PARTIAL,
)


class Arms:
    """Both versions of one repeat: trials on demand, for the store and for re-runs."""

    def __init__(
        self, mix: str, scenario: Scenario, routes: int, cases: int, rng: np.random.Generator
    ) -> None:
        self.rng, self.scenario = rng, scenario
        self.before = [ALL[mix](cases, rng) for _ in range(routes)]
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

    def lowered(self) -> set[str]:
        """The cases that pass less often than before."""
        return {
            f"r{route}-{case}"
            for route, (before, after) in enumerate(zip(self.before, self.after, strict=True))
            for case in np.flatnonzero(after < before).tolist()
        }

    def _observed(self, chances: Chances, trials: int) -> tuple[Observed, ...]:
        passes = self.rng.random((len(chances), trials)) < chances[:, None]
        kept = self.rng.random(passes.shape) >= self.scenario.lost
        kept[:, 0] = True
        rows = (tuple(row[keep].tolist()) for row, keep in zip(passes * 1.0, kept, strict=True))
        return tuple(Observed(row, row) for row in rows)

    def rerun(self, wanted: Mapping[str, int]) -> tuple[list[Row], list[Row]]:
        """Fresh trials of these cases in both arms."""
        return self._rows(wanted, self.before), self._rows(wanted, self.after)

    def _rows(self, wanted: Mapping[str, int], arm: list[Chances]) -> list[Row]:
        rows = []
        for name, trials in wanted.items():
            route, case = map(int, name[1:].split("-"))
            passes = (self.rng.random(trials) < arm[route][case]).tolist()
            kept = (self.rng.random(trials) >= self.scenario.lost).tolist()
            rows += [
                Row(f"r{route}", name, trial, SCORER, float(ok), ok)
                for trial, (ok, keep) in enumerate(zip(passes, kept, strict=True))
                if keep
            ]
        return rows
