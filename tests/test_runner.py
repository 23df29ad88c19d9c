"""Runs of real pipelines: what is stored, what is retried, and what survives being killed."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import IncompleteError, InputError
from evalkit.results import Selection, Trial
from evalkit.runner import Progress, resume, run
from evalkit.store import Store
from tests.project import CASES, GOOD, load_project, write_project


def trials_of(store: Path, run_id: str) -> dict[tuple[str, int], Trial]:
    return {trial.key: trial for trial in Store(store).trials(run_id)}


def test_every_trial_is_stored_with_trajectory_and_scores(tmp_path: Path) -> None:
    store, seen = tmp_path / "store", list[Progress]()
    finished = run(load_project(tmp_path), label="main", store=store, on_progress=seen.append)
    trials = trials_of(store, finished.id)
    assert set(trials) == {(case["id"], n) for case in CASES for n in range(2)}
    for trial in trials.values():
        assert trial.trajectory is not None
        (step,) = trial.trajectory.steps
        assert (step.kind, step.name) == ("tool", "look_up")
        passed = {score.scorer: score.passed for score in trial.scores}
        assert passed["task_completion"] and passed["trajectory_match"]
    assert (seen[0].done, seen[-1].done, seen[-1].total) == (0, 12, 12)
    assert Store(store).find("main").id == finished.id


def test_a_wrong_answer_is_a_result_and_not_retried(tmp_path: Path) -> None:
    loaded = load_project(tmp_path, GOOD.replace("q * 2", "q * 3"), pipeline={"retries": 3})
    seen = list[Progress]()
    finished = run(loaded, label="x", store=tmp_path / "store", on_progress=seen.append)
    assert (seen[-1].failed, seen[-1].infrastructure) == (10, 0)  # 0 * 3 is 0 * 2
    for trial in Store(tmp_path / "store").trials(finished.id):
        assert (trial.status, trial.attempts) == ("completed", 1)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ("raise ValueError('no such vendor')", "crashed", "ValueError: no such vendor"),
        ("raise ConnectionError('gone')", "unreachable", "gone"),
        ("time.sleep(30)", "timeout", "no answer within 0.3 s"),
        ("return {1, 2, object()}", "unserializable", "not JSON"),
        ("x = []; x.append(x); return x", "unserializable", "not JSON"),
    ],
)
def test_infrastructure_failures_are_no_wrong_answers(
    tmp_path: Path, body: str, status: str, says: str
) -> None:
    source = f"import time\n{GOOD}\n    " + body
    source = source.replace('return {"answer": look_up(request["q"])}', "", 1)
    source = source.replace("def answer(request):\n", "def answer(request):\n    look_up(1)\n")
    loaded = load_project(
        tmp_path, source, cases=CASES[:1], trials=1, pipeline={"retries": 1, "timeout": 0.3}
    )
    finished = run(loaded, label="x", store=tmp_path / "store")
    (trial,) = Store(tmp_path / "store").trials(finished.id)
    assert trial.status == status
    assert says in str(trial.error)
    assert trial.scores == ()
    assert trial.attempts == (1 if status == "unserializable" else 2)


def test_a_pipeline_without_spans_is_told_how_to_get_them(tmp_path: Path) -> None:
    source = "def answer(request): return 1"
    finished = run(load_project(tmp_path, source, cases=CASES[:1]), label="x", store=tmp_path / "s")
    trial = next(Store(tmp_path / "s").trials(finished.id))
    assert trial.status == "no_trace"
    assert "evalkit.step" in str(trial.error)


SILENT = [{"id": "quiet", "input": {"q": 1}, "route": "none", "expect": {"steps": []}}]
SELDOM = GOOD.replace("return {", 'return {"answer": "no"} if request["q"] < 2 else {')


def test_calling_nothing_passes_where_the_case_asks_for_it(tmp_path: Path) -> None:
    scorers = ["trajectory_match", "tool_selection", {"forbidden": {"steps": "pay"}}, "loop_cap"]
    gate = {"on": ["trajectory_match"]}
    loaded = load_project(tmp_path, SELDOM, cases=[*SILENT, CASES[2]], scorers=scorers, gate=gate)
    finished = run(loaded, label="x", store=tmp_path / "s")
    for trial in Store(tmp_path / "s").trials(finished.id):
        assert trial.status == "completed", trial.error
        assert [score.passed for score in trial.scores] == [True] * 4, trial.scores
    assert finished.notes == ()


def test_an_empty_trace_is_a_failure_where_the_case_asks_for_steps(tmp_path: Path) -> None:
    paths = {**SILENT[0], "id": "either", "expect": {"paths": [[], [{"tool": "look_up"}]]}}
    loaded = load_project(tmp_path, SELDOM, cases=[CASES[1], paths], trials=1)
    finished = run(loaded, label="x", store=tmp_path / "s")
    trials = Store(tmp_path / "s").trials(finished.id)
    assert [trial.status for trial in trials] == ["no_trace", "no_trace"]


def test_a_run_without_any_span_says_that_nothing_shows_instrumentation(tmp_path: Path) -> None:
    source = "def answer(request): return 1"
    finished = run(load_project(tmp_path, source, cases=SILENT), label="x", store=tmp_path / "s")
    (note,) = finished.notes
    assert "nothing shows that the pipeline is instrumented" in note


def test_failed_are_the_trials_that_what_blocks_on_their_route_fails(tmp_path: Path) -> None:
    wrong, gate = GOOD.replace("q * 2", "q * 3"), {"routes": {"odd": {"on": []}}}
    seen = list[Progress]()
    run(
        load_project(tmp_path, wrong, gate=gate), label="x", store=tmp_path, on_progress=seen.append
    )
    assert (seen[-1].done, seen[-1].failed) == (12, 4)  # of the even ones 0 * 3 is 0 * 2


@pytest.mark.parametrize(
    ("recorded", "status"),
    [
        ({"steps": [], "output": {"answer": 2}}, "completed"),
        ({"output": {"answer": 2}}, "no_trace"),
        ({"steps": [], "coverage": {"spans": 3, "not_understood": 3}}, "no_trace"),
    ],
)
def test_a_recording_says_itself_that_nothing_was_done(
    tmp_path: Path, recorded: dict[str, Any], status: str
) -> None:
    lines = [{"case": case["id"], "trajectory": recorded} for case in [*SILENT, CASES[1]]]
    (tmp_path / "recorded.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    loaded = load_project(
        tmp_path,
        cases=[*SILENT, CASES[1]],
        pipeline={"traces": "recorded.jsonl"},
        trials=1,
        scorers=["trajectory_match"],
        gate={"on": ["trajectory_match"]},
    )
    finished = run(loaded, label="x", store=tmp_path / "s")
    trials = list(Store(tmp_path / "s").trials(finished.id))
    assert [trial.status for trial in trials] == [status] * 2
    if status == "completed":
        assert [trial.scores[0].passed for trial in trials] == [True, False]


def test_an_infrastructure_failure_is_retried_until_an_answer(tmp_path: Path) -> None:
    source = GOOD + textwrap.dedent(
        """
        failed = set()
        good = answer
        def answer(request):
            if request["q"] not in failed:
                failed.add(request["q"])
                raise ConnectionError("the first call of each case fails")
            return good(request)
        """
    )
    loaded = load_project(tmp_path, source, trials=1, pipeline={"retries": 1})
    finished = run(loaded, label="x", store=tmp_path / "store")
    for trial in Store(tmp_path / "store").trials(finished.id):
        assert (trial.status, trial.attempts) == ("completed", 2)


def test_a_dead_pipeline_is_given_up_early_and_can_be_resumed(tmp_path: Path) -> None:
    cases = [{**CASES[0], "id": f"c{n}"} for n in range(60)]
    loaded = load_project(tmp_path, "def answer(r): raise ConnectionError('down')", cases=cases)
    with pytest.raises(IncompleteError, match=r"gives no answer.*down"):
        run(loaded, label="x", store=tmp_path / "store")
    (stored,) = Store(tmp_path / "store").runs()
    assert stored.status == "interrupted"


def test_trials_never_mix_spans(tmp_path: Path) -> None:
    source = textwrap.dedent(
        """
        import asyncio, threading
        from concurrent.futures import ThreadPoolExecutor
        import evalkit

        pool = ThreadPoolExecutor(4)

        @evalkit.step("tool")
        def look_up(q):
            return q

        @evalkit.step("tool")
        async def look_up_async(q):
            await asyncio.sleep(0.001)
            return q

        def answer(request):
            q = request["q"]
            look_up(q)
            pool.submit(look_up, q).result()
            asyncio.run(look_up_async(q))
            thread = threading.Thread(target=look_up, args=(q,))
            thread.start()
            thread.join()
            return q
        """
    )
    cases = [{"id": f"c{n}", "input": {"q": n}, "route": "r"} for n in range(100)]
    loaded = load_project(tmp_path, source, cases=cases, pipeline={"concurrency": 32})
    finished = run(loaded, label="x", store=tmp_path / "store")
    assert finished.stray_spans == 0
    for trial in Store(tmp_path / "store").trials(finished.id):
        assert trial.trajectory is not None
        asked = [visit.step.arguments["q"] for visit in trial.trajectory.walk()]
        assert asked == [int(trial.case[1:])] * 4


# --- planning -------------------------------------------------------------------------------


def test_a_selection_leaves_the_cases_asked_for(tmp_path: Path) -> None:
    loaded = load_project(tmp_path)
    finished = run(
        loaded, label="x", store=tmp_path / "s", selection=Selection(routes=("odd",), limit=2)
    )
    assert [case.id for case in finished.planned] == ["case-1", "case-3"]


def test_a_selection_that_leaves_no_case_out_is_none(tmp_path: Path) -> None:
    loaded = load_project(tmp_path)
    for selection in (Selection(limit=1000), Selection(routes=("odd", "even"))):
        finished = run(loaded, label="x", store=tmp_path / "s", selection=selection)
        assert not finished.selection
        assert len(finished.planned) == len(loaded.dataset)


@pytest.mark.parametrize(
    ("selection", "says"),
    [
        (Selection(routes=("evn",)), "Did you mean 'even'"),
        (Selection(cases=("case-9",)), "no case has the case"),
        (Selection(tags=("small",), cases=("case-5",)), "no case is left"),
        (Selection(limit=0), "at least 1"),
    ],
)
def test_zero_cases_is_an_error_that_leaves_nothing(
    tmp_path: Path, selection: Selection, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        run(load_project(tmp_path), label="x", store=tmp_path / "s", selection=selection)
    assert not (tmp_path / "s").exists()


def test_settings_reach_the_pipeline_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    source = GOOD + "\ndef answer(request, settings): return {'answer': look_up(settings['by'])}"
    loaded = load_project(tmp_path, source, pipeline={"settings": {"by": 1}})
    finished = run(loaded, label="x", store=tmp_path / "s", settings={"by": 5})
    assert finished.settings == {"by": 5}
    trial = next(Store(tmp_path / "s").trials(finished.id))
    assert trial.trajectory is not None and trial.trajectory.output == {"answer": 10}
    with pytest.raises(InputError, match="Did you mean 'by'"):
        run(loaded, label="x", store=tmp_path / "s", settings={"bye": 5})


# --- being killed ---------------------------------------------------------------------------

SLOW = GOOD.replace("import evalkit", "import evalkit, time").replace(
    "def answer(request):\n",
    'def answer(request):\n    time.sleep(0.05)\n    open("calls", "a").write("x")\n',
)

SCRIPT = """
import sys
from pathlib import Path
from evalkit.check import load_suite
from evalkit.runner import run, resume
loaded = load_suite("suite.yaml")
done = []
def say(now):
    print(now.run_id, now.done, flush=True)
