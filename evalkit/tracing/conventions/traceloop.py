"""OpenLLMetry (Traceloop): ``traceloop.*`` beside GenAI's names, inputs in envelopes of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.attributes import (
    as_map,
    first,
    label,
    literal,
    parsed,
    plain,
    step_name,
    structured,
)
from evalkit.tracing.envelopes import whole_answer
from evalkit.tracing.frameworks import LLAMA_CLASSES
from evalkit.tracing.langchain import as_outcome, chain_kind, tool_message, without_envelopes
from evalkit.tracing.readings import (
    documents,
    model_call,
    named_arguments,
    only_text,
    tool_call,
    usage,
)
from evalkit.trajectory import Step, StepKind

KIND = "traceloop.span.kind"
_PROPERTIES = "traceloop.association.properties."
_SCOPES = (
    "opentelemetry.instrumentation.langchain",
    "opentelemetry.instrumentation.crewai",
    "opentelemetry.instrumentation.llamaindex",
    "opentelemetry.instrumentation.mcp",
    "opentelemetry.instrumentation.haystack",
)
_WRAPPERS = frozenset({"create_agent", "goto"})
_NOISE = ("ResponseStreamWriter", "RequestStreamWriter", "initialize.mcp", "tools/list.mcp")
_ENDS = (".workflow", ".task", ".agent", ".tool")


class Traceloop:
    """Reads spans of OpenLLMetry's instrumentations of frameworks."""

    name = "traceloop"
    claims_by_keys = True

    def claims(self, span: Span) -> bool:
        """Whether the span has a Traceloop kind, or is of one of its framework instrumentations."""
        return KIND in span.attributes or span.scope.startswith(_SCOPES)

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span by GenAI's operation, which is finer, then by Traceloop's kind."""
        found = span.attributes
        operation = found.get("gen_ai.operation.name")
        kind = found.get(KIND)
        if span.name in _NOISE or span.name.endswith(".mcp") or operation in _WRAPPERS:
            return Reading(role="wrapper")
        if operation in ("chat", "completion", "text_completion"):
            return _step(_model_call(span))
        if operation == "vector_db_retrieve":
            return _step(_retriever(span))
        if operation == "execute_tool" or kind == "tool" or "tool.name" in found:
            return _step(_tool(span))
        if operation in ("handoff", "agent_handoff") or kind == "handoff":
            return _step(_handoff(span))
        return _rest(span, parent, operation, kind)


def _model_call(span: Span) -> Step:
    """A call of a model.

    Where LangChain told no response, of which the id speaks, the model asked for is written as
    the one that answered: of streams, and of the Responses API.
    """
    step = model_call(span)
    is_told = "gen_ai.response.id" in span.attributes or step.model_served != step.model_requested
    is_known = is_told or not span.scope.startswith("opentelemetry.instrumentation.langchain")
    return step if is_known else replace(step, model_served=None)


def _rest(span: Span, parent: Span | None, operation: Any, kind: Any) -> Reading:
    found = span.attributes
    if operation == "embeddings":
        return _step(Step(kind="embedding", name=step_name(span.name), **usage(found)))
    if kind in ("workflow", "task", "agent") or operation in ("invoke_agent", "execute_task"):
        return _unit(span, parent)
    if "gen_ai.request.model" in found:
        return _step(_model_call(span))
    if found.get("llm.request.type") in ("chat", "completion"):
        # Haystack's: what it writes for an answer are the names of the component's outputs.
        return _step(replace(model_call(span), output=None))
    return Reading(role="unknown")


def _unit(span: Span, parent: Span | None) -> Reading:
    found = span.attributes
    kind = found.get(KIND)
    if span.scope.startswith("opentelemetry.instrumentation.crewai"):
        return _crew(span, kind)
    if span.scope.startswith("opentelemetry.instrumentation.llamaindex"):
        return _llama(span, kind)
    if "gen_ai.workflow.nodes" in found and kind is None:
        return Reading(role="wrapper")  # a graph's description beside the span that runs it
    name = step_name(
        found.get("traceloop.entity.name"), found.get("gen_ai.agent.name"), _bare(span)
    )
    metadata = {
        key[len(_PROPERTIES) :]: value
        for key, value in found.items()
        if key.startswith(_PROPERTIES)
    }
    place = chain_kind(
        name,
        metadata,
        is_root=kind == "workflow" or parent is None,
        is_agent=kind == "agent" or (kind is None and found.get("gen_ai.agent.name") is not None),
    )
    if place is None:
        return Reading(role="wrapper")
    return _step(
        Step(
            kind=place,
            name=name,
            arguments=plain(_inside(found, "traceloop.entity.input", "inputs")),
            output=plain(_inside(found, "traceloop.entity.output", "outputs")),
            agent=label(found.get("gen_ai.agent.name")),
        )
    )


def _crew(span: Span, kind: Any) -> Reading:
    """CrewAI: a crew is the workflow, its tasks are wrappers around their agents."""
    found = span.attributes
    if kind == "task":
        return Reading(role="wrapper")
    crew = label(found.get("crewai.crew.name"))
    if crew is not None or span.name == "crewai.workflow":
        output = plain(structured(found.get("crewai.crew.result")))
        return _step(Step(kind="workflow", name=step_name(crew, span.name), output=output))
    name = step_name(found.get("crewai.agent.role"), found.get("gen_ai.agent.name"), _bare(span))
    return _step(Step(kind="agent", name=name, agent=name))


def _llama(span: Span, kind: Any) -> Reading:
    """LlamaIndex: spans are named by class; of its tasks only those that retrieve are steps."""
    name = step_name(_bare(span))
    if kind == "task" and name.endswith("Retriever"):
        return _step(replace(_retriever(span), name=name))
    if kind == "task":
        return Reading(role="wrapper")
    if name in LLAMA_CLASSES and name != "AgentWorkflow":
        return Reading(role="wrapper")
    said = structured(span.attributes.get("traceloop.entity.output"))
    output = plain(whole_answer(said, "llamaindex"))
    place: StepKind = "agent" if name.endswith("Agent") else "workflow"
    return _step(Step(kind=place, name=name, output=output))


def _bare(span: Span) -> str:
    name = span.name.removeprefix("invoke_agent ").removeprefix("execute_task ")
    end = next((end for end in _ENDS if name.endswith(end)), "")
    return name.removesuffix(end)


def _inside(found: Mapping[str, Any], key: str, envelope: str) -> Any:
    value = parsed(found.get(key))
    if isinstance(value, Mapping) and envelope in value:
        value = value[envelope]
    return without_envelopes(value)


def _tool(span: Span) -> Step:
    found = span.attributes
    step = tool_call(span, label(first(found, ("gen_ai.tool.name", "tool.name"))) or _bare(span))
    given = structured(first(found, ("gen_ai.tool.call.arguments", "tool.arguments")))
    given = given or structured(found.get("traceloop.entity.input"))
    result = found.get("gen_ai.tool.call.result")
    result = structured(parsed(found.get("traceloop.entity.output")) if result is None else result)
    llama = as_map(result.get("tool_output")) if isinstance(result, Mapping) else {}
    if "raw_output" in llama:  # LlamaIndex's ToolCallResult
        result = structured(llama["raw_output"])
    if isinstance(result, Mapping) and set(result) in ({"output"}, {"result"}):
        result = structured(next(iter(result.values())))
    elif isinstance(result, Mapping) and "output" in result and "kwargs" in result:
        result = result["output"]
    message = tool_message(result)
    failed = found.get("gen_ai.task.status") == "failure" or found.get("error.type") is not None
    failed = failed or llama.get("is_error") is True
    error = message.error or (str(message.output)[:500] if failed and message.output else None)
    return replace(
        step,
        arguments=plain(_arguments(given)),
        output=plain(only_text(message.output)),
        call_id=step.call_id or label(message.call_id),
        status="error" if error or failed else "ok",
        error=error,
    )


def _arguments(given: Any) -> Any:
    """The arguments in ``{"input_str": "<repr>"}``, in ``{"arguments": ..}``, or as they are."""
    if not isinstance(given, Mapping):
        return given
    if isinstance(said := given.get("input_str"), str):
        return literal(said) if said[:1] in "{[" else said
    if isinstance(given.get("arguments"), Mapping):
        return given["arguments"]
    is_call = isinstance(given.get("kwargs"), Mapping) and "args" not in given
    return given["kwargs"] if is_call else named_arguments(given)


def _retriever(span: Span) -> Step:
    found = span.attributes
    given = as_map(found.get("traceloop.entity.input"))
    result = as_map(found.get("traceloop.entity.output"))
    listed = documents(result.get("documents"))
    return Step(
        kind="retriever",
        name=step_name(found.get("traceloop.entity.name"), span.name),
        arguments={"query": plain(given["query"])} if "query" in given else None,
        output=plain(listed or as_outcome(dict(result)) or None),
    )


def _handoff(span: Span) -> Step:
    source, _, target = span.name.removesuffix(".handoff").partition(" → ")
    to = None if target in ("", "unknown") else target
    ends = {"from": plain(source), "to": plain(to)}
    return Step(kind="handoff", name=step_name(to, span.name), arguments=ends)


def _step(step: Step) -> Reading:
    return Reading(role="step", step=step)
