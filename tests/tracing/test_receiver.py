from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from google.rpc.status_pb2 import Status

from evalkit.tracing import otlp_http
from evalkit.tracing.receiver import MAX_BODY, LoopbackReceiver

TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER = "1af7651916cd43dd8448eb211c80319c"
JSON_TYPE = {"Content-Type": "application/json"}
PROTO_TYPE = {"Content-Type": "application/x-protobuf"}


def export(*spans: tuple[str, int]) -> bytes:
    listed = [{"traceId": trace, "spanId": f"{n:016x}", "name": f"s{n}"} for trace, n in spans]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": listed}]}]}).encode()


@pytest.fixture
def receiver() -> Iterator[LoopbackReceiver]:
    with LoopbackReceiver() as opened:
        yield opened


def post(
    receiver: LoopbackReceiver,
    body: object,
    headers: dict[str, str] = JSON_TYPE,
    path: str = "/v1/traces",
    chunked: bool = False,
) -> tuple[int, bytes, str | None]:
    connection = http.client.HTTPConnection(receiver.endpoint.removeprefix("http://"), timeout=10)
    try:
        connection.request("POST", path, body, headers, encode_chunked=chunked)  # type: ignore[arg-type]  # chunks too
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.getheader("Content-Type")
    finally:
        connection.close()


def test_json_spans_of_expected_traces_are_kept(receiver: LoopbackReceiver) -> None:
    receiver.expect(TRACE)
    assert post(receiver, export((TRACE, 1), (OTHER, 2))) == (200, b"{}", "application/json")
    assert receiver.wait(TRACE, 0)
    assert [span.name for span in receiver.take(TRACE)] == ["s1"]
    assert receiver.take(TRACE) == []
    assert receiver.stray_spans == 1
    assert not receiver.wait(TRACE, 0.01)


def test_spans_may_be_taken_as_they_arrive_until_the_trace_is_forgotten() -> None:
    with LoopbackReceiver(max_spans=2) as receiver:
        receiver.expect(TRACE)
        for number in (1, 2):
            post(receiver, export((TRACE, number)))
            assert [span.name for span in receiver.take(TRACE)] == [f"s{number}"]
        post(receiver, export((TRACE, 3)))
        assert (receiver.take(TRACE), receiver.dropped_spans) == ([], 1)
        receiver.forget(TRACE)
        post(receiver, export((TRACE, 4)))
        assert (receiver.take(TRACE), receiver.stray_spans) == ([], 1)


def test_protobuf_from_the_real_exporter(receiver: LoopbackReceiver) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
    )

    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = bytes.fromhex(TRACE), b"\1" * 8, "work"
    receiver.expect(TRACE)
    body = gzip.compress(request.SerializeToString())
    status, answer, kind = post(receiver, body, {**PROTO_TYPE, "Content-Encoding": "gzip"})
    assert (status, kind) == (200, "application/x-protobuf")
    assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 0
    assert [found.name for found in receiver.take(TRACE)] == ["work"]


def test_chunked_bodies(receiver: LoopbackReceiver) -> None:
    receiver.expect(TRACE)
    body = export((TRACE, 1))
    headers = {**JSON_TYPE, "Transfer-Encoding": "chunked"}
    assert post(receiver, iter([body[:20], body[20:]]), headers, chunked=True)[0] == 200
    assert len(receiver.take(TRACE)) == 1


def test_metrics_are_taken_and_ignored(receiver: LoopbackReceiver) -> None:
    answer = post(receiver, b"anything", PROTO_TYPE, "/v1/metrics")
    assert answer == (200, b"", "application/x-protobuf")


def test_log_records_of_expected_traces_are_kept(receiver: LoopbackReceiver) -> None:
    records = [
        {"traceId": trace, "spanId": f"{1:016x}", "eventName": "gen_ai.choice"}
        for trace in (TRACE, OTHER)
    ]
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()
    receiver.expect(TRACE)
    assert post(receiver, body, JSON_TYPE, "/v1/logs")[0] == 200
    assert [log.event.name for log in receiver.logs(TRACE)] == ["gen_ai.choice"]
    assert post(receiver, b"\xff", PROTO_TYPE, "/v1/logs")[0] == 400


