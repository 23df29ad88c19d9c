from __future__ import annotations

import json

from evalkit.spans import Span, SpanEvent
from evalkit.tracing.assembly import scrubbed
from evalkit.tracing.otlp import read_parts
from evalkit.tracing.parts import on_disk, parts_of_spans, unpack_spans
from evalkit.tracing.reasons import Reasons
from evalkit.tracing.secrecy import redacted

TRACE = "0af7651916cd43dd8448eb211c80319c"
KEY = "sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12"


def span(attributes: dict[str, object], events: tuple[SpanEvent, ...] = ()) -> Span:
    return Span(
        trace_id=TRACE,
        span_id="b7ad6b7169203331",
        name="chat",
        start_ns=1,
        end_ns=2,
        attributes=attributes,
        events=events,
    )


def test_keys_and_well_known_forms_are_replaced_everywhere() -> None:
    event = SpanEvent("request", 1, {"headers": f"Authorization: Bearer {KEY}"})
    spans = [
        span({"api_key": "plain-old-key-1", "llm.invocation_parameters": f'{{"k": "{KEY}"}}'}),
        span({"gen_ai.usage.input_tokens": 12, "output.value": "fine"}, (event,)),
    ]
    clean, counts = redacted(spans)
    text = str(clean)
    assert KEY not in text
    assert "plain-old-key-1" not in text
    assert clean[1].attributes == {"gen_ai.usage.input_tokens": 12, "output.value": "fine"}
    assert (clean[0].name, clean[0].start_ns, clean[1].events[0].time_ns) == ("chat", 1, 1)
    assert sum(counts.values()) >= 3


def test_spans_without_secrets_are_left_alone() -> None:
    spans = [span({"gen_ai.usage.output_tokens": 5, "max_tokens": 100, "big": 10**30})]
    assert redacted(spans) == (spans, {})


def test_a_part_is_scrubbed_before_it_is_written() -> None:
    attribute = {"key": "http.request.header.authorization", "value": {"stringValue": KEY}}
    found = {"traceId": TRACE, "spanId": "b7ad6b7169203331", "attributes": [attribute]}
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [found]}]}]}
    [part] = read_parts(json.dumps(document).encode(), Reasons())
    clean, counts = scrubbed(part)
    assert KEY.encode() not in b"".join(on_disk(clean))
    assert (clean.trace_id, clean.spans, clean.root) == (TRACE, 1, True)
    assert counts
    [read] = unpack_spans(clean.data)
    assert "REDACTED" in str(read.attributes)
    [plain] = parts_of_spans([span({"output.value": "nothing to hide"})])
    assert scrubbed(plain) == (plain, {})
