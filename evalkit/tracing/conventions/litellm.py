"""LiteLLM, as a library and as a gateway: its own callback's spans.

The request to the provider, which alone tells the model that really answered when the gateway
writes its alias into the response, is a span below the gateway's: both are one model call.
"""

from __future__ import annotations

from msgspec.structs import replace

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.attributes import first, label
from evalkit.tracing.readings import model_call
from evalkit.trajectory import Step

_REQUESTS = ("litellm_request", "chat ", "acompletion", "completion", "embeddings ")


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
        """Requests are model calls; authentication, routing and the server's parts are wrappers."""
        if span.name == "raw_gen_ai_request":
            served = _provider_model(span)
            if served is None:
                return Reading(role="wrapper")
            return Reading(role="step", step=Step(kind="llm", name="raw", model_served=served))
        if span.name.startswith(_REQUESTS) and "gen_ai.request.model" in span.attributes:
            return Reading(role="step", step=_request(span))
        return Reading(role="wrapper")


def _request(span: Span) -> Step:
    """A request; the alias that the caller asked for is what it asked for."""
    step = model_call(span)
    alias = first(span.attributes, ("litellm.model_group", "gen_ai.request.model"))
    kind = "embedding" if span.attributes.get("llm.request.type") == "embedding" else "llm"
    return replace(step, kind=kind, model_requested=step.model_requested or label(alias))


def _provider_model(span: Span) -> str | None:
    for key, value in span.attributes.items():
        if key.startswith("llm.") and key.endswith(".model") and key.count(".") == 2:
            return label(value)
    return None
