"""Baselines as files and by promotion, through the command line."""

import json
import subprocess
import sys

import msgspec
import pyarrow.parquet as pq
import pytest

from evalkit import baselines
from evalkit.errors import NotFoundError
from evalkit.store import Store


@pytest.fixture
def main_run(evalkit):
    assert evalkit("run", "suite.yaml", "--label", "main")[0] == 0


@pytest.fixture
def exported(evalkit, main_run, project):
    assert evalkit("baseline", "export", "main", "out/main.parquet")[0] == 0
    return project / "out/main.parquet"


def verdicts(out):
    rows = json.loads(out)["routes"]
    # How long it took is another matter each time.
    judged = [row for row in rows if row["blocking"]]
    return [(row["route"], row["scorer"], row["verdict"], row["p"]) for row in judged]


def test_a_file_gates_in_an_empty_store_as_the_run_itself_does(evalkit, exported):
    evalkit("run", "suite.yaml", "--label", "new", "--set", "skip=true")
    code, out, _ = evalkit("gate", "new", "--baseline", "main", "--format", "json")
    there = ("--store", "elsewhere")
    run = ("run", "suite.yaml", "--label", "new", "--set", "skip=true", "--format", "json")
    other, again, _ = evalkit(*run, "--no-confirm", "--baseline", exported, *there)
    assert code == other == 1
    assert verdicts(out) == verdicts(again)
    assert evalkit("baseline", "import", exported, *there)[0] == 0  # once more changes nothing
    _, listed, _ = evalkit("runs", "--format", "json", *there)
    assert [run["label"] for run in json.loads(listed)["runs"]] == ["new", "main"]


def test_a_file_holds_no_arguments_outputs_or_headers_and_the_run_can_be_shown(evalkit, exported):
    table = pq.read_table(exported)
    assert table.num_rows == 48 + 96 + 96
    assert "output" not in str(table.schema) and "arguments" not in str(table.schema)
    assert b"a good answer" not in exported.read_bytes()
    evalkit("baseline", "import", exported, "--store", "elsewhere")
    code, out, _ = evalkit("show", "main", "refund-1", "--store", "elsewhere")
    assert code == 0 and "retrieve" in out
    code, out, _ = evalkit("compare", "main", "--format", "json", "--store", "elsewhere")
    assert {row["mean"] for row in json.loads(out)["routes"]} == {1.0}


def with_header(path, target, change):
    table = pq.read_table(path)
    header = msgspec.json.decode(table.schema.metadata[b"evalkit_baseline"])
    change(header)
    pq.write_table(
        table.replace_schema_metadata({b"evalkit_baseline": msgspec.json.encode(header)}), target
    )


def test_files_that_are_newer_damaged_foreign_or_absent_are_refused(evalkit, exported, project):
    with_header(exported, "newer.parquet", lambda header: header.update(version=99))
    with_header(exported, "torn.parquet", lambda header: header["manifest"].pop("run"))

    def outside(header):
        header["manifest"]["run"]["id"] = "../../evil"

    with_header(exported, "evil.parquet", outside)
    (project / "text.parquet").write_text("no parquet")
    pq.write_table(pq.read_table(exported).replace_schema_metadata(None), "foreign.parquet")
    pq.write_table(pq.read_table(exported).slice(0, 0), "empty.parquet")
    pq.write_table(pq.read_table(exported).slice(1), "short.parquet")
    (project / "cut.parquet").write_bytes(exported.read_bytes()[:-100])
    for name, said in (
        ("newer", "newer evalkit (baseline format 99"),
        ("torn", "damaged"),
        ("evil", "no run id"),
        ("text", "not a baseline file"),
        ("foreign", "no baseline file"),
        ("cut", "not a baseline file"),
        ("empty", "damaged: it has 0 rows of trials, and its manifest says 48"),
        ("short", "damaged: it has 47 rows of trials, and its manifest says 48"),
        ("absent", "there is no baseline file"),
    ):
        store = project / "fresh"
        code, _, err = evalkit("baseline", "import", f"{name}.parquet", "--store", store)
        assert (code, said in err) == (2, True), err
        assert not list(store.glob("runs/*"))
    assert evalkit("gate", "main", "--baseline", "foreign.parquet")[0] == 2
    # What was refused leaves the way free for the good file of the same run.
    assert evalkit("baseline", "import", exported, "--store", project / "fresh")[0] == 0


def test_only_a_green_run_is_promoted_and_history_is_kept(evalkit, main_run):
    evalkit("run", "suite.yaml", "--label", "good", "--baseline", "main", "--no-confirm")
    bad = ("run", "suite.yaml", "--label", "bad", "--set", "skip=true", "--no-confirm")
    evalkit(*bad, "--baseline", "main")
    code, _, err = evalkit("baseline", "promote", "bad")
    assert code == 2 and "exit code 1" in err and "--force" in err
    code, out, _ = evalkit("baseline", "promote", "good")
    assert code == 0 and "main is now" in out and "before, it was" in out
    assert evalkit("gate", "bad", "--baseline", "main", "--format", "json")[0] == 1
    assert evalkit("baseline", "promote", "bad", "--force")[0] == 0
    _, out, _ = evalkit("baseline", "list", "--format", "json")
    newest, older = json.loads(out)["baselines"]
    assert (newest["forced"], newest["exit"], newest["current"]) == (True, 1, True)
    assert (older["forced"], older["exit"], older["current"]) == (False, 0, False)
    assert newest["replaced"] == older["run"]
    assert "exit 1, forced" in evalkit("baseline", "list")[1]
    _, out, _ = evalkit("gate", "good", "--baseline", "main", "--format", "json")
    assert json.loads(out)["baseline"] == newest["run"]


