"""The store: folders are the truth, the database is built from them and loses nothing."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.errors import InputError, NotFoundError, StoreError
from evalkit.folders import locks, run_folder
from evalkit.folders.rows import COLUMNS
from evalkit.journal import Journal
from evalkit.reports import GateReport, GateRow
from evalkit.results import Run, Trial
from evalkit.store import Decision, Store
from evalkit.store.schema import DATABASE, VIEWS
from tests.test_journal import a_run, a_trial

ROOT = Path(__file__).parents[1]


def record(store: Path, run: Run, trials: list[Trial]) -> Run:
    with Journal.start(store, run) as journal:
        journal.extend(trials)
        return journal.finish()


def a_report(run: str, verdict: str = "regressed") -> GateReport:
    row = GateRow(
        route="vendor",
        scorer="task_completion",
        verdict=verdict,
        baseline=0.9,
        candidate=0.5,
        difference=-0.4,
        low=-0.6,
        high=-0.2,
        p=0.001,
        p_adjusted=float("nan"),
        broken=("c0",),
        detectable=None,
        cases=1,
        trials=3,
        reason="dropped",
        owners=("procurement",),
    )
    return GateReport(
        run=run, label="new", baseline="b", baseline_label="main", exit=1, alpha=0.05, rows=(row,)
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two complete runs and an interrupted one."""
    trials = [a_trial(f"c{n // 3}", n % 3) for n in range(12)]
    record(tmp_path, a_run("r1", started=1.0), trials)
    record(tmp_path, a_run("r2", started=2.0), trials)
    with Journal.start(tmp_path, a_run("r3", started=3.0)) as journal:
        journal.extend(trials[:4])
        journal.finish("interrupted")
    return Store(tmp_path)


def test_runs_are_listed_newest_first_and_damage_apart(store: Store) -> None:
    (store.path / "runs" / "empty").mkdir()
    (run_folder(store.path, "r1") / "steps.parquet").unlink()
    other = store.path / "runs" / "r4"
    other.mkdir()
    (other / "manifest.json").write_bytes(b'{"schema_version": 1, "run": {"id": 3}}')
    newer = store.path / "runs" / "r5"
    newer.mkdir()
    (newer / "manifest.json").write_bytes(b'{"schema_version": 99}')
    copied = store.path / "runs" / "r6"
    copied.mkdir()
    (copied / "run.json").write_bytes((run_folder(store.path, "r3") / "run.json").read_bytes())

    assert [(run.id, run.status) for run in store.runs()] == [
        ("r3", "interrupted"),
        ("r2", "complete"),
    ]
    damaged = dict(store.damaged())
    assert "run.json is missing" in damaged["empty"]
    assert "steps.parquet is missing" in damaged["r1"]
    assert "is damaged" in damaged["r4"]
    assert "newer evalkit" in damaged["r5"]
    assert "about another run, 'r3'" in damaged["r6"]
    with pytest.raises(
        NotFoundError, match=r"run r1 .* cannot be read: .*steps.parquet is missing"
    ):
        store.find("r1")


def test_find_takes_an_id_a_label_or_the_beginning_of_one_id(store: Store) -> None:
    assert store.find("r1").id == "r1"
    assert store.find("main").id == "r2"
    assert store.find("main", suite="assistant").id == "r2"
    record(store.path, a_run("20261121-a", "other"), [a_trial()])
    assert store.find("2026").id == "20261121-a"


@pytest.mark.parametrize(
    ("ref", "suite", "said"),
    [
        ("mian", None, "Did you mean 'main'"),
        ("main", "another", "of suite 'another'"),
        ("r", None, r"several runs begin so: r3 \(interrupted\), r2 \(complete\)"),
        ("", None, "no run ''"),
        ("../../etc", None, "no run '../../etc'"),
        ("\x1b[2J", None, r"no run '\\x1b\[2J'"),
    ],
)
def test_what_is_not_found_is_told_with_what_there_is(
    store: Store, ref: str, suite: str | None, said: str
) -> None:
    with pytest.raises(NotFoundError, match=said):
        store.find(ref, suite)


