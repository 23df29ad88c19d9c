"""What OpenInference's spans tell of a model's call: models, tokens, the answer, why it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.spans import Span
from evalkit.tracing.answers import THOUGHTS, model_answer
from evalkit.tracing.attributes import (
    HIDDEN,
    amount,
    as_map,
    count,
    first,
    indexed,
    is_shown_object,
    label,
    model_label,
    model_output,
    parsed,
    plain,
    provider_label,
    step_name,
    stop_reason,
    structured,
    text,
)
from evalkit.tracing.frameworks import framework
from evalkit.tracing.genai_messages import named_call, own_calls
from evalkit.tracing.langchain import counted
from evalkit.tracing.readings import agent_name, first_token, usage
from evalkit.trajectory import Step

TOTALS = ("tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning", "cost_usd")
"""What the spans of agents may tell of all that was done within them."""

_ANSWERING = frozenset({"openai", "groq", "mistralai", "ollama", "portkey", "together", "haystack"})
"""Whose instrumentations take ``llm.model_name`` from the response; others from the request."""


def model_call(span: Span) -> Step:
    """A call of a model, named as its span is."""
    found = span.attributes
    requested, served = _models(span)
    messages = indexed(found, "llm.output_messages")
    calls = [call for message in messages for call in _tool_calls(message)]
    said = _content(messages) if messages else model_answer(content_of(span, "output")).text
    used = usage_of(span)
    if used.get("tokens_cached") and framework(span.scope) == "langchain":
        # Of Anthropic's, older ones leave out of the prompt what was cached.
        given = counted(model_answer(content_of(span, "output")).usage)["tokens_in"]
        used["tokens_in"] = max(used["tokens_in"] or 0, given or 0) or None
    reason = stop_reason(
        found.get("llm.finish_reason"),
        *(message.get("message.finish_reason") for message in messages),
        found.get("gen_ai.response.finish_reasons"),
        calls=own_calls(calls),
    )
    return Step(
        kind="llm",
        name=step_name(span.name),
        output=plain(model_output(said, calls)),
        # Of a response that is done it says so, whether or not tools were called.
        stop_reason=None if _is_response(span) and said is None and not calls else reason,
        agent=agent_name(found),
        ttft_s=first_token(span),
        **{**used, "model_requested": requested, "model_served": served},
    )


def usage_of(span: Span) -> dict[str, Any]:
    """Models, provider, tokens and cost, in OpenInference's names or in GenAI's beside them."""
    found = span.attributes
    own = {
        "provider": provider_label(found.get("llm.provider"))
        or provider_label(found.get("llm.system")),
        "tokens_in": count(found.get("llm.token_count.prompt")),
        "tokens_out": count(found.get("llm.token_count.completion")),
        "tokens_cached": count(found.get("llm.token_count.prompt_details.cache_read")),
        "tokens_reasoning": count(found.get("llm.token_count.completion_details.reasoning")),
    }
    if "gen_ai.operation.name" not in found:
        return {**own, "cost_usd": amount(found.get("llm.cost.total"))}
    return {**usage(found), **{field: value for field, value in own.items() if value is not None}}


def _models(span: Span) -> tuple[str | None, str | None]:
    """The model asked for, and the model that answered where that can be told.

    ``llm.model_name`` is the one asked for, unless the instrumentation is known to take it from
    the response, or it is another than the call's own parameters name.
    """
    found = span.attributes
    if "gen_ai.operation.name" in found and "gen_ai.request.model" in found:
        return model_label(found["gen_ai.request.model"]), model_label(
            found.get("gen_ai.response.model")
        )
    named = model_label(found.get("llm.model_name"))
    requested, served = _stated_models(span)
    if span.error or named is None or served is not None:
        return requested or named, served
    is_lost = is_shown_object(found.get("output.value"))  # the response, of some streams
    answered = (framework(span.scope) in _ANSWERING and not is_lost) or _is_response(span)
    if answered or (requested is not None and _model_of(requested) != _model_of(named)):
        return requested, named
    return requested or named, model_label(model_answer(content_of(span, "output")).model)


def _stated_models(span: Span) -> tuple[str | None, str | None]:
    """The models that attributes name which mean but one of the two."""
    found = span.attributes
    # The Responses API echoes its parameters: that is the model which answered.
    asked = {} if _is_response(span) else as_map(found.get("llm.invocation_parameters"))
    requested = (
        model_label(first(found, ("llm.request.model_name", "ai.model.id")))
        or model_label(first(asked, ("model", "model_name")))
        or model_label(as_map(found.get("metadata")).get("ls_model_name"))
    )
    served = first(found, ("llm.response.model_name", "gen_ai.response.model", "ai.response.model"))
    return requested, model_label(served)


def _is_response(span: Span) -> bool:
    """Whether the span is the Agents SDK's of a response, which has the response's model."""
    return span.name == "response" and framework(span.scope) == "openai_agents"


def _model_of(name: str) -> str:
    """A model's name without its provider's."""
    return name.rpartition("/")[2]


def _content(messages: list[dict[str, Any]]) -> str | None:
    texts = []
    for message in messages:
        whole = message.get("message.content")
        parts = indexed(message, "message.contents")
        # Some write the text of the parts beside them once more.
        parts = [part for part in parts if part.get("message_content.type") not in THOUGHTS]
        texts += [whole] if text(whole) else [part.get("message_content.text") for part in parts]
    said = (found for found in texts if isinstance(found, str) and found != HIDDEN)
    return "\n".join(said) or None


def _tool_calls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        named_call(
            label(call.get("tool_call.id")),
            call.get("tool_call.function.name"),
            call.get("tool_call.function.arguments"),
        )
        for call in indexed(message, "message.tool_calls")
    ]


def totals(span: Span) -> dict[str, Any]:
    """What all that is done within a span used, where it says so."""
    if "llm.token_count.prompt" not in span.attributes:
        return {}
    used = usage_of(span)
    return {field: used[field] for field in TOTALS if field in used}


def content_of(span: Span, side: str) -> Any:
    """``input.value`` or ``output.value``: parsed where it says that it is JSON, or looks so."""
    value = span.attributes.get(f"{side}.value")
    if value == HIDDEN or is_shown_object(value):
        return None
    if span.attributes.get(f"{side}.mime_type") == "application/json":
        return parsed(value)
    return structured(value) if text(value) else value
