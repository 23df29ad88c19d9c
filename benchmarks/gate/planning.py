"""Is `evalkit plan` right? Drops that it calls found with 80 % power, put to the gate itself.

`PYTHONPATH=. python benchmarks/gate/planning.py` plans for cases whose chances are known, then
simulates the gate at exactly the drop that was planned, in one stage and with confirmation, and
prints how often it was found. Seeds are fixed.
"""

from __future__ import annotations

import argparse

import numpy as np
from cases import MIXES, SCORER, Arms, Scenario, diffuse
from simulate import ALPHA, BLOCKING

from evalkit.confirming import confirm
from evalkit.power import PlanRow, plan
from evalkit.results import PlannedCase
from evalkit.suite import GatePolicy
from evalkit.verdicts import judge
from tests.recordings import of_values


def planned(mix: str, routes: int, cases: int, trials: int) -> tuple[float | None, float | None]:
    """The drops that plans give from past runs of such cases, the middle over eight routes or more.

    Each past run has cases of its own, and so has each simulated gate.
    """
    rng = np.random.default_rng(11)
    rows = [
        row for _ in range(-(-8 // routes)) for row in plan_rows(mix, routes, cases, trials, rng)
    ]
    one = [row.one_stage for row in rows if row.one_stage is not None]
    two = [row.confirmed for row in rows if row.confirmed is not None]
    return (float(np.median(one)) if one else None, float(np.median(two)) if two else None)


def plan_rows(
    mix: str, routes: int, cases: int, trials: int, rng: np.random.Generator
) -> tuple[PlanRow, ...]:
    """The plan from one past run."""
    values = {
        f"r{route}": {
            f"r{route}-{case}": (rng.random(trials) < chance).astype(float).tolist()
            for case, chance in enumerate(MIXES[mix](cases, rng))
        }
        for route in range(routes)
    }
    past = of_values(values, scorer=SCORER)
    listed = [PlannedCase(case, route, "d") for route in values for case in values[route]]
    return plan(listed, trials, GatePolicy(on=(SCORER,), alpha=ALPHA), past=past).rows


def found(
    mix: str, drop: float, routes: int, cases: int, trials: int, repeats: int, two: bool
) -> float:
    """How often the gate finds a diffuse drop of that size on one route."""
    rng = np.random.default_rng(12)
    hits = 0
    for _ in range(repeats):
        arms = Arms(mix, Scenario("drop", diffuse(drop)), routes, cases, rng)
        stored = arms.stored(trials)
        if two:
            verdict = confirm(stored, arms.rerun, alpha=ALPHA).found[0].verdict
        else:
            verdict = judge([one.stored for one in stored], ALPHA)[0].verdict
        hits += verdict in BLOCKING
    return hits / repeats


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=100)
    asked = parser.parse_args()
    print("| mix | routes x cases x trials | planned, one stage | found | confirm | found |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for mix in MIXES:
        for routes, cases, trials in ((8, 30, 3), (8, 100, 3), (1, 30, 5)):
            one, two = planned(mix, routes, cases, trials)
            cells = []
            for drop, confirmed in ((one, False), (two, True)):
                if drop is None:
                    cells += ["none", ""]
                    continue
                share = found(mix, drop, routes, cases, trials, asked.repeats, confirmed)
                cells += [f"{drop:.3f}", f"{share:.0%}"]
            print(f"| {mix} | {routes} x {cases} x {trials} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
