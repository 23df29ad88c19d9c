"""What a recording lost of its tool calls, completed from the model's own messages.

A tool's step takes arguments, call id and result from the call that the model made of it. A call
that no step shows, though its result is in the messages, is rebuilt and marked as inferred.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

from msgspec.structs import replace

from evalkit.tracing.attributes import plain, step_name, structured
from evalkit.tracing.messages import ToolResult
from evalkit.tracing.readings import only_text
from evalkit.trajectory import Step, Trajectory, Visit

Results = Callable[[], Mapping[str, ToolResult]]

# How structured answers are asked for: no tool that runs.
_ANSWERS = frozenset({"final_result", "StructuredOutput", "finish"})
_TRANSFER = re.compile(r"(?:transfer|handoff|hand_off)_to_(\w+)|handoff")
_ERROR_TEXT = re.compile(
    r"\s*(error\b|exception\b|traceback\b|failed to|an error occurred|i encountered an error|"
    r"tool execution failed|\w*(error|exception)\b ?[:(]|"
    r"(?:\w+ )?exit(?:ed with)? ?(?:code|status):? ?[1-9])",
    re.IGNORECASE,
)
# What a result that is nothing but a failure consists of, as Google ADK has tools return it.
_FAILURE = frozenset({"status", "error", "error_message", "error_code", "error_type", "message"})
_TELLING = frozenset({"error", "isError", "is_error", "response_type", "result", "status"})
_TARGETS = ("agent_name", "to_agent", "agent", "to")


class _Call(NamedTuple):
    """A call that a model made, by the number of the model's step."""

    number: int
    id: str | None
    name: str
    arguments: Any


def completed(
    steps: tuple[Step, ...], listed: Sequence[Step], results: Results
) -> tuple[Step, ...]:
    """The steps with what the messages add; ``results`` gives, by call id, what tools returned.

    ``listed`` are all of them in pre-order. Where there is nothing to add, the steps themselves.
    """
    called = lacking = unnamed = False
    for step in listed:
        if step.kind == "llm":
            called = called or (isinstance(step.output, dict) and "tool_calls" in step.output)
        elif step.kind in ("tool", "handoff"):
            lacking = lacking or _lacks(step)
            unnamed = unnamed or not step.call_id
    if not (called or lacking or unnamed):
        return steps
    visits = list(Trajectory(steps=steps).walk())
    tools = [visit for visit in visits if visit.step.kind in ("tool", "handoff")]
    calls = [call for visit in visits if visit.step.kind == "llm" for call in _calls(visit)]
    matched = _matched(calls, visits)
    left = [call for call in calls if id(call) not in matched and call.name not in _ANSWERS]
    if not (left or lacking or unnamed):
        return steps
    known = results() if left or lacking else {}
    left = _with_ids(left, known)
    changed = {
        number: _filled(visits[number].step, call, known)
        for call in calls
        for number in matched.get(id(call), ())
        if visits[number].step.kind in ("tool", "handoff")
    }
    for visit in tools:
        changed.setdefault(visit.number, _filled(visit.step, None, known))
    rebuilt: dict[int, list[Step]] = {}
    for call in left:
        if (call.id in known) or not tools:
            rebuilt.setdefault(call.number, []).append(
                _rebuilt(call, visits[call.number].step, known)
            )
    return _with_changes(steps, changed, rebuilt, count())


def _with_ids(calls: list[_Call], known: Mapping[str, ToolResult]) -> list[_Call]:
    """Calls recorded without an id, with the id that later messages give the same call."""
    used = {call.id for call in calls}
    found = []
    for call in calls:
        told = call.id
        if told is None:
            wanted = (call.name, call.arguments)
            same = (key for key, one in known.items() if (one.name, one.arguments) == wanted)
            told = next((key for key in same if key not in used), None)
            used.add(told)
        found.append(call._replace(id=told))
    return found


def _calls(visit: Visit) -> Iterator[_Call]:
    output = visit.step.output
    listed = output.get("tool_calls") if isinstance(output, Mapping) else None
    for call in listed if isinstance(listed, list) else ():
        if isinstance(call, Mapping) and isinstance(name := call.get("name"), str):
            yield _Call(visit.number, call.get("id"), name, call.get("arguments"))


def _lacks(step: Step) -> bool:
    return (
        step.arguments is None
        or isinstance(step.arguments, str)
        or (step.output is None and step.status == "ok")
    )


def _matched(calls: Sequence[_Call], visits: Sequence[Visit]) -> dict[int, list[int]]:
    """For each call, by identity, its steps: all of its id, else the next of its name."""
    free = [visit for visit in visits if visit.step.kind not in ("llm", "workflow", "embedding")]
    by_id: dict[str, list[int]] = {}
    for visit in free:
        if visit.step.call_id is not None:
            by_id.setdefault(visit.step.call_id, []).append(visit.number)
    taken = set()
    matched: dict[int, list[int]] = {}
    for call in calls:
        numbers = by_id.get(call.id or "")
        if numbers is None:
            start = visits[call.number].step.start_ns or 0
            numbers = [
                visit.number
                for visit in free
                if visit.number not in taken and _is_call(call, visit.step, start)
            ][:1]
        if numbers:
            matched[id(call)] = numbers
            taken.update(numbers)
    return matched


