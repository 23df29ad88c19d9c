"""The journal: what was acknowledged survives, whatever happens to process, disk or record."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.errors import InputError, NotFoundError, PluginError, StoreError
from evalkit.folders import read_manifest, run_folder
from evalkit.folders.lines import CUT, encode_trial, read_journal
from evalkit.folders.tables import read_trials, write_tables
from evalkit.journal import Journal
from evalkit.results import Finding, PlannedCase, Run, Score, Trial, could_not_judge
from evalkit.store import Store
from evalkit.suite import Pipeline, Suite
from evalkit.trajectory import Coverage, Step, Trajectory


def a_run(run_id: str = "20261121-061500-3fa2c1", label: str = "main", **changes: object) -> Run:
    run = Run(
        id=run_id,
        label=label,
        suite=Suite(name="assistant", pipeline=Pipeline(call="a:b"), dataset="d.jsonl"),
        dataset_digest="d1",
        planned=(PlannedCase("c0", "vendor", "x1", "procurement", ("happy",)),),
        trials=3,
        started=1_790_000_000.0,
    )
    return msgspec.structs.replace(run, **changes)


def a_trial(case: str = "c0", trial: int = 0, **changes: object) -> Trial:
    steps = (
        Step(kind="node", name="classify", output={"route": "vendor"}),
        Step(
            kind="agent",
            name="assistant",
            steps=(
                Step(kind="llm", name="model", tokens_in=10, tokens_out=2, cost_usd=0.25),
                Step(kind="tool", name="review", arguments={"n": 1}, status="error", error="no"),
            ),
        ),
        Step(kind="node", name="answer", start_ns=1_790_000_000_000_000_000, span_id="ab" * 8),
    )
    made = Trial(
        case=case,
        trial=trial,
        route="vendor",
        started=1_790_000_000.5,
        latency_s=0.125,
        trajectory=Trajectory(
            steps=steps,
            output={"decision": "escalate"},
            route="vendor",
            coverage=Coverage(scopes={"openinference": "0.1"}),
        ),
        scores=(
            Score("task_completion", 1.0, True, "all checks met", data={"checks": 2}),
            Score("trajectory_match", 0.5, False, "one missing", (Finding("missing", "x", 1),)),
            could_not_judge("judge", "no model"),
        ),
    )
    return msgspec.structs.replace(made, **changes)


def append_all(journal: Journal, trials: list[Trial]) -> None:
    async def work() -> None:
        await asyncio.gather(*(journal.append(trial) for trial in trials))

    asyncio.run(work())


# Records as they come from anywhere: text that JSON allows, numbers of any size, nesting.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
INT64 = st.none() | st.integers(-(2**63), 2**63 - 1)
COST = st.none() | st.floats(0, 1e9)
STEPS = st.recursive(
    st.just(()),
    lambda inner: st.lists(
        st.builds(
            Step,
            kind=st.sampled_from(["tool", "llm", "node"]),
            name=TEXT,
            arguments=JSON,
            output=JSON,
            status=st.sampled_from(["ok", "error"]),
            error=st.none() | TEXT,
            model_served=st.none() | TEXT,
            tokens_in=st.none() | st.integers(0, 10**9),
            tokens_cached=INT64,
            cost_usd=COST,
            actor=st.sampled_from(["agent", "user"]),
            start_ns=INT64,
            steps=inner,
        ),
        max_size=3,
    ).map(tuple),
    max_leaves=5,
)
TRAJECTORIES = st.builds(
    Trajectory,
    steps=STEPS,
    output=JSON,
    said=st.lists(TEXT, max_size=2).map(tuple),
    route=st.none() | TEXT,
    trace_id=st.none() | TEXT,
    coverage=st.builds(Coverage, spans=st.integers(0, 9), unknown_keys=st.just({"a": 1})),
)
SCORES = st.builds(
    Score,
    scorer=TEXT,
    value=st.floats(0, 1),
    passed=st.booleans(),
    reason=TEXT,
    steps=st.lists(
        st.builds(Finding, kind=st.sampled_from(["missing", "loop"]), name=TEXT, detail=TEXT),
        max_size=2,
    ).map(tuple),
    data=st.dictionaries(TEXT, JSON, max_size=2),
) | st.builds(could_not_judge, TEXT, TEXT)
TRIALS = st.lists(
    st.builds(
        Trial,
        case=TEXT,
        trial=st.integers(0, 5),
        route=TEXT,
        status=st.sampled_from(["completed", "timeout"]),
        error=st.none() | TEXT,
        latency_s=st.none() | st.floats(0, 1e6),
        trajectory=st.none() | TRAJECTORIES,
        scores=st.lists(SCORES, max_size=3).map(tuple),
    ),
    max_size=4,
    unique_by=lambda trial: trial.key,
)


@given(trials=TRIALS)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_trial_comes_back_from_the_folder_as_it_went_in(
    tmp_path: Path, trials: list[Trial]
) -> None:
    (tmp_path / "journal").write_bytes(b"".join(map(encode_trial, trials)))
    write_tables(tmp_path, read_journal(tmp_path / "journal"))
    assert list(read_trials(tmp_path)) == trials


def test_a_finished_run_is_three_tables_and_a_manifest(tmp_path: Path) -> None:
    journal = Journal.start(tmp_path, a_run())
    trials = [a_trial(f"c{n // 3}", n % 3) for n in range(30)]
    append_all(journal, trials)
    run = journal.finish(stray_spans=2)

    folder = run_folder(tmp_path, run.id)
    assert {path.name for path in folder.iterdir()} == {
        "lock",
        "manifest.json",
        "trials.parquet",
        "steps.parquet",
        "scores.parquet",
    }
    manifest = read_manifest(folder)
    assert manifest.counts == {"trials": 30, "steps": 150, "scores": 90}
    assert manifest.run == run
    assert (run.status, run.stray_spans, run.scopes) == ("complete", 2, {"openinference": "0.1"})
    assert sorted(read_trials(folder), key=lambda t: t.key) == trials
    assert list(read_trials(folder, "c3", 1)) == [a_trial("c3", 1)]


def test_a_resumed_run_tells_what_instrumented_all_of_its_trials(tmp_path: Path) -> None:
    with Journal.start(tmp_path, a_run()) as journal:
        journal.extend([a_trial(trial=0)])
    with Journal.resume(tmp_path, a_run().id) as journal:
        unseen = Trajectory(coverage=Coverage(scopes={"mcp": "1"}))
        journal.extend([a_trial(trial=1, trajectory=None), a_trial(trial=2, trajectory=unseen)])
        assert journal.finish().scopes == {"openinference": "0.1", "mcp": "1"}
    assert Store(tmp_path).find("main").scopes == {"openinference": "0.1", "mcp": "1"}


def test_extend_records_what_is_there_already(tmp_path: Path) -> None:
    with Journal.start(tmp_path, a_run()) as journal:
        journal.extend(a_trial(trial=n) for n in range(600))
        journal.finish()
    assert len(list(Store(tmp_path).trials(a_run().id))) == 600


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("\ud800 alone", "\ufffd alone"),
        ({"\udfff": "x\0y"}, {"\ufffd": "x\0y"}),
        (2**64 + 1, 2**64 + 1),
        (10**5000, "(an integer of 16610 bits)"),
        (float("nan"), None),
        ([float("inf"), -0.0], [None, 0.0]),
        ({(1, 2): object(), True: b"x"}, {"(tuple)": "(object)", "True": "eA=="}),
    ],
    ids=["surrogate", "key", "65 bits", "huge", "nan", "infinity", "objects"],
)
def test_values_that_json_has_no_room_for_are_replaced_and_visible(
    tmp_path: Path, value: object, stored: object
) -> None:
    with Journal.start(tmp_path, a_run()) as journal:
        append_all(journal, [a_trial(trajectory=Trajectory(output=value), error="\ud800")])
        run = journal.finish()
    (back,) = read_trials(run_folder(tmp_path, run.id))
    assert back.trajectory is not None
    assert back.trajectory.output == stored
    assert back.error == "\ufffd"
    store = Store(tmp_path)
    store.add(run.id)
    assert store.query("SELECT count(*) AS n FROM trials")["n"].to_pylist() == [1]


def test_values_that_nest_too_deep_are_cut(tmp_path: Path) -> None:
    deep: list[object] = []
    for _ in range(50_000):
        deep = [deep]
    line = encode_trial(a_trial(trajectory=Trajectory(output=deep)))
    assert CUT in line.decode()
    wide = encode_trial(a_trial(trajectory=Trajectory(output=[[n] for n in range(5_000)])))
    assert CUT not in wide.decode()


def test_counts_over_64_bits_are_unknown(tmp_path: Path) -> None:
    step = Step(kind="llm", name="m", tokens_in=2**70, tokens_out=3)
    with Journal.start(tmp_path, a_run()) as journal:
        append_all(journal, [a_trial(trajectory=Trajectory(steps=(step,)))])
        run = journal.finish()
    (back,) = Store(tmp_path).trials(run.id)
    assert back.trajectory is not None
    assert (back.trajectory.steps[0].tokens_in, back.trajectory.tokens_out) == (None, 3)


def test_a_record_of_another_shape_is_refused_and_the_rest_kept(tmp_path: Path) -> None:
    with Journal.start(tmp_path, a_run()) as journal:
        append_all(journal, [a_trial()])
        wrong = a_trial(trial=1, trajectory=Trajectory(steps=(Step(kind="spell", name="x"),)))
        with pytest.raises(PluginError, match=r"trial 1 of case 'c0' cannot be stored.*'spell'"):
            append_all(journal, [wrong])
        run = journal.finish()
    assert list(Store(tmp_path).trials(run.id)) == [a_trial()]


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.test_journal import a_run, a_trial
from evalkit.journal import Journal

store, run_id = Path(sys.argv[1]), sys.argv[2]
journal = (Journal.resume if (store / "runs" / run_id).exists() else
           lambda store, _: Journal.start(store, a_run(run_id)))(store, run_id)

async def one(n):
    await journal.append(a_trial(f"c{n}"))
    sys.stdout.write(f"c{n}\\n"); sys.stdout.flush()

async def work():
    for start in range(0, 10**6, 16):
        await asyncio.gather(*(one(n) for n in range(start, start + 16)))

asyncio.run(work())
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    run_id = a_run().id
    for attempt in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), run_id],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        assert process.stdout is not None
        acknowledged.add(process.stdout.readline().strip())
        time.sleep(0.003 * attempt)
        process.kill()
        said, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL
        acknowledged |= {line for line in said.split("\n")[:-1] if line}
        assert Store(tmp_path).find(run_id).status == "interrupted"
    with Journal.resume(tmp_path, run_id) as journal:
        assert acknowledged <= {case for case, _ in journal.finished}
        assert len(acknowledged) >= 16
        journal.finish()
    assert acknowledged <= {trial.case for trial in Store(tmp_path).trials(run_id)}


@pytest.mark.parametrize(
    "torn", [b'{"case": "c9", "tri', b"\0\0\0\0", b"\xff\xfe", b'{"case":"c9"}']
)
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    run = a_run()
    with Journal.start(tmp_path, run) as journal:
        append_all(journal, [a_trial("c0"), a_trial("c1")])
    path = run_folder(tmp_path, run.id) / "journal.jsonl"
    with path.open("ab") as file:
        file.write(torn)
    assert [trial.case for trial in Store(tmp_path).trials(run.id)] == ["c0", "c1"]
    with Journal.resume(tmp_path, run.id) as journal:
        assert journal.finished == {("c0", 0), ("c1", 0)}
        append_all(journal, [a_trial("c2")])
        journal.finish()
    assert [trial.case for trial in Store(tmp_path).trials(run.id)] == ["c0", "c1", "c2"]


def test_a_damaged_line_in_between_costs_that_trial_only(tmp_path: Path) -> None:
    with Journal.start(tmp_path, a_run()) as journal:
        append_all(journal, [a_trial(f"c{n}") for n in range(3)])
    path = run_folder(tmp_path, a_run().id) / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0" * (len(lines[1]) - 1) + b"\n" + lines[2])
    with Journal.resume(tmp_path, a_run().id) as journal:
        assert journal.finished == {("c0", 0), ("c2", 0)}


def test_infrastructure_failures_are_tried_again_and_the_last_record_wins(tmp_path: Path) -> None:
    failed = a_trial("c1", status="timeout", trajectory=None, scores=(), error="30 s")
    with Journal.start(tmp_path, a_run()) as journal:
        append_all(journal, [failed, a_trial("c0")])
        assert journal.finish("interrupted").status == "interrupted"
    assert Store(tmp_path).find(a_run().id).status == "interrupted"
    with Journal.resume(tmp_path, a_run().id) as journal:
        assert journal.finished == {("c0", 0)}
        assert journal.run.status == "running"
        append_all(journal, [a_trial("c1")])
        journal.finish()
    assert list(Store(tmp_path).trials(a_run().id)) == [a_trial("c0"), a_trial("c1")]


def test_resume_refuses_what_there_is_nothing_to_resume_of(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no run nothing"):
        Journal.resume(tmp_path, "nothing")
    with Journal.start(tmp_path, a_run()) as journal:
        with pytest.raises(InputError, match=rf"being run by process {os.getpid()} on "):
            Journal.resume(tmp_path, a_run().id)
        with pytest.raises(InputError, match="already a run"):
            Journal.start(tmp_path, a_run())
        assert Store(tmp_path).find(a_run().id).status == "running"
        journal.finish()
    with pytest.raises(InputError, match="is complete"):
        Journal.resume(tmp_path, a_run().id)


@pytest.mark.parametrize(
    "run_id", ["../x", "", ".", "..", "a/b", "a\0b", "é", "🙂", "a" * 101, "a\n"]
)
def test_an_id_is_never_a_path(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(InputError, match="no run id"):
        Journal.start(tmp_path / "store", a_run(run_id))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["tables", "one table", "manifest"])
def test_a_crash_between_the_steps_of_finish_is_recovered(tmp_path: Path, step: str) -> None:
    """The folder as a crash leaves it after each step; finish, or reading, then works."""
    with Journal.start(tmp_path, a_run()) as journal:
        append_all(journal, [a_trial("c0")])
    folder = run_folder(tmp_path, a_run().id)
    kept = {name: (folder / name).read_bytes() for name in ("journal.jsonl", "run.json")}
    with Journal.resume(tmp_path, a_run().id) as journal:
        journal.finish()
    for name, data in kept.items():
        (folder / name).write_bytes(data)
    if step != "manifest":
        (folder / "manifest.json").unlink()
        if step == "one table":
            (folder / "steps.parquet").unlink()
            (folder / ".scores.parquet.tmp").write_bytes(b"half")
        with Journal.resume(tmp_path, a_run().id) as journal:
            assert journal.finished == {("c0", 0)}
            journal.finish()
    assert Store(tmp_path).find(a_run().id).status == "complete"
    assert list(Store(tmp_path).trials(a_run().id)) == [a_trial("c0")]


FULL_DISK = """
import asyncio, json, resource, sys
from pathlib import Path
from tests.test_journal import a_run, a_trial
from evalkit.errors import StoreError
from evalkit.journal import Journal

