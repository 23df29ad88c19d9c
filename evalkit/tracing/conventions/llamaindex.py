"""LlamaIndex's own instrumentation: spans named ``Class.method``, content in span events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.answers import model_answer
from evalkit.tracing.attributes import (
    MAX_TEXT,
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
from evalkit.tracing.envelopes import whole_answer
from evalkit.tracing.frameworks import llama_chain
from evalkit.tracing.readings import documents
from evalkit.trajectory import Step

_CALL = re.compile(
    r"ToolCall\(tool_name=(?P<name>'[^']*'|\"[^\"]*\"), tool_kwargs=(?P<kwargs>\{.*\}), "
    r"tool_id=(?P<id>'[^']*'|\"[^\"]*\")",
    re.DOTALL,
)
_NAME = re.compile(r"ToolCall\(tool_name='([^']{1,200})'")


class LlamaIndex:
    """Reads spans of LlamaIndex's OpenTelemetry package."""

    name = "llamaindex"
    claims_by_keys = True

    def claims(self, span: Span) -> bool:
        """Whether the span is of the package's scope."""
        return span.scope.startswith(("llama_index", "llamaindex"))

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span by its events where it has some, else by its class and method."""
        events = {event.name: event.attributes for event in span.events}
        if "LLMChatStartEvent" in events or "LLMCompletionStartEvent" in events:
            return _step(_llm(events))
        if "RetrievalStartEvent" in events:
            return _step(_retriever(span, events))
        owner, _, method = span.name.rpartition(".")
        if method in ("acall", "call", "__call__") and owner.endswith("Tool"):
            return _step(_tool(span))
        if method in ("acall_tool", "call_tool") or "mbedding" in owner:
            return Reading(role="wrapper")
        inner = method.lstrip("_").startswith(("achat", "chat", "astream_chat", "stream_chat"))
        if inner or owner.endswith("Retriever"):
            return Reading(role="wrapper")
        kind, name = llama_chain(span.name)
        if kind is None:
            return Reading(role="wrapper")
        ended = events.get("workflow.output", events.get("step.output", {}))
        said = structured(first(ended, ("output",)))
        given = span.attributes.get("llamaindex.step.input_summary")
        return _step(
            Step(
                kind=kind,
                name=step_name(name),
                arguments=plain(given),
                output=plain(said if kind == "node" else whole_answer(said, "llamaindex")),
            )
        )


def _llm(events: Mapping[str, Mapping[str, Any]]) -> Step:
    started = events.get("LLMChatStartEvent") or events.get("LLMCompletionStartEvent") or {}
    ended = events.get("LLMChatEndEvent") or events.get("LLMCompletionEndEvent") or {}
    said = model_answer(ended.get("response.raw.choices"))
    usage = "response.raw.usage."
    requested = label(started.get("model_dict.model_name"))
    return Step(
        kind="llm",
        name=step_name(started.get("model_dict.class_name"), requested),
        output=plain(model_output(said.text, said.calls)),
        stop_reason=stop_reason(said.stop_reason),
        model_requested=requested,
        model_served=label(ended.get("response.raw.model")),
        tokens_in=_count(ended, usage + "prompt_tokens"),
        tokens_out=_count(ended, usage + "completion_tokens"),
        tokens_cached=_count(ended, usage + "prompt_tokens_details.cached_tokens"),
        tokens_reasoning=_count(ended, usage + "completion_tokens_details.reasoning_tokens"),
    )


def _count(found: Mapping[str, Any], key: str) -> int | None:
    return count(found.get(key))


def _retriever(span: Span, events: Mapping[str, Mapping[str, Any]]) -> Step:
    given = first(events["RetrievalStartEvent"], ("str_or_query_bundle", "query"))
    nodes = parsed(first(events.get("RetrievalEndEvent", {}), ("nodes",)))
    return Step(
        kind="retriever",
        name=step_name(span.name.partition(".")[0]),
        arguments=None if given is None else {"query": plain(given)},
        output=plain(documents(nodes)) if nodes else None,
    )


def _tool(span: Span) -> Step:
    """The tool by the event that its step was given, the only place that has name and arguments."""
    summary = span.attributes.get("llamaindex.step.input_summary")
    summary = summary[:MAX_TEXT] if isinstance(summary, str) else ""
    called = _CALL.match(summary)
    if called is None:
        named = _NAME.match(summary)
        return Step(kind="tool", name=step_name(named and named[1], span.name))
    return Step(
        kind="tool",
        name=step_name(called["name"][1:-1]),
        arguments=plain(_literal(called["kwargs"])),
        call_id=label(called["id"][1:-1]),
    )


def _literal(text: str) -> Any:
    """What a Python repr of plain values holds; None if it holds more."""
    found = literal(text)
    return None if isinstance(found, str) else found


def _step(step: Step) -> Reading:
    return Reading(role="step", step=step)
