"""The store: run folders, which are the truth, and results.duckdb, built from them."""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from evalkit.costly_steps import COLUMNS as SPENDING
from evalkit.errors import InputError, NotFoundError, StoreError
from evalkit.folders import (
    GATES,
    JOURNAL,
    LOCK,
    SCHEMA_VERSION,
    Listed,
    locks,
    read_counts,
    read_listed,
    run_folder,
    run_folders,
    sync_folder,
    unwritable,
)
from evalkit.folders.lines import read_journal, scan_journal
from evalkit.folders.rows import (
    RECORDED_SCORES,
    RECORDED_STEPS,
    RECORDED_TRIALS,
    SCORE_NUMBERS,
    TRIAL_NUMBERS,
)
from evalkit.folders.tables import as_tables, read_record, read_run, read_table, read_trials
from evalkit.observations import codes, floats, integers, taken
from evalkit.reports import GateReport, Promotion
from evalkit.results import Recorded, Run, Told, Trial
from evalkit.store import database
from evalkit.store.promotions import PROMOTIONS, read_promotions
from evalkit.store.schema import Decision, Outcome
from evalkit.store.telling import TOLD_STEPS, TOLD_TRIALS, told_by_route

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["Decision", "Outcome", "Store"]

DATABASE = "results.duckdb"
WAIT_S = 30.0
_SHOWN = 8
_R = TypeVar("_R", Run, Listed)


