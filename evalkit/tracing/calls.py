"""The calls that models made, as their answers tell, and the steps in which they took place."""

from __future__ import annotations

import operator
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from evalkit.tracing.handoffs import plain_agent, target, transfer
from evalkit.tracing.sameness import apart, includes, is_same_tool, own_name
from evalkit.trajectory import Step, Visit

_Test = Callable[[Any, Any], bool]
_NO_CALLS = ("llm", "workflow", "embedding")
_NEAR = 50
"""So many steps of its name, from a call on, may be the call's."""


class Call(NamedTuple):
    """A call that a model made, by the number of the model's step.

    ``at_provider`` says that the provider ran it while the model answered.
    """

    number: int
    id: str | None
    name: str
    arguments: Any
    at_provider: bool = False


def calls_of(visit: Visit) -> Iterator[Call]:
    """The calls in a model's answer."""
    output = visit.step.output
    listed = output.get("tool_calls") if isinstance(output, Mapping) else None
    for call in listed if isinstance(listed, list) else ():
        if isinstance(call, Mapping) and isinstance(name := call.get("name"), str):
            at_provider = call.get("at_provider") is True
            yield Call(visit.number, call.get("id"), name, call.get("arguments"), at_provider)


def matched(calls: Sequence[Call], visits: Sequence[Visit]) -> list[list[int]]:
    """For each call the numbers of its steps: all of its id, else the next of its name.

    Names and arguments are compared as they are first; only of what is left then may one side
    alone know some arguments, such as defaults, or the server or plugin in the name.
    """
    free = [visit for visit in visits if visit.step.kind not in _NO_CALLS]
    found: list[list[int]] = [[] for _ in calls]
    _by_id(calls, visits, free, found)
    taken = {number for numbers in found for number in numbers}
    left: dict[str | None, list[Visit]] = {}
    for visit in sorted(free, key=_started):
        if visit.number not in taken:
            key = None if visit.step.kind == "handoff" else own_name(visit.step.name)
            left.setdefault(key, []).append(visit)
    for is_named, fits in ((str.__eq__, operator.eq), (is_same_tool, includes)):
        for place, call in enumerate(calls):
            if found[place] or not left:
                continue
            start = _started(visits[call.number])
            for key in (None, own_name(call.name)):
                later = left.get(key, [])
                first = bisect_left(later, start, key=_started)
                near = range(first, min(first + _NEAR, len(later)))
                same = (at for at in near if _is(call, later[at].step, is_named, fits))
                if (at := next(same, None)) is not None:
                    found[place].append(later.pop(at).number)
                    break
    return found


def _by_id(
    calls: Sequence[Call], visits: Sequence[Visit], free: Sequence[Visit], found: list[list[int]]
) -> None:
    """Puts each step that has a call's id beside that call.

    Models that run at home give each call the same id. Of several calls of one id it is the last
    one before the step, by its name if one has that.
    """
    starts = [_started(visits[call.number]) for call in calls]
    made: dict[tuple[str, str | None], list[int]] = {}
    for place in sorted(range(len(calls)), key=starts.__getitem__):
        call = calls[place]
        if call.id:
            made.setdefault((call.id, None), []).append(place)
            made.setdefault((call.id, own_name(call.name)), []).append(place)
    for visit in free:
        call_id, name = visit.step.call_id or "", visit.step.name
        every = made.get((call_id, None), [])
        if len(every) > 1:
            named = made.get((call_id, own_name(name)), [])
            for places in (named, every):
                before = bisect_right(places, _started(visit), key=starts.__getitem__)
                near = [*reversed(places[max(0, before - _NEAR) : before]), *places[before:][:1]]
                same = (at for at in near if places is every or is_same_tool(calls[at].name, name))
                if (at := next(same, None)) is not None:
                    found[at].append(visit.number)
                    break
        elif every:
            found[every[0]].append(visit.number)


def _started(visit: Visit) -> int:
    return visit.step.start_ns or 0


def _is(call: Call, step: Step, is_named: _Test, fits: _Test) -> bool:
    if apart(step.call_id, call.id):
        return False
    if step.kind == "handoff":
        return _leads_to(call, step)
    return is_named(step.name, call.name) and (
        not isinstance(step.arguments, Mapping)
        or not isinstance(call.arguments, Mapping)
        or fits(step.arguments, call.arguments)
        or step.kind != "tool"
    )


def _leads_to(call: Call, step: Step) -> bool:
    """Whether the call may be the handoff: its target, where it names one, is the step's."""
    if transfer(call.name) is None:
        return False
    named = target(call.name, call.arguments)
    return named is None or step.name == call.name or plain_agent(named) == plain_agent(step.name)
