"""Run folders: ``STORE/runs/RUN/``. They are the truth; the database is built from them.

While a run is under way its folder holds ``run.json``, ``journal.jsonl`` and ``lock``; once it
is complete, ``manifest.json``, ``trials.parquet``, ``steps.parquet``, ``scores.parquet``. Gate
decisions on a run are appended to its ``gates.jsonl``. ``manifest.json`` is written last: its
presence means that the run is complete.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from evalkit.errors import InputError, StoreError
from evalkit.folders import locks
from evalkit.results import Run, RunStatus, Selection

SCHEMA_VERSION = 2
"""Of the run folders and of the database; a reader refuses what is newer."""

RUNS = "runs"
LOCK = "lock"
JOURNAL = "journal.jsonl"
RUN_RECORD = "run.json"
MANIFEST = "manifest.json"
GATES = "gates.jsonl"
TABLES = ("trials", "steps", "scores")

_MAX_INDENTED = 1 << 20
"""A longer manifest, of very many cases, is one line: nobody reads it by eye. Bytes."""

_RUN_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a run folder says about itself; ``counts`` are rows per table once it is complete."""

    schema_version: int = SCHEMA_VERSION
    run: Run
    counts: dict[str, int] = {}


class _Named(msgspec.Struct, frozen=True):
    name: str


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is found by: the little of its manifest that many runs are searched for."""

    id: str
    label: str
    suite: _Named
    status: RunStatus = "running"
    started: float
    selection: Selection = Selection()


class _Listing(msgspec.Struct, frozen=True):
    run: Listed
    counts: dict[str, int] = {}


class _Version(msgspec.Struct):
    schema_version: int


def run_folder(store: Path, run_id: str) -> Path:
    """The folder of a run. Raises InputError for an id that is not safe as a folder's name."""
    if not _RUN_ID.fullmatch(run_id):
        raise InputError(
            f"{run_id[:120]!r} is no run id: at most 100 letters, digits, '.', '_' and '-', "
            "not starting with '.'"
        )
    return store / RUNS / run_id


def run_folders(store: Path) -> list[Path]:
    """Every folder below ``STORE/runs``, by name; none where there is no store yet."""
    try:
        return sorted(path for path in (store / RUNS).iterdir() if path.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot list {store / RUNS}: {error.strerror}") from error


def read_manifest(folder: Path) -> Manifest:
    """What the folder says about its run. Raises StoreError with the reason where it is damaged.

    A run that says ``running`` while nobody holds its lock was killed: it reads ``interrupted``.
    """
    return _read(folder, Manifest)


def read_listed(folder: Path) -> Listed:
    """As :func:`read_manifest`, and cheaper: only what the run is found by."""
    return _read(folder, _Listing).run


def read_counts(folder: Path) -> dict[str, int]:
    """The rows of each table of a complete run; empty for any other."""
    return _read(folder, _Listing).counts


_M = TypeVar("_M", Manifest, _Listing)


def _read(folder: Path, kind: type[_M]) -> _M:
    complete = (folder / MANIFEST).exists()
    path = folder / (MANIFEST if complete else RUN_RECORD)
    manifest = _decode(path, kind)
    if manifest.run.id != folder.name:
        raise StoreError(f"{path} is about another run, {manifest.run.id[:100]!r}")
    if complete:
        for table in TABLES:
            if not table_path(folder, table).is_file():
                raise StoreError(f"{folder / table}.parquet is missing")
        return manifest
    if manifest.run.status == "running" and locks.is_free(folder / LOCK):
        killed = msgspec.structs.replace(manifest.run, status="interrupted")
        return msgspec.structs.replace(manifest, run=killed)
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes what the folder says about its run: ``manifest.json`` if complete, else run.json."""
    name = MANIFEST if manifest.run.status == "complete" else RUN_RECORD
    data = msgspec.json.encode(manifest)
    if len(data) <= _MAX_INDENTED:
        data = msgspec.json.format(data, indent=1)
    with replacing(folder / name) as file:
        file.write(data)


def table_path(folder: Path, table: str) -> Path:
    """The Parquet file of one of :data:`TABLES`."""
    return folder / f"{table}.parquet"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of ``path`` when the block ends: whole or not at all.

    Written beside, fsynced, renamed. Raises StoreError where it cannot be written, and then
    leaves what was there.
    """
    beside = path.with_name(f".{path.name}.tmp")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StoreError(unwritable(path, error)) from error
        raise


def sync_folder(folder: Path) -> None:
    """Makes renames and new files in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(path: Path, error: OSError) -> str:
    """The message for a file that cannot be written."""
    return f"cannot write {path}: {error.strerror or error}"


def _decode(path: Path, kind: type[_M]) -> _M:
    try:
        data = path.read_bytes()
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{path} was written by a newer evalkit (schema {version}, this one reads up to "
                f"{SCHEMA_VERSION}): upgrade evalkit"
            )
        return msgspec.json.decode(data, type=kind)
    except FileNotFoundError:
        raise StoreError(f"{path} is missing") from None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise StoreError(f"{path} is damaged: {error}") from error
