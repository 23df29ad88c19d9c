"""`evalkit ingest` as it is typed: what it prints, and that other commands read its run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli import main

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
