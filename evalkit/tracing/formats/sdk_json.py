"""Spans as OpenTelemetry SDKs print them (``to_json``), and as any-agent stores a trace.

Attributes are an object; ids are decimal numbers or hex with ``0x``; times are nanoseconds or
ISO 8601.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from evalkit.errors import InputError
from evalkit.spans import Span, SpanEvent
from evalkit.tracing import ids
from evalkit.tracing.attributes import amount, as_list, as_map, label, plain, text
from evalkit.tracing.cutting import Shape
from evalkit.tracing.formats.times import to_ns
from evalkit.tracing.mending import bounded, in_order
from evalkit.tracing.parts import Part, parts_of_spans
from evalkit.tracing.reasons import Reasons

SHAPE: Shape = {"spans": {}, "": {}}
KEYS = ("context", "trace_id")


def read(document: bytes, refused: Reasons) -> list[Part]:
    """The spans of ``{"spans": [...]}``, of a list, or of one span. Raises InputError."""
    try:
        found = _numbers(document)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise InputError(f"no spans as JSON: {error}") from None
    listed = found.get("spans", [found]) if isinstance(found, dict) else found
    maps = [one for one in as_list(listed) if isinstance(one, dict) and "context" in one]
    if not maps:
        raise InputError("no spans as JSON: nothing in it has a span's `context`")
    spans = [_span(one, refused) for one in maps]
    return parts_of_spans(span for span in spans if span is not None)


def _numbers(document: bytes) -> Any:
    """Decimal trace ids are wider than a double: whole numbers must stay whole."""
    import json

    try:
        return json.loads(document)
    except (ValueError, RecursionError):
        return msgspec.json.decode(document)


def _span(found: Mapping[str, Any], refused: Reasons) -> Span | None:
    context = as_map(found["context"])
    trace_id, span_id = ids.trace_id(context.get("trace_id")), ids.span_id(context.get("span_id"))
    if trace_id is None or span_id is None:
        refused["span without ids in its context"] += 1
        return None
    status, resource = as_map(found.get("status")), as_map(found.get("resource"))
    scope = as_map(found.get("scope") or found.get("instrumentation_scope"))
    times = to_ns(found.get("start_time")), to_ns(found.get("end_time"))
    start, end = in_order(*times, refused)
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=_parent(found),
        name=text(plain(found.get("name"))) or "",
        start_ns=start,
        end_ns=end,
        attributes=_renamed(bounded(as_map(found.get("attributes")), refused)),
        events=tuple(_event(as_map(one), refused) for one in as_list(found.get("events"))),
        error=str(status.get("status_code", "")).upper().endswith("ERROR"),
        status_message=label(status.get("description")) or "",
        scope=label(scope.get("name")) or "",
        scope_version=label(scope.get("version")) or "",
        resource=bounded(as_map(resource.get("attributes")), refused),
    )


def _parent(found: Mapping[str, Any]) -> str | None:
    parent = found.get("parent")
    return ids.span_id(as_map(parent).get("span_id") if parent else found.get("parent_id"))


def _event(found: Mapping[str, Any], refused: Reasons) -> SpanEvent:
    name = label(found.get("name")) or ""
    attributes = bounded(as_map(found.get("attributes")), refused)
    return SpanEvent(name, to_ns(found.get("timestamp")), attributes)


def _renamed(found: dict[str, Any]) -> dict[str, Any]:
    """any-agent's own names as those of the GenAI conventions, beside which it uses them."""
    operation, output = found.get("gen_ai.operation.name"), found.get("gen_ai.output")
    if operation == "execute_tool" and "gen_ai.tool.args" in found:
        told = {
            "gen_ai.tool.call.arguments": found["gen_ai.tool.args"],
            "gen_ai.tool.call.result": output,
        }
    elif operation == "call_llm":
        costs = [amount(found.get(f"gen_ai.usage.{side}_cost")) for side in ("input", "output")]
        parts = [_called(as_map(one)) for one in as_list(output)]
        said = [one for one in parts if one] or [{"type": "text", "content": output}]
        told = {
            "gen_ai.operation.name": "chat",
            "gen_ai.output.messages": [{"role": "assistant", "parts": said}],
        }
        if None not in costs:
            told["gen_ai.usage.cost"] = sum(cost or 0 for cost in costs)
    else:
        return found
    return {**found, **told}


def _called(call: Mapping[str, Any]) -> dict[str, Any] | None:
    if "tool.name" not in call:
        return None
    return {"type": "tool_call", "name": call["tool.name"], "arguments": call.get("tool.args")}