@pytest.mark.parametrize(
    ("body", "headers", "path", "status", "reason"),
    [
        (b"{", JSON_TYPE, "/v1/traces", 400, "no OTLP JSON"),
        (b"\x0a\xff\xff\xff\x0f", PROTO_TYPE, "/v1/traces", 400, "no OTLP protobuf"),
        (b"plain", {**JSON_TYPE, "Content-Encoding": "gzip"}, "/v1/traces", 400, "not gzip"),
        (b"x", {**JSON_TYPE, "Content-Encoding": "br"}, "/v1/traces", 415, "use gzip"),
        (b"x", {**JSON_TYPE, "Content-Length": "-4"}, "/v1/traces", 400, "Content-Length"),
        (b"x", {**JSON_TYPE, "Content-Length": str(MAX_BODY + 1)}, "/v1/traces", 413, "larger"),
        (b"{}", JSON_TYPE, "/v2/what", 404, "spans go to /v1/traces"),
    ],
)
def test_what_is_no_otlp_is_refused_with_a_reason(
    receiver: LoopbackReceiver,
    body: bytes,
    headers: dict[str, str],
    path: str,
    status: int,
    reason: str,
) -> None:
    found, answer, _ = post(receiver, body, headers, path)
    assert found == status
    told = Status.FromString(answer) if headers is PROTO_TYPE else json.loads(answer)
    assert reason in (told.message if isinstance(told, Status) else told["message"])
    assert receiver.rejected_requests == 1
    assert post(receiver, b"{}")[0] == 200


def test_a_small_body_that_inflates_without_end_is_refused(receiver: LoopbackReceiver) -> None:
    bomb = gzip.compress(b" " * (MAX_BODY + 1), 1)
    assert post(receiver, bomb, {**JSON_TYPE, "Content-Encoding": "gzip"})[0] == 413


def test_garbage_and_hang_ups_do_no_harm(receiver: LoopbackReceiver) -> None:
    port = int(receiver.endpoint.rpartition(":")[2])
    for sent in (
        b"",
        b"\x00\xff\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nContent-Length: 9\r\n\r\nab",
    ):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(sent)
    assert post(receiver, b"{}")[0] == 200


@pytest.mark.parametrize("late", ["HEAD_SECONDS", "BODY_SECONDS"])
def test_a_sender_that_trickles_is_hung_up_on(monkeypatch: pytest.MonkeyPatch, late: str) -> None:
    monkeypatch.setattr(otlp_http, late, 0.3)
    monkeypatch.setattr(otlp_http, "_SPARE_SECONDS", 0.0)
    head = b"POST /v1/traces HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
    sent = head + (b"X-A: " if late == "HEAD_SECONDS" else b"\r\n2;")
    with LoopbackReceiver() as receiver:
        port = int(receiver.endpoint.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(sent)
            connection.settimeout(0.05)
            for _ in range(60):  # a byte now and then keeps any timeout of a read from running out
                with suppress(TimeoutError, ConnectionError):
                    connection.sendall(b"a")
                    if not connection.recv(1000):
                        break
            else:
                pytest.fail("it is still listened to")
        assert post(receiver, b"{}")[0] == 200


def test_many_connections_at_once() -> None:
    with LoopbackReceiver(max_spans=150) as receiver:
        receiver.expect(TRACE)
        with ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(lambda n: post(receiver, export((TRACE, n)))[0], range(1, 201)))
        assert answers == [200] * 200
        assert len(receiver.take(TRACE)) == 150
        assert receiver.dropped_spans == 50


def test_closing_ends_open_connections_and_frees_the_port() -> None:
    receiver = LoopbackReceiver()
    receiver.start()
    port = int(receiver.endpoint.rpartition(":")[2])
    idle = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    idle.request("POST", "/v1/traces", b"{}", JSON_TYPE)
    idle.getresponse().read()
    receiver.close()
    receiver.close()
    idle.close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    with pytest.raises(RuntimeError, match="not started"):
        _ = receiver.endpoint
