"""Every format of trace files: told apart, read into the same spans, refused by name."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evalkit.errors import FileError
from evalkit.spans import Span
from evalkit.tracing import cutting, documents, formats, wire
from evalkit.tracing.normalizer import to_trajectory
from evalkit.tracing.parts import unpack_logs, unpack_spans, unpack_trajectory
from evalkit.tracing.reasons import (
    ENDS_EARLY,
    NO_NUMBER,
    NO_TIME,
    NO_TRACE,
    NO_UNICODE,
    TOO_DEEP,
    TOO_WIDE,
    Reasons,
)

DATA = Path(__file__).parents[3] / "shared" / "data"
TRACE, ROOT, CHILD = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
OTHER = "00000000000000aa"
START = 1_760_000_000_000_000_000


def read(path: Path, form: str | None = None) -> tuple[str, list[Span], Reasons]:
    """The file's format, all of its spans, and what was refused."""
    found, refused = form or formats.detect(path), Reasons()
    spans: list[Span] = []
    for part in formats.read_parts(path, found, refused):
        assert part.codec == "spans"
        spans += unpack_spans(part.data)
    return found, spans, refused


def written(folder: Path, content: Any, name: str = "traces") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def otlp(*span_ids: str, **fields: Any) -> dict[str, Any]:
    times = {"startTimeUnixNano": str(START), "endTimeUnixNano": START + 5}
    named = {"traceId": TRACE, "name": "work", **times, **fields}
    spans = [{**named, "spanId": one} for one in span_ids]
    return {"resourceSpans": [{"scopeSpans": [{"scope": {"name": "lib"}, "spans": spans}]}]}


JAEGER = {
    "data": [
        {
            "traceID": TRACE[1:],
            "processes": {"p1": {"serviceName": "shop"}},
            "spans": [
                {
                    "traceID": TRACE[1:],
                    "spanID": CHILD[2:],
                    "operationName": "execute_tool refund",
                    "references": [{"refType": "CHILD_OF", "spanID": ROOT}],
                    "startTime": START // 1000,
                    "duration": 5,
                    "tags": [
                        {"key": "gen_ai.tool.name", "type": "string", "value": "refund"},
                        {"key": "otel.scope.name", "type": "string", "value": "lib"},
                        {"key": "otel.status_code", "type": "string", "value": "ERROR"},
                    ],
                    "logs": [
                        {
                            "timestamp": START // 1000,
                            "fields": [
                                {"key": "event", "value": "exception"},
                                {"key": "exception.message", "value": "no such order"},
                            ],
                        }
                    ],
                    "processID": "p1",
                }
            ],
        }
    ]
}

SDK = {
    "spans": [
        {
            "name": "execute_tool refund",
            "context": {"trace_id": int(TRACE, 16), "span_id": int(CHILD, 16)},
            "parent": {"trace_id": int(TRACE, 16), "span_id": int(ROOT, 16)},
            "start_time": START,
            "end_time": START + 5000,
            "status": {"status_code": "error", "description": "no such order"},
            "attributes": {"gen_ai.tool.name": "refund"},
            "events": [],
            "resource": {"attributes": {"service.name": "shop"}},
        }
    ]
}

PRINTED = {
    "name": "execute_tool refund",
    "context": {"trace_id": f"0x{TRACE}", "span_id": f"0x{CHILD}", "trace_state": "[]"},
    "parent_id": f"0x{ROOT}",
    "start_time": "2025-10-09T08:53:20.000000Z",
    "end_time": "2025-10-09T08:53:20.000005Z",
    "status": {"status_code": "ERROR"},
    "attributes": {"gen_ai.tool.name": "refund"},
    "events": [],
    "resource": {"attributes": {"service.name": "shop"}},
}