class Store:
    """The results below one folder. Holds nothing open between calls.

    ``wait`` is how many seconds a call waits for another process that writes the database.
    """

    def __init__(self, path: str | Path, *, wait: float = WAIT_S) -> None:
        self.path = Path(path)
        self.database = self.path / DATABASE
        self._lock = self.path / f"{DATABASE}.lock"
        self._wait = wait

    def runs(self, *, cases: bool = True) -> list[Run]:
        """All readable runs, newest first, finished or not. Damaged folders are left out.

        Without ``cases``, those of recorded traces are not read: there may be millions.
        """
        return self._newest_first(read_run if cases else read_record)

    def stored_trials(self) -> dict[str, int]:
        """How many trials each complete run holds; a run's plan may not tell, as of re-runs."""
        counts = {}
        for folder in run_folders(self.path):
            with suppress(StoreError):  # told by damaged()
                found = read_counts(folder)
                if "trials" in found:
                    counts[folder.name] = found["trials"]
        return counts

    def damaged(self) -> list[tuple[str, str]]:
        """Names of run folders that cannot be read, with the reasons."""
        found = []
        for folder in run_folders(self.path):
            try:
                read_record(folder)
            except StoreError as error:
                found.append((folder.name, str(error)))
        return found

    def find(self, ref: str, suite: str | None = None) -> Run:
        """The run that ``ref`` means: its id, a label, or the beginning of one run's id.

        A label means the newest complete run that bears it, of that suite if one is given; a run
        that was promoted to the label bears it from then on. Raises NotFoundError, which lists
        what there is, and StoreError where the run that is meant is damaged.
        """
        return self.run(self._find(ref, suite, self._listed()))

    def find_all(self, refs: Sequence[str]) -> list[Run]:
        """The runs that several names mean, each as :meth:`find` says; every run once.

        A label means a run of the first run's suite; an id may be of any.
        """
        listed = self._listed()
        found: list[Run] = []
        for ref in refs:
            suite = found[0].suite.name if found else None
            run = self.run(self._find(ref, suite, listed))
            if run.id in {one.id for one in found}:
                continue
            if found and run.planned == found[0].planned:  # held once: it is most of a record
                run = msgspec.structs.replace(run, planned=found[0].planned)
            found.append(run)
        return found

    def run(self, run_id: str) -> Run:
        """The run of exactly this id, without a look at any other. Raises NotFoundError."""
        return read_run(self._folder(run_id))

    def bearing(self, label: str, suite: str | None = None) -> list[str]:
        """The ids of the complete runs that bear a label, the one first that it means as baseline.

        A run of a selection of the cases comes after all whole ones, unless it was promoted to
        the label.
        """
        found = self._bearing(label, self._listed())
        found = [run for run in found if run.status == "complete" and _of(run, suite)]
        promoted = {one.run for one in self.promotions() if one.label == label}
        found.sort(key=lambda run: bool(run.selection) and run.id not in promoted)
        return [run.id for run in found]

    def suites(self, label: str) -> list[str]:
        """The suites that have a complete run with this label, the newest bearer's first."""
        found = self._bearing(label, self._listed())
        return list(dict.fromkeys(run.suite.name for run in found if run.status == "complete"))

    def _find(self, ref: str, suite: str | None, runs: list[Listed]) -> str:
        if any(run.id == ref for run in runs):
            return ref
        labelled = [run for run in self._bearing(ref, runs) if _of(run, suite)]
        for run in labelled:
            if run.status == "complete":
                return run.id
        begun = [run for run in runs if ref and run.id.startswith(ref)]
        if len(begun) == 1:
            return begun[0].id
        raise NotFoundError(self._not_found(ref, suite, runs, labelled or begun))

    def _bearing(self, label: str, runs: Sequence[Listed]) -> list[Listed]:
        """The runs that bear a label, by their own or by promotion, the newest bearer first."""
        since = {run.id: run.started for run in runs if run.label == label}
        since |= {one.run: one.promoted for one in self.promotions() if one.label == label}
        bearing = [run for run in runs if run.id in since]
        return sorted(bearing, key=lambda run: since[run.id], reverse=True)

    def _listed(self) -> list[Listed]:
        return self._newest_first(read_listed)

    def _newest_first(self, read: Callable[[Path], _R]) -> list[_R]:
        found = []
        for folder in run_folders(self.path):
            with suppress(StoreError):  # told by damaged()
                found.append(read(folder))
        return sorted(found, key=lambda run: (run.started, run.id), reverse=True)

    def promotions(self) -> list[Promotion]:
        """All promotions to baseline, oldest first."""
        return read_promotions(self.path)

    def save_promotion(self, promotion: Promotion) -> None:
        """Keeps a promotion; from now on the label means that run. Raises as :meth:`load`."""
        self.run(promotion.run)
        with locks.held(self.path / f"{PROMOTIONS}.lock", wait=self._wait):
            _append_line(self.path / PROMOTIONS, msgspec.json.encode(promotion))

    def load(self, found: Run | str, *, steps: bool = False, texts: bool = True) -> Recorded:
        """A run with its tables, as comparison and gate read it; ``steps`` too where asked for.

        ``found`` is the id, or the run as :meth:`run` gives it. Without ``texts`` it has only what
        numbers are made of: no reasons, findings and errors.

        Of an unfinished run, what its journal holds. Raises NotFoundError, StoreError.
        """
        if isinstance(found, str) or found.status != "complete":  # it may be complete by now
            found = self.run(found if isinstance(found, str) else found.id)
        run, folder = found, run_folder(self.path, found.id)
        columns = RECORDED_TRIALS if texts else TRIAL_NUMBERS
        columns = (*columns, "coverage") if steps else columns
        if run.status == "complete":
            trials = read_table(folder, "trials", columns)
            scores = read_table(folder, "scores", RECORDED_SCORES if texts else SCORE_NUMBERS)
            walked = read_table(folder, "steps", RECORDED_STEPS) if steps else None
        else:
            tables = as_tables(read_journal(folder / JOURNAL))
            trials, scores = tables["trials"].select(columns), tables["scores"]
            walked = tables["steps"].select(RECORDED_STEPS) if steps else None
        return Recorded(run, trials, _of_completed(trials, scores), walked)

    def trials(
        self, run_id: str, case: str | None = None, trial: int | None = None
    ) -> Iterator[Trial]:
        """The trials of a run, of one case or only one of them, as they were recorded."""
        folder = self._folder(run_id)
        if read_listed(folder).status == "complete":
            yield from read_trials(folder, case, trial)
            return
        for found in read_journal(folder / JOURNAL):
            if case in (None, found.case) and trial in (None, found.trial):
                yield found

    def steps_taken(self, run_id: str) -> pa.Table:
        """How many steps each trial of a run took: case, trial, steps. Raises as :meth:`load`."""
        import numpy as np

        folder = self._folder(run_id)
        if read_listed(folder).status == "complete":
            steps = read_table(folder, "steps", ("case", "trial", "number"))
        else:
            steps = as_tables(read_journal(folder / JOURNAL))["steps"]
        # A trial's steps follow one another, numbered from 0.
        first = np.flatnonzero(floats(steps["number"]) == 0)
        counts = integers(np.diff(first, append=steps.num_rows))
        found: pa.Table = taken(steps.select(["case", "trial"]), first)
        return found.append_column("steps", counts)

    def spending(self, run_id: str, cases: Sequence[str]) -> pa.Table:
        """The steps of some cases with what they took, in order: see :mod:`evalkit.costly_steps`.

        Raises as :meth:`load`.
        """
        import numpy as np

        folder = self._folder(run_id)
        if read_listed(folder).status == "complete":
            steps = read_table(folder, "steps", SPENDING)
        else:
            steps = as_tables(read_journal(folder / JOURNAL))["steps"].select(SPENDING)
        found: pa.Table = taken(steps, np.flatnonzero(codes(steps["case"], cases) >= 0))
        return found

    def told(self, run_id: str) -> dict[str, Told]:
        """What the trajectories of a run hold, by route. Raises as :meth:`load` does."""
        folder = self._folder(run_id)
        if read_listed(folder).status == "complete":
            trials = read_table(folder, "trials", TOLD_TRIALS)
            return told_by_route(trials, read_table(folder, "steps", TOLD_STEPS))
        tables = as_tables(read_journal(folder / JOURNAL))
        return told_by_route(tables["trials"].select(TOLD_TRIALS), tables["steps"])

    def finished_trials(self, run_id: str) -> int:
        """How many trials a run that is under way or interrupted has finished."""
        return len(scan_journal(run_folder(self.path, run_id) / JOURNAL)[0])

    def decisions(self, run_id: str) -> list[Decision]:
        """The gate's decisions on a run, oldest first."""
        folder = self._folder(run_id)
        return list(database.read_decisions(folder))

    def outcomes(self, run_id: str) -> list[Outcome]:
        """What the gate's decisions on a run came to, oldest first."""
        folder = self._folder(run_id)
        return list(database.read_outcomes(folder))

    def add(self, run_id: str) -> None:
        """Makes sure that the database has a complete run, and all others that it lacks.

        Safe to repeat. Raises InputError for an unfinished run, StoreError for a database that
        is damaged, of a newer evalkit, or held by others for too long.
        """
        status = read_listed(self._folder(run_id)).status
        if status != "complete":
            raise InputError(f"run {run_id} is {status}: only complete runs are in {DATABASE}")
        with self._writing() as connection:
            damaged = dict(database.catch_up(connection, self.path).damaged)
        # Another run's damage is told by damaged(); it must not stop this one.
        if run_id in damaged:
            raise StoreError(damaged[run_id])

    def save_verdicts(self, report: GateReport) -> str | None:
        """Keeps a gate's decision: in the candidate's run folder, then in the database.

        Gives why the database could not take it, if so; the folder has it all the same. A
        database that is not there is not built for this. Raises StoreError for the folder.
        """
        folder = self._folder(report.run)
        decision = Decision(time.time(), report)
        with locks.held(folder / LOCK, wait=self._wait):
            _append_line(folder / GATES, msgspec.json.encode(decision))
        try:
            with self._locked():
                if self.database.exists():
                    with database.opened(self.database, wait=self._wait) as connection:
                        if self._current(connection):
                            database.load_verdicts(connection, folder)
        except StoreError as error:
            return str(error)
        return None

    def rebuild(self) -> database.Loaded:
        """Builds the database anew from all run folders and puts it in place of the old one."""
        with self._locked():
            return database.build(self.database, self.path, self._wait)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """What a read-only query gives; it can reach no file, setting or network.

        Raises InputError for a query that fails, StoreError as :meth:`add` does.
        """
        with self._writing() as connection:
            database.catch_up(connection, self.path)
        with self._locked(shared=True):
            return database.locked_down(self.database, sql, parameters, self._wait)

    def _folder(self, run_id: str) -> Path:
        folder = run_folder(self.path, run_id)
        if not folder.is_dir():
            raise NotFoundError(self._not_found(run_id, None, self._listed(), []))
        return folder

    @contextmanager
    def _locked(self, *, shared: bool = False) -> Iterator[None]:
        """evalkit's own lock, without which DuckDB can lose a committed transaction."""
        if not self.path.is_dir():
            raise NotFoundError(f"there is no store at {self.path}")
        try:
            lock = locks.take(self._lock, wait=self._wait, shared=shared)
        except locks.LockHeldError as error:
            raise StoreError(
                f"{self.database} is being written by {error.holder}; waited {self._wait:g} s. "
                f"Nothing is lost, the run folders hold all results: try again when it is done"
            ) from error
        try:
            yield
        finally:
            locks.release(lock)

    @contextmanager
    def _writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The database, under the lock; built first if it is missing or of an older schema."""
        with self._locked():
            if self.database.exists():
                with database.opened(self.database, wait=self._wait) as connection:
                    if self._current(connection):
                        yield connection
                        return
            database.build(self.database, self.path, self._wait)
            with database.opened(self.database, wait=self._wait) as connection:
                yield connection

    def _current(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Whether the database is not of an older schema. Raises StoreError for a newer one."""
        return database.schema_version(connection, self.database) == SCHEMA_VERSION

    def _not_found(
        self, ref: str, suite: str | None, runs: Sequence[Listed], near: Sequence[Listed]
    ) -> str:
        """What there is instead, for the person who asked for ``ref``."""
        asked = f"{ref[:200]!r}" + (f" of suite {suite[:200]!r}" if suite is not None else "")
        where = f"in {self.path}"
        broken = dict(self.damaged())
        if ref in broken:
            return f"run {ref} {where} cannot be read: {broken[ref]}"
        if near:
            kind = (
                "several runs begin so" if near[0].label != ref else "none of its runs is complete"
            )
            listed = ", ".join(f"{run.id} ({run.status})" for run in near[:_SHOWN])
            return f"no complete run {asked} {where}; {kind}: {listed}"
        if not runs:
            return f"no run {asked}: there are no runs {where} yet"
        labels = list(dict.fromkeys(run.label for run in runs if _of(run, suite)))
        names = [*labels, *(run.id for run in runs)]
        close = difflib.get_close_matches(ref[:200], names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
        known = ", ".join(repr(label[:200]) for label in labels[:_SHOWN]) or "none"
        return f"no run {asked} {where}.{hint} Labels, newest first: {known}{more}"


def _of(run: Listed, suite: str | None) -> bool:
    return suite is None or run.suite.name == suite


def _of_completed(trials: pa.Table, scores: pa.Table) -> pa.Table:
    """The scores without those of trials that failed for infrastructure reasons."""
    import numpy as np

    failed = codes(trials["status"], ("completed",)) < 0
    if not failed.any():
        return scores
    cases = tuple(trials["case"].unique().to_pylist())
    numbers = [floats(table["trial"]) for table in (trials, scores)]
    known, number = np.unique(np.concatenate(numbers), return_inverse=True)
    case = np.concatenate([codes(table["case"], cases) for table in (trials, scores)])
    keys = case * len(known) + number
    lost = np.isin(keys[len(trials) :], keys[: len(trials)][failed])
    return taken(scores, np.flatnonzero(~lost))


def _append_line(path: Path, line: bytes) -> None:
    """Appends a line durably; a torn last line of a crash before is closed off first."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(file).st_size
            torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
            data = b"\n" * torn + line + b"\n"
            if os.write(file, data) != len(data):
                raise OSError("the disk is full")
            os.fsync(file)
        finally:
            os.close(file)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(unwritable(path, error)) from error
