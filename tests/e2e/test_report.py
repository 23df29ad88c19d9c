"""The report in real headless Chromium: what a person meets, by mouse and by keyboard.

Needs `chromium`, `node`, and the npm packages playwright-core and axe-core in
`tests/e2e/node_modules` or in the folder that EVALKIT_E2E_MODULES names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from evalkit import phrasing
from evalkit.cli import main
from tests.report_data.stores import HOSTILE, two_runs

HERE = Path(__file__).parent
MODULES = Path(os.environ.get("EVALKIT_E2E_MODULES", HERE / "node_modules"))

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def browser():
    """The programs that the visits need; skips with what is lacking."""
    lacking = [name for name in ("chromium", "node") if shutil.which(name) is None]
    lacking += [
        f"{name} in {MODULES}"
        for name in ("playwright-core", "axe-core")
        if not (MODULES / name).is_dir()
    ]
    if lacking:
        pytest.skip(f"needs {', '.join(lacking)}")
    return shutil.which("chromium")


def write(store, out, *more):
    arguments = ["report", "cand", "--baseline", "base", "--store", store.path, "-o", out, *more]
    assert main([str(one) for one in arguments]) == 0
    return out


def visit(browser, page, case, script="visit.cjs"):
    done = subprocess.run(
        ["node", HERE / script, MODULES, browser, page, case],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def gate_of(store, capsys):
    capsys.readouterr()
    main(["gate", "cand", "--baseline", "base", "--store", str(store.path), "--format", "json"])
    return json.loads(capsys.readouterr().out)


def test_a_person_finds_what_got_worse(browser, tmp_path, capsys):
    store = two_runs(tmp_path, 60, trials=3)
    found = visit(browser, write(store, tmp_path / "r.html"), "case-14")
    assert (found["problems"], found["requests"], found["serious"]) == ([], [], [])
    assert found["overflow"] <= 0
    assert found["heading"].startswith("FAILED: refund ")
    assert found["lit"] == ["retriever retrieve"]
    assert found["cases"] == "60 cases"
    assert (found["by route"], found["by standing"], found["by scorer"]) == ("30 cases",) * 3
    assert found["searched"] == 1
    assert found["opened"] == found["followed"] == found["keyed"] == "case-14"
    assert found["link"] == "#case=case-14"
    assert found["nowhere"] == "This report has no case no-such-case"
    assert found["skip"] == "skip"
    assert found["columns"] == ["candidate", "baseline"]
    assert "−" in found["marks"]
    assert json.loads(found["inside"])["text"] == "fine"
    shown = {(body["route"], row["scorer"]): row for body in found["table"] for row in body["rows"]}
    for row in gate_of(store, capsys)["routes"]:
        mine = shown[row["route"], row["scorer"]]
        assert mine["baseline"] == phrasing.number(row["baseline"])
        assert mine["candidate"] == phrasing.number(row["candidate"])
        between = phrasing.interval(row["low"], row["high"], phrasing.signed)
        assert mine["difference"] == f"{phrasing.signed(row['difference'])} {between}"
        assert mine["verdict"].endswith(row["verdict"])


def test_hostile_traces_are_text(browser, tmp_path):
    text = HOSTILE + "<iframe srcdoc='<script>alert(4)</script>'>" + "y" * 1_000_000
    store = two_runs(tmp_path, 4, text=text)
    found = visit(browser, write(store, tmp_path / "r.html"), "case-0")
    assert (found["problems"], found["requests"], found["serious"]) == ([], [], [])
    assert found["overflow"] <= 0
    assert "<script>alert(1)</script>" in found["text"]
    assert "javascript:alert(3)" in found["text"]
    assert "\\x1b[31mred" in found["text"]
    assert "\\u202egnp.exe" in found["text"]
    assert "\x1b" not in found["text"]
    assert "\u202e" not in found["text"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cases", "spans", "limit"), [(2_000, 10, 500), (50_000, 2, 2_000)], ids=str
)
def test_large_reports_open_fast(browser, tmp_path, cases, spans, limit):
    store = two_runs(tmp_path, cases, spans=spans, trials=1, text="a text of some length " * 5)
    page = write(store, tmp_path / "r.html")
    found = visit(browser, page, "case-14", "load.cjs")
    print(f"{cases} cases: {page.stat().st_size / 1e6:.1f} MB, ready in {found['ready']} ms")
    assert found["problems"] == []
    assert min(found["ready"]) < limit
    assert found["opened"] == "case-14"
    assert found["rows"] == 25