LANGFUSE = {
    "trace": {"id": TRACE, "sessionId": "s1"},
    "observations": [
        {
            "id": CHILD,
            "traceId": TRACE,
            "parentObservationId": ROOT,
            "type": "TOOL",
            "name": "execute_tool refund",
            "startTime": "2025-10-09T08:53:20.000Z",
            "endTime": "2025-10-09T08:53:20.000005Z",
            "level": "ERROR",
            "input": '{"order": "W1"}',
            "metadata": json.dumps(
                {
                    "attributes": {"gen_ai.tool.name": "refund"},
                    "resourceAttributes": {"service.name": "shop"},
                    "scope": {"name": "lib"},
                }
            ),
        }
    ],
}


@pytest.mark.parametrize(
    ("content", "form"),
    [(JAEGER, "jaeger"), (SDK, "sdk-json"), (PRINTED, "sdk-json"), (LANGFUSE, "langfuse")],
)
def test_the_same_span_in_every_format(tmp_path: Path, content: Any, form: str) -> None:
    found, [span], refused = read(written(tmp_path, content))
    assert (found, refused) == (form, {})
    assert (span.span_id, span.parent_id) == (CHILD, ROOT)
    assert span.trace_id in (TRACE, "0" + TRACE[1:])
    assert (span.start_ns, span.end_ns) == (START, START + 5000)
    assert (span.name, span.error) == ("execute_tool refund", True)
    assert span.attributes["gen_ai.tool.name"] == "refund"
    assert span.resource == {"service.name": "shop"}


@pytest.mark.parametrize("when", ["2725-01-01T00:00:00Z", "1650-01-01", "soon", "9" * 30, None, -1])
def test_absurd_times_are_unknown(tmp_path: Path, when: Any) -> None:
    span = {**PRINTED, "start_time": when, "end_time": when}
    _, [found], refused = read(written(tmp_path, span))
    assert (found.start_ns, found.end_ns, refused) == (0, 0, {NO_TIME: 1})


def test_jaeger_logs_are_events(tmp_path: Path) -> None:
    _, [span], _ = read(written(tmp_path, JAEGER))
    assert span.events[0].name == "exception"
    assert span.events[0].attributes == {"exception.message": "no such order"}
    assert "otel.status_code" not in span.attributes


@pytest.mark.parametrize(
    ("references", "parent"),
    [
        ([("FOLLOWS_FROM", TRACE[1:], ROOT)], ROOT),
        ([("FOLLOWS_FROM", TRACE, OTHER), ("CHILD_OF", TRACE[1:], ROOT)], ROOT),
        ([("FOLLOWS_FROM", "f" * 32, ROOT)], None),
        ([("CHILD_OF", "f" * 32, OTHER), ("FOLLOWS_FROM", None, ROOT)], ROOT),
        ([("SAME_AS", TRACE, ROOT)], None),
    ],
)
def test_jaeger_parents_are_what_a_span_of_the_trace_is_caused_by(
    tmp_path: Path, references: list[tuple[str, str | None, str]], parent: str | None
) -> None:
    [trace] = JAEGER["data"]
    [span] = trace["spans"]
    named = [dict(zip(("refType", "traceID", "spanID"), one, strict=True)) for one in references]
    changed = {"data": [{**trace, "spans": [{**span, "references": named}]}]}
    _, [found], _ = read(written(tmp_path, changed))
    assert found.parent_id == parent


def test_langfuse_knows_more_than_the_instrumentation(tmp_path: Path) -> None:
    _, [span], _ = read(written(tmp_path, LANGFUSE))
    assert span.attributes["langfuse.observation.type"] == "TOOL"
    assert span.attributes["input.value"] == '{"order": "W1"}'
    assert span.attributes["session.id"] == "s1"


def test_langfuse_ids_of_its_own_become_ids(tmp_path: Path) -> None:
    observation = {
        **LANGFUSE["observations"][0],
        "traceId": "cm5x",
        "id": "a-b",
        "parentObservationId": None,
    }
    lines = b"\n".join(json.dumps({**observation, "id": one}).encode() for one in ("a", "b"))
    found, spans, _ = read(written(tmp_path, lines))
    assert found == "langfuse"
    assert len({span.span_id for span in spans}) == 2
    assert {len(span.trace_id) for span in spans} == {32}


