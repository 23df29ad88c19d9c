"""OpenAI chat messages: a list of them, ``{"messages": [...]}``, or one of either per line."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from evalkit.errors import InputError
from evalkit.tracing import ids
from evalkit.tracing.parts import Part, part_of_trajectory
from evalkit.tracing.reasons import Reasons
from evalkit.tracing.tau.chat import Message, read_chat

KEYS = ("role", "messages")


def read(document: bytes, refused: Reasons) -> list[Part]:
    """One trajectory per conversation. Raises InputError if there is none in the document."""
    try:
        found = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise InputError(f"no chat messages: {error}") from None
    conversations = _conversations(found)
    if not conversations:
        raise InputError("no chat messages: expected a list of objects with a `role`")
    parts = []
    for one in conversations:
        try:
            parts.append(_part(one))
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            refused[f"conversation is malformed: {str(error)[:200]}"] += 1
    return parts


def _conversations(found: Any) -> list[dict[str, Any]]:
    """Each conversation as ``{"messages": [...]}`` with what stands beside them."""
    if isinstance(found, dict):
        return [found] if _are_messages(found.get("messages")) else []
    if _are_messages(found):
        return [{"messages": found}]
    listed = found if isinstance(found, list) else []
    return [one for inner in listed for one in _conversations(inner) if inner is not found][
        :100_000
    ]


def _are_messages(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and isinstance(one.get("role"), str) for one in value)
    )


def _part(found: dict[str, Any]) -> Part:
    listed = found["messages"]
    messages = msgspec.convert(listed, list[Message])
    named = (found.get(key) for key in ("trace_id", "id", "conversation_id"))
    digest = hashlib.sha256(msgspec.json.encode(listed)).hexdigest()[:32]
    trace_id = next((known for one in named if (known := ids.trace_id(one))), digest)
    model = found.get("model")
    trajectory = read_chat(
        messages,
        source="chat",
        model=model if isinstance(model, str) else None,
        trace_id=trace_id,
    )
    return part_of_trajectory(trace_id, trajectory)
