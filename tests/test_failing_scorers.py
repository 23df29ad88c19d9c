"""A run goes on beside scorers that raise, loop or return nonsense, and the gate says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit import scoring
from evalkit.cli import main
from evalkit.gating import decide
from evalkit.runner import run
from evalkit.store import Store
from tests.project import CASES, load_project, write_project

BAD = """
import sys

from evalkit.results import Score

def loops(case, trajectory):
    while True:
        pass

def raises(case, trajectory):
    raise ValueError("no such key")

def nonsense(case, trajectory):
    return {"score": 11}

def leaves(case, trajectory):
    sys.exit(0)

async def leaves_late(case, trajectory):
    sys.exit(0)

def check(answer):
    sys.exit()

def read_state(case_input, context, answer):
    sys.exit(5)

def two(case, trajectory):
    if case.route == "odd":
        raise ValueError("no such key")
    return Score("first", 1.0, True, "")
two.gives = ("first", "second")

def spoils(case, trajectory, *, scores):
    case.input.clear()
    case.expect.steps[0].args.clear()
    trajectory.output.clear()
    for step in trajectory.steps:
        step.arguments.clear()
    for score in scores.values():
        score.data.clear()
    return Score("spoils", 1.0, True, "done")

def spoils_answer(answer):
    answer.clear()
    return True
"""


def test_the_run_goes_on_and_the_gate_fails_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "OWN_TIMEOUT_S", 0.1)
    (tmp_path / "bad_scorers.py").write_text(BAD)
    bad = ["loops", "raises", "nonsense"]
    scorers = ["task_completion", *(f"bad_scorers:{name}" for name in bad)]
    loaded = load_project(tmp_path, scorers=scorers, gate={"on": ["task_completion", *bad]})
    finished = run(loaded, label="main", store=tmp_path / "s")
    reasons: dict[str, set[str]] = {name: set() for name in bad}
    for trial in Store(tmp_path / "s").trials(finished.id):
        for score in trial.scores:
            assert (score.scorer == "task_completion") == (score.status == "scored")
            reasons.get(score.scorer, set()).add(score.reason)
    assert reasons["raises"] == {"ValueError: no such key"}
    assert reasons["nonsense"] == {"the scorer returned a dict, not a Score"}
    assert "did not return within 0.1 s" in reasons["loops"]
    assert "did not return within 0.1 s 3 times: not called again" in reasons["loops"]
    recorded = Store(tmp_path / "s").load(finished.id)
    report = decide(recorded, recorded, loaded.suite.gate)
    verdicts = {(row.scorer, row.verdict) for row in report.rows}
    assert verdicts == {("task_completion", "ok"), *((name, "unmeasurable") for name in bad)}
    assert report.exit == 3


def one_case(**expect: Any) -> list[dict[str, Any]]:
    return [{**CASES[1], "expect": {**CASES[1]["expect"], **expect}}]


@pytest.mark.parametrize(
    ("scorer", "expect", "suite", "reason"),
    [
        ("bad_scorers:leaves", {}, {}, "SystemExit: 0"),
        ("bad_scorers:leaves_late", {}, {}, "SystemExit: 0"),
        (
            "task_completion",
            {"outcome": [{"function": "bad_scorers:check"}]},
            {},
            "outcome check 1: function: bad_scorers:check raised SystemExit: ",
        ),
        (
            "end_state",
            {"state": {"a": 1}},
            {"state": "bad_scorers:read_state"},
            "the end state could not be read: RuntimeError: called sys.exit(5)",
        ),
    ],
)
def test_what_leaves_the_program_could_not_judge(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scorer: str,
    expect: dict[str, Any],
    suite: dict[str, Any],
    reason: str,
) -> None:
    (tmp_path / "bad_scorers.py").write_text(BAD)
    name = scorer.rpartition(":")[2]
    cases = one_case(**expect)
    scorers = [scorer, "trajectory_match"]
    path = write_project(tmp_path, cases=cases, scorers=scorers, gate={"on": [name]}, **suite)
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(path), "--label", "old", "--store", "s"]) == 0
    assert main(["run", str(path), "--label", "x", "--store", "s", "--baseline", "old"]) == 3
    run = Store(tmp_path / "s").find("x")
    assert run.status == "complete"
    for trial in Store(tmp_path / "s").trials(run.id):
        assert trial.status == "completed"
        assert [(one.scorer, one.status) for one in trial.scores] == [
            (name, "could_not_judge"),
            ("trajectory_match", "scored"),
        ]
        assert reason in trial.scores[0].reason


def test_a_pipeline_that_leaves_the_program_out_of_a_task_does_not_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = """
import asyncio, sys
async def leaves():
    sys.exit(0)
async def answer(request):
    await asyncio.gather(leaves())