def test_otlp_on_lines_gzipped_with_a_damaged_line(tmp_path: Path) -> None:
    good = json.dumps(otlp(ROOT)).encode()
    content = b"\n".join([good, b'{"resourceSpans": [', b"", json.dumps(otlp(CHILD)).encode()])
    for data in (content, gzip.compress(content)):
        found, spans, refused = read(written(tmp_path, data))
        assert found == "otlp-json"
        assert [span.span_id for span in spans] == [ROOT, CHILD]
        assert refused.total() == 1


def test_a_damaged_first_line_does_not_hide_the_others(tmp_path: Path) -> None:
    good = json.dumps(otlp(ROOT)).encode()
    _, spans, refused = read(written(tmp_path, good[:-9] + b"\n" + good + b"\n" + good))
    assert (len(spans), refused.total()) == (2, 1)


@pytest.mark.parametrize("indent", [None, 1])
def test_a_document_that_breaks_off_keeps_what_came_before(
    tmp_path: Path, indent: int | None
) -> None:
    content = json.dumps(otlp(ROOT, CHILD), indent=indent).encode()
    _, spans, refused = read(written(tmp_path, content[: content.index(CHILD.encode())]))
    assert [span.span_id for span in spans] == [ROOT]
    assert list(refused) == ["the rest of a document: it is cut off"]


def test_a_span_nested_200_000_deep_costs_only_itself(tmp_path: Path) -> None:
    deep = b'{"arrayValue": {"values": [' * 200_000 + b"]}}" * 200_000
    bad = {"key": "a", "value": "DEEP"}
    found = otlp(ROOT, CHILD)
    found["resourceSpans"][0]["scopeSpans"][0]["spans"][1]["attributes"] = [bad]
    content = json.dumps(found).encode().replace(b'"DEEP"', deep)
    _, spans, refused = read(written(tmp_path, content + b"\n" + json.dumps(otlp(CHILD)).encode()))
    assert [span.span_id for span in spans] == [ROOT, CHILD]
    assert len(refused) == refused.total() == 1


def test_salvage_is_bounded(tmp_path: Path) -> None:
    """Each piece repeats the resource: a thousand pieces of a large one are not made."""
    found = otlp(*(f"{number:016x}" for number in range(1, 1000)))
    found["resourceSpans"][0] = {"resource": {"x": "y" * 100_000}, **found["resourceSpans"][0]}
    _, spans, refused = read(written(tmp_path, json.dumps(found).encode()[:-5]))
    assert 10 < len(spans) < 100
    assert list(refused) == ["the rest of a document: too much of it is damaged"]


def test_a_million_brackets_are_passed_by_or_given_up(tmp_path: Path) -> None:
    line = json.dumps(otlp(ROOT)).encode()
    for depth in (1_000_000, 40_000_000):
        deep = b'{"resourceSpans": ' + b"[" * depth + b"]" * depth + b"}"
        _, spans, refused = read(written(tmp_path, deep + b"\n" + line))
        assert (len(spans), refused.total()) == (1, 1)


