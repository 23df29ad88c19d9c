"""Trials as Arrow tables and Parquet files, streamed: memory is that of one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from evalkit.errors import StoreError
from evalkit.folders import TABLES, read_manifest, replacing, table_path
from evalkit.folders.arrays import arrow_schema, record_batch
from evalkit.folders.rows import COLUMNS, Row, table_rows, text_size, trial_of
from evalkit.results import PlannedCase, Run, Trial

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_TRIALS = 2_000
BATCH_STEPS = 20_000
BATCH_BYTES = 64_000_000
BATCH_ROWS = 2_000

_UNIQUE = {
    "arguments",
    "output",
    "said",
    "state",
    "reason",
    "findings",
    "data",
    "latency_s",
    "started",
    "call_id",
    "span_id",
    "trace_id",
    "session",
    "start_ns",
    "end_ns",
}
"""Columns whose values hardly repeat: a dictionary of them would be as long as they are."""


def batches(trials: Iterable[Trial]) -> Iterator[dict[str, pa.RecordBatch]]:
    """The trials as record batches, one of each table at a time, in the trials' order."""
    rows: dict[str, list[Row]] = {table: [] for table in TABLES}
    size = 0
    for trial in trials:
        for table, made in table_rows(trial).items():
            rows[table].extend(made)
            size += text_size(table, made)
        is_full = len(rows["trials"]) >= BATCH_TRIALS or len(rows["steps"]) >= BATCH_STEPS
        if is_full or size >= BATCH_BYTES:
            yield {table: record_batch(COLUMNS[table], rows[table]) for table in TABLES}
            rows, size = {table: [] for table in TABLES}, 0
    yield {table: record_batch(COLUMNS[table], rows[table]) for table in TABLES}


def write_tables(folder: Path, trials: Iterable[Trial]) -> dict[str, int]:
    """Writes the three Parquet files of a run folder; returns their row counts.

    Memory is that of one batch. Raises StoreError where the disk refuses.
    """
    import pyarrow.parquet as pq

    counts = dict.fromkeys(TABLES, 0)
    with ExitStack() as stack:
        writers = {}
        for table in TABLES:
            file = stack.enter_context(replacing(table_path(folder, table)))
            writer = pq.ParquetWriter(
                file,
                arrow_schema(COLUMNS[table]),
                compression="zstd",
                use_dictionary=[name for name in COLUMNS[table] if name not in _UNIQUE],
            )
            writers[table] = stack.enter_context(writer)
        for batch in batches(trials):
            for table, part in batch.items():
                writers[table].write_batch(part)
                counts[table] += part.num_rows
    return counts


def read_table(folder: Path, table: str, columns: Sequence[str]) -> pa.Table:
    """Columns of one table of a complete run folder; texts as one dictionary, for they repeat.

    Those that an older evalkit did not write are null. Raises StoreError where the file is
    damaged, or holds something else.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = table_path(folder, table)
    try:
        footer = pq.read_metadata(path)
        written = footer.schema.to_arrow_schema()
        known = arrow_schema(COLUMNS[table])
        for field in written:
            if field.name not in known.names or known.field(field.name).type != field.type:
                said = f"column {field.name!r} is not one that evalkit writes there"
                raise _damaged(folder, table, said)
        if "case" not in written.names:
            raise _damaged(folder, table, "it has no column 'case'")
        there = [name for name in columns if name in written.names]
        texts = [name for name in there if COLUMNS[table][name] == "VARCHAR"]
        with pq.ParquetFile(path, metadata=footer, read_dictionary=texts) as file:
            # In this thread: shared out it takes twice the processor time.
            found = file.read(there, use_threads=False).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise _damaged(folder, table, error) from error
    for name in columns:
        if name not in there:
            found = found.append_column(name, pa.nulls(found.num_rows, known.field(name).type))
    return found.select(list(columns))


def read_run(folder: Path) -> Run:
    """The run of a folder, with its cases. Raises StoreError where it is damaged.

    The manifest of recorded traces names none: each trace is a case, and there may be millions.
    """
    run = read_manifest(folder).run
    if run.planned or run.status != "complete":
        return run
    found = read_table(folder, "trials", ("case", "route"))
    named = zip(*(column.to_pylist() for column in found.columns), strict=True)
    return replace(run, planned=tuple([PlannedCase(case, route, "") for case, route in named]))


def read_record(folder: Path) -> Run:
    """As :func:`read_run`, without the cases of recorded traces: they must only be there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    run = read_manifest(folder).run
    if not run.planned and run.status == "complete":
        try:
            pq.read_metadata(table_path(folder, "trials"))
        except (pa.ArrowException, OSError) as error:
            raise _damaged(folder, "trials", error) from error
    return run


