"""What the trajectories of a stored run hold, by route: see :class:`evalkit.results.Told`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from evalkit.observations import codes, encoded
from evalkit.results import Told
from evalkit.trajectory import Coverage

if TYPE_CHECKING:
    import pyarrow as pa

    from evalkit.observations import Whole

TOLD_TRIALS = ("case", "route", "coverage")
TOLD_STEPS = ("case", "kind")

_decode = msgspec.json.Decoder(Coverage).decode


def told_by_route(trials: pa.Table, steps: pa.Table) -> dict[str, Told]:
    """Trials without a trajectory count for nothing; nor does coverage that cannot be read."""
    import numpy as np

    routes, route = encoded(trials["route"])
    texts, text = encoded(trials["coverage"])
    counts: Counter[str] = Counter()
    scopes: dict[str, set[tuple[str, str]]] = defaultdict(set)
    missing: dict[str, Counter[str]] = defaultdict(Counter)
    for at, said, often in _pairs(route, text):
        try:
            coverage = _decode(texts[said])
        except (msgspec.MsgspecError, RecursionError):
            continue
        counts[routes[at]] += often
        scopes[routes[at]].update(coverage.scopes.items())
        missing[routes[at]].update(dict.fromkeys(coverage.missing, often))
    cases, case = encoded(trials["case"])
    of_case = np.full(len(cases) + 1, -1, dtype=np.intp)
    of_case[case] = route
    of_case[-1] = -1
    names, kind = encoded(steps["kind"])
    kinds: dict[str, set[str]] = defaultdict(set)
    for at, named, _ in _pairs(of_case[codes(steps["case"], cases)], kind):
        kinds[routes[at]].add(names[named])
    return {
        route: Told(
            counts[route], frozenset(scopes[route]), frozenset(kinds[route]), missing[route]
        )
        for route in counts
    }


def _pairs(first: Whole, second: Whole) -> Iterator[tuple[int, int, int]]:
    """The different pairs of two columns, each with how often it is there; none below zero."""
    import numpy as np

    known = (first >= 0) & (second >= 0)
    wide = int(second.max(initial=0)) + 1
    pairs, often = np.unique(first[known] * wide + second[known], return_counts=True)
    yield from zip((pairs // wide).tolist(), (pairs % wide).tolist(), often.tolist(), strict=True)
