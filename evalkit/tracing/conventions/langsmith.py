"""LangSmith's OpenTelemetry export: ``langsmith.span.kind``, content in ``gen_ai.prompt``.

Its ``gen_ai.operation.name`` is wrong for retrievers and prompts, and a failed span may have the
status OK: the kind and the exception event count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.answers import model_answer
from evalkit.tracing.attributes import (
    as_map,
    count,
    first,
    label,
    literal,
    model_output,
    plain,
    step_name,
    stop_reason,
    structured,
)
from evalkit.tracing.langchain import (
    as_outcome,
    chain_kind,
    counted,
    is_building_block,
    tool_message,
)
from evalkit.tracing.readings import documents, only_text, usage
from evalkit.trajectory import Step

KIND = "langsmith.span.kind"
_METADATA = "langsmith.metadata."


class LangSmith:
    """Reads spans that LangSmith's SDK exports."""

    name = "langsmith"
    claims_by_keys = True

    def claims(self, span: Span) -> bool:
        """Whether the span has a LangSmith kind."""
        return KIND in span.attributes

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span by LangSmith's kind."""
        kind = span.attributes[KIND]
        if kind in ("prompt", "parser"):
            return Reading(role="wrapper")
        if span.name == "Handoff":
            return _step(_handoff(span))
        if kind == "tool":
            return _step(
                _guardrail(span) if _METADATA + "triggered" in span.attributes else _tool(span)
            )
        if kind == "llm":
            return _step(_llm(span))
        if kind == "retriever":
            return _step(_retriever(span))
        if kind == "embedding":
            return _step(
                Step(kind="embedding", name=step_name(span.name), **usage(span.attributes))
            )
        if kind == "chain":
            return _chain(span, parent)
        return Reading(role="unknown")


def _given(span: Span) -> Any:
    return structured(_text(first(span.attributes, ("gen_ai.prompt", "input.value"))))


def _said(span: Span) -> Any:
    return structured(_text(first(span.attributes, ("gen_ai.completion", "output.value"))))


def _text(value: Any) -> Any:
    """The value; as text where it is bytes, as releases up to 0.3 write their JSON."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _is_agents_sdk(span: Span) -> bool:
    return span.attributes.get(_METADATA + "ls_integration") == "openai-agents-sdk"


def _chain(span: Span, parent: Span | None) -> Reading:
    found = span.attributes
    if _is_agents_sdk(span):  # it calls every span of a run an agent's
        is_first = parent is None and _METADATA + "openai_parent_id" not in found
        if is_first or _METADATA + "openai_span_id" not in found:
            return _step(_unit("workflow", span))
        is_block = is_building_block(span.name)
        return Reading(role="wrapper") if is_block else _step(_unit("agent", span))
    metadata = {
        key: found[_METADATA + key]
        for key in ("langgraph_node", "ls_integration", "lc_agent_name")
        if _METADATA + key in found
    }
    is_agent = label(found.get(_METADATA + "ls_agent_type")) is not None
    kind = chain_kind(span.name, metadata, is_root=parent is None, is_agent=is_agent)
    if kind is None:
        return Reading(role="wrapper")
    return _step(_unit(kind, span))


def _unit(kind: Any, span: Span) -> Step:
    return Step(
        kind=kind,
        name=step_name(span.name),
        arguments=plain(as_outcome(_given(span) or None)),  # {} where nothing is known
        output=plain(as_outcome(_said(span) or None)),
    )


def _llm(span: Span) -> Step:
    found = span.attributes
    said = model_answer(_said(span))
    used = usage(found)
    told = counted(found.get(_METADATA + "usage_metadata"))
    used["provider"] = label(found.get(_METADATA + "ls_provider")) or used.get("provider")
    used["model_served"] = used.get("model_served") or label(said.model)
    if _is_agents_sdk(span):
        # Of the Agents SDK it knows the response alone, and writes its model as the one asked for.
        used["model_served"] = used.pop("model_requested", None) or used["model_served"]
    for field, value in told.items():
        used[field] = count(used.get(field), value)
    return Step(
        kind="llm",
        name=step_name(span.name),
        output=plain(model_output(said.text, said.calls)),
        stop_reason=stop_reason(said.stop_reason),
        **used,
    )


def _tool(span: Span) -> Step:
    found = span.attributes
    said = _said(span) or None  # {} where it was left out
    result = said["output"] if isinstance(said, Mapping) and set(said) == {"output"} else said
    result = structured(result)
    if isinstance(result, Mapping) and set(result) == {"content"}:  # as MCP has it
        result = only_text(result["content"])
    message = tool_message(result)
    given = _given(span)
    if given == {} and (said is None or not _is_agents_sdk(span)):
        given = None  # the Agents SDK alone has that for a tool without arguments
    if isinstance(given, Mapping) and set(given) == {"input"}:
        given = structured(given["input"])
        given = literal(given) if isinstance(given, str) and given.startswith("{") else given
    return Step(
        kind="tool",
        name=step_name(found.get("gen_ai.tool.name"), span.name),
        arguments=plain(given),
        output=plain(structured(message.output)),
        status="error" if message.error else "ok",
        error=message.error,
        call_id=label(found.get("gen_ai.tool.call.id")) or label(message.call_id),
    )


def _guardrail(span: Span) -> Step:
    triggered = span.attributes[_METADATA + "triggered"]
    return replace(_unit("guardrail", span), output={"triggered": plain(triggered)})


def _handoff(span: Span) -> Step:
    ends = {**as_map(_given(span)), **as_map(_said(span)), **_from_metadata(span)}
    to = label(ends.get("to_agent"))
    arguments = {"from": plain(ends.get("from_agent")), "to": to}
    return Step(kind="handoff", name=step_name(to, span.name), arguments=arguments)


def _from_metadata(span: Span) -> Mapping[str, Any]:
    found = span.attributes
    keys = ("from_agent", "to_agent")
    return {key: found[_METADATA + key] for key in keys if _METADATA + key in found}


def _retriever(span: Span) -> Step:
    given = as_map(_given(span))
    return Step(
        kind="retriever",
        name=step_name(span.name),
        arguments={"query": plain(given["query"])} if "query" in given else None,
        output=plain(documents(as_map(_said(span)).get("documents")) or None),
    )


def _step(step: Step) -> Reading:
    return Reading(role="step", step=step)
