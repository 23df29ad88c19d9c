"""Baselines that travel: one Parquet file with a run's numbers, and promotion after a green gate.

The file holds trials, steps and scores as rows of one table with three columns, one of them
filled, and the run's manifest in the file's metadata: dataset digest, settings, price table,
instrumentation versions. What the pipeline was asked and said is left out, and so are the HTTP
headers that it was reached with.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from evalkit.errors import InputError, StoreError
from evalkit.folders import (
    RUNS,
    TABLES,
    Manifest,
    read_manifest,
    replacing,
    run_folder,
    table_path,
    unwritable,
    write_manifest,
)
from evalkit.folders.arrays import arrow_schema
from evalkit.folders.rows import COLUMNS
from evalkit.folders.tables import read_parts
from evalkit.reports import Promotion
from evalkit.results import Run
from evalkit.store import Decision, Outcome, Store

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

VERSION = 1
"""Of the file; a newer one is refused."""

SUFFIX = ".parquet"
_KEY = b"evalkit_baseline"
_LEFT_OUT: Mapping[str, tuple[str, ...]] = {
    "trials": ("output", "said"),
    "steps": ("arguments", "output"),
    "scores": (),
}
_MOST_METADATA = 256_000_000


class _Header(msgspec.Struct, frozen=True):
    version: int
    manifest: msgspec.Raw = msgspec.Raw()


def export(store: Store, run_id: str, path: Path) -> int:
    """Writes a complete run as one portable file; returns its size in bytes.

    Raises InputError for a run that is not complete, StoreError where it cannot be written.
    """
    folder = run_folder(store.path, run_id)
    manifest = read_manifest(folder)
    if manifest.run.status != "complete":
        raise InputError(f"run {run_id} is {manifest.run.status}: only a complete run is exported")
    import pyarrow.parquet as pq

    header = _Header(VERSION, msgspec.Raw(msgspec.json.encode(_without_headers(manifest))))
    schema = _schema().with_metadata({_KEY: msgspec.json.encode(header)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(unwritable(path, error)) from error
    with replacing(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for table in TABLES:
            for part in read_parts(folder, table):
                writer.write_table(_widened(table, part, schema))
    return path.stat().st_size


def load(store: Store, path: Path) -> Run:
    """Puts the run of a portable file into a store, and returns it; safe to repeat.

    Raises InputError for a file that is no baseline, is damaged, or of a newer evalkit.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(
            path, thrift_string_size_limit=_MOST_METADATA, thrift_container_size_limit=10_000_000
        ) as file:
            manifest = _read_header(path, file.schema_arrow)
            folder = run_folder(store.path, manifest.run.id)
            if not folder.exists():
                with _new_folder(store.path, folder) as made:
                    _check_counts(path, manifest, _unpack(file, made))
                    write_manifest(made, manifest)
    except FileNotFoundError:
        raise InputError(f"there is no baseline file {path}") from None
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())[:300]
        raise InputError(f"{path} is not a baseline file, or it is damaged: {said}") from error
    store.add(manifest.run.id)
    return store.run(manifest.run.id)


def resolve(store: Store, ref: str, suite: str | None = None) -> tuple[Run, tuple[str, ...]]:
    """The run that ``ref`` means, and what a reader must know about the choice.

    A file that :func:`export` wrote is put into the store first; else a run's id or label.
    """
    path = Path(ref)
    if path.suffix == SUFFIX or (path.is_file() and not store.bearing(ref, suite)):
        return load(store, path), ()
    newest = store.find(ref, suite=suite)
    several = store.bearing(ref, suite) if newest.id != ref else []
    if len(several) < 2:
        return newest, ()
    run = store.run(several[0])
    said = f"{len(several)} complete runs bear the label {ref}: "
    if run.id == newest.id:
        return run, (f"{said}the newest is {run.id}",)
    passed = f"the newest, {newest.id}, is of a selection ({newest.selection}) and no baseline"
    return run, (f"{said}{run.id} is taken; {passed}",)


def promote(store: Store, ref: str, label: str, *, force: bool = False) -> Promotion:
    """Makes a run what ``label`` means from now on, after a green gate; history is kept.

    The run's gates against the run that the label means must have passed, as :func:`standing`
    says; where it means none there was nothing to gate against, and no gate may have failed.
    Raises InputError otherwise, unless ``force``.
    """
    run = store.find(ref)
    if run.status != "complete":
        raise InputError(f"run {run.id} is {run.status}: only a complete run becomes a baseline")
    if not label.strip():
        raise InputError("a baseline needs a label, for instance --label main")
    if run.selection and not force:
        raise InputError(
            f"run {run.id} is of a selection ({run.selection}): what it did not try could not be "
            f"gated against {label!r}. Promote a run of the whole dataset, or use --force"
        )
    before = next(iter(store.bearing(label, run.suite.name)), None)
    first = before in (None, run.id)
    said = standing(store.decisions(run.id), None if first else before)
    green = said == 0 or (said is None and first)
    if not green and not force:
        against = "" if first else f" against {before}, which {label!r} means"
        why = "was never gated" if said is None else f"has gates that amount to exit code {said}"
        raise InputError(
            f"run {run.id} {why}{against}: it does not become {label!r}. Gate it with "
            f"`evalkit run --baseline` or `evalkit gate --baseline`, or use --force"
        )
    promotion = Promotion(
        label=label,
        run=run.id,
        promoted=time.time(),
        exit=said,
        forced=not green,
        replaced=before if before != run.id else None,
    )
    store.save_promotion(promotion)
    return promotion