def _is_call(call: _Call, step: Step, start: int) -> bool:
    if (step.start_ns or 0) < start or step.call_id not in (None, call.id):
        return False
    if step.kind == "handoff":
        return _transfer(call.name) is not None
    return bare(step.name) == bare(call.name) and (
        not isinstance(step.arguments, Mapping)
        or not isinstance(call.arguments, Mapping)
        or step.arguments == call.arguments
        or step.kind != "tool"
    )


@lru_cache(maxsize=4096)
def _transfer(name: str) -> re.Match[str] | None:
    return _TRANSFER.fullmatch(name)


@lru_cache(maxsize=4096)
def bare(name: str) -> str:
    """A tool's name without its server's or plugin's: ``mcp__kb__find``, ``kb-find``."""
    return re.split(r"__|[-./]", name)[-1] or name


def _filled(step: Step, call: _Call | None, known: Mapping[str, ToolResult]) -> Step:
    """The step with the call's arguments and id, and its result; what was recorded stays."""
    if call is not None:
        step = replace(step, call_id=step.call_id or call.id)
        lost = step.arguments is None or (
            isinstance(step.arguments, str)
            and isinstance(call.arguments, Mapping)
            # One argument recorded without its name, or one of several.
            and step.arguments in call.arguments.values()
            and (len(call.arguments) == 1 or step.call_id == call.id)
        )
        if lost and step.kind == "tool":
            step = replace(step, arguments=plain(call.arguments))
        elif step.kind == "handoff" and step.name == call.name:  # whereto, the call alone tells
            given = plain(call.arguments)
            step = as_handoff(replace(step, kind="tool", arguments=given))
    told = known.get(step.call_id or "")
    if step.output is None and step.status == "ok" and told is not None:
        step = replace(step, output=plain(told.value))
        step = judged(step, from_messages=True)
    return step


def judged(step: Step, *, from_messages: bool = False) -> Step:
    """The step with the failure that only its result tells, marked as inferred.

    ``isError`` and its like always tell; words such as "Error: ..." only in a result that comes
    from the messages, because there no span could tell.
    """
    if step.status == "error" or not (error := _error_in(step.output, from_messages)):
        return step
    return replace(step, status="error", error=error[:500], inferred=step.inferred or "status")


def _error_in(output: Any, from_messages: bool) -> str | None:
    if isinstance(output, dict):
        if _TELLING.isdisjoint(output):
            return None
        told = output.get("error")
        flagged = output.get("isError", output.get("is_error")) is True
        if flagged or "ERROR_HANDLED" in str(output.get("response_type", "")):
            said = only_text(output.get("content"))
            return step_name(told, output.get("error_details"), said, "error")
        if output.get("status") == "error" and set(output) <= _FAILURE:
            return step_name(told, output.get("error_message"), output.get("message"), "error")
        if from_messages and isinstance(told, str) and set(output) <= {"error", "type", "status"}:
            return step_name(told)
        inner = structured(output.get("result")) if set(output) == {"result"} else None
        return _error_in(inner, from_messages) if inner is not None else None
    if from_messages and isinstance(output, str) and _ERROR_TEXT.match(output):
        return step_name(output)
    return None


def _rebuilt(call: _Call, model: Step, known: Mapping[str, ToolResult]) -> Step:
    """The step of a call that only the messages show; it took place after the model's answer."""
    told = known.get(call.id or "")
    step = Step(
        kind="tool",
        name=step_name(call.name),
        arguments=plain(call.arguments),
        output=None if told is None else plain(told.value),
        agent=model.agent,
        call_id=call.id,
        start_ns=model.end_ns,
        end_ns=model.end_ns,
        inferred="call",
    )
    return as_handoff(judged(step, from_messages=True))


def as_handoff(step: Step) -> Step:
    """A tool that hands over to another agent (``transfer_to_*``, ``handoff``), as the handoff."""
    found = _transfer(step.name) if step.kind == "tool" else None
    if found is None:
        return step
    given = step.arguments if isinstance(step.arguments, Mapping) else {}
    agents = [child.name for child in step.steps if child.kind == "agent"]
    told = [given.get(key) for key in _TARGETS] if found[1] in (None, "agent") else [found[1]]
    target = step_name(*agents[:1], *told, step.name)
    rest = {key: value for key, value in given.items() if key not in _TARGETS}
    arguments = {"from": step.agent, "to": target, **rest}
    return replace(step, kind="handoff", name=target, arguments=arguments)


def _with_changes(
    level: tuple[Step, ...],
    changed: Mapping[int, Step],
    rebuilt: Mapping[int, list[Step]],
    numbers: Iterator[int],
) -> tuple[Step, ...]:
    """The tree again, with steps exchanged by number, and rebuilt ones after their model call."""
    made: list[Step] = []
    for step in level:
        number = next(numbers)
        # At most MAX_DEPTH deep.
        below = _with_changes(step.steps, changed, rebuilt, numbers) if step.steps else ()
        made.append(replace(changed.get(number, step), steps=below))
        made.extend(rebuilt.get(number, ()))
    return tuple(made)
