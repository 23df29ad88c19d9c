"""From production to a golden case through the real commands."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli import main
from evalkit.cli.promote import current_user
from evalkit.journal import Journal
from evalkit.results import PlannedCase, Run, Trial, new_run_id
from evalkit.store import Store
from evalkit.suite import Pipeline, Suite
from evalkit.trajectory import Step, Trajectory
from tests.project import write_project

ROOT = Path(__file__).parents[2]
# Faulty where the setting says so: the very failure that production shows.
SOURCE = """
import evalkit

@evalkit.step("retriever")
def find_policy(q):
    return ["policy"]

@evalkit.step("tool")
def pay(q):
    return "paid"

def answer(request, settings):
    if not settings["skip"]:
        find_policy(request["q"])
    return {"answer": pay(request["q"])}
"""
CASES: list[dict[str, Any]] = [
    {
        "id": f"golden-{n}",
        "input": {"q": f"refund of order {n}", "mail": "anna@shop.example"},
        "route": "refund",
        "owner": "money",
        "expect": {"steps": [{"retriever": "find_policy"}, {"tool": "pay"}]},
    }
    for n in range(3)
]


def recorded(store: Path, trials: list[Trial], label: str = "production") -> str:
    """A run of production traces, as `evalkit ingest` writes it."""
    now = 1.79e9
    run = Run(
        id=new_run_id(now),
        label=label,
        suite=Suite(name="traces", pipeline=Pipeline(traces="x"), dataset="x"),
        dataset_digest="",
        planned=tuple(PlannedCase(one.case, one.route, "") for one in trials),
        trials=1,
        started=now,
    )
    with Journal.start(store, run) as journal:
        journal.extend(trials)
        journal.finish()
    return run.id


def trace(name: str, asked: Any, *, faulty: bool) -> Trial:
    steps = [
        Step(kind="retriever", name="find_policy", output=["policy"]),
        Step(kind="tool", name="pay", output="paid"),
    ]
    root = Step(
        kind="workflow",
        name="app",
        arguments={"input": asked},
        output="paid",
        steps=tuple(steps[faulty:]),
    )
    trajectory = Trajectory(
        steps=(root,), output="paid", route="refund", trace_id=name,
        session="s-9" if faulty else None,
    )  # fmt: skip
    return Trial(case=name, trial=0, route="refund", started=1.79e9, trajectory=trajectory)


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = {"settings": {"skip": False}}
    write_project(
        tmp_path, SOURCE, cases=CASES, pipeline=settings, scorers=["trajectory_match"],
        gate={"on": ["trajectory_match"]},
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVALKIT_STORE", str(tmp_path / "store"))
    return tmp_path


def produce(project: Path) -> str:
    asked = {"q": "refund of order 77, please", "mail": "maria.lopez@acme.com"}
    good = [trace(f"{n:032x}", {**asked, "q": f"order {n}"}, faulty=False) for n in range(30)]
    bad = [trace(f"f{n:031x}", {**asked, "n": n}, faulty=True) for n in range(3)]
    recorded(project / "store", [*good, *bad])
    return bad[0].case


def test_promote_accept_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The accepted case loads, the fixed pipeline passes it, and the faulty one fails the gate."""
    produce(project)
    assert main(["triage", "production", "--dataset", "cases.jsonl", "--format", "json"]) == 0
    (problem,) = said(capsys)["problems"]
    assert problem["name"] == "refund: missing step at retriever find_policy"
    assert (problem["size"], problem["covered"]) == (3, [])

    assert (
        main(["promote", "--problem", "1", "--run", "production", "--dataset", "cases.jsonl"]) == 0
    )
    assert "redacted: email, 1 times" in capsys.readouterr().out
    assert len((project / "cases.jsonl").read_text().splitlines()) == 3, "unreviewed never gates"
    assert main(["review", "--format", "json"]) == 0
    (waiting,) = said(capsys)["drafts"]
    assert main(["review", "--accept", waiting["id"], "--by", "lena"]) == 0
    assert f"accepted {waiting['id']}" in capsys.readouterr().out
    assert b"maria.lopez" not in (project / "cases.jsonl").read_bytes()

    assert main(["triage", "production", "--dataset", "cases.jsonl", "--format", "json"]) == 0
    assert said(capsys)["problems"][0]["covered"] == [waiting["id"]]
    assert main(["run", "suite.yaml", "--label", "main", "--trials", "3"]) == 0
    capsys.readouterr()
    run = ["run", "suite.yaml", "--label", "bad", "--set", "skip=true", "--baseline", "main"]
    assert main([*run, "--trials", "3", "--format", "json"]) == 1
    gate = said(capsys)
    assert waiting["id"] in json.dumps(gate)

    stats = ["dataset", "stats", "cases.jsonl", "--run", "production", "--format", "json"]
    assert main(stats) == 0
    (refund,) = said(capsys)["routes"]
    assert (refund["cases"], refund["seen"], refund["uncovered"]) == (4, 33, [])
    assert refund["last_failure_days"] < 1
    assert refund["tags"]["missing_step"]["last_failed"] == waiting["id"]
    assert main(stats[:-2]) == 0
    assert f"0 ({waiting['id']})" in capsys.readouterr().out


