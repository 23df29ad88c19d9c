"""The messages of GenAI spans, wherever and in whichever shape a version puts them.

Attributes as JSON (``gen_ai.output.messages`` with parts), flattened (``gen_ai.completion.0.role``,
``gen_ai.output.messages.0.message.role``), and span events (``gen_ai.choice``,
``gen_ai.content.completion``, ``gen_ai.client.inference.operation.details``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from evalkit.spans import Span
from evalkit.tracing.answers import THOUGHTS
from evalkit.tracing.attributes import (
    as_list,
    as_map,
    indexed,
    label,
    parsed,
    step_name,
    structured,
)
from evalkit.tracing.shapes import flattened, shape_of

_KEYS = {
    "input": ("gen_ai.input.messages", "gen_ai.prompt"),
    "output": ("gen_ai.output.messages", "gen_ai.completion"),
}
_OLD_EVENTS = {
    "input": {
        "gen_ai.system.message": "system",
        "gen_ai.user.message": "user",
        "gen_ai.assistant.message": "assistant",
        "gen_ai.tool.message": "tool",
    },
    "output": {"gen_ai.choice": "assistant"},
}


_HOSTED = frozenset(
    {"code_interpreter_call", "file_search_call", "image_generation_call", "web_search_call"}
)
_AT_PROVIDER = ("server_tool_call", "server_tool_use")


def _holder(side: str) -> Callable[[tuple[str, ...]], bool]:
    """Tells of keys whether one of them may hold messages: mostly no content is recorded."""
    names = (*_KEYS[side], "events")
    starts = tuple(f"{name}." for name in _KEYS[side])
    return lambda keys: any(key in names or key.startswith(starts) for key in keys)


_MAY_HOLD = {side: _holder(side) for side in _KEYS}


class Answer(NamedTuple):
    """What a model said: its text, the tools it called, and why it stopped."""

    text: str | None
    calls: list[dict[str, Any]]
    stop_reason: Any


def answer(span: Span) -> Answer:
    """All output messages of the span as one answer."""
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    reason: Any = None
    for message in raw_messages(span, "output"):
        said, called = _read(message)
        texts += said if message.get("role") not in THOUGHTS else ()
        calls += called
        reason = reason or message.get("finish_reason")
    if not calls:
        for message in indexed(span.attributes, "gen_ai.completion"):
            name = message.get("function_call.name")
            if name is not None:
                arguments = message.get("function_call.arguments")
                calls.append(_call({"name": name, "arguments": arguments}))
    return Answer("\n".join(texts) or None, calls, reason)


def messages(span: Span, side: str) -> list[dict[str, Any]]:
    """The span's ``input`` or ``output`` messages as ``{"role", "content"[, "tool_calls"]}``."""
    found = []
    for raw in raw_messages(span, side):
        texts, calls = _read(raw)
        message = {"role": raw.get("role"), "content": "\n".join(texts) or None}
        found.append({**message, "tool_calls": calls} if calls else message)
    return found


def raw_messages(span: Span, side: str) -> Sequence[Mapping[str, Any]]:
    """The messages as recorded, from the first place that has some."""
    attributes = span.attributes
    if not span.events and not shape_of(attributes).tells(_MAY_HOLD[side]):
        return ()
    key, old_key = _KEYS[side]
    if (value := attributes.get(key)) is not None and (found := _maps(value)):
        return found
    sources = [attributes, *(event.attributes for event in span.events)]
    for source in sources:
        value = source.get(key)
        if value is not None and (found := _maps(value)):
            return found
        lists = shape_of(source).tells(flattened)
        if key in lists or old_key in lists:
            return _flattened(source, key, old_key)
    has_events = bool(span.events) or "events" in span.attributes
    if has_events and (found := list(_from_events(span, side))):
        return found
    for source in sources:
        if old_key in source and (found := _old_value(source[old_key])):
            return found
    return ()