def test_the_first_baseline_of_a_label_needs_no_gate_and_later_ones_do(evalkit, main_run):
    assert evalkit("baseline", "promote", "main", "--label", "release")[0] == 0
    evalkit("run", "suite.yaml", "--label", "next")
    code, _, err = evalkit("baseline", "promote", "next", "--label", "release")
    assert code == 2 and "never gated" in err
    assert "nothing was promoted" in evalkit("baseline", "list", "--store", "none")[1]


def test_a_gate_on_stored_trials_does_not_overrule_one_that_tried_again(evalkit, main_run, project):
    """As where the baseline's own window was bad: stored trials alone show nothing."""
    run = ("run", "suite.yaml", "--label", "bad", "--set", "skip=true", "--baseline", "main")
    assert evalkit(*run)[0] == 1
    store = Store(project / ".evalkit")
    main, bad = store.find("main"), store.find("bad")
    (confirmed,) = store.decisions(bad.id)
    assert confirmed.report.confirmed
    green = msgspec.structs.replace(confirmed.report, confirmed=False, exit=0, rows=tuple(
        msgspec.structs.replace(row, verdict="ok") for row in confirmed.report.rows
    ))  # fmt: skip
    store.save_verdicts(green)
    code, _, err = evalkit("baseline", "promote", "bad")
    assert code == 2 and "exit code 1" in err and main.id in err
    _, out, _ = evalkit("gate", "bad", "--baseline", "main", "--format", "json")
    found = json.loads(out)
    assert found["confirmed"] is False
    assert any("ended with exit code 1: that decision is the stronger" in n for n in found["notes"])


def test_a_gate_of_other_scorers_or_of_a_run_with_itself_makes_nothing_green(evalkit, main_run):
    bad = ("run", "suite.yaml", "--label", "bad", "--set", "skip=true", "--no-confirm")
    assert evalkit(*bad, "--baseline", "main", "--on", "task_completion")[0] == 1
    assert evalkit("gate", "bad", "--baseline", "bad")[0] == 0
    assert evalkit("baseline", "promote", "bad")[0] == 2
    assert evalkit("baseline", "promote", "bad", "--label", "fresh")[0] == 2
    evalkit("run", "suite.yaml", "--label", "next", "--set", "skip=true")
    assert evalkit("gate", "next", "--baseline", "next")[0] == 0
    assert "never gated" in evalkit("baseline", "promote", "next")[2]
    # Green against a run that looks alike is not green against what the label means.
    assert evalkit("gate", "next", "--baseline", "bad")[0] == 0
    assert "never gated" in evalkit("baseline", "promote", "next")[2]
    assert evalkit("baseline", "promote", "main", "--label", "fresh")[0] == 0


def test_a_label_of_several_runs_means_the_newest_and_says_so(evalkit, main_run):
    evalkit("run", "suite.yaml", "--label", "main", "--trials", "2")
    _, out, _ = evalkit("gate", "main", "--baseline", "main", "--format", "json")
    found = json.loads(out)
    assert found["run"] == found["baseline"]
    assert any("2 complete runs bear the label main" in note for note in found["notes"])


def test_a_later_run_of_the_label_takes_the_place_of_a_promoted_one_and_is_listed(evalkit):
    evalkit("run", "suite.yaml", "--label", "first")
    assert evalkit("baseline", "promote", "first", "--label", "main")[0] == 0
    _, out, _ = evalkit("baseline", "list")
    assert out.count("current") == 1 and "now means" not in out
    evalkit("run", "suite.yaml", "--label", "main")
    _, listed, _ = evalkit("runs", "--format", "json")
    newest = json.loads(listed)["runs"][0]["run"]
    _, out, _ = evalkit("baseline", "list")
    assert "current" not in out and f"main now means {newest}, a later run of that label" in out
    _, found, _ = evalkit("baseline", "list", "--format", "json")
    assert newest in found


def test_a_run_that_is_not_complete_is_neither_exported_nor_promoted(evalkit, tmp_path):
    with pytest.raises(NotFoundError, match="no run"):
        baselines.promote(baselines.Store(tmp_path / "s"), "main", "main")
    assert evalkit("baseline", "export", "main", "x.parquet")[0] == 2


def test_processes_that_import_a_file_at_once_all_have_it(exported, project):
    command = [sys.executable, "-m", "evalkit", "baseline", "import", str(exported)]
    started = [
        subprocess.Popen([*command, "--store", "fresh"], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in started:
        _, said = process.communicate()
        assert process.returncode == 0, said
    assert [run.label for run in Store(project / "fresh").runs()] == ["main"]
    assert not list((project / "fresh").glob(".import-*"))


def test_a_run_on_which_nothing_blocks_passes_and_can_be_promoted(evalkit, project):
    suite = project / "suite.yaml"
    suite.write_text(suite.read_text() + "  routes: {status: {on: []}, refund: {on: []}}\n")
    assert evalkit("run", "suite.yaml", "--label", "main")[0] == 0
    code, out, _ = evalkit(
        "run", "suite.yaml", "--label", "bad", "--baseline", "main", "--set", "skip=true"
    )
    assert code == 0 and "Passed: nothing blocks here" in out
    assert evalkit("baseline", "promote", "bad", "--label", "main")[0] == 0