def test_a_label_with_unfinished_runs_only_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(NotFoundError, match="there are no runs"):
        store.find("main")
    Journal.start(tmp_path, a_run("r1")).close()
    with pytest.raises(NotFoundError, match=r"none of its runs is complete: r1 \(interrupted\)"):
        store.find("main")


def test_load_gives_the_tables_of_finished_and_unfinished_runs(store: Store) -> None:
    complete, interrupted = store.load("r1"), store.load("r3")
    assert complete.run.status == "complete"
    assert complete.trials.num_rows == 12
    assert complete.scores.num_rows == 36
    assert interrupted.trials.num_rows == 4
    assert interrupted.trials.schema == complete.trials.schema
    assert interrupted.scores.schema == complete.scores.schema
    assert complete.trials.column_names == [
        *("case", "trial", "route", "status", "error", "attempts", "started", "latency_s"),
        *("tokens_in", "tokens_out", "cost_usd", "route_taken"),
    ]
    assert complete.trials.to_pylist()[0]["tokens_in"] == 10
    assert complete.scores.to_pylist()[2]["value"] is None
    with pytest.raises(NotFoundError, match="no run 'nothing'"):
        store.load("nothing")


def test_load_leaves_out_scores_of_trials_that_failed_for_infrastructure_reasons(
    tmp_path: Path,
) -> None:
    trials = [a_trial("c 1", 1), a_trial("c 1", 2, status="crashed"), a_trial("1 c", 1)]
    record(tmp_path, a_run(), trials)
    scores = Store(tmp_path).load(a_run().id).scores
    assert {(row["case"], row["trial"]) for row in scores.to_pylist()} == {("c 1", 1), ("1 c", 1)}
    assert list(Store(tmp_path).trials(a_run().id)) == trials


def test_trials_of_one_case_are_read_alone(store: Store) -> None:
    assert [trial.key for trial in store.trials("r1", "c2")] == [("c2", 0), ("c2", 1), ("c2", 2)]
    assert list(store.trials("r1", "c2", 1)) == [a_trial("c2", 1)]
    assert [trial.key for trial in store.trials("r3", "c0")] == [("c0", 0), ("c0", 1), ("c0", 2)]
    assert list(store.trials("r1", "' OR 1=1 --")) == []


def test_add_is_safe_to_repeat_and_catches_up(store: Store) -> None:
    store.add("r1")
    record(store.path, a_run("r7", started=7.0), [a_trial()])
    store.add("r7")
    store.add("r7")
    rows = store.query("SELECT run, count(*) AS n FROM trials GROUP BY run ORDER BY run")
    assert rows.to_pydict() == {"run": ["r1", "r2", "r7"], "n": [12, 12, 1]}
    with pytest.raises(InputError, match="run r3 is interrupted"):
        store.add("r3")


def test_the_database_says_what_the_folders_say(store: Store) -> None:
    store.add("r1")
    steps = store.query('SELECT name, parent, arguments FROM steps WHERE run = ? AND "case" = ?'
                        " AND trial = 0 ORDER BY number", ["r1", "c0"])  # fmt: skip
    assert steps.to_pydict() == {
        "name": ["classify", "assistant", "model", "review", "answer"],
        "parent": [None, None, 1, 1, None],
        "arguments": [None, None, None, '{"n":1}', None],
    }
    (summary,) = store.query(
        "SELECT * FROM route_scores WHERE run = 'r1' AND scorer = 'trajectory_match'"
    ).to_pylist()
    assert (summary["cases"], summary["trials"], summary["mean"]) == (4, 12, 0.5)
    (failed,) = store.query("SELECT * FROM failed_steps WHERE run = 'r1'").to_pylist()
    assert (failed["name"], failed["failures"], failed["example"]) == ("review", 12, "no")
    assert store.query("SELECT owner, tags FROM cases WHERE run = 'r1'").to_pylist() == [
        {"owner": "procurement", "tags": '["happy"]'}
    ]


