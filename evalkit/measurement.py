"""What can be measured: the trials and scores that a gate may count on, route by route.

Nothing passes because it was not measured. A function here that finds a reason for doubt returns
it as a sentence; None means that there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from evalkit.permutation import passes_drop
from evalkit.results import PlannedCase, Recorded

_MOST_NAMED = 10
_BY_CHANCE = 0.05  # one-sided p above which one arm may have been judged less often by chance
_LOST_BY_CHANCE = 0.01  # p of so many lost trials, up to which they are too many
_FEWEST_COMPARED = (
    0.5  # share of a route's judged cases, below which the route is not judged by them
)


class Tally(NamedTuple):
    """Rows of one scorer per planned case: all, scored, and those that it could not judge."""

    rows: Whole
    scored: Whole
    failed: Whole

    @property
    def silent(self) -> Whole:
        """Trials in which the scorer found nothing to judge."""
        return self.rows - self.scored - self.failed


class Side(NamedTuple):
    """One run, as the gate reads it: per planned case its trials, and per scorer its scores."""

    recorded: Recorded
    scores: ScoreRows
    trials: TrialRows
    tried: Whole
    completed: Whole
    routes: dict[str, Whole]
    places: dict[str, int]
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

    def judged(self, route: str, scorer: str) -> int:
        """How many of the route's cases have scores of this scorer."""
        cases = self.routes.get(route)
        return 0 if cases is None else int((self.tallies[scorer].scored[cases] > 0).sum())

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
        places={case.id: at for at, case in enumerate(planned)},
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


def too_many(lost: int, trials: int, limit: float) -> bool:
    """Whether more of the trials were lost than a share of ``limit`` explains.

    The exact binomial chance of so many is then at most 1 %: with 5 %, from 2 of 3, 6 of 30 or 11
    of 90 trials on.
    """
    if lost <= limit * trials:
        return False
    from scipy.special import bdtrc

    return float(bdtrc(lost - 1, trials, limit)) <= _LOST_BY_CHANCE


def too_few_left(lost: int, trials: int, limit: float) -> bool:
    """Whether what completed does not stand for a route: nothing did, or too many did not."""
    return lost == trials or too_many(lost, trials, limit)


def doubt_of_trials(now: Counts, was: Counts, limit: float) -> str | None:
    """Why a route cannot be measured, if so: in either run too many trials or scores failed."""
    for counts, whose in ((now, ""), (was, "the baseline's ")):
        lost = counts.expected - counts.completed
        planned = counts.expected > 0 or counts is now  # a route that is new has no trials before
        if planned and too_few_left(lost, counts.expected, limit):
            return (
                f"{lost} of {whose}{counts.expected} trials did not complete, which is no answer, "
                f"right or wrong; at most {limit:.0%} may, chance aside. Fix that and run "
                + ("it again" if whose else "again")
            )
        if counts.unjudged > limit * counts.completed:
            done = f"{whose}{counts.completed} completed trials"
            return f"{counts.unjudged} of {done} could not be judged"
    if was.scored and not now.scored:
        return f"the candidate has no scores, the baseline has {was.scored}"
    if was.unjudged and not was.scored:
        return f"the baseline's {was.completed} completed trials could not be judged"
    return None


def doubt_of_cases(
    after: Side, before: Side, common: tuple[str, ...], scorer: str, limit: float
) -> str | None:
    """Why a route cannot be measured, if so: one run has no scores of cases that the other has."""
    now, was = after.observed[scorer], before.observed[scorer]
    gone = unmeasured_cases(after, before, common, scorer)
    new = [case for case in common if case in now and case not in was]
    both = sum(case in now for case in common) - len(new)
    for lost, whose in ((gone, "baseline"), (new if both or gone else (), "candidate")):
        known = both + len(lost)
        if too_many(len(lost), known, limit):
            return (
                f"{len(lost)} of {known} cases have scores in the {whose} only: {name_some(lost)}"
            )
    return _doubt_of_losses(after, before, common, limit) or _doubt_of_silence(
        after, before, common, scorer, limit
    )


