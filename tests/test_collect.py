"""The live receiver, over real sockets and in real processes."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from evalkit.collect import Extent, Listening, collect, finish
from evalkit.errors import InputError, NotFoundError, StoreError
from evalkit.store import Store
from evalkit.traces import Report
from evalkit.tracing import otlp_http
from evalkit.tracing.collecting import Collecting, Patience
from evalkit.tracing.otlp_http import Answer, Certificate, Endpoint, Export
from evalkit.tracing.spool import Spool

JSON_TYPE = {"Content-Type": "application/json"}
PROTO_TYPE = {"Content-Type": "application/x-protobuf"}
LOOPBACK = Endpoint()


def span(trace: int, number: int, **fields: Any) -> dict[str, Any]:
    kind = [{"key": "gen_ai.operation.name", "value": {"stringValue": "execute_tool"}}]
    return {
        "traceId": f"{trace:032x}",
        "spanId": f"{number:016x}",
        "parentSpanId": "" if number == 1 else f"{1:016x}",
        "name": f"execute_tool t{number}",
        "startTimeUnixNano": str(10**18 + number),
        "endTimeUnixNano": str(10**18 + number + 5),
        "attributes": kind,
        **fields,
    }


def export(*spans: dict[str, Any]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}).encode()


class Running:
    """A collector in a thread of its own."""

    def __init__(self, store: Path, endpoint: Endpoint, **options: Any) -> None:
        self.store = store
        self.listening: Listening
        self._ready, self._stop = threading.Event(), threading.Event()
        self._found: list[Report | BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(endpoint, options))
        self._thread.start()
        self._ready.wait(10)

    def _run(self, endpoint: Endpoint, options: dict[str, Any]) -> None:
        try:
            self._found.append(
                collect(
                    endpoint,
                    label="live",
                    store=self.store,
                    stop=self._stop,
                    on_ready=self._is_ready,
                    **options,
                )
            )
        except BaseException as error:  # told to the test, whatever it is
            self._found.append(error)
            self._ready.set()

    def _is_ready(self, listening: Listening) -> None:
        self.listening = listening
        self._ready.set()

    def stop(self) -> Report:
        self._stop.set()
        self._thread.join(30)
        [found] = self._found
        if isinstance(found, BaseException):
            raise found
        return found


@contextmanager
def running(store: Path, endpoint: Endpoint = LOOPBACK, **options: Any) -> Iterator[Running]:
    collector = Running(store, endpoint, **options)
    try:
        yield collector
    finally:
        collector._stop.set()
        collector._thread.join(30)


def post(
    url: str, body: bytes, headers: dict[str, str] = JSON_TYPE, path: str = "/v1/traces"
) -> tuple[int, dict[str, Any], http.client.HTTPMessage]:
    host = url.partition("//")[2]
    if url.startswith("https"):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, timeout=10, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        is_json = answer.getheader("Content-Type") == "application/json"
        return answer.status, json.loads(data or b"{}") if is_json else {}, answer.headers
    finally:
        connection.close()


def trials(store: Path, run: str) -> dict[str, list[str]]:
    """The names of steps, by trace."""
    return {
        trial.case[-2:]: [visit.step.name for visit in trial.trajectory.walk()]
        for trial in Store(store).trials(run)
        if trial.trajectory is not None
    }


def until(condition: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


def test_traces_show_when_complete_and_late_spans_join(tmp_path: Path) -> None:
    with running(tmp_path, patience=Patience(quiet=0.1, timeout=60)) as collector:
        url, run, *_ = collector.listening
        assert post(url, export(span(1, 2)))[:2] == (200, {})
        assert (
            post(
                url,
                gzip.compress(export(span(1, 1), span(2, 2))),
                {**JSON_TYPE, "Content-Encoding": "gzip"},
            )[0]
            == 200
        )
        until(lambda: "01" in trials(tmp_path, run))
        assert trials(tmp_path, run) == {"01": ["t1", "t2"]}  # the other one has no root yet
        assert Store(tmp_path).find(run).status == "running"
        post(url, export(span(1, 3)))
        until(lambda: trials(tmp_path, run)["01"] == ["t1", "t2", "t3"])
        report = collector.stop()
    assert (report.traces, report.spans, report.quarantined) == (2, 4, 0)
    assert trials(tmp_path, run) == {"01": ["t1", "t2", "t3"], "02": ["t2"]}
    assert Store(tmp_path).find("live").status == "complete"
    names = {path.name for path in (tmp_path / "runs" / run).iterdir()}
    assert names == {"lock", "manifest.json", "trials.parquet", "steps.parquet", "scores.parquet"}


def test_a_trace_without_a_root_is_complete_after_the_timeout(tmp_path: Path) -> None:
    with running(tmp_path, patience=Patience(quiet=0.1, timeout=0.3)) as collector:
        post(collector.listening.url, export(span(1, 2)))
        until(lambda: trials(tmp_path, collector.listening.run) == {"01": ["t2"]})


def test_protobuf_logs_and_metrics_from_the_official_messages(tmp_path: Path) -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
    )

    traces, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    scoped = traces.resource_spans.add().scope_spans.add()
    good = scoped.spans.add(trace_id=b"\1" * 16, span_id=b"\1" * 8, name="execute_tool refund")
    good.attributes.add(key="gen_ai.operation.name").value.string_value = "execute_tool"
    scoped.spans.add(trace_id=b"\1", span_id=b"\2" * 8, name="bad")
    record = logs.resource_logs.add().scope_logs.add().log_records.add(event_name="exception")
    record.trace_id, record.span_id = b"\1" * 16, b"\1" * 8
    record.attributes.add(key="exception.message").value.string_value = "no such order"
    with running(tmp_path) as collector:
        url = collector.listening.url
        assert post(url, logs.SerializeToString(), PROTO_TYPE, "/v1/logs")[0] == 200
        connection = http.client.HTTPConnection(url.partition("//")[2], timeout=10)
        connection.request("POST", "/v1/traces", traces.SerializeToString(), PROTO_TYPE)
        answer = ExportTraceServiceResponse.FromString(connection.getresponse().read())
        connection.close()
        assert answer.partial_success.rejected_spans == 1
        assert "without a trace id" in answer.partial_success.error_message
        assert post(url, b"whatever", PROTO_TYPE, "/v1/metrics")[0] == 200
        report = collector.stop()
    assert (report.spans, report.quarantined) == (1, 1)
    [trial] = Store(tmp_path).trials(report.run)
    assert trial.trajectory is not None
    assert trial.trajectory.steps[0].error == "no such order"


def test_json_partial_success_names_what_was_rejected(tmp_path: Path) -> None:
    with running(tmp_path) as collector:
        bad = span(1, 2, traceId="nonsense")
        status, answer, _ = post(collector.listening.url, export(span(1, 1), bad))
        assert status == 200
        assert answer["partialSuccess"]["rejectedSpans"] == "1"
        assert post(collector.listening.url, b'{"resourceSpans": 3}')[0] == 400


def test_a_bad_value_or_text_costs_a_request_nothing_or_one_span(tmp_path: Path) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    traces = ExportTraceServiceRequest()
    scoped = traces.resource_spans.add().scope_spans.add()
    for number in (1, 2):
        scoped.spans.add(trace_id=b"\1" * 16, span_id=bytes([number]) * 8, name=f"name {number}")
    score = {"key": "score", "value": {"doubleValue": float("nan")}}
    with running(tmp_path) as collector:
        url = collector.listening.url
        status, told, _ = post(url, export(span(7, 1, attributes=[score]), span(7, 2)))
        assert (status, told) == (200, {})
        damaged = traces.SerializeToString().replace(b"name 2", b"\xff\xfe 2345"[:6])
        assert post(url, damaged, PROTO_TYPE)[0] == 200
        report = collector.stop()
    assert (report.traces, report.spans, report.quarantined) == (2, 3, 1)
    assert report.reasons == {"span is malformed: String field had bad UTF-8": 1}
    assert "NaN" in str(report.mended)


def test_secrets_are_gone_before_spans_reach_the_disk(tmp_path: Path) -> None:
    secret = "sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12"
    attributes = [{"key": "api_key", "value": {"stringValue": secret}}]
    with running(tmp_path) as collector:
        post(collector.listening.url, export(span(1, 1, attributes=attributes)))
        spool = tmp_path / "runs" / collector.listening.run / "spans.spool"
        assert spool.stat().st_size > 0
        assert secret.encode() not in spool.read_bytes()
        assert collector.stop().secrets


def test_only_senders_who_know_the_token_are_heard(tmp_path: Path) -> None:
    with running(tmp_path, Endpoint(token="open sesame")) as collector:
        url = collector.listening.url
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "open sesame"}):
            status, _, headers = post(url, export(span(1, 1)), {**JSON_TYPE, **given})
            assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        for scheme in ("Bearer", "bearer", "BEARER"):  # RFC 9110: in any case
            known = {**JSON_TYPE, "Authorization": f"{scheme} open sesame"}
            assert post(url, export(span(1, 1)), known)[0] == 200


@pytest.mark.parametrize("token", ["s3cret-tökén", "", " padded", "two\nlines", "é", "x" * 5000])
def test_a_token_that_no_header_carries_is_refused_at_start(tmp_path: Path, token: str) -> None:
    with pytest.raises(InputError, match="visible ASCII characters") as refused:
        collect(
            Endpoint(token=token),
            label="x",
            store=tmp_path,
            stop=threading.Event(),
            on_ready=lambda _: pytest.fail("it listens"),
        )
    assert not token or token not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_beyond_loopback_a_token_is_needed(tmp_path: Path) -> None:
    stop = threading.Event()
    with pytest.raises(InputError, match=r"0\.0\.0\.0 can be reached from other machines: give a"):
        collect(Endpoint("0.0.0.0"), label="x", store=tmp_path, stop=stop, on_ready=lambda _: None)
    assert list(tmp_path.iterdir()) == []
    if sys.platform == "linux":  # others know only the first of 16 million
        with running(tmp_path, Endpoint("127.0.0.2")) as collector:
            assert post(collector.listening.url, export(span(1, 1)))[0] == 200


def test_an_address_that_is_taken_leaves_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path / "a") as collector:
        port = int(collector.listening.url.rpartition(":")[2])
        with pytest.raises(InputError, match="cannot listen on 127"):
            collect(
                Endpoint(port=port),
                label="x",
                store=tmp_path / "b",
                stop=threading.Event(),
                on_ready=lambda _: None,
            )
        assert list((tmp_path / "b" / "runs").iterdir()) == []
        with pytest.raises(NotFoundError, match="no span came"):
            collector.stop()


def test_connections_over_the_limit_are_told_to_come_back(tmp_path: Path) -> None:
    with running(tmp_path, Endpoint(connections=1)) as collector:
        host = collector.listening.url.partition("//")[2]
        first = http.client.HTTPConnection(host, timeout=10)
        first.request("POST", "/v1/traces", export(span(1, 1)), JSON_TYPE)
        assert first.getresponse().read() == b"{}"
        second = http.client.HTTPConnection(host, timeout=10)
        second.connect()
        answer = second.sock.recv(1000)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"Retry-After" in answer
        second.close()
        first.close()

        def is_free() -> bool:
            try:
                return post(collector.listening.url, export(span(1, 2)))[0] == 200
            except OSError:  # the 503 came, and the hang-up, before the request was out
                return False

        until(is_free)


def test_a_full_disk_budget_is_said(tmp_path: Path) -> None:
    with running(tmp_path, extent=Extent(max_bytes=10)) as collector:
        url = collector.listening.url
        assert post(url, export(span(1, 1)))[0] == 200
        status, answer, headers = post(url, export(span(1, 2)))
        assert (status, headers["Retry-After"]) == (429, "60")
        assert "disk budget" in answer["message"]
        assert collector.stop().spans == 1


@pytest.mark.parametrize(
    "extent", [Extent(seconds=0.3), Extent(max_bytes=10, seconds=1000)], ids=["time", "size"]
)
def test_a_full_run_is_finished_and_another_one_begins(tmp_path: Path, extent: Extent) -> None:
    with running(tmp_path, extent=extent) as collector:
        url = collector.listening.url
        assert post(url, export(span(1, 1)))[0] == 200
        until(lambda: collector.listening.finished is not None)
        assert collector.listening.url == url
        first = collector.listening.finished
        assert isinstance(first, Report)
        assert (first.traces, first.spans) == (1, 1)
        assert Store(tmp_path).find(first.run).status == "complete"
        while post(url, export(span(2, 1)))[0] != 200:  # between two runs
            time.sleep(0.05)
        with suppress(NotFoundError):  # the last run may have ended empty
            collector.stop()
    stored = {case for run in Store(tmp_path).runs() for case in trials(tmp_path, run.id)}
    assert stored == {"01", "02"}
    assert {run.label for run in Store(tmp_path).runs()} == {"live"}
    assert {run.status for run in Store(tmp_path).runs()} == {"complete"}


def test_a_run_that_cannot_be_written_says_how_it_is_finished(tmp_path: Path) -> None:
    with running(tmp_path) as collector:
        assert post(collector.listening.url, export(span(1, 1)))[0] == 200
        run = collector.listening.run
        table = tmp_path / "runs" / run / "trials.parquet"
        table.mkdir()
        with pytest.raises(StoreError, match=f"spans are kept.* `evalkit collect --finish {run}`"):
            collector.stop()
    table.rmdir()
    assert finish(run, store=tmp_path).traces == 1


def test_log_records_alone_are_said_and_kept(tmp_path: Path) -> None:
    record = {"traceId": f"{1:032x}", "spanId": f"{1:016x}", "eventName": "gen_ai.choice"}
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()
    with running(tmp_path, extent=Extent(seconds=0.3)) as collector:
        assert post(collector.listening.url, body, path="/v1/logs")[0] == 200
        until(lambda: isinstance(collector.listening.finished, InputError))
        assert "1 × log record whose span is not there" in str(collector.listening.finished)
        assert post(collector.listening.url, export(span(1, 1)))[0] == 200  # it goes on
    assert list(tmp_path.rglob("spans.spool"))  # what was acknowledged is not thrown away


def test_a_full_queue_answers_429(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool")
    state = Collecting(spool, Patience(), 10**9)

    def full(_: Any) -> Any:
        from evalkit.tracing.spool import SpoolFullError

        raise SpoolFullError("too many spans wait for the disk")

    monkeypatch.setattr(spool, "append", full)
    answer = state.export(Export("traces", True, export(span(1, 1))))
    assert (answer.status, answer.retry_after) == (429, 1)
    spool.close()
    answer = Collecting(Spool(tmp_path / "other"), Patience(), 10**9).export(
        Export("traces", True, b"{}")
    )
    assert answer.status == 200


def certificate(folder: Path) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on this machine")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return cert, key


def test_bodies_beyond_what_is_worked_on_at_once_wait_or_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = export(span(1, 1)) + b" " * 10_000
    monkeypatch.setattr(otlp_http, "MAX_AT_ONCE", len(body) + 1_000)
    monkeypatch.setattr(otlp_http, "MAX_BODY", len(body))
    monkeypatch.setattr(otlp_http, "_ROOM_SECONDS", 0.2)
    at_work, go_on = threading.Event(), threading.Event()
    sizes: list[int] = []

    def sink(export: Export) -> Answer:
        sizes.append(len(export.body))
        at_work.set()
        go_on.wait(30)
        return Answer()

    server = otlp_http.Server(LOOPBACK, sink)
    try:
        first = threading.Thread(target=post, args=(server.url, body))
        first.start()
        assert at_work.wait(30)
        status, _, headers = post(server.url, body)
        assert (status, headers["Retry-After"]) == (503, "1")
        go_on.set()
        first.join(30)
        assert post(server.url, body)[0] == 200
        packed = {**JSON_TYPE, "Content-Encoding": "gzip"}  # to more than 32 times its size
        assert post(server.url, gzip.compress(body), packed)[0] == 200
    finally:
        go_on.set()
        server.stop()
    assert sizes == [len(body)] * 3


def test_a_large_body_is_read_in_pieces(tmp_path: Path) -> None:
    spans = [span(number, 1, name="n" * 2_000) for number in range(1, 3_000)]
    spans.append({"traceId": "odd"})
    with running(tmp_path) as collector:
        status, told, _ = post(collector.listening.url, export(*spans))
        assert (status, told["partialSuccess"]["rejectedSpans"]) == (200, "1")
        assert collector.stop().traces == 2_999


def test_tls_with_given_files(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    endpoint = Endpoint(certificate=Certificate(cert, key))
    with running(tmp_path / "store", endpoint) as collector:
        url = collector.listening.url
        assert url.startswith("https://")
        assert post(url, export(span(1, 1)))[0] == 200
        with pytest.raises((http.client.HTTPException, OSError)):
            post(url.replace("https", "http"), export(span(1, 2)))
        assert post(url, export(span(1, 3)))[0] == 200


def start(store: Path, *options: str) -> tuple[subprocess.Popen[bytes], str]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "evalkit",
            "collect",
            "--port",
            "0",
            "--store",
            str(store),
            *options,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    line = process.stderr.readline().decode()
    assert "listening on" in line, line + process.stderr.read().decode()
    return process, line.split()[2]


def test_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    process, url = start(tmp_path, "--quiet", "0.2")
    acknowledged: list[int] = []
    failed = threading.Event()

    def send(first: int) -> None:
        for trace in range(first, first + 10_000):
            try:
                if post(url, export(span(trace, 1), span(trace, 2)))[0] == 200:
                    acknowledged.append(trace)
            except (OSError, http.client.HTTPException):
                failed.set()
                return

    senders = [threading.Thread(target=send, args=(number * 10_000 + 1,)) for number in range(3)]
    for sender in senders:
        sender.start()
    until(lambda: len(acknowledged) > 60)
    process.send_signal(signal.SIGKILL)
    for sender in senders:
        sender.join(30)
    process.communicate()
    assert failed.is_set()
    [run] = Store(tmp_path).runs()
    assert run.status == "interrupted"
    report = finish(run.id, store=tmp_path)
    stored = {planned.id for planned in Store(tmp_path).find(run.id).planned}
    assert {f"{trace:032x}" for trace in acknowledged} <= stored
    assert report.spans == 2 * report.traces
    assert Store(tmp_path).find("production").status == "complete"
    with pytest.raises(NotFoundError, match="no collected spans to finish"):
        finish(run.id, store=tmp_path)


def test_what_was_redacted_and_refused_is_told_after_a_kill_too(tmp_path: Path) -> None:
    process, url = start(tmp_path)
    secret = [{"key": "api_key", "value": {"stringValue": "sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12"}}]
    nowhere = span(1, 9, traceId="nonsense")
    for spans in ([nowhere], [span(1, 1, attributes=secret), nowhere], [nowhere]):
        assert post(url, export(*spans))[0] == 200
    process.send_signal(signal.SIGKILL)
    process.communicate()
    [run] = Store(tmp_path).runs()
    report = finish(run.id, store=tmp_path)
    assert (report.traces, report.spans, report.quarantined) == (1, 1, 3)
    assert list(report.reasons.values()) == [3]
    assert report.secrets == {"secret": 1}


def test_a_polite_stop_flushes_and_reports(tmp_path: Path) -> None:
    process, url = start(tmp_path, "--label", "polite")
    assert post(url, export(span(1, 1)))[0] == 200
    [run] = Store(tmp_path).runs()
    with pytest.raises(InputError, match="still collecting"):
        finish(run.id, store=tmp_path)
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
    assert json.loads(out)["traces"] == 1
    assert b"1 traces, 1 spans, 1 steps" in error
    assert Store(tmp_path).find("polite").status == "complete"
