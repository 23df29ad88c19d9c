"""How the scores of a route moved over runs, when they changed, and how surely.

A change splits the runs in two. Whether there is one is decided as the gate decides: by the
within-case permutation test, here of all trials before against all trials after, corrected for
every split that was looked at. Where it is, is told as the runs that hold it with 95 %
probability, under normal noise as large as the trials of one case differ.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from evalkit.observations import Floats, Observed, cases_by_route, observations, score_rows
from evalkit.permutation import permutation_drop
from evalkit.reliability import flaky_cases
from evalkit.reports import FlakyCase
from evalkit.results import Recorded
from evalkit.stats import mean_interval

CREDIBLE = 0.95


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One run: the mean over cases with its 95 % interval. ``started`` is seconds since epoch."""

    run: str
    label: str
    commit: str | None
    started: float
    mean: float
    low: float
    high: float
    cases: int
    trials: int


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The scores moved at ``run``, the first after the change.

    ``before`` and ``after`` are means over the cases that all runs of the stretch share, and over
    its runs; ``p_adjusted`` is for all splits that were looked at. The change lies at ``earliest``,
    at ``latest`` or between them with a probability of at least 95 %, and at ``run`` with
    ``probability``.
    """

    run: str
    label: str
    commit: str | None
    before: float
    after: float
    difference: float
    p_adjusted: float
    earliest: str
    latest: str
    probability: float


class RouteHistory(msgspec.Struct, frozen=True, kw_only=True):
    """One scorer on one route over runs, oldest first. ``compared`` cases are alike in all runs.

    ``flaky`` are the cases whose trials disagree within a run, flakiest first, at most five of
    ``flaky_cases``; their ``arms`` are trials passed and made, run by run.
    """

    route: str
    scorer: str
    points: tuple[Point, ...]
    changes: tuple[Change, ...]
    compared: int
    flaky: tuple[FlakyCase, ...] = ()
    flaky_cases: int = 0


class _Seen(NamedTuple):
    """One run's scores of one route: by case, and by case with its digest."""

    recorded: Recorded
    by_case: dict[str, Observed]
    by_digest: dict[tuple[str, str], Observed]


def histories(
    runs: Sequence[Recorded], scorers: Sequence[str], route: str | None = None, alpha: float = 0.05
) -> tuple[RouteHistory, ...]:
    """Every route (or one) and scorer that these runs, oldest first, have scores of."""
    rows = [score_rows(one) for one in runs]
    routes = list(dict.fromkeys(case.route for one in reversed(runs) for case in one.run.planned))
    places = [cases_by_route(one) for one in runs]
    found = []
    for scorer in scorers:
        observed = [observations(one, scorer) for one in rows]
        for name in routes if route is None else [route]:
            seen = [
                _Seen(one, *_of_route(one, seen, places[at].get(name, ())))
                for at, (one, seen) in enumerate(zip(runs, observed, strict=True))
            ]
            known = [one for one in seen if one.by_case]
            if known:
                found.append(_history(name, scorer, known, alpha))
    return tuple(sorted(found, key=lambda one: routes.index(one.route) if route is None else 0))


def _of_route(
    recorded: Recorded, observed: dict[str, Observed], places: Iterable[int]
) -> tuple[dict[str, Observed], dict[tuple[str, str], Observed]]:
    planned = [recorded.run.planned[at] for at in places]
    known = [case for case in planned if case.id in observed]
    return (
        {case.id: observed[case.id] for case in known},
        {(case.id, case.digest): observed[case.id] for case in known},
    )


def _history(route: str, scorer: str, seen: list[_Seen], alpha: float) -> RouteHistory:
    shared = set.intersection(*(set(one.by_digest) for one in seen))
    versions: dict[tuple[str, str], list[Observed]] = {key: [] for key in seen[-1].by_digest}
    for one in seen:
        for key in versions.keys() & one.by_digest.keys():
            versions[key].append(one.by_digest[key])
    flaky, many = flaky_cases({case: arms for (case, _), arms in versions.items()})
    return RouteHistory(
        route=route,
        scorer=scorer,
        points=tuple(map(_point, seen)),
        changes=tuple(_changes(seen, alpha)),
        compared=len(shared),
        flaky=flaky,
        flaky_cases=many,
    )


