"""Each way to reach a pipeline: real threads, real processes, real sockets."""

import asyncio
import contextvars
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import FileError, InputError, PluginError, TargetError
from evalkit.protocols import Answer, Target, TrialContext
from evalkit.suite import Pipeline
from evalkit.targets.call import CallTarget
from evalkit.targets.command import CommandTarget
from evalkit.targets.http import HttpTarget
from evalkit.targets.traces import TracesTarget

CONTEXT = TrialContext(
    case="a",
    trial=0,
    trace_id="0" * 31 + "1",
    traceparent=f"00-{'0' * 31}1-{'0' * 15}1-01",
    settings={"variant": "good"},
    timeout=5.0,
    otlp_endpoint="http://127.0.0.1:1",
)


def ask(target: Target, value: Any = None, timeout: float = 20) -> Any:
    async def once() -> Answer:
        async with asyncio.timeout(timeout):
            return await target(value, CONTEXT)

    return asyncio.run(once()).output


# --- call -----------------------------------------------------------------------------------

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


def sync_pipeline(value: Any) -> Any:
    return [value, threading.current_thread() is threading.main_thread(), VARIABLE.get()]


async def async_pipeline(value: Any, settings: dict[str, Any]) -> Any:
    await asyncio.sleep(0)
    return [value, settings]


class Pipelines:
    def __call__(self, value: Any) -> Any:
        return value

    def partial(self, value: Any, extra: int = 3) -> Any:
        return [value, extra]


pipelines = Pipelines()


def two_arguments(one: Any, two: Any) -> None: ...


def raises_value_error(value: Any) -> None:
    raise ValueError("no\nsuch vendor")


def raises_exit(value: Any) -> None:
    raise SystemExit(4)


def raises_connection_error_below(value: Any) -> None:
    try:
        raise ConnectionRefusedError("port 1")
    except ConnectionRefusedError as error:
        raise RuntimeError("the model failed") from error


def stop_iteration(value: Any) -> None:
    next(iter(()))


def call(name: str) -> CallTarget:
    return CallTarget(Pipeline(call=f"{__name__}:{name}"), ".")


def test_a_plain_function_runs_in_a_thread_with_the_callers_context() -> None:
    VARIABLE.set("mine")
    assert ask(call("sync_pipeline"), 1) == [1, False, "mine"]


def test_an_async_function_gets_its_settings() -> None:
    assert ask(call("async_pipeline"), {"q": 1}) == [{"q": 1}, {"variant": "good"}]


def test_callable_objects_and_methods_are_pipelines() -> None:
    assert ask(call("pipelines"), 1) == 1
    assert ask(call("pipelines.partial"), 1) == [1, 3]


@pytest.mark.parametrize(
    ("name", "status", "says"),
    [
        ("raises_value_error", "crashed", r"ValueError: no such vendor \(test_targets.py:\d+ in"),
        ("raises_exit", "crashed", "SystemExit"),
        ("raises_connection_error_below", "unreachable", "the model failed"),
        ("stop_iteration", "crashed", "StopIteration"),
    ],
)
def test_what_a_pipeline_raises_is_an_infrastructure_failure(
    name: str, status: str, says: str
) -> None:
    with pytest.raises(TargetError, match=says) as raised:
        ask(call(name))
    assert raised.value.status == status


@pytest.mark.parametrize("name", ["nothing_here", "two_arguments", "CONTEXT.case"])
def test_what_cannot_be_called_is_refused_before_anything_runs(name: str) -> None:
    with pytest.raises(PluginError):
        call(name)


# --- command --------------------------------------------------------------------------------


def command(tmp_path: Path, source: str) -> CommandTarget:
    (tmp_path / "program.py").write_text(source)
    return CommandTarget(Pipeline(command=(sys.executable, "program.py")), str(tmp_path))


def test_a_program_reads_json_and_answers_json(tmp_path: Path) -> None:
    source = (
        "import json, os, sys\n"
        "given = json.load(sys.stdin)\n"
        "print('noise', file=sys.stderr)\n"
        "keys = ['TRACEPARENT', 'OTEL_EXPORTER_OTLP_ENDPOINT']\n"
        "print(json.dumps([given, [os.environ[key] for key in keys]]))\n"
    )
    assert ask(command(tmp_path, source), {"q": "ü" * 100_000}) == [
        {"input": {"q": "ü" * 100_000}, "settings": {"variant": "good"}},
        [CONTEXT.traceparent, CONTEXT.otlp_endpoint],
    ]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import sys; print('why', file=sys.stderr); sys.exit(3)", "exit code 3: why"),
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9"),
        ("print('{}'); print('{}')", "not one JSON value"),
        ("print('x' * 20_000_000)", "more than"),
        ("", "not one JSON value"),
    ],
)
def test_a_program_that_fails_says_how(tmp_path: Path, source: str, says: str) -> None:
    with pytest.raises(TargetError, match=says) as raised:
        ask(command(tmp_path, source))
    assert raised.value.status == "crashed"


