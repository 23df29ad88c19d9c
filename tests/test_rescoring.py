"""Stored trajectories, scored again: as the same run would be scored, and nothing executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli import main
from evalkit.errors import InputError
from evalkit.gating import decide
from evalkit.ingest import ingest_tau
from evalkit.rescoring import load_for, rescore
from evalkit.results import Run, Selection
from evalkit.runner import run
from evalkit.store import Store
from tests.project import CASES, GOOD, load_project

COUNTED = GOOD.replace(
    "def answer(request):\n", 'def answer(request):\n    open("calls", "a").close()\n'
)


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    loaded = load_project(tmp_path, COUNTED)
    finished = run(loaded, label="main", store=tmp_path / "store")
    (tmp_path / "calls").unlink()
    return finished


def again(ran: Run, store: Path, **more: Any) -> Run:
    return rescore(store, ran.id, load_for(ran), **more)


def scores(store: Path, run_id: str) -> dict[Any, Any]:
    return {trial.key: trial.scores for trial in Store(store).trials(run_id)}


def test_the_same_scorers_give_the_same_scores_and_run_nothing(ran: Run, tmp_path: Path) -> None:
    store = tmp_path / "store"
    new = again(ran, store)
    assert not (tmp_path / "calls").exists()
    assert (new.label, new.rescored_from, new.status) == ("main+rescored", ran.id, "complete")
    assert scores(store, new.id) == scores(store, ran.id)
    then, now = ({t.key: t.trajectory for t in Store(store).trials(one.id)} for one in (ran, new))
    assert now == then
    assert Store(store).find("main").id == ran.id
    assert again(new, store).label == "main+rescored"


def test_changed_scorers_and_cases_are_applied_and_gated(ran: Run, tmp_path: Path) -> None:
    store = tmp_path / "store"
    stricter = [
        {**case, "route": "all", "expect": {"outcome": [{"path": "answer", "equals": -1}]}}
        for case in CASES[:4]
    ]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in stricter))
    suite = json.loads((tmp_path / "suite.yaml").read_text())
    suite |= {"scorers": ["task_completion", "stop_reason"], "gate": {"on": ["task_completion"]}}
    (tmp_path / "suite.yaml").write_text(json.dumps(suite))
    new = again(ran, store, label="strict")
    found = scores(store, new.id)
    assert set(found) == {(f"case-{n}", trial) for n in range(4) for trial in range(2)}
    for listed in found.values():
        assert [(one.scorer, one.passed) for one in listed] == [
            ("task_completion", False),
            ("stop_reason", None),
        ]
    assert {planned.route for planned in new.planned} == {"all"}
    opened = Store(store)
    report = decide(opened.load(new.id), opened.load(ran.id), new.suite.gate)
    assert report.exit != 0
    assert opened.query("SELECT count(*) AS n FROM trials")["n"].to_pylist() == [12 + 8]


def test_cases_that_came_and_went_are_told(
    ran: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = {**CASES[0], "id": "new"}
    now = [*CASES[:4], new]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in now))
    assert main(["score", "main", "--store", "store"]) == 0
    told = " ".join("".join(capsys.readouterr()).split())
    assert "cases left out, which the dataset no longer has (2): case-4, case-5" in told
    assert "cases not tried, which are new in the dataset (1): new" in told
    once = Store(tmp_path / "store").find("main+rescored")
    assert sorted(again(once, tmp_path / "store").notes) == sorted(once.notes)


def test_cases_that_were_not_selected_are_not_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load_project(tmp_path)
    some = run(loaded, label="x", store=tmp_path / "s", selection=Selection(cases=("case-1",)))
    assert again(some, tmp_path / "s").notes == ()


def test_a_case_with_another_input_is_refused(ran: Run, tmp_path: Path) -> None:
    other = [{**CASES[0], "input": {"q": 99}}, *CASES[1:]]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in other))
    with pytest.raises(InputError, match="input of case-0 is not what"):
        again(ran, tmp_path / "store")
    foreign = [{**CASES[0], "id": "new"}]
    (tmp_path / "cases.jsonl").write_text(json.dumps(foreign[0]) + "\n")
    with pytest.raises(InputError, match="no case in common"):
        again(ran, tmp_path / "store")
    assert len(Store(tmp_path / "store").runs()) == 1


def test_trials_that_did_not_complete_stay_unscored(tmp_path: Path) -> None:
    source = GOOD + "\ndef answer(request):\n    look_up(1)\n    raise ValueError('no')\n"
    cases = [CASES[0]]
    ran = run(load_project(tmp_path, source, cases=cases), label="x", store=tmp_path / "s")
    new = again(ran, tmp_path / "s")
    for trial in Store(tmp_path / "s").trials(new.id):
        assert (trial.status, trial.scores) == ("crashed", ())


def test_a_recorded_reward_is_kept(tmp_path: Path) -> None:
    shared = Path(__file__).parents[2] / "shared" / "data" / "raw"
    files = sorted(shared.glob("*.json*")) if shared.is_dir() else []
    if not files:
        pytest.skip("needs the recorded runs in ../shared/data/raw")
    found = ingest_tau(files[0], label="x", store=tmp_path / "s", trials=[0])
    ran = Store(tmp_path / "s").find(found.run)
    suite = {
        "name": ran.suite.name,
        "pipeline": {"traces": str(files[0])},
        "dataset": str(found.dataset),
        "scorers": ["trajectory_match"],
        "gate": {"on": ["trajectory_match"]},
    }
    (tmp_path / "suite.yaml").write_text(json.dumps(suite))
    with pytest.raises(InputError, match="--suite"):
        load_for(ran)
    new = rescore(tmp_path / "s", ran.id, load_for(ran, tmp_path / "suite.yaml"))
    names = {one.scorer for listed in scores(tmp_path / "s", new.id).values() for one in listed}
    assert names == {"reward", "trajectory_match"}


def test_the_command(ran: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["score", "main", "--store", "store", "--baseline", "main", "--format", "json"])
    told = json.loads(capsys.readouterr().out)
    assert (code, told["baseline"]) == (0, ran.id)
    assert main(["score", "nothing", "--store", "store"]) == 2
