"""LiteLLM, as a library and as a gateway: its own callback's spans.

The request to the provider, which alone tells the model that really answered when the gateway
writes its alias into the response, is a span below the gateway's: both are one model call. Within
a span of the application's own, the library writes what it knows onto that one, each call over the
one before: then the requests to the provider are the calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from evalkit.model_names import served_evidence
from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.answers import model_answer
from evalkit.tracing.attributes import (
    as_map,
    count,
    first,
    is_flagged,
    label,
    literal,
    model_output,
    plain,
    step_name,
    stop_reason,
    structured,
)
from evalkit.tracing.readings import model_call, tool_call
from evalkit.trajectory import Step, StepKind

_WRAPPERS = ("Received Proxy Server Request", "Failed Proxy Server Request")
_SERVICES = frozenset({"auth", "proxy_pre_call", "router", "self"})
_KINDS: tuple[tuple[str, StepKind], ...] = (
    ("embedding", "embedding"),
    ("rerank", "reranker"),
    ("search", "retriever"),
    ("completion", "llm"),
    ("responses", "llm"),
    ("messages", "llm"),
    ("generate_content", "llm"),
    ("realtime", "llm"),
    ("chat", "llm"),
)
"""Of LiteLLM's types of calls (``aembedding``, ``atext_completion``, ...) what each kind has."""

_MODEL = ("modelVersion", "model")
_REQUEST = frozenset({"contents", "documents", "input", "messages", "prompt"})
_RESPONSE = frozenset({"candidates", "choices", "created", "id", "usage", "usageMetadata"})
"""Fields of a provider's request, and those that its response has beside them."""


class LiteLLM:
    """Reads the spans of LiteLLM's OpenTelemetry callback."""

    name = "litellm"
    claims_by_keys = True
    names = ("fastapi.", "POST /v1/", "POST /chat/", "GET /health")

    def claims(self, span: Span) -> bool:
        """Whether the span is LiteLLM's, of its proxy's server, or one that it wrote onto."""
        if span.scope == "fastapi":
            return span.name.startswith(self.names)
        return span.scope == "litellm" or "litellm.call_id" in span.attributes

    def read(self, span: Span, parent: Span | None) -> Reading:
        """Requests by their type; authentication, routing and the server's parts are wrappers."""
        found = span.attributes
        if span.name == "raw_gen_ai_request":
            told = _told(span)
            is_part = parent is not None and parent.scope == "litellm"
            if told is None or (is_part and parent is not None and parent.error):
                return Reading(role="wrapper")
            return Reading(role="step", step=_part(told) if is_part else _raw_call(told, parent))
        if span.scope == "fastapi" or span.name in _WRAPPERS:
            return Reading(role="wrapper")
        if "service" in found or span.name in _SERVICES:  # how it works, timed
            return Reading(role="wrapper")
        step = _step(span) if span.scope == "litellm" else _written_onto(span)
        return Reading(role="unknown") if step is None else Reading(role="step", step=step)


def _step(span: Span) -> Step | None:
    found = span.attributes
    operation = first(found, ("llm.request.type", "gen_ai.operation.name"))
    operation = operation if isinstance(operation, str) else span.name.partition(" ")[0]
    if operation == "execute_tool" or "mcp_tool" in operation:
        return tool_call(span)
    if operation == "guardrail":
        name = step_name(found.get("guardrail_name"), span.name)
        said = structured(found.get("guardrail_response"))
        return Step(kind="guardrail", name=name, output=plain(said))
    if "gen_ai.request.model" not in found:
        return None
    kind: StepKind = next((kind for part, kind in _KINDS if part in operation), "other")
    return _request(kind, span)


def _request(kind: StepKind, span: Span) -> Step:
    """A request; the alias that the caller asked for is what it asked for."""
    step = model_call(span)
    found = span.attributes
    alias = first(found, ("litellm.model_group", "gen_ai.request.model"))
    served = step.model_served
    requested = step.model_requested or label(alias)
    streams = (found.get("llm.is_streaming"), found.get("gen_ai.request.stream"))
    if served in (requested, label(alias)) and any(map(is_flagged, streams)):
        served = None  # it makes chunks of its own, with the model asked for or the alias
    return replace(step, kind=kind, model_requested=requested, model_served=served)


def _written_onto(span: Span) -> Step | None:
    """The application's own span: an agent if it says so; what is on it is its last call's."""
    agent = label(span.attributes.get("gen_ai.agent.name"))
    if agent is not None or span.name.startswith("invoke_agent"):
        name = step_name(agent, span.name.removeprefix("invoke_agent ") or span.name)
        return Step(kind="agent", name=name, agent=agent)
    return _step(span)


def _part(told: Mapping[str, Any]) -> Step:
    """What the provider's response adds to the request around it: the model that answered."""
    return Step(kind="llm", name="raw", model_served=label(first(told, _MODEL)))


def _raw_call(told: Mapping[str, Any], parent: Span | None) -> Step:
    """The call itself, out of the provider's response: its fields as Python shows them."""
    response = {
        key: literal(value) if isinstance(value, str) and value[:1] in ("{", "[") else value
        for key, value in told.items()
        if key in ("candidates", "choices", "content", "output", "usage")
    }
    said = model_answer(response)
    used = as_map(response.get("usage"))
    cached = count(used.get("cache_read_input_tokens"))
    # Anthropic's prompt tokens leave out what was cached.
    given = [count(used.get(key)) or 0 for key in ("cache_creation_input_tokens", "input_tokens")]
    details = as_map(used.get("prompt_tokens_details"))
    spent = as_map(used.get("completion_tokens_details"))
    served = label(first(told, _MODEL))
    asked = None if parent is None else label(parent.attributes.get("gen_ai.request.model"))
    return Step(
        kind="llm",
        name=step_name(served, "raw"),
        output=plain(model_output(said.text, said.calls)),
        model_requested=asked if served_evidence(asked, served) == "match" else None,
        model_served=served,
        stop_reason=stop_reason(said.stop_reason, told.get("stop_reason"), calls=said.calls),
        tokens_in=count(used.get("prompt_tokens"), sum(given) + (cached or 0) or None),
        tokens_out=count(used.get("completion_tokens"), used.get("output_tokens")),
        tokens_cached=count(cached, details.get("cached_tokens")),
        tokens_reasoning=count(spent.get("reasoning_tokens")),
    )


def _told(span: Span) -> Mapping[str, Any] | None:
    """The fields of the provider's response; None where only the request is recorded."""
    told = {
        parts[2]: value
        for key, value in span.attributes.items()
        if key.startswith("llm.") and len(parts := key.split(".")) == 3
    }
    if _RESPONSE.isdisjoint(told) and not _REQUEST.isdisjoint(told):
        return None
    return told if first(told, _MODEL) is not None else None
