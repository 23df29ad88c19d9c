import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from evalkit.folders import locks
from evalkit.store import Store


@pytest.fixture
def main_run(evalkit):
    code, _, _ = evalkit("run", "suite.yaml", "--label", "main")
    assert code == 0


def test_run_shows_a_table_per_route(evalkit):
    code, out, err = evalkit("run", "suite.yaml", "--label", "main")
    assert code == 0
    assert "status" in out and "refund" in out and "completion" in out
    assert "48/48 trials, 0 failed" in err


def test_a_regression_exits_1_and_names_route_scorer_case_step_and_owner(evalkit, main_run):
    code, out, _ = evalkit(
        "run", "suite.yaml", "--label", "new", "--baseline", "main", "--set", "skip=true"
    )
    assert code == 1
    assert "FAILED: refund" in out.splitlines()[-1]
    assert "expected retriever retrieve: missing in 24 of 24 trials, none before" in out
    assert re.search(r"→ 0/\d", out) and "team-refund" in out
    assert "status regressed" not in out


def test_the_same_pipeline_passes_against_itself_by_the_same_label(evalkit, main_run):
    code, out, _ = evalkit("run", "suite.yaml", "--label", "main", "--baseline", "main")
    assert code == 0
    assert out.splitlines()[-1].startswith("Passed: no route got worse")


def test_gate_decides_from_what_is_stored(evalkit, main_run):
    evalkit("run", "suite.yaml", "--label", "new", "--set", "skip=true")
    code, out, _ = evalkit("gate", "new", "--baseline", "main", "--format", "json")
    found = json.loads(out)
    assert code == found["exit"] == 1
    verdicts = {(row["route"], row["scorer"]): row["verdict"] for row in found["routes"]}
    assert verdicts["refund", "task_completion"] in ("regressed", "broken")
    assert verdicts["status", "task_completion"] == "ok"
    assert evalkit("gate", "main", "--baseline", "main")[0] == 0
    _, out, _ = evalkit(
        "gate", "new", "--baseline", "main", "--on", "task_completion", "--format", "json"
    )
    blocking = [row for row in json.loads(out)["routes"] if row["blocking"]]
    assert {row["scorer"] for row in blocking} == {"task_completion"}


def test_runs_show_and_compare(evalkit, main_run):
    evalkit("run", "suite.yaml", "--label", "new", "--trials", "2", "--set", "skip=true")
    _, out, _ = evalkit("runs", "--format", "json")
    assert [run["label"] for run in json.loads(out)["runs"]] == ["new", "main"]
    assert "complete" in evalkit("runs")[1]
    _, out, _ = evalkit("compare", "main", "new", "--on", "task_completion", "--format", "json")
    rows = [row for row in json.loads(out)["routes"] if row["route"] == "refund"]
    assert [row["mean"] for row in rows] == [1.0, 0.0]
    assert "pass^2" in evalkit("compare", "main", "new")[1]
    _, out, _ = evalkit("show", "new", "refund-1")
    assert out.count("refund-1 · trial") == 2 and "− " in out
    _, out, _ = evalkit("show", "new", "refund-1", "--trial", "1", "--format", "json")
    (trial,) = json.loads(out)["trials"]
    steps = [step["name"] for step in trial["steps"]]
    assert (trial["trial"], steps, trial["scores"][0]["passed"]) == (1, ["classify"], False)
    assert "0/2" in evalkit("show", "new")[1]


def test_a_case_that_changed_since_is_shown_without_expectations(evalkit, main_run, project):
    cases = project / "cases.jsonl"
    cases.write_text(cases.read_text().replace('"good"', '"great"'))
    _, out, _ = evalkit("show", "main", "refund-1")
    assert "not at hand" in out


def test_selection_and_reports_in_files(evalkit, project):
    code, out, _ = evalkit(
        "run", "suite.yaml", "--route", "refund", "--limit", "2", "--trials", "1",
        "--junit", "out/j.xml", "--markdown", "out/m.md", "--format", "json",
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)
    assert found["routes"] == [] and found["baseline"] is None
    assert {(row["route"], row["cases"]) for row in found["summary"]} == {("refund", 2)}
    assert len(list(ET.parse(project / "out/j.xml").iter("testcase"))) == 2
    assert (project / "out/m.md").read_text().startswith("## evalkit")


def test_in_github_actions_annotations_and_a_summary(evalkit, main_run, project, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project / "summary.md"))
    arguments = ["run", "suite.yaml", "--label", "n", "--baseline", "main", "--set", "skip=true"]
    _, out, _ = evalkit(*arguments)
    assert re.search(r"\n::error file=\S*cases\.jsonl,line=\d+,title=refund ", out)
    _, out, err = evalkit(*arguments, "--format", "json")
    assert json.loads(out)["exit"] == 1 and "::error " in err
    assert (project / "summary.md").read_text().count("## evalkit") == 2


def test_a_pipeline_that_gives_no_answer_is_not_measured(evalkit):
    code, _, err = evalkit("run", "suite.yaml", "--label", "x", "--set", "crash=true")
    assert code == 3
    assert "error: " in err


def test_init_check_and_rebuild(evalkit, project):
    code, out, _ = evalkit("init", "new")
    assert code == 0 and "evalkit run" in out
    assert evalkit("check", "new/suite.yaml")[0] == 0
    assert evalkit("init", "new")[0] == 2
    assert evalkit("run", "suite.yaml", "--label", "main")[0] == 0
    (project / ".evalkit/results.duckdb").unlink()
    code, out, _ = evalkit("rebuild")
    assert code == 0 and "from 1 run" in out
    assert (project / ".evalkit/results.duckdb").exists()


PANDAS = """
import sys
from evalkit.cli import main
code = main(sys.argv[1:])
sys.exit("pandas was loaded" if "pandas" in sys.modules else code)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["gate", "new", "--baseline", "main"],
        ["gate", "main", "--baseline", "new"],  # with the steps that took more
        ["compare", "main", "new"],
    ],
)
def test_gate_and_compare_load_no_pandas(evalkit, main_run, arguments):
    evalkit("run", "suite.yaml", "--label", "new", "--set", "skip=true")
    done = subprocess.run(
        [sys.executable, "-c", PANDAS, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1) and not done.stderr, done.stderr


@pytest.mark.parametrize("damage", ["truncated", "open elsewhere"])
def test_a_gate_needs_no_sound_database_and_says_what_it_lacks(
    evalkit, main_run, project, damage, monkeypatch
):
    evalkit("run", "suite.yaml", "--label", "new", "--set", "skip=true")
    monkeypatch.setattr(Store.__init__, "__kwdefaults__", {"wait": 0.1})
    database = project / ".evalkit/results.duckdb"
    if damage == "truncated":
        database.write_bytes(database.read_bytes()[:5000])
        code, out, _ = evalkit("gate", "new", "--baseline", "main", "--format", "json")
    else:
        with locks.held(project / ".evalkit/results.duckdb.lock"):
            code, out, _ = evalkit("gate", "new", "--baseline", "main", "--format", "json")
    assert code == 1
    assert "the database lacks this verdict, `evalkit rebuild`" in json.loads(out)["notes"][-1]
    assert evalkit("rebuild")[0] == 0
    _, out, _ = evalkit("query", "SELECT DISTINCT label, exit FROM verdicts", "--format", "json")
    assert json.loads(out)["rows"] == [{"label": "new", "exit": 1}]