def read_parts(folder: Path, table: str) -> Iterator[pa.Table]:
    """One table of a complete run folder, a row group at a time; raises as read_table does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(table_path(folder, table)) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(folder, table, error) from error


def as_tables(trials: Iterable[Trial]) -> dict[str, pa.Table]:
    """The trials as whole tables in memory, of the types that :func:`read_table` gives."""
    import pyarrow as pa

    parts = list(batches(trials))
    found = {}
    for table in TABLES:
        whole = pa.Table.from_batches([part[table] for part in parts])
        texts = map(pa.types.is_string, whole.schema.types)
        columns = [
            column.dictionary_encode() if text else column
            for column, text in zip(whole.columns, texts, strict=True)
        ]
        found[table] = pa.Table.from_arrays(columns, names=whole.column_names)
    return found


def read_trials(folder: Path, case: str | None = None, trial: int | None = None) -> Iterator[Trial]:
    """The trials of a complete run folder, as they were recorded, in order.

    Of one ``case`` or ``trial``, parts of the files without it are not read. Memory is that of
    one batch.
    """
    steps = _taker(_rows(folder, "steps", case, trial))
    scores = _taker(_rows(folder, "scores", case, trial))
    for row in _rows(folder, "trials", case, trial):
        try:
            yield trial_of(row, steps(row[:2]), scores(row[:2]))
        except (msgspec.MsgspecError, TypeError, ValueError, KeyError) as error:
            raise _damaged(folder, "trials", error) from error


def _rows(folder: Path, table: str, case: str | None, trial: int | None) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = COLUMNS[table]
    try:
        # Decoded a batch at a time in this thread: a reader that looks ahead takes 200 MB more.
        with pq.ParquetFile(table_path(folder, table), pre_buffer=False) as file:
            written = [name for name in columns if name in file.schema_arrow.names]
            for group in range(file.num_row_groups):
                if case is not None and not _has(file, group, case):
                    continue
                parts = file.iter_batches(BATCH_ROWS, [group], written, use_threads=False)
                for part in parts:
                    # Columns that an older evalkit did not write read as null.
                    absent = [None] * part.num_rows
                    values = [
                        part[name].to_pylist() if name in written else absent for name in columns
                    ]
                    for row in zip(*values, strict=True):
                        if case in (None, row[0]) and trial in (None, row[1]):
                            yield row
    except (pa.ArrowException, OSError) as error:
        raise _damaged(folder, table, error) from error


def _has(file: pq.ParquetFile, group: int, case: str) -> bool:
    """Whether a part of a file holds rows of a case; that column alone is read."""
    return case in file.read_row_group(group, ["case"], use_threads=False)["case"].to_pylist()


def _taker(rows: Iterator[Row]) -> Callable[[Row], list[Row]]:
    """Rows that follow their trials' order, handed out one trial at a time."""
    groups = groupby(rows, key=itemgetter(0, 1))
    waiting = next(groups, None)

    def take(key: Row) -> list[Row]:
        nonlocal waiting
        if waiting is None or waiting[0] != key:
            return []
        taken = list(waiting[1])
        waiting = next(groups, None)
        return taken

    return take


def _damaged(folder: Path, table: str, error: Exception | str) -> StoreError:
    said = " ".join(str(error).split())[:300]
    return StoreError(f"{table_path(folder, table)} is damaged: {said}")
