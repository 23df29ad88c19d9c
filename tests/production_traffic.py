"""The example pipeline in production: answers questions and sends its spans to a collector.

python -m tests.production_traffic ENDPOINT VARIANT < questions.jsonl
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

SERVICE = {"service.name": "vendor-assistant", "service.version": "2.3.1"}


class OtlpJson(SpanExporter):
    """Posts spans as OTLP JSON: the SDK alone has no exporter that talks HTTP."""

    def __init__(self, endpoint: str) -> None:
        self.url = endpoint.rstrip("/").removesuffix("/v1/traces") + "/v1/traces"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        resource = {"attributes": _attributes(SERVICE)}
        scope = {"scope": {"name": "production"}, "spans": [_span(span) for span in spans]}
        body = json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]})
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.url, body.encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return SpanExportResult.SUCCESS if answer.status == 200 else SpanExportResult.FAILURE


def _span(span: ReadableSpan) -> dict[str, Any]:
    assert span.context
    return {
        "traceId": f"{span.context.trace_id:032x}",
        "spanId": f"{span.context.span_id:016x}",
        "parentSpanId": f"{span.parent.span_id:016x}" if span.parent else "",
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _attributes(span.attributes or {}),
        "status": {"code": span.status.status_code.value, "message": span.status.description or ""},
    }


def _attributes(attributes: Any) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": str(value)}


def main() -> None:
    endpoint, variant = sys.argv[1:]
    provider = TracerProvider(resource=Resource.create(SERVICE))
    provider.add_span_processor(BatchSpanProcessor(OtlpJson(endpoint)))
    trace.set_tracer_provider(provider)
    from pipelines.vendor_assistant.app import answer

    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), {"variant": variant, "mistakes": 0.0})))
    provider.shutdown()


if __name__ == "__main__":
    main()
