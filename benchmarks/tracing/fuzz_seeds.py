"""Small good documents of every format, from which fuzzing begins."""

from __future__ import annotations

import gzip
import json
from typing import Any

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def seeds() -> dict[str, list[bytes]]:
    """Small good documents of every format."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.output.messages": '[{"role": "assistant", "parts": []}]',
        "openinference.span.kind": "LLM",
        "llm.input_messages.0.message.role": "user",
        "ratio": 0.5,
        "yes": True,
    }
    listed = [{"key": key, "value": _value(one)} for key, one in attributes.items()]
    listed.append({"key": "l", "value": {"arrayValue": {"values": [{"intValue": "1"}, {}]}}})
    span = {
        "traceId": TRACE,
        "spanId": SPAN,
        "parentSpanId": "",
        "name": "chat",
        "startTimeUnixNano": "1760000000000000000",
        "endTimeUnixNano": 1760000000000000005,
        "attributes": listed,
        "events": [{"name": "exception", "timeUnixNano": "1", "attributes": listed[:2]}],
        "status": {"code": "STATUS_CODE_ERROR", "message": "no"},
    }
    record = {"traceId": TRACE, "spanId": SPAN, "eventName": "gen_ai.choice", "body": _value("x")}
    otlp = {
        "resourceSpans": [
            {
                "resource": {"attributes": listed[:2]},
                "scopeSpans": [
                    {
                        "scope": {"name": "lib", "version": "1"},
                        "spans": [span, {**span, "spanId": "2" * 16}],
                    }
                ],
            }
        ]
    }
    tempo = {"batches": [{"instrumentationLibrarySpans": [{"spans": [span]}]}]}
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    tags = [{"key": key, "type": "string", "value": one} for key, one in attributes.items()]
    jaeger = {
        "data": [
            {
                "traceID": TRACE,
                "processes": {"p1": {"serviceName": "s", "tags": tags}},
                "spans": [
                    {
                        "traceID": TRACE,
                        "spanID": SPAN,
                        "operationName": "o",
                        "startTime": 1,
                        "duration": 2,
                        "tags": tags,
                        "logs": [{"timestamp": 1, "fields": tags}],
                        "references": [{"refType": "CHILD_OF", "spanID": "1" * 16}],
                        "processID": "p1",
                    }
                ],
            }
        ]
    }
    sdk: dict[str, Any] = {
        "spans": [
            {
                "name": "n",
                "context": {"trace_id": int(TRACE, 16), "span_id": 7},
                "parent": None,
                "start_time": 1,
                "end_time": "2025-01-01T00:00:00Z",
                "status": {"status_code": "ok"},
                "attributes": attributes,
                "events": [],
                "resource": {"attributes": {}},
            }
        ]
    }
    langfuse = {
        "trace": {"id": TRACE},
        "observations": [
            {
                "id": SPAN,
                "type": "GENERATION",
                "traceId": TRACE,
                "name": "n",
                "startTime": "2025-01-01T00:00:00Z",
                "input": "{}",
                "usageDetails": {"input": 1},
                "metadata": json.dumps({"attributes": attributes}),
            }
        ],
    }
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    chat = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "ok"}]},
    ]
    return {
        "otlp-json": [json.dumps(one).encode() for one in (otlp, tempo, logs)],
        "otlp-protobuf": protobuf_seeds(span),
        "jaeger": [json.dumps(jaeger).encode()],
        "langfuse": [json.dumps(langfuse).encode()],
        "sdk-json": [json.dumps(sdk).encode()],
        "chat": [json.dumps(chat).encode(), json.dumps({"messages": chat, "id": TRACE}).encode()],
    }  # fmt: skip


def _value(one: Any) -> dict[str, Any]:
    kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    return {kinds[type(one)]: one}


def protobuf_seeds(span: dict[str, Any]) -> list[bytes]:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    traces, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    one = traces.resource_spans.add().scope_spans.add().spans.add(name="chat")
    one.trace_id, one.span_id = bytes.fromhex(TRACE), bytes.fromhex(SPAN)
    for pair in span["attributes"][:3]:
        one.attributes.add(key=pair["key"]).value.string_value = "x"
    one.attributes.add(key="l").value.array_value.values.add().int_value = 3
    record = logs.resource_logs.add().scope_logs.add().log_records.add(event_name="e")
    record.trace_id, record.span_id = bytes.fromhex(TRACE), bytes.fromhex(SPAN)
    return [traces.SerializeToString(), logs.SerializeToString()]


def tau_seeds() -> list[bytes]:
    """A result file of tau-bench, and one of tau2-bench."""
    called = {"name": "cancel", "arguments": {"id": "A1"}}
    asked = {"id": "c", "type": "function", "function": {"name": "cancel", "arguments": "{}"}}
    chat = [
        {"role": "user", "content": "Cancel A1"},
        {"role": "assistant", "content": None, "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": "c", "name": "cancel", "content": "Error: no"},
    ]
    old = {"task_id": 0, "reward": 1.0, "trial": 0, "traj": chat, "info": {
        "task": {"user_id": "u", "actions": [{"name": "cancel", "kwargs": {"id": "A1"}}],
                 "instruction": "Cancel", "outputs": ["done"]},
        "reward_info": {"reward": 1.0, "info": {}}}}  # fmt: skip
    task = {"id": "t", "user_scenario": {"instructions": {"domain": "airline"}},
            "evaluation_criteria": {"actions": [{"action_id": "t_0", **called}],
                                    "communicate_info": ["done"],
                                    "reward_basis": ["DB"]}}  # fmt: skip
    turn = {"role": "assistant", "content": None, "cost": 0.25,
            "timestamp": "2025-10-31T07:35:00", "usage": {"prompt_tokens": 1},
            "tool_calls": [{"id": "c", **called, "requestor": "assistant"}]}  # fmt: skip
    simulation = {"id": TRACE, "task_id": "t", "trial": 0, "start_time": "2025-10-31T07:34:59",
                  "duration": 4.5, "termination_reason": "user_stop",
                  "reward_info": {"reward": 1.0, "action_checks": []},
                  "messages": [turn]}  # fmt: skip
    new = {"info": {"num_trials": 1}, "tasks": [task], "simulations": [simulation]}
    return [json.dumps(one).encode() for one in ([old], new)]


def file_seeds(documents: dict[str, list[bytes]]) -> list[bytes]:
    """Files: documents alone, on lines, in frames, gzipped."""
    alone = [one for some in documents.values() for one in some]
    lines = b"\n".join(documents["otlp-json"])
    messages = documents["otlp-protobuf"]
    four = b"".join(len(one).to_bytes(4, "big") + one for one in messages)
    one_byte = b"".join(bytes([len(one)]) + one for one in messages if len(one) < 128)
    return [*alone, lines, four, one_byte, gzip.compress(lines), gzip.compress(four)]
