"""results.duckdb: opened for a moment, by one process at a time, filled from run folders."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from evalkit.errors import InputError, StoreError
from evalkit.folders import (
    GATES,
    MANIFEST,
    SCHEMA_VERSION,
    TABLES,
    Manifest,
    read_manifest,
    run_folders,
    sync_folder,
    table_path,
)
from evalkit.folders.arrays import record_batch
from evalkit.folders.tables import read_parts
from evalkit.store.schema import (
    DATABASE,
    Decision,
    Outcome,
    case_rows,
    run_rows,
    statements,
    verdict_rows,
)

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_QUERY_MEMORY = "1GB"
_WRITING_MEMORY = "300MB"
_AT_ONCE = 8
_CASES_AT_ONCE = 20_000
_TRACES_AS_CASES = """
    INSERT INTO {table} BY NAME
    SELECT run, "case", route, '[]' AS tags, '' AS digest FROM trials WHERE run = ?"""
_PATTERN = re.compile(r"[*?[]")

STORAGE_VERSION = "v1.4.0"
"""The DuckDB file format: the oldest DuckDB that evalkit supports reads it too."""

_READ_ONLY = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "lock_configuration": "true",
    "memory_limit": _QUERY_MEMORY,
}
# A second thread would hold as much again in memory, and hardly shorten the writing.
_WRITING = {
    "storage_compatibility_version": STORAGE_VERSION,
    "threads": "1",
    "memory_limit": _WRITING_MEMORY,
}
_PAUSE = 0.05
_REBUILD = "Nothing is lost, the run folders hold all results: `evalkit rebuild` makes it anew"


class Loaded(NamedTuple):
    """Runs that were put into the database; folders that could not be read, with the reasons."""

    runs: tuple[str, ...]
    damaged: tuple[tuple[str, str], ...]


class _When(msgspec.Struct, frozen=True):
    decided: float


class _Outcome(msgspec.Struct, frozen=True):
    report: Outcome


@contextmanager
def opened(
    path: Path, *, wait: float, read_only: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for a moment; the caller holds evalkit's own lock until it is closed.

    Raises StoreError where the file is damaged, or where another program keeps it open for
    longer than ``wait`` seconds; DuckDB's errors inside the block become StoreErrors too.
    """
    import duckdb

    connection = _connect(path, time.monotonic() + wait, read_only)
    try:
        yield connection
    except duckdb.Error as error:
        raise StoreError(f"{path}: {_say(error)}. {_REBUILD}") from error
    finally:
        with suppress(duckdb.Error):  # a failed close has nothing to add to what was raised
            connection.close()


