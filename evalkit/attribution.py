"""At which step a route got worse: findings that became more frequent than chance explains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import msgspec
import numpy as np

from evalkit.measurement import Side
from evalkit.observations import Whole, encoded, judged_rows
from evalkit.permutation import passes_drop
from evalkit.reports import StepChange
from evalkit.results import Finding, FindingKind

# Whose findings tell the step where a scorer itself found none: what was not as expected, then
# what was done too often.
STEPWISE = ("trajectory_match", "step_efficiency")
_MOST_TESTED = 50
_NOISE = 0.05

Key = tuple[FindingKind, str]
Note = tuple[Key, int | None]
"""A finding, and the position at which its step was expected."""

_decode = msgspec.json.Decoder(list[Finding]).decode


class _Texts(NamedTuple):
    """The notes of each stored text, and the text of each row of scores.

    Those of text t are ``listed[starts[t]:starts[t + 1]]``, as numbers of ``notes``; ``key``
    numbers the keys of the notes.
    """

    notes: tuple[Note, ...]
    key: Whole
    listed: Whole
    starts: Whole
    text: Whole


class _Found(NamedTuple):
    """What one scorer found: the note of each finding of each trial, one case after another.

    Those of a planned case begin at its place in ``starts``; ``trials`` are its scored trials.
    """

    note: Whole
    starts: Whole
    trials: Whole


class _Findings:
    """What was found in the trials of some cases of one route: a note and a case each time."""

    def __init__(self, texts: _Texts, note: Whole, case: Whole, trials: Whole) -> None:
        self.trials = trials
        self.total = int(trials.sum())
        self._key, self._case = texts.key[note], case
        self._numbers: dict[Key, int] = {}
        self._places: dict[Key, set[int | None]] = {}
        for number in np.flatnonzero(np.bincount(note)).tolist():
            key, place = texts.notes[number]
            self._numbers[key] = int(texts.key[number])
            self._places.setdefault(key, set()).add(place)

    @property
    def keys(self) -> Iterable[Key]:
        """Whatever was found."""
        return self._numbers

    def by_case(self, key: Key) -> Whole:
        """In how many trials of each case it was found."""
        mine = self._case[self._key == self._numbers.get(key, -1)]
        return np.bincount(mine, minlength=len(self.trials))

    def share(self, key: Key) -> float:
        """In which share of the scored trials it was found."""
        return int(np.count_nonzero(self._key == self._numbers.get(key, -1))) / self.total

    def first(self, key: Key) -> float:
        """The first place at which the step was expected; infinite for one that was not."""
        places = [place for place in self._places[key] if place is not None]
        return min(places, default=float("inf"))

    def expected(self, key: Key) -> int | None:
        """Where the step was expected; None where it was at different places."""
        places = self._places[key]
        return next(iter(places)) if len(places) == 1 else None


class Explained:
    """What the scorers of a run found; read a scorer at a time, when asked for."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._read: dict[str, _Found] = {}

    def of(self, scorer: str, cases: Sequence[str]) -> _Findings:
        """What a scorer found in the trials of these cases, which are of one route."""
        if scorer not in self._read:
            self._read[scorer] = self._of_scorer(scorer)
        note, starts, trials = self._read[scorer]
        places = np.array([self._side.places[case] for case in cases], dtype=np.intp)
        counts = starts[places + 1] - starts[places]
        mine = note[_ranges(starts[places], counts)]
        case = np.repeat(np.arange(len(places)), counts)
        return _Findings(self._texts, mine, case, trials[places])

    def _of_scorer(self, scorer: str) -> _Found:
        scores, texts = self._side.scores, self._texts
        planned = len(scores.cases)
        if scorer not in scores.scorers:
            none = np.zeros(0, dtype=np.intp)
            return _Found(none, np.zeros(planned + 1, np.intp), np.zeros(planned, np.intp))
        rows, starts = judged_rows(scores, scorer)
        text = texts.text[scores.row[rows]]
        begin = texts.starts[text]
        counts = texts.starts[text + 1] - begin
        # Of the trials so far, how many findings there are.
        ends = np.concatenate(([0], np.cumsum(counts)))
        return _Found(texts.listed[_ranges(begin, counts)], ends[starts], np.diff(starts))

    @cached_property
    def _texts(self) -> _Texts:
        texts, at = encoded(self._side.recorded.scores["findings"])
        notes: dict[Note, int] = {}
        listed = [
            [notes.setdefault(note, len(notes)) for note in _read(text).items()] for text in texts
        ]
        listed.append([])  # of rows without a text, whose place is -1
        starts = np.cumsum([0, *map(len, listed)])
        flat = np.fromiter(chain.from_iterable(listed), np.intp, starts[-1])
        keys: dict[Key, int] = {}
        key = np.array([keys.setdefault(one, len(keys)) for one, _ in notes], dtype=np.intp)
        return _Texts(tuple(notes), key, flat, starts, np.where(at < 0, len(texts), at))


def _ranges(starts: Whole, counts: Whole) -> Whole:
    """The numbers from each start on, so many of each, one after another."""
    ends = np.cumsum(counts)
    found: Whole = np.arange(ends[-1] if len(ends) else 0)
    return found + np.repeat(starts - ends + counts, counts)


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
    if not before.total or not after.total:
        return []
    was, now = ({key: one.share(key) for key in after.keys} for one in (before, after))
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
    changes = []
    for key in ranked[:_MOST_TESTED]:
        then, here = before.by_case(key), after.by_case(key)
        # Cases without it, in either arm, tell the test nothing.
        both = ((then > 0) | (here > 0)) & (before.trials > 0) & (after.trials > 0)
        arms = (then[both], before.trials[both], here[both], after.trials[both])
        if not both.any() or passes_drop(*arms).p_rise > _NOISE:
            continue
        changes.append(
            StepChange(
                kind=key[0],
                name=key[1],
                expected=after.expected(key),
                baseline=was[key],
                candidate=now[key],
                baseline_trials=before.total,
                candidate_trials=after.total,
                cases=tuple(cases[at] for at in np.flatnonzero(here).tolist()),
            )
        )
    return changes


def _read(text: str) -> Mapping[Key, int | None]:
    """The findings of one score; none where the stored text is not a list of findings."""
    try:
        found = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return {(finding.kind, finding.name): finding.expected for finding in found}