def _point(seen: _Seen) -> Point:
    run, found = seen.recorded.run, mean_interval([one.mean for one in seen.by_case.values()])
    assert found is not None, "a run of a history has scored cases"
    return Point(
        run=run.id,
        label=run.label,
        commit=run.commit,
        started=run.started,
        mean=found.mean,
        low=found.low,
        high=found.high,
        cases=len(seen.by_case),
        trials=sum(len(one.values) for one in seen.by_case.values()),
    )


# --- change points ------------------------------------------------------------------------


def _changes(seen: list[_Seen], alpha: float) -> Iterator[Change]:
    """The changes in order of time: the surest split first, then those within either side."""
    pending, found = [(0, len(seen))], []
    splits = 2 * max(1, len(seen) - 1)
    while pending:
        start, end = pending.pop()
        stretch = seen[start:end]
        shared = sorted(set.intersection(*(set(one.by_digest) for one in stretch)))
        if len(stretch) < 2 or not shared:
            continue
        weights = _weights(stretch, shared)
        at = int(np.argmax(weights)) + 1
        p = min(1.0, splits * _p(stretch, shared, at))
        if p <= alpha:
            found.append((start + at, _change(stretch, shared, at, weights, p)))
            pending += [(start, start + at), (start + at, end)]
    yield from (change for _, change in sorted(found, key=lambda one: one[0]))


def _p(stretch: list[_Seen], shared: list[tuple[str, str]], at: int) -> float:
    """One-sided p of the stronger direction: the trials before against those after."""
    arms = [
        [[value for one in side for value in one.by_digest[case].values] for case in shared]
        for side in (stretch[:at], stretch[at:])
    ]
    test = permutation_drop(*arms)
    return min(test.p, test.p_rise)


def _change(
    stretch: list[_Seen], shared: list[tuple[str, str]], at: int, weights: Floats, p: float
) -> Change:
    means = _means(stretch, shared)
    before, after = float(means[:at].mean()), float(means[at:].mean())
    run = stretch[at].recorded.run
    inside = _credible(weights)
    return Change(
        run=run.id,
        label=run.label,
        commit=run.commit,
        before=before,
        after=after,
        difference=after - before,
        p_adjusted=p,
        earliest=stretch[min(inside) + 1].recorded.run.id,
        latest=stretch[max(inside) + 1].recorded.run.id,
        probability=float(weights[at - 1]),
    )


def _credible(weights: Floats) -> list[int]:
    """The likeliest splits that together hold 95 %."""
    total, chosen = 0.0, []
    for split in np.argsort(-weights, kind="stable").tolist():
        chosen.append(split)
        total += float(weights[split])
        if total >= CREDIBLE:
            break
    return chosen


def _weights(stretch: list[_Seen], shared: list[tuple[str, str]]) -> Floats:
    """The probability of each split, all alike before the data were seen, if there is one."""
    means, noise = _means(stretch, shared), _noise(stretch, shared)
    errors = np.array(
        [
            sum((a - b) ** 2 for side in _sides(means, at) for a, b in zip(*side, strict=True))
            for at in range(1, len(means))
        ]
    )
    # What the trials cannot explain at the best split is noise between runs.
    spare = max(1, len(means) - 2)
    variance = max(noise, float(errors.min()) / spare)
    logs = -errors / (2 * variance)
    found: Floats = np.exp(logs - logs.max())
    found /= found.sum()
    return found


def _sides(means: Floats, at: int) -> Iterator[tuple[Floats, Floats]]:
    for side in (means[:at], means[at:]):
        yield side, np.full(len(side), side.mean())


def _means(stretch: list[_Seen], shared: list[tuple[str, str]]) -> Floats:
    return np.array([np.mean([one.by_digest[case].mean for case in shared]) for one in stretch])


def _noise(stretch: list[_Seen], shared: list[tuple[str, str]]) -> float:
    """The variance of a run's mean that its trials explain; never 0, as if one trial had differed.

    Pooled over the runs' cases; a case of a single trial tells nothing of it.
    """
    squares, freedom, sizes = 0.25, 1, Counter[int]()
    for one in stretch:
        for case in shared:
            values = one.by_digest[case].values
            mean = math.fsum(values) / len(values)
            squares += math.fsum((value - mean) ** 2 for value in values)
            freedom += len(values) - 1
            sizes[len(values)] += 1
    per_trial = sum(count / size for size, count in sizes.items()) / sum(sizes.values())
    return squares / freedom * per_trial / len(shared)
