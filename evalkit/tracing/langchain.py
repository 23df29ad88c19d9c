"""LangChain's JSON envelopes around messages and tool results, taken off.

A message is ``{"type": "tool", "data": {"content": ..}}`` or, in older dumps,
``{"lc": 1, "kwargs": {"content": ..}}``; a state holds lists of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from evalkit.tracing.attributes import MAX_NESTING, structured


class ToolMessage(NamedTuple):
    """A tool's result: what it gave, the call that it answers, and what went wrong."""

    output: Any
    call_id: Any = None
    error: str | None = None


def tool_message(value: Any) -> ToolMessage:
    """The tool result in an ``output.value``; any other value is the output itself."""
    data = _message(value)
    if data is None:
        return ToolMessage(without_envelopes(value))
    content = structured(data.get("content"))
    failed = data.get("status") == "error"
    error = str(data.get("content") or "error").strip().partition("\n")[0][:500]
    return ToolMessage(content, data.get("tool_call_id"), error if failed else None)


def without_envelopes(value: Any, depth: int = 0) -> Any:
    """The value with each message in it as ``{"role", "content"}``, with its tool calls if any."""
    if depth > MAX_NESTING:
        return value
    if isinstance(value, list):
        return [without_envelopes(item, depth + 1) for item in value]
    if not isinstance(value, Mapping):
        return value
    data = _message(value)
    if data is None:
        return {key: without_envelopes(item, depth + 1) for key, item in value.items()}
    message = {"role": data.get("type"), "content": data.get("content")}
    return {**message, "tool_calls": calls} if (calls := data.get("tool_calls")) else message


def _message(value: Any) -> Mapping[str, Any] | None:
    """What a message's envelope holds, or None if the value is no message."""
    if not isinstance(value, Mapping):
        return None
    data = value.get("kwargs") if "lc" in value else value.get("data") if "type" in value else None
    return data if isinstance(data, Mapping) and "content" in data else None
