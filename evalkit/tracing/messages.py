"""What the messages of model calls tell about tools: results, by the id of the call.

Each call to a model repeats the history, so a result that no span recorded is often found in the
input of a later one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from evalkit.spans import Span
from evalkit.tracing.attributes import as_list, as_map, first, indexed, label, structured
from evalkit.tracing.genai_messages import message_calls, raw_messages
from evalkit.tracing.readings import only_text

_LISTS = ("ai.prompt.messages", "mastra.model_step.input")
_ENVELOPES = (
    "langfuse.observation.input",
    "haystack.agent.step.llm.input",
    "haystack.component.input",
    "gen_ai.prompt",
    "input.value",
    "gcp.vertex.agent.llm_request",
)
_RESULTS = ("tool_call_response", "tool_result", "tool-result", "function_response")
_RESULT = ("response", "result", "content", "output", "text")
_ID = ("id", "tool_call_id", "call_id", "toolCallId", "tool_use_id", "toolUseId")


class ToolResult(NamedTuple):
    """What a tool returned, as a later model call was told; the call where the history has it."""

    call_id: str
    value: Any
    name: str | None = None
    arguments: Any = None


def tool_results(span: Span) -> Iterator[ToolResult]:
    """The results in the messages that a model was given, each with the call that it answers.

    A result without an id answers the first call before it that has no answer yet.
    """
    open_calls: dict[str, dict[str, Any]] = {}
    for message in _messages(span):
        for call in message_calls(message):
            if call["id"] is not None:
                open_calls[call["id"]] = call
        for told, value in _results(message):
            call_id = told or next(iter(open_calls), None)
            if call_id is not None:
                call = open_calls.pop(call_id, {})
                yield ToolResult(call_id, value, call.get("name"), call.get("arguments"))


def _messages(span: Span) -> Iterator[Mapping[str, Any]]:
    found = span.attributes
    if raw := raw_messages(span, "input"):
        yield from raw
        return
    if "llm.input_messages.0.message.role" in found:
        for flat in indexed(found, "llm.input_messages"):
            message = {key.removeprefix("message."): value for key, value in flat.items()}
            message["tool_calls"] = [
                {key.removeprefix("tool_call."): value for key, value in call.items()}
                for call in indexed(message, "tool_calls")
            ]
            yield message
        return
    for key in _LISTS:
        if key in found:
            yield from _maps(found[key])
            return
    for key in _ENVELOPES:
        if key in found:
            value = structured(found[key])
            inside = (
                first(value, ("messages", "contents", "input"))
                if isinstance(value, Mapping)
                else value
            )
            yield from _maps(inside)
            return


def _maps(value: Any) -> Iterator[Mapping[str, Any]]:
    for item in as_list(value):
        if isinstance(item, list):
            yield from (one for one in item if isinstance(one, Mapping))
        elif isinstance(item, Mapping):
            yield as_map(item.get("kwargs")) if "lc" in item else item


def _results(message: Mapping[str, Any]) -> Iterator[tuple[str | None, Any]]:
    content = structured(message.get("content"))
    told = label(first(message, ("tool_call_id", "call_id", "id")))
    is_tool = message.get("role") in ("tool", "function") or message.get("type") in (
        "tool",
        "function_call_output",
    )
    inside = list(_in_parts(message, content))
    if is_tool and not inside:
        result = first(message, ("content", "output", "result", "parts"))
        if isinstance(result, list) and len(result) == 1 and isinstance(result[0], Mapping):
            result = first(result[0], ("content", "text"))
        yield told, only_text(structured(result))
    yield from inside


def _in_parts(message: Mapping[str, Any], content: Any) -> Iterator[tuple[str | None, Any]]:
    for part in [
        *_maps(message.get("parts")),
        *_maps(content if isinstance(content, list) else None),
    ]:
        yield from _of_part(part)


def _of_part(part: Mapping[str, Any]) -> Iterator[tuple[str | None, Any]]:
    for key in ("toolResult", "function_response", "tool_call_result"):
        if isinstance(inner := part.get(key), Mapping):
            origin = as_map(inner.get("origin"))
            part = {"type": "tool_result", **inner, "id": first({**origin, **inner}, _ID)}
    told = label(first(part, _ID))
    if part.get("type") in _RESULTS and (told is not None or "name" in part):
        value = structured(first(part, _RESULT))
        if isinstance(value, Mapping) and set(value) == {"type", "value"}:
            value = value["value"]  # the AI SDK's {"type": "json", "value": ..}
        yield told, only_text(value)