def test_pretty_printed_with_a_byte_order_mark(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + json.dumps(otlp(ROOT, CHILD), indent=2).encode()
    found, spans, _ = read(written(tmp_path, content))
    assert (found, len(spans)) == ("otlp-json", 2)


def test_not_a_number_and_bad_text_are_mended(tmp_path: Path) -> None:
    attribute = {"key": "score", "value": {"doubleValue": float("nan")}}
    text = json.dumps(otlp(ROOT, name="caf\xff", attributes=[attribute]), ensure_ascii=False)
    _, [span], refused = read(written(tmp_path, text.encode("latin-1")))
    assert (span.name, span.attributes) == ("caf\ufffd", {"score": None})
    assert refused == {NO_UNICODE: 1, NO_NUMBER: 1}


ODD = {"nan": float("nan"), "wide": 2**64 + 1, "bad": "\ud800", "deep": 70 * "[" + 70 * "]"}


def in_snake_case(value: Any) -> Any:
    """The keys as protobuf itself names them; those of attributes are values, and stay."""
    if isinstance(value, list):
        return [in_snake_case(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", key): in_snake_case(item)
            for key, item in value.items()}  # fmt: skip


@pytest.mark.parametrize("indent", [None, 2])
def test_otlp_json_by_protobufs_own_names(tmp_path: Path, indent: int | None) -> None:
    quoted = {"stringValue": '{"trace_id": 1, "resource_spans": []}'}
    document = otlp(
        CHILD,
        parentSpanId=ROOT,
        status={"code": "STATUS_CODE_ERROR"},
        attributes=[
            {"key": "span_id", "value": quoted},
            {"key": "n", "value": {"arrayValue": {"values": [{"intValue": "7"}]}}},
        ],
        events=[{"name": "e", "timeUnixNano": str(START + 1)}],
    )
    own = json.dumps(in_snake_case(document), indent=indent).encode()
    expected = read(written(tmp_path, document, "camel"))
    assert read(written(tmp_path, own)) == expected
    [span] = expected[1]
    assert span.attributes == {"span_id": quoted["stringValue"], "n": [7]}
    assert span.error
    # On lines, as a collector's file; and damaged.
    line = json.dumps(in_snake_case(document)).encode()
    assert read(written(tmp_path, line + b"\n" + line + b"\n"))[1] == [span, span]
    damaged = written(tmp_path, line.replace(b'"7"', b'"7", "x": \xff') + b"\n" + line)
    assert read(damaged)[1][-1] == span


def test_a_large_document_by_protobufs_own_names_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_WHOLE", 100)
    ids = [f"{number:016x}" for number in range(1, 8)]
    _, spans, refused = read(written(tmp_path, in_snake_case(otlp(*ids))))
    assert [span.span_id for span in spans] == ids
    assert not refused


@pytest.mark.parametrize("form", ["jaeger", "sdk-json", "langfuse"])
def test_every_format_counts_what_it_mends(tmp_path: Path, form: str) -> None:
    odd = {**ODD, "deep": json.loads(str(ODD["deep"]))}
    span: dict[str, Any] = {"jaeger": JAEGER["data"][0]["spans"][0], "sdk-json": SDK["spans"][0],
                            "langfuse": LANGFUSE["observations"][0]}[form]  # fmt: skip
    tags = [{"key": key, "value": value} for key, value in odd.items()]
    fields: dict[str, Any] = {
        "jaeger": {"tags": tags},
        "sdk-json": {"attributes": odd, "end_time": 7},
        "langfuse": {"metadata": {"attributes": odd}, "endTime": "2001-01-01"},
    }[form]
    changed = {**span, **fields}
    content: Any = {
        "jaeger": {"data": [{"spans": [changed]}]},
        "sdk-json": [changed],
        "langfuse": {"observations": [changed]},
    }[form]
    _, [found], refused = read(written(tmp_path, content))
    early = {} if form == "jaeger" else {ENDS_EARLY: 1}
    assert refused == {NO_NUMBER: 1, TOO_WIDE: 1, NO_UNICODE: 1, TOO_DEEP: 1, **early}
    assert (found.attributes["nan"], found.attributes["bad"]) == (None, "\ufffd")
    assert found.end_ns >= found.start_ns > 0


def test_gzip_that_breaks_off_keeps_what_came_before(tmp_path: Path) -> None:
    lines = [json.dumps(otlp(f"{number:016x}", CHILD)).encode() for number in range(1, 20_000)]
    inflated, cut = cut_off(b"\n".join(lines))
    _, spans, refused = read(written(tmp_path, cut))
    whole = inflated.count(b"\n")
    assert whole > 10_000
    assert len(spans) - 2 * whole in (0, 1)  # of the last line, the first span may be there
    assert any("does not inflate" in reason for reason in refused)


def test_one_document_that_stops_to_inflate_is_read_up_to_there(tmp_path: Path) -> None:
    document = json.dumps(otlp(*(f"{number:016x}" for number in range(1, 5001)))).encode()
    inflated, cut = cut_off(document)
    _, spans, refused = read(written(tmp_path, cut))
    assert len(spans) == inflated.count(b'"spanId"') - 1 > 4000
    assert any("does not inflate" in reason for reason in refused)


def test_protobuf_that_stops_to_inflate_is_read_up_to_there(tmp_path: Path) -> None:
    requests = [protobuf(f"{number:016x}") for number in range(1, 5001)]
    framed = b"".join(len(one).to_bytes(4, "big") + one for one in requests)
    inflated, cut = cut_off(framed)
    _, spans, refused = read(written(tmp_path, cut))
    assert len(spans) - len(inflated) // (len(requests[0]) + 4) in (0, 1)
    assert len(spans) > 4000
    assert any("does not inflate" in reason for reason in refused)


def cut_off(content: bytes) -> tuple[bytes, bytes]:
    """What is left of content whose gzip lost its end, and that gzip."""
    cut = gzip.compress(content)[:-500]
    return zlib.decompressobj(wbits=31).decompress(cut), cut


def test_a_bomb_is_refused_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_WHOLE", 1 << 20)
    monkeypatch.setattr(cutting, "MAX_ELEMENT", 2 << 20)
    bomb = b'{"resourceSpans": ["' + b" " * (5 << 20) + b'"]}'
    _, spans, refused = read(written(tmp_path, gzip.compress(bomb)))
    assert (spans, list(refused)) == ([], ["part of a document larger than 2 MiB"])
    line = json.dumps(otlp(ROOT)).encode()
    _, spans, refused = read(written(tmp_path, line + b"\n" + bomb + b"\n" + line))
    assert (len(spans), refused.total()) == (2, 1)


def protobuf(*span_ids: str) -> bytes:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    scoped = request.resource_spans.add().scope_spans.add()
    for one in span_ids:
        span = scoped.spans.add(trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(one))
        span.name, span.start_time_unix_nano, span.end_time_unix_nano = "work", START, START + 5
    return bytes(request.SerializeToString())


def varint(number: int) -> bytes:
    low = bytes([number & 0x7F | (0x80 if number >> 7 else 0)])
    return low + varint(number >> 7) if number >> 7 else low


FRAMES: dict[str, Callable[[bytes], bytes]] = {
    "four bytes": lambda data: len(data).to_bytes(4, "big") + data,
    "varint": lambda data: varint(len(data)) + data,
}


def test_protobuf_alone(tmp_path: Path) -> None:
    two = protobuf(CHILD, ROOT)
    for data in (two, gzip.compress(two), protobuf(CHILD) + protobuf(ROOT)):
        found, spans, refused = read(written(tmp_path, data))
        assert (found, len(spans), refused) == ("otlp-protobuf", 2, {})
    _, spans, refused = read(written(tmp_path, two[:-3]))
    assert [span.span_id for span in spans] == [CHILD]
    assert list(refused.values()) == [1]


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_protobuf_in_frames(tmp_path: Path, frame: Callable[[bytes], bytes]) -> None:
    one, two = protobuf(ROOT), protobuf(CHILD, ROOT)
    many = protobuf(*(f"{number:016x}" for number in range(1, 3000)))
    framed = b"".join(map(frame, (one, two, b"", many)))
    for data in (framed, gzip.compress(framed)):
        found, spans, refused = read(written(tmp_path, data))
        assert (found, len(spans), refused) == ("otlp-protobuf", 3 + 2999, {})
    for cut in (3, len(two) // 2 - 2):
        _, spans, refused = read(written(tmp_path, (frame(one) + frame(two))[:-cut]))
        assert [span.span_id for span in spans] == [ROOT, CHILD]
        assert list(refused.values()) == [1]
    _, spans, refused = read(written(tmp_path, frame(one) + frame(two)[: -len(two)]))
    assert ([span.span_id for span in spans], refused.total()) == ([ROOT], 1)
    bad = two.replace(b"work", b"wo\xff\xff", 1)
    _, spans, refused = read(written(tmp_path, frame(bad) + frame(one)))
    assert [span.span_id for span in spans] == [ROOT, ROOT]
    assert list(refused) == ["span is malformed: String field had bad UTF-8"]


@given(st.lists(st.binary(max_size=12), max_size=3), st.sampled_from([None, *FRAMES]))
@example([bytes(6), b"\0\n"], "varint")  # its first four bytes are the length of 400 MB, cut off
def test_how_messages_lie_in_a_file_is_never_mistaken(names: list[bytes], kind: str | None) -> None:
    """A message may begin with any byte that a frame may."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    for name in names:
        request.resource_spans.add().scope_spans.add().spans.add(trace_id=name)
    data = request.SerializeToString()
    framed = FRAMES[kind](data) * 2 if kind else data
    expected = {None: "whole", "four bytes": "four bytes", "varint": "varint"}[kind]
    assert not data or wire.framing(framed) == expected


def test_log_records_without_a_trace_are_no_spans_without_ids(tmp_path: Path) -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add(observed_time_unix_nano=START).body.string_value = "free"
    _, spans, refused = read(written(tmp_path, request.SerializeToString()))
    assert (spans, refused) == ([], {NO_TRACE: 1})


def test_protobuf_logs_are_told_from_traces(tmp_path: Path) -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.trace_id, record.span_id = bytes.fromhex(TRACE), bytes.fromhex(ROOT)
    record.event_name, record.body.string_value = "gen_ai.choice", "hi"
    path = written(tmp_path, request.SerializeToString())
    [part] = formats.read_parts(path, formats.detect(path), Reasons())
    [log] = unpack_logs(part.data)
    assert (log.span_id, log.event.name) == (ROOT, "gen_ai.choice")
    assert log.event.attributes == {"body": "hi"}


CALL = {"id": "c1", "type": "function", "function": {"name": "refund", "arguments": '{"a": 1}'}}
CHAT = [
    {"role": "user", "content": "refund W1"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "done"},
    {"role": "assistant", "content": "Refunded."},
]


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (json.dumps(CHAT).encode(), 1),
        (json.dumps({"messages": CHAT, "model": "gpt-4o"}, indent=1).encode(), 1),
        (json.dumps([CHAT, {"messages": CHAT[:1]}]).encode(), 2),
        (json.dumps({"messages": CHAT}).encode() + b"\n" + json.dumps(CHAT[:2]).encode(), 2),
    ],
)
def test_chats_are_trajectories(tmp_path: Path, content: bytes, count: int) -> None:
    path = written(tmp_path, content)
    assert formats.detect(path) == "chat"
    parts = list(formats.read_parts(path, "chat", Reasons()))
    assert len({part.trace_id for part in parts}) == count
    trajectory = unpack_trajectory(parts[0].data)
    assert [step.label for step in trajectory.steps if step.kind == "tool"] == ["tool refund"]
    assert trajectory.output == "Refunded."


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hello", "neither JSON nor OTLP protobuf"),
        (b'{"what": 1}', "not recognized"),
        (b"\x1f\x8b\x08 this is no gzip", "does not inflate"),
        (b"\x28\xb5\x2f\xfd1234", "unzstd"),
    ],
)
def test_files_of_no_known_format_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(FileError, match=reason):
        formats.detect(written(tmp_path, content))
    with pytest.raises(FileError, match="cannot be read"):
        formats.detect(tmp_path / "missing")


def test_a_format_is_not_told_by_what_texts_quote(tmp_path: Path) -> None:
    quoted = json.dumps({"traceID": 1})
    path = written(tmp_path, [{"role": "user", "content": quoted}])
    assert formats.detect(path) == "chat"


@pytest.mark.parametrize(
    ("pattern", "form"),
    [
        ("otel/any-agent/*.json", "sdk-json"),
        ("otel/langfuse_export/*.json", "langfuse"),
        ("otel/langwatch_otlp/*.json", "otlp-json"),
        ("otel/derived_otlp_from_langfuse/*.json", "otlp-json"),
        ("otel/agentevals/tempo_export_with_batches.json", "otlp-json"),
        ("otel/agentevals/k8s.json", "jaeger"),
        ("raw/*.json.gz", "tau"),
    ],
)
def test_real_files(pattern: str, form: str) -> None:
    paths = sorted(DATA.glob(pattern))
    if not paths:
        pytest.skip(f"no {pattern} on this machine")
    for path in paths:
        assert formats.detect(path) == form
        if form != "tau":
            _, spans, refused = read(path)
            assert spans
            assert not refused


def test_any_agents_own_names_are_read() -> None:
    path = DATA / "otel/any-agent/OPENAI_trace.json"
    if not path.is_file():
        pytest.skip("the recording is not on this machine")
    trajectory = to_trajectory(read(path)[1])
    steps = [visit.step for visit in trajectory.walk()]
    assert [step.kind for step in steps] == ["agent", "llm", "tool", "llm", "tool", "llm"]
    assert steps[1].output["tool_calls"][0]["name"] == "get_current_time"
    assert steps[2].arguments == {"timezone": "America/New_York"}
    assert steps[2].output is not None
    assert (steps[1].tokens_in, steps[1].tokens_out) == (269, 16)
    assert trajectory.coverage.not_understood == 0


def test_real_jaeger_export_has_all_its_spans() -> None:
    path = DATA / "otel/agentevals/k8s.json"
    if not path.is_file():
        pytest.skip("the recording is not on this machine")
    _, spans, _ = read(path)
    assert len(spans) == 73
    assert any("gen_ai.request.model" in span.attributes for span in spans)


def test_a_list_of_conversations_is_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_WHOLE", 1000)
    monkeypatch.setattr(documents, "MAX_DOCUMENT", 1000)
    listed = [{"id": f"{at:032x}", "messages": CHAT} for at in range(1, 41)]
    for content in (json.dumps(listed), json.dumps(listed, indent=1), json.dumps([CHAT] * 40)):
        refused = Reasons()
        path = written(tmp_path, content.encode())
        parts = list(formats.read_parts(path, formats.detect(path), refused))
        assert (len(parts), refused) == (40, {})
    refused = Reasons()
    path = written(tmp_path, json.dumps(CHAT * 10).encode())
    assert list(formats.read_parts(path, "chat", refused)) == []
    assert [reason[:20] for reason in refused] == ["document larger than"]


def test_a_conversation_of_too_many_messages_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats.chat, "MAX_MESSAGES", 5)
    refused = Reasons()
    path = written(tmp_path, json.dumps([CHAT, CHAT * 2, {"messages": CHAT * 3}]).encode())
    assert len(list(formats.read_parts(path, "chat", refused))) == 1
    assert refused == {"conversation of more than 5 messages": 2}


@pytest.mark.parametrize("at_once", [0, 1 << 20])
def test_a_conversation_has_one_id_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(formats.chat, "_AT_ONCE", at_once)
    found = set()
    for content in (CHAT, {"messages": CHAT}, [CHAT], [{"messages": CHAT}]):
        for indent in (None, 1):
            path = written(tmp_path, json.dumps(content, indent=indent).encode())
            [part] = formats.read_parts(path, "chat", Reasons())
            found.add((part.trace_id, part.data))
    assert len(found) == 1
