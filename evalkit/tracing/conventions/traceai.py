"""traceAI (FutureAGI): ``gen_ai.span.kind`` in Python, ``fi.span.kind`` in TypeScript.

The kinds are OpenInference's; facts are in GenAI's names, messages flattened under them, and
``input.value`` and ``output.value`` hold the rest, partly as Python reprs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.answers import ModelAnswer, model_answer
from evalkit.tracing.attributes import (
    as_map,
    count,
    first,
    indexed,
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
from evalkit.tracing.frameworks import framework, inner_chain, llama_chain
from evalkit.tracing.langchain import as_outcome, chain_kind, counted
from evalkit.tracing.readings import documents, model_call, named_arguments, query, tool_call, usage
from evalkit.trajectory import Step

_KINDS = ("fi.span.kind", "gen_ai.span.kind", "pydantic_ai.span_kind")
_CONTENT = re.compile(r"content=(?P<quote>['\"])(?P<content>.*?)(?P=quote) name=", re.DOTALL)
_MESSAGE = re.compile(
    r"""content=(?P<content>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*") (?:additional_kwargs|name)=""",
    re.DOTALL,
)
_CALLS = re.compile(r" tool_calls=(?P<calls>\[.*\]) invalid_tool_calls=", re.DOTALL)
_CALL_ID = re.compile(r"tool_call_id=['\"]([^'\"]{1,200})['\"]")
_PLACE = ("langgraph_node", "ls_integration", "lc_agent_name")
_HANDOFF = "handoff to "


class TraceAI:
    """Reads spans of traceAI's instrumentations."""

    name = "traceai"
    claims_by_keys = True

    def claims(self, span: Span) -> bool:
        """Whether the span has one of traceAI's kinds."""
        return any(key in span.attributes for key in _KINDS)

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span by its kind; chains by their place in LangChain and LangGraph."""
        kind = first(span.attributes, _KINDS)
        kind = kind.upper() if isinstance(kind, str) else ""
        if kind in ("UNKNOWN", "PROMPT"):
            return Reading(role="wrapper")
        if kind in ("CHAIN", "AGENT", "AGENT_RUN", "CONVERSATION"):
            step = _chain(span, parent, kind)
            return Reading(role="wrapper") if step is None else Reading(role="step", step=step)
        reader = _READERS.get(kind)
        return Reading(role="step", step=reader(span)) if reader else Reading(role="unknown")


def _value(span: Span, side: str) -> Any:
    return structured(span.attributes.get(f"{side}.value"))


def _chain(span: Span, parent: Span | None, kind: str) -> Step | None:
    found = span.attributes
    name = span.name
    if inner_chain(span):
        return None
    if parent is not None and parent.name == name and parent.scope == span.scope and kind[0] == "A":
        return None if kind == "AGENT_RUN" else _unit("agent", name, span)
    metadata = {
        **as_map(found.get("metadata")),
        **{key: found[key] for key in _PLACE if key in found},
    }
    place = chain_kind(
        name,
        metadata,
        is_root=parent is None,
        is_agent=kind.startswith("AGENT"),
        below_agent=parent is not None and first(parent.attributes, _KINDS) == "AGENT",
    )
    if place == "node" and framework(span.scope) in ("llamaindex", "llama_index"):
        place, name = llama_chain(name)
    if place is None:
        return None
    if parent is None and framework(span.scope) == "openai_agents":
        place = "workflow"
    return _unit(place, name, span)


def _unit(kind: Any, name: str, span: Span) -> Step:
    found = span.attributes
    agent = found.get("gen_ai.agent.name") if kind == "agent" else None
    said = as_outcome(_value(span, "output"))
    if kind in ("agent", "workflow"):
        said = whole_answer(said, framework(span.scope))
    return Step(
        kind=kind,
        name=step_name(agent, _bracketed(name)),
        arguments=plain(_value(span, "input")) or plain(found.get("pydantic_ai.run.prompt")),
        output=plain(_with_messages(said)),
        agent=label(agent),
        **usage(found),
    )


def _with_messages(state: Any) -> Any:
    """The state with LangChain's messages in it, which are written as Python shows them."""
    listed = state.get("messages") if isinstance(state, Mapping) else None
    return {**state, "messages": list(map(_message, listed))} if isinstance(listed, list) else state


def _message(shown: Any) -> Any:
    found = _MESSAGE.match(shown) if isinstance(shown, str) else None
    if found is None:
        return shown
    called = _CALLS.search(shown)
    role = "ai" if called else "tool" if " tool_call_id=" in shown else "human"
    calls = literal(called["calls"]) if called else []
    message = {"role": role, "content": literal(found["content"])}
    return {**message, "tool_calls": calls} if calls else message