if len(sys.argv) > 1:
    resume(loaded, sys.argv[1], store=Path("store"), on_progress=say)
else:
    run(loaded, label="x", store=Path("store"), on_progress=say)
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )


def read_until(process: subprocess.Popen[str], done: int) -> str:
    assert process.stdout
    for line in process.stdout:
        run_id, count = line.split()
        if int(count) >= done:
            return run_id
    raise AssertionError(process.stderr.read() if process.stderr else "ended early")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_loses_only_trials_in_flight(tmp_path: Path, how: signal.Signals) -> None:
    write_project(tmp_path, SLOW, trials=5, pipeline={"concurrency": 2})
    process = start(tmp_path)
    run_id = read_until(process, 6)
    process.send_signal(how)
    process.communicate(timeout=20)
    assert process.returncode != 0
    calls_before = len((tmp_path / "calls").read_text())
    again = start(tmp_path, run_id)
    _, complaint = again.communicate(timeout=30)
    assert again.returncode == 0, complaint
    store = Store(tmp_path / "store")
    assert len(list(store.trials(run_id))) == 30
    assert store.find(run_id).status == "complete"
    calls = len((tmp_path / "calls").read_text())
    # The finished trials were not paid twice: at most what was in flight ran again.
    assert 30 <= calls <= 30 + 4
    assert calls_before >= 6


