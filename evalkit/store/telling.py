"""What the trajectories of a stored run hold, by route: see :class:`evalkit.results.Told`."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import msgspec

from evalkit.results import Told
from evalkit.trajectory import Coverage

if TYPE_CHECKING:
    import pyarrow as pa

TOLD_TRIALS = ("case", "route", "coverage")
TOLD_STEPS = ("case", "kind")

_decode = msgspec.json.Decoder(Coverage).decode


def told_by_route(trials: pa.Table, steps: pa.Table) -> dict[str, Told]:
    """Trials without a trajectory count for nothing; nor does coverage that cannot be read."""
    routes: dict[str, str] = {}
    counts: Counter[str] = Counter()
    scopes: dict[str, set[tuple[str, str]]] = defaultdict(set)
    missing: dict[str, Counter[str]] = defaultdict(Counter)
    for case, route, text in zip(*(trials[name].to_pylist() for name in TOLD_TRIALS), strict=True):
        routes[case] = route
        try:
            coverage = _decode(text) if text else None
        except (msgspec.MsgspecError, RecursionError):
            coverage = None
        if coverage is not None:
            counts[route] += 1
            scopes[route].update(coverage.scopes.items())
            missing[route].update(set(coverage.missing))
    kinds: dict[str, set[str]] = defaultdict(set)
    for found in steps.group_by(list(TOLD_STEPS)).aggregate([]).to_pylist():
        if found["case"] in routes:
            kinds[routes[found["case"]]].add(found["kind"])
    return {
        route: Told(
            counts[route], frozenset(scopes[route]), frozenset(kinds[route]), missing[route]
        )
        for route in counts
    }
