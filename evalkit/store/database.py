"""results.duckdb: opened for a moment, by one process at a time, filled from run folders."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
)
from evalkit.folders.arrays import record_batch
from evalkit.folders.tables import read_parts
from evalkit.store.schema import (
    DATABASE,
    Decision,
    case_rows,
    run_rows,
    statements,
    verdict_rows,
)

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MEMORY_LIMIT = "1GB"

STORAGE_VERSION = "v1.4.0"
"""The DuckDB file format: the oldest DuckDB that evalkit supports reads it too."""

_READ_ONLY = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "lock_configuration": "true",
}
# A second thread would hold as much again in memory, and hardly shorten the writing.
_WRITING = {"storage_compatibility_version": STORAGE_VERSION, "threads": "1"}
_PAUSE = 0.05
_REBUILD = "Nothing is lost, the run folders hold all results: `evalkit rebuild` makes it anew"


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


def missing_runs(connection: duckdb.DuckDBPyConnection, store: Path) -> list[Path]:
    """Folders of complete runs that the database does not have."""
    known = {name for (name,) in connection.execute("SELECT run FROM runs").fetchall()}
    return [
        folder
        for folder in run_folders(store)
        if folder.name not in known and (folder / MANIFEST).exists()
    ]


def load_run(connection: duckdb.DuckDBPyConnection, folder: Path, manifest: Manifest) -> None:
    """Puts one complete run into the database, in place of what it has of it, or not at all."""
    run = manifest.run
    with _transaction(connection):
        for table in DATABASE:
            _execute(connection, "DELETE FROM {table} WHERE run = ?", table, run.id)
        _insert(connection, "runs", _table("runs", run_rows(run)))
        _insert(connection, "cases", _table("cases", case_rows(run)))
        for table in TABLES:
            for part in read_parts(folder, table):
                _insert(connection, table, part, run.id)
        _insert(connection, "verdicts", _table("verdicts", verdict_rows(read_decisions(folder))))


def load_verdicts(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Puts the gate decisions on a run into the database, in place of what it has of them."""
    with _transaction(connection):
        _execute(connection, "DELETE FROM {table} WHERE run = ?", "verdicts", folder.name)
        _insert(connection, "verdicts", _table("verdicts", verdict_rows(read_decisions(folder))))


def build(path: Path, store: Path, wait: float) -> tuple[list[str], list[tuple[str, str]]]:
    """Makes the database anew from all folders, beside, and puts it in place.

    Gives the runs that it holds, and the folders that could not be read with the reasons.
    """
    beside = path.with_name(f".{path.name}.new")
    loaded: list[str] = []
    damaged: list[tuple[str, str]] = []
    try:
        _remove(beside)
        with opened(beside, wait=wait) as connection:
            for statement in statements():
                connection.execute(statement)
            for folder in run_folders(store):
                try:
                    manifest = read_manifest(folder)
                    if manifest.run.status == "complete":
                        load_run(connection, folder, manifest)
                        loaded.append(folder.name)
                except StoreError as error:
                    damaged.append((folder.name, str(error)))
        # The old file goes first: a crash here leaves no database, and that is built when next
        # needed; an old write-ahead log beside a new database would be played into it.
        _remove(path)
        beside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    return loaded, damaged


def read_decisions(folder: Path) -> list[Decision]:
    """The gate decisions that a run folder keeps, oldest first; a torn line was never given."""
    try:
        lines = (folder / GATES).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot read {folder / GATES}: {error.strerror}") from error
    decisions = []
    for line in lines:
        with suppress(msgspec.MsgspecError, RecursionError):
            decisions.append(msgspec.json.decode(line, type=Decision))
    return decisions


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

    config: dict[str, str | bool | int | float | list[str]] = {"memory_limit": MEMORY_LIMIT}
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


def _insert(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    incoming: pa.Table,
    run_id: str | None = None,
) -> None:
    connection.register("incoming", incoming)
    try:
        if run_id is None:
            _execute(connection, "INSERT INTO {table} BY NAME SELECT * FROM incoming", table)
        else:
            insert = "INSERT INTO {table} BY NAME SELECT ? AS run, * FROM incoming"
            _execute(connection, insert, table, run_id)
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