def test_labels_and_cases_are_data(tmp_path: Path) -> None:
    hostile = ["../x", "'; DROP TABLE runs; --", "🙂\0\x1b[2J", "/etc/passwd"]
    for number, label in enumerate(hostile):
        record(tmp_path, a_run(f"r{number}", label), [a_trial(label)])
    store = Store(tmp_path)
    store.add("r0")
    assert store.query("SELECT label FROM runs ORDER BY run")["label"].to_pylist() == hostile
    assert [store.find(label).id for label in hostile] == ["r0", "r1", "r2", "r3"]
    assert [next(store.trials(f"r{n}", label)).case for n, label in enumerate(hostile)] == hostile
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "results.duckdb",
        "results.duckdb.lock",
        "runs",
    ]


def test_verdicts_are_kept_in_the_folder_and_survive_a_rebuild(store: Store) -> None:
    store.save_verdicts(a_report("r2"))
    store.save_verdicts(a_report("r2", "ok"))
    with (run_folder(store.path, "r2") / "gates.jsonl").open("ab") as file:
        file.write(b'{"decided": 1.0, "rep')
    store.save_verdicts(a_report("r2", "improved"))
    for _ in range(2):
        rows = store.query("SELECT * FROM verdicts ORDER BY decided").to_pylist()
        assert [row["verdict"] for row in rows] == ["regressed", "ok", "improved"]
        assert rows[0]["p_adjusted"] is None
        assert rows[0]["broken"] == '["c0"]'
        assert (rows[0]["run"], rows[0]["baseline_run"], rows[0]["exit"]) == ("r2", "b", 1)
        assert store.rebuild().runs == ("r1", "r2")
    decided = [decision.report.rows[0].verdict for decision in store.decisions("r2")]
    assert decided == ["regressed", "ok", "improved"]
    with pytest.raises(NotFoundError):
        store.save_verdicts(a_report("nothing"))


def test_rebuild_leaves_out_and_names_what_is_damaged(store: Store) -> None:
    (run_folder(store.path, "r1") / "steps.parquet").write_bytes(b"PAR1 not at all PAR1")
    rebuilt = store.rebuild()
    assert rebuilt.runs == ("r2",)
    ((name, reason),) = rebuilt.damaged
    assert name == "r1"
    assert re.search(r"steps\.parquet is damaged", reason)
    assert store.query("SELECT DISTINCT run FROM trials")["run"].to_pylist() == ["r2"]
    with pytest.raises(StoreError, match="is damaged"):
        store.add("r1")
    with pytest.raises(StoreError, match="is damaged"):
        list(store.trials("r1"))


@pytest.mark.parametrize("name", ["a*b", "a[b]", "run=3", "it's", "%41", "http:", "**"])
def test_a_store_below_a_folder_of_any_name_has_its_own_runs_only(
    tmp_path: Path, name: str
) -> None:
    for folder in (name, "axb", "ab", "a"):
        record(tmp_path / folder, a_run("r1"), [a_trial("c1")])
    store = Store(tmp_path / name)
    assert store.rebuild() == (("r1",), ())
    found = store.query("SELECT count(*) AS n FROM trials")
    assert found["n"].to_pylist() == [1]
    assert store.query("SELECT * FROM scores").column_names == ["run", *COLUMNS["scores"]]


def test_a_file_of_other_columns_is_left_out_and_named(store: Store) -> None:
    path = run_folder(store.path, "r1") / "scores.parquet"
    foreign = pa.table({"case": ["c1"], "value": ["high"], "mood": ["good"]})
    for table, said in ((foreign, "mood"), (foreign.drop_columns(["mood"]), "high")):
        pq.write_table(table, path)
        rebuilt = store.rebuild()
        assert rebuilt.runs == ("r2",)
        assert re.search(
            rf"scores\.parquet is not as evalkit writes it.*{said}", str(rebuilt.damaged)
        )


