from __future__ import annotations

import base64
import contextlib
import gzip
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.errors import InputError
from evalkit.tracing.compression import inflate
from evalkit.tracing.formats import otlp_protobuf
from evalkit.tracing.mending import mended
from evalkit.tracing.otlp import read_otlp_json, read_parts
from evalkit.tracing.otlp_protobuf import read_otlp_protobuf
from evalkit.tracing.parts import on_disk, unpack_logs, unpack_spans, with_logs
from evalkit.tracing.reasons import NO_TRACE, Reasons

TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"


def document(**fields: Any) -> dict[str, Any]:
    span = {"traceId": TRACE, "spanId": SPAN, "name": "work", **fields}
    scoped = {"scope": {"name": "lib", "version": "1.2"}, "spans": [span]}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scoped]}]}


def test_json_span_with_everything() -> None:
    attributes = [
        {"key": "text", "value": {"stringValue": "hello"}},
        {"key": "yes", "value": {"boolValue": False}},
        {"key": "number", "value": {"intValue": "9007199254740993"}},
        {"key": "real", "value": {"doubleValue": 1.5}},
        {"key": "list", "value": {"arrayValue": {"values": [{"intValue": 1}, {}]}}},
        {
            "key": "map",
            "value": {"kvlistValue": {"values": [{"key": "a", "value": {"stringValue": "b"}}]}},
        },
        {"key": "raw", "value": {"bytesValue": base64.b64encode(b"\x00\x01").decode()}},
        {"key": "nothing", "value": {}},
    ]
    event = {"name": "exception", "timeUnixNano": "7", "attributes": attributes[:1]}
    [span] = read_otlp_json(
        json.dumps(
            document(
                parentSpanId=PARENT,
                startTimeUnixNano="5",
                endTimeUnixNano=9,
                attributes=attributes,
                events=[event],
                status={"code": "STATUS_CODE_ERROR", "message": "broke"},
                kind="SPAN_KIND_CLIENT",
                unknownField={"deep": [1]},
            )
        )
    )
    assert (span.trace_id, span.span_id, span.parent_id) == (TRACE, SPAN, PARENT)
    assert (span.name, span.start_ns, span.end_ns) == ("work", 5, 9)
    assert span.attributes == {
        "text": "hello",
        "yes": False,
        "number": 9007199254740993,
        "real": 1.5,
        "list": [1, None],
        "map": {"a": "b"},
        "raw": b"\x00\x01",
        "nothing": None,
    }
    assert span.events[0].name == "exception"
    assert span.events[0].attributes == {"text": "hello"}
    assert (span.error, span.status_message) == (True, "broke")
    assert (span.scope, span.scope_version) == ("lib", "1.2")
    assert span.resource == {"service.name": "shop"}


def test_base64_ids_and_numeric_enums() -> None:
    encoded = document(
        traceId=base64.b64encode(bytes.fromhex(TRACE)).decode(),
        spanId=base64.b64encode(bytes.fromhex(SPAN)).decode(),
        parentSpanId="",
        status={"code": 2},
    )
    [span] = read_otlp_json(json.dumps(encoded).encode())
    assert (span.trace_id, span.span_id, span.parent_id) == (TRACE, SPAN, None)
    assert span.error


def test_decimal_ids() -> None:
    decimal = document(traceId=int(TRACE, 16), spanId=str(int(SPAN, 16)), parentSpanId=0)
    [span] = read_otlp_json(json.dumps(decimal))
    assert (span.trace_id, span.span_id, span.parent_id) == (TRACE, SPAN, None)


def test_tempo_names_the_same_things_otherwise() -> None:
    scoped = document()["resourceSpans"][0]["scopeSpans"][0]
    old = {"instrumentationLibrary": scoped["scope"], "spans": scoped["spans"]}
    [span] = read_otlp_json(json.dumps({"batches": [{"instrumentationLibrarySpans": [old]}]}))
    assert (span.span_id, span.scope, span.scope_version) == (SPAN, "lib", "1.2")


def test_a_bad_span_costs_only_itself() -> None:
    found = document()
    spans = found["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans += [
        {"traceId": TRACE, "spanId": "1" * 16, "name": 7},
        {"traceId": TRACE, "spanId": "xyz", "name": "odd"},
        {"traceId": TRACE, "spanId": "sk-proj-Ab12Cd34Ef56", "name": "odd"},
        {"traceId": "", "spanId": "2" * 16},
        None,
    ]
    refused = Reasons()
    [part] = read_parts(json.dumps(found).encode(), refused)
    assert (part.trace_id, part.spans, part.root) == (TRACE, 1, True)
    assert [span.span_id for span in unpack_spans(part.data)] == [SPAN]
    assert refused.refused().total() == 5
    assert any("'xyz' is no id of 8 bytes" in reason for reason in refused)
    assert refused["a text of 20 characters is no id of 8 bytes"] == 1  # it may be a secret


def test_parts_are_one_per_trace_and_tell_which_has_a_root() -> None:
    found = document(parentSpanId=PARENT)
    other = {"traceId": "f" * 32, "spanId": SPAN, "name": "root"}
    found["resourceSpans"][0]["scopeSpans"][0]["spans"].append(other)
    parts = list(read_parts(json.dumps(found).encode(), Reasons()))
    assert [(part.trace_id, part.root) for part in parts] == [(TRACE, False), ("f" * 32, True)]
    [span] = unpack_spans(parts[1].data)
    assert span.resource == {"service.name": "shop"}


