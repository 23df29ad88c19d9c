"""What the messages of model calls tell about tools: results, by the id of the call.

Each call to a model repeats the history, so a result that no span recorded is often found in the
input of a later one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from evalkit.spans import Span
from evalkit.tracing.attributes import (
    HIDDEN,
    as_list,
    as_map,
    first,
    indexed,
    is_flagged,
    label,
    structured,
)
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
_RESULTS = (
    "tool_call_response",
    "tool_result",
    "tool-result",
    "function_response",
    "server_tool_call_response",
    "web_search_tool_result",
)
_RESULT = ("response", "result", "content", "output", "text", "server_tool_call_response")
_FAILED = ("is_error", "isError", "error")
_MAX_SHARED = 100
"""Of so many calls that share an id the results are kept."""
_MAX_HISTORIES = 8
"""So many conversations that go on beside each other are told apart."""
_ID = ("id", "tool_call_id", "call_id", "toolCallId", "tool_use_id", "toolUseId")


_Told = tuple[str | None, Any, bool]
"""A result's call id, its value, and whether it is a failure's."""


class ToolResult(NamedTuple):
    """What a tool returned, as a later model call was told; the call where the history has it.

    ``told_ns`` is when that later call started; ``failed`` says that the result is an error's.
    """

    call_id: str
    value: Any
    name: str | None = None
    arguments: Any = None
    told_ns: int = 0
    failed: bool = False


class Results(NamedTuple):
    """What tools returned, by call id and in order, and when a history last had each id.

    Calls without an id have an empty one here. There are several of one id where several calls
    share it, and one for all the histories that repeat it. ``open_ns`` is when a history last had a
    call of this id and name without a result.
    """

    by_id: Mapping[str, Sequence[ToolResult]]
    last_ns: Mapping[str, int]
    open_ns: Mapping[tuple[str, str], int] = {}

    def of(self, call_id: str | None) -> Sequence[ToolResult]:
        """The results of the calls of this id."""
        return self.by_id.get(call_id or "", ())

    def lack(self, call_id: str | None, name: str, made_ns: int) -> bool:
        """Whether later messages go on with such a call, made by then, and have no result of it."""
        return self.open_ns.get((call_id or "", name), 0) > made_ns


NO_RESULTS = Results({}, {})


class _History:
    """Messages that a model was given, which later calls repeat and go on.

    ``open_calls`` are those without an answer yet, by id; ``told`` the ids of those that have one.
    """

    def __init__(self) -> None:
        self.messages: list[Mapping[str, Any]] = []
        self.open_calls: dict[str, deque[dict[str, Any]]] = {}
        self.told: dict[str, None] = {}

    def is_begun_by(self, given: Sequence[Mapping[str, Any]]) -> bool:
        """Whether other messages begin with all of these."""
        size = len(self.messages)
        return size <= len(given) and given[:size] == self.messages

    def goes_on(self, given: list[Mapping[str, Any]]) -> list[ToolResult]:
        """Takes messages that begin with these, and gives the results that are new in them."""
        found = list(_answers(given[len(self.messages) :], self.open_calls))
        self.messages = given
        self.told.update(dict.fromkeys(one.call_id for one in found))
        return found

    def answered(self, said: Iterable[Mapping[str, Any]]) -> list[ToolResult]:
        """The results beside their calls in what the model answered: its provider ran the tools."""
        return list(_answers(said, {key: deque(calls) for key, calls in self.open_calls.items()}))


def results_in(spans: Iterable[Span]) -> Results:
    """What the messages that the spans' models were given tell of results. Spans in order."""
    by_id: dict[str, list[ToolResult]] = {}
    last_ns: dict[str, int] = {}
    histories: deque[_History] = deque(maxlen=_MAX_HISTORIES)
    open_ns: dict[tuple[str, str], int] = {}
    for span in spans:
        given = list(_messages(span))
        begun = (one for one in reversed(histories) if one.messages and one.is_begun_by(given))
        history = next(begun, None)
        if history is None:
            history = _History()
        else:
            histories.remove(history)
        histories.append(history)  # the one that goes on is let go last
        told: dict[str, list[ToolResult]] = {}
        for result in (*history.goes_on(given), *history.answered(raw_messages(span, "output"))):
            told.setdefault(result.call_id, []).append(result)
        for call_id, calls in history.open_calls.items():
            open_ns.update({(call_id, call["name"]): span.start_ns for call in calls})
        last_ns.update(dict.fromkeys((*history.told, *told), span.start_ns))
        for call_id, results in told.items():
            known = by_id.setdefault(call_id, [])
            for one in _last_of_each(results[-_MAX_SHARED:]):
                before = next((old for old in reversed(known) if _is_of_one_call(old, one)), None)
                is_new = before is None or before.value != one.value
                if is_new and len(known) < _MAX_SHARED:
                    known.append(one._replace(told_ns=span.start_ns))
    return Results(by_id, last_ns, open_ns)


