"""What every instrumentation of LangChain and LangGraph hands on: chains, nodes and envelopes.

Which chains are steps is told by LangGraph's own metadata, wherever a convention keeps it. A
message is ``{"type": "tool", "data": {"content": ..}}`` or, in older dumps,
``{"lc": 1, "kwargs": {"content": ..}}``; a state holds lists of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from evalkit.spans import Span
from evalkit.tracing.attributes import MAX_NESTING, as_map, count, structured
from evalkit.trajectory import StepKind

# LangChain's and LangGraph's own building blocks, and the Agents SDK's loop: how the pipeline is
# put together, not what it does.
_WRAPPER_STARTS = ("Runnable", "ChannelWrite", "ChannelRead", "__")
_WRAPPER_ENDS = ("PromptTemplate", "OutputParser", "ToolsParser")
_HOOKS = (".before_agent", ".before_model", ".after_model", ".after_agent")
# Exceptions by which LangGraph goes on elsewhere or waits for a person: nothing failed.
_LEAVING = re.compile(
    r"(?:langgraph\.errors\.)?(?:ParentCommand|GraphInterrupt|NodeInterrupt|GraphBubbleUp)(?:\(|$)"
)
_WRAPPERS = frozenset({"LangGraph", "Agent workflow", "turn", "Prompt", "Span", "call_agent"})


def is_building_block(name: str) -> bool:
    """Whether a chain is one of the framework's own parts."""
    return (
        name in _WRAPPERS
        or name.startswith(_WRAPPER_STARTS)
        or name.endswith(_WRAPPER_ENDS + _HOOKS)
    )


def chain_kind(
    name: str,
    metadata: Mapping[str, Any],
    *,
    is_root: bool,
    is_agent: bool = False,
    below_agent: bool = False,
) -> StepKind | None:
    """What a chain is in the pipeline, or None for a wrapper.

    ``metadata`` is LangChain's (``langgraph_node``, ``ls_integration``, ``lc_agent_name``).
    ``is_agent`` says that the recording calls it an agent, ``below_agent`` that its parent is one.
    """
    if metadata.get("lc_agent_name") == name:
        return "agent"
    if "langgraph_node" in metadata:
        if metadata["langgraph_node"] != name or name.startswith("__"):
            return None
        # The nodes of `create_agent` belong to the agent, not to the pipeline.
        inner = metadata.get("ls_integration") == "langchain_create_agent" or name.endswith(_HOOKS)
        return None if inner or (below_agent and name in ("model", "tools")) else "node"
    if metadata.get("ls_integration") == "langgraph":
        return "workflow"
    if is_agent:
        return "agent"
    if is_root and (name == "LangGraph" or not is_building_block(name)):
        return "workflow"
    return None if is_building_block(name) else "node"


def counted(usage: Any) -> dict[str, int | None]:
    """The tokens in LangChain's ``usage_metadata``, whose prompt holds what was cached."""
    told = as_map(usage)
    given, spent = as_map(told.get("input_token_details")), as_map(told.get("output_token_details"))
    return {
        "tokens_in": count(told.get("input_tokens")),
        "tokens_out": count(told.get("output_tokens")),
        "tokens_cached": count(given.get("cache_read")),
        "tokens_reasoning": count(spent.get("reasoning")),
    }


def leaves_graph(span: Span) -> bool:
    """Whether what a span raised is how LangGraph hands over or interrupts, and no failure."""
    raised = [event.attributes for event in span.events if event.name == "exception"][-1:]
    told = [one.get(key) for one in raised for key in ("exception.type", "exception.message")]
    told += [span.attributes.get("error.type"), span.status_message]
    return any(isinstance(one, str) and _LEAVING.match(one) is not None for one in told)


def as_outcome(value: Any) -> Any:
    """What a chain returned, without the key that a recording puts around it."""
    if isinstance(value, Mapping) and len(value) == 1 and set(value) <= {"output", "outputs"}:
        value = next(iter(value.values()))
    return without_envelopes(value)


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
    if data is None and "content" in value and ("additional_kwargs" in value or _is_tool(value)):
        data = value
    return data if isinstance(data, Mapping) and "content" in data else None


def _is_tool(value: Mapping[str, Any]) -> bool:
    return "tool_call_id" in value and ("status" in value or "name" in value)
