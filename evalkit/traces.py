"""Recorded traces become a run: each trace one trial of a case named by its trace id.

There are no expectations and no scores, yet everything that reads runs reads it: show, compare,
triage, the database. Memory is that of a batch, not of the files.
"""

from __future__ import annotations

import gc
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from evalkit.errors import EvalkitError, InputError, StoreError
from evalkit.files import SuiteFile
from evalkit.folders import (
    LOCK,
    RUN_RECORD,
    Manifest,
    locks,
    run_folder,
    sync_folder,
    unwritable,
    write_manifest,
)
from evalkit.folders.tables import write_tables
from evalkit.planning import version
from evalkit.results import PlannedCase, Run, Trial, new_run_id
from evalkit.store import Store
from evalkit.suite import Pipeline, Suite
from evalkit.tracing import formats
from evalkit.tracing.assembly import Reading, Recorded, assemble
from evalkit.tracing.gathering import BUDGET, WINDOW, Gathering, LateSpansError
from evalkit.tracing.parts import Part
from evalkit.tracing.reasons import NO_TRACE, UNJOINED, Reasons
from evalkit.trajectory import Coverage

UNKNOWN_ROUTE = "unknown"
MAX_REASONS = 50
MAX_KEYS = 100
MAX_DISTINCT_KEYS = 10_000
EVERY = 2_000
"""Spans, or traces, between two calls of ``on_progress``."""


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


class Progress(NamedTuple):
    """How far reading is: ``spans`` read so far, then ``traces`` stored."""

    spans: int
    traces: int


OnProgress = Callable[[Progress], None]


def ingest_traces(
    files: Sequence[Path],
    *,
    label: str,
    store: Path,
    form: str | None = None,
    suite: SuiteFile | None = None,
    on_progress: OnProgress | None = None,
    budget: int = BUDGET,
) -> Report:
    """Stores the traces of files as one run; spans and logs of one trace may lie in several.

    ``form`` forces the files' format. ``suite`` tells how the route is read and what tokens cost.
    ``budget`` is how many bytes are held before they go to disk. Raises FileError where a file
    cannot be read at all, InputError where there is no trace in any, StoreError; then nothing is
    left behind.
    """
    if not label.strip():
        raise InputError("a run needs a label, for instance --label production")
    forms = {str(file): form or formats.detect(file) for file in files}
    if formats.TAU in forms.values():
        raise InputError("results of tau-bench are read alone: one file, without traces beside it")
    reading = _reading(suite.suite if suite else None)

    def parts() -> Iterator[Part]:
        for file in files:
            yield from formats.read_parts(file, forms[str(file)], reading.refused)

    run = planned_run(label, ", ".join(map(str, files)), suite.suite if suite else None)
    return store_parts(store, run, parts, reading, forms, on_progress, budget)


def _reading(suite: Suite | None) -> Reading:
    route_from, prices = (suite.route_from, suite.prices) if suite else (None, None)
    return Reading(Reasons(), Counter(), route_from, prices)


def planned_run(label: str, source: str, suite: Suite | None = None) -> Run:
    """The record of a run of recorded traces, before it is known which."""
    now = time.time()
    return Run(
        id=new_run_id(now),
        label=label,
        suite=Suite(
            name=suite.name if suite else "traces",
            pipeline=Pipeline(traces=source),
            dataset="",
            trials=1,
            route_from=suite.route_from if suite else None,
            prices=suite.prices if suite else {},
        ),
        dataset_digest="",
        planned=(),
        trials=1,
        started=now,
        evalkit_version=version(),
    )


