"""What became of the spans of many traces, added up: the coverage report."""

from __future__ import annotations

from collections import Counter

import msgspec

from evalkit.results import Trial
from evalkit.tracing.assembly import Reading
from evalkit.tracing.reasons import NO_TRACE, UNJOINED
from evalkit.trajectory import Coverage

MAX_REASONS = 50
MAX_KEYS = 100
MAX_DISTINCT_KEYS = 10_000


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the files: nothing is dropped without being counted.

    ``ignored`` are wrappers, understood but no steps; ``quarantined`` what was refused or set
    aside (``reasons`` say why); ``mended`` what was read all the same, taken another way, by what
    was odd; ``unknown_keys`` the attributes of spans not understood, most
    frequent first; ``no_steps`` traces in which nothing was understood; ``unjoined_logs`` log
    records of no span; ``routes_from`` what the routes were read from, by how many traces;
    ``secrets`` what was redacted, by kind.
    """

    run: str
    dataset: str | None = None
    files: dict[str, str]
    traces: int
    spans: int
    steps: int
    ignored: int
    not_understood: int
    quarantined: int
    no_steps: int
    unjoined_logs: int
    conventions: dict[str, int]
    scopes: dict[str, str]
    routes_from: dict[str, int]
    unknown_keys: dict[str, int]
    reasons: dict[str, int]
    mended: dict[str, int]
    secrets: dict[str, int]


class Tally:
    """Adds up what became of the spans of many traces."""

    def __init__(self, reading: Reading) -> None:
        self.scopes: dict[str, str] = {}
        self.traces = self.spans = 0
        self._no_steps = 0
        self._reading = reading
        self._sums: Counter[str] = Counter()
        self._conventions: Counter[str] = Counter()
        self._mended: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._routes_from: Counter[str] = Counter()

    def add(self, trial: Trial) -> None:
        """Counts one trace."""
        assert trial.trajectory is not None
        found: Coverage = trial.trajectory.coverage
        self.traces += 1
        self.spans += found.spans
        self._no_steps += not trial.trajectory.steps
        self._sums["wrappers"] += found.wrappers
        self._sums["not_understood"] += found.not_understood
        self._sums["quarantined"] += found.quarantined
        for reason, spans in found.mended.items():
            self._mended[reason] += spans
        for name, spans in found.conventions.items():
            self._conventions[name] += spans
        self._routes_from[found.route_from or "nothing"] += 1
        if found.unknown_keys:
            self._unknown.update(found.unknown_keys)
        if len(self._unknown) > MAX_DISTINCT_KEYS:
            self._unknown = Counter(dict(self._unknown.most_common(MAX_DISTINCT_KEYS // 2)))
        if len(self.scopes) < MAX_KEYS:
            self.scopes.update(found.scopes)

    def report(self, run_id: str, files: dict[str, str], steps: int) -> Report:
        """What all of them were; ``steps`` as they were stored."""
        read = self._reading.refused
        reasons = read.refused()
        if self._sums["quarantined"]:
            reasons["span repeated, or its own ancestor"] += self._sums["quarantined"]
        return Report(
            run=run_id,
            files=files,
            traces=self.traces,
            spans=self.spans,
            steps=steps,
            ignored=self._sums["wrappers"],
            not_understood=self._sums["not_understood"],
            quarantined=reasons.total(),
            no_steps=self._no_steps,
            unjoined_logs=read[NO_TRACE] + read[UNJOINED],
            conventions=dict(self._conventions.most_common()),
            scopes=self.scopes,
            routes_from=dict(self._routes_from.most_common(MAX_KEYS)),
            unknown_keys=dict(self._unknown.most_common(MAX_KEYS)),
            reasons=dict(reasons.most_common(MAX_REASONS)),
            mended=dict((read.mended() + self._mended).most_common()),
            secrets=dict(self._reading.secrets),
        )
