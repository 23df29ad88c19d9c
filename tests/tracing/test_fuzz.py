"""Any document is read or refused with a reason: nothing raises, nothing runs away.

benchmarks/tracing/fuzz.py does the same a million times, with damaged real documents.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.errors import InputError
from evalkit.tracing.assembly import Reading, assemble
from evalkit.tracing.formats import FORMATS
from evalkit.tracing.mending import mended
from evalkit.tracing.parts import Part
from evalkit.tracing.reasons import Reasons

KEYS = [
    "resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "parentSpanId", "name", "events",
    "attributes", "key", "value", "stringValue", "intValue", "arrayValue", "values", "status",
    "resourceLogs", "scopeLogs", "logRecords", "body", "data", "traceID", "spanID", "tags", "logs",
    "references", "processes", "startTime", "duration", "observations", "trace", "id", "metadata",
    "type", "input", "usageDetails", "context", "trace_id", "span_id", "parent", "start_time",
    "messages", "role", "content", "tool_calls", "function", "arguments", "tool_call_id",
]  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "assistant", "{}"])
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
    ),
    max_leaves=20,
)
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def read(form: str, data: bytes) -> None:
    refused = Reasons()
    try:
        parts = FORMATS[form].read(data, refused)
    except InputError as error:
        assert str(error)
        try:
            parts = FORMATS[form].read(mended(data, refused), refused)
        except (InputError, ValueError, RecursionError):
            return
    by_trace: dict[str, list[Part]] = {}
    for part in parts:
        by_trace.setdefault(part.trace_id, []).append(part)
    for trace_id, some in by_trace.items():
        recorded = assemble(trace_id, some, Reading(refused, Counter()))
        assert recorded is None or recorded.trace_id == trace_id


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(found=DOCUMENTS)
def test_any_json(form: str, found: Any) -> None:
    read(form, json.dumps(found).encode())


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=100))
def test_any_bytes(form: str, data: bytes) -> None:
    read(form, data)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(["attributes", "events", "name", "status", "parentSpanId"]), DOCUMENTS
    )
)
def test_any_span_with_good_ids(fields: dict[str, Any]) -> None:
    span = {"traceId": TRACE, "spanId": SPAN, **fields}
    read("otlp-json", json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["tags", "logs", "references", "startTime"]), DOCUMENTS))
def test_any_jaeger_span_with_good_ids(fields: dict[str, Any]) -> None:
    span = {"traceID": TRACE, "spanID": SPAN, "operationName": "o", **fields}
    read("jaeger", json.dumps({"data": [{"spans": [span], "processes": {}}]}).encode())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.dictionaries(st.sampled_from(KEYS[-7:]), DOCUMENTS), max_size=4))
def test_any_chat(messages: list[dict[str, Any]]) -> None:
    listed = [{"role": "assistant", **message} for message in messages]
    read("chat", json.dumps({"messages": listed}).encode())
