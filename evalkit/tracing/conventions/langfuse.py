"""Langfuse's own SDK: ``langfuse.observation.*``, metadata as JSON in strings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.answers import model_answer
from evalkit.tracing.attributes import (
    amount,
    as_map,
    count,
    first,
    label,
    literal,
    model_label,
    model_output,
    parsed,
    plain,
    step_name,
    stop_reason,
    structured,
)
from evalkit.tracing.langchain import chain_kind, tool_message, without_envelopes
from evalkit.tracing.readings import documents, named_arguments, query, usage
from evalkit.trajectory import Step

KIND = "langfuse.observation.type"
_O = "langfuse.observation."
_METADATA = "langfuse.observation.metadata."
_OPENAI_PARAMETERS = frozenset({"temperature", "top_p", "frequency_penalty", "presence_penalty"})
"""What the wrapper of OpenAI's SDK writes of every chat, given or not."""

_CACHES = ("cache_read_input_tokens", "cache_creation_input_tokens")


class Langfuse:
    """Reads spans that Langfuse's SDK writes; its OpenInference spans are read as such."""

    name = "langfuse"
    claims_by_keys = True

    def claims(self, span: Span) -> bool:
        """Whether the span names a Langfuse observation's type."""
        return KIND in span.attributes

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The observation by its type; plain spans and chains by their place in LangChain."""
        kind = str(span.attributes[KIND]).lower()
        if kind == "generation":
            return _step(_generation(span))
        if kind == "tool":
            return _step(_tool(span))
        if kind == "retriever":
            return _step(_retriever(span))
        if kind == "embedding":
            return _step(Step(kind="embedding", name=step_name(span.name), **_used(span)))
        if kind == "guardrail":
            return _step(_unit("guardrail", span))
        if kind == "span" and "tool_call_id" in as_map(_value(span, "output")):
            return _step(_tool(span))  # older versions have no type for tools
        if kind in ("chain", "agent", "span"):
            return _chain(span, parent, kind)
        return Reading(role="wrapper" if kind == "event" else "unknown")


def _chain(span: Span, parent: Span | None, said: str) -> Reading:
    metadata = {
        key: parsed(span.attributes[_METADATA + key])
        for key in ("langgraph_node", "ls_integration", "lc_agent_name")
        if _METADATA + key in span.attributes
    }
    kind = chain_kind(span.name, metadata, is_root=parent is None, is_agent=said == "agent")
    return Reading(role="wrapper") if kind is None else _step(_unit(kind, span))


def _unit(kind: Any, span: Span) -> Step:
    status, error = _failure(span)
    return Step(
        kind=kind,
        name=step_name(span.name),
        arguments=plain(without_envelopes(_value(span, "input"))),
        output=plain(without_envelopes(_value(span, "output"))),
        status=status,
        error=error,
    )


def _value(span: Span, side: str) -> Any:
    found = span.attributes
    return structured(first(found, (_O + side, f"{side}.value")))


def _failure(span: Span) -> tuple[Any, str | None]:
    if span.attributes.get(_O + "level") != "ERROR":
        return "ok", None
    return "error", label(span.attributes.get(_O + "status_message"))


def _used(span: Span) -> dict[str, Any]:
    """Models, tokens and cost."""
    found = span.attributes
    used = as_map(found.get(_O + "usage_details"))
    if not used and _O + "model.name" not in found:
        return usage(found)
    requested, served = _models(span)
    cost = amount(as_map(found.get(_O + "cost_details")).get("total"))
    return {
        "model_requested": requested,
        "model_served": served,
        "provider": label(parsed(found.get(_METADATA + "ls_provider"))),
        **_tokens(used),
        "cost_usd": cost or None,
    }


def _models(span: Span) -> tuple[str | None, str | None]:
    """The model asked for, and the one that answered where that can be told.

    ``model.name`` is the one asked for; the integrations of LangChain and of OpenAI's SDK put the
    response's in its place.
    """
    found = span.attributes
    named = model_label(found.get(_O + "model.name"))
    asked = model_label(parsed(found.get(_METADATA + "ls_model_name")))
    is_answer = _is_openai(span) if asked is None else named != asked
    if not is_answer or _failure(span)[0] == "error":
        return asked or named, None
    return asked, named


def _is_openai(span: Span) -> bool:
    """Whether Langfuse's own wrapper of OpenAI's SDK wrote it, under its name or another."""
    if span.name == "OpenAI-generation":
        return True
    parameters = as_map(span.attributes.get(_O + "model.parameters"))
    return span.scope.startswith("langfuse") and set(parameters) >= _OPENAI_PARAMETERS


def _tokens(used: Mapping[str, Any]) -> dict[str, int | None]:
    """Tokens, cached ones within those that went in, and reasoning within those that came out.

    Langfuse's names (``input``, ``input_cache_read``) and Anthropic's leave each other out;
    OpenAI's count the details in.
    """
    given = as_map(first(used, ("prompt_tokens_details", "input_tokens_details")))
    said = as_map(first(used, ("completion_tokens_details", "output_tokens_details")))
    tokens_in = count(*map(used.get, ("prompt_tokens", "input_tokens")))
    tokens_in = _sum(used, "input") if "input" in used else tokens_in
    apart = [count(used.get(key)) or 0 for key in _CACHES]
    tokens_out = count(*map(used.get, ("completion_tokens", "output_tokens")))
    cached = (*map(used.get, ("input_cache_read", "input_cached_tokens", *_CACHES[:1])),)
    reasoning = (*map(used.get, ("output_reasoning", "output_reasoning_tokens")),)
    return {
        "tokens_in": None if tokens_in is None else tokens_in + sum(apart),
        "tokens_out": _sum(used, "output") if "output" in used else tokens_out,
        "tokens_cached": count(*cached, given.get("cached_tokens")),
        "tokens_reasoning": count(*reasoning, said.get("reasoning_tokens")),
    }


def _sum(used: Mapping[str, Any], side: str) -> int | None:
    if count(used.get(side)) is None:
        return None
    return sum(count(value) or 0 for key, value in used.items() if key.startswith(side))


def _generation(span: Span) -> Step:
    said = model_answer(_value(span, "output"))
    status, error = _failure(span)
    return Step(
        kind="llm",
        name=step_name(span.name),
        output=plain(model_output(said.text, said.calls)),
        stop_reason=stop_reason(said.stop_reason),
        status=status,
        error=error,
        **_used(span),
    )


def _tool(span: Span) -> Step:
    status, error = _failure(span)
    message = tool_message(_value(span, "output"))
    told = label(parsed(span.attributes.get(_METADATA + "tool_call_id")))
    return Step(
        kind="tool",
        name=step_name(span.name),
        arguments=plain(_arguments(_value(span, "input"))),
        output=plain(structured(message.output)),
        status="error" if message.error else status,
        error=error or message.error,
        call_id=told or label(message.call_id),
    )


def _arguments(value: Any) -> Any:
    """LangChain's tools are given their arguments as Python shows them."""
    if isinstance(value, str) and value.startswith("{'"):
        return literal(value)
    return named_arguments(value)


def _retriever(span: Span) -> Step:
    status, error = _failure(span)
    value = _value(span, "output")
    return Step(
        kind="retriever",
        name=step_name(span.name),
        arguments=plain(query(named_arguments(_value(span, "input")))),
        output=plain(documents(value) if isinstance(value, list) else value),
        status=status,
        error=error,
    )


def _step(step: Step) -> Reading:
    return Reading(role="step", step=step)
