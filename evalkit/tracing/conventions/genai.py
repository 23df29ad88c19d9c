"""The OpenTelemetry GenAI semantic conventions, old and new, and the frameworks that speak them.

Names changed over the versions, and content is found in attributes (as JSON or flattened), in
span events, in log records joined as events, or nowhere: it is off by default. What is not there
is None, never empty. A framework that departs from the conventions is one entry at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.attributes import (
    as_list,
    first,
    label,
    parsed,
    plain,
    step_name,
    stop_reason,
    structured,
)
from evalkit.tracing.google_adk import mended_adk, read_older_adk
from evalkit.tracing.langchain import is_building_block
from evalkit.tracing.logfire import is_logfire, read_logfire
from evalkit.tracing.readings import (
    agent_name,
    documents,
    filled,
    model_call,
    tool_call,
    usage,
    whole,
)
from evalkit.tracing.semantic_kernel import SCOPE
from evalkit.tracing.strands import mended_strands, read_older_strands
from evalkit.trajectory import Step

_OF_LANGCHAIN = "opentelemetry.instrumentation.genai.langchain"
OPERATION = "gen_ai.operation.name"
_ADK = "gcp.vertex.agent.event_id"

_WRAPPERS = frozenset({"create_agent", "execute_event_loop_cycle", "execute_task", "agent_step"})
_OTHER = (
    "plan",
    "fetch_response",
    *("create_memory", "update_memory", "upsert_memory", "delete_memory"),
    *("create_memory_store", "delete_memory_store"),
)
_COMPLETIONS = ("completion", "completions")
"""How other names of a model's call end: ``acompletion``, ``chat.streaming_completions``."""

_NAMING = frozenset({"chat", "execute_tool", "generate_content", "invoke_agent", "invoke_workflow"})

Mend = Callable[[Step, Span], Step | None]


class GenAI:
    """Reads spans that name a GenAI operation, and older ones that only name a model.

    A dialect is a subclass. It claims the spans of its ``scopes`` (by how they begin).
    ``wrappers`` are how spans, or their operations, begin that are no steps; ``mend`` puts a step
    right, or drops it by None.
    """

    name = "genai"
    claims_by_keys = True
    scopes: tuple[str, ...] = ()
    wrappers: tuple[str, ...] = ()
    mend: Mend | None = None

    def claims(self, span: Span) -> bool:
        """Whether the span is of the dialect's scopes; has an operation, or a requested model."""
        if self.scopes:
            return span.scope.startswith(self.scopes)
        return OPERATION in span.attributes or "gen_ai.request.model" in span.attributes

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span by its operation; operations that no version defines are unknown."""
        if self.wrappers and span.name.startswith(self.wrappers):
            return Reading(role="wrapper")
        operation = _operation(span)
        if not isinstance(operation, str):
            return Reading(role="unknown")
        if operation in _WRAPPERS or operation in self.wrappers:
            return Reading(role="wrapper")
        reader = _READERS.get(operation) or (
            model_call if operation.endswith(_COMPLETIONS) else None
        )
        if reader is None:
            return Reading(role="unknown")
        step: Step | None = reader(span)
        if step is not None:
            step = filled(step, span)
        # Some backends lose the scope; Google ADK's own keys tell too.
        mend = self.mend or (mended_adk if _ADK in span.attributes else None)
        if step is not None and mend is not None:
            step = mend(step, span)
        return Reading(role="wrapper") if step is None else Reading(role="step", step=step)


def _operation(span: Span) -> Any:
    """The operation named, or the one that older spans leave to be told."""
    found = span.attributes.get(OPERATION)
    if found is not None:
        return found
    if "gen_ai.request.model" in span.attributes:
        is_embedding = span.attributes.get("llm.request.type") == "embedding"
        return "embeddings" if is_embedding else "chat"
    # What fails at once may have no attributes yet; its name begins with the operation.
    named = span.name.partition(" ")[0]
    return named if named in _NAMING else None


def _tool(span: Span) -> Step | None:
    step = tool_call(span)
    # How Google ADK, whoever reads it, gathers the answers of parallel calls.
    return None if step.name == "(merged tools)" else step


def _agent_or_block(span: Span) -> Step | None:
    """An agent, unless it is a building block of LangChain's."""
    step = _agent(span)
    return None if span.scope == _OF_LANGCHAIN and is_building_block(step.name) else step


def _agent(span: Span) -> Step:
    name = span.attributes.get("gen_ai.agent.name")
    return whole("agent", step_name(name, span.name.removeprefix("invoke_agent ")), span)


