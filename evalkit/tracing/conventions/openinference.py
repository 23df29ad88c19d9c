"""OpenInference: ``openinference.span.kind`` and its flattened attributes.

The same keys mean different things by instrumentation; the rules here were read off captures of
LangChain, LangGraph, the OpenAI Agents SDK and others (see ``tests/tracing``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.attributes import (
    HIDDEN,
    as_map,
    count,
    first,
    indexed,
    label,
    literal,
    plain,
    step_name,
    structured,
)
from evalkit.tracing.envelopes import whole_answer
from evalkit.tracing.frameworks import framework, inner_chain, llama_chain, of_ai_sdk
from evalkit.tracing.google_adk import NO_CALL_ID
from evalkit.tracing.langchain import (
    chain_kind,
    is_building_block,
    tool_message,
    without_envelopes,
)
from evalkit.tracing.openinference_calls import TOTALS, content_of, model_call, totals, usage_of
from evalkit.tracing.readings import agent_name, named_arguments, only_text
from evalkit.trajectory import Step

KIND = "openinference.span.kind"

_HANDOFF = "handoff to "
_FUNCTION_RESPONSE = frozenset({"id", "name", "response", "will_continue", "scheduling", "parts"})
"""What Gemini's envelope of a tool's result, and so Google ADK's, consists of."""
_METHODS = ("run", "retrieve", "aretrieve", "get_", "aget_")
_ID_OF_RUN = re.compile(r"_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
"""What CrewAI sets behind ``Crew`` and ``Flow``, another in each run."""
_METHODS_OF_AGENTS = (
    *("._execute_core", ".kickoff", ".run", ".run_stream", ".on_messages", ".on_messages_stream"),
)
_LLAMA = ("llama_index", "llamaindex")


class OpenInference:
    """Reads spans of OpenInference instrumentations."""

    name = "openinference"
    claims_by_keys = True

    def claims(self, span: Span) -> bool:
        """Whether the span has an OpenInference kind, and not the AI SDK's own keys as well."""
        return KIND in span.attributes and not of_ai_sdk(span)

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span by its kind; LangGraph's and LangChain's inner spans are wrappers."""
        kind = span.attributes[KIND]
        reader = _READERS.get(kind.upper()) if isinstance(kind, str) else None
        return reader(span, parent) if reader else Reading(role="unknown")


def _wrapper(span: Span, parent: Span | None) -> Reading:
    return Reading(role="wrapper")


def _inner(span: Span) -> Reading | None:
    """What LangChain's inner spans are, and LlamaIndex's by their names; None for any other."""
    if inner_chain(span):
        return Reading(role="wrapper")
    if framework(span.scope) in _LLAMA:
        kind, name = llama_chain(span.name)
        return Reading(role="wrapper") if kind is None else _step(_unit(kind, span, name))
    return None


def _chain(span: Span, parent: Span | None) -> Reading:
    if (inner := _inner(span)) is not None:
        return inner
    if framework(span.scope) == "haystack":
        return _step(_haystack(span))
    if framework(span.scope) == "google_adk" and span.name.startswith("invocation"):
        return _step(_unit("workflow", span))
    if span.attributes.get("gen_ai.operation.name") == "invoke_workflow":
        return _step(_unit("workflow", span, span.name.removeprefix("invoke_workflow ")))
    if framework(span.scope) == "crewai" and span.name.endswith(".kickoff"):
        return _step(_unit("workflow", span))
    kind = chain_kind(
        span.name,
        as_map(span.attributes.get("metadata")),
        is_root=parent is None,
        below_agent=parent is not None and parent.attributes.get(KIND) == "AGENT",
    )
    return Reading(role="wrapper") if kind is None else _step(_unit(kind, span))


def _haystack(span: Span) -> Step:
    """A Haystack component, by the class whose ``run`` it is."""
    name = span.name.removesuffix(".run").removesuffix(".run_async")
    kind = {"Agent": "agent", "Pipeline": "workflow", "AsyncPipeline": "workflow"}.get(name, "node")
    step = _unit(kind, span, name)
    parts = as_map(step.output).values() if kind == "workflow" else ()
    is_told = not parts or any(whole_answer(part, "haystack") is not None for part in parts)
    return step if is_told else replace(step, output=None)


def _agent(span: Span, parent: Span | None) -> Reading:
    """AGENT is what an instrumentation takes for one: anything with "agent" in its name."""
    if (inner := _inner(span)) is not None:
        return inner
    named = label(first(span.attributes, ("agent.name", "graph.node.id")))
    if framework(span.scope) == "openai_agents" and named is None:
        return _step(_unit("workflow", span))
    metadata = as_map(span.attributes.get("metadata"))
    kind = chain_kind(span.name, metadata, is_root=parent is None, is_agent=True)
    return Reading(role="wrapper") if kind is None else _step(_unit(kind, span))


def _unit(kind: Any, span: Span, name: str | None = None) -> Step:
    """A workflow, agent, node or guardrail: what went in and what came out."""
    agent = agent_name(span.attributes) if kind == "agent" else None
    if kind == "agent" and framework(span.scope) == "crewai":  # the span is named AGENT.TASK
        agent = label(span.attributes.get("graph.node.id")) or span.name.partition(".")[0]
    said = without_envelopes(content_of(span, "output"))
    if kind in ("agent", "workflow"):
        said = whole_answer(said, framework(span.scope))
    return Step(
        kind=kind,
        name=step_name(name, agent, span.attributes.get("flow.node.name"), _bare(span.name)),
        arguments=plain(without_envelopes(content_of(span, "input"))),
        output=plain(said),
        agent=agent_name(span.attributes),
        **(totals(span) if kind in ("agent", "workflow") else {}),
    )


def _bare(name: str) -> str:
    """The crew, agent or task in the names that methods of CrewAI, smolagents and AutoGen give."""
    for method in _METHODS_OF_AGENTS:
        name = name.removesuffix(method)
    return _ID_OF_RUN.sub("", name).removeprefix("invoke_agent ")


def _guardrail(span: Span, parent: Span | None) -> Reading:
    return _step(_unit("guardrail", span))


def _other(span: Span, parent: Span | None) -> Reading:
    return _step(_unit("other", span))


def _unknown(span: Span, parent: Span | None) -> Reading:
    """LangChain's parsers of outputs have no kind, or what an instrumentation does not know."""
    return Reading(role="wrapper" if is_building_block(span.name) else "unknown")


def _llm(span: Span, parent: Span | None) -> Reading:
    found = span.attributes
    operation = found.get("gen_ai.operation.name")
    if operation == "invoke_agent":  # an instrumentation wrote its model calls onto the agent
        return _step(replace(_unit("agent", span), **usage_of(span)))
    if operation is not None and span.name.startswith("invoke_agent "):
        # So did Google ADK's, one over the other: what is left is the last one's.
        return _step(replace(_unit("agent", span), **dict.fromkeys(TOTALS)))
    if span.name.endswith("._prepare_chat_with_tools"):
        return Reading(role="wrapper")
    return _step(model_call(span))


def _tool(span: Span, parent: Span | None) -> Reading:
    found = span.attributes
    if span.name.startswith(_HANDOFF) and "tool.name" not in found:
        ends = {"from": content_of(span, "input"), "to": content_of(span, "output")}
        handed = step_name(span.name[len(_HANDOFF) :])
        return _step(Step(kind="handoff", name=handed, arguments=plain(ends)))
    name = step_name(found.get("tool.name"), span.name.removesuffix(".__call__"))
    if name == "finish" and framework(span.scope) == "dspy":
        return Reading(role="wrapper")  # how ReAct says that it is done
    message = tool_message(_result(content_of(span, "output")))
    step = Step(
        kind="tool",
        name=name,
        arguments=plain(_arguments(span)),
        output=plain(message.output),
        status="error" if message.error else "ok",
        error=message.error,
        call_id=label(message.call_id) or _call_id(found),
    )
    return _step(step)


def _result(value: Any) -> Any:
    """What a tool gave, without LlamaIndex's and MCP's envelopes."""
    if isinstance(value, Mapping) and "raw_output" in value:
        return structured(value["raw_output"])
    if isinstance(value, Mapping) and {"name", "response"} <= set(value) <= _FUNCTION_RESPONSE:
        value = value["response"]
    return only_text(only_text(value))  # Strands' content is shown as Python does


def _call_id(found: Mapping[str, Any]) -> str | None:
    keys = ("tool_call.id", "tool.id", "tool.call_id", "gen_ai.tool.call.id")
    told = next((label(found[key]) for key in keys if key in found), None)
    return None if told == NO_CALL_ID else told


def _arguments(span: Span) -> Any:
    value = content_of(span, "input")
    if value is None:
        # Some instrumentations keep the tool's JSON Schema here, others the call's arguments.
        value = as_map(span.attributes.get("tool.parameters"))
        return None if not value or "properties" in value else value
    if isinstance(value, str) and value.startswith("{"):
        value = literal(value)  # LangChain's, as Python shows them
    value = named_arguments(value)
    if isinstance(value, Mapping) and framework(span.scope) in _LLAMA:
        return {key: item for key, item in value.items() if key != "ctx"}  # the workflow's own
    return value


def _retriever(span: Span, parent: Span | None) -> Reading:
    documents = _documents(span.attributes, "retrieval.documents")
    step = Step(
        kind="retriever",
        name=step_name(_class(span)),
        arguments=plain(_query(content_of(span, "input"))),
        output=plain(documents or content_of(span, "output")),
    )
    return _step(step)


def _reranker(span: Span, parent: Span | None) -> Reading:
    found = span.attributes
    documents = _documents(found, "reranker.output_documents")
    step = Step(
        kind="reranker",
        name=step_name(_class(span)),
        arguments=plain(_query(found.get("reranker.query") or content_of(span, "input"))),
        output=plain(documents or content_of(span, "output")),
        model_requested=label(found.get("reranker.model_name")),
    )
    return _step(step)


def _class(span: Span) -> str:
    """The component's class, where the span names one of its methods."""
    owner, dot, method = span.name.rpartition(".")
    return owner if dot and method.lstrip("_").startswith(_METHODS) else span.name


def _query(value: Any) -> Any:
    """A bare query as the argument that it is, so that an expectation can name it."""
    return {"query": value} if isinstance(value, str) else value


def _documents(found: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    documents = []
    for flat in indexed(found, prefix):
        metadata = as_map(flat.get("document.metadata"))
        document = {
            "id": flat.get("document.id") or metadata.get("id"),
            "content": flat.get("document.content"),
            "score": flat.get("document.score", metadata.get("score")),
            "metadata": dict(metadata),
        }
        told = {key: value for key, value in document.items() if value not in (None, {}, HIDDEN)}
        if told:
            documents.append(told)
    return documents


def _embedding(span: Span, parent: Span | None) -> Reading:
    found = span.attributes
    step = Step(
        kind="embedding",
        name=step_name(_class(span)),
        model_requested=label(found.get("embedding.model_name")),
        tokens_in=count(found.get("llm.token_count.prompt"), found.get("llm.token_count.total")),
    )
    return _step(step)


def _step(step: Step) -> Reading:
    return Reading(role="step", step=step)


_READERS: dict[str, Callable[[Span, Span | None], Reading]] = {
    "CHAIN": _chain,
    "AGENT": _agent,
    "LLM": _llm,
    "TOOL": _tool,
    "RETRIEVER": _retriever,
    "RERANKER": _reranker,
    "EMBEDDING": _embedding,
    "GUARDRAIL": _guardrail,
    "EVALUATOR": _other,
    "PROMPT": _wrapper,
    "UNKNOWN": _unknown,
}
