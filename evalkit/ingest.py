"""ingest_tau(): a benchmark's result file -> dataset file and run, scored like any other run."""

from __future__ import annotations

import gzip
import re
import shutil
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from evalkit import scoring
from evalkit.dataset import Case, Dataset
from evalkit.errors import FileError, InputError, Problem, StoreError
from evalkit.files import write_atomically
from evalkit.journal import Journal
from evalkit.planning import version
from evalkit.results import PlannedCase, Run, Trial, new_run_id
from evalkit.store import Store
from evalkit.suite import GatePolicy, Pipeline, Setting, Suite
from evalkit.tracing.tau import Recording, read_tau

MAX_BYTES = 1 << 30
"""The most that a result file may hold, uncompressed."""

MAX_NOTES = 20
GZIP = b"\x1f\x8b"


class Ingested(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file. ``spans`` are messages read: ``ignored`` ones are the user's and
    the system's, which are no steps; ``quarantined`` are simulations set aside (see ``notes``).
    """

    run: str
    dataset: str
    traces: int
    spans: int
    steps: int
    ignored: int
    not_understood: int
    quarantined: int
    notes: tuple[str, ...] = ()


def ingest_tau(
    file: Path,
    *,
    label: str,
    store: Path,
    trials: Sequence[int] | None = None,
    dataset: Path | None = None,
) -> Ingested:
    """Stores a tau-bench or tau2-bench result file (JSON, may be gzipped) as a dataset and a run.

    ``trials`` keeps those trial numbers of the file; the run numbers them from 0, and its
    settings say which they were. ``dataset`` must not exist with other content. Raises
    InputError for a wrong file or argument, StoreError where the store cannot be written; either
    way nothing is left behind.
    """
    if not label.strip():
        raise InputError("a run needs a label, for instance --label gpt-4o")
    recording = read_tau(read_bounded(file), str(file))
    kept, wanted = select_trials(recording.trials, trials)
    cases = Dataset(recording.cases)
    path = dataset or store / "datasets" / f"{_slug(label)}-{cases.digest}.jsonl"
    run = _plan(recording, cases, kept, wanted, file, path, label, trials is not None)
    scored = score(recording, kept, run.suite)
    is_new = _write_dataset(path, cases, may_replace=dataset is None)
    try:
        _record(store, run, scored)
    except BaseException:  # also Ctrl-C: nothing may be left behind
        if is_new:
            path.unlink(missing_ok=True)
        raise
    Store(store).add(run.id)
    return _counts(run.id, path, kept, recording)


def read_bounded(file: Path) -> bytes:
    """A file's bytes, inflated if gzipped, at most MAX_BYTES; FileError otherwise."""
    try:
        with file.open("rb") as opened:
            if opened.read(2) != GZIP:
                opened.seek(0)
                data = opened.read(MAX_BYTES + 1)
            else:
                opened.seek(0)
                with gzip.open(opened) as inflated:
                    data = inflated.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise FileError(Problem(str(file), "no such file")) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        message = f"damaged or cut off: it does not inflate ({error})"
        raise FileError(Problem(str(file), message)) from None
    except OSError as error:
        raise FileError(Problem(str(file), f"cannot be read: {error.strerror}")) from None
    if len(data) > MAX_BYTES:
        raise FileError(Problem(str(file), f"larger than {MAX_BYTES >> 20} MiB uncompressed"))
    return data


def select_trials(
    trials: Sequence[Trial], wanted: Sequence[int] | None
) -> tuple[tuple[Trial, ...], tuple[int, ...]]:
    """The trials of the wanted numbers, numbered from 0 in order, and those numbers.

    Without ``wanted`` all are kept. InputError where a number is in no trial of the file.
    """
    found = sorted({trial.trial for trial in trials})
    chosen = found if wanted is None else sorted(set(wanted))
    unknown = [number for number in chosen if number not in found]
    if unknown or not chosen:
        asked = ", ".join(map(str, unknown)) or "none"
        known = ", ".join(map(str, found))
        raise InputError(f"--trials: no trial {asked} in the file; it has trials {known}")
    numbers = {old: new for new, old in enumerate(chosen)}
    kept = [
        replace(trial, trial=numbers[trial.trial]) for trial in trials if trial.trial in numbers
    ]
    return tuple(sorted(kept, key=lambda trial: (trial.trial, trial.case))), tuple(chosen)


def score(recording: Recording, trials: Sequence[Trial], suite: Suite) -> list[Trial]:
    """The trials with the suite's scores beside the benchmark's reward; only completed ones."""
    scorers = scoring.bind(suite.scorer_uses, suite.effects, None)
    cases = {case.id: case for case in recording.cases}

    def judged(trial: Trial) -> Trial:
        if trial.status != "completed" or trial.trajectory is None:
            return trial
        found = scoring.score_trial(cases[trial.case], trial.trajectory, scorers)
        return replace(trial, scores=(*trial.scores, *found))

    return [judged(trial) for trial in trials]


def _plan(
    recording: Recording,
    cases: Dataset,
    kept: Sequence[Trial],
    numbers: Sequence[int],
    file: Path,
    path: Path,
    label: str,
    filtered: bool,
) -> Run:
    """The run that the recording is: its cases are those that the file has a trial of."""
    tried = {trial.case for trial in kept}
    now = time.time()
    settings: Mapping[str, Setting] = {
        "model": recording.model,
        "trials": ",".join(map(str, numbers)) if filtered else None,
    }
    suite = Suite(
        name=f"{recording.source}-{recording.domain}",
        pipeline=Pipeline(traces=str(file)),
        dataset=str(path),
        trials=len(numbers),
        effects=recording.effects,
        # Completion rests on an end state that no recording holds; the reward is its measure.
        gate=GatePolicy(on=("reward", "trajectory_match")),
    )
    return Run(
        id=new_run_id(now),
        label=label,
        suite=suite,
        dataset_path=str(path),
        dataset_digest=cases.digest,
        planned=tuple(_planned(case) for case in cases if case.id in tried),
        trials=len(numbers),
        settings={key: value for key, value in settings.items() if value is not None},
        started=now,
        evalkit_version=version(),
        notes=recording.notes,
    )


def _planned(case: Case) -> PlannedCase:
    return PlannedCase.of(case)


def _write_dataset(path: Path, cases: Dataset, *, may_replace: bool) -> bool:
    """Writes the dataset unless it is there already; whether a file came into being."""
    content = b"".join(msgspec.json.encode(case) + b"\n" for case in cases)
    try:
        there = path.read_bytes() if path.exists() else None
        if there == content:
            return False
        if there is not None and not may_replace:
            raise InputError(f"{path} exists and holds something else: name another --dataset")
        write_atomically(path, content)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error
    return there is None


def _record(store: Path, run: Run, trials: Sequence[Trial]) -> None:
    """Writes the run's folder, whole or not at all."""
    with Journal.start(store, run) as journal:
        try:
            journal.extend(trials)
            journal.finish()
        except BaseException:  # also Ctrl-C: nothing may be left behind
            journal.close()
            shutil.rmtree(journal.folder, ignore_errors=True)
            raise


def _counts(run_id: str, path: Path, trials: Sequence[Trial], recording: Recording) -> Ingested:
    read = [trial.trajectory for trial in trials if trial.trajectory is not None]
    asides = [f"set aside {one.label}: {one.reason}" for one in recording.asides[:MAX_NOTES]]
    more = len(recording.asides) - len(asides)
    return Ingested(
        run=run_id,
        dataset=str(path),
        traces=len(read),
        spans=sum(one.coverage.spans for one in read),
        steps=sum(len(one.steps) for one in read),
        ignored=sum(one.coverage.wrappers for one in read),
        not_understood=sum(one.coverage.not_understood for one in read),
        quarantined=len(recording.asides),
        notes=(*recording.notes, *asides, *([f"and {more} more set aside"] if more else [])),
    )


def _slug(label: str) -> str:
    """A label as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", label).strip("-")[:80] or "dataset"


__all__ = ["Ingested", "ingest_tau", "read_bounded", "score", "select_trials"]
