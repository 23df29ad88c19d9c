"""Whether the same work takes more time, tokens, money or steps: told, and never blocking.

Per case the ratio of what a trial takes (geometric means over trials), candidate to baseline.
Wilcoxon's signed-rank test over cases asks whether it is more than 10 % above 1: ranks, so that
one slow answer weighs no more than the slowest of its rank, and pairs, so that long and short
cases cost no power.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.measurement import Side
from evalkit.observations import codes, floats
from evalkit.ranks import signed_rank
from evalkit.results import GateRow, Verdict
from evalkit.stats import holm

MEASURES = ("latency_s", "tokens", "cost_usd", "steps")
"""Seconds, tokens, US dollars and steps of one trial."""

MARGIN = 0.10
"""A rise of at most this share is no regression, and a fall of at most this no improvement."""

Floats = NDArray[np.float64]


def efficiency_rows(
    after: Side, before: Side, common: Mapping[str, Sequence[str]], alpha: float
) -> tuple[GateRow, ...]:
    """A row for each route and measure that clearly changed; rises and falls are Holm families."""
    found = list(_measured(after, before, common))
    rises = holm([signed_rank(ratios - math.log1p(MARGIN)) for *_, ratios in found])
    falls = holm([signed_rank(-ratios - math.log1p(MARGIN)) for *_, ratios in found])
    rows = []
    for (route, measure, was, now, ratios), rise, fall in zip(found, rises, falls, strict=True):
        if min(rise, fall) <= alpha:
            worse = rise <= alpha
            rows.append(
                _row(route, measure, was, now, ratios, rise if worse else fall, worse=worse)
            )
    return tuple(rows)


def _measured(
    after: Side, before: Side, common: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str, float, float, Floats]]:
    """Per route and measure: both means over cases, and the log ratio of each case."""
    for measure in MEASURES:
        now, was = _by_case(after, measure), _by_case(before, measure)
        for route, cases in common.items():
            both = [case for case in cases if case in now and case in was]
            if both:
                old, new = (np.array([side[case] for case in both]) for side in (was, now))
                yield (
                    route,
                    measure,
                    float(np.exp(old).mean()),
                    float(np.exp(new).mean()),
                    new - old,
                )


def _by_case(side: Side, measure: str) -> dict[str, float]:
    """The mean logarithm over a case's completed trials, where all of what they took is known."""
    values = _steps(side) if measure == "steps" else getattr(side.trials, measure)
    known = side.trials.completed & np.isfinite(values) & (values > 0)
    case = side.trials.case[known]
    planned = side.recorded.run.planned
    totals = np.bincount(case, weights=np.log(values[known]), minlength=len(planned))
    counts = np.bincount(case, minlength=len(planned))
    return {
        planned[at].id: float(totals[at] / counts[at]) for at in np.flatnonzero(counts).tolist()
    }


def _steps(side: Side) -> Floats:
    """Steps of each trial; not known where they were not counted."""
    table = side.recorded.taken
    if table is None:
        return np.full(len(side.trials.case), math.nan)
    case = codes(table["case"], side.scores.cases)
    counted, wanted = floats(table["trial"]), floats(side.recorded.trials["trial"])
    numbers = np.concatenate((counted, wanted[side.trials.row]))
    known, number = np.unique(numbers, return_inverse=True)
    keys = np.concatenate((case, side.trials.case)) * len(known) + number
    order = np.argsort(keys[: len(case)])
    there, mine = keys[order], keys[len(case) :]
    at = np.minimum(np.searchsorted(there, mine), max(0, len(there) - 1))
    if not len(there):
        return np.full(len(mine), math.nan)
    return np.where(there[at] == mine, floats(table["steps"])[order][at], math.nan)


def _row(
    route: str, measure: str, was: float, now: float, ratios: Floats, p: float, *, worse: bool
) -> GateRow:
    verdict: Verdict = "regressed" if worse else "improved"
    ratio = math.exp(float(np.median(ratios)))
    cases = f"{len(ratios)} case{'s' if len(ratios) != 1 else ''}"
    return GateRow(
        route=route,
        scorer=measure,
        verdict=verdict,
        baseline=was,
        candidate=now,
        difference=now - was,
        low=None,
        high=None,
        p=p,
        p_adjusted=p,
        broken=(),
        detectable=None,
        cases=len(ratios),
        trials=0,
        reason=f"{measure} {'rose' if worse else 'fell'}: {ratio:.2f} times the baseline's in the "
        f"median over {cases} (p {p:.2g}); it advises and does not block",
        blocking=False,
    )