def standing(decisions: Sequence[Decision], against: str | None = None) -> int | None:
    """The exit code that a run's gates against a baseline amount to; None where there is none.

    For each route and scorer the newest verdict counts, and a decision on stored trials never
    overrules one that tried both versions again. A run gated against itself proves nothing and
    does not count. ``against`` is a run's id; None for whatever the newest gate was against.
    """
    from evalkit.gating import exit_code

    others = [one.report for one in decisions if one.report.baseline != one.report.run]
    if not others:
        return None
    mine = others[-1].baseline if against is None else against
    reports = [report for report in others if report.baseline == mine]
    reports.sort(key=lambda report: report.confirmed)  # stable: the newest of each kind is last
    rows = {(row.route, row.scorer): row for report in reports for row in report.rows}
    verdicts = [row.verdict for row in rows.values() if row.blocking]
    if not reports:
        return None
    return int(exit_code(verdicts)) if verdicts else reports[-1].exit


def overruling(earlier: Sequence[Outcome], against: str) -> str | None:
    """The note of a gate on stored trials that an earlier one with re-runs overrules, if any."""
    tried = [one for one in earlier if one.confirmed and one.baseline == against]
    if not tried:
        return None
    return (
        "an earlier gate of these two runs tried cases again in both versions and ended with exit "
        f"code {tried[-1].exit}: that decision is the stronger, and the one that "
        "`evalkit baseline promote` goes by"
    )


def _without_headers(manifest: Manifest) -> Manifest:
    """The manifest without the HTTP headers of the pipeline, which may hold a key."""
    replace = msgspec.structs.replace
    suite = manifest.run.suite
    pipeline = replace(suite.pipeline, headers={})
    return replace(manifest, run=replace(manifest.run, suite=replace(suite, pipeline=pipeline)))


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(table, pa.struct(list(arrow_schema(_columns(table))))) for table in TABLES])


def _columns(table: str) -> Mapping[str, str]:
    out = _LEFT_OUT[table]
    return {name: kind for name, kind in COLUMNS[table].items() if name not in out}


def _widened(table: str, part: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows of one table as rows of the file: the other two columns are empty."""
    import pyarrow as pa

    kept = part.select(list(_columns(table))).combine_chunks()
    arrays = []
    for field in schema:
        if field.name != table:
            arrays.append(pa.nulls(kept.num_rows, field.type))
            continue
        columns = [column.combine_chunks() for column in kept.columns]
        flat = [one.chunk(0) if isinstance(one, pa.ChunkedArray) else one for one in columns]
        arrays.append(pa.StructArray.from_arrays(flat, fields=list(field.type)))
    return pa.Table.from_arrays(arrays, schema=schema)


def _read_header(path: Path, schema: pa.Schema) -> Manifest:
    data = (schema.metadata or {}).get(_KEY)
    if data is None:
        raise InputError(
            f"{path} is no baseline file: write one with `evalkit baseline export RUN FILE`"
        )
    try:
        header = msgspec.json.decode(data, type=_Header)
        if header.version > VERSION:
            raise InputError(
                f"{path} was written by a newer evalkit (baseline format {header.version}, this "
                f"one reads up to {VERSION}): upgrade evalkit, or export it with this version"
            )
        manifest = msgspec.json.decode(header.manifest, type=Manifest)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InputError(f"{path} is damaged: its manifest cannot be read: {error}") from error
    if manifest.run.status != "complete" or not schema.equals(_schema()):
        raise InputError(f"{path} is damaged: its tables are not those of a complete run")
    return manifest


def _check_counts(path: Path, manifest: Manifest, counts: Mapping[str, int]) -> None:
    """InputError where rows are missing, or there is no trial at all: what is put into the store
    stays, and would stand in the way of the good file of the same run.
    """
    for table in TABLES:
        said = manifest.counts.get(table, 0)
        if counts[table] != said or (table == "trials" and not said):
            raise InputError(
                f"{path} is damaged: it has {counts[table]:,} rows of {table}, and its manifest "
                f"says {said:,}. Export it again"
            )


def _unpack(file: pq.ParquetFile, folder: Path) -> dict[str, int]:
    """Writes the three tables of a run folder and counts their rows; what was left out is empty."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    counts = dict.fromkeys(TABLES, 0)
    for table in TABLES:
        schema = arrow_schema(COLUMNS[table])
        with (
            replacing(table_path(folder, table)) as target,
            pq.ParquetWriter(target, schema, compression="zstd") as writer,
        ):
            for number in range(file.num_row_groups):
                column = file.read_row_group(number, [table])[table]
                rows = column.filter(pc.is_valid(column))
                counts[table] += len(rows)
                for chunk in rows.chunks:
                    kept = dict(zip(_columns(table), chunk.flatten(), strict=True))
                    arrays = [
                        kept.get(field.name, pa.nulls(len(chunk), field.type)) for field in schema
                    ]
                    writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return counts


@contextmanager
def _new_folder(store: Path, folder: Path) -> Iterator[Path]:
    """A folder to fill that becomes the run's when the block ends, or never was."""
    made = store / f".import-{secrets.token_hex(6)}"
    try:
        (store / RUNS).mkdir(parents=True, exist_ok=True)
        made.mkdir()
    except OSError as error:
        raise StoreError(unwritable(made, error)) from error
    try:
        yield made
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was first, with the same run
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