journal = Journal.start(Path(sys.argv[1]), a_run())
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
written, refused = [], []

async def one(n):
    try:
        await journal.append(a_trial(f"c{n}"))
        written.append(f"c{n}")
    except StoreError as error:
        refused.append(str(error))

async def work():
    for start in range(0, 80, 4):
        await asyncio.gather(*(one(n) for n in range(start, start + 4)))

asyncio.run(work())
print(json.dumps([written, refused]))
journal.close()
"""


def test_a_disk_that_refuses_is_an_error_and_keeps_what_was_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    written, refused = json.loads(done.stdout)
    assert 4 <= len(written) < 80
    assert len(written) + len(refused) == 80
    assert "What was recorded is safe" in refused[0]
    with Journal.resume(tmp_path, a_run().id) as journal:
        assert {case for case, _ in journal.finished} == set(written)
        journal.finish()
    assert len(list(Store(tmp_path).trials(a_run().id))) == len(written)


def test_a_full_disk_at_the_end_leaves_a_run_to_resume(tmp_path: Path) -> None:
    journal = Journal.start(tmp_path, a_run())
    append_all(journal, [a_trial()])
    in_the_way = run_folder(tmp_path, a_run().id) / ".steps.parquet.tmp"
    in_the_way.mkdir()
    with pytest.raises(StoreError, match=r"cannot write .*steps\.parquet"):
        journal.finish()
    in_the_way.rmdir()
    with Journal.resume(tmp_path, a_run().id) as journal:
        assert journal.finish().status == "complete"


def test_a_store_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        Journal.start(tmp_path / "file", a_run())


def test_appends_share_their_fsyncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.start(tmp_path, a_run())
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda file: (synced.append(file), time.sleep(0.01), real(file))
    )
    append_all(journal, [a_trial(trial=n) for n in range(640)])
    monkeypatch.undo()
    assert len(synced) < 64
    journal.close()
    assert len(list(Store(tmp_path).trials(a_run().id))) == 640


def test_a_cancelled_append_holds_up_no_one(tmp_path: Path) -> None:
    async def work(journal: Journal) -> None:
        waiting = [asyncio.ensure_future(journal.append(a_trial(trial=n))) for n in range(300)]
        await asyncio.sleep(0)
        for one in waiting[::2]:
            one.cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert results[1::2] == [None] * 150

    with Journal.start(tmp_path, a_run()) as journal:
        asyncio.run(work(journal))
    assert {t.trial for t in Store(tmp_path).trials(a_run().id)} >= set(range(1, 300, 2))
    with pytest.raises(StoreError, match="is closed"):
        append_all(journal, [a_trial()])
