"""How fast recorded traces are read and stored, beside the bare parse of the same bytes.

    python benchmarks/tracing/speed.py [--spans 200000] [--seconds 30] [--rate 45000]

Spans have 12 attributes; ten make a trace (an agent, model calls, tools). Every stage runs in a
process of its own and is measured in CPU seconds, which are those of one core. The receiver is
fed over keep-alive connections, as the official exporters do, with requests of 500 spans, at a rate
above the 40,000 a second that it is to take; then it is stopped and what it stored is counted.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PER_TRACE = 10
PER_REQUEST = 500
START = 1_760_000_000_000_000_000


def attributes(kind: str, number: int) -> dict[str, Any]:
    """Twelve attributes of an agent, a model call or a tool, in the GenAI conventions."""
    if kind == "agent":
        found: dict[str, Any] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "shop",
            "gen_ai.conversation.id": f"c{number}",
        }
    elif kind == "chat":
        said = {"role": "assistant", "parts": [{"type": "text", "content": "it is on its way"}]}
        found = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.provider.name": "openai",
            "gen_ai.usage.input_tokens": 100 + number % 50,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.response.id": f"r{number}",
            "gen_ai.output.messages": json.dumps([said]),
            "gen_ai.request.temperature": 0.5,
        }
    else:
        found = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "look_up",
            "gen_ai.tool.call.id": f"call{number}",
            "gen_ai.tool.call.arguments": json.dumps({"order": f"W{number}"}),
            "gen_ai.tool.call.result": json.dumps({"status": "sent", "total": 12.5}),
        }
    for extra in range(12 - len(found)):
        found[f"app.detail.{extra}"] = f"value {extra} of {number}"
    return found


def spans(count: int) -> Iterator[dict[str, Any]]:
    """OTLP JSON spans, trace by trace."""
    chance = random.Random(1)
    for number in range(count):
        place = number % PER_TRACE
        if place == 0:
            trace, root = f"{chance.getrandbits(128):032x}", f"{chance.getrandbits(64):016x}"
        kind = "agent" if place == 0 else "chat" if place % 2 else "tool"
        start = START + number * 10**6
        yield {
            "traceId": trace,
            "spanId": root if place == 0 else f"{chance.getrandbits(64):016x}",
            **({"parentSpanId": root} if place else {}),
            "name": kind,
            "kind": 1,
            "startTimeUnixNano": str(start),
            "endTimeUnixNano": str(start + (10**6 if place else 10**7)),
            "attributes": [
                {"key": key, "value": _value(one)} for key, one in attributes(kind, number).items()
            ],
            "status": {},
        }


def _value(one: Any) -> dict[str, Any]:
    if isinstance(one, int):
        return {"intValue": str(one)}
    return {"doubleValue": one} if isinstance(one, float) else {"stringValue": one}


def requests(count: int) -> Iterator[bytes]:
    """OTLP JSON requests of PER_REQUEST spans."""
    resource_of = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    batch: list[dict[str, Any]] = []
    for number, span in enumerate(spans(count), 1):
        batch.append(span)
        if number % PER_REQUEST == 0 or number == count:
            scoped = [{"scope": {"name": "app", "version": "1"}, "spans": batch}]
            document = {"resourceSpans": [{"resource": resource_of, "scopeSpans": scoped}]}
            yield json.dumps(document, separators=(",", ":")).encode()
            batch = []


def as_protobuf(document: bytes) -> bytes:
    """The same request as protobuf."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "shop"
    scoped = resource_spans.scope_spans.add()
    scoped.scope.name, scoped.scope.version = "app", "1"
    for found in json.loads(document)["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        span = scoped.spans.add(
            trace_id=bytes.fromhex(found["traceId"]),
            span_id=bytes.fromhex(found["spanId"]),
            parent_span_id=bytes.fromhex(found.get("parentSpanId", "")),
            name=found["name"],
            start_time_unix_nano=int(found["startTimeUnixNano"]),
            end_time_unix_nano=int(found["endTimeUnixNano"]),
        )
        for pair in found["attributes"]:
            value, [(kind, one)] = span.attributes.add(key=pair["key"]).value, pair["value"].items()
            if kind == "stringValue":
                value.string_value = one
            elif kind == "intValue":
                value.int_value = int(one)
            else:
                value.double_value = one
    return bytes(request.SerializeToString())


def write_files(folder: Path, count: int) -> None:
    """traces.jsonl, and traces.pb framed as the Collector's file exporter does."""
    with (folder / "traces.jsonl").open("wb") as lines, (folder / "traces.pb").open("wb") as frames:
        for document in requests(count):
            lines.write(document + b"\n")
            message = as_protobuf(document)
            frames.write(len(message).to_bytes(4, "big") + message)


# What runs in a process of its own: prints CPU seconds, of all its threads, and MB at most.


def _documents(folder: Path) -> list[bytes]:
    return (folder / "traces.jsonl").read_bytes().splitlines()