def test_log_records_become_events_of_their_spans() -> None:
    body = {"kvlistValue": {"values": [{"key": "content", "value": {"stringValue": "hi"}}]}}
    record = {
        "traceId": TRACE,
        "spanId": SPAN,
        "observedTimeUnixNano": "9",
        "eventName": "gen_ai.choice",
        "body": body,
        "attributes": [{"key": "index", "value": {"intValue": 0}}],
    }
    records = [record, {**record, "spanId": PARENT}, {"body": {"stringValue": "of no trace"}}]
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    refused = Reasons()
    [part] = read_parts(json.dumps(logs).encode(), refused)
    spans, unjoined = with_logs(read_otlp_json(json.dumps(document())), unpack_logs(part.data))
    [event] = spans[0].events
    assert (event.name, event.time_ns) == ("gen_ai.choice", 9)
    assert event.attributes == {"content": "hi", "index": 0}
    assert (unjoined, refused) == (1, {NO_TRACE: 1})


@pytest.mark.parametrize(
    "text", ['{"name": NaN}', '{"name": "\\ud800"}', '{"name": "\xff"}', '{"name": 1e999}']
)
def test_what_strict_json_has_no_room_for_is_mended(text: str) -> None:
    found = Reasons()
    assert set(json.loads(mended(text.encode("latin-1"), found))) == {"name"}
    assert found.mended().total() == found.total() == 1


def test_upper_case_ids_are_the_same_ids() -> None:
    [span] = read_otlp_json(json.dumps(document(traceId=TRACE.upper(), spanId=SPAN.upper())))
    assert (span.trace_id, span.span_id) == (TRACE, SPAN)


def test_a_collectors_file_has_one_document_per_line() -> None:
    line = json.dumps(document())
    assert len(read_otlp_json(f"{line}\n\n{line}\n")) == 2
    with pytest.raises(InputError, match="line 2 is no OTLP JSON"):
        read_otlp_json(f'{line}\n{{"resourceSpans": 3}}\n')


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no OTLP JSON"),
        (b"[1]", "no OTLP JSON"),
        (b"\xff\xfe", "no OTLP JSON"),
        (b"[" * 100_000, "no OTLP JSON"),
        (json.dumps(document(traceId="abc")).encode(), "without a trace id of 16 bytes"),
        (json.dumps(document(spanId="0" * 16)).encode(), "is no id of 8 bytes"),
        (json.dumps(document(name=7)).encode(), "span is malformed: Expected `str"),
    ],
)
def test_malformed_json_is_refused_with_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_otlp_json(data)


def test_deep_values_are_bounded() -> None:
    value: dict[str, Any] = {"stringValue": "bottom"}
    for _ in range(150):
        value = {"arrayValue": {"values": [value]}}
    [span] = read_otlp_json(json.dumps(document(attributes=[{"key": "deep", "value": value}])))
    assert "bottom" not in str(span.attributes)


def test_protobuf_gives_what_json_gives() -> None:
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    fields = document(
        parentSpanId=PARENT,
        startTimeUnixNano="5",
        endTimeUnixNano="9",
        attributes=[
            {"key": "list", "value": {"arrayValue": {"values": [{"doubleValue": 0.5}]}}},
            {"key": "map", "value": {"kvlistValue": {"values": [{"key": "k", "value": {}}]}}},
        ],
        status={"code": 2, "message": "broke"},
    )
    as_base64 = json.loads(json.dumps(fields))
    span = as_base64["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    for key in ("traceId", "spanId", "parentSpanId"):
        span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
    message = ParseDict(as_base64, ExportTraceServiceRequest())
    from_json = read_otlp_json(json.dumps(fields))
    assert read_otlp_protobuf(message.SerializeToString()) == from_json
    [part] = otlp_protobuf.read(message.SerializeToString(), Reasons())
    assert (part.trace_id, part.spans, part.root) == (TRACE, 1, False)
    assert unpack_spans(part.data) == from_json
    assert unpack_spans(on_disk(part)[1]) == from_json


def test_malformed_protobuf_is_refused() -> None:
    with pytest.raises(InputError, match="no OTLP protobuf"):
        read_otlp_protobuf(b"\x0a\xff\xff\xff\xff\x0f")


def test_inflate_is_bounded() -> None:
    assert inflate(gzip.compress(b"a" * 1000), 1000) == b"a" * 1000
    assert inflate(gzip.compress(b"a") + gzip.compress(b"b"), 10) == b"ab"
    with pytest.raises(InputError, match="more than 999 bytes"):
        inflate(gzip.compress(b"a" * 1000), 999)
    with pytest.raises(InputError, match="cut off"):
        inflate(gzip.compress(b"abc" * 100)[:-9], 1000)
    with pytest.raises(InputError, match="not gzip"):
        inflate(b"plain text", 1000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["key", "value", "stringValue", "intValue", "values", "arrayValue"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "traceId",
                "spanId",
                "parentSpanId",
                "name",
                "attributes",
                "events",
                "status",
                "startTimeUnixNano",
                "endTimeUnixNano",
            ]
        ),
        JSON,
        max_size=5,
    )
)
def test_any_span_is_read_or_refused(fields: dict[str, Any]) -> None:
    try:
        [span] = read_otlp_json(json.dumps(document(**fields)))
    except InputError:
        return
    assert len(span.span_id) == 16


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (read_otlp_json, read_otlp_protobuf):
        with contextlib.suppress(InputError):
            assert isinstance(read(data), list)
