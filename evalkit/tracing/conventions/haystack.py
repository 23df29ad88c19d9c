"""Haystack's own tracer: ``haystack.*``, with inputs and outputs where content tracing is on."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, repeat
from typing import Any

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.answers import model_answer
from evalkit.tracing.attributes import (
    as_list,
    as_map,
    count,
    first,
    label,
    model_output,
    plain,
    step_name,
    stop_reason,
    structured,
)
from evalkit.tracing.readings import documents, only_text
from evalkit.trajectory import Step

_WRAPPERS = frozenset({"haystack.agent.step", "haystack.tracing.auto_enable"})


class Haystack:
    """Reads spans of Haystack pipelines, components and agents."""

    name = "haystack"
    claims_by_keys = True
    names = ("haystack.",)

    def claims(self, span: Span) -> bool:
        """Whether the span has one of Haystack's names."""
        return span.name.startswith("haystack.")

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span by its name, components by their type."""
        if span.name in _WRAPPERS:
            return Reading(role="wrapper")
        if span.name == "haystack.agent.step.tool":
            return _step(_tool(span))
        if span.name == "haystack.agent.step.llm":
            return _step(_llm(span, "haystack.agent.step.llm.output"))
        if span.name == "haystack.agent.run":
            return _step(_agent(span, parent))
        if span.name.endswith("pipeline.run"):
            return _step(_pipeline(span))
        if span.name in ("haystack.component.run", "haystack.chat_generator.run"):
            return _component(span)
        return Reading(role="unknown")


def _pipeline(span: Span) -> Step:
    found = span.attributes
    return Step(
        kind="workflow",
        name=step_name(found.get("haystack.pipeline.name"), "pipeline"),
        arguments=plain(structured(found.get("haystack.pipeline.input_data"))),
        # Versions before 3 write it before the pipeline has run: empty, whatever comes of it.
        output=plain(_answer(structured(found.get("haystack.pipeline.output_data")))) or None,
    )


def _answer(output: Any) -> Any:
    """What a pipeline answered: the text, where one component's messages or replies came out."""
    parts = list(map(as_map, output.values())) if isinstance(output, Mapping) else []
    said = as_list(first(parts[0], ("messages", "replies"))) if len(parts) == 1 else []
    told = model_answer(said[-1:])
    return output if told.text is None or told.calls else told.text


def _agent(span: Span, parent: Span | None) -> Step:
    name = parent.attributes.get("haystack.component.name") if parent is not None else None
    said = as_list(as_map(span.attributes.get("haystack.agent.output")).get("messages"))
    return Step(
        kind="agent",
        name=step_name(name, "agent"),
        arguments=plain(structured(span.attributes.get("haystack.agent.input"))),
        output=plain(model_answer(said[-1:]).text),
    )


def _component(span: Span) -> Reading:
    found = span.attributes
    kind = found.get("haystack.component.type")
    kind = kind if isinstance(kind, str) else ""
    if "Agent" in kind or "PromptBuilder" in kind:
        return Reading(role="wrapper")
    if kind == "ToolInvoker":
        return _invoked(span)
    if kind.endswith("Generator"):
        return _step(_llm(span, "haystack.component.output"))
    name = step_name(found.get("haystack.component.name"), span.name)
    given = structured(found.get("haystack.component.input"))
    said = structured(found.get("haystack.component.output"))
    if kind.endswith("Retriever") or "Ranker" in kind:
        listed = said.get("documents") if isinstance(said, Mapping) else None
        given = _stated(given)
        place: Any = "retriever" if kind.endswith("Retriever") else "reranker"
        return _step(
            Step(
                kind=place,
                name=name,
                arguments=plain(given),
                output=None if listed is None else plain(documents(listed)),
            )
        )
    if "Embedder" in kind:
        return _step(Step(kind="embedding", name=name))
    return _step(Step(kind="node", name=name, arguments=plain(given), output=plain(said)))


def _invoked(span: Span) -> Reading:
    """How versions before 3 call tools: all that a model asked for at once, in one span."""
    calls = _parts(span, "haystack.component.input", "messages", "tool_call")
    results = _parts(span, "haystack.component.output", "tool_messages", "tool_call_result")
    if not calls:
        return Reading(role="wrapper")
    made = [_call(call, _result_of(call, results)) for call in calls]
    return _step(made[0]) if len(made) == 1 else Reading(role="step", steps=tuple(made))


def _result_of(call: Mapping[str, Any], results: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Takes the next result that says that it is this call's, or does not say whose it is."""
    for result in results:
        if as_map(result.get("origin", call)) == call:
            results.remove(result)
            return result
    return {}


def _call(call: Mapping[str, Any], result: Mapping[str, Any]) -> Step:
    output = only_text(structured(result.get("result")))
    failed = result.get("error") is True
    return Step(
        kind="tool",
        name=step_name(call.get("tool_name")),
        arguments=plain(call.get("arguments")),
        output=plain(output),
        status="error" if failed else "ok",
        error=(label(output) or "error")[:500] if failed else None,
        call_id=label(call.get("id")),
    )


def _parts(span: Span, key: str, messages: str, part: str) -> list[Mapping[str, Any]]:
    """The parts of one kind in the messages of an input or output."""
    listed = map(as_map, as_list(as_map(span.attributes.get(key)).get(messages)))
    contents = (as_list(first(message, ("content", "_content"))) for message in listed)
    parts = (as_map(one).get(part) for content in contents for one in content)
    return [found for one in parts if (found := as_map(one))]


def _stated(given: Any) -> Any:
    """The arguments that were given: a component's unset parameters are null."""
    if not isinstance(given, Mapping):
        return given
    return {key: value for key, value in given.items() if value is not None}


def _llm(span: Span, key: str) -> Step:
    replies = _replies(as_map(span.attributes.get(key)))
    said = model_answer(replies)
    given = (first(reply, ("meta", "_meta")) for reply in map(as_map, replies) if reply)
    meta = as_map(next(given, None))
    used = as_map(meta.get("usage"))
    return Step(
        kind="llm",
        name=step_name(span.attributes.get("haystack.component.type"), "llm"),
        output=plain(model_output(said.text, said.calls)),
        stop_reason=stop_reason(said.stop_reason),
        model_served=label(said.model),
        tokens_in=count(used.get("prompt_tokens"), used.get("input_tokens")),
        tokens_out=count(used.get("completion_tokens"), used.get("output_tokens")),
        tokens_cached=count(as_map(used.get("prompt_tokens_details")).get("cached_tokens")),
        tokens_reasoning=count(
            as_map(used.get("completion_tokens_details")).get("reasoning_tokens")
        ),
    )


def _replies(output: Mapping[str, Any]) -> list[Any]:
    """A generator's replies as messages: one of text has what is known of each beside them."""
    replies, known = as_list(output.get("replies")), as_list(output.get("meta"))
    return [
        {"content": reply, "meta": meta} if isinstance(reply, str) else reply
        for reply, meta in zip(replies, chain(known, repeat(None)), strict=False)
    ]


def _tool(span: Span) -> Step:
    found = span.attributes
    output = structured(found.get("haystack.agent.step.tool.output"))
    failed = found.get("haystack.tool.error") in (True, "true", "True")
    said = output.get("error") if isinstance(output, Mapping) else output
    return Step(
        kind="tool",
        name=step_name(found.get("haystack.tool.name"), span.name),
        arguments=plain(structured(found.get("haystack.agent.step.tool.input"))),
        output=plain(output),
        status="error" if failed else "ok",
        error=(label(said) or "error")[:500] if failed else None,
    )


def _step(step: Step) -> Reading:
    return Reading(role="step", step=step)
