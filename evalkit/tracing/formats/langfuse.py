"""Langfuse's exports: a trace with its observations, a list of such, or observations alone.

An observation keeps the attributes that its instrumentation wrote under ``metadata``; they are
taken as they are, with what Langfuse itself knows beside them as ``langfuse.observation.*``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from evalkit.errors import InputError
from evalkit.spans import Span
from evalkit.tracing import ids
from evalkit.tracing.attributes import as_list, as_map, count, first, label, plain, text
from evalkit.tracing.cutting import Shape
from evalkit.tracing.formats.times import to_ns
from evalkit.tracing.mending import bounded, in_order
from evalkit.tracing.parts import Part, parts_of_spans
from evalkit.tracing.reasons import Reasons

_NO_METADATA = ("attributes", "resourceAttributes", "scope")

SHAPE: Shape = {"observations": {}, "": {"observations": {}}}
KEYS = ("observations", "parentObservationId", "traceId")


def read(document: bytes, refused: Reasons) -> list[Part]:
    """The observations as spans. Raises InputError if there are none."""
    try:
        found = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise InputError(f"no Langfuse export: {error}") from None
    observations = list(_observations(found))
    if not observations:
        raise InputError("no Langfuse export: it has no observations")
    spans = [_span(trace, one, refused) for trace, one in observations]
    return parts_of_spans(span for span in spans if span is not None)


def _observations(found: Any) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Each observation with the trace that it was exported with, if any."""
    for one in found if isinstance(found, list) else [found]:
        if not isinstance(one, dict):
            continue
        trace = as_map(one.get("trace")) or one
        listed = as_list(one.get("observations")) or as_list(trace.get("observations"))
        if listed:
            yield from ((trace, inner) for inner in listed if isinstance(inner, dict))
        elif "traceId" in one:
            yield {}, one


def _span(trace: Mapping[str, Any], found: Mapping[str, Any], refused: Reasons) -> Span | None:
    trace_id = _id(found.get("traceId") or trace.get("id"), 32)
    span_id = _id(found.get("id"), 16)
    if trace_id is None or span_id is None:
        refused["Langfuse observation without ids"] += 1
        return None
    metadata = as_map(found.get("metadata"))
    scope = as_map(metadata.get("scope"))
    times = to_ns(found.get("startTime")), to_ns(found.get("endTime"))
    start, end = in_order(*times, refused)
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=_id(found.get("parentObservationId"), 16),
        name=text(plain(found.get("name"))) or "",
        start_ns=start,
        end_ns=end,
        attributes=_attributes(trace, found, metadata, refused),
        error=found.get("level") == "ERROR",
        status_message=label(found.get("statusMessage")) or "",
        scope=label(scope.get("name")) or "",
        scope_version=label(scope.get("version")) or "",
        resource=bounded(as_map(metadata.get("resourceAttributes")), refused),
    )


def _attributes(
    trace: Mapping[str, Any],
    found: Mapping[str, Any],
    metadata: Mapping[str, Any],
    refused: Reasons,
) -> dict[str, Any]:
    given: dict[str, Any] = bounded(as_map(metadata.get("attributes")), refused)
    usage, cost = _usage(found), _cost(found)
    told: dict[str, Any] = {
        f"langfuse.observation.metadata.{key}": value
        for key, value in metadata.items()
        if key not in _NO_METADATA
    }
    told |= {
        "langfuse.observation.type": label(found.get("type")),
        "langfuse.observation.input": found.get("input"),
        "langfuse.observation.output": found.get("output"),
        "langfuse.observation.model.name": label(found.get("model")),
        "langfuse.observation.model.parameters": found.get("modelParameters"),
        "langfuse.observation.usage_details": usage or None,
        "langfuse.observation.cost_details": cost or None,
        "input.value": found.get("input"),
        "output.value": found.get("output"),
        "gen_ai.request.model": label(found.get("model")),
        "gen_ai.usage.input_tokens": usage.get("input"),
        "gen_ai.usage.output_tokens": usage.get("output"),
        "session.id": label(trace.get("sessionId")),
        "user.id": label(trace.get("userId")),
    }
    known = {key: bounded(value, refused) for key, value in told.items() if value is not None}
    return {**known, **given}


def _usage(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Tokens in detail, or as older exports have them: with a unit, or as single fields."""
    if details := as_map(found.get("usageDetails")):
        return details
    older = as_map(found.get("usage"))
    if older.get("unit") not in (None, "TOKENS"):
        return {}
    told = {
        "input": count(older.get("input"), older.get("promptTokens"), found.get("promptTokens")),
        "output": count(
            older.get("output"), older.get("completionTokens"), found.get("completionTokens")
        ),
    }
    if not any(told.values()):
        return {}  # zeros all over stand for what was not recorded
    return {side: tokens for side, tokens in told.items() if tokens is not None}


def _cost(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """What it cost in US dollars: in detail, or the total that older exports have."""
    total = first(found, ("calculatedTotalCost", "totalCost"))
    total = as_map(found.get("usage")).get("totalCost") if total is None else total
    return as_map(found.get("costDetails")) or ({} if total is None else {"total": total})


def _id(value: Any, digits: int) -> str | None:
    """The id where it is OpenTelemetry's; Langfuse's own ids (UUIDs, cuids) are hashed to one."""
    if not isinstance(value, str) or not value:
        return None
    bare = value.replace("-", "")
    found = ids.trace_id(bare) if digits == 32 else ids.span_id(bare)
    return found or hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()[:digits]
