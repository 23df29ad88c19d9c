"""Throws a million damaged, random and hostile inputs at every parser of recorded traces.

    python benchmarks/tracing/fuzz.py [--inputs 1000000] [--seed 1] [--atheris]

Real documents are mutated (bytes flipped, cut, repeated, spliced; values replaced by numbers,
NaN, deep nesting, wrong types) and read all the way to trajectories. An input may be read or
refused with a reason; an exception, an input that takes over a second, or growth of memory is a
failure. With --atheris (if it is installed) libFuzzer guides the mutations.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from evalkit.errors import InputError
from evalkit.tracing.assembly import Reading, assemble
from evalkit.tracing.compression import inflate
from evalkit.tracing.formats import FORMATS
from evalkit.tracing.mending import mended
from evalkit.tracing.parts import Part
from evalkit.tracing.reasons import Reasons

MAX_SECONDS = 1.0
MAX_GROWTH_MB = 300
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
    sdk = {
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


HOSTILE = [
    b"NaN", b"-Infinity", b"1e999", b"9" * 60, b"-1", b"null", b"true", b"[]", b"{}", b'""',
    b'"\\ud800"', b'"\\u0000"', b'"\xff\xfe"', b"[" * 3000, b'{"a":' * 3000, b'"' + b"x" * 5000,
    b"18446744073709551616", b'"' + b"9" * 500 + b'"', b"\x00", b'"2" * 16', b"[[[[]]]]",
    b'{"kvlistValue":{"values":[{"key":"k","value":{}}]}}', b'"STATUS_CODE_NONSENSE"',
]  # fmt: skip


def mutated(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """The document, damaged in one to four ways."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(7):
            case 0 if found:
                found[at % len(found)] = chance.randrange(256)
            case 1:
                del found[at : at + chance.randint(1, 40)]
            case 2:
                found[at:at] = chance.choice(HOSTILE)
            case 3:
                found[at:at] = found[at : at + chance.randint(1, 60)]
            case 4:
                other = chance.choice(others)
                start = chance.randrange(len(other))
                found[at : at + chance.randint(0, 30)] = other[start : start + 60]
            case 5:
                _replace_value(found, chance)
            case _:
                del found[at:]
    return bytes(found)


ODD: list[Any] = [
    None, True, -1, 2**64, 10**40, 0.5, 1e308, "", "x" * 3000, "\ud800", "9" * 500, [], {}, [[]],
    [None], {"a": {"b": [1]}}, "2" * 16, "STATUS_CODE_ERROR", "{", '{"a":' * 500, [1, "2", None],
]  # fmt: skip


def reshaped(data: bytes, chance: random.Random) -> bytes:
    """A JSON document in which one to three values are replaced, dropped or moved elsewhere."""
    found = json.loads(data)
    for _ in range(chance.randint(1, 3)):
        holders = [found]
        for one in holders:  # grows while it is read
            inner = one.values() if isinstance(one, dict) else one
            holders += [value for value in inner if isinstance(value, dict | list) and value]
        holder = chance.choice(holders)
        key = (
            chance.choice(list(holder))
            if isinstance(holder, dict)
            else chance.randrange(len(holder))
        )
        match chance.randrange(4):
            case 0:
                del holder[key]
            case 1:
                holder[key] = json.loads(json.dumps(chance.choice(holders)))
            case _:
                holder[key] = copy.deepcopy(chance.choice(ODD))
        if not found:
            break
    return json.dumps(found).encode()


def _replace_value(found: bytearray, chance: random.Random) -> None:
    """A JSON value after some colon becomes another one: the document often stays valid."""
    colon = found.find(b": ", chance.randrange(len(found) + 1))
    if colon >= 0:
        end = min((at for at in (found.find(c, colon) for c in (b",", b"}", b"]")) if at >= 0),
                  default=len(found))  # fmt: skip
        found[colon + 2 : end] = chance.choice(HOSTILE)


def read(name: str, data: bytes, outcomes: Counter[str]) -> None:
    """One input, all the way: document, parts, spans, trajectories."""
    refused = Reasons()
    try:
        parts = FORMATS[name].read(data, refused)
    except InputError:
        outcomes["refused"] += 1
        try:
            parts = FORMATS[name].read(mended(data, refused), refused)
        except (InputError, ValueError, RecursionError):
            return
        outcomes["mended"] += 1
    by_trace: dict[str, list[Part]] = {}
    for part in parts:
        by_trace.setdefault(part.trace_id, []).append(part)
    reading = Reading(refused, Counter())
    for trace_id, some in by_trace.items():
        recorded = assemble(trace_id, some, reading)
        outcomes["trajectory" if recorded else "nothing left"] += 1
    outcomes["in part refused"] += bool(refused)


def inflated(data: bytes) -> None:
    """Bytes as a compressed body."""
    try:
        inflate(data, 100_000)
    except InputError:
        return


def fuzz(inputs: int, seed: int) -> int:
    """Runs and prints a table; the number of failures."""
    chance = random.Random(seed)
    good = seeds()
    everything = [one for some in good.values() for one in some]
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in good}
    failures = 0
    slowest = 0.0
    for name, some in good.items():  # warm: imports and caches are no growth
        for one in some:
            read(name, one, Counter())
    before = memory_mb()
    started = time.monotonic()
    for number in range(inputs):
        name = chance.choice(list(good))
        seed_document = chance.choice(good[name])
        if name != "otlp-protobuf" and chance.random() < 0.6:
            data = reshaped(seed_document, chance)
        else:
            data = mutated(seed_document, everything, chance)
        clock = time.perf_counter()
        try:
            read(name, data, outcomes[name])
            if number % 20 == 0:
                inflated(b"\x1f\x8b\x08" + data)
        except Exception as error:  # what is looked for
            failures += 1
            if failures <= 5:
                print(f"FAILED {name}: {type(error).__name__}: {error}\n  {data[:2000]!r}")
        took = time.perf_counter() - clock
        slowest = max(slowest, took)
        if took > MAX_SECONDS:
            failures += 1
            print(f"SLOW {name}: {took:.1f} s\n  {data[:2000]!r}")
        outcomes[name]["inputs"] += 1
        if number % 100_000 == 99_999:
            done = time.monotonic() - started
            print(f"{number + 1:,} inputs, {done:.0f} s, {memory_mb():.0f} MB", flush=True)
    growth = memory_mb() - before
    columns = ("inputs", "refused", "mended", "in part refused", "trajectory", "nothing left")
    print(f"{'format':14}" + "".join(f"{column:>17}" for column in columns))
    for name, found in outcomes.items():
        print(f"{name:14}" + "".join(f"{found[column]:17,}" for column in columns))
    print(f"{inputs:,} inputs, {failures} failures, slowest {slowest:.2f} s, grew {growth:.0f} MB")
    return failures + (growth > MAX_GROWTH_MB)


def memory_mb() -> float:
    """The most that this process has had resident so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def guided(inputs: int) -> None:
    """The same, guided by coverage."""
    import atheris

    names = list(FORMATS)

    def one(data: bytes) -> None:
        if data:
            read(names[data[0] % len(names)], data[1:], Counter())

    run: Callable[[], None] = atheris.Fuzz
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-runs={inputs}", "-max_len=8192"], one)
    run()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--atheris", action="store_true")
    chosen = options.parse_args()
    if chosen.atheris:
        guided(chosen.inputs)
    else:
        sys.exit(bool(fuzz(chosen.inputs, chosen.seed)))
