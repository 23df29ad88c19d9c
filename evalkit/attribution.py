"""At which step a route got worse: findings that became more frequent than chance explains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, pairwise
from typing import NamedTuple

import msgspec

from evalkit.observations import ScoreRows, column, judged_rows, taken
from evalkit.permutation import permutation_drop
from evalkit.results import Finding, FindingKind, Recorded, StepChange

# Whose findings tell the step where a scorer itself found none: what was not as expected, then
# what was done too often.
STEPWISE = ("trajectory_match", "step_efficiency")
_MOST_TESTED = 50
_NOISE = 0.05

Key = tuple[FindingKind, str]
Named = Mapping[Key, int | None]
_decode = msgspec.json.Decoder(list[Finding]).decode


class _Findings(NamedTuple):
    """Per case the findings of each scored trial, each once, with its expected position."""

    trials: Mapping[str, Sequence[Named]]
    cases: Mapping[Key, Sequence[str]]
    total: int

    def count(self, key: Key) -> int:
        """In how many trials it was found."""
        return sum(key in keys for case in self.of(key) for keys in self.trials[case])

    def expected(self, key: Key) -> int | None:
        """Where the step was expected; None where it was at different places."""
        trials = (keys for case in self.of(key) for keys in self.trials[case])
        places = {keys[key] for keys in trials if key in keys}
        return places.pop() if len(places) == 1 else None

    def of(self, key: Key) -> Sequence[str]:
        """The cases with a trial in which it was found."""
        return self.cases.get(key, ())


class Explained:
    """What the scorers of a run found, case by case; read a scorer at a time, when asked for."""

    def __init__(self, recorded: Recorded, scores: ScoreRows) -> None:
        self._recorded, self._scores = recorded, scores
        self._read: dict[str, dict[str, Sequence[Named]]] = {}

    def of(self, scorer: str) -> Mapping[str, Sequence[Named]]:
        """Per case the findings of each scored trial."""
        if scorer not in self._read:
            self._read[scorer] = dict(self._cases(scorer))
        return self._read[scorer]

    def _cases(self, scorer: str) -> Iterator[tuple[str, Sequence[Named]]]:
        scores = self._scores
        if scorer not in scores.scorers:
            return
        rows, starts = judged_rows(scores, scorer)
        texts = column(
            taken(self._recorded.scores.select(["findings"]), scores.row[rows]), "findings"
        )
        read = [*map(_read, texts)]
        for case, (start, end) in zip(scores.cases, pairwise(starts.tolist()), strict=True):
            if end > start:
                yield case, read[start:end]


def step_changes(
    candidate: Explained,
    baseline: Explained,
    scorer: str,
    cases: tuple[str, ...],
    *,
    most: int = 5,
) -> tuple[StepChange, ...]:
    """What a scorer found more often in the candidate's trials of these cases, largest rise first.

    Findings are grouped by kind and name; a group counts if its share of
    trials rose with p <= 0.05 by the within-case permutation test. A scorer that names no step
    (it judges the outcome, or passed trials that took a longer way) is explained by the findings
    of trajectory_match, else of step_efficiency, and by its own if there are none.
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
    before, after = _findings(baseline, scorer, cases), _findings(candidate, scorer, cases)
    if not before.trials or not after.trials:
        return []
    was, now = ({key: one.count(key) for key in after.cases} for one in (before, after))
    rises = {key: now[key] / after.total - was[key] / before.total for key in now}
    ranked = sorted(
        (key for key in rises if rises[key] > 0), key=lambda key: (-rises[key], str(key))
    )
    return [
        StepChange(
            kind=key[0],
            name=key[1],
            expected=after.expected(key),
            baseline=was[key] / before.total,
            candidate=now[key] / after.total,
            baseline_trials=before.total,
            candidate_trials=after.total,
            cases=tuple(after.of(key)),
        )
        for key in ranked[:_MOST_TESTED]
        if _rose(key, before, after)
    ]


def _rose(key: Key, before: _Findings, after: _Findings) -> bool:
    # Cases without it, in either arm, tell the test nothing.
    found = dict.fromkeys((*after.of(key), *before.of(key)))
    both = [case for case in found if case in before.trials and case in after.trials]
    arms = [
        [[float(key in keys) for keys in arm.trials[case]] for case in both]
        for arm in (before, after)
    ]
    return bool(both) and permutation_drop(*arms).p_rise <= _NOISE


def _findings(explained: Explained, scorer: str, cases: Sequence[str]) -> _Findings:
    known = explained.of(scorer)
    trials = {case: known[case] for case in cases if case in known}
    having: dict[Key, list[str]] = defaultdict(list)
    for case, found in trials.items():
        for key in dict.fromkeys(chain.from_iterable(found)):
            having[key].append(case)
    return _Findings(trials, having, sum(map(len, trials.values())))


@lru_cache(maxsize=4096)
def _read(text: str | None) -> Named:
    """The findings of one score; none where the stored text is not a list of findings."""
    try:
        found = _decode(text) if text else []
    except (msgspec.DecodeError, RecursionError):
        return {}
    return {(finding.kind, finding.name): finding.expected for finding in found}
