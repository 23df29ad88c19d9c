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
    model_output,
    parsed,
    plain,
    step_name,
    stop_reason,
    structured,
)
from evalkit.tracing.langchain import chain_kind, tool_message, without_envelopes
from evalkit.tracing.readings import documents, query, usage
from evalkit.trajectory import Step

KIND = "langfuse.observation.type"
_O = "langfuse.observation."
_METADATA = "langfuse.observation.metadata."


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
    """Models, tokens and cost. ``input`` leaves out cached tokens, ``output`` reasoning ones."""
    found = span.attributes
    used = as_map(found.get(_O + "usage_details"))
    if not used and _O + "model.name" not in found:
        return usage(found)
    named = label(found.get(_O + "model.name"))
    asked = label(parsed(found.get(_METADATA + "ls_model_name")))
    failed = _failure(span)[0] == "error"
    cost = as_map(found.get(_O + "cost_details")).get("total")
    return {
        "model_requested": asked or (named if failed else None),
        "model_served": None if failed else named,
        "provider": label(parsed(found.get(_METADATA + "ls_provider"))),
        "tokens_in": _sum(used, "input"),
        "tokens_out": _sum(used, "output"),
        "tokens_cached": count(used.get("input_cache_read"), used.get("input_cached_tokens")),
        "tokens_reasoning": count(
            used.get("output_reasoning"), used.get("output_reasoning_tokens")
        ),
        "cost_usd": amount(cost) if cost else None,
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
    return literal(value) if isinstance(value, str) and value.startswith("{'") else value


def _retriever(span: Span) -> Step:
    status, error = _failure(span)
    value = _value(span, "output")
    return Step(
        kind="retriever",
        name=step_name(span.name),
        arguments=plain(query(_value(span, "input"))),
        output=plain(documents(value) if isinstance(value, list) else value),
        status=status,
        error=error,
    )


def _step(step: Step) -> Reading:
    return Reading(role="step", step=step)
