"""OTLP over gRPC, by the official exporters and by raw calls; needs the extra ``grpc``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit.collect import collect
from evalkit.errors import InputError
from evalkit.store import Store
from evalkit.tracing.otlp_http import MAX_BODY, Answer, Certificate, Endpoint, Export
from tests.test_collect import certificate, export, post, running

grpc = pytest.importorskip("grpc", reason="the extra `grpc` is not installed")

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
GRPC = Endpoint(grpc_port=0)


def address(url: str | None) -> str:
    assert url is not None
    return url.partition("//")[2]


def send(target: str, body: bytes, method: str = TRACES, **options: Any) -> bytes:
    with grpc.insecure_channel(target) as channel:
        answer: bytes = channel.unary_unary(method)(body, timeout=20, **options)
        return answer


def request(*spans: tuple[bytes, int]) -> bytes:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    found = ExportTraceServiceRequest()
    scoped = found.resource_spans.add().scope_spans.add()
    for trace_id, number in spans:
        span = scoped.spans.add(trace_id=trace_id, span_id=bytes([number] * 8), name="refund")
        span.attributes.add(key="gen_ai.operation.name").value.string_value = "execute_tool"
    return found.SerializeToString()


GOOD = request((b"\1" * 16, 1))


@pytest.fixture
def answering() -> Iterator[Callable[[Answer], tuple[str, list[Export]]]]:
    """Starts a server that gives one answer to everything; its address, and what it was sent."""
    from evalkit.tracing.otlp_grpc import GrpcServer

    servers: list[GrpcServer] = []

    def start(answer: Answer) -> tuple[str, list[Export]]:
        heard: list[Export] = []

        def sink(given: Export) -> Answer:
            heard.append(given)
            return answer

        servers.append(GrpcServer(GRPC, sink))
        return address(servers[-1].url), heard

    yield start
    for server in servers:
        server.stop()


def test_the_official_exporters_spans_logs_and_metrics_are_taken(tmp_path: Path) -> None:
    exporters = pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc.trace_exporter")
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    with running(tmp_path, GRPC._replace(token="open sesame")) as collector:
        where = {
            "endpoint": collector.listening.grpc_url,
            "headers": (("authorization", "Bearer open sesame"),),
            "insecure": True,
        }
        exporter = exporters.OTLPSpanExporter(compression=grpc.Compression.Gzip, **where)
        provider, logs = TracerProvider(), LoggerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(**where)))
        tracer = provider.get_tracer("app", "1.2")
        with tracer.start_as_current_span("invoke_agent helper") as root:
            root.set_attribute("gen_ai.operation.name", "invoke_agent")
            with tracer.start_as_current_span("execute_tool refund") as span:
                span.set_attribute("gen_ai.operation.name", "execute_tool")
                _emit(logs, "no such order")
        provider.shutdown()
        logs.shutdown()
        target = address(collector.listening.grpc_url)
        bearer = [("authorization", "Bearer open sesame")]
        assert send(target, b"whatever", METRICS, metadata=bearer) == b""
        report = collector.stop()
    assert (report.traces, report.spans, report.quarantined, report.unjoined_logs) == (1, 2, 0, 0)
    assert report.scopes == {"app": "1.2"}
    [trial] = Store(tmp_path).trials(report.run)
    assert trial.trajectory is not None
    [agent] = trial.trajectory.steps
    assert [(step.name, step.error) for step in agent.steps] == [("refund", "no such order")]


def _emit(provider: Any, message: str) -> None:
    from opentelemetry._logs import LogRecord

    attributes = {"exception.message": message}
    provider.get_logger("app").emit(LogRecord(event_name="exception", attributes=attributes))


def test_rejected_spans_are_told_by_partial_success(tmp_path: Path) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    with running(tmp_path, GRPC) as collector:
        target = address(collector.listening.grpc_url)
        answer = send(target, request((b"\1" * 16, 1), (b"\2", 2)))
        told = ExportTraceServiceResponse.FromString(answer).partial_success
        assert (told.rejected_spans, "without a trace id" in told.error_message) == (1, True)
        assert post(collector.listening.url, export())[0] == 200  # HTTP is there beside it
        assert collector.stop().spans == 1


def test_without_the_token_nothing_is_read(tmp_path: Path) -> None:
    with running(tmp_path, GRPC._replace(token="open sesame")) as collector:
        target = address(collector.listening.grpc_url)
        for given in ([], [("authorization", "Bearer wrong")], [("authorization", "open sesame")]):
            with pytest.raises(grpc.RpcError) as caught:
                send(target, GOOD, metadata=given)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert "Authorization: Bearer" in caught.value.details()
        assert collector.listening.state.refusals == 3
        send(target, GOOD, metadata=[("authorization", "bearer open sesame")])
        assert collector.stop().spans == 1


@pytest.mark.parametrize(
    ("answer", "code", "seconds"),
    [
        (Answer(400, "no OTLP protobuf"), "INVALID_ARGUMENT", None),
        (Answer(429, "too many spans wait", retry_after=7), "RESOURCE_EXHAUSTED", 7),
        (Answer(503, "stopping", retry_after=5), "UNAVAILABLE", 5),
        (Answer(500, "odd"), "INTERNAL", None),
    ],
)
def test_refusals_say_whether_and_when_to_come_again(
    answering: Any, answer: Answer, code: str, seconds: int | None
) -> None:
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    target, _ = answering(answer)
    with pytest.raises(grpc.RpcError) as caught:
        send(target, GOOD)
    assert (caught.value.code().name, caught.value.details()) == (code, answer.message)
    trailing = dict(caught.value.trailing_metadata() or ())
    assert ("grpc-status-details-bin" in trailing) == (seconds is not None)
    if seconds is not None:
        [detail] = Status.FromString(trailing["grpc-status-details-bin"]).details
        retry = RetryInfo()
        assert detail.Unpack(retry)
        assert retry.retry_delay.ToSeconds() == seconds


def test_garbage_and_unknown_methods_are_refused(tmp_path: Path) -> None:
    with running(tmp_path, GRPC) as collector:
        target = address(collector.listening.grpc_url)
        for method in (TRACES, LOGS):
            with pytest.raises(grpc.RpcError) as caught:
                send(target, b"\x0a\xff\xff\xff\x0f", method)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as caught:
            send(target, GOOD, "/opentelemetry.proto.collector.trace.v1.TraceService/Import")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        send(target, GOOD)
        assert collector.stop().spans == 1


@pytest.mark.parametrize("compressed", [False, True])
def test_large_messages_are_refused_compressed_or_not(answering: Any, compressed: bool) -> None:
    target, heard = answering(Answer())
    how = {"compression": grpc.Compression.Gzip} if compressed else {}
    with pytest.raises(grpc.RpcError) as caught:
        send(target, b"\0" * (MAX_BODY + 1), **how)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert heard == []
    send(target, b"\0" * (MAX_BODY // 2), **how)
    assert [len(one.body) for one in heard] == [MAX_BODY // 2]


def test_a_taken_port_leaves_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path / "a", GRPC) as collector:
        port = int(address(collector.listening.grpc_url).rpartition(":")[2])
        with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1:{port}"):
            collect(
                Endpoint(grpc_port=port),
                label="x",
                store=tmp_path / "b",
                stop=threading.Event(),
                on_ready=lambda _: None,
            )
        assert list((tmp_path / "b" / "runs").iterdir()) == []
        post(collector.listening.url, export())
        send(address(collector.listening.grpc_url), GOOD)


def test_tls_with_given_files(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    endpoint = GRPC._replace(certificate=Certificate(chain, key))
    with running(tmp_path / "store", endpoint) as collector:
        port = address(collector.listening.grpc_url).rpartition(":")[2]
        trusted = grpc.ssl_channel_credentials(chain.read_bytes())
        with grpc.secure_channel(f"localhost:{port}", trusted) as channel:
            channel.unary_unary(TRACES)(GOOD, timeout=20)
        with pytest.raises(grpc.RpcError):
            send(f"127.0.0.1:{port}", GOOD)
        assert collector.stop().spans == 1
