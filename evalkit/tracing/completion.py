"""What a recording lost of its tool calls, completed from the model's own messages.

A tool's step takes arguments, call id and result from the call that the model made of it. A call
that no step shows, though its result is in the messages, is rebuilt and marked as inferred.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from evalkit.tracing.attributes import plain, step_name
from evalkit.tracing.calls import Call, calls_of, matched
from evalkit.tracing.failures import judged
from evalkit.tracing.handoffs import (
    agents_among,
    as_handoff,
    lacks_target,
    plain_agent,
    target,
    transfer,
)
from evalkit.tracing.messages import NO_RESULTS, Results, ToolResult
from evalkit.trajectory import Step, Trajectory, Unseen, Visit

_TOOLS = ("tool", "handoff")
_MAX_UNSEEN = 1_000
# How structured answers are asked for: no tool that runs, unless its result says otherwise.
_ANSWERS = frozenset({"final_result", "StructuredOutput", "finish"})
_TAKEN = re.compile(
    r"final result processed|returning structured response|tool not executed|completed\W*$|ok\W*$",
    re.IGNORECASE,
)


class Completed(NamedTuple):
    """The steps with what the messages add.

    ``unseen`` are calls that later messages go on with: no step shows them, nor any message what
    they returned, so that they may not have taken place.
    """

    steps: tuple[Step, ...]
    unseen: tuple[Unseen, ...] = ()


def completed(
    steps: tuple[Step, ...], listed: Sequence[Step], results: Callable[[], Results]
) -> Completed:
    """The steps completed; ``results`` gives what tools returned, as later messages tell it.

    ``listed`` are all of them in pre-order. Where there is nothing to add, the steps themselves.
    """
    called, lacking, leading = _needs(listed)
    if not (called or lacking or leading):
        return Completed(steps)
    known = None if called or leading else results()
    if known is not None and not known.by_id:
        return Completed(steps)  # as where no content is recorded
    visits = list(Trajectory(steps=steps).walk())
    calls = [call for visit in visits if visit.step.kind == "llm" for call in calls_of(visit)]
    found = matched(calls, visits)
    early = _early(calls, found, visits)
    others = _other_names(calls, found, visits)
    if all(found) and not (lacking or leading or early or others):
        return Completed(steps)
    if known is None:
        known = results() if lacking or not all(found) else NO_RESULTS
    calls = _with_ids(calls, found, known)
    told = _told(calls, visits, known)
    agents = agents_among(listed)
    changed = _changed(visits, known, agents, others)
    rebuilt: dict[int, list[Step]] = {}
    unseen: list[Unseen] = []
    has_tools = any(visit.step.kind in _TOOLS for visit in visits)
    for call, numbers, result in zip(calls, found, told, strict=True):
        for number in numbers:
            if visits[number].step.kind in _TOOLS:
                filled = _filled(visits[number].step, call, result)
                changed[number] = as_handoff(filled, agents)
        if numbers or (call.name in _ANSWERS and _is_taken(result)):
            continue
        made = as_handoff(_rebuilt(call, visits[call.number].step, result), agents)
        ran = result is not None or call.at_provider or _led(call, agents)
        if ran or not has_tools:
            rebuilt.setdefault(call.number, []).append(made)
        # Tools are recorded: a call that no message goes on with was a structured answer, or the
        # run ended for it.
        elif (
            known.lack(call.id, call.name, visits[call.number].step.end_ns or 0)
            and len(unseen) < _MAX_UNSEEN
        ):
            unseen.append(Unseen("handoff" if made.kind == "handoff" else "tool", made.name))
    for number, step in changed.items():
        if _lacks_sender(step):
            changed[number] = _sent(step, visits[number], visits)
    return Completed(_with_changes(steps, changed, rebuilt, early, count()), tuple(unseen))


def _needs(listed: Sequence[Step]) -> tuple[bool, bool, bool]:
    """Whether models called tools, whether tools lack what messages may tell, or lead elsewhere."""
    called = lacking = leading = False
    for step in listed:
        if step.kind == "llm":
            called = called or (isinstance(step.output, dict) and "tool_calls" in step.output)
        elif step.kind in _TOOLS:
            lacking = lacking or not step.call_id or _lacks(step)
            leading = leading or (step.kind == "tool" and transfer(step.name) is not None)
            leading = leading or _lacks_sender(step)
    return called, lacking, leading


def _changed(
    visits: Sequence[Visit],
    known: Results,
    agents: Collection[str],
    others: Mapping[str, Iterable[str]],
) -> dict[int, Step]:
    """By number, the steps with what can be told without a call."""
    changed = {}
    for number, _, _, step in visits:
        if step.kind in _TOOLS:
            told = known.of(step.call_id) if step.call_id else ()
            filled = _filled(step, None, told[0] if len(told) == 1 else None)
            changed[number] = as_handoff(filled, agents)
        elif others and step.offered is not None:
            changed[number] = _offering(step, others)
    return changed


def _lacks(step: Step) -> bool:
    return (
        step.arguments is None
        or isinstance(step.arguments, str)
        or (step.output is None and step.status == "ok")
    )


def _lacks_sender(step: Step) -> bool:
    given = step.arguments
    return step.kind == "handoff" and isinstance(given, Mapping) and given.get("from", "") is None


def _sent(step: Step, visit: Visit, visits: Sequence[Visit]) -> Step:
    """The handoff, from the agent that it is below."""
    parent = visit.parent
    while parent is not None and visits[parent].step.kind != "agent":
        parent = visits[parent].parent
    return (
        step
        if parent is None
        else replace(step, arguments={**step.arguments, "from": visits[parent].step.name})
    )


def _early(
    calls: Sequence[Call], found: Sequence[Sequence[int]], visits: Sequence[Visit]
) -> dict[int, int]:
    """Steps that stand before the model's call that led to them, and that call's number.

    They started at the same time, as far as a clock of milliseconds can tell.
    """
    return {
        number: call.number
        for call, numbers in zip(calls, found, strict=True)
        for number in numbers
        if number < call.number and visits[number].parent == visits[call.number].parent
    }


def _other_names(
    calls: Sequence[Call], found: Sequence[Sequence[int]], visits: Sequence[Visit]
) -> dict[str, dict[str, None]]:
    """By the name that a model called a tool by, the others under which steps show it."""
    others: dict[str, dict[str, None]] = {}
    for call, numbers in zip(calls, found, strict=True):
        for number in numbers:
            step = visits[number].step
            if step.kind == "tool" and step.name != call.name:
                others.setdefault(call.name, {})[step.name] = None
    return others


def _offering(step: Step, others: Mapping[str, Iterable[str]]) -> Step:
    """The step with the offered tools under the names that steps show them by, too."""
    offered = step.offered or ()
    names = dict.fromkeys(offered)
    for name in offered:
        names |= dict.fromkeys(others.get(name, ()))
    return replace(step, offered=tuple(names)) if len(names) > len(offered) else step


def _with_ids(calls: Sequence[Call], found: Sequence[Sequence[int]], known: Results) -> list[Call]:
    """The calls; those without an id or a step have the id that later messages give the same."""
    lost = [not call.id and not numbers for call, numbers in zip(calls, found, strict=True)]
    if not known.by_id or not any(lost):
        return list(calls)
    used = {call.id for call in calls}
    told: dict[tuple[str, bytes], deque[str]] = {}
    for key, results in known.by_id.items():
        for one in results if key and key not in used else ():
            if one.name is not None:
                told.setdefault(_wording(one.name, one.arguments), deque()).append(key)
    made = []
    for call, is_lost in zip(calls, lost, strict=True):
        keys = told.get(_wording(call.name, call.arguments)) if is_lost else None
        made.append(call._replace(id=keys.popleft()) if keys else call)
    return made


def _wording(name: str, arguments: Any) -> tuple[str, bytes]:
    """A call's name and arguments, to look them up by."""
    return name, msgspec.json.encode(plain(arguments), order="deterministic")


