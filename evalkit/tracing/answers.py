"""A model's answer out of the JSON of its SDK or framework: OpenAI, LangChain, Haystack, Gemini."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from evalkit.tracing.attributes import as_list, as_map, first, label, parsed, step_name, structured

_RESPONSE = frozenset(
    {"candidates", "choices", "content", "message", "output", "usage", "usage_metadata"}
)
"""Keys of which an SDK's response has one; a model's own JSON may speak of models too."""


THOUGHTS = ("reasoning", "thinking", "redacted_thinking")
"""Parts of an answer that are what the model thought, and not what it said."""

FAKE_ID = "__fake_id__"
"""Whose response the OpenAI Agents SDK made up itself, of chunks, with the model asked for."""


class ModelAnswer(NamedTuple):
    """What a model said, the tools it called, why it stopped, which model it was.

    ``usage`` is LangChain's count of the tokens, in its own words.
    """

    text: str | None
    calls: list[dict[str, Any]]
    stop_reason: Any = None
    model: Any = None
    usage: Any = None


def model_answer(value: Any) -> ModelAnswer:
    """The answer in a recorded output: a message, a list of them, or a response around them."""
    value = structured(value)
    if isinstance(value, str):
        return ModelAnswer(value or None, [])
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    reason = model = usage = None
    for message in _messages(value):
        usage = usage or message.get("usage_metadata")
        told = map(message.get, ("response_metadata", "meta", "_meta"))
        meta = as_map(next(filter(None, told), None))
        reason = reason or first(message, ("finish_reason",)) or meta.get("finish_reason")
        model = model or first(meta, ("model_name", "model"))
        texts += _texts(message)
        calls += _calls(message)
    is_own = isinstance(value, Mapping) and value.get("id") != FAKE_ID
    if is_own and not _RESPONSE.isdisjoint(value):
        model = model or first(value, ("model", "model_version", "modelVersion"))
    return ModelAnswer("\n".join(texts) or None, calls, reason, model, usage)


def _messages(value: Any) -> Iterator[Mapping[str, Any]]:
    """The messages in lists, choices, generations, replies or outputs, at most four levels in."""
    pending = [(value, 0)]
    while pending:
        found, depth = pending.pop(0)
        if isinstance(found, list) and depth < 6:
            pending = [(item, depth + 1) for item in found] + pending
        elif isinstance(found, Mapping):
            inside = _inside(found)
            if inside is None or depth >= 6:
                yield found
            else:
                pending.insert(0, (inside, depth + 1))


def _inside(found: Mapping[str, Any]) -> Any:
    if "lc" in found:
        return found.get("kwargs")
    if isinstance(message := found.get("message"), Mapping):
        info = as_map(found.get("generation_info"))
        reason = found.get("finish_reason") or info.get("finish_reason")
        inner = message.get("kwargs") if "lc" in message else message
        return {**as_map(inner), "finish_reason": reason} if reason else message
    for key in ("generations", "choices", "replies", "output", "messages"):
        if isinstance(found.get(key), list | Mapping):
            return found[key]
    return None


def _texts(message: Mapping[str, Any]) -> list[str]:
    content = _content(message)
    if isinstance(content, str):
        return [content] if content else []
    said = [first(part, ("text", "content")) for part in as_list(content) if _is_text(part)]
    return [text for text in said if isinstance(text, str) and text]


def _content(message: Mapping[str, Any]) -> Any:
    """A message's text, or its parts."""
    content = first(message, ("content", "text", "parts", "_content", "blocks"))
    if isinstance(content, Mapping):  # Gemini: {"parts": [..]}
        content = content.get("parts")
    return content


def _is_text(part: Any) -> bool:
    if not isinstance(part, Mapping) or part.get("type") in THOUGHTS:
        return False
    return "text" in part or part.get("type") == "text"


def _calls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    extra = as_map(message.get("additional_kwargs"))
    listed = as_list(message.get("tool_calls")) or as_list(extra.get("tool_calls"))
    if message.get("type") == "function_call":
        listed = [message]
    elif isinstance(old := message.get("function_call"), Mapping):
        listed = [*listed, old]
    parts = _content(message)
    found: list[Any] = []
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, Mapping):
            inside = [part[key] for key in ("tool_call", "function_call") if part.get(key)]
            is_call = part.get("type") in ("tool_use", "tool_call", "function_call")
            found += inside or ([part] if is_call else [])
    # LangChain lists the calls in an answer's parts once more beside them.
    listed = listed or found
    return [_call(call) for call in listed if isinstance(call, Mapping)]


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = as_map(call.get("function")) or call
    return {
        "id": label(first(call, ("call_id", "id"))),
        "name": step_name(first(function, ("name", "tool_name", "toolName"))),
        "arguments": parsed(first(function, ("arguments", "args", "input"))),
    }
