"""At which step a route got worse: findings that became more frequent than chance explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import msgspec
import numpy as np

from evalkit.observations import ScoreRows, encoded, judged_rows, taken
from evalkit.permutation import permutation_drop
from evalkit.reports import StepChange
from evalkit.results import Finding, FindingKind, Recorded

# Whose findings tell the step where a scorer itself found none: what was not as expected, then
# what was done too often.
STEPWISE = ("trajectory_match", "step_efficiency")
_MOST_TESTED = 50
_NOISE = 0.05

Key = tuple[FindingKind, str]
Places = list[int | None]
_decode = msgspec.json.Decoder(list[Finding]).decode


class _Findings(NamedTuple):
    """How many trials of each case were scored, and what was found in them.

    ``found`` maps each finding and case to the expected position of the step, once for each trial
    in which it was found.
    """

    trials: Mapping[str, int]
    found: Mapping[Key, Mapping[str, Places]]

    @property
    def total(self) -> int:
        """The scored trials of all cases."""
        return sum(self.trials.values())

    def of(self, key: Key) -> Mapping[str, Places]:
        """The cases with a trial in which it was found."""
        return self.found.get(key, {})

    def count(self, key: Key) -> int:
        """In how many trials it was found."""
        return sum(map(len, self.of(key).values()))

    def first(self, key: Key) -> float:
        """The first place at which the step was expected; infinite for one that was not."""
        places = [place for case in self.of(key).values() for place in case if place is not None]
        return min(places, default=float("inf"))

    def expected(self, key: Key) -> int | None:
        """Where the step was expected; None where it was at different places."""
        places = {place for case in self.of(key).values() for place in case}
        return places.pop() if len(places) == 1 else None


class Explained:
    """What the scorers of a run found, route by route; read a scorer at a time, when asked for."""

    def __init__(self, recorded: Recorded, scores: ScoreRows) -> None:
        self._recorded, self._scores = recorded, scores
        self._routes = {case.id: case.route for case in recorded.run.planned}
        self._read: dict[str, dict[str, _Findings]] = {}

    def of(self, scorer: str, cases: Sequence[str]) -> _Findings:
        """What a scorer found in the trials of these cases, which are of one route."""
        if scorer not in self._read:
            self._read[scorer] = self._by_route(scorer)
        found = self._read[scorer].get(self._routes[cases[0]], _Findings({}, {}))
        wanted = set(cases)
        if wanted >= found.trials.keys():
            return found
        of_key = {
            key: {case: places for case, places in by_case.items() if case in wanted}
            for key, by_case in found.found.items()
        }
        return _Findings(
            {case: trials for case, trials in found.trials.items() if case in wanted},
            {key: by_case for key, by_case in of_key.items() if by_case},
        )

    def _by_route(self, scorer: str) -> dict[str, _Findings]:
        scores = self._scores
        if scorer not in scores.scorers:
            return {}
        rows, starts = judged_rows(scores, scorer)
        trials = np.diff(starts)
        counts: dict[str, dict[str, int]] = {}
        for case, count in zip(scores.cases, trials.tolist(), strict=True):
            if count:
                counts.setdefault(self._routes[case], {})[case] = count
        texts, at = encoded(taken(self._recorded.scores["findings"], scores.row[rows]))
        read = [*map(_read, texts), {}]  # the last one for those without a text
        some = np.flatnonzero(np.array([bool(one) for one in read])[at])
        case_of = np.repeat(np.arange(len(trials)), trials)[some]
        found: dict[str, dict[Key, dict[str, Places]]] = {route: {} for route in counts}
        for place, text in zip(case_of.tolist(), at[some].tolist(), strict=True):
            case = scores.cases[place]
            here = found[self._routes[case]]
            for key, expected in read[text].items():
                here.setdefault(key, {}).setdefault(case, []).append(expected)
        return {route: _Findings(counts[route], found[route]) for route in counts}


def step_changes(
    candidate: Explained,
    baseline: Explained,
    scorer: str,
    cases: tuple[str, ...],
    *,
    most: int = 5,
) -> tuple[StepChange, ...]:
    """What a scorer found more often in the candidate's trials of these cases.

    First come the findings that rose by at least half as much as any, in the order of the expected
    steps that they are about; then the others, largest rise first. Findings are grouped by kind
    and name; a group counts if its share of trials rose with p <= 0.05 by the within-case
    permutation test. A scorer that names no step (it judges the outcome, or passed trials that
    took a longer way) is explained by the findings of trajectory_match, else of step_efficiency,
    and by its own if there are none.
    """
    own = _changes(candidate, baseline, scorer, cases)
    stepwise = [change for change in own if change.kind != "outcome"]
    for other in STEPWISE:
        if not stepwise and other != scorer:
            stepwise = _changes(candidate, baseline, other, cases)
    return tuple((stepwise or own)[:most])


def _changes(
    candidate: Explained,
    baseline: Explained,
    scorer: str,
    cases: tuple[str, ...],
) -> list[StepChange]:
    before, after = baseline.of(scorer, cases), candidate.of(scorer, cases)
    if not before.trials or not after.trials:
        return []
    was, now = ({key: one.count(key) / one.total for key in after.found} for one in (before, after))
    rises = {key: now[key] - was[key] for key in now}
    # What rose about as much is often the consequence of what comes first on the expected path.
    large = max(rises.values(), default=0.0) / 2
    ranked = sorted(
        (key for key in rises if rises[key] > 0),
        key=lambda key: (
            (0.0, after.first(key), -rises[key], str(key))
            if rises[key] >= large
            else (1.0, -rises[key], 0.0, str(key))
        ),
    )
    return [
        StepChange(
            kind=key[0],
            name=key[1],
            expected=after.expected(key),
            baseline=was[key],
            candidate=now[key],
            baseline_trials=before.total,
            candidate_trials=after.total,
            cases=tuple(after.of(key)),
        )
        for key in ranked[:_MOST_TESTED]
        if _rose(key, before, after)
    ]


def _rose(key: Key, before: _Findings, after: _Findings) -> bool:
    # Cases without it, in either arm, tell the test nothing.
    was, now = before.of(key), after.of(key)
    both = [
        case
        for case in dict.fromkeys((*now, *was))
        if case in before.trials and case in after.trials
    ]
    arms = [
        [_marks(len(found.get(case, ())), trials[case]) for case in both]
        for found, trials in ((was, before.trials), (now, after.trials))
    ]
    return bool(both) and permutation_drop(*arms).p_rise <= _NOISE


@cache
def _marks(found: int, trials: int) -> tuple[float, ...]:
    """One for each trial in which it was found, zero for the others."""
    return (1.0,) * found + (0.0,) * (trials - found)


@lru_cache(maxsize=4096)
def _read(text: str) -> Mapping[Key, int | None]:
    """The findings of one score; none where the stored text is not a list of findings."""
    try:
        found = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return {(finding.kind, finding.name): finding.expected for finding in found}