def _doubt_of_losses(
    after: Side, before: Side, common: tuple[str, ...], limit: float
) -> str | None:
    """Why a route cannot be measured, if so: one run lost more of its trials than the other.

    What one version loses may be what it fails.
    """
    sides = before, after
    lost = [side.tried - side.completed for side in sides]
    if not any(one.any() for one in lost):
        return None
    completed = _of_cases(after, before, common, [side.completed for side in sides])
    found = _told_apart(
        completed, _of_cases(after, before, common, lost), limit, _LOST_BY_CHANCE / 2
    )
    if found is None:
        return None
    return (
        f"{found.untold[1]} of {found.trials[1]} trials did not complete, in the baseline "
        f"{found.untold[0]} of {found.trials[0]}: what one version alone loses may be what it "
        f"fails ({name_some(common[at] for at in found.cases)})"
    )


def _doubt_of_silence(
    after: Side, before: Side, common: tuple[str, ...], scorer: str, limit: float
) -> str | None:
    """Why a route cannot be measured, if so: a scorer had less to judge in one run.

    A wrong answer that gives nothing to judge would leave the mean. How often it may by chance,
    the exact within-case test says.
    """
    tallies = before.tallies[scorer], after.tallies[scorer]
    if not any(tally.silent.any() for tally in tallies):
        return None
    scored, silent = (
        _of_cases(after, before, common, parts)
        for parts in ([tally.scored for tally in tallies], [tally.silent for tally in tallies])
    )
    found = _told_apart(scored, silent, limit, _BY_CHANCE)
    if found is None:
        return None
    return (
        f"{scorer} had nothing to judge in {found.untold[1]} of {found.trials[1]} trials, in the "
        f"baseline in {found.untold[0]} of {found.trials[0]}: what it did judge cannot be compared "
        f"({name_some(common[at] for at in found.cases)})"
    )


class _Apart(NamedTuple):
    """Trials of baseline and candidate of which something is not told, of all, and the cases of
    which it is not told equally often."""

    untold: Whole
    trials: Whole
    cases: Whole


def _of_cases(after: Side, before: Side, common: tuple[str, ...], counts: Sequence[Whole]) -> Whole:
    """The baseline's counts of the cases, and the candidate's: an array of two rows."""
    sides = zip((before, after), counts, strict=True)
    return np.array([of[[side.places[case] for case in common]] for side, of in sides])


def _told_apart(told: Whole, untold: Whole, limit: float, level: float) -> _Apart | None:
    """The difference in what is told of trials, if it is one: more than ``limit`` of them, and
    beyond chance by the exact within-case test. Both arrays: baseline and candidate, by case."""
    all_of = told + untold
    both = np.flatnonzero((all_of > 0).all(axis=0))
    nothing, trials = untold[:, both].sum(axis=1), all_of[:, both].sum(axis=1)
    if not len(both) or abs(np.diff(nothing / trials)[0]) <= limit:
        return None
    (was, now), (then, here) = told[:, both], all_of[:, both]
    found = passes_drop(was, then, now, here)
    if min(found.p, found.p_rise) > level:
        return None
    return _Apart(nothing, trials, both[untold[0, both] != untold[1, both]])


def unmeasured_cases(
    after: Side, before: Side, common: tuple[str, ...], scorer: str
) -> tuple[str, ...]:
    """Cases with scores in the baseline that the candidate has none of."""
    now, was = after.observed[scorer], before.observed[scorer]
    return tuple(case for case in common if case in was and case not in now)


def lost_for_sure(after: Side, cases: tuple[str, ...], limit: float) -> tuple[str, ...]:
    """Those of the unmeasured cases that are so by more than chance.

    A single trial may be lost, and then leaves the denominator; all of several are too many, as
    are those of a case never tried.
    """
    tries = {
        case: int(after.tried[after.places[case]]) or after.recorded.run.trials for case in cases
    }
    return tuple(case for case in cases if too_many(tries[case], tries[case], limit))


def doubt_of_pairs(after: Side, route: str, scorer: str, pairs: int) -> str | None:
    """Why so many cases in common do not stand for a route, if so: they are the smaller part."""
    judged = after.judged(route, scorer)
    if pairs >= _FEWEST_COMPARED * judged:
        return None
    return (
        f"only {pairs} of {judged} cases can be compared, the others are new or changed since the "
        "baseline, or were not run for it: make a baseline of this version of the dataset"
    )


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
