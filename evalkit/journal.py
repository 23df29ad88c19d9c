"""What a run writes while it runs: each finished trial, durable before anyone is told so.

A journal ends as a run folder in Parquet (:meth:`Journal.finish`), or stays to be resumed.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

import msgspec

from evalkit.errors import InputError, NotFoundError, StoreError
from evalkit.folders import (
    JOURNAL,
    LOCK,
    MANIFEST,
    RUN_RECORD,
    Manifest,
    locks,
    read_manifest,
    run_folder,
    sync_folder,
    unwritable,
    write_manifest,
)
from evalkit.folders.lines import encode_trial, read_journal, scan_journal
from evalkit.folders.tables import write_tables
from evalkit.results import Run, Trial

MAX_WAITING = 256
"""Trials that may wait for the disk at once; further appenders wait before they encode."""

# A look at a lock (see `locks.is_free`) holds it for microseconds: do not take that for a writer.
_LOCK_WAIT_S = 0.3


class _Append(NamedTuple):
    line: bytes
    written: asyncio.Future[None]


class Journal:
    """The journal of one run, held under the run's lock until :meth:`finish` or :meth:`close`.

    Made by :meth:`start` or :meth:`resume`. ``finished`` are the keys (case, trial) of trials
    that need not be tried again. One thread writes: whatever is queued goes out in one write
    and one fsync, so the cost of durability is shared by the trials that end together.
    """

    def __init__(self, folder: Path, run: Run, lock: int) -> None:
        self.folder = folder
        self.run = run
        self._lock: int | None = lock
        self._path = folder / JOURNAL
        self.finished, self._end = scan_journal(self._path)
        self._file = _open_at(self._path, self._end)
        self._broken: str | None = None
        self._closed = False
        self._entrance = threading.Lock()
        self._disk = threading.Lock()
        self._room = asyncio.Semaphore(MAX_WAITING)
        self._queue: queue.SimpleQueue[_Append | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="evalkit-journal", daemon=True)
        self._writer.start()

    @classmethod
    def start(cls, store: Path, run: Run) -> Self:
        """Begins a run: makes its folder. Raises InputError for a bad or used id, StoreError."""
        folder = run_folder(store, run.id)
        run = msgspec.structs.replace(run, status="running")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            sync_folder(folder.parent)
        except FileExistsError as error:
            if folder.is_dir():
                raise InputError(f"there is already a run {run.id} in {store}") from None
            raise StoreError(unwritable(folder, error)) from error
        except OSError as error:
            raise StoreError(unwritable(folder, error)) from error
        return cls._open(folder, run)

    @classmethod
    def resume(cls, store: Path, run_id: str) -> Self:
        """Reopens a run that was interrupted or killed; a half-written last line is cut off.

        Raises NotFoundError where there is no such run, InputError where the run is complete or
        another process is running it, StoreError where its folder is damaged.
        """
        folder = run_folder(store, run_id)
        if not folder.is_dir():
            raise NotFoundError(f"there is no run {run_id} in {store}")
        run = read_manifest(folder).run
        if run.status == "complete":
            raise InputError(f"run {run_id} is complete: there is nothing to resume")
        return cls._open(folder, msgspec.structs.replace(run, status="running", finished=None))

    @classmethod
    def _open(cls, folder: Path, run: Run) -> Self:
        try:
            lock = locks.take(folder / LOCK, wait=_LOCK_WAIT_S)
        except locks.LockHeldError as error:
            raise InputError(
                f"run {run.id} is being run by {error.holder}: wait for it, or stop it first"
            ) from error
        try:
            if (folder / MANIFEST).exists():  # finished between the first look and the lock
                raise InputError(f"run {run.id} is complete: there is nothing to resume")
            write_manifest(folder, Manifest(run=run))
            return cls(folder, run, lock)
        except BaseException:
            locks.release(lock)
            raise

    async def append(self, trial: Trial) -> None:
        """Records a trial; returns once it is on disk.

        Raises PluginError for a record that is not of a trial's shape, and StoreError where the
        disk refuses: the journal is then valid up to its last whole line, and takes no more.
        """
        async with self._room:
            line = encode_trial(trial)
            written = asyncio.get_running_loop().create_future()
            with self._entrance:  # close() may come from another thread
                if self._closed:
                    raise StoreError(f"the journal of run {self.run.id} is closed")
                self._queue.put(_Append(line, written))
            await written

    def extend(self, trials: Iterable[Trial]) -> None:
        """Records trials that are there already, many to an fsync; raises as :meth:`append`."""
        lines = (encode_trial(trial) for trial in trials)
        while batch := list(islice(lines, MAX_WAITING)):
            self._commit(batch)

    def finish(
        self,
        status: Literal["complete", "interrupted"] = "complete",
        *,
        stray_spans: int = 0,
        notes: Iterable[str] = (),
    ) -> Run:
        """Ends the run and gives its record.

        ``complete`` turns the journal into Parquet files, writes the manifest last and removes
        the journal; a crash in between leaves a run that can be resumed and finished again.
        ``interrupted`` keeps the journal, to be resumed. Raises StoreError where the disk
        refuses; the journal is kept. Takes time: call it outside the event loop.
        """
        run = msgspec.structs.replace(
            self.run,
            status=status,
            finished=time.time(),
            stray_spans=self.run.stray_spans + stray_spans,
            notes=tuple(dict.fromkeys((*self.run.notes, *notes))),
        )
        try:
            self._stop_writer()
            if status == "complete":
                scopes: dict[str, str] = {}
                counts = write_tables(self.folder, _noting(scopes, read_journal(self._path)))
                run = msgspec.structs.replace(run, scopes=scopes)
                write_manifest(self.folder, Manifest(run=run, counts=counts))
                for name in (JOURNAL, RUN_RECORD):
                    (self.folder / name).unlink(missing_ok=True)
            else:
                write_manifest(self.folder, Manifest(run=run))
        except OSError as error:
            raise StoreError(unwritable(self.folder, error)) from error
        finally:
            self.close()
        return run

    def close(self) -> None:
        """Writes what is queued and gives the lock back; the run stays resumable. Idempotent."""
        self._stop_writer()
        if self._lock is not None:
            os.close(self._file)
            locks.release(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _stop_writer(self) -> None:
        with self._entrance:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._writer.join()

    def _write(self) -> None:
        """The writer thread: everything queued, one fsync, then all who wait are told."""
        more = True
        while more:
            taken = [self._queue.get()]
            with suppress(queue.Empty):
                while len(taken) < MAX_WAITING:
                    taken.append(self._queue.get_nowait())
            appends = [one for one in taken if one is not None]
            more = len(appends) == len(taken)
            refused = None
            try:
                self._commit([one.line for one in appends])
            except StoreError as error:
                refused = str(error)
            _tell([one.written for one in appends], refused)

    def _commit(self, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        with self._disk:
            if self._broken is not None:
                raise StoreError(self._broken)
            data = b"".join(lines)
            try:
                _write_all(self._file, data)
                os.fsync(self._file)
            except OSError as error:
                # After a failed fsync a later one may succeed without the data: take no more.
                self._broken = (
                    f"{unwritable(self._path, error)}. What was recorded is safe: make room, "
                    f"then resume run {self.run.id}"
                )
                with suppress(OSError):
                    os.ftruncate(self._file, self._end)
                raise StoreError(self._broken) from error
            self._end += len(data)


def _noting(scopes: dict[str, str], trials: Iterable[Trial]) -> Iterator[Trial]:
    """The trials; what instrumented them is put into ``scopes``: names, and the last version."""
    for trial in trials:
        if trial.trajectory is not None:
            scopes.update(trial.trajectory.coverage.scopes)
        yield trial


def _open_at(path: Path, end: int) -> int:
    """The journal, open for appending after its last whole line."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.ftruncate(file, end)
        os.fsync(file)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(unwritable(path, error)) from error
    return file


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _tell(waiting: Sequence[asyncio.Future[None]], refused: str | None) -> None:
    """Resolves the futures on their loop, in one call."""

    def resolve() -> None:
        for future in waiting:
            if future.done():  # its appender was cancelled
                continue
            if refused is None:
                future.set_result(None)
            else:
                future.set_exception(StoreError(refused))

    if waiting:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            waiting[0].get_loop().call_soon_threadsafe(resolve)