def schema_version(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """The schema version of an open database. Raises StoreError for a newer or foreign one."""
    import duckdb

    try:
        found = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchall()
        version = int(found[0][0]) if found else 0
    except (duckdb.CatalogException, duckdb.BinderException, ValueError):
        raise StoreError(
            f"{path} is no database that evalkit made. {_REBUILD} in its place"
        ) from None
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer evalkit (schema {version}, this one knows up to "
            f"{SCHEMA_VERSION}): upgrade evalkit, or use another store"
        )
    return version


def catch_up(connection: duckdb.DuckDBPyConnection, store: Path) -> Loaded:
    """Puts in what the run folders have and the database lacks: complete runs, gate decisions."""
    known = {name for (name,) in connection.execute("SELECT run FROM runs").fetchall()}
    folders = run_folders(store)
    for folder in folders:
        if folder.name in known and (folder / GATES).exists():
            load_verdicts(connection, folder)
    return _load_runs(connection, [one for one in folders if one.name not in known])


def load_verdicts(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Puts in the gate decisions on a run that the database lacks."""
    found = connection.execute(
        "SELECT DISTINCT decided FROM verdicts WHERE run = ?", [folder.name]
    ).fetchall()
    with _transaction(connection):
        _insert_verdicts(connection, folder, {decided for (decided,) in found})


def build(path: Path, store: Path, wait: float) -> Loaded:
    """Makes the database anew from all folders, beside, and puts it in place."""
    beside = path.with_name(f".{path.name}.new")
    try:
        _remove(beside)
        with opened(beside, wait=wait) as connection:
            with _transaction(connection):  # one write for all of them
                for statement in statements():
                    connection.execute(statement)
            loaded = _load_runs(connection, run_folders(store))
        # The old file goes first: a crash here leaves no database, and that is built when next
        # needed; an old write-ahead log beside a new database would be played into it.
        _remove(path)
        beside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    return loaded


def _load_runs(connection: duckdb.DuckDBPyConnection, folders: Sequence[Path]) -> Loaded:
    """Puts complete runs into the database, each whole or, where it is damaged, not at all."""
    complete = [folder for folder in folders if (folder / MANIFEST).exists()]
    loaded: list[str] = []
    damaged: list[tuple[str, str]] = []
    # Several to a transaction: each transaction compresses and writes its last blocks anew.
    for first in range(0, len(complete), _AT_ONCE):
        several = complete[first : first + _AT_ONCE]
        try:
            _load_together(connection, several)
            loaded += [folder.name for folder in several]
        except StoreError:  # one by one, to see which it was
            for folder in several:
                try:
                    _load_together(connection, [folder])
                    loaded.append(folder.name)
                except StoreError as error:
                    damaged.append((folder.name, str(error)))
    return Loaded(tuple(loaded), tuple(damaged))


def _load_together(connection: duckdb.DuckDBPyConnection, folders: Sequence[Path]) -> None:
    """Puts runs in, all or none. Raises StoreError for the first that is damaged."""
    with _transaction(connection):
        for folder in folders:
            for table in TABLES:
                _insert_file(connection, folder, table)
            _insert_run(connection, read_manifest(folder))
            _insert_verdicts(connection, folder)


def _insert_run(connection: duckdb.DuckDBPyConnection, manifest: Manifest) -> None:
    """A run whose trials are there, and its cases, of which there may be very many."""
    run = manifest.run
    many = len(run.planned) or manifest.counts.get("trials", 0)
    _insert(connection, "runs", _table("runs", run_rows(run, many)))
    if not run.planned:
        _execute(connection, _TRACES_AS_CASES, "cases", run.id)
    for first in range(0, len(run.planned), _CASES_AT_ONCE):
        cases = case_rows(run, first, _CASES_AT_ONCE)
        _insert(connection, "cases", _table("cases", cases))


def _insert_file(connection: duckdb.DuckDBPyConnection, folder: Path, table: str) -> None:
    """A run's Parquet file, read by DuckDB itself: half the time and memory of going by Arrow."""
    import duckdb

    path = table_path(folder, table)
    # A path is a pattern to DuckDB, and a part of it such as "run=3" a column.
    pattern = _PATTERN.sub(r"[\g<0>]", str(path.absolute()))
    insert = (
        "INSERT INTO {table} BY NAME SELECT ? AS run, * "
        "FROM read_parquet(?, hive_partitioning = false)"
    )
    try:
        _execute(connection, insert, table, folder.name, pattern)
    except duckdb.Error as error:
        for _ in read_parts(folder, table):  # says of a damaged file that it is damaged
            pass
        if isinstance(error, duckdb.BinderException | duckdb.ConversionException):
            raise StoreError(f"{path} is not as evalkit writes it: {_say(error)}") from error
        raise


def _insert_verdicts(
    connection: duckdb.DuckDBPyConnection, folder: Path, known: Collection[float] = ()
) -> None:
    for decision in read_decisions(folder, known):
        _insert(connection, "verdicts", _table("verdicts", verdict_rows(decision)))


def read_decisions(folder: Path, known: Collection[float] = ()) -> Iterator[Decision]:
    """The gate decisions that a run folder keeps, oldest first; a torn line was never given.

    Those that were given at one of the ``known`` times are left out.
    """
    for line in _gates(folder):
        with suppress(msgspec.MsgspecError, RecursionError):
            if msgspec.json.decode(line, type=_When).decided not in known:
                yield msgspec.json.decode(line, type=Decision)


def read_outcomes(folder: Path) -> Iterator[Outcome]:
    """As :func:`read_decisions`, and cheaper: a decision of many rows takes 10 MB."""
    for line in _gates(folder):
        with suppress(msgspec.MsgspecError, RecursionError):
            yield msgspec.json.decode(line, type=_Outcome).report


def _gates(folder: Path) -> Iterator[bytes]:
    try:
        with (folder / GATES).open("rb") as lines:
            yield from lines
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"cannot read {folder / GATES}: {error.strerror}") from error


def locked_down(path: Path, sql: str, parameters: Iterable[Any], wait: float) -> pa.Table:
    """What a query gives, on a connection that reads this database and nothing else."""
    import duckdb

    with opened(path, wait=wait, read_only=True) as connection:
        try:
            found = connection.sql(sql, params=list(parameters))
            if found is None:
                raise InputError("the query gives no rows: ask with SELECT")
            return found.to_arrow_table()
        except (duckdb.IOException, duckdb.InternalException, duckdb.FatalException):
            raise  # the file, not the query
        except duckdb.Error as error:
            raise InputError(f"the query failed: {_say(error)}") from error


def _connect(path: Path, deadline: float, read_only: bool) -> duckdb.DuckDBPyConnection:
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {}
    config |= _READ_ONLY if read_only else _WRITING
    while True:
        try:
            return duckdb.connect(str(path), read_only=read_only, config=config)
        except (duckdb.IOException, duckdb.ConnectionException) as error:
            said = str(error).lower()
            if "lock" not in said and "different configuration" not in said:
                raise StoreError(f"{path} cannot be opened: {_say(error)}. {_REBUILD}") from error
            if time.monotonic() >= deadline:
                raise StoreError(
                    f"{path} is open in another program: close it there, then try again "
                    f"({_say(error)}). Nothing is lost, the run folders hold all results"
                ) from error
        except (duckdb.Error, RuntimeError) as error:
            raise StoreError(f"{path} cannot be opened: {_say(error)}. {_REBUILD}") from error
        time.sleep(_PAUSE)


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    import duckdb

    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        with suppress(duckdb.Error):  # the error that led here says more
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _insert(connection: duckdb.DuckDBPyConnection, table: str, incoming: pa.Table) -> None:
    connection.register("incoming", incoming)
    try:
        _execute(connection, "INSERT INTO {table} BY NAME SELECT * FROM incoming", table)
    finally:
        connection.unregister("incoming")


def _execute(
    connection: duckdb.DuckDBPyConnection, statement: str, table: str, *parameters: str
) -> None:
    """Runs a statement on one of our own tables: no other name is ever put into SQL."""
    assert table in DATABASE
    connection.execute(statement.replace("{table}", table), list(parameters))


def _table(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    columns = DATABASE[table]
    values = [[row[name] for name in columns] for row in rows]
    return pa.Table.from_batches([record_batch(columns, values)])


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.wal").unlink(missing_ok=True)


def _say(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]
