from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from msgspec.structs import replace

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


ODD = "zzQQ11customsecret9"
"""Of no known form: only what stands beside it tells."""

ESCAPED = f'{{"api\\u005fkey": "{ODD}"}}'
QUOTED = f"{{\\u0022api_key\\u0022:\\u0022{ODD}\\u0022}}"


@pytest.mark.parametrize(
    "attributes",
    [
        {"process.command_args": ["app", "--api-key", ODD]},
        {"process.command_line": f"app --api-key {ODD}"},
        {"headers": [{"name": "x-api-key", "value": ODD}]},
        {"headers": json.dumps([{"key": "Authorization", "value": ODD}])},
        {"headers": [["x-api-key", ODD]]},
        {"url.full": f"https://example.org/v1?key={ODD}"},
        {"url.query": f"key={ODD}"},
        {"input.value": json.dumps({"api_key": ODD}).encode()},
        {"input.value": ESCAPED},
        {"input.value": json.dumps({"inner": ESCAPED})},
        {"input.value": QUOTED},
        {"http.request.body": f"api%255Fkey=1&secret%5fkey%3D{ODD}"},
        {"input.value": json.dumps({"body": f'password = "{ODD}"'})},
        {"input.value": "blob " + base64.b64encode(f"MASTER_KEY={ODD}".encode()).decode()},
        {"input.value": f"q=mysql+-uroot+-p{ODD}%21+orders"},
        {"process.command_args": ["mysql", "-uroot", f"-p{ODD}", "orders"]},
        {"process.command_args": ["docker", "login", "-u", "acme", "-p", ODD, "example.org"]},
        {"db.url": f"mysql -uroot -p{ODD} orders"},
        {"soap": f"<wsse:Password>{ODD}</wsse:Password>"},
    ],
)
def test_secrets_of_no_known_form_are_told_by_what_names_them(attributes: dict[str, Any]) -> None:
    plain = {"output.value": "fine"}
    within = span(plain, (SpanEvent("request", 1, attributes),))
    beside = replace(span(plain), resource=attributes)
    for found in (span(attributes), within, beside):
        [clean], counts = redacted([found])
        assert ODD not in str(clean)
        assert base64.b64encode(ODD.encode()).decode()[4:20] not in str(clean)
        assert counts
        assert (clean.name, clean.span_id, clean.end_ns) == ("chat", "b7ad6b7169203331", 2)


def test_what_a_span_is_called_names_nothing() -> None:
    found = replace(span({"key": "sk-none"}), name="get_token", status_message="ERR_40013_RETRY")
    found = replace(found, scope="my.token", scope_version="0.1.dev20241101")
    event = SpanEvent("auth_token", 1, {"value": "abcdef123456"})
    found = replace(found, events=(event,), resource={"cookie": ""})
    assert redacted([found]) == ([found], {})


def test_spans_without_secrets_are_left_alone() -> None:
    spans = [
        span({"gen_ai.usage.output_tokens": 5, "max_tokens": 100, "big": 10**30}),
        span({"used_client_oauth_token": False, "note": '{"time_to_first_token": 108}'}),
        span({"tool.args": '{"token": "the", "password": "required"}', "id": "a" * 40}),
        span({"image": base64.b64encode(bytes(range(200))).decode(), "text": "x" * 100}),
    ]
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
