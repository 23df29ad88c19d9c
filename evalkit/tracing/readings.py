"""Steps from spans by the keys that conventions share: one table of names for each fact.

Conventions decide what kind of step a span is; where its model, tokens, tool, arguments and
result are found is much the same for all of them, and the first name with a value counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from evalkit.spans import Span
from evalkit.tracing.answers import model_answer
from evalkit.tracing.attributes import (
    amount,
    as_list,
    as_map,
    count,
    first,
    is_flagged,
    label,
    literal,
    model_label,
    model_output,
    parsed,
    plain,
    provider_label,
    step_name,
    stop_reason,
    structured,
)
from evalkit.tracing.genai_messages import answer, messages, own_calls
from evalkit.tracing.shapes import shape_of
from evalkit.trajectory import Step

_REQUESTED = ("gen_ai.request.model", "llm.request.model_name", "ai.model.id", "model")
_SERVED = ("gen_ai.response.model", "llm.response.model_name", "ai.response.model")
_PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "ai.model.provider")
_TOKENS_IN = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "gen_ai.response.prompt_tokens",  # .NET's Semantic Kernel
    "ai.usage.inputTokens",
    "ai.usage.promptTokens",
    "ai.usage.tokens",
)
_TOKENS_OUT = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "gen_ai.response.completion_tokens",
    "ai.usage.outputTokens",
    "ai.usage.completionTokens",
)
_CACHED = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.input_tokens.cache_read",
    "ai.usage.cachedInputTokens",
)
_REASONING = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.details.reasoning_tokens",
    "gen_ai.usage.output_tokens.reasoning",
    "gen_ai.usage.experimental.reasoning_tokens",
    "ai.usage.reasoningTokens",
)
_COST = (
    "operation.cost",
    "gen_ai.cost.total_cost",
    "gen_ai.cost.total",
    "llm.cost.total",
    "gen_ai.usage.cost",
)
_STOPPED = (
    "gen_ai.response.finish_reasons",
    "gen_ai.response.finish_reason",
    "ai.response.finishReason",
    "stop_reason",
    "anthropic.message.stop_reason",
)
_GUESSING = "opentelemetry.instrumentation.openai_agents"
"""Which says of a response that is done that it stopped, whether or not it called tools."""

_TOOL = ("gen_ai.tool.name", "tool.name", "ai.toolCall.name", "tool_name")
_ARGUMENTS = (
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.parameters",
    "tool_arguments",
    "gcp.vertex.agent.tool_call_args",
    "ai.toolCall.args",
    "tool.arguments",
)
_RESULT = (
    "gen_ai.tool.call.result",
    "tool_response",
    "gcp.vertex.agent.tool_response",
    "ai.toolCall.result",
)
_CALL_ID = (
    "gen_ai.tool.call.id",
    "tool_call.id",
    "tool.id",
    "tool.call_id",
    "ai.toolCall.id",
    "tool_use_id",
)
_HINTS = ("mcp.tool.annotations", "gen_ai.tool.annotations")
_AGENT = ("gen_ai.agent.name", "agent.name", "agent_name")


_USAGE: Mapping[str, tuple[tuple[str, ...], Callable[[Any], Any]]] = {
    "model_requested": (_REQUESTED, model_label),
    "model_served": (_SERVED, model_label),
    "provider": (_PROVIDER, provider_label),
    "tokens_in": (_TOKENS_IN, count),
    "tokens_out": (_TOKENS_OUT, count),
    "tokens_cached": (_CACHED, count),
    "tokens_reasoning": (_REASONING, count),
    "cost_usd": (_COST, amount),
}


_Usage = tuple[tuple[str, str, tuple[str, ...], Callable[[Any], Any]], ...]


class _Names(NamedTuple):
    """Of the names for a fact those that the keys of a span have.

    ``usage`` has for each fact its field, where it is, where else, and how it is read.
    """

    usage: _Usage
    stopped: tuple[str, ...]
    tool: tuple[str, ...]
    arguments: tuple[str, ...]
    result: tuple[str, ...]
    call_id: tuple[str, ...]
    hints: tuple[str, ...]
    agent: tuple[str, ...]
    first_token: tuple[str, ...]


def _names(keys: tuple[str, ...]) -> _Names:
    def stated(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name in keys)

    named = [(field, stated(names), read) for field, (names, read) in _USAGE.items()]
    return _Names(
        tuple((field, names[0], names[1:], read) for field, names, read in named if names),
        *map(
            stated, (_STOPPED, _TOOL, _ARGUMENTS, _RESULT, _CALL_ID, _HINTS, _AGENT, _FIRST_TOKEN)
        ),
    )


def usage(found: Mapping[str, Any]) -> dict[str, Any]:
    """Models, provider, tokens and cost, as fields of a step: those that have a name there."""
    return _used(found, shape_of(found).tells(_names).usage)


def _used(found: Mapping[str, Any], stated: _Usage) -> dict[str, Any]:
    told = {}
    for field, key, others, read in stated:
        value = found[key]
        if value is None and others:
            value = first(found, others)
        told[field] = read(value)
    return told


def model_call(span: Span, name: str | None = None) -> Step:
    """A call of a model, named by the model asked for unless ``name`` says otherwise."""
    found = span.attributes
    names = shape_of(found).tells(_names)
    said = answer(span)
    used = _used(found, names.usage)
    reason = stop_reason(first(found, names.stopped), said.stop_reason, calls=own_calls(said.calls))
    if reason == "stop" and span.scope == _GUESSING and said.text is None:
        reason = None
    elif reason == "error" and not span.error:  # in the place of a reason that it does not know
        reason = "tool_calls" if own_calls(said.calls) else None
    has_time = names.first_token or span.events
    return Step(
        kind="llm",
        name=label(name) or used.get("model_requested") or step_name(span.name),
        output=plain(model_output(said.text, said.calls)),
        stop_reason=reason,
        agent=label(first(found, names.agent)) if names.agent else None,
        ttft_s=first_token(span) if has_time else None,
        **used,
    )


def tool_call(span: Span, name: str | None = None) -> Step:
    """A call of a tool; an error in its result, a status or an error type is its error."""
    found = span.attributes
    names = shape_of(found).tells(_names)
    given = _stated(span, names.arguments, "gen_ai.tool.message", "content")
    result = _unquoted(_stated(span, names.result, "gen_ai.choice", "message"))
    return Step(
        kind="tool",
        name=step_name(name, first(found, names.tool), span.name.removeprefix("execute_tool ")),
        arguments=plain(parsed(parsed(given))),
        output=plain(only_text(result)),
        agent=label(first(found, names.agent)) if names.agent else None,
        call_id=label(first(found, names.call_id)),
        read_only=_read_only(as_map(first(found, names.hints))) if names.hints else None,
    )


def _read_only(hints: Mapping[str, Any]) -> bool | None:
    """What a tool's annotations say of it, as MCP defines them; None where they do not tell.

    ``destructiveHint`` means something only of a tool that is not read-only: so true, it says so.
    That a tool destroys nothing does not say that it changes nothing.
    """
    stated = hints.get("readOnlyHint")
    if isinstance(stated, bool):
        return stated
    return False if hints.get("destructiveHint") is True else None


def _unquoted(result: Any) -> Any:
    """What came out: a text may be written as JSON too."""
    said = structured(structured(result))
    is_quoted = isinstance(said, str) and said[:1] == said[-1:] == '"'
    return structured(parsed(said)) if is_quoted else said


def _stated(span: Span, keys: tuple[str, ...], event: str, field: str) -> Any:
    """The attribute, or the field of the event where instrumentations put it before."""
    found = first(span.attributes, keys)
    if found is not None or not span.events:
        return found
    fields = (happened.attributes.get(field) for happened in span.events if happened.name == event)
    return next((value for value in fields if value is not None), None)


def only_text(value: Any) -> Any:
    """The content of a result that is one text part: ``[{"text": "{..}"}]`` is what it holds.

    A result that says it is an error stays as it is; objects and lists as Python shows them are
    what they show.
    """
    if isinstance(value, str):
        return literal(value) if value.startswith(("{'", "[{'")) else value
    parts = value
    if isinstance(value, dict) and "isError" in value:
        if is_flagged(value["isError"]):
            return value
        parts = value.get("content")
    if isinstance(parts, list) and len(parts) == 1 and isinstance(part := parts[0], dict):
        if set(part) == {"json"}:  # Bedrock's, and so Strands'
            return part["json"]
        said = part.get("text")
        if isinstance(said, str) and set(part) <= {"text", "type", "annotations"}:
            return only_text(structured(said))
    return parts


def agent_name(found: Mapping[str, Any]) -> str | None:
    """The agent that a span says it belongs to."""
    return label(first(found, shape_of(found).tells(_names).agent))


def whole(kind: Any, name: str, span: Span) -> Step:
    """A workflow or an agent: the messages it was given, and the text that it answered.

    The calls that it made on the way are steps of their own; without a text they are its answer.
    """
    given = messages(span, "input")
    said = [one for one in messages(span, "output") if one["role"] != "tool"]
    last: dict[str, Any] = said[-1] if said else {"content": None}
    return Step(
        kind=kind,
        name=name,
        arguments=plain({"messages": given}) if given else None,
        output=plain(last["content"] or model_output(None, last.get("tool_calls", []))),
        agent=agent_name(span.attributes),
        **usage(span.attributes),
    )


def filled(step: Step, span: Span) -> Step:
    """The step with the input and output that stand beside the convention's own names.

    Langfuse's export, and others after it, have them as ``input.value`` and ``output.value``.
    """
    found = span.attributes
    if "input.value" not in found and "output.value" not in found:
        return step
    given, said = structured(found.get("input.value")), _unquoted(found.get("output.value"))
    if step.kind == "llm":
        answered = model_answer(said) if step.output is None else None
        output = model_output(answered.text, answered.calls) if answered else None
        return replace(step, output=plain(output)) if output is not None else step
    if step.kind == "agent" and isinstance(said, list):
        last = [one for one in said if as_map(one).get("role") != "tool"][-1:]
        said = model_answer(last).text or said
    return replace(
        step,
        arguments=plain(given) if step.arguments is None else step.arguments,
        output=plain(only_text(said)) if step.output is None else step.output,
    )


def documents(values: Any) -> list[Any]:
    """Retrieved documents as ``{"id", "content", "score", "metadata"}``, whatever they were."""
    return [_document(value) for value in as_list(values)]


def _document(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    node = value.get("kwargs") if "lc" in value else value.get("node", value)
    node = node if isinstance(node, Mapping) else value
    metadata = as_map(node.get("metadata") or node.get("meta"))
    found = {
        "id": first(node, ("id", "id_", "doc_id")) or metadata.get("id"),
        "content": first(node, ("content", "page_content", "text")),
        "score": first(value, ("score",)) if "score" in value else metadata.get("score"),
        "metadata": dict(metadata),
    }
    return {key: item for key, item in found.items() if item not in (None, {})}


_CALL = frozenset({"args", "kwargs", "sanitize_inputs_outputs"})  # the last is smolagents' own


def named_arguments(value: Any) -> Any:
    """The arguments of a call that is recorded as ``{"args": [..], "kwargs": {..}}``; else as is.

    A single one given by its place is its bare value; the names of several cannot be told: None.
    """
    if not isinstance(value, Mapping) or "kwargs" not in value or set(value) - _CALL:
        return value
    placed, named = as_list(value.get("args")), as_map(value["kwargs"])
    if not placed:
        return named
    is_bare = len(placed) == 1 and not named and not isinstance(placed[0], Mapping)
    return placed[0] if is_bare else None


def query(value: Any) -> Any:
    """A bare query as the argument that it is, so that an expectation can name it."""
    return {"query": value} if isinstance(value, str) else value


_FIRST_TOKEN = {
    "gen_ai.response.time_to_first_chunk": 1.0,
    "gen_ai.server.time_to_first_token": 1e-3,
    "ttft_ms": 1e-3,
    "ai.response.msToFirstChunk": 1e-3,
    "ai.response.msToFirstText": 1e-3,
}


def first_token(span: Span) -> float | None:
    """Seconds from the start of a call to its first token, where the span tells."""
    for key in shape_of(span.attributes).tells(_names).first_token:
        found = amount(span.attributes[key])
        return None if found is None else found * _FIRST_TOKEN[key]
    for event in span.events:
        if event.name in ("First Token Stream Event", "gen_ai.content.first_token"):
            return max(0, event.time_ns - span.start_ns) / 1e9
    return None
