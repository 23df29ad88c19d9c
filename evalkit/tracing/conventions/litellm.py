"""LiteLLM, as a library and as a gateway: its own callback's spans.

The request to the provider, which alone tells the model that really answered when the gateway
writes its alias into the response, is a span below the gateway's: both are one model call.
"""

from __future__ import annotations

from msgspec.structs import replace

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.attributes import first, label, plain, step_name, structured
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

_REQUEST = frozenset({"contents", "documents", "input", "messages", "prompt"})
_RESPONSE = frozenset({"candidates", "choices", "created", "id", "usage", "usageMetadata"})
"""Fields of a provider's request, and those that its response has beside them."""


class LiteLLM:
    """Reads the spans of LiteLLM's OpenTelemetry callback."""

    name = "litellm"
    claims_by_keys = True
    names = ("fastapi.", "POST /v1/", "POST /chat/", "GET /health")

    def claims(self, span: Span) -> bool:
        """Whether the span is of LiteLLM's scope, or of the server that its proxy runs in."""
        if span.scope == "fastapi":
            return span.name.startswith(self.names)
        return span.scope == "litellm"

    def read(self, span: Span, parent: Span | None) -> Reading:
        """Requests by their type; authentication, routing and the server's parts are wrappers."""
        found = span.attributes
        if span.name == "raw_gen_ai_request":
            served = None if parent is not None and parent.error else _provider_model(span)
            if served is None:
                return Reading(role="wrapper")
            return Reading(role="step", step=Step(kind="llm", name="raw", model_served=served))
        if span.scope == "fastapi" or span.name in _WRAPPERS:
            return Reading(role="wrapper")
        if "service" in found or span.name in _SERVICES:  # how it works, timed
            return Reading(role="wrapper")
        step = _step(span)
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
    alias = first(span.attributes, ("litellm.model_group", "gen_ai.request.model"))
    return replace(step, kind=kind, model_requested=step.model_requested or label(alias))


def _provider_model(span: Span) -> str | None:
    """The model that the provider's response names; None where only the request is recorded."""
    told = {
        parts[2]: value
        for key, value in span.attributes.items()
        if key.startswith("llm.") and len(parts := key.split(".")) == 3
    }
    if _RESPONSE.isdisjoint(told) and not _REQUEST.isdisjoint(told):
        return None
    return label(first(told, ("modelVersion", "model")))
