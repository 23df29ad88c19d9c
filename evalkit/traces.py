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

from msgspec.structs import replace

from evalkit.errors import EvalkitError, InputError, StoreError
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
from evalkit.results import Run, Trial, new_run_id
from evalkit.store import Store
from evalkit.suite import Pipeline, Suite
from evalkit.tracing import formats
from evalkit.tracing.assembly import Reading, Recorded, assemble
from evalkit.tracing.gathering import BUDGET, WINDOW, Gathering, LateSpansError
from evalkit.tracing.parts import Part
from evalkit.tracing.reasons import Reasons
from evalkit.tracing.tally import Report, Tally

UNKNOWN_ROUTE = "unknown"
EVERY = 2_000
"""Spans, or traces, between two calls of ``on_progress``."""

_NEW_OBJECTS = 200_000
"""Objects that may be made, more than go, before cycles are searched for: about a batch's."""


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
    suite: Suite | None = None,
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
    reading = _reading(suite)

    def parts() -> Iterator[Part]:
        for file in files:
            yield from formats.read_parts(file, forms[str(file)], reading.refused)

    run = planned_run(label, ", ".join(map(str, files)), suite)
    with _new_folder(store, run):
        return write_run(store, run, parts, reading, forms, on_progress, budget)


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


@contextmanager
def _new_folder(store: Path, run: Run) -> Iterator[None]:
    """The run's folder, locked; gone again where the block fails. Raises StoreError."""
    folder = run_folder(store, run.id)
    try:
        folder.mkdir(parents=True)
        sync_folder(folder.parent)
    except OSError as error:
        raise StoreError(unwritable(folder, error)) from error
    try:
        with locks.held(folder / LOCK):
            write_manifest(folder, Manifest(run=run))
            yield
    except BaseException:  # also Ctrl-C: nothing may be left behind
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
    """Writes the parts' traces into a run's folder, which is there and locked, and says what.

    Raises InputError where there is no trace, StoreError where the disk refuses.
    """
    folder = run_folder(store, run.id)
    before = Counter(reading.refused), Counter(reading.secrets)
    try:
        with rare_collection():
            try:
                early = Gathering(folder, budget, min(WINDOW, budget))
                counts, tally = _write(folder, parts(), reading, early, on_progress)
            except LateSpansError:  # rare: a trace went on after many others
                for counted, count in zip((reading.refused, reading.secrets), before, strict=True):
                    counted.clear()
                    counted.update(count)
                late = Gathering(folder, budget)
                counts, tally = _write(folder, parts(), reading, late, on_progress)
        if not tally.traces:
            raise _nothing(files, reading)
        _finish(folder, run, counts, tally)
    except OSError as error:
        raise StoreError(unwritable(folder, error)) from error
    Store(store).add(run.id)
    return tally.report(run.id, files, counts["steps"])


def _finish(folder: Path, run: Run, counts: dict[str, int], tally: Tally) -> None:
    """Writes the run's manifest: it is complete."""
    finished = replace(
        run,
        status="complete",
        finished=time.time(),
        scopes=tally.scopes,
    )
    write_manifest(folder, Manifest(run=finished, counts=counts))
    (folder / RUN_RECORD).unlink(missing_ok=True)


@contextmanager
def rare_collection() -> Iterator[None]:
    """Lets Python search for cycles seldom: it takes a third of the time, and finds hardly any.

    What is read is freed at once when its last reference goes.
    """
    before = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


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
            on_progress(Progress(spans, tally.traces))
    told = tally.traces
    for found in gathering.traces(reading.refused):
        yield found
        if on_progress and tally.traces - told >= EVERY:
            told = tally.traces
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


def _nothing(files: dict[str, str], reading: Reading) -> InputError:
    why = "; ".join(f"{count} × {said}" for said, count in reading.refused.most_common(3))
    where = ", ".join(f"{name} ({form})" for name, form in files.items())
    return InputError(f"no trace in {where[:500]}" + (f": {why}" if why else ""))


__all__ = [
    "Progress",
    "Report",
    "as_trial",
    "ingest_traces",
    "planned_run",
    "rare_collection",
    "read_trace",
    "write_run",
]
