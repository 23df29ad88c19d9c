"""Result files into a dataset and a run: what is stored, what is refused, what is left behind."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evalkit import ingest
from evalkit.comparison import summarize
from evalkit.errors import FileError, InputError, StoreError
from evalkit.files import read_dataset
from evalkit.gating import decide
from evalkit.ingest import Ingested, ingest_tau, read_bounded
from evalkit.results import Recorded
from evalkit.store import Store
from evalkit.suite import DEFAULT_SCORERS, GatePolicy

RAW = Path(__file__).parents[2] / "shared" / "data" / "raw"
GPT_4O = "tau-bench__airline__gpt-4o__4trials.json.gz"
SONNET = "tau2-bench__airline__claude-sonnet-4-5.json.gz"
GPT_OSS = "tau2-bench__airline__gpt-oss-120b.json.gz"
NO_TASK_IDS = "tau2-bench__airline__toolorchestra__no-task-ids.json.gz"


def real(name: str) -> Path:
    if not (RAW / name).exists():
        pytest.skip("the recorded agent runs are not on this machine")
    return RAW / name


def record(task: int, trial: int, reward: float | None, *, cancels: bool = True) -> dict[str, Any]:
    """A tau-bench record in which the agent cancels a reservation, or only says so."""
    function = {"name": "cancel_reservation", "arguments": '{"reservation_id": "A1"}'}
    acted = [
        {"role": "assistant", "tool_calls": [{"id": "c", "function": function}]},
        {"role": "tool", "tool_call_id": "c", "content": "cancelled"},
    ]
    return {
        "task_id": task,
        "trial": trial,
        "reward": reward,
        "info": {
            "task": {
                "instruction": f"Cancel A1 ({task})",
                "actions": [{"name": "cancel_reservation", "kwargs": {"reservation_id": "A1"}}],
                "outputs": ["1628"],
            }
        },
        "traj": [
            {"role": "user", "content": "Cancel it"},
            *(acted if cancels else []),
            {"role": "assistant", "content": "Done, that is 1,628 points"},
        ],
    }


def written(folder: Path, content: Any, name: str = "runs.json") -> Path:
    file = folder / name
    file.write_bytes(json.dumps(content).encode())
    return file


def take(folder: Path, content: Any, **options: Any) -> Ingested:
    file = written(folder, content)
    return ingest_tau(file, **{"label": "main", "store": folder / "store", **options})


def stored(folder: Path) -> list[str]:
    """Every file below the store, but for the database and its lock."""
    found = (folder / "store").rglob("*")
    return [path.name for path in found if path.is_file() and path.parent != folder / "store"]


def scores_of(recorded: Recorded, scorer: str) -> dict[tuple[str, int], float | None]:
    rows = recorded.scores.to_pylist()
    return {(row["case"], row["trial"]): row["value"] for row in rows if row["scorer"] == scorer}


def test_a_file_becomes_a_dataset_and_a_scored_run(tmp_path: Path) -> None:
    found = take(tmp_path, [record(0, 0, 1.0), record(1, 0, 0.0, cancels=False)])
    assert (found.traces, found.spans, found.steps, found.ignored) == (2, 6, 4, 2)
    assert (found.not_understood, found.quarantined, found.notes) == (0, 0, ())

    dataset, problems = read_dataset(Path(found.dataset))
    assert not problems
    assert [case.id for case in dataset] == ["airline-0", "airline-1"]

    store = Store(tmp_path / "store")
    run = store.find("main")
    assert (run.id, run.status, run.dataset_digest) == (found.run, "complete", dataset.digest)
    assert run.suite.effects.changes_state("cancel_reservation")
    assert not run.suite.effects.changes_state("get_user_details")
    recorded = store.load(found.run)
    assert scores_of(recorded, "reward") == {("airline-0", 0): 1.0, ("airline-1", 0): 0.0}
    assert scores_of(recorded, "trajectory_match") == {("airline-0", 0): 1, ("airline-1", 0): 0}
    open_ = {("airline-0", 0): None, ("airline-1", 0): None}  # the database is not recorded
    assert scores_of(recorded, "task_completion") == open_
    assert run.suite.gate.on == ("reward", "trajectory_match")
    assert {row["scorer"] for row in recorded.scores.to_pylist()} == {*DEFAULT_SCORERS, "reward"}


def test_some_of_the_trials_are_taken_and_numbered_from_0(tmp_path: Path) -> None:
    content = [record(task, trial, float(trial)) for task in range(2) for trial in (0, 1)]
    found = take(tmp_path, content, trials=[1])
    run = Store(tmp_path / "store").find(found.run)
    assert (run.trials, run.settings["trials"]) == (1, "1")
    recorded = Store(tmp_path / "store").load(found.run)
    assert scores_of(recorded, "reward") == {("airline-0", 0): 1.0, ("airline-1", 0): 1.0}


@pytest.mark.parametrize("wanted", [[7], [0, 7], [], [-1]])
def test_trials_that_are_not_there_are_an_error_that_names_those_that_are(
    tmp_path: Path, wanted: list[int]
) -> None:
    with pytest.raises(InputError, match="it has trials 0, 3"):
        take(tmp_path, [record(0, 0, 1.0), record(0, 3, 1.0)], trials=wanted)
    assert not stored(tmp_path)


def test_a_quarantined_simulation_is_counted_and_named(tmp_path: Path) -> None:
    broken = {**record(0, 2, 1.0), "traj": {"an": "object"}}
    content = [record(0, 0, 1.0), record(0, 0, 0.0), record(0, 1, None), broken]
    found = take(tmp_path, content)
    assert (found.traces, found.quarantined) == (2, 2)
    assert any("simulation 2" in note and "already" in note for note in found.notes)
    trials = Store(tmp_path / "store").load(found.run).trials.to_pylist()
    assert {row["trial"]: row["status"] for row in trials} == {
        0: "completed",
        1: "completed",
        2: "unserializable",
    }


def test_the_dataset_goes_where_it_is_told_and_replaces_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "golden.jsonl"
    content = [record(0, 0, 1.0)]
    assert take(tmp_path, content, dataset=out).dataset == str(out)
    before = out.read_bytes()
    take(tmp_path, content, dataset=out, label="again")
    with pytest.raises(InputError, match="exists and holds something else"):
        take(tmp_path, [record(5, 0, 1.0)], dataset=out, label="other")
    assert out.read_bytes() == before
    assert len(Store(tmp_path / "store").runs()) == 2


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    content = json.dumps([record(0, 0, 1.0)]).encode()
    file = tmp_path / "runs.json"
    file.write_bytes(gzip.compress(content))
    assert read_bounded(file) == content


@pytest.mark.parametrize("keep", [3, 40, -5])
def test_a_cut_off_or_damaged_archive_is_refused(tmp_path: Path, keep: int) -> None:
    file = tmp_path / "runs.json.gz"
    file.write_bytes(gzip.compress(json.dumps([record(0, 0, 1.0)]).encode())[:keep])
    with pytest.raises(FileError, match="does not inflate"):
        read_bounded(file)


def test_what_inflates_beyond_all_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "MAX_BYTES", 1 << 20)
    file = tmp_path / "bomb.json.gz"
    file.write_bytes(gzip.compress(b" " * (2 << 20)))
    with pytest.raises(FileError, match="larger than 1 MiB"):
        read_bounded(file)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        read_bounded(tmp_path / "nothing.json")
    with pytest.raises(FileError, match="cannot be read"):
        read_bounded(tmp_path)


def test_a_run_needs_a_label(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--label"):
        take(tmp_path, [record(0, 0, 1.0)], label=" ")


def test_a_store_that_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "runs").write_text("in the way")
    with pytest.raises(StoreError):
        take(tmp_path, [record(0, 0, 1.0)])
    assert not stored(tmp_path)


# --- the real files ------------------------------------------------------------------------


def test_gpt_4o_has_its_published_pass_hat(tmp_path: Path) -> None:
    started = time.perf_counter()
    found = ingest_tau(real(GPT_4O), label="gpt-4o", store=tmp_path)
    assert time.perf_counter() - started < 10
    assert found.traces == 200
    [route] = summarize(Store(tmp_path).load(found.run))
    [reward] = [one for one in route.scorers if one.scorer == "reward"]
    assert route.route == "airline"
    assert {k: round(value, 3) for k, value in reward.pass_hat.items()} == {
        1: 0.42,
        2: 0.273,
        3: 0.22,
        4: 0.2,
    }


def verdict(store: Path, candidate: str, baseline: str) -> tuple[str, int]:
    policy = GatePolicy(on=("reward",))
    loaded = [Store(store).load(run) for run in (candidate, baseline)]
    report = decide(loaded[0], loaded[1], policy)
    [row] = [row for row in report.rows if row.scorer == "reward"]
    return row.verdict, report.exit


def test_the_weaker_model_regresses(tmp_path: Path) -> None:
    strong = ingest_tau(real(SONNET), label="sonnet", store=tmp_path)
    weak = ingest_tau(real(GPT_OSS), label="gpt-oss", store=tmp_path)
    assert verdict(tmp_path, weak.run, strong.run) == ("regressed", 1)
    assert verdict(tmp_path, strong.run, weak.run)[1] == 0


def test_trials_of_one_model_do_not_regress(tmp_path: Path) -> None:
    early = ingest_tau(real(GPT_4O), label="early", store=tmp_path, trials=[0, 1])
    late = ingest_tau(real(GPT_4O), label="late", store=tmp_path, trials=[2, 3])
    assert early.dataset != late.dataset
    found, exit_code = verdict(tmp_path, late.run, early.run)
    assert found not in ("regressed", "broken", "missing", "unmeasurable")
    assert exit_code != 1


def test_a_real_file_without_task_ids_leaves_nothing_behind(tmp_path: Path) -> None:
    file = real(NO_TASK_IDS)
    with pytest.raises(FileError, match="has no task_id"):
        ingest_tau(file, label="x", store=tmp_path / "store", dataset=tmp_path / "out.jsonl")
    assert not list(tmp_path.iterdir())


def test_the_datasets_of_real_files_read_back_without_a_problem(tmp_path: Path) -> None:
    found = ingest_tau(real(SONNET), label="sonnet", store=tmp_path)
    dataset, problems = read_dataset(Path(found.dataset))
    assert (len(dataset), problems) == (50, [])
    assert b"api_key" not in msgspec.json.encode(dataset)