def _messages(folder: Path) -> list[bytes]:
    data, found, at = (folder / "traces.pb").read_bytes(), [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def _decoder() -> Callable[[bytes], Any]:
    """msgspec into the spans' own typed structs, with nothing around them."""
    import msgspec

    from evalkit.tracing import otlp

    scoped: Any = msgspec.defstruct("Scoped", [("spans", list[otlp._Span])], gc=False)
    found: Any = msgspec.defstruct(
        "Found", [("scope_spans", list[scoped])], rename="camel", gc=False
    )
    fields = [("resource_spans", list[found])]
    return msgspec.json.Decoder(
        msgspec.defstruct("Document", fields, rename="camel", gc=False)
    ).decode


def json_decode(folder: Path) -> Callable[[], object]:
    """msgspec into typed structs, nothing else."""
    decode, documents = _decoder(), _documents(folder)

    def run() -> None:
        for document in documents:
            decode(document)

    return run


def json_flatten(folder: Path) -> Callable[[], object]:
    """The same, and each span's attributes as a dict."""
    from evalkit.tracing.otlp_values import attributes_of
    from evalkit.tracing.reasons import Reasons

    decode, documents, mended = _decoder(), _documents(folder), Reasons()

    def run() -> None:
        for document in documents:
            for found in decode(document).resource_spans:
                for scoped in found.scope_spans:
                    for span in scoped.spans:
                        attributes_of(span.attributes, mended)

    return run


def proto_parse(folder: Path) -> Callable[[], object]:
    """protobuf's own parse, nothing else."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    messages = _messages(folder)
    return lambda: [ExportTraceServiceRequest.FromString(one) for one in messages] and None


def proto_flatten(folder: Path) -> Callable[[], object]:
    """Parse, and each span with its attributes as a dict."""
    from evalkit.tracing.otlp_protobuf import read_otlp_protobuf

    messages = _messages(folder)

    def run() -> None:
        for one in messages:
            read_otlp_protobuf(one)

    return run


def _ingest(folder: Path, name: str) -> Callable[[], object]:
    # Imports are not what is measured.
    import duckdb  # noqa: F401  loaded before the clock starts
    import numpy  # noqa: F401  loaded before the clock starts
    import pyarrow.parquet  # noqa: F401  loaded before the clock starts

    from evalkit.traces import ingest_traces
    from evalkit.tracing import normalizer  # noqa: F401  loaded before the clock starts

    def run() -> None:
        report = ingest_traces([folder / name], label="speed", store=folder / "store")
        assert not report.quarantined

    return run


def json_ingest(folder: Path) -> Callable[[], object]:
    """evalkit ingest: file to stored trajectories."""
    return _ingest(folder, "traces.jsonl")


def proto_ingest(folder: Path) -> Callable[[], object]:
    """evalkit ingest: file to stored trajectories."""
    return _ingest(folder, "traces.pb")


STAGES = (json_decode, json_flatten, json_ingest, proto_parse, proto_flatten, proto_ingest)


def alone(name: str, folder: Path) -> None:
    """One stage, in this process."""
    run = globals()[name](folder)
    started = time.process_time()
    run()
    took = time.process_time() - started
    print(json.dumps([took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def receive(folder: Path, seconds: float, rate: float) -> dict[str, float]:
    """Feeds a collector at a rate (spans a second); what it acknowledged and what it stored."""
    bodies = _documents(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit", "collect", "--port", "0", "--store", folder / "live"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    host = re.search(rb"http://(\S+)", process.stderr.readline())
    assert host is not None
    sent = [0, 0]
    peak = [0.0]
    deadline = time.monotonic() + seconds
    started = time.monotonic()

    def send(worker: int) -> None:
        connection = http.client.HTTPConnection(host[1].decode(), timeout=30)
        number = worker
        while (now := time.monotonic()) < deadline:
            due = started + number * PER_REQUEST / rate
            if due > now:
                time.sleep(due - now)
            lap, place = divmod(number, len(bodies))
            # Ids begin with the lap's number, so that every lap has traces of its own.
            body = NEW_ID.sub(b'"traceId":"%04x' % lap, bodies[place])
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                sent[0] += PER_REQUEST
            else:
                sent[1] += 1
            number += WORKERS
            peak[0] = max(peak[0], resident_mb(process.pid))

    threads = [threading.Thread(target=send, args=(worker,)) for worker in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - started
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    stored = json.loads(out)
    return {
        "spans a second": sent[0] / took,
        "refused requests": sent[1],
        "acknowledged": sent[0],
        "stored": stored["spans"] + stored["quarantined"],
        "MB receiving": peak[0],
        "s to finish": time.monotonic() - started - took,
    }


WORKERS = 4
NEW_ID = re.compile(rb'"traceId":"[0-9a-f]{4}')


def resident_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--spans", type=int, default=200_000)
    options.add_argument("--seconds", type=float, default=30.0)
    options.add_argument("--rate", type=float, default=45_000)
    options.add_argument("--stage")
    options.add_argument("--folder", type=Path)
    chosen = options.parse_args()
    if chosen.stage:
        alone(chosen.stage, chosen.folder)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_files(folder, chosen.spans)
        print(f"{chosen.spans:,} spans with 12 attributes, {os.cpu_count()} cores")
        print(f"{'stage':16}{'spans/s':>10}{'CPU s':>8}{'MB':>7}  what")
        for stage in STAGES:
            measured = subprocess.run(
                [sys.executable, __file__, "--stage", stage.__name__, "--folder", folder],
                check=True,
                capture_output=True,
            )
            took, memory = json.loads(measured.stdout)
            what = (stage.__doc__ or "").strip()
            rate = chosen.spans / took
            print(f"{stage.__name__:16}{rate:10,.0f}{took:8.2f}{memory:7,.0f}  {what}", flush=True)
        found = receive(folder, chosen.seconds, chosen.rate)
        print("receiver: " + ", ".join(f"{one:,.0f} {name}" for name, one in found.items()))


if __name__ == "__main__":
    main()
