"""The OpenTelemetry GenAI semantic conventions, old and new: ``gen_ai.*``.

Names changed over the versions, and content is found in attributes (as JSON or flattened), in
span events, or nowhere: it is off by default. What is not there is None, never empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.attributes import (
    amount,
    as_list,
    count,
    label,
    model_output,
    parsed,
    plain,
    step_name,
    stop_reason,
    structured,
)
from evalkit.tracing.genai_messages import answer, messages
from evalkit.trajectory import Step

OPERATION = "gen_ai.operation.name"

_WRAPPERS = frozenset(
    {"create_agent", "execute_event_loop_cycle", "execute_task", "agent_step", "model_chunk"}
)


class GenAI:
    """Reads spans that name a GenAI operation, and older ones that only name a model."""

    name = "genai"

    def claims(self, span: Span) -> bool:
        """Whether the span has an operation, or a requested model as older spans do."""
        return OPERATION in span.attributes or "gen_ai.request.model" in span.attributes

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span by its operation; operations that no version defines are unknown."""
        operation = span.attributes.get(OPERATION, "chat")
        if not isinstance(operation, str):
            return Reading(role="unknown")
        if operation in _WRAPPERS:
            return Reading(role="wrapper")
        reader = _READERS.get(operation) or (_llm if operation.endswith("completion") else None)
        if reader is None:
            return Reading(role="unknown")
        step = reader(span)
        if label(span.attributes.get("error.type")) is None or step.status == "error":
            return Reading(role="step", step=step)
        return Reading(role="step", step=_failed(step, span))


def _failed(step: Step, span: Span) -> Step:
    from msgspec.structs import replace

    message = span.status_message.strip().partition("\n")[0]
    error = message or label(span.attributes["error.type"]) or "error"
    return replace(step, status="error", error=error[:500])


def _llm(span: Span) -> Step:
    found = span.attributes
    said = answer(span)
    return Step(
        kind="llm",
        name=step_name(found.get("gen_ai.request.model"), span.name),
        output=plain(model_output(said.text, said.calls)),
        stop_reason=stop_reason(
            found.get("gen_ai.response.finish_reasons"),
            found.get("gen_ai.response.finish_reason"),
            said.stop_reason,
        ),
        agent=label(found.get("gen_ai.agent.name")),
        **_usage(found),
    )


def _usage(found: Mapping[str, Any]) -> dict[str, Any]:
    """Models, tokens and cost; the prompt's tokens include cached ones."""

    def first_count(*keys: str) -> int | None:
        return count(*(found.get(f"gen_ai.usage.{key}") for key in keys))

    return {
        "model_requested": label(found.get("gen_ai.request.model")),
        "model_served": label(found.get("gen_ai.response.model")),
        "provider": label(found.get("gen_ai.provider.name")) or label(found.get("gen_ai.system")),
        "tokens_in": first_count("input_tokens", "prompt_tokens"),
        "tokens_out": first_count("output_tokens", "completion_tokens"),
        "tokens_cached": first_count("cache_read.input_tokens", "cache_read_input_tokens"),
        "tokens_reasoning": first_count(
            "reasoning.output_tokens", "reasoning_tokens", "details.reasoning_tokens"
        ),
        "cost_usd": amount(found.get("operation.cost"), found.get("gen_ai.cost.total_cost")),
    }


def _tool(span: Span) -> Step:
    found = span.attributes
    given = _stated(span, "gen_ai.tool.call.arguments", "gen_ai.tool.message", "content")
    result = _stated(span, "gen_ai.tool.call.result", "gen_ai.choice", "message")
    return Step(
        kind="tool",
        name=step_name(found.get("gen_ai.tool.name"), span.name.removeprefix("execute_tool ")),
        arguments=plain(parsed(parsed(given))),
        output=plain(structured(structured(result))),
        agent=label(found.get("gen_ai.agent.name")),
        call_id=label(found.get("gen_ai.tool.call.id")),
    )


def _stated(span: Span, key: str, event: str, field: str) -> Any:
    """The attribute, or the field of the event where instrumentations put it before."""
    if key in span.attributes:
        return span.attributes[key]
    fields = (happened.attributes.get(field) for happened in span.events if happened.name == event)
    return next((value for value in fields if value is not None), None)


def _agent(span: Span) -> Step:
    name = step_name(
        span.attributes.get("gen_ai.agent.name"), span.name.removeprefix("invoke_agent ")
    )
    return _whole("agent", name, span)


def _workflow(span: Span) -> Step:
    name = step_name(
        span.attributes.get("gen_ai.workflow.name"), span.name.removeprefix("invoke_workflow ")
    )
    return _whole("workflow", name, span)


def _whole(kind: Any, name: str, span: Span) -> Step:
    """A workflow or an agent: the messages it was given, and the text that it answered."""
    given = messages(span, "input")
    said = answer(span)
    return Step(
        kind=kind,
        name=name,
        arguments=plain({"messages": given}) if given else None,
        output=plain(model_output(said.text, said.calls)),
        agent=label(span.attributes.get("gen_ai.agent.name")),
        **_usage(span.attributes),
    )


def _retriever(span: Span) -> Step:
    found = span.attributes
    query = found.get("gen_ai.retrieval.query.text")
    documents = as_list(found.get("gen_ai.retrieval.documents"))
    return Step(
        kind="retriever",
        name=step_name(found.get("gen_ai.data_source.id"), span.name.removeprefix("retrieval ")),
        arguments=None if query is None else {"query": plain(query)},
        output=plain(documents) if documents else None,
    )


def _embedding(span: Span) -> Step:
    found = span.attributes
    return Step(
        kind="embedding",
        name=step_name(found.get("gen_ai.request.model"), span.name),
        **_usage(found),
    )


def _guardrail(span: Span) -> Step:
    found = span.attributes
    triggered = found.get("gen_ai.guardrail.triggered")
    return Step(
        kind="guardrail",
        name=step_name(found.get("gen_ai.guardrail.name"), span.name),
        output=None if triggered is None else {"triggered": plain(triggered)},
    )


def _handoff(span: Span) -> Step:
    found = span.attributes
    ends = {
        "from": plain(found.get("gen_ai.handoff.from_agent")),
        "to": plain(found.get("gen_ai.handoff.to_agent")),
    }
    return Step(kind="handoff", name=step_name(ends["to"], span.name), arguments=ends)


_READERS: dict[str, Callable[[Span], Step]] = {
    "chat": _llm,
    "generate_content": _llm,
    "text_completion": _llm,
    "responses": _llm,
    "execute_tool": _tool,
    "retrieval": _retriever,
    "invoke_agent": _agent,
    "invoke_workflow": _workflow,
    "embeddings": _embedding,
    "guardrail_check": _guardrail,
    "agent_handoff": _handoff,
}