def test_tables_that_hold_something_else_are_damaged_and_lacking_columns_null(store: Store) -> None:
    folder = run_folder(store.path, "r1")
    scores = (folder / "scores.parquet").read_bytes()
    (folder / "trials.parquet").write_bytes(scores)
    with pytest.raises(StoreError, match=r"trials\.parquet is damaged: column 'scorer'"):
        store.load("r1")
    known = store.load("r2")
    path = run_folder(store.path, "r2") / "scores.parquet"
    table = pq.read_table(path)
    at = table.column_names.index("value")
    pq.write_table(table.set_column(at, "value", pa.array(["high"] * len(table))), path)
    with pytest.raises(StoreError, match=r"scores\.parquet is damaged: column 'value'"):
        store.load("r2")
    pq.write_table(table.drop_columns(["case"]), path)
    with pytest.raises(StoreError, match=r"no column 'case'"):
        store.load("r2")
    pq.write_table(table.drop_columns(["data", "reason"]), path)
    older = store.load("r2").scores
    assert older["reason"].to_pylist() == [None] * len(table)
    assert older["value"].to_pylist() == known.scores["value"].to_pylist()
    assert older.column_names == known.scores.column_names


def test_the_database_takes_in_what_was_copied_into_the_store(store: Store) -> None:
    store.add("r1")
    record(store.path, a_run("r9"), [a_trial("c1")])
    (run_folder(store.path, "r1") / "gates.jsonl").write_bytes(
        msgspec.json.encode(Decision(1.0, a_report("r1"))) + b"\n"
    )
    for _ in range(2):
        found = store.query(
            "SELECT run FROM trials WHERE run = 'r9' UNION ALL SELECT run FROM verdicts"
        )
        assert found["run"].to_pylist() == ["r9", "r1"]


def test_a_verdict_is_kept_without_building_the_database_for_it(store: Store) -> None:
    assert store.save_verdicts(a_report("r2")) is None
    assert not store.database.exists()
    assert store.query("SELECT run FROM verdicts")["run"].to_pylist() == ["r2"]


@pytest.mark.parametrize("damage", ["garbage", "truncated", "empty header", "flipped"])
def test_a_corrupt_database_says_rebuild_and_rebuild_repairs_it(store: Store, damage: str) -> None:
    store.add("r1")
    data = bytearray(store.database.read_bytes())
    if damage == "garbage":
        data[:] = b"not a database " * 100
    elif damage == "truncated":
        del data[len(data) // 3 :]
    elif damage == "empty header":
        data[:12_288] = bytes(12_288)
    else:
        data[12_288:] = bytes(byte ^ 0x5A for byte in data[12_288:])
    store.database.write_bytes(data)
    with pytest.raises(StoreError, match="`evalkit rebuild`"):
        store.query("SELECT count(*) FROM steps")
    assert store.rebuild().runs == ("r1", "r2")
    assert store.query("SELECT count(*) AS n FROM trials")["n"].to_pylist() == [24]


def _set_version(store: Store, version: int) -> None:
    with duckdb.connect(str(store.database)) as connection:
        connection.execute("UPDATE meta SET value = ?", [str(version)])
        connection.execute("DELETE FROM trials")


def test_an_older_schema_is_rebuilt_and_a_newer_one_refused(store: Store) -> None:
    store.add("r1")
    _set_version(store, 0)
    assert store.query("SELECT count(*) AS n FROM trials")["n"].to_pylist() == [24]
    _set_version(store, 99)
    with pytest.raises(StoreError, match=r"newer evalkit \(schema 99"):
        store.add("r1")


def test_a_foreign_database_is_not_written_to(store: Store) -> None:
    with duckdb.connect(str(store.database)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1")
    with pytest.raises(StoreError, match="no database that evalkit made"):
        store.add("r1")


def test_a_query_reaches_this_database_and_nothing_else(store: Store, tmp_path: Path) -> None:
    store.add("r1")
    outside = tmp_path / "outside.csv"
    outside.write_text("a\n1\n")
    for sql in (
        f"COPY (SELECT 1) TO '{tmp_path / 'made.csv'}'",
        f"SELECT * FROM '{outside}'",
        f"SELECT * FROM read_csv('{outside}')",
        f"ATTACH '{tmp_path / 'other.db'}'",
        "INSTALL httpfs",
        "SET memory_limit = '90GB'",
        "SET enable_external_access = true",
        "DELETE FROM trials",
        "DROP TABLE runs",
        "SELECT * FROM store",
        "SELECT nonsense",
        "",
    ):
        with pytest.raises(InputError):
            store.query(sql)
    assert not (tmp_path / "made.csv").exists()
    assert store.query("SELECT count(*) AS n FROM runs")["n"].to_pylist() == [2]


def test_a_store_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no store at"):
        Store(tmp_path / "none").query("SELECT 1")
    assert Store(tmp_path / "none").runs() == []
    assert not (tmp_path / "none").exists()


def test_waiting_for_another_writer_ends_and_names_it(store: Store) -> None:
    impatient = Store(store.path, wait=0.2)
    impatient.add("r1")
    with locks.held(store.path / "results.duckdb.lock"):
        said = r"being written by process \d+ on .*waited 0.2 s"
        with pytest.raises(StoreError, match=said):
            impatient.query("SELECT 1")
        assert re.search(said, impatient.save_verdicts(a_report("r2")) or "")
    # The decision is in the run folder all the same, and from there in the database.
    assert len(store.decisions("r2")) == 1
    assert store.query("SELECT verdict FROM verdicts")["verdict"].to_pylist() == ["regressed"]


HOLD = """
import duckdb, sys, time
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
time.sleep(30)
"""


def test_a_database_open_in_another_program_is_said_so(store: Store) -> None:
    store.add("r1")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store.database)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StoreError, match="open in another program: close it"):
            Store(store.path, wait=0.2).query("SELECT 1")
        other.kill()


