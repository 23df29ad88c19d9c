"""Stored runs as files that other programs read."""

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.errors import InputError, StoreError
from evalkit.exporting import export, to_csv
from evalkit.journal import Journal
from evalkit.planning import plan
from evalkit.runner import run
from evalkit.store import Store
from tests.project import load_project


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_each_form_holds_every_trial(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    finished = run(load_project(tmp_path), label="main", store=store.path)
    parquet = export(store, finished.id, "parquet", tmp_path / "p")
    assert [pq.read_table(path).num_rows for path in parquet[:2]] == [12, 12]
    trials, _, scores = export(store, finished.id, "csv", tmp_path / "c")
    assert len(rows(trials)) == 12
    assert {row["scorer"] for row in rows(scores)} >= {"task_completion"}
    (lines,) = export(store, finished.id, "jsonl", tmp_path / "j")
    whole = [json.loads(line) for line in lines.read_text().splitlines()]
    assert {(one["case"], one["trial"]) for one in whole} == {
        (trial.case, trial.trial) for trial in store.trials(finished.id)
    }
    assert whole[0]["trajectory"]["steps"][0]["name"] == "look_up"


def test_text_is_no_formula_in_a_spreadsheet() -> None:
    text = to_csv(pa.table({"x": ['=HYPERLINK("http://evil")', "@x", "-1+2", "plain", None]}))
    cells = [row["x"] for row in csv.DictReader(io.StringIO(text))]
    assert cells == ['\'=HYPERLINK("http://evil")', "'@x", "'-1+2", "plain", ""]


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    loaded = load_project(tmp_path)
    journal = Journal.start(store.path, plan(loaded, label="half"))
    journal.finish("interrupted")
    with pytest.raises(InputError, match="--resume"):
        export(store, journal.run.id, "csv", tmp_path / "x")
    finished = run(loaded, label="main", store=store.path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        export(store, finished.id, "csv", tmp_path / "file" / "below")