def _workflow(span: Span) -> Step | None:
    name = span.attributes.get("gen_ai.workflow.name")
    if isinstance(name, str) and name.startswith("Runnable"):
        return None  # a building block of LangChain's, not the pipeline
    return whole(
        "workflow",
        step_name(name, span.name.removeprefix("invoke_workflow ").removeprefix("invoke_")),
        span,
    )


def _retriever(span: Span) -> Step:
    found = span.attributes
    query = found.get("gen_ai.retrieval.query.text")
    listed = as_list(found.get("gen_ai.retrieval.documents"))
    return Step(
        kind="retriever",
        name=step_name(found.get("gen_ai.data_source.id"), span.name.removeprefix("retrieval ")),
        arguments=None if query is None else {"query": plain(query)},
        output=plain(listed) if listed else None,
    )


def _memory_search(span: Span) -> Step:
    found = span.attributes
    asked = found.get("gen_ai.memory.query.text")
    named = first(found, ("gen_ai.memory.store.name", "gen_ai.memory.store.id"))
    return Step(
        kind="retriever",
        name=step_name(named, span.attributes[OPERATION]),
        arguments=None if asked is None else {"query": plain(asked)},
        output=plain(documents(found.get("gen_ai.memory.records"))) or None,
    )


def _other(span: Span) -> Step:
    """A plan, or a change of what is remembered: known by its operation, with what it wrote."""
    found = span.attributes
    written = found.get("gen_ai.memory.records")
    return Step(
        kind="other",
        name=step_name(found[OPERATION]),
        arguments=None if written is None else {"records": plain(documents(written))},
        agent=agent_name(found),
    )


def _embedding(span: Span) -> Step:
    name = step_name(span.attributes.get("gen_ai.request.model"), span.name)
    return Step(kind="embedding", name=name, **usage(span.attributes))


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


_READERS: dict[str, Callable[[Span], Step | None]] = {
    "chat": model_call,
    "generate_content": model_call,
    "text_completion": model_call,
    "responses": model_call,
    "execute_tool": _tool,
    "retrieval": _retriever,
    "invoke_agent": _agent_or_block,
    "invoke_workflow": _workflow,
    "invoke_swarm": _workflow,
    "invoke_graph": _workflow,
    "embeddings": _embedding,
    "guardrail_check": _guardrail,
    "agent_handoff": _handoff,
    "search_memory": _memory_search,
    **dict.fromkeys(_OTHER, _other),
}


def _crewai(step: Step, span: Span) -> Step | None:
    """CrewAI: agents are known by their role; a failed tool is reported a second time.

    As the model that answered it repeats the one asked for.
    """
    if span.name == "tool failure":
        return None
    if step.model_served in (step.model_requested, (step.model_requested or "").rpartition("/")[2]):
        step = replace(step, model_served=None)
    role = label(span.attributes.get("crewai.agent.role"))
    if role is None:
        return step
    return replace(step, agent=role, name=role if step.kind == "agent" else step.name)


def _unnamed(span: Span) -> Reading:
    """A span of Pydantic AI's older versions, which name no operation."""
    if span.name.startswith("running tool") and "gen_ai.tool.name" in span.attributes:
        return Reading(role="step", step=tool_call(span))
    if "agent_name" in span.attributes:
        return Reading(role="step", step=_pydantic_ai(_agent(span), span))
    return Reading(role="wrapper" if span.name.startswith("running ") else "unknown")


def _pydantic_ai(step: Step, span: Span) -> Step:
    """Pydantic AI: an agent's messages and answer have keys of their own."""
    if step.kind != "agent":
        return step
    found = span.attributes
    given = as_list(first(found, ("pydantic_ai.all_messages", "all_messages_events")))[:1]
    said = structured(found.get("final_result"))
    return replace(
        step,
        name=step_name(found.get("gen_ai.agent.name"), found.get("agent_name"), step.name),
        arguments=plain({"messages": given}) if given else step.arguments,
        output=plain(said) if step.output is None else step.output,
    )


def _semantic_kernel(step: Step, span: Span) -> Step:
    """Semantic Kernel: a prompt that the pipeline runs is recorded as a tool, and is a node.

    What it answered is shown as Python shows objects; the model's call within tells it.
    """
    shown = step.output if isinstance(step.output, str) and step.call_id is None else ""
    is_prompt = shown.startswith(("[ChatMessageContent(", "[StreamingChatMessageContent("))
    return replace(step, kind="node", output=None) if is_prompt else step