def _last_of_each(results: list[ToolResult]) -> list[ToolResult]:
    """Of equal calls that share an id the last one's result."""
    return [
        one
        for place, one in enumerate(results, 1)
        if not any(_is_of_one_call(one, later) for later in results[place:])
    ]


def _is_of_one_call(one: ToolResult, other: ToolResult) -> bool:
    return (one.name, one.arguments) == (other.name, other.arguments)


def _answers(
    messages: Iterable[Mapping[str, Any]], open_calls: dict[str, deque[dict[str, Any]]]
) -> Iterator[ToolResult]:
    """The results in messages, each with the call that it answers, which is then no open one.

    A result without an id answers the first call before it that has no answer yet.
    """
    for message in messages:
        for call in message_calls(message):
            open_calls.setdefault(call["id"] or "", deque()).append(call)
        for told, value, failed in _results(message):
            call_id = told or next(iter(open_calls), None)
            if call_id is not None:
                # Where a call is recorded by another id than its own, its result alone has that.
                waiting = open_calls.get(call_id) or open_calls.get("")
                call = waiting.popleft() if waiting else {}
                if not waiting:
                    open_calls.pop(call_id if call_id in open_calls else "", None)
                name, arguments = call.get("name"), call.get("arguments")
                yield ToolResult(call_id, value, name, arguments, failed=failed)


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


def _results(message: Mapping[str, Any]) -> Iterator[_Told]:
    content = structured(first(message, ("content", "_content")))  # older Haystack's
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
        value = None if result == HIDDEN else only_text(structured(result))
        yield told, value, _is_failure(message)
    yield from inside


def _in_parts(message: Mapping[str, Any], content: Any) -> Iterator[_Told]:
    for part in [
        *_maps(message.get("parts")),
        *_maps(content if isinstance(content, list) else None),
    ]:
        yield from _of_part(part)


def _of_part(part: Mapping[str, Any]) -> Iterator[_Told]:
    for key in ("toolResult", "function_response", "tool_call_result"):
        if isinstance(inner := part.get(key), Mapping):
            origin = as_map(inner.get("origin"))
            part = {"type": "tool_result", **inner, "id": first({**origin, **inner}, _ID)}
    told = label(first(part, _ID))
    if part.get("type") in _RESULTS and (told is not None or "name" in part):
        value = structured(first(part, _RESULT))
        if isinstance(value, Mapping) and set(value) == {"type", "value"}:
            value = value["value"]  # the AI SDK's {"type": "json", "value": ..}
        yield told, only_text(value), _is_failure(part)


def _is_failure(result: Mapping[str, Any]) -> bool:
    """Whether a flag, or a status as Bedrock's and LangChain's, says that the call failed."""
    return result.get("status") == "error" or any(is_flagged(result.get(key)) for key in _FAILED)
