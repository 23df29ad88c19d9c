"""A run goes on beside scorers that raise, loop or return nonsense, and the gate says so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from evalkit import scoring
from evalkit.gating import decide
from evalkit.runner import run
from evalkit.store import Store
from tests.project import load_project

BAD = """
from evalkit.results import Score

def loops(case, trajectory):
    while True:
        pass

def raises(case, trajectory):
    raise ValueError("no such key")

def nonsense(case, trajectory):
    return {"score": 11}
"""


def test_the_run_goes_on_and_the_gate_fails_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "OWN_TIMEOUT_S", 0.1)
    (tmp_path / "bad_scorers.py").write_text(BAD)
    bad = ["loops", "raises", "nonsense"]
    scorers = ["task_completion", *(f"bad_scorers:{name}" for name in bad)]
    loaded = load_project(tmp_path, scorers=scorers, gate={"on": ["task_completion", *bad]})
    began = time.monotonic()
    finished = run(loaded, label="main", store=tmp_path / "s")
    assert time.monotonic() - began < 20
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
