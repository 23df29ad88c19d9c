"""What an agent or a whole pipeline answered, out of the object its framework puts around it.

Any key may be a user's own. So an envelope is taken off only where the framework that recorded
the value is the one that makes it, and where all keys are that framework's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from evalkit.tracing.answers import model_answer
from evalkit.tracing.attributes import as_list, as_map

_SHOWN = re.compile(r"[A-Z]\w*(?=\(\w+=)")
"""How what Python shows of an object begins."""

_TOKENS = re.compile(
    r"""(?<!\w)b?(?:'(?:[^'\\]|\\.?)*'?|"(?:[^"\\]|\\.?)*"?)|(?P<open>[(\[{])|(?P<close>[)\]}])""",
    re.DOTALL,
)
"""Texts in quotes, and brackets; a quote within a word is an apostrophe."""

_CREW = frozenset({"raw", "json_dict", "pydantic"})
_CREW_OUTPUT = _CREW | {"tasks_output", "token_usage"}
_TASK_OUTPUT = _CREW | frozenset(
    {
        *("description", "name", "expected_output", "summary", "agent", "output_format"),
        *("messages", "tool_failures"),
    }
)

_EVENT = frozenset(
    {
        *("actions", "author", "avg_logprobs", "branch", "cache_metadata", "citation_metadata"),
        *("content", "custom_metadata", "error_code", "error_message", "finish_reason"),
        *("grounding_metadata", "id", "input_transcription", "interaction_id", "interrupted"),
        *("invocation_id", "live_session_resumption_update", "logprobs_result"),
        *("long_running_tool_ids", "model_version", "node_info", "output_transcription"),
        *("partial", "timestamp", "turn_complete", "usage_metadata"),
    }
)
_PART = frozenset(
    {
        *("code_execution_result", "executable_code", "file_data", "function_call"),
        *("function_response", "inline_data", "text", "thought", "thought_signature"),
        *("video_metadata",),
    }
)

_AGENT_OUTPUT = frozenset(
    {
        *("response", "structured_response", "current_agent_name", "raw", "tool_calls"),
        *("retry_messages",),
    }
)
_CHAT_MESSAGE = frozenset({"role", "additional_kwargs", "blocks", "content"})
_QUERY_RESPONSE = frozenset({"response", "source_nodes", "metadata"})

_HAYSTACK = frozenset(
    {
        *("messages", "replies", "last_message", "meta", "exit_reason", "step_count"),
        *("token_usage", "tool_call_counts"),
    }
)


def whole_answer(value: Any, framework: str) -> Any:
    """The answer in what ``framework`` recorded as an agent's or a pipeline's output.

    None for an object as Python shows it, which tells nothing. Whatever is no envelope of that
    framework's is the answer itself.
    """
    if isinstance(value, str):
        return None if _is_shown(value) else value
    take_off = _ENVELOPES.get(framework)
    return take_off(value) if take_off is not None and isinstance(value, Mapping) else value


def _is_shown(value: Any) -> bool:
    """Whether the whole text is one object as Python shows it, or the beginning of one."""
    if not isinstance(value, str) or (named := _SHOWN.match(value)) is None:
        return False
    depth = 0
    for token in _TOKENS.finditer(value, named.end()):
        depth += (token["open"] is not None) - (token["close"] is not None)
        if depth == 0:
            return not value[token.end() :].strip()
    return True


def _crewai(value: Mapping[str, Any]) -> Any:
    """Its outputs of a crew and of a task have the text beside much else."""
    keys = value.keys()
    is_own = keys >= _CREW and (keys <= _CREW_OUTPUT or keys <= _TASK_OUTPUT)
    return value["raw"] if is_own else value


def _google_adk(value: Mapping[str, Any]) -> Any:
    """Its events have a content as Gemini's."""
    content = as_map(value.get("content"))
    parts = as_list(content.get("parts"))
    is_own = value.keys() <= _EVENT and content.keys() <= {"parts", "role"}
    is_told = bool(parts) and all(isinstance(part, Mapping) and part for part in parts)
    if is_own and is_told and all(part.keys() <= _PART for part in parts):
        return model_answer(value).text
    return value


def _autogen(value: Mapping[str, Any]) -> Any:
    """Its results of tasks are the messages, of which the last is the answer."""
    said = as_list(value.get("messages"))
    last = as_map(said[-1]) if said else {}
    is_own = value.keys() == {"messages", "stop_reason"} and {"source", "content"} <= last.keys()
    return last["content"] if is_own else value


def _llama_index(value: Mapping[str, Any]) -> Any:
    """Its query engines give a response beside its sources, its agents a message in an event."""
    keys = value.keys()
    if {"response", "source_nodes"} <= keys <= _QUERY_RESPONSE:
        return value["response"]
    output = as_map(value.get("result")) if keys == {"result"} else {}
    message = as_map(output.get("response")) if output.keys() <= _AGENT_OUTPUT else {}
    is_own = "role" in message and message.keys() <= _CHAT_MESSAGE
    return model_answer(message).text if is_own else value


def _haystack(value: Mapping[str, Any]) -> Any:
    """Its messages are shown as Python does."""
    said = [one for key in ("messages", "replies") for one in as_list(value.get(key))]
    is_told = not said or not all(map(_is_shown, said)) or not value.keys() <= _HAYSTACK
    return value if is_told else None


_ENVELOPES: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "autogen_agentchat": _autogen,
    "crewai": _crewai,
    "google_adk": _google_adk,
    "haystack": _haystack,
    "llama_index": _llama_index,
    "llamaindex": _llama_index,
}