def _bracketed(name: str) -> str:
    """``agent_run [assistant]`` is the assistant's."""
    return name.partition("[")[2].removesuffix("]") or name


def _llm(span: Span) -> Step:
    """A model call; the model that answered stands, in some, where the one asked for belongs."""
    step = model_call(span)
    asked = as_map(span.attributes.get("gen_ai.request.parameters"))
    response = _value(span, "output")
    told = isinstance(response, Mapping | list)
    said = model_answer(response) if told else ModelAnswer(None, [])
    requested = label(asked.get("model")) or step.model_requested
    served = step.model_served or label(said.model)
    if "id" in asked and "created_at" in asked:  # a response of the Responses API, echoed
        requested, served = None, requested
    shown = step.output if isinstance(step.output, Mapping) else None
    return replace(
        step,
        name=step_name(span.name),
        model_requested=requested,
        model_served=served,
        # Some messages are recorded without their tool calls; the response has them.
        output=shown or plain(model_output(said.text, said.calls)) or step.output,
        stop_reason=step.stop_reason or stop_reason(said.stop_reason),
        **_used(step, counted(said.usage), count(span.attributes.get("gen_ai.usage.total_tokens"))),
    )


def _used(step: Step, told: Mapping[str, int | None], total: int | None) -> dict[str, int | None]:
    """The tokens; of Anthropic's, LangChain alone counts what was cached with the prompt's.

    Google ADK adds what was thought to what came out, which may have it in it: the total tells.
    """
    both = {field: (getattr(step, field), value) for field, value in told.items()}
    known = {field: [one for one in pair if one is not None] for field, pair in both.items()}
    used = {field: max(counts, default=None) for field, counts in known.items()}
    given, out, thought = (used[one] for one in ("tokens_in", "tokens_out", "tokens_reasoning"))
    if given is not None and out and thought and given + out - thought == total:
        used["tokens_out"] = out - thought
    return used


def _tool(span: Span) -> Step:
    found = span.attributes
    if span.name.startswith(_HANDOFF) and "gen_ai.tool.name" not in found:
        name = step_name(span.name[len(_HANDOFF) :])
        return Step(kind="handoff", name=name, arguments={"from": None, "to": name})
    step = tool_call(span)
    given = parsed(found.get("input.value")) if step.arguments is None else step.arguments
    output = step.output
    call_id = step.call_id
    if output is None:
        output, said = _result(found.get("output.value"))
        call_id = call_id or said
    given = named_arguments(given)
    return replace(step, arguments=plain(given), output=plain(output), call_id=call_id)


def _result(value: Any) -> tuple[Any, str | None]:
    """What a tool gave, also out of LangChain's repr of a message, and the call's id there."""
    found = structured(value)
    inner = found.get("output") if isinstance(found, Mapping) and len(found) == 1 else None
    if not isinstance(inner, str):
        return (found if inner is None else inner), None
    content = _CONTENT.match(inner)
    if content is None:
        return structured(inner), None
    told = _CALL_ID.search(inner)
    # The repr of a string doubles backslashes and escapes quotes.
    text = content["content"].replace("\\'", "'").replace("\\\\", "\\")
    return structured(text), told[1] if told else None


def _retriever(span: Span) -> Step:
    listed = _documents(span.attributes, "retrieval.documents")
    return Step(
        kind="retriever",
        name=step_name(span.name),
        arguments=plain(query(parsed(span.attributes.get("input.value")))),
        output=plain(listed or _value(span, "output")),
    )


def _reranker(span: Span) -> Step:
    listed = _documents(span.attributes, "reranker.output_documents")
    return replace(
        _retriever(span), kind="reranker", output=plain(listed or _value(span, "output"))
    )


def _documents(found: Mapping[str, Any], prefix: str) -> list[Any]:
    return documents(
        [
            {key.removeprefix("document."): value for key, value in flat.items()}
            for flat in indexed(found, prefix)
        ]
    )


def _embedding(span: Span) -> Step:
    return Step(kind="embedding", name=step_name(span.name), **usage(span.attributes))


def _guardrail(span: Span) -> Step:
    return _unit("guardrail", span.name, span)


def _other(span: Span) -> Step:
    return _unit("other", span.name, span)


_READERS = {
    "LLM": _llm,
    "TOOL": _tool,
    "RETRIEVER": _retriever,
    "VECTOR_DB": _retriever,
    "RERANKER": _reranker,
    "EMBEDDING": _embedding,
    "GUARDRAIL": _guardrail,
    "EVALUATOR": _other,
    "A2A_CLIENT": _other,
    "A2A_SERVER": _other,
}