"""
    monkeypatch.chdir(tmp_path)
    path = write_project(tmp_path, source)
    assert main(["run", str(path), "--label", "x", "--store", "s"]) == 3
    assert "the pipeline or a plug-in called sys.exit(0)" in capsys.readouterr().err


def test_a_scorer_of_ones_own_cannot_spoil_the_record(tmp_path: Path) -> None:
    (tmp_path / "bad_scorers.py").write_text(BAD)
    scorers = ["bad_scorers:spoils", "task_completion", "trajectory_match"]
    checks = [{"function": "bad_scorers:spoils_answer"}, *CASES[1]["expect"]["outcome"]]
    loaded = load_project(tmp_path, cases=one_case(outcome=checks), scorers=scorers)
    finished = run(loaded, label="main", store=tmp_path / "s")
    for trial in Store(tmp_path / "s").trials(finished.id):
        assert trial.trajectory is not None
        assert trial.trajectory.steps[0].arguments == {"q": 1}
        assert trial.trajectory.output == {"answer": 2}
        assert [score.passed for score in trial.scores] == [True, True, True]
        assert trial.scores[1].data and trial.scores[2].data


def test_a_pipeline_that_changes_its_input_does_so_for_itself_alone(tmp_path: Path) -> None:
    source = """
import evalkit
@evalkit.step("tool")
def look_up(q): ...
def answer(request):
    look_up(q=request["q"])
    return {"answer": 2 * request.pop("q")}
"""
    loaded = load_project(tmp_path, source, cases=CASES[:1], trials=3)
    finished = run(loaded, label="main", store=tmp_path / "s")
    for trial in Store(tmp_path / "s").trials(finished.id):
        assert trial.status == "completed", trial.error


@pytest.mark.parametrize(
    ("gate", "unknown"),
    [
        ({"on": ["bad_scorers:raises", "task_completion"]}, None),
        ({"on": ["first", "second"], "limits": ["pass_rate(bad_scorers:raises) >= 0.5"]}, None),
        ({"on": ["task_complet"]}, "'task_complet'. Did you mean 'task_completion'?"),
        ({"on": ["raises"], "advise": ["two"]}, "'two'"),
        ({"on": ["raises"], "limits": ["mean(raise) >= 1"]}, "'raise'. Did you mean 'raises'?"),
        ({"routes": {"odd": {"on": ["other:thing"]}}}, "'thing'"),
    ],
)
def test_a_gate_names_scores_that_the_suite_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], gate: dict[str, Any], unknown: str | None
) -> None:
    (tmp_path / "bad_scorers.py").write_text(BAD)
    scorers = ["task_completion", "trajectory_match", "bad_scorers:raises", "bad_scorers:two"]
    path = write_project(tmp_path, scorers=scorers, gate=gate)
    assert main(["check", str(path)]) == (2 if unknown else 0)
    if unknown:
        assert f"unknown scorer {unknown}" in "".join(capsys.readouterr())


def test_a_gating_scorer_of_ones_own_that_gives_nothing_is_unmeasurable(tmp_path: Path) -> None:
    (tmp_path / "bad_scorers.py").write_text(BAD)
    gate = {"on": ["bad_scorers:raises", "first", "second", "task_completion"]}
    scorers = ["bad_scorers:raises", "bad_scorers:two", "task_completion"]
    loaded = load_project(tmp_path, scorers=scorers, gate=gate)
    finished = run(loaded, label="main", store=tmp_path / "s")
    recorded = Store(tmp_path / "s").load(finished.id)
    report = decide(recorded, recorded, loaded.suite.gate)
    assert {(row.route, row.scorer): row.verdict for row in report.rows if row.blocking} == {
        ("even", "raises"): "unmeasurable",
        ("even", "first"): "ok",
        ("even", "second"): "unmeasurable",
        ("even", "task_completion"): "ok",
        ("odd", "raises"): "unmeasurable",
        ("odd", "first"): "unmeasurable",
        ("odd", "second"): "unmeasurable",
        ("odd", "task_completion"): "ok",
    }
    assert report.exit == 3


def test_a_scorer_that_calls_its_score_otherwise_is_unmeasurable_by_its_own_name(
    tmp_path: Path,
) -> None:
    (tmp_path / "renaming.py").write_text(
        "from evalkit.results import Score\n"
        "def mine(case, trajectory): return Score('other', 1.0, True, '')\n"
    )
    loaded = load_project(tmp_path, scorers=["renaming:mine"], gate={"on": ["mine"]})
    finished = run(loaded, label="main", store=tmp_path / "s")
    recorded = Store(tmp_path / "s").load(finished.id)
    report = decide(recorded, recorded, loaded.suite.gate)
    assert {row.verdict for row in report.rows} == {"unmeasurable"}
    assert "no trial has a score named mine" in report.rows[0].reason


def test_a_scorer_that_raises_is_named_beside_every_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad_scorers.py").write_text(BAD)
    scorers = ["bad_scorers:raises", "task_completion", "trajectory_match", "limits"]
    path = write_project(tmp_path, scorers=scorers)
    monkeypatch.chdir(tmp_path)
    made = ["run", str(path), "--label", "x", "--store", "s", "--markdown", "x.md"]
    assert main(made) == 0
    for told in (capsys.readouterr().out, Path("x.md").read_text().replace("\\", "")):
        assert "* raises could not judge 12 of 12 trials: ValueError: no such key" in told
        assert "limits could not" not in told
        assert "–*" in told
