"""OpenAI chat messages: a list of them, ``{"messages": [...]}``, or one of either per line."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

import msgspec

from evalkit.errors import InputError
from evalkit.tracing import ids
from evalkit.tracing.cutting import Shape, pieces
from evalkit.tracing.parts import Part, part_of_trajectory
from evalkit.tracing.reasons import Reasons
from evalkit.tracing.tau.chat import NOTHING, Message, read_chat

KEYS = ("role", "messages")
MAX_MESSAGES = 100_000
"""A longer conversation is refused."""

_MAX_LISTS = 3
_AT_ONCE = 1024 * 1024
"""The elements of a longer array are taken one by one. Bytes."""

_LIST: Shape = {"": {}}
_KEY = re.compile(rb'(?<!\\)"(role|messages)"\s*:')


class _Told(msgspec.Struct):
    """What stands beside the messages of a conversation, and they, all as they were written."""

    messages: msgspec.Raw = NOTHING
    trace_id: msgspec.Raw = NOTHING
    id: msgspec.Raw = NOTHING
    conversation_id: msgspec.Raw = NOTHING
    model: msgspec.Raw = NOTHING


class _Role(msgspec.Struct):
    """What every message has."""

    role: str


class _Conversation(NamedTuple):
    messages: list[bytes | msgspec.Raw]
    told: _Told


def shape(start: bytes) -> Shape | None:
    """How a document that begins so can be cut: a list of conversations; one of them cannot."""
    opening = start.lstrip()
    if not opening.startswith(b"["):
        return None
    key = _KEY.search(opening)
    is_message = key is not None and key[1] == b"role" and opening[1:].lstrip()[:1] == b"{"
    return None if is_message else _LIST


def read(document: bytes, refused: Reasons) -> list[Part]:
    """One trajectory per conversation. Raises InputError if there is none in the document, or it
    is no JSON."""
    counts = Reasons()
    parts = []
    try:
        if len(document) > _AT_ONCE:
            msgspec.json.decode(document, type=msgspec.Raw)
        for one in _conversations(document):
            if len(one.messages) > MAX_MESSAGES:
                counts[f"conversation of more than {MAX_MESSAGES:,} messages"] += 1
                continue
            try:
                parts.append(_part(one))
            except msgspec.ValidationError as error:
                counts[f"conversation is malformed: {str(error)[:200]}"] += 1
        if not parts and not counts:
            msgspec.json.decode(document, type=msgspec.Raw)
            raise InputError("no chat messages: expected a list of objects with a `role`")
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise InputError(f"no chat messages: {error}") from None
    refused.update(counts)
    return parts


def _conversations(document: bytes | msgspec.Raw, depth: int = 0) -> Iterator[_Conversation]:
    """The conversations in a document, one after another: of each at most one message too many."""
    told = _decoded(document, _Told)
    elements = _elements(document if told is None else told.messages)
    first = next(elements, NOTHING)
    if _decoded(first, _Role) is not None:
        yield _Conversation([first, *islice(elements, MAX_MESSAGES)], told or _Told())
    elif told is None and depth < _MAX_LISTS:
        for element in chain((first,), elements):
            yield from _conversations(element, depth + 1)


def _elements(array: bytes | msgspec.Raw) -> Iterator[bytes | msgspec.Raw]:
    """The elements of an array as they stand there; none of anything else."""
    written = bytes(array)
    if len(written) <= _AT_ONCE:
        yield from _decoded(written, list[msgspec.Raw]) or ()
    elif written.lstrip()[:1] == b"[":
        yield from pieces(written, io.BytesIO(), _LIST, Reasons())


def _decoded(document: bytes | msgspec.Raw, kind: Any) -> Any:
    try:
        return msgspec.json.decode(document, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None


def _part(found: _Conversation) -> Part:
    told = found.told
    messages = [msgspec.json.decode(one, type=Message) for one in found.messages]
    named = (_decoded(key, Any) for key in (told.trace_id, told.id, told.conversation_id))
    trace_id = next((known for one in named if (known := ids.trace_id(one))), None)
    trace_id = trace_id or _digest(found.messages)
    trajectory = read_chat(
        messages, source="chat", model=_decoded(told.model, str), trace_id=trace_id
    )
    return part_of_trajectory(trace_id, trajectory)


def _digest(messages: list[bytes | msgspec.Raw]) -> str:
    """Of what the messages say, however it is written."""
    said = b",".join([msgspec.json.encode(msgspec.json.decode(one)) for one in messages])
    return hashlib.sha256(b"[%s]" % said).hexdigest()[:32]
