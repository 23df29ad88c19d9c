"""A stored run as files for other programs: its tables in Parquet or CSV, or a line a trial."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from evalkit.errors import InputError, StoreError
from evalkit.files import write_atomically
from evalkit.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

ExportFormat = Literal["parquet", "csv", "jsonl"]

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def export(store: Store, run_id: str, form: ExportFormat, folder: Path) -> list[Path]:
    """Writes ``trials``, ``steps`` and ``scores`` of a complete run into ``folder``.

    ``jsonl`` writes one file, ``trials.jsonl``, with each trial whole: trajectory and scores.
    In CSV, text that a spreadsheet would take for a formula has an apostrophe in front. Raises
    InputError for a run that is not complete, StoreError where a file cannot be written.
    """
    run = store.find(run_id)
    if run.status != "complete":
        raise InputError(f"run {run.id} is {run.status}: complete it with `evalkit run --resume`")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if form == "jsonl":
            lines = (msgspec.json.encode(trial) + b"\n" for trial in store.trials(run.id))
            return [_write(folder / "trials.jsonl", b"".join(lines))]
        sources = [store.path / "runs" / run.id / f"{name}.parquet" for name in TABLES]
        if form == "parquet":
            return [Path(shutil.copy(source, folder / source.name)) for source in sources]
        return [_write(folder / f"{one.stem}.csv", to_csv(_read(one)).encode()) for one in sources]
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror or error}") from error


TABLES = ("trials", "steps", "scores")


def to_csv(table: pa.Table) -> str:
    """A table as CSV with a header, safe to open in a spreadsheet; NULL is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    for batch in table.to_batches():
        columns: Iterable[list[Any]] = (column.to_pylist() for column in batch.columns)
        writer.writerows(map(_safe, row) for row in zip(*columns, strict=True))
    return text.getvalue()


def _safe(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(FORMULA_SIGNS):
        return "'" + value
    return value


def _read(source: Path) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_table(source)


def _write(path: Path, content: bytes) -> Path:
    write_atomically(path, content)
    return path
