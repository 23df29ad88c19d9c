"""The baseline run again from another checkout, or at an address, by real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from evalkit import git
from evalkit.store import Store

GOOD = """
import os
import evalkit

@evalkit.step("node")
def classify(topic):
    return topic

@evalkit.step("retriever")
def retrieve(topic):
    return ["text"]

def calls():
    with open(os.environ["OUTAGE"], "ab") as file:
        file.write(b".")
        return file.tell()

def answer(request):
    print("printed by the pipeline")
    classify(request["topic"])
    retrieve(request["topic"])
    if "OUTAGE" in os.environ and calls() <= 36:
        return "the model is out of reach"
    return "a good answer"
"""
BAD = GOOD.replace(
    '    retrieve(request["topic"])\n',
    '    if request["topic"] == "refund":\n        return "a guess"\n'
    '    retrieve(request["topic"])\n',
)
SUITE = """
name: desk
pipeline: {call: "desk:answer", retries: 0}
dataset: cases.jsonl
trials: 3
scorers: [task_completion, trajectory_match]
"""
CASES = "".join(
    json.dumps(
        {
            "id": f"{route}-{n}",
            "input": {"topic": route},
            "route": route,
            "expect": {"outcome": [{"contains": "good"}], "steps": [{"retriever": "retrieve"}]},
        }
    )
    + "\n"
    for route in ("status", "refund")
    for n in range(6)
)


def run_git(folder: Path, *arguments: str) -> None:
    named = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *named, *arguments], check=True, capture_output=True)


def environment(**more: str) -> dict[str, str]:
    """Without the test runner's own folder among the modules' places."""
    package = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": package, "COLUMNS": "200", **more}


def run(folder: Path, store: Path, *options: str, **more: str) -> tuple[int, dict, str]:
    command = [sys.executable, "-m", "evalkit", "run", "evals/suite.yaml", "--format", "json"]
    done = subprocess.run(
        [*command, "--store", str(store), "--label", "new", *options],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


class Repository:
    """A repository of two versions, a worktree of the good one, and the good one's run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.good = folder / "repository", folder / "good"
        self.store = folder / "store"
        evals = self.folder / "evals"
        evals.mkdir(parents=True)
        run_git(self.folder, "init", "-q")
        (evals / "suite.yaml").write_text(SUITE)
        (evals / "cases.jsonl").write_text(CASES)
        self.commit("good", GOOD)
        self.commit("bad", BAD)
        self.worktree(self.good, "good")
        code, _, err = run(self.good, self.store, "--label", "main")
        assert code == 0, err

    def commit(self, name: str, source: str) -> None:
        (self.folder / "evals/desk.py").write_text(source)
        run_git(self.folder, "add", "-A")
        run_git(self.folder, "commit", "-q", "-m", name)
        run_git(self.folder, "tag", name)

    def worktree(self, folder: Path, name: str) -> Path:
        run_git(self.folder, "worktree", "add", "-q", "--detach", str(folder), name)
        return folder

    def gated(self, folder: Path, *options: str, **more: str) -> tuple[int, dict, str]:
        return run(folder, self.store, "--baseline", "main", *options, **more)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("checkouts"))


def blocking(found: dict) -> dict[tuple[str, str], dict]:
    return {(row["route"], row["scorer"]): row for row in found["routes"] if row["blocking"]}


def test_a_bad_commit_is_confirmed_against_the_old_code(repository: Repository) -> None:
    code, found, err = repository.gated(
        repository.folder, "--baseline-checkout", str(repository.good)
    )
    assert code == 1
    rows = blocking(found)
    assert {key[0] for key, row in rows.items() if row["verdict"] != "ok"} == {"refund"}
    row = rows["refund", "trajectory_match"]
    assert row["verdict"] == "regressed"
    assert row["spent_trials"] > 0
    assert (row["steps"][0]["kind"], row["steps"][0]["name"]) == ("missing", "retriever retrieve")
    assert not any(note.startswith("no re-runs") for note in found["notes"])
    assert any(f"the baseline is {repository.good}" in note for note in found["notes"])
    assert "printed by the pipeline" in err
    store = Store(repository.store)
    again = {label: store.find(f"{label} (confirm)") for label in ("main", "new")}
    assert again["main"].commit == git.commit(repository.good)
    assert again["new"].commit == git.commit(repository.folder)
    for label, expected in (("main", 1.0), ("new", 0.0)):
        trials = list(store.trials(again[label].id))
        assert trials
        assert {score.value for one in trials for score in one.scores} == {expected}


@pytest.mark.slow
def test_an_outage_while_the_candidate_ran_makes_no_alarm(
    repository: Repository, tmp_path: Path
) -> None:
    outage = str(tmp_path / "calls")
    code, found, _ = repository.gated(
        repository.good,
        "--baseline-checkout",
        str(repository.folder),
        "--no-confirm",
        OUTAGE=outage,
    )
    assert code == 1
    assert any(note.startswith("no re-runs: re-runs are switched off") for note in found["notes"])
    Path(outage).unlink()
    unchanged = repository.worktree(tmp_path / "unchanged", "good")
    code, found, _ = repository.gated(
        unchanged, "--baseline-checkout", str(repository.good), OUTAGE=outage
    )
    assert code == 0
    assert {row["verdict"] for row in blocking(found).values()} == {"ok"}
    assert sum(row["spent_trials"] for row in found["routes"]) > 0


