"""Logfire's own integrations: OpenAI's SDK and Agents SDK, told apart by message template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.answers import ModelAnswer, model_answer
from evalkit.tracing.attributes import (
    as_list,
    as_map,
    count,
    first,
    label,
    model_output,
    parsed,
    plain,
    step_name,
    stop_reason,
    structured,
    text,
)
from evalkit.tracing.readings import model_call, only_text, usage
from evalkit.trajectory import Step

_TYPE = "logfire.span_type"
_TEMPLATE = "logfire.msg_template"
_SCOPES = ("logfire.openai", "logfire.anthropic")
_STREAMED = "streaming response from"
_EMBEDDING = "Embedding Creation"
_MESSAGE = "Message with"  # Anthropic's, which names no model in GenAI's words up to release 4
_ANSWERS = ("response_data", "response", "output")
_TOLD = frozenset({*_ANSWERS, "usage", "gen_ai.usage.input_tokens", "gen_ai.output.messages"})
"""Attributes of which a call has one that was told its answer when it ended."""

_NO_STEPS = ("pending_span", "log")
"""Types of spans that Logfire writes beside the real ones: announcements, and messages."""


def is_logfire(span: Span) -> bool:
    """Whether the span is of one of Logfire's integrations, or no real span at all."""
    kind = span.attributes.get(_TYPE)
    return kind in _NO_STEPS or (kind is not None and span.scope.startswith(_SCOPES))


def read_logfire(span: Span) -> Reading:
    """The span by its message template; turns, tasks and tool lists are wrappers."""
    found = span.attributes
    template = label(found.get(_TEMPLATE)) or span.name
    if found.get(_TYPE) in _NO_STEPS:
        if found[_TYPE] == "log" and template.startswith(_STREAMED):
            return Reading(role="step", step=replace(_llm(span), model_served=None))
        return Reading(role="wrapper")
    for start, reader in _READERS.items():
        if template.startswith(start):
            return Reading(role="step", step=reader(span))
    if found.get("gen_ai.operation.name") == "embeddings" or template.startswith(_EMBEDDING):
        name = step_name(found.get("gen_ai.request.model"), span.name)
        return Reading(role="step", step=Step(kind="embedding", name=name, **usage(found)))
    if "gen_ai.request.model" in found or template.startswith(_MESSAGE):
        is_begun = not span.error and _TOLD.isdisjoint(found)  # a message says what was streamed
        return Reading(role="wrapper") if is_begun else Reading(role="step", step=_llm(span))
    is_agents = span.scope.startswith("logfire.openai_agents")
    return Reading(role="wrapper" if is_agents else "unknown")


def _unit(kind: Any, span: Span) -> Step:
    name = step_name(span.attributes.get("name"), span.name)
    return Step(kind=kind, name=name, agent=name if kind == "agent" else None)


def _workflow(span: Span) -> Step:
    return _unit("workflow", span)


def _agent(span: Span) -> Step:
    return _unit("agent", span)


def _llm(span: Span) -> Step:
    """A model call; what it said and used stands in the SDK's own response."""
    found = span.attributes
    step = model_call(span)
    response = structured(first(found, _ANSWERS))
    said = model_answer(response) if response is not None else _last_said(found.get("events"))
    used = as_map(first(found, ("usage", "gen_ai.usage.raw")))
    used = used or as_map(as_map(response).get("usage"))
    given = _details(used, "input") or _details(used, "prompt")
    spent = _details(used, "output") or _details(used, "completion")
    # Of a chat completion it writes the model that was asked for as the one that answered.
    echoed = (label(found.get(_TEMPLATE)) or "").startswith("Chat completion with")
    cached = count(used.get("cache_read_input_tokens"))
    # Anthropic's prompt tokens leave out what was cached.
    parts = [count(used.get(key)) for key in ("input_tokens", "cache_creation_input_tokens")]
    whole = None if parts[0] is None else sum(filter(None, (*parts, cached)))
    asked = label(as_map(found.get("request_data")).get("model"))
    streamed = as_map(response).get("combined_chunk_content")
    return replace(
        step,
        model_requested=step.model_requested or asked,
        tokens_in=count(step.tokens_in, whole),
        tokens_out=count(step.tokens_out, used.get("output_tokens")),
        model_served=label(said.model) if echoed else step.model_served,
        output=plain(model_output(said.text or text(streamed), _unwrapped(said.calls)))
        or step.output,
        stop_reason=step.stop_reason or stop_reason(said.stop_reason),
        tokens_cached=count(step.tokens_cached, given.get("cached_tokens"), cached),
        tokens_reasoning=count(step.tokens_reasoning, spent.get("reasoning_tokens")),
    )


def _last_said(events: Any) -> ModelAnswer:
    """What the model said, where the events of the call end with it."""
    last = as_map(next(reversed(as_list(events)), None))
    is_said = last.get("event.name") == "gen_ai.assistant.message"
    return model_answer([last]) if is_said else ModelAnswer(None, [])


def _unwrapped(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls; of Anthropic's, release 4 has the arguments within ``{"input": ..}``."""
    inner = [as_map(call["arguments"]).get("input") for call in calls]
    return [
        {**call, "arguments": given}
        if isinstance(given, Mapping) and len(call["arguments"]) == 1
        else call
        for call, given in zip(calls, inner, strict=True)
    ]


def _details(used: Mapping[str, Any], side: str) -> Mapping[str, Any]:
    return as_map(used.get(f"{side}_tokens_details"))


def _tool(span: Span) -> Step:
    found = span.attributes
    error = as_map(found.get("error"))
    why = as_map(error.get("data")).get("error") or error.get("message")
    return Step(
        kind="tool",
        name=step_name(found.get("name"), span.name),
        arguments=plain(parsed(found.get("input"))),
        output=plain(only_text(structured(found.get("output")))),
        status="error" if error else "ok",
        error=label(why) or ("error" if error else None),
    )


def _guardrail(span: Span) -> Step:
    triggered = span.attributes.get("triggered")
    step = _unit("guardrail", span)
    return replace(step, output=None if triggered is None else {"triggered": plain(triggered)})


def _handoff(span: Span) -> Step:
    found = span.attributes
    ends = {"from": plain(found.get("from_agent")), "to": plain(found.get("to_agent"))}
    return Step(kind="handoff", name=step_name(ends["to"], span.name), arguments=ends)


_READERS: dict[str, Callable[[Span], Step]] = {
    "OpenAI Agents trace": _workflow,
    "Agent run": _agent,
    "Function:": _tool,
    "Guardrail": _guardrail,
    "Handoff:": _handoff,
}
