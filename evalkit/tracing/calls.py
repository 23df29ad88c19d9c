"""The calls that models made, as their answers tell, and the steps in which they took place."""

from __future__ import annotations

import operator
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from evalkit.tool_names import is_same_tool, own_name
from evalkit.tracing.handoffs import lacks_target, plain_agent, target, transfer
from evalkit.tracing.sameness import apart, includes
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

    The nearest in the tree are put together first, so that calls do not cross between agents and
    branches that run in parallel. Names and arguments are compared as they are first; only of what
    is left then may one side alone know some arguments, such as defaults, or the server or plugin
    in the name.
    """
    free = [visit for visit in visits if visit.step.kind not in _NO_CALLS]
    found: list[list[int]] = [[] for _ in calls]
    _by_id(calls, visits, free, found)
    taken = {number for numbers in found for number in numbers}
    steps: dict[int, list[Visit]] = {}
    names = {None, *(own_name(call.name) for call in calls)}
    for visit in sorted(free, key=_started):
        if visit.number not in taken and _key(visit.step) in names:
            for scope in _scopes(visit, visits):
                steps.setdefault(scope, []).append(visit)
    made: dict[int, list[int]] = {}
    for place, call in enumerate(calls):
        if not found[place]:
            for scope in _scopes(visits[call.number], visits):
                made.setdefault(scope, []).append(place)
    # Of several, each within the other, that hold the same calls and steps, one is enough.
    both = {(made[at][0], len(made[at]), len(steps[at])): at for at in made.keys() & steps.keys()}
    scopes = sorted(both.values(), reverse=True)  # what is below comes first
    for rule in ((str.__eq__, operator.eq), (is_same_tool, includes)):
        for scope in scopes:
            left: dict[str | None, list[Visit]] = {}
            for visit in steps[scope]:
                if visit.number not in taken:
                    left.setdefault(_key(visit.step), []).append(visit)
            for place in made[scope] if left else ():
                if not found[place]:
                    start = _started(visits[calls[place].number])
                    found[place] = _next(calls[place], start, left, *rule)
                    taken.update(found[place])
    return found


def _key(step: Step) -> str | None:
    return None if step.kind == "handoff" else own_name(step.name)


def _next(
    call: Call, start: int, left: Mapping[str | None, list[Visit]], is_named: _Test, fits: _Test
) -> list[int]:
    """Takes the next step that is the call's from those left, if one is."""
    for key in (None, own_name(call.name)):
        later = left.get(key, [])
        first = bisect_left(later, start, key=_started)
        near = range(first, min(first + _NEAR, len(later)))
        same = (at for at in near if _is(call, later[at].step, is_named, fits))
        if (at := next(same, None)) is not None:
            return [later.pop(at).number]
    return []


def _by_id(
    calls: Sequence[Call], visits: Sequence[Visit], free: Sequence[Visit], found: list[list[int]]
) -> None:
    """Puts each step that has a call's id beside that call.

    Models that run at home give each call the same id. Of several calls of one id it is the
    nearest in the tree whose name and arguments are the step's, and of those the last one before
    the step; else what speaks against it is overlooked, the arguments first.
    """
    starts = [_started(visits[call.number]) for call in calls]
    every: dict[str, list[int]] = {}
    for place in sorted(range(len(calls)), key=starts.__getitem__):
        if call_id := calls[place].id:
            every.setdefault(call_id, []).append(place)
    named: dict[tuple[int, str, str], list[int]] = {}
    for call_id, places in every.items():
        for place in places if len(places) > 1 else ():
            call = calls[place]
            for scope in _scopes(visits[call.number], visits):
                named.setdefault((scope, call_id, own_name(call.name)), []).append(place)

    def choices(visit: Visit) -> Iterator[int]:
        call_id, step = visit.step.call_id or "", visit.step
        for fits in (includes, _anything):
            for scope in _scopes(visit, visits):
                for place in last(visit, named.get((scope, call_id, own_name(step.name)), [])):
                    call = calls[place]
                    if is_same_tool(call.name, step.name) and _fit(step, call, fits):
                        yield place
        yield from last(visit, every[call_id])

    def last(visit: Visit, places: Sequence[int]) -> list[int]:
        before = bisect_right(places, _started(visit), key=starts.__getitem__)
        return [*reversed(places[max(0, before - _NEAR) : before]), *places[before:][:1]]

    for visit in free:
        places = every.get(visit.step.call_id or "", [])
        if places:
            found[places[0] if len(places) == 1 else next(choices(visit))].append(visit.number)


def _scopes(visit: Visit, visits: Sequence[Visit]) -> Iterator[int]:
    """The numbers of the steps that the visit is below, the nearest first; -1 is the trace."""
    parent = visit.parent
    while parent is not None:
        yield parent
        parent = visits[parent].parent
    yield -1


def _anything(_one: Any, _other: Any) -> bool:
    return True


def _fit(step: Step, call: Call, fits: _Test) -> bool:
    """Whether the arguments fit, where both are known."""
    return (
        not isinstance(step.arguments, Mapping)
        or not isinstance(call.arguments, Mapping)
        or fits(step.arguments, call.arguments)
    )


def _started(visit: Visit) -> int:
    return visit.step.start_ns or 0


def _is(call: Call, step: Step, is_named: _Test, fits: _Test) -> bool:
    if apart(step.call_id, call.id):
        return False
    if step.kind == "handoff":
        return _leads_to(call, step)
    return is_named(step.name, call.name) and (step.kind != "tool" or _fit(step, call, fits))


def _leads_to(call: Call, step: Step) -> bool:
    """Whether the call may be the handoff: its target, where it names one, is the step's."""
    if transfer(call.name) is None:
        return False
    named = target(call.name, call.arguments)
    return (
        named is None
        or step.name == call.name
        or lacks_target(step)
        or plain_agent(named) == plain_agent(step.name)
    )
