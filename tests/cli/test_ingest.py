"""`evalkit ingest` as it is typed: what it prints, and that other commands read its run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli import main
from evalkit.store import Store

TRACE = "0af7651916cd43dd8448eb211c80319c"


def attribute(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def written(folder: Path) -> Path:
    tool = [attribute("gen_ai.operation.name", "execute_tool"), attribute("gen_ai.tool.name", "x")]
    spans = [
        {"traceId": TRACE, "spanId": f"{number:016x}", "name": "s", "attributes": found}
        for number, found in ((1, tool), (2, [attribute("http.method", "GET")]))
    ]
    path = folder / "night.jsonl"
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}) + "\n{\n")
    return path


def test_the_report_is_for_people_and_the_object_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(tmp_path / "store")
    file = written(tmp_path)
    assert main(["ingest", str(file), "--store", store]) == 0
    out, error = capsys.readouterr()
    found = json.loads(out)
    assert (found["traces"], found["spans"], found["steps"]) == (1, 2, 1)
    assert (found["not_understood"], found["quarantined"]) == (1, 1)
    assert "not understood: 1, with keys http.method 1" in error
    assert "1 × document: no OTLP JSON" in error
    for command in (["show", "night"], ["show", "night", TRACE], ["compare", "night", "night"]):
        assert main([*command, "--store", store]) == 0
        assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "jaeger"], "no Jaeger JSON"),
        (["--trials", "0"], "belong to results of tau-bench"),
        (["--label", " "], "needs a label"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    file = written(tmp_path)
    assert main(["ingest", str(file), "--store", str(tmp_path / "store"), *arguments]) == 2
    assert said in capsys.readouterr().err
    runs = tmp_path / "store" / "runs"
    assert not runs.exists() or not list(runs.iterdir())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, ["suite.yaml: no such file"]),
        ("garbage: [", ["suite.yaml:1:11: "]),
        (
            "name: x\npipeline: {traces: t}\ndataset: d\n"
            "route_form: {}\nprices: {m: {input: -1}}\n",
            ["suite.yaml:4:1: ", "route_form", "suite.yaml:5:", "input"],
        ),
    ],
)
@pytest.mark.parametrize("command", ["ingest", "collect"])
def test_a_suite_that_cannot_be_used_is_refused_with_all_its_problems(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    text: str | None,
    said: list[str],
) -> None:
    suite = tmp_path / "suite.yaml"
    if text is not None:
        suite.write_text(text)
    given = {"ingest": [str(written(tmp_path))], "collect": ["--port", "0", "--for", "0"]}[command]
    arguments = [*given, "--suite", str(suite), "--store", str(tmp_path / "store")]
    assert main([command, *arguments]) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in said) and "listening" not in error
    assert not (tmp_path / "store").exists()


def test_a_suite_is_refused_where_it_would_not_be_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text("name: x\npipeline: {traces: t}\ndataset: d\n")
    file = str(written(tmp_path))
    assert main(["ingest", file, "--format", "tau", "--suite", str(suite)]) == 2
    assert "results of tau-bench need none" in capsys.readouterr().err
    assert main(["collect", "--finish", "run", "--suite", str(suite)]) == 2
    assert "keeps the suite it was begun with" in capsys.readouterr().err


def test_recorded_runs_are_listed_without_a_look_at_their_cases(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    assert main(["ingest", str(written(tmp_path)), "--store", str(store)]) == 0
    capsys.readouterr()
    [run] = Store(store).runs(cases=False)
    assert run.planned == ()
    assert [case.id for case in Store(store).runs()[0].planned] == [TRACE]
    assert main(["runs", "--store", str(store), "--format", "json"]) == 0
    [listed] = json.loads(capsys.readouterr().out)["runs"]
    assert (listed["cases"], listed["trials"], listed["status"]) == (1, 1, "complete")
    assert main(["runs", "--store", str(store)]) == 0
    assert capsys.readouterr().out.split()[-3:] == ["1", "1", "complete"]
    (store / "runs" / run.id / "trials.parquet").write_bytes(b"PAR1")
    assert main(["runs", "--store", str(store)]) == 0
    assert f"run {run.id} cannot be read" in capsys.readouterr().err
