"""The calls that models made, as their answers tell, and the steps in which they took place."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from evalkit.tracing.handoffs import plain_agent, target, transfer
from evalkit.tracing.sameness import apart, includes, is_same_tool, own_name
from evalkit.trajectory import Step, Visit

_Test = Callable[[Any, Any], bool]
_NO_CALLS = ("llm", "workflow", "embedding")


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
    for visit in free:
        if visit.number not in taken:
            key = None if visit.step.kind == "handoff" else own_name(visit.step.name)
            left.setdefault(key, []).append(visit)
    for is_named, fits in product((str.__eq__, is_same_tool), (operator.eq, includes)):
        for place, call in enumerate(calls):
            if found[place] or not left:
                continue
            start = _start(visits, call)
            for key in (None, own_name(call.name)):
                near = left.get(key, [])
                same = (
                    at for at, one in enumerate(near) if _is(call, one.step, start, is_named, fits)
                )
                if (at := next(same, None)) is not None:
                    found[place].append(near.pop(at).number)
                    break
    return found


def _by_id(
    calls: Sequence[Call], visits: Sequence[Visit], free: Sequence[Visit], found: list[list[int]]
) -> None:
    """Puts each step that has a call's id beside that call.

    Models that run at home give each call the same id. Of several calls of one id it is the last
    one before the step, by its name if one has that.
    """
    made: dict[str, list[int]] = {}
    for place, call in enumerate(calls):
        if call.id:
            made.setdefault(call.id, []).append(place)
    for visit in free:
        places = made.get(visit.step.call_id or "", ())
        if len(places) > 1:
            named = [at for at in places if is_same_tool(calls[at].name, visit.step.name)]
            start = visit.step.start_ns or 0
            before = [at for at in named or places if _start(visits, calls[at]) <= start]
            places = before[-1:] or (named or places)[:1]
        for at in places:
            found[at].append(visit.number)


def _start(visits: Sequence[Visit], call: Call) -> int:
    return visits[call.number].step.start_ns or 0


def _is(call: Call, step: Step, start: int, is_named: _Test, fits: _Test) -> bool:
    if (step.start_ns or 0) < start or apart(step.call_id, call.id):
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