def _flattened(source: Mapping[str, Any], key: str, old_key: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for flat in [*indexed(source, key), *indexed(source, old_key)]:
        message = {name.removeprefix("message."): value for name, value in flat.items()}
        message["tool_calls"] = [
            {name.removeprefix("tool_call."): value for name, value in call.items()}
            for call in indexed(message, "tool_calls")
        ]
        if "content" not in message:
            parts = indexed(message, "content") or [
                {name.removeprefix("message_content."): value for name, value in part.items()}
                for part in indexed(message, "contents")
            ]
            message["content"] = parts or message.get("text")
        found.append(message)
    return found


def _from_events(span: Span, side: str) -> Iterator[Mapping[str, Any]]:
    roles = _OLD_EVENTS[side]
    for name, attributes in _events(span):
        if name not in roles:
            continue
        body = structured(attributes.get("body"))
        found = {**attributes, **body} if isinstance(body, Mapping) else attributes
        message = parsed(found.get("message"))
        if isinstance(message, Mapping):
            yield {**found, **message}
        else:
            content = found.get("content") if message is None else message
            yield {"role": roles[name], **found, "content": structured(content)}


def _events(span: Span) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The span's events, or those that Pydantic AI and Logfire keep in an attribute."""
    for event in span.events:
        yield event.name, event.attributes
    if "events" in span.attributes:
        for told in _maps(span.attributes["events"]):
            yield str(told.get("event.name")), told


def _old_value(value: Any) -> list[Mapping[str, Any]]:
    found = structured(value)
    if isinstance(found, str):
        return [{"content": found}]
    listed = [found] if isinstance(found, Mapping) else _maps(found)
    are_parts = bool(listed) and all(
        "role" not in part and ("text" in part or "toolUse" in part) for part in listed
    )
    return [{"role": "assistant", "content": listed}] if are_parts else listed


def _maps(value: Any) -> list[Mapping[str, Any]]:
    if isinstance(value, str):
        value = parsed(value)
    if not isinstance(value, list):
        value = as_list(value)
    return [item for item in value if isinstance(item, dict)]


def _read(message: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """The texts and the tool calls of one message, with parts or in the older shapes."""
    content, called = message.get("content"), message.get("tool_calls")
    listed = message.get("parts")
    texts = [content] if isinstance(content, str) and content else []
    calls = [_call(as_map(call)) for call in as_list(called)] if called else []
    if isinstance(old := message.get("function_call"), dict):  # OpenAI's form before tools
        calls.append(_call(old))
    parts = [] if listed is None else _maps(listed)
    if content is not None and not texts:
        parts += _maps(content)
    for part in parts:
        kind = part.get("type")
        said = part["content"] if "content" in part else part.get("text")
        if kind in ("text", None) and isinstance(said, str):
            texts.append(said)
        elif kind in ("tool_call", "tool_use", "function_call"):
            calls.append(_call(part))
        elif kind in _AT_PROVIDER:
            calls.append(_provider_call(part))
        elif isinstance(used := part.get("toolUse"), dict):
            calls.append(_call({**used, "id": used.get("toolUseId")}))
    return ([said for said in texts if not _repeats(said, calls)] if calls else texts), calls


def _repeats(said: str, calls: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a text is the JSON of one of the calls beside it, of a thought, or of no text.

    OpenLLMetry writes them so.
    """
    if said in ('""', "[]"):
        return True
    told = as_map(said) if said.startswith("{") else {}
    ids = [told.get(key) for key in ("id", "call_id")]
    is_call = any(call["id"] in ids for call in calls if call["id"])
    return "type" in told and (is_call or told["type"] in THOUGHTS)


def message_calls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tool calls in one recorded message, as ``{"id", "name", "arguments"}``."""
    return _read(message)[1]


def own_calls(calls: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The calls that are left to the pipeline: those that the provider made did not stop it."""
    return [call for call in calls if not call.get("at_provider")]


def _provider_call(part: Mapping[str, Any]) -> dict[str, Any]:
    """A tool that the provider runs while the model answers, such as a search of the web."""
    stated = part.get("server_tool_call")
    if isinstance(stated, dict):
        part = {**part, "arguments": {key: stated[key] for key in stated if key != "type"}}
        part.setdefault("name", stated.get("type"))
    return {**_call(part), "at_provider": True}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = as_map(call.get("function")) or {
        "name": call.get("function.name", call.get("name")),
        "arguments": call.get("function.arguments", call.get("arguments", call.get("input"))),
    }
    told = label(call.get("id"))
    # OpenAI's id of the item in its answer is not that of the call: its result has another.
    call_id = None if told is not None and told.startswith("fc_") else told
    return named_call(call_id, function.get("name"), function.get("arguments"))


def named_call(call_id: str | None, name: Any, arguments: Any) -> dict[str, Any]:
    """A tool call; one that OpenAI ran while the model answered has the name of its item."""
    made = {"id": call_id, "name": step_name(name), "arguments": parsed(arguments)}
    if made["name"] in _HOSTED:
        return {**made, "name": made["name"].removesuffix("_call"), "at_provider": True}
    return made