def test_review_by_editor(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = produce(project)
    assert main(["promote", name, "--run", "production", "--dataset", "cases.jsonl"]) == 0
    capsys.readouterr()
    main(["review", "--format", "json"])
    draft = said(capsys)["drafts"][0]["id"]

    def editing(script: str) -> int:
        editor = project / "editor.py"
        editor.write_text(f"import sys, pathlib\nfile = pathlib.Path(sys.argv[1])\n{script}\n")
        monkeypatch.setenv("EDITOR", f"{sys.executable} {editor}")
        return main(["review", "--edit", draft])

    before = (project / "store" / "drafts" / f"{draft}.json").read_bytes()
    assert editing("sys.exit(3)") == 2
    assert "ended with code 3" in capsys.readouterr().err
    assert editing("file.write_text('{')") == 2
    assert editing("file.write_text(file.read_text().replace('owner', 'ownr'))") == 2
    assert "ownr" in capsys.readouterr().err
    assert (project / "store" / "drafts" / f"{draft}.json").read_bytes() == before
    assert editing("file.write_text(file.read_text().replace('money', 'treasury'))") == 0
    assert "owner treasury" in capsys.readouterr().out
    monkeypatch.setenv("EDITOR", "/nowhere/editor")
    assert main(["review", "--edit", draft]) == 2
    assert main(["review", draft]) == 0
    assert "what happened:" in capsys.readouterr().out
    assert main(["review", "--reject", draft, "--reason", "known"]) == 0
    assert main(["review"]) == 0
    assert "no draft waits" in capsys.readouterr().out


def test_wrong_requests_are_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    produce(project)
    where = ["--run", "production", "--dataset", "cases.jsonl"]
    assert main(["promote", *where]) == 2
    assert main(["promote", "nobody", *where]) == 2
    assert main(["promote", "--problem", "1", *where]) == 2
    assert "was not triaged yet" in capsys.readouterr().err
    assert main(["triage", "production"]) == 0
    assert main(["promote", "--problem", "9", *where]) == 2
    assert "the last triage of" in capsys.readouterr().err
    named = project / ("ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dE3fG6" + ".jsonl")
    shutil.copy("cases.jsonl", named)
    assert main(["promote", f"f{0:031x}", "--run", "production", "--dataset", str(named)]) == 2
    assert "REDACTED-github-token" in (refused := capsys.readouterr().err)
    assert named.stem not in refused
    assert not list((project / "store").glob("drafts/*.json"))
    assert main(["review", "--accept", "x", "--reject", "y"]) == 2
    assert main(["review", "--accept", "../x"]) == 2
    assert main(["triage", "production", "--dataset", "nowhere.jsonl"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_feedback_joins_triage(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    produce(project)
    Path("said.csv").write_text(f"trace_id,signal\n{1:032x},thumbs_down\nunknown-id,escalated\n")
    assert main(["feedback", "import", "said.csv"]) == 0
    capsys.readouterr()
    assert main(["triage", "production"]) == 0
    shown = capsys.readouterr().out
    assert "refund: thumbs down" in shown
    Path("said.jsonl").write_text('{"session_id": "s-9", "signal": "reopened"}\n')
    assert main(["feedback", "import", "said.jsonl"]) == 0
    assert main(["promote", f"f{2:031x}", "--run", "production", "--dataset", "cases.jsonl"]) == 0
    assert "signals: missing_step, reopened" in capsys.readouterr().out
    assert "feedback for 1 ids that are not in this run: unknown-id" in shown
    assert re.search(r"thumbs down 3\.0% \[\S+, \S+\]\n", shown)
    good = [trace(f"b{n:031x}", {"q": f"order {n}"}, faulty=False) for n in range(30)]
    recorded(project / "store", good, "earlier")
    assert main(["triage", "production", "--before", "earlier"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"missing step 9\.1% \[\S+, \S+\], was 0\.0%: unclear", shown)


@pytest.mark.examples
@pytest.mark.slow
def test_the_example_from_live_traffic_to_a_failing_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loop of docs/production-to-golden.md, with spans collected live over OTLP."""
    pytest.importorskip("langgraph")
    example = ROOT / "pipelines" / "vendor_assistant" / "suite.yaml"
    suite = re.sub(r"(?m)^dataset: .*", "dataset: golden.jsonl", example.read_text())
    (tmp_path / "suite.yaml").write_text(suite)
    shutil.copy(ROOT / "datasets" / "vendor_assistant.jsonl", tmp_path / "golden.jsonl")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVALKIT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    _collect_live(4)

    assert main(["triage", "production", "--dataset", "golden.jsonl", "--format", "json"]) == 0
    problem = said(capsys)["problems"][0]
    assert problem["name"] == "vendor_exception: missing step at retriever retrieve_policy"
    assert problem["size"] == 4
    promote = ["promote", problem["representative"], "--run", "production"]
    assert main([*promote, "--dataset", "golden.jsonl"]) == 0
    capsys.readouterr()
    assert main(["review", "--format", "json"]) == 0
    draft = said(capsys)["drafts"][0]["id"]
    assert main(["review", "--accept", draft]) == 0
    source = json.loads((tmp_path / "golden.jsonl").read_text().splitlines()[-1])["source"]
    assert (source["trace_id"], source["version"]) == (problem["representative"], "2.3.1")
    assert source["captured"]
    assert source["promoted_by"] == source["reviewed_by"] == current_user()
    everything = b"".join(
        path.read_bytes() for path in (tmp_path / "store" / "drafts").rglob("*.json")
    )
    assert b"maria.lopez" not in everything + (tmp_path / "golden.jsonl").read_bytes()

    case = ["--case", draft, "--set", "mistakes=0.0"]
    assert main(["run", "suite.yaml", "--label", "main", *case]) == 0
    (fixed,) = Store(tmp_path / "store").load(Store(tmp_path / "store").find("main").id).run.planned
    assert fixed.id == draft
    capsys.readouterr()
    faulty = ["run", "suite.yaml", "--label", "bad", *case, "--set", "variant=skip-retrieval"]
    assert main([*faulty, "--baseline", "main"]) == 1
    assert f"{draft}" in capsys.readouterr().out


def _collect_live(questions: int) -> None:
    """Faulty production traffic, sent to `evalkit collect` in a process of its own."""
    command = [sys.executable, "-m", "evalkit", "collect", "--label", "production", "--port", "0"]
    with subprocess.Popen(
        [*command, "--suite", "suite.yaml", "--quiet", "0.5"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as collector:
        assert collector.stderr is not None
        url = re.search(r"http://\S+", collector.stderr.readline())
        assert url
        asked = [
            {
                "question": "Can I approve this vendor exception?",
                "vendor": vendor,
                "amount": 9100,
                "user": "maria.lopez@acme.com",
            }
            for vendor in ("Acme GmbH", "Northwind Traders", "Hooli Cloud", "Initech")[:questions]
        ]
        sender = [sys.executable, "-m", "tests.production_traffic", url[0], "skip-retrieval"]
        lines = "".join(json.dumps(one) + "\n" for one in asked)
        subprocess.run(sender, input=lines, text=True, capture_output=True, check=True)
        collector.send_signal(signal.SIGINT)
        collector.communicate(timeout=30)
        assert collector.returncode == 0