def store_parts(
    store: Path,
    run: Run,
    parts: Callable[[], Iterator[Part]],
    reading: Reading,
    files: dict[str, str],
    on_progress: OnProgress | None = None,
    budget: int = BUDGET,
) -> Report:
    """Writes the parts' traces as the run's folder, whole or not at all, and says what they were.

    Raises InputError where there is no trace, StoreError where the disk refuses.
    """
    folder = run_folder(store, run.id)
    try:
        folder.mkdir(parents=True)
        sync_folder(folder.parent)
    except OSError as error:
        raise StoreError(unwritable(folder, error)) from error
    try:
        with locks.held(folder / LOCK):
            write_manifest(folder, Manifest(run=run))
            return write_run(store, run, parts, reading, files, on_progress, budget)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def write_run(
    store: Path,
    run: Run,
    parts: Callable[[], Iterator[Part]],
    reading: Reading,
    files: dict[str, str],
    on_progress: OnProgress | None = None,
    budget: int = BUDGET,
) -> Report:
    """Completes a run whose folder is there and locked; raises as :func:`store_parts` does."""
    folder = run_folder(store, run.id)
    before = Counter(reading.refused), Counter(reading.secrets)
    try:
        with _without_collection():
            try:
                gathering = Gathering(folder, budget, min(WINDOW, budget))
                counts, tally = _write(folder, parts(), reading, gathering, on_progress)
            except LateSpansError:  # rare: a trace went on after many others
                for counted, count in zip((reading.refused, reading.secrets), before, strict=True):
                    counted.clear()
                    counted.update(count)
                gathering = Gathering(folder, budget)
                counts, tally = _write(folder, parts(), reading, gathering, on_progress)
        if not tally.planned:
            raise _nothing(files, reading)
        finished = replace(
            run,
            status="complete",
            finished=time.time(),
            planned=tuple(tally.planned),
            scopes=tally.scopes,
        )
        write_manifest(folder, Manifest(run=finished, counts=counts))
        (folder / RUN_RECORD).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(unwritable(folder, error)) from error
    Store(store).add(run.id)
    return tally.report(run.id, files, counts["steps"])


@contextmanager
def _without_collection() -> Iterator[None]:
    """Turns Python's search for cycles off: there are none here, and it takes a third of the time.

    What is read is freed at once when its last reference goes.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _write(
    folder: Path,
    parts: Iterator[Part],
    reading: Reading,
    gathering: Gathering,
    on_progress: OnProgress | None,
) -> tuple[dict[str, int], Tally]:
    tally = Tally(reading)

    def trials() -> Iterator[Trial]:
        with gathering:
            for trace_id, trace in _gathered(parts, gathering, reading, tally, on_progress):
                recorded = read_trace(trace_id, trace, reading)
                if recorded is not None:
                    trial = as_trial(recorded)
                    tally.add(trial)
                    yield trial

    return write_tables(folder, trials()), tally


def _gathered(
    parts: Iterator[Part],
    gathering: Gathering,
    reading: Reading,
    tally: Tally,
    on_progress: OnProgress | None,
) -> Iterator[tuple[str, list[Part]]]:
    """The traces as they are whole, and how far that is."""
    spans = told = 0
    for part in parts:
        gathering.add(part)
        yield from gathering.settled(reading.refused)
        spans += part.spans
        if on_progress and spans - told >= EVERY:
            told = spans
            on_progress(Progress(spans, len(tally.planned)))
    told = len(tally.planned)
    for found in gathering.traces(reading.refused):
        yield found
        if on_progress and len(tally.planned) - told >= EVERY:
            told = len(tally.planned)
            on_progress(Progress(spans, told))


def read_trace(trace_id: str, parts: Sequence[Part], reading: Reading) -> Recorded | None:
    """As :func:`evalkit.tracing.assembly.assemble`; a trace that does not read is counted."""
    try:
        return assemble(trace_id, parts, reading)
    except EvalkitError:
        raise
    except Exception as error:  # a convention's defect must not cost the other traces
        said = f"trace that does not read ({type(error).__name__}: {str(error)[:100]})"
        reading.refused[said] += sum(part.spans for part in parts)
        return None


def as_trial(recorded: Recorded) -> Trial:
    """A trace as the only trial of a case of its own."""
    happened = recorded.trajectory
    took = (recorded.end_ns - recorded.start_ns) / 1e9
    return Trial(
        case=recorded.trace_id,
        trial=0,
        route=happened.route or UNKNOWN_ROUTE,
        status="completed" if happened.steps else "no_trace",
        error=None if happened.steps else "no span of it is of a known convention",
        started=recorded.start_ns / 1e9,
        latency_s=took if recorded.start_ns and took >= 0 else None,
        trajectory=happened,
    )


class Tally:
    """Adds up what became of the spans of many traces."""

    def __init__(self, reading: Reading) -> None:
        self.planned: list[PlannedCase] = []
        self.scopes: dict[str, str] = {}
        self.spans = 0
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
        self.planned.append(PlannedCase(trial.case, trial.route, ""))
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
            traces=len(self.planned),
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


def _nothing(files: dict[str, str], reading: Reading) -> InputError:
    why = "; ".join(f"{count} × {said}" for said, count in reading.refused.most_common(3))
    where = ", ".join(f"{name} ({form})" for name, form in files.items())
    return InputError(f"no trace in {where[:500]}" + (f": {why}" if why else ""))


__all__ = [
    "Progress",
    "Report",
    "Tally",
    "as_trial",
    "ingest_traces",
    "planned_run",
    "read_trace",
    "store_parts",
    "write_run",
]