def test_a_complete_run_and_another_dataset_cannot_be_resumed(tmp_path: Path) -> None:
    loaded = load_project(tmp_path)
    finished = run(loaded, label="x", store=tmp_path / "s")
    with pytest.raises(InputError, match="complete"):
        resume(loaded, finished.id, store=tmp_path / "s")
    (tmp_path / "two").mkdir()
    other = load_project(tmp_path / "two", cases=CASES[:2])
    with pytest.raises(InputError, match="another version"):
        resume(other, finished.id, store=tmp_path / "s")


# --- pipelines outside this process -----------------------------------------------------------

PROGRAM = """
import json, os, sys, time, urllib.request
given = json.load(sys.stdin)
_, trace_id, parent, _ = os.environ["TRACEPARENT"].split("-")
q = given["input"]["q"]
span = {"traceId": trace_id, "spanId": os.urandom(8).hex(), "parentSpanId": parent,
        "name": "execute_tool look_up", "startTimeUnixNano": str(time.time_ns()),
        "endTimeUnixNano": str(time.time_ns()),
        "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "execute_tool"}},
            {"key": "gen_ai.tool.name", "value": {"stringValue": "look_up"}},
            {"key": "gen_ai.tool.call.arguments", "value": {"stringValue": json.dumps({"q": q})}}]}
body = {"resourceSpans": [{"scopeSpans": [{"scope": {"name": "by hand"}, "spans": [span]}]}]}
urllib.request.urlopen(urllib.request.Request(
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces", json.dumps(body).encode(),
    {"content-type": "application/json"})).close()
print(json.dumps({"answer": q * 2}))
"""