def test_a_program_that_may_not_start_is_a_crash(tmp_path: Path) -> None:
    target = CommandTarget(Pipeline(command=("./no-such-program",)), str(tmp_path))
    with pytest.raises(TargetError, match="does not start"):
        ask(target)


def test_cancelling_ends_the_program_and_its_children(tmp_path: Path) -> None:
    source = (
        "import subprocess, sys, time\n"
        'child = \'import time; time.sleep(1); open("late", "w")\'\n'
        "subprocess.Popen([sys.executable, '-c', child])\n"
        "open('started', 'w')\n"
        "time.sleep(60)\n"
    )
    target = command(tmp_path, source)

    async def cancelled_once_started() -> None:
        trial = asyncio.ensure_future(target(None, CONTEXT))
        while not (tmp_path / "started").exists():
            await asyncio.sleep(0.01)
        trial.cancel()
        await asyncio.wait({trial})

    began = time.monotonic()
    asyncio.run(cancelled_once_started())
    assert time.monotonic() - began < 10
    time.sleep(1.5)
    assert not (tmp_path / "late").exists()


def test_a_program_that_is_cancelled_while_it_starts_is_ended_before_the_loop_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = command(tmp_path, "import time; time.sleep(60)")

    async def aborted() -> None:
        trials = [asyncio.ensure_future(target(None, CONTEXT)) for _ in range(8)]
        for _ in range(3):  # far enough for the programs to be there, and not yet to run
            await asyncio.sleep(0)
        for trial in trials:
            trial.cancel()
        await target.close()
        assert all(trial.done() for trial in trials)

    asyncio.run(aborted())
    time.sleep(0.3)  # a thread of asyncio's would tell of the programs that nobody waited for
    assert not caplog.records


# --- http -----------------------------------------------------------------------------------


class Endpoint(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["content-length"])))
        kind = self.path.strip("/")
        if kind == "hang":
            self.server.released.wait(20)  # type: ignore[attr-defined]
            return
        status = int(kind) if kind.isdigit() else 200
        body = b"<html>" if kind == "html" else json.dumps([given, dict(self.headers)]).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("location", "/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.daemon_threads = True
    server.released = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.released.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def test_an_endpoint_gets_input_settings_and_the_trace(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    pipeline = Pipeline(http=f"{endpoint}/x", headers={"authorization": "Bearer ${SECRET}"})
    given, headers = ask(HttpTarget(pipeline, "."), {"q": 1})
    assert given == {"input": {"q": 1}, "settings": {"variant": "good"}}
    assert headers["traceparent"] == CONTEXT.traceparent
    assert headers["x-evalkit-otlp-endpoint"] == CONTEXT.otlp_endpoint
    assert headers["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("503", "unreachable"),
        ("429", "unreachable"),
        ("400", "crashed"),
        ("302", "crashed"),
        ("html", "crashed"),
    ],
)
def test_other_answers_are_infrastructure_failures(endpoint: str, path: str, status: str) -> None:
    with pytest.raises(TargetError) as raised:
        ask(HttpTarget(Pipeline(http=f"{endpoint}/{path}"), "."))
    assert raised.value.status == status


def test_nobody_listening_is_unreachable() -> None:
    with pytest.raises(TargetError) as raised:
        ask(HttpTarget(Pipeline(http="http://127.0.0.1:9/"), "."))
    assert raised.value.status == "unreachable"


def test_cancelling_a_request_does_not_wait_for_it(endpoint: str) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        ask(HttpTarget(Pipeline(http=f"{endpoint}/hang"), "."), timeout=0.3)
    assert time.monotonic() - began < 3


def test_a_header_variable_that_is_not_set_is_an_input_error() -> None:
    with pytest.raises(InputError, match="NO_SUCH_VARIABLE"):
        HttpTarget(Pipeline(http="http://x/", headers={"a": "${NO_SUCH_VARIABLE}"}), ".")


# --- traces ---------------------------------------------------------------------------------


def test_recorded_trajectories_answer_their_trials(tmp_path: Path) -> None:
    line = {"case": "a", "trajectory": {"steps": [{"kind": "tool", "name": "t"}], "output": 7}}
    (tmp_path / "t.jsonl").write_text(json.dumps(line) + "\n")
    target = TracesTarget(Pipeline(traces="t.jsonl"), str(tmp_path))
    assert ask(target) == 7
    (tmp_path / "t.jsonl").write_text(json.dumps({**line, "trial": 1}) + "\n")
    with pytest.raises(TargetError, match="no trial 0"):
        ask(TracesTarget(Pipeline(traces="t.jsonl"), str(tmp_path)))


@pytest.mark.parametrize("content", ["{", '{"case": 1}', None])
def test_a_recording_that_cannot_be_read_is_an_input_error(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "t.jsonl").write_text(content)
    with pytest.raises(FileError):
        TracesTarget(Pipeline(traces="t.jsonl"), str(tmp_path))