def _told(
    calls: Sequence[Call], visits: Sequence[Visit], known: Results
) -> list[ToolResult | None]:
    """What each call returned.

    Of several calls of one id each has the result that the next history has for its name and
    arguments; where no history follows, that is not known.
    """
    shared = Counter(call.id for call in calls)
    told: list[ToolResult | None] = []
    for call in calls:
        results = known.of(call.id)
        if len(results) > 1 or shared[call.id] > 1 or not call.id:
            results = [one for one in results if _answers(one, call)]
        if results and shared[call.id] > 1:
            made_ns = visits[call.number].step.start_ns or 0
            later = [one for one in results if one.told_ns > made_ns]
            follows = known.last_ns.get(call.id or "", 0) > made_ns
            results = (later or results[-1:]) if follows else ()
        told.append(results[0] if results else None)
    return told


def _answers(result: ToolResult, call: Call) -> bool:
    return result.name in (None, call.name) and result.arguments in (None, call.arguments)


def _is_taken(result: ToolResult | None) -> bool:
    """Whether the framework only says that it took the answer, if it says anything."""
    return result is None or (
        isinstance(result.value, str) and _TAKEN.match(result.value.strip()) is not None
    )


def _led(call: Call, agents: Collection[str]) -> bool:
    """Whether an agent that the call hands over to is there."""
    named = target(call.name, call.arguments)
    return named is not None and plain_agent(named) in agents


def _filled(step: Step, call: Call | None, told: ToolResult | None) -> Step:
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
        elif step.kind == "handoff" and lacks_target(step):
            named = target(call.name, call.arguments)
            step = replace(
                step, name=step_name(named, step.name), arguments={**step.arguments, "to": named}
            )
    if step.output is None and step.status == "ok" and told is not None:
        step = _returned(step, told)
    return step


def _returned(step: Step, told: ToolResult) -> Step:
    """The step with its result, and the failure that it tells."""
    step = judged(replace(step, output=plain(told.value)), from_messages=True)
    if step.status == "error" or not told.failed:
        return step
    error = step_name(told.value, "error")[:500]
    return replace(step, status="error", error=error, inferred=step.inferred or "status")


def _rebuilt(call: Call, model: Step, told: ToolResult | None) -> Step:
    """The step of a call that only the messages show; it took place after the model's answer."""
    step = Step(
        kind="tool",
        name=step_name(call.name),
        arguments=plain(call.arguments),
        agent=model.agent,
        call_id=call.id,
        start_ns=model.end_ns,
        end_ns=model.end_ns,
        inferred="call",
    )
    return step if told is None else _returned(step, told)


def _with_changes(
    level: tuple[Step, ...],
    changed: Mapping[int, Step],
    rebuilt: Mapping[int, list[Step]],
    early: Mapping[int, int],
    numbers: Iterator[int],
) -> tuple[Step, ...]:
    """The tree again, with steps exchanged by number, rebuilt ones after their model call, and
    model calls before what stood ``early``."""
    made: dict[int, list[Step]] = {}
    for step in level:
        number = next(numbers)
        # At most MAX_DEPTH deep.
        below = _with_changes(step.steps, changed, rebuilt, early, numbers) if step.steps else ()
        made[number] = [replace(changed.get(number, step), steps=below), *rebuilt.get(number, ())]
    order = dict.fromkeys(
        at for number in made for at in (early.get(number, number), number) if at in made
    )
    return tuple(step for number in order for step in made[number])
