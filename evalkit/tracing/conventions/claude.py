"""Claude Code and the Claude Agent SDK: ``span.type`` of the CLI's own telemetry.

A tool's arguments and the model that served are only in log records, which arrive as events of
the interaction, that is of the parent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.attributes import amount, count, label, plain, step_name, structured
from evalkit.tracing.readings import model_call, only_text, tool_call
from evalkit.trajectory import Step

_SCOPE = "com.anthropic.claude_code"
_SAME_CALL = ("input_tokens", "output_tokens", "cache_read_tokens", "ttft_ms")


class Claude:
    """Reads spans of the Claude CLI, with what its log records add."""

    name = "claude"
    claims_by_keys = True
    names = ("claude_code.",)

    def claims(self, span: Span) -> bool:
        """Whether the span is of the CLI's scope or has its name."""
        return span.scope.startswith(_SCOPE) or span.name.startswith("claude_code.")

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span by its type; waiting for the user is a wrapper, as is a tool's execution."""
        kind = span.attributes.get("span.type")
        if kind == "interaction":
            return _step(_interaction(span))
        if kind == "llm_request":
            return _step(_llm(span, parent))
        if kind == "tool":
            return _step(_tool(span, parent))
        if kind == "tool.execution":
            failed = span.attributes.get("success") in (False, "false")
            return _step(_execution(span, parent)) if failed else Reading(role="wrapper")
        return Reading(role="wrapper" if isinstance(kind, str) else "unknown")


def _events(span: Span | None, name: str) -> Iterator[Mapping[str, Any]]:
    for event in span.events if span is not None else ():
        if event.name.removeprefix("claude_code.") == name:
            yield event.attributes


def _interaction(span: Span) -> Step:
    said = [event.get("response") for event in _events(span, "assistant_response")]
    prompt = span.attributes.get("user_prompt")
    return Step(
        kind="agent",
        name=step_name(span.attributes.get("gen_ai.agent.name"), "claude_code"),
        arguments=None
        if prompt is None
        else {"messages": [{"role": "user", "content": plain(prompt)}]},
        output=plain(said[-1]) if said else None,
    )


def _llm(span: Span, parent: Span | None) -> Step:
    """A model call; its ``input_tokens`` leave out what was read from and written to the cache."""
    found = span.attributes
    step = model_call(span)
    cached = count(found.get("cache_read_tokens"))
    parts = (found.get("input_tokens"), cached, found.get("cache_creation_tokens"))
    told = count(found.get("input_tokens"))
    request = next((one for one in _requests(span, parent) if _is_same(found, one)), {})
    return replace(
        step,
        model_served=step.model_served or label(request.get("model")),
        tokens_in=step.tokens_in if told is None else sum(count(part) or 0 for part in parts),
        tokens_out=count(step.tokens_out, found.get("output_tokens")),
        tokens_cached=count(step.tokens_cached, cached),
        cost_usd=amount(step.cost_usd, _number(request.get("cost_usd"))),
        status="error" if found.get("success") in (False, "false") else "ok",
        error=label(found.get("error")),
    )


def _requests(span: Span, parent: Span | None) -> Iterator[Mapping[str, Any]]:
    yield from _events(span, "api_request")
    yield from _events(parent, "api_request")


def _is_same(found: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    told = [key for key in _SAME_CALL if key in found and key in request]
    return len(told) > 1 and all(count(found[key]) == count(request[key]) for key in told)


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return None


def _tool(span: Span, parent: Span | None) -> Step:
    step = tool_call(span, label(span.attributes.get("gen_ai.tool.name")))
    results = [
        event
        for event in (*_events(span, "tool_result"), *_events(parent, "tool_result"))
        if event.get("tool_use_id") == step.call_id
    ]
    told = results[0] if results else {}
    outputs = [event.get("output") for event in _events(span, "tool.output")]
    failed = told.get("success") in (False, "false")
    return replace(
        step,
        arguments=plain(structured(told.get("tool_input"))) if told else step.arguments,
        output=plain(only_text(structured(outputs[-1]))) if outputs else step.output,
        status="error" if failed else step.status,
        error=label(told.get("error")) if failed else step.error,
    )


def _execution(span: Span, parent: Span | None) -> Step:
    """The failure of a tool, which its own span does not tell: folded into it by its name."""
    name = parent.attributes.get("gen_ai.tool.name") if parent is not None else None
    error = label(span.attributes.get("error")) or label(span.attributes.get("error_class"))
    return Step(kind="tool", name=step_name(name, span.name), status="error", error=error)


def _step(step: Step) -> Reading:
    return Reading(role="step", step=step)