@pytest.mark.parametrize(
    ("name", "source", "code", "said"),
    [
        ("crash", GOOD.replace("    print(", "    os._exit(7)\n    print("), 3, "exit code 7"),
        ("broken", "import no_such_module\n", 1, "No module named 'no_such_module'"),
        ("hangs-up", "import os\nos.close(1)\nos._exit(0)\n", 1, "exit code 0"),
    ],
)
def test_a_baseline_that_cannot_be_run_gives_no_false_verdict(
    repository: Repository, tmp_path: Path, name: str, source: str, code: int, said: str
) -> None:
    """Where it does not start, the stored trials decide; where it dies on the way, nothing."""
    there = repository.worktree(tmp_path / "there", "good")
    (there / "evals/desk.py").write_text(source)
    found_code, found, _ = repository.gated(repository.folder, "--baseline-checkout", str(there))
    assert found_code == code
    row = blocking(found)["refund", "trajectory_match"]
    assert row["verdict"] == {1: "regressed", 3: "inconclusive"}[code]
    assert any(said in note for note in found["notes"]), found["notes"]
    assert any(note.startswith("no re-runs") for note in found["notes"]) == (code == 1)


def test_the_candidates_code_never_stands_in_for_the_baselines(repository: Repository) -> None:
    """Two arms of the same code would hide every regression."""
    inner = repository.folder / "inner"
    (inner / "evals").mkdir(parents=True)
    (inner / "evals/suite.yaml").write_text(SUITE)
    moved = repository.folder / "desk.py"
    moved.write_text(BAD)
    try:
        _, found, _ = repository.gated(repository.folder, "--baseline-checkout", str(inner))
    finally:
        moved.unlink()
    assert any("was loaded from the candidate's checkout" in note for note in found["notes"])
    assert blocking(found)["refund", "trajectory_match"]["verdict"] == "regressed"


def test_a_checkout_without_evalkit_says_what_to_install(
    repository: Repository, tmp_path: Path
) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -E -S "$@"\n')
    bare.chmod(0o755)
    options = ["--baseline-checkout", str(repository.good), "--baseline-python", str(bare)]
    code, found, _ = repository.gated(repository.folder, *options)
    assert code == 1
    assert any("has no evalkit that can do this" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"ready": {"protocol": 1, "evalkit": "9.9", "patience": 1}}', "has evalkit 9.9"),
        ("hello", "said what is no message"),
    ],
)
def test_an_interpreter_that_does_not_fit_is_not_used(
    repository: Repository, tmp_path: Path, answer: str, said: str
) -> None:
    other = tmp_path / "python"
    other.write_text(f"#!/bin/sh\nread opening; echo '{answer}'; cat >/dev/null\n")
    other.chmod(0o755)
    options = ["--baseline-checkout", str(repository.good), "--baseline-python", str(other)]
    code, found, _ = repository.gated(repository.folder, *options)
    assert code == 1
    assert any(note.startswith("no re-runs") and said in note for note in found["notes"])


@pytest.mark.slow
def test_ctrl_c_while_trying_again_leaves_it_undecided(
    repository: Repository, tmp_path: Path
) -> None:
    slow = repository.worktree(tmp_path / "slow", "good")
    source = GOOD.replace("    print(", "    __import__('time').sleep(20)\n    print(")
    (slow / "evals/desk.py").write_text(source)
    before = {one.id for one in Store(repository.store).runs()}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "evalkit", "run", "evals/suite.yaml", "--label", "new"),
            *("--store", str(repository.store), "--baseline", "main"),
            *("--baseline-checkout", str(slow), "--format", "json"),
        ],
        cwd=repository.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    assert any(line.startswith("confirming:") for line in process.stderr)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    found = json.loads(out)
    assert blocking(found)["refund", "trajectory_match"]["verdict"] == "inconclusive"
    assert any("they were interrupted" in note for note in found["notes"])
    made = {one.id: one for one in Store(repository.store).runs() if one.id not in before}
    assert [one.status for one in made.values() if one.label == "new"] == ["complete"]


