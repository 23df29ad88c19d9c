"""What a suite can see: the drop that its gate finds with 80 % power, and what would help.

From the variance between a case's trials in a past run; without one from a documented mix of
cases. Normal approximations of the permutation test, for a drop of the mean that is spread over
the cases in proportion to how often each passes. `benchmarks/gate/planning.py` holds them against
simulations of the gate itself.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalkit.confirming import goals
from evalkit.observations import observations, score_rows
from evalkit.reports import RouteSummary
from evalkit.results import PlannedCase, Recorded
from evalkit.suite import GatePolicy
from evalkit.suspicion import KEEP_ROUTE

POWER = 0.8
TARGETS = (0.10, 0.05)
"""The drops for which a plan says how many cases a route needs."""

ASSUMED = ((0.98, 0.7), (0.6, 0.2), (0.05, 0.1))
"""Without a past run: shares of cases by their chance to pass (mean 0.81)."""

_NORMAL = NormalDist()
_SHARE = 0.5  # of alpha, that the means have where single cases are tested too
_DRAWS = 4_000
_MOST_CASES = 10_000

Floats = NDArray[np.float64]


class Design(NamedTuple):
    """How the mean is tested: ``family`` comparisons share ``alpha``, ``trials`` in each arm.

    With ``fresh`` trials the stored ones only have to look worse, and at most as many fresh ones
    in each arm decide; 0 is one stage.
    """

    trials: int
    alpha: float
    family: int
    fresh: int = 0

    @property
    def level(self) -> float:
        """What p must not exceed, if of the others as many are suspicious as by chance."""
        if not self.fresh:
            return self.alpha / self.family
        return self.alpha * _SHARE / (1 + KEEP_ROUTE[0] * (self.family - 1))


class PlanRow(msgspec.Struct, frozen=True, kw_only=True):
    """One route and scorer: what its gate can see. Drops are of the mean, in [0, 1].

    ``one_stage`` and ``confirmed`` are found with 80 % power, None where no drop is, and
    ``confirmed`` where re-runs are switched off; ``cases`` are those not in quarantine; ``needed``
    are the cases for each of :data:`TARGETS` in one stage and with confirmation. ``measured`` is
    False where the variance is assumed.
    """

    route: str
    scorer: str
    cases: int
    trials: int
    mean: float
    variance: float
    measured: bool
    one_stage: float | None
    confirmed: float | None
    needed: dict[str, tuple[int | None, int | None]]


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one run takes, and a confirmation of all of its largest route: trials, s, US dollars."""

    trials: int
    seconds: float | None
    cost_usd: float | None
    confirm_trials: int
    confirm_seconds: float | None
    confirm_usd: float | None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a suite can see, what it costs, and in one sentence each what to add where."""

    rows: tuple[PlanRow, ...]
    cost: Cost
    advice: tuple[str, ...]


def plan(
    cases: Sequence[PlannedCase],
    trials: int,
    policy: GatePolicy,
    *,
    apart: Collection[str] = (),
    concurrency: int = 1,
    past: Recorded | None = None,
    summaries: Sequence[RouteSummary] = (),
) -> Plan:
    """The plan of a suite of these cases; ``past`` is a run to take variance and prices from.

    Cases that are set ``apart``, in quarantine, are run and paid for, and not judged.
    """
    all_routes, routes = (
        _by_route(case for case in cases if every or case.id not in apart)
        for every in (True, False)
    )
    wanted = [(route, scorer) for route in routes for scorer in policy.of(route).on or ()]
    once = Design(trials, policy.alpha, max(1, len(wanted)))
    twice = once._replace(fresh=policy.confirm.trials) if policy.confirm.enabled else None
    seen = score_rows(past) if past else None
    rows = []
    for route, scorer in wanted:
        known = observations(seen, scorer) if seen else {}
        values = [known[case.id].values for case in routes[route] if case.id in known]
        means, variances = _moments(values, len(routes[route]))
        needed = {
            f"{target:g}": (
                _cases_for(target, means, variances, once),
                _cases_for(target, means, variances, twice) if twice else None,
            )
            for target in TARGETS
        }
        rows.append(
            PlanRow(
                route=route,
                scorer=scorer,
                cases=len(routes[route]),
                trials=trials,
                mean=float(means.mean()),
                variance=float(variances.mean()),
                measured=bool(values),
                one_stage=detectable_drop(means, variances, once),
                confirmed=detectable_drop(means, variances, twice) if twice else None,
                needed=needed,
            )
        )
    fresh = twice.fresh if twice else 0
    return Plan(
        rows=tuple(rows),
        cost=_cost(all_routes, routes, trials, fresh, concurrency, summaries),
        advice=tuple(_advice(rows)),
    )


def _by_route(cases: Iterable[PlannedCase]) -> dict[str, list[PlannedCase]]:
    routes: dict[str, list[PlannedCase]] = {}
    for case in cases:
        routes.setdefault(case.route, []).append(case)
    return routes


def detectable_drop(means: Floats, variances: Floats, design: Design) -> float | None:
    """The smallest drop of the mean that is found with 80 % power; None where none is."""
    if _attainable(len(means), design.fresh or design.trials) > design.level:
        return None
    most = float(means.mean())
    if not _finds(most, means, variances, design):
        return None
    low, high = 0.0, most
    for _ in range(30):
        middle = (low + high) / 2
        if _finds(middle, means, variances, design):
            high = middle
        else:
            low = middle
    return high


def _finds(drop: float, means: Floats, variances: Floats, design: Design) -> bool:
    """Whether this drop is found with 80 % power."""
    lower = means * max(0.0, 1 - drop / max(1e-9, float(means.mean())))
    after = np.maximum(0.0, variances + lower * (1 - lower) - means * (1 - means))
    pooled = float(((variances + after) / 2 + (means - lower) ** 2 / 4).sum())
    if not design.fresh:
        scatter = math.sqrt(float((variances + after).sum()) / design.trials)
        return _chance(drop * len(means), pooled, scatter, design) >= POWER
    error = math.sqrt(2 * pooled)
    return drop * len(means) / error >= _signal(design, round(1 / error, 2))


@cache
def _signal(design: Design, tie: float) -> float:
    """The drop, in standard errors of a single trial of all cases, that confirmation finds.

    Stored and fresh trials add up as a random walk that must stay beyond what each round asks
    for until the fresh ones alone are beyond that round's share of alpha; from fixed draws. Holm
    corrects for what is suspicious: this comparison, and others by chance. Sums of passes lie on
    steps, of which a ``tie`` (half of one, in the same unit) counts against the drop.
    """
    rounds = list(goals(design.fresh))
    parts = np.diff([0, design.trials, *(design.trials + goal for goal in rounds)]).astype(float)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((_DRAWS, len(parts))) * np.sqrt(parts)
    others = rng.binomial(design.family - 1, KEEP_ROUTE[0], _DRAWS)
    seen, walk = np.cumsum(parts), np.cumsum(noise, axis=1) - tie
    made = np.array(rounds, dtype=float)
    # Each draw goes on, and is found, from some signal on: by round, what either asks for.
    kept = np.array([_NORMAL.inv_cdf(1 - p) for p in KEEP_ROUTE[: len(rounds)]])
    going = np.maximum.accumulate((kept * np.sqrt(seen[:-1]) - walk[:, :-1]) / seen[:-1], axis=1)
    shares = design.alpha * _SHARE * parts[1:] / design.fresh
    asked = np.array(
        [
            [_NORMAL.inv_cdf(1 - share / suspicious) for share in shares.tolist()]
            for suspicious in range(1, design.family + 1)
        ]
    )
    proven = (asked[others] * np.sqrt(made) - (walk[:, 1:] - noise[:, :1])) / made
    return float(np.quantile(np.maximum(going, proven).min(axis=1), POWER))


def _chance(drop: float, pooled: float, scatter: float, design: Design) -> float:
    """The chance that a test in one stage is at most its level; all in sums over cases.

    The critical value is that of the permutation distribution, which pools both arms; the
    scatter around the drop is that of the arms themselves.
    """
    critical = _NORMAL.inv_cdf(1 - design.level) * math.sqrt(2 * pooled / design.trials)
    # Given how often cases passed, the drop moves in steps of two trials: half a one is tied.
    tie = 1 / design.trials
    return _NORMAL.cdf((drop - critical - tie) / max(scatter, 1e-9))


def _attainable(cases: int, trials: int) -> float:
    """The smallest p that so many cases and trials can give."""
    return math.exp(-min(700.0, cases * math.log(math.comb(2 * trials, trials))))


def _moments(values: Sequence[Sequence[float]], cases: int) -> tuple[Floats, Floats]:
    """Means and variances between trials, one a case; assumed where nothing was measured.

    Agreement of a few trials is no proof: every case counts one half trial more at the mean of
    one that failed, shared over the route.
    """
    if not values:
        chances, shares = zip(*ASSUMED, strict=True)
        at = np.searchsorted(np.cumsum(shares), (np.arange(cases) + 0.5) / cases)
        means = np.array(chances)[np.minimum(at, len(chances) - 1)]
        return means, means * (1 - means)
    total = sum(len(one) for one in values)
    seen = np.array([sum(one) / len(one) for one in values])
    within = np.array([_variance(one, float(seen.mean())) for one in values])
    least = (1 / (total + 2)) * (1 - 1 / (total + 2))
    # The means of a few trials lie further apart than the chances of their cases.
    noise = float(np.mean([v / len(one) for v, one in zip(within, values, strict=True)]))
    spread = float(seen.var())
    kept = math.sqrt(max(0.0, 1 - noise / spread)) if spread else 1.0
    seen = seen.mean() + kept * (seen - seen.mean())
    means = np.minimum(seen, 1 - 1 / (total + 2))
    variances = np.maximum(within, least)
    # Cases that the past run does not have are taken to be like those that it has.
    places = np.arange(cases) * len(means) // cases
    return means[places], variances[places]


def _variance(values: Sequence[float], route_mean: float) -> float:
    """Between the trials of one case; of a single trial, most of what its route's mean allows.

    That is between 0.43 and 0.98 of it in the mixes of `benchmarks/gate`, 0.7 in the middle.
    """
    if len(values) < 2:
        return 0.75 * route_mean * (1 - route_mean)
    return float(np.var(values, ddof=1))


def _cases_for(target: float, means: Floats, variances: Floats, design: Design) -> int | None:
    """How many such cases a route needs to see the target; None beyond ten thousand."""
    if target > float(means.mean()):
        return None

    def sees(count: int) -> bool:
        places = np.arange(count) * len(means) // count
        found = detectable_drop(means[places], variances[places], design)
        return found is not None and found <= target

    low, high = 1, 2
    while not sees(high):
        low, high = high, high * 2
        if high > _MOST_CASES:
            return None
    while high - low > max(1, high // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if sees(middle) else (middle, high)
    return high


def _cost(
    routes: dict[str, list[PlannedCase]],
    judged: dict[str, list[PlannedCase]],
    trials: int,
    fresh: int,
    concurrency: int,
    summaries: Iterable[RouteSummary],
) -> Cost:
    known = {one.route: one for one in summaries}
    largest = max(judged, key=lambda route: len(judged[route]), default=None) if fresh else None

    def add(wanted: dict[str, int]) -> tuple[int, float | None, float | None]:
        seconds = [known[route].latency_p50 if route in known else None for route in wanted]
        dollars = [known[route].cost_usd if route in known else None for route in wanted]
        counts = list(wanted.values())
        return (
            sum(counts),
            _total(seconds, [count / concurrency for count in counts]),
            _total(dollars, counts),
        )

    run = add({route: len(cases) * trials for route, cases in routes.items()})
    again = add({largest: 2 * fresh * len(judged[largest])} if largest else {})
    return Cost(
        trials=run[0],
        seconds=run[1],
        cost_usd=run[2],
        confirm_trials=again[0],
        confirm_seconds=again[1],
        confirm_usd=again[2],
    )


def _total(each: Sequence[float | None], counts: Sequence[float]) -> float | None:
    if not each or any(one is None for one in each):
        return None
    return sum((one or 0.0) * count for one, count in zip(each, counts, strict=True))


def _advice(rows: Sequence[PlanRow]) -> list[str]:
    """How many cases each route lacks to see ten points: with re-runs where the suite has them."""
    lacking: dict[str, tuple[int, str]] = {}
    for row in rows:
        alone, confirmed = row.needed[f"{TARGETS[0]:g}"]
        needed, how = (alone, "in one stage") if confirmed is None else (confirmed, "with confirm")
        if needed is not None and needed > row.cases:
            more = (needed - row.cases, how)
            lacking[row.route] = max(lacking.get(row.route, more), more)
    said = []
    for route, (many, how) in sorted(lacking.items(), key=lambda one: -one[1][0]):
        cases = f"{many} more case{'' if many == 1 else 's'}"
        said.append(f"{route}: {cases} would show a drop of 10 points {how}")
    return said
