"""A recorded chat, in the OpenAI message form or tau2-bench's own, becomes a trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from evalkit.tracing.failures import reports_failure
from evalkit.trajectory import Coverage, Step, Trajectory

MAX_DEPTH = 50
"""Arguments that nest deeper than this many levels are kept as the text that they were."""

MAX_ERROR = 2_000
NOTHING = msgspec.Raw(b"null")


class Function(msgspec.Struct, frozen=True):
    """The called function of an OpenAI tool call; ``arguments`` is JSON text, or an object."""

    name: str
    arguments: Any = None


class Call(msgspec.Struct, frozen=True):
    """A tool call: OpenAI's form has ``function``, tau2-bench's ``name`` and ``arguments``."""

    id: str | None = None
    function: Function | None = None
    name: str | None = None
    arguments: Any = None
    requestor: str | None = None


class Message(msgspec.Struct, frozen=True):
    """A message of either benchmark. A tool's message has its call's id as one of two keys."""

    role: str
    content: Any = None
    tool_calls: tuple[Call, ...] | None = None
    function_call: Function | None = None
    tool_call_id: str | None = None
    id: str | None = None
    name: str | None = None
    error: bool | None = None
    requestor: str | None = None
    timestamp: str | None = None
    cost: float | None = None
    usage: msgspec.Raw = NOTHING
    raw_data: msgspec.Raw = NOTHING


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one model call."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Reply(msgspec.Struct, frozen=True):
    """What the model's own answer tells: which model served it, and why it stopped."""

    model: str | None = None
    stop_reason: str | None = None
    finish_reason: str | None = None


def read_chat(
    messages: Sequence[Message],
    *,
    source: str,
    model: str | None = None,
    trace_id: str | None = None,
    stop_reason: str | None = None,
) -> Trajectory:
    """The agent's messages as model steps, and every tool call as a step of its actor.

    A call without a result never ran: it is an error. Messages of the user and the system are
    understood but no steps; other roles and results without a call count as not understood.
    """
    steps: list[Step] = []
    waiting: list[int] = []
    said: list[str] = []
    ignored = not_understood = 0
    before: int | None = None
    for message in messages:
        at = to_ns(message.timestamp)
        if message.role == "assistant":
            steps.append(_model_step(message, model, before, at))
            said += [text] if (text := text_of(message.content)) else []
        elif message.role in ("tool", "function"):
            not_understood += not _join(message, steps, waiting, at)
        elif message.role in ("user", "system"):
            ignored += not message.tool_calls
        else:
            not_understood += 1
        for call in _calls(message):
            waiting.append(len(steps))
            steps.append(_tool_step(call, message.role, at))
        before = at or before
    return Trajectory(
        steps=tuple(steps),
        output=said[-1] if said else None,
        said=tuple(said),
        trace_id=trace_id,
        stop_reason=stop_reason,
        coverage=Coverage(
            spans=len(messages),
            wrappers=ignored,
            not_understood=not_understood,
            conventions={source: len(messages)},
        ),
    )


def _calls(message: Message) -> tuple[Call, ...]:
    """The calls of a message; OpenAI's older form has one, and no id."""
    old = () if message.function_call is None else (Call(function=message.function_call),)
    return message.tool_calls or old


def text_of(content: Any) -> str:
    """The text of a message: a string, or the text parts of a list of parts."""
    if isinstance(content, str):
        return content.strip() and content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return ""


def to_ns(timestamp: str | None) -> int | None:
    """Nanoseconds since the epoch of an ISO 8601 time (UTC where it names no zone), or None."""
    try:
        time = datetime.fromisoformat(timestamp or "")
    except ValueError:
        return None
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def deeper_than(value: Any, limit: int) -> bool:
    """Whether lists and objects nest deeper than ``limit``; level by level, not recursively."""
    level = [value]
    for _ in range(limit + 1):
        nested = [item for item in level if isinstance(item, dict | list)]
        if not nested:
            return False
        level = [
            child
            for item in nested
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return True


def _model_step(message: Message, model: str | None, before: int | None, at: int | None) -> Step:
    usage = lenient(message.usage, Usage)
    counted = usage.prompt_tokens is not None or bool(message.cost)
    reply = lenient(message.raw_data, Reply)
    return Step(
        kind="llm",
        name=model or reply.model or "assistant",
        output=text_of(message.content) or None,
        model_requested=model,
        model_served=reply.model,
        stop_reason=reply.stop_reason or reply.finish_reason,
        tokens_in=_not_negative(usage.prompt_tokens),
        tokens_out=_not_negative(usage.completion_tokens),
        # A cost of 0 without tokens is one that was not known, or a greeting that no model wrote.
        cost_usd=_not_negative(message.cost) if counted else None,
        start_ns=before,
        end_ns=at,
    )


def _tool_step(call: Call, role: str, at: int | None) -> Step:
    given = call.function or Function(call.name or "unnamed", call.arguments)
    return Step(
        kind="tool",
        name=given.name,
        arguments=_arguments(given.arguments),
        status="error",
        error="no result was recorded: the call never ran",
        actor="user" if (call.requestor or role) == "user" else "agent",
        call_id=call.id,
        start_ns=at,
    )


def _join(message: Message, steps: list[Step], waiting: list[int], at: int | None) -> bool:
    """Gives a tool's message to the first waiting call that it answers; False if none does."""
    call_id = message.tool_call_id or message.id
    answered = (n for n in waiting if _is_answered(steps[n], call_id, message.name))
    number = next(answered, None)
    if number is None:
        return False
    waiting.remove(number)
    output = text_of(message.content)
    failed = bool(message.error) or reports_failure(output)
    steps[number] = replace(
        steps[number],
        output=output,
        status="error" if failed else "ok",
        error=output[:MAX_ERROR] if failed else None,
        end_ns=at,
    )
    return True


def _is_answered(step: Step, call_id: str | None, name: str | None) -> bool:
    if step.call_id is None and call_id is None and name is not None:
        return step.name == name
    return step.call_id == call_id


def _arguments(given: Any) -> Any:
    """Arguments as an object where they are JSON text of one; else as the model wrote them."""
    value = given
    if isinstance(given, str):
        try:
            value = msgspec.json.decode(given)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return given
    if deeper_than(value, MAX_DEPTH):
        return given if isinstance(given, str) else msgspec.json.encode(given).decode()
    return value


def lenient(raw: msgspec.Raw, shape: type[Any]) -> Any:
    """The raw JSON in this shape; an empty one where it is of another."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return shape()


def _not_negative(number: Any) -> Any:
    return number if number is not None and number >= 0 else None
