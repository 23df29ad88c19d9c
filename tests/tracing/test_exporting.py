"""Scores out as OpenTelemetry events, read back by the official protobuf messages."""

from __future__ import annotations

import socket

import pytest

from evalkit.errors import IncompleteError, InputError
from evalkit.results import Run, Score, Trial, could_not_judge
from evalkit.suite import Pipeline, Suite
from evalkit.tracing.exporting import Exported, export_scores
from evalkit.tracing.otlp_http import Answer, Endpoint, Export, Server
from evalkit.trajectory import Step, Trajectory

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
RUN = Run(
    id="r1",
    label="main",
    suite=Suite(name="shop", pipeline=Pipeline(traces="t"), dataset=""),
    dataset_digest="",
    planned=(),
    trials=1,
    started=1_760_000_000.0,
    evalkit_version="0.1.0",
)
JUDGED = Trial(
    case="refund",
    trial=2,
    route="refund",
    trajectory=Trajectory(steps=(Step(kind="agent", name="shop", span_id=SPAN),), trace_id=TRACE),
    scores=(
        Score("task_completion", 0.5, False, "no \ud800refund"),
        could_not_judge("judge", "the model did not answer"),
    ),
)
UNTRACED = Trial(case="x", trial=0, route="refund", scores=(Score("s", 1.0, True, ""),))


def test_every_score_is_an_event_on_its_span() -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    received: list[Export] = []

    def sink(export: Export) -> Answer:
        received.append(export)
        return Answer()

    server = Server(Endpoint(token="t"), sink)
    try:
        headers = {"Authorization": "Bearer t"}
        sent = export_scores(RUN, [JUDGED, UNTRACED], server.url, headers)
    finally:
        server.stop()
    assert sent == Exported(sent=2, rejected=0, without_trace=1)
    [export] = received
    assert export.signal == "logs"
    request = ExportLogsServiceRequest.FromString(export.body)
    records = request.resource_logs[0].scope_logs[0].log_records
    assert {record.event_name for record in records} == {"gen_ai.evaluation.result"}
    assert {(record.trace_id.hex(), record.span_id.hex()) for record in records} == {(TRACE, SPAN)}
    told = [{pair.key: pair.value for pair in record.attributes} for record in records]
    assert told[0]["gen_ai.evaluation.name"].string_value == "task_completion"
    assert told[0]["gen_ai.evaluation.score.value"].double_value == 0.5
    assert told[0]["gen_ai.evaluation.score.label"].string_value == "fail"
    assert told[0]["gen_ai.evaluation.explanation"].string_value == "no ?refund"
    assert (told[0]["evalkit.case"].string_value, told[0]["evalkit.trial"].int_value) == (
        "refund",
        2,
    )
    assert "gen_ai.evaluation.score.value" not in told[1]
    assert told[1]["error.type"].string_value == "could_not_judge"


def test_rejections_are_counted_and_refusals_said() -> None:
    answers = [Answer(200, "no room", rejected=1), Answer(429, "later", retry_after=1)]
    server = Server(Endpoint(), lambda _: answers.pop(0))
    try:
        assert export_scores(RUN, [JUDGED], server.url) == Exported(1, 1, 0)
        with pytest.raises(IncompleteError, match=r"answered 429.*later"):
            export_scores(RUN, [JUDGED], server.url)
    finally:
        server.stop()


@pytest.mark.parametrize("endpoint", ["localhost:4318", "ftp://x", "http://", "http://x:port"])
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(InputError, match="no endpoint"):
        export_scores(RUN, [], endpoint)


def test_nobody_at_the_endpoint() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(IncompleteError, match="does not take scores"):
            export_scores(RUN, [JUDGED], f"http://127.0.0.1:{port}")