def test_what_cannot_be_is_told_before_anything_runs(
    repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    good = ["--baseline-checkout", str(repository.good)]
    runs = len(Store(repository.store).runs())
    for options, said in (
        (["--baseline-checkout", str(tmp_path / "none")], "there is no such folder"),
        (["--baseline-checkout", str(tmp_path / "empty")], "it has no evals/suite.yaml"),
        (["--baseline-checkout", str(repository.folder)], "git worktree add"),
        ([*good, "--baseline-python", str(tmp_path / "none")], "there is no such program"),
        (["--baseline-python", sys.executable], "of a --baseline-checkout"),
        ([*good, "--baseline-url", "http://127.0.0.1:9/"], "one of the two"),
        (["--baseline-url", "ftp://127.0.0.1/"], "expected http://host/path"),
    ):
        code, found, err = repository.gated(repository.folder, *options)
        assert (code, found) == (2, {}), options
        assert said in err
    code, _, err = run(repository.folder, repository.store, *good)
    assert code == 2
    assert "needs --baseline" in err
    assert len(Store(repository.store).runs()) == runs


# --- an address -----------------------------------------------------------------------------


@pytest.fixture
def servers():
    """Starts an endpoint that answers, with spans, as the good or the bad version does."""
    started = []

    def start(*, bad: bool) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                topic = asked["input"]["topic"]
                _, trace, parent, _ = self.headers["traceparent"].split("-")
                lost = bad and topic == "refund"
                _export(self.headers["x-evalkit-otlp-endpoint"], trace, parent, lost)
                body = json.dumps("a guess" if lost else "a good answer").encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return f"http://127.0.0.1:{server.server_port}/answer"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def _export(endpoint: str, trace: str, parent: str, lost: bool) -> None:
    name, kind = ("guess", "CHAIN") if lost else ("retrieve", "RETRIEVER")
    span = {
        "traceId": trace,
        "spanId": os.urandom(8).hex(),
        "parentSpanId": parent,
        "name": name,
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "attributes": [{"key": "openinference.span.kind", "value": {"stringValue": kind}}],
    }
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    request = Request(
        f"{endpoint}/v1/traces", data=body, headers={"content-type": "application/json"}
    )
    urlopen(request, timeout=10).close()


def test_a_baseline_at_another_address_is_asked_again(servers, tmp_path: Path) -> None:
    folder, store = tmp_path / "project", tmp_path / "store"
    (folder / "evals").mkdir(parents=True)
    (folder / "evals/cases.jsonl").write_text(CASES)
    good, bad = servers(bad=False), servers(bad=True)

    def reach(address: str) -> None:
        reached = json.dumps({"http": address, "retries": 0, "concurrency": 12})
        suite = SUITE.replace('{call: "desk:answer", retries: 0}', reached)
        (folder / "evals/suite.yaml").write_text(suite)

    reach(good)
    code, _, err = run(folder, store, "--label", "main")
    assert code == 0, err
    reach(bad)
    secret = good.replace("http://", "http://me:secret@")
    code, found, _ = run(folder, store, "--baseline", "main", "--baseline-url", secret)
    assert code == 1
    row = blocking(found)["refund", "trajectory_match"]
    assert row["verdict"] == "regressed"
    assert row["spent_trials"] > 0
    assert any(good in note for note in found["notes"])
    assert "secret" not in json.dumps(found)


# --- a program in the checkout ------------------------------------------------------------

AGENT = """
import json, os, sys
from urllib.request import Request, urlopen

GOOD = True

asked = json.load(sys.stdin)
found = GOOD or asked["input"]["topic"] != "refund"
_, trace, parent, _ = os.environ["TRACEPARENT"].split("-")
kind = "RETRIEVER" if found else "CHAIN"
span = {
    "traceId": trace, "spanId": os.urandom(8).hex(), "parentSpanId": parent,
    "name": "retrieve" if found else "guess",
    "startTimeUnixNano": "1", "endTimeUnixNano": "2",
    "attributes": [{"key": "openinference.span.kind", "value": {"stringValue": kind}}],
}
body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
address = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces"
urlopen(Request(address, data=body, headers={"content-type": "application/json"})).close()
json.dump("a good answer" if found else "a guess", sys.stdout)
"""


@pytest.mark.slow
def test_a_program_is_run_from_the_checkout_too(tmp_path: Path) -> None:
    here, there, store = tmp_path / "here", tmp_path / "there", tmp_path / "store"
    command = json.dumps({"command": [sys.executable, "agent.py"], "retries": 0})
    suite = SUITE.replace('{call: "desk:answer", retries: 0}', command)
    few = "".join(line for line in CASES.splitlines(keepends=True) if "-5" not in line)
    for folder, source in ((there, AGENT), (here, AGENT.replace("GOOD = True", "GOOD = False"))):
        (folder / "evals").mkdir(parents=True)
        (folder / "evals/suite.yaml").write_text(suite.replace("trials: 3", "trials: 2"))
        (folder / "evals/cases.jsonl").write_text(few)
        (folder / "evals/agent.py").write_text(source)
    code, _, err = run(there, store, "--label", "main")
    assert code == 0, err
    code, found, _ = run(here, store, "--baseline", "main", "--baseline-checkout", str(there))
    assert code == 1
    row = blocking(found)["refund", "trajectory_match"]
    assert row["verdict"] == "regressed"
    assert row["spent_trials"] > 0
    assert row["candidate"] < row["baseline"] == 1.0