def _mastra(step: Step, span: Span) -> Step:
    """Mastra: what went in and came out has its own keys, one pair for each type of span."""
    kind = span.attributes.get("mastra.span.type")
    if kind == "model_inference" and not step.output:
        # Of a call that failed, nothing else tells it.
        failed = stop_reason(span.attributes.get("gen_ai.response.finish_reasons")) == "error"
        step = replace(step, status="error", error="error", stop_reason="error") if failed else step
    given = parsed(span.attributes.get(f"mastra.{kind}.input"))
    said = parsed(span.attributes.get(f"mastra.{kind}.output"))
    if isinstance(said, Mapping) and "text" in said and step.kind != "node":
        said = said["text"]
    return replace(
        step,
        arguments=plain(given) if step.arguments is None else step.arguments,
        output=plain(said) if step.output is None else step.output,
    )


class GoogleADK(GenAI):
    """Google's Agent Development Kit."""

    name = "google_adk"
    scopes = ("gcp.vertex.agent",)
    wrappers = ("invocation", "send_data")
    mend = staticmethod(mended_adk)

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span by its operation, or by its name in versions that state none."""
        older = None if OPERATION in span.attributes else read_older_adk(span)
        return older or super().read(span, parent)


class PydanticAI(GenAI):
    """Pydantic AI, and what Logfire records itself."""

    name = "pydantic_ai"
    claims_by_keys = False
    scopes = ("pydantic-ai", "pydantic_ai", "logfire")
    mend = staticmethod(_pydantic_ai)

    def claims(self, span: Span) -> bool:
        """Whether the span is Pydantic AI's, or of one of Logfire's integrations."""
        return not span.scope.startswith("logfire") or is_logfire(span)

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span by its operation, or by its name in versions that state none."""
        if is_logfire(span):
            return read_logfire(span)
        if OPERATION not in span.attributes and "gen_ai.request.model" not in span.attributes:
            return _unnamed(span)
        return super().read(span, parent)


class SemanticKernel(GenAI):
    """Microsoft's Semantic Kernel; :mod:`evalkit.tracing.semantic_kernel` names its functions."""

    name = "semantic_kernel"
    scopes = (SCOPE,)
    wrappers = ("AutoFunctionInvocationLoop",)
    mend = staticmethod(_semantic_kernel)


_EXECUTORS = ("AgentExecutor", "WorkflowExecutor", "RequestInfoExecutor")
"""Of Agent Framework's own: those around an agent or another workflow, and one that asks."""


class AgentFramework(GenAI):
    """Microsoft's Agent Framework, and the runtimes below AutoGen and Semantic Kernel."""

    name = "agent_framework"
    scopes = ("agent_framework", "agent_runtime ", "autogen ")
    wrappers = ("edge_group", "message.send", "agent_runtime ", "autogen ")

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span by its operation; workflows and what they execute by their own keys."""
        if OPERATION in span.attributes or not span.name.startswith(("workflow.", "executor.")):
            return super().read(span, parent)
        kind = span.attributes.get("executor.type")
        if span.name == "workflow.run":
            name = step_name(span.attributes.get("workflow.name"), span.name)
            return Reading(role="step", step=Step(kind="workflow", name=name))
        is_own = isinstance(kind, str) and not kind.startswith("_") and kind not in _EXECUTORS
        if not is_own or not span.name.startswith("executor.process"):
            return Reading(role="wrapper")
        name = step_name(span.attributes.get("executor.id"), kind)
        return Reading(role="step", step=Step(kind="node", name=name))


class Strands(GenAI):
    """Strands Agents."""

    name = "strands"
    scopes = ("strands",)
    wrappers = ("execute_event_loop_cycle",)
    mend = staticmethod(mended_strands)

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span by its operation, or by its keys in versions that state none."""
        if OPERATION not in span.attributes:
            return read_older_strands(span)
        return super().read(span, parent)


class CrewAI(GenAI):
    """CrewAI's own telemetry."""

    name = "crewai"
    scopes = ("crewai",)
    wrappers = ("execute task", "Crew ", "Task ", "Tool ", "Flow ")  # the latter: usage data
    mend = staticmethod(_crewai)


class Mastra(GenAI):
    """Mastra's exporter."""

    name = "mastra"
    scopes = ("@mastra/",)
    wrappers = (
        *("model_generation", "model_step", "agent_step", "model_chunk", "mapping", "processor"),
        *("workflow_conditional", "workflow_parallel", "workflow_loop", "workflow_sleep"),
        "workflow_wait",
    )
    mend = staticmethod(_mastra)

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span by its operation; a workflow's step is a node."""
        if span.attributes.get("mastra.span.type") != "workflow_step":
            return super().read(span, parent)
        name = span.attributes.get("mastra.workflow_step.step_id")
        node = Step(kind="node", name=step_name(name, span.name.removeprefix("workflow_step ")))
        return Reading(role="step", step=_mastra(node, span))
