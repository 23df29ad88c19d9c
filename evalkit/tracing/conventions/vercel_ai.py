"""The Vercel AI SDK's own telemetry (``ai.*``), up to version 6 and as version 7 keeps it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from evalkit.protocols import Reading
from evalkit.spans import Span
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
    structured,
    text,
)
from evalkit.tracing.readings import filled, model_call, tool_call, usage
from evalkit.trajectory import Step

OPERATION = "ai.operationId"
_WHOLE = (
    "ai.generateText",
    "ai.generateObject",
    "ai.streamText",
    "ai.streamObject",
    "ai.toolLoop",
    "ai.agent",
)


class VercelAI:
    """Reads spans of the ``ai`` package: whole generations, their model calls and tools."""

    name = "vercel_ai"
    claims_by_keys = True

    def claims(self, span: Span) -> bool:
        """Whether the span names one of the SDK's operations."""
        return OPERATION in span.attributes

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span by its operation: ``.doGenerate`` is the model's call, around it is an agent."""
        operation = span.attributes[OPERATION]
        if not isinstance(operation, str):
            return Reading(role="unknown")
        operation = "ai." + operation.removeprefix("ai.")
        if operation == "ai.toolCall":
            step = tool_call(span, label(span.attributes.get("ai.toolCall.name")))
            return _step(filled(step, span))
        if "embed" in operation:
            # What an embedding used, the whole or the model's call within tells.
            told = parent is not None and "ai.usage.tokens" in parent.attributes
            inner = operation.endswith(".doEmbed")
            return Reading(role="wrapper") if inner and told else _step(_embedding(span))
        if operation.startswith("ai.rerank"):
            return _step(_reranker(span))
        if not operation.startswith(_WHOLE):
            return Reading(role="unknown")
        if ".do" not in operation:
            return _step(_whole(span))
        is_call = operation.endswith((".doGenerate", ".doStream"))
        return _step(_llm(span)) if is_call else Reading(role="unknown")


def _llm(span: Span) -> Step:
    step = model_call(span)
    return replace(step, output=plain(_said(span)))


def _said(span: Span) -> Any:
    found = span.attributes
    called = as_list(first(found, ("ai.response.toolCalls", "output.value")))
    calls = [
        {
            "id": label(call.get("toolCallId")),
            "name": step_name(call.get("toolName")),
            "arguments": parsed(call.get("input", call.get("args"))),
        }
        for call in map(as_map, called)
        if "toolName" in call
    ]
    said = text(found.get("ai.response.text")) or structured(found.get("ai.response.object"))
    if said is None and not calls:
        said = structured(found.get("output.value"))
    return model_output(said, calls)


def _whole(span: Span) -> Step:
    found = span.attributes
    agent = label(found.get("ai.telemetry.functionId")) or label(found.get("resource.name"))
    used = usage(found)
    said = _said(span)
    if isinstance(said, dict) and said.get("tool_calls"):  # they are steps of their own
        said = said.get("content") or said
    return Step(
        kind="agent",
        name=step_name(agent, span.name),
        arguments=plain(structured(first(found, ("ai.prompt", "input.value")))),
        output=plain(said),
        agent=agent,
        **{**used, "model_served": None},
    )


def _embedding(span: Span) -> Step:
    name = step_name(span.attributes.get("ai.model.id"), span.name)
    return Step(kind="embedding", name=name, **usage(span.attributes))


def _reranker(span: Span) -> Step:
    """The whole and the model's call within, which has the ranking: folded, as of one name."""
    found = span.attributes
    given = [parsed(document) for document in as_list(found.get("ai.documents"))]
    ranked = (as_map(place) for place in as_list(found.get("ai.ranking")))
    output = [
        {"content": given[place], "score": one.get("relevanceScore")}
        for one in ranked
        if (place := count(one.get("index"))) is not None and place < len(given)
    ]
    return Step(
        kind="reranker",
        name=step_name(found.get("ai.model.id"), span.name),
        output=plain(output) or None,
        **usage(found),
    )


def _step(step: Step) -> Reading:
    return Reading(role="step", step=step)
