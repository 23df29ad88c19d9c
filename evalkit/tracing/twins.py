"""The same thing recorded twice, by two instrumentations that are active at once.

A framework's span and its SDK's for one call of a model, a tool's and its server's, or whole trees
beside each other. The second span has lost its parent, sits beside the first or in a trace of its
own, as a gateway's does for its client; it belongs below the first, where folding makes one step
of both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.sameness import agree, differ
from evalkit.tracing.tree import Forest, parents_first
from evalkit.trajectory import Step

_NEAR = 50
"""How many spans of its kind before and after one, in order of start, may be the same."""

_SLACK_NS = 5_000_000
"""By how much one of two recordings of a thing may stick out of the other, at each end."""

_MAX_CLIMB = 1_000
"""Of spans that lie deeper than this below others it is not told whether they are the same."""

Repeats = Mapping[int, Sequence[str]]
"""By a span's number, the ids of the spans below it that repeat it."""


def joined(forest: Forest, readings: Sequence[Reading]) -> tuple[Forest, Repeats]:
    """The forest with each span that repeats one of another scope put below that one.

    Which of two is above, time tells: the longer one. Never are two of one scope the same.
    """
    spans = forest.spans
    if len({span.scope for span in spans}) < 2:
        return forest, {}
    steps = [reading.step if reading.role == "step" else None for reading in readings]
    above = _steps_above(forest, steps)
    parents = list(forest.parents)
    repeats: dict[int, list[str]] = defaultdict(list)
    scopes: dict[int, set[str]] = defaultdict(set)
    for inner, near in _candidates(spans, steps):
        outer = above[inner]
        if outer is not None and _are_calls(steps, outer, inner):
            continue  # which folding knows by what they answered
        if outer is None or not _is_one(forest, steps, outer, inner):
            same = [
                number
                for number in near
                if spans[number].scope != spans[inner].scope
                and _spans_one_time(spans, number, inner)
                and _is_one(forest, steps, number, inner)
                and spans[inner].scope not in scopes[number]
                and not _are_related(parents, number, inner)
            ]
            outer = min(same, key=lambda number: _off(spans[number], spans[inner]), default=None)
            if outer is None:
                continue
            parents[inner] = outer
        repeats[outer].append(spans[inner].span_id)
        scopes[outer].add(spans[inner].scope)
    if parents == forest.parents:
        return forest, repeats
    return forest._replace(parents=parents, parents_first=parents_first(parents)), repeats


def _steps_above(forest: Forest, steps: Sequence[Step | None]) -> list[int | None]:
    """For each span the nearest one above it that is a step."""
    above: list[int | None] = [None] * len(steps)
    for number in forest.parents_first:
        parent = forest.parents[number]
        if parent is not None:
            above[number] = above[parent] if steps[parent] is None else parent
    return above


def _candidates(
    spans: Sequence[Span], steps: Sequence[Step | None]
) -> Iterator[tuple[int, Sequence[int]]]:
    """Each span of a kind that several scopes record, with those of its kind near it."""
    kinds: dict[str, list[int]] = defaultdict(list)
    for number, step in enumerate(steps):
        if step is not None and step.kind != "other":
            kinds[step.kind].append(number)
    for numbers in kinds.values():
        if len({spans[number].scope for number in numbers}) > 1:
            for place, number in enumerate(numbers):
                yield number, numbers[max(0, place - _NEAR) : place + _NEAR]


def _are_calls(steps: Sequence[Step | None], outer: int, inner: int) -> bool:
    """Whether both are calls of models."""
    return all(step is not None and step.kind == "llm" for step in (steps[outer], steps[inner]))


def _is_one(forest: Forest, steps: Sequence[Step | None], outer: int, inner: int) -> bool:
    first, second = steps[outer], steps[inner]
    if first is None or second is None or forest.spans[outer].scope == forest.spans[inner].scope:
        return False
    # Of a call that failed within one that did not, folding makes two.
    is_other = first.kind == "llm" and _failed(forest, steps, outer) != _failed(
        forest, steps, inner
    )
    is_lost = forest.parents[inner] is None
    return not is_other and not differ(first, second) and agree(first, second, is_lost=is_lost)


def _failed(forest: Forest, steps: Sequence[Step | None], number: int) -> bool:
    step = steps[number]
    return forest.spans[number].error or (step is not None and step.status == "error")


def _spans_one_time(spans: Sequence[Span], outer: int, inner: int) -> bool:
    """Whether the inner span lies within the outer one, or as good as."""
    around, within = spans[outer], spans[inner]
    length = within.end_ns - within.start_ns
    if (around.end_ns - around.start_ns, -outer) <= (length, -inner):
        return False
    early, late = around.start_ns - within.start_ns, within.end_ns - around.end_ns
    if max(early, late) > _SLACK_NS:
        return False
    shared = min(around.end_ns, within.end_ns) - max(around.start_ns, within.start_ns)
    return 2 * shared >= length


def _off(around: Span, within: Span) -> int:
    """By how much two times differ, in nanoseconds."""
    return abs(around.start_ns - within.start_ns) + abs(around.end_ns - within.end_ns)


def _are_related(parents: Sequence[int | None], one: int, other: int) -> bool:
    """Whether one lies below the other, or too deep to tell."""
    return _climbs(parents, one, other) or _climbs(parents, other, one)


def _climbs(parents: Sequence[int | None], low: int, high: int) -> bool:
    place: int | None = low
    for _ in range(_MAX_CLIMB):
        place = None if place is None else parents[place]
        if place is None:
            return False
        if place == high:
            return True
    return True