def test_a_program_in_any_language_is_traced(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    loaded = load_project(tmp_path, pipeline={"command": [sys.executable, "program.py"]})
    began = time.monotonic()
    finished = run(loaded, label="x", store=tmp_path / "s")
    assert time.monotonic() - began < 20
    for trial in Store(tmp_path / "s").trials(finished.id):
        assert trial.status == "completed", trial.error
        assert all(score.passed is not False for score in trial.scores)


def test_recorded_trajectories_are_scored_without_running_anything(tmp_path: Path) -> None:
    def recording(case: dict[str, Any]) -> dict[str, Any]:
        q = case["input"]["q"]
        step = {"kind": "tool", "name": "look_up", "arguments": {"q": q}}
        return {"case": case["id"], "trajectory": {"steps": [step], "output": {"answer": q * 2}}}

    lines = "".join(json.dumps(recording(case)) + "\n" for case in CASES)
    (tmp_path / "recorded.jsonl").write_text(lines)
    loaded = load_project(tmp_path, pipeline={"traces": "recorded.jsonl"}, trials=1)
    finished = run(loaded, label="x", store=tmp_path / "s")
    trials = list(Store(tmp_path / "s").trials(finished.id))
    assert len(trials) == 6
    assert all(score.passed is not False for trial in trials for score in trial.scores)


def test_the_latency_of_a_recording_is_what_its_steps_tell(tmp_path: Path) -> None:
    def took(*times: tuple[int | None, int | None]) -> float | None:
        steps = [
            {"kind": "tool", "name": "look_up", "start_ns": start, "end_ns": end}
            for start, end in times
        ]
        lines = [{"case": case["id"], "trajectory": {"steps": steps}} for case in CASES]
        (tmp_path / "recorded.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
        store = tmp_path / f"store {len(list(tmp_path.iterdir()))}"
        loaded = load_project(tmp_path, pipeline={"traces": "recorded.jsonl"}, trials=2)
        finished = run(loaded, label="x", store=store)
        trials = list(Store(store).trials(finished.id))
        assert {trial.latency_s for trial in trials if trial.status == "no_trace"} == {None}
        (known,) = {trial.latency_s for trial in trials if trial.status == "completed"}
        return known

    second = 10**9
    assert took((5 * second, 7 * second), (None, None), (6 * second, 8 * second)) == 3.0
    assert took((None, None)) is None
    assert took((5 * second, 6 * second), (7 * second, None)) is None  # nobody knows how long
    assert took((5, 5), (5, 5)) is None
    assert took((9, 5)) is None
    assert took((5, 10**400)) is None


SERVER = """
import json, os, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

def export(endpoint, trace_id, parent, q):
    time.sleep(0.2)  # like an exporter that sends in batches, after the answer
    span = {"traceId": trace_id, "spanId": os.urandom(8).hex(), "parentSpanId": parent,
            "name": "execute_tool look_up", "startTimeUnixNano": str(time.time_ns()),
            "endTimeUnixNano": str(time.time_ns()),
            "attributes": [
                {"key": "gen_ai.operation.name", "value": {"stringValue": "execute_tool"}},
                {"key": "gen_ai.tool.name", "value": {"stringValue": "look_up"}},
                {"key": "gen_ai.tool.call.arguments",
                 "value": {"stringValue": json.dumps({"q": q})}}]}
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    urllib.request.urlopen(urllib.request.Request(
        endpoint + "/v1/traces", json.dumps(body).encode(),
        {"content-type": "application/json"})).close()

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        given = json.loads(self.rfile.read(int(self.headers["content-length"])))
        _, trace_id, parent, _ = self.headers["traceparent"].split("-")
        q = given["input"]["q"]
        threading.Thread(target=export, args=(
            self.headers["x-evalkit-otlp-endpoint"], trace_id, parent, q)).start()
        body = json.dumps({"answer": q * 2}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def test_an_endpoint_is_traced_also_when_its_spans_come_late(tmp_path: Path) -> None:
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/answer"
        finished = run(
            load_project(tmp_path, pipeline={"http": url}), label="x", store=tmp_path / "s"
        )
        for trial in Store(tmp_path / "s").trials(finished.id):
            assert trial.status == "completed", trial.error
            late = trial.trajectory.steps[0]
            assert trial.latency_s is not None and late.start_ns is not None
            assert late.start_ns / 1e9 > trial.started + trial.latency_s  # answered before
            assert all(score.passed is not False for score in trial.scores)
    finally:
        server.kill()
        server.communicate()


def test_spans_that_belong_to_no_trial_are_told(tmp_path: Path) -> None:
    source = GOOD + textwrap.dedent(
        """
        from opentelemetry import context, trace
        good = answer
        def answer(request):
            token = context.attach(context.Context())
            with trace.get_tracer("lost").start_as_current_span("lost"):
                pass
            context.detach(token)
            return good(request)
        """
    )
    finished = run(load_project(tmp_path, source, trials=1), label="x", store=tmp_path / "s")
    assert finished.stray_spans == len(CASES)
