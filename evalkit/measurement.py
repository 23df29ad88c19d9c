"""What can be measured: the trials and scores that a gate may count on, route by route.

Nothing passes because it was not measured. A function here that finds a reason for doubt returns
it as a sentence; None means that there is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from evalkit.observations import (
    Observed,
    ScoreRows,
    TrialRows,
    Whole,
    cases_by_route,
    observations,
    score_rows,
    trial_rows,
)
from evalkit.results import PlannedCase, Recorded

_MOST_NAMED = 10


class Tally(NamedTuple):
    """Rows of one scorer per planned case: all, scored, and those that it could not judge."""

    rows: Whole
    scored: Whole
    failed: Whole


class Side(NamedTuple):
    """One run, as the gate reads it: per planned case its trials, and per scorer its scores."""

    recorded: Recorded
    scores: ScoreRows
    trials: TrialRows
    tried: Whole
    completed: Whole
    routes: dict[str, Whole]
    owners: dict[str, str | None]
    observed: dict[str, dict[str, Observed]]
    tallies: dict[str, Tally]

    def planned(self, route: str) -> tuple[PlannedCase, ...]:
        """The planned cases of a route; none where the run does not have it."""
        plan = self.recorded.run.planned
        return tuple(plan[at] for at in self.routes.get(route, ()))

    def seen(self, route: str, scorer: str) -> dict[str, Observed]:
        """The route's cases that have scores of this scorer."""
        known = self.observed[scorer]
        return {case.id: known[case.id] for case in self.planned(route) if case.id in known}

    def mean(self, route: str, scorer: str) -> float | None:
        """The mean over the route's scored cases; None where there is none."""
        means = [seen.mean for seen in self.seen(route, scorer).values()]
        return float(np.mean(means)) if means else None


class Counts(NamedTuple):
    """Trials of one route, and what one scorer made of the completed ones."""

    expected: int
    completed: int
    scored: int
    failed: int
    unjudged: int

    @property
    def seen(self) -> bool:
        """Whether the scorer had anything to judge, with or without success."""
        return bool(self.scored or self.failed)


def read_side(recorded: Recorded, scorers: Iterable[str]) -> Side:
    """Reads a run's tables once, for these scorers."""
    scores, trials = score_rows(recorded), trial_rows(recorded)
    planned = recorded.run.planned
    scorers = tuple(scorers)
    return Side(
        recorded=recorded,
        scores=scores,
        trials=trials,
        tried=np.bincount(trials.case, minlength=len(planned)),
        completed=np.bincount(trials.case[trials.completed], minlength=len(planned)),
        routes=cases_by_route(recorded),
        owners={case.id: case.owner for case in planned},
        observed={scorer: observations(scores, scorer) for scorer in scorers},
        tallies={scorer: _tally(scores, scorer) for scorer in scorers},
    )


def _tally(scores: ScoreRows, scorer: str) -> Tally:
    known = scorer in scores.scorers
    mine = scores.scorer == (scores.scorers.index(scorer) if known else -1)
    return Tally(
        *(
            np.bincount(scores.case[mine & which], minlength=len(scores.cases))
            for which in (np.ones_like(mine), scores.judged, scores.failed)
        )
    )


def count_trials(side: Side, route: str, scorer: str) -> Counts:
    """What one scorer made of one route; all zero where the run does not have the route.

    A finished run may have tried cases unequally often; an unfinished one owes its plan. A
    completed trial without a row of a scorer that looked at its route is a trial not judged.
    """
    cases = side.routes.get(route)
    if cases is None:
        return Counts(0, 0, 0, 0, 0)
    run, tally = side.recorded.run, side.tallies[scorer]
    tried, completed = side.tried[cases], side.completed[cases]
    whole = (tried > 0) & (run.status == "complete")
    rows, failed = tally.rows[cases], tally.failed[cases]
    silent = np.maximum(0, completed - rows) if rows.any() else np.zeros_like(rows)
    return Counts(
        expected=int(np.where(whole, tried, np.maximum(tried, run.trials)).sum()),
        completed=int(completed.sum()),
        scored=int(tally.scored[cases].sum()),
        failed=int(failed.sum()),
        unjudged=int((failed + silent).sum()),
    )


def doubt_of_scorer(after: Side, now: Counts, scorer: str) -> str | None:
    """Why a route cannot be measured, if so: the scorer said nothing of any trial of the run."""
    if not now.completed or scorer in after.scores.scorers:
        return None
    return (
        f"no trial has a score named {scorer}, not even one that says that there was nothing to "
        "judge: is it what a scorer of the suite calls its scores?"
    )


def doubt_of_trials(now: Counts, was: Counts, limit: float) -> str | None:
    """Why a route cannot be measured, if so: the pipeline or a scorer failed too often."""
    lost = now.expected - now.completed
    if lost > limit * now.expected or not now.completed:
        return (
            f"{lost} of {now.expected} trials did not complete, which is no answer, "
            f"right or wrong; at most {limit:.0%} may. Fix that and run again"
        )
    if now.unjudged > limit * now.completed:
        return f"{now.unjudged} of {now.completed} completed trials could not be judged"
    if was.expected and not was.completed:
        return f"none of the baseline's {was.expected} trials completed"
    if was.scored and not now.scored:
        return f"the candidate has no scores, the baseline has {was.scored}"
    if was.unjudged and not was.scored:
        return f"the baseline's {was.completed} completed trials could not be judged"
    return None


def doubt_of_cases(
    after: Side, before: Side, common: tuple[str, ...], scorer: str, limit: float
) -> str | None:
    """Why a route cannot be measured, if so: cases that had scores have none now."""
    known = [case for case in common if case in before.observed[scorer]]
    lost = [case for case in known if case not in after.observed[scorer]]
    if len(lost) <= limit * len(known):
        return None
    return f"{len(lost)} of {len(known)} cases have scores in the baseline only: {name_some(lost)}"


def missing_cases(after: Side, before: Side, route: str) -> tuple[str, ...]:
    """Cases of the baseline's plan that the candidate should have planned and has not."""
    return tuple(
        case.id
        for case in before.planned(route)
        if case.id not in after.owners and after.recorded.run.selection.asks_for(case)
    )


def unselected_cases(after: Side, before: Side, route: str) -> tuple[str, ...]:
    """Cases of the candidate that the baseline may lack only since a part of it was asked for."""
    chosen = before.recorded.run.selection
    return tuple(
        case.id
        for case in after.planned(route)
        if case.id not in before.owners and not chosen.asks_for(case)
    )


def lost_routes(after: Side, before: Side | None) -> list[str]:
    """Routes of the baseline that the candidate should have and has not."""
    if before is None:
        return []
    return [
        route
        for route in before.routes
        if route not in after.routes
        and any(after.recorded.run.selection.asks_for(case) for case in before.planned(route))
    ]


def name_some(cases: Iterable[str]) -> str:
    """The first ten names, and how many more there are."""
    named = list(cases)
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return ", ".join(named[:_MOST_NAMED]) + more