ADD = """
import sys
from pathlib import Path
from evalkit.store import Store
from tests.test_journal import a_run, a_trial
from tests.test_store import record

path, name = Path(sys.argv[1]), sys.argv[2]
for number in range(6):
    run = record(path, a_run(f"{name}-{number}"), [a_trial(f"c{n}") for n in range(50)])
    Store(path).add(run.id)
"""


def test_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", ADD, str(tmp_path), f"p{n}"],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    for process in started:
        _, said = process.communicate()
        assert process.returncode == 0, said
    counted = Store(tmp_path).query(
        "SELECT (SELECT count(*) FROM runs) AS runs, (SELECT count(*) FROM trials) AS trials,"
        " (SELECT count(*) FROM steps) AS steps, (SELECT count(*) FROM scores) AS scores"
    )
    assert counted.to_pylist() == [{"runs": 24, "trials": 1200, "steps": 6000, "scores": 3600}]


def test_ten_thousand_trials_are_stored_in_seconds_of_processor_time(tmp_path: Path) -> None:
    journal = Journal.start(tmp_path, a_run())
    journal.extend(a_trial(f"c{n // 5}", n % 5) for n in range(10_000))
    started = time.process_time()
    journal.finish()
    store = Store(tmp_path)
    store.add(a_run().id)
    recorded = store.load(a_run().id)
    taken = time.process_time() - started
    assert (recorded.trials.num_rows, recorded.scores.num_rows) == (10_000, 30_000)
    assert taken < 8, f"{taken:.2f} s"


def test_the_documented_schema_is_the_schema() -> None:
    text = (ROOT / "docs" / "store.md").read_text()
    documented = {
        table: set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
        for table, section in re.findall(
            r"^### `(\w+)`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL
        )
    }
    assert {name: set(columns) for name, columns in DATABASE.items()} == {
        name: columns for name, columns in documented.items() if name in DATABASE
    }
    assert all(f"`{view}`" in text for view in VIEWS)


def test_a_run_comes_back_from_its_manifest(store: Store) -> None:
    run = store.find("r1")
    assert msgspec.structs.replace(run, finished=None) == a_run(
        "r1", started=1.0, status="complete", scopes={"openinference": "0.1"}
    )
