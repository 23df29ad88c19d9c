"""The same thing recorded twice, by two instrumentations that are active at once.

A framework's span and its SDK's for one call of a model, a tool's and its server's, or whole trees
beside each other. The second span has lost its parent, sits beside the first or in a trace of its
own, as a gateway's does for its client; it belongs below the first, where folding makes one step
of both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from msgspec.structs import replace

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.answers import FAKE_ID
from evalkit.tracing.attributes import label
from evalkit.tracing.sameness import agree, called, differ, said
from evalkit.tracing.tree import Forest, parents_first
from evalkit.trajectory import Step

_NEAR = 50
"""How many spans of its kind before and after one, in order of start, may be the same."""

_BEGINNING = 30
"""Characters by which two recordings of an answer are known, however they end."""

_SLACK_NS = 5_000_000
_MAX_SLACK_NS = 50_000_000
"""By how much one of two recordings of a thing may stick out of the other, at each end: the first,
or a quarter of its time up to the second, since a busy machine keeps either of them waiting."""

_MAX_CLIMB = 1_000
"""Of spans that lie deeper than this below others it is not told whether they are the same."""

_LENT = ("output", "error", "tokens_in", "tokens_out", "model_requested", "model_served")

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
    nodes = _nodes_of(steps, above)
    _lend(steps, above)
    _name_as_asked(steps, spans)
    parents = list(forest.parents)
    repeats: dict[int, list[str]] = defaultdict(list)
    within = _within(forest, steps, above)
    agents = _agents_above(forest, steps)
    around = frozenset(above)
    ones = _Ones(spans)
    for inner, near in _candidates(spans, steps):
        outer = above[inner]
        if outer is not None and _are_folded(spans, steps, outer, inner):
            if inner in within:
                repeats[outer].append(spans[inner].span_id)
            continue
        if outer is None or inner not in within:
            node = nodes.get(inner, inner)
            moved = inner if node in ones else node
            same = [
                number
                for number in near
                if spans[number].scope != spans[inner].scope
                and (
                    (
                        _spans_one_time(spans, number, inner)
                        and _is_one(forest, steps, number, inner)
                    )
                    or (number not in around and _streamed_after(forest, steps, number, inner))
                )
                and ones.may_be(number, inner)
                and not _are_of_others(forest, ones, agents[number], agents[inner])
                and not _are_related(parents, number, moved)
            ]
            outer = min(same, key=lambda number: _off(spans[number], spans[inner]), default=None)
            if outer is None:
                continue
            parents[moved] = outer
        ones.are(outer, inner)
        repeats[outer].append(spans[inner].span_id)
    if parents == forest.parents:
        return forest, repeats
    return forest._replace(parents=parents, parents_first=parents_first(parents)), repeats


def _within(forest: Forest, steps: Sequence[Step | None], above: Sequence[int | None]) -> set[int]:
    """The spans that repeat the step around them, each as the only one of its scope to do so.

    Those of several scopes must repeat one another, too: else they are parts of that step.
    """
    found: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for inner, outer in enumerate(above):
        if outer is not None and _is_one(forest, steps, outer, inner, is_within=True):
            found[outer][forest.spans[inner].scope].append(inner)
    repeated: set[int] = set()
    for scopes in found.values():
        alone = [numbers[0] for numbers in scopes.values() if len(numbers) == 1]
        if all(_are_one(forest, steps, *pair) for pair in pairwise(alone)):
            repeated.update(alone)
    return repeated


def _are_one(forest: Forest, steps: Sequence[Step | None], one: int, other: int) -> bool:
    """Whether two of one time are one, whichever of them is around the other."""
    spans = forest.spans
    if not (_spans_one_time(spans, one, other) or _spans_one_time(spans, other, one)):
        return False
    return _is_one(forest, steps, one, other)


class _Ones:
    """Which spans are recordings of one thing, each of a scope of its own."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self._found: dict[int, list[int]] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._found

    def may_be(self, first: int, second: int) -> bool:
        """Whether two may be one, with all that each of them is already."""
        return self._scopes(first).isdisjoint(self._scopes(second))

    def are_one(self, first: int, second: int) -> bool:
        """Whether two are known to be one."""
        return first == second or second in self._found.get(first, ())

    def are(self, first: int, second: int) -> None:
        """Two are one."""
        together = [*self._found.get(first, [first]), *self._found.get(second, [second])]
        for number in together:
            self._found[number] = together

    def _scopes(self, number: int) -> set[str]:
        return {self._spans[one].scope for one in self._found.get(number, (number,))}


def _nodes_of(steps: Sequence[Step | None], above: Sequence[int | None]) -> dict[int, int]:
    """A graph's nodes by the only step in each of their own name: folding makes one of both."""
    found: dict[int, list[int]] = defaultdict(list)
    for number, outer in enumerate(above):
        step, around = steps[number], None if outer is None else steps[outer]
        if outer is None or around is None or around.kind != "node" or step is None:
            continue
        if step.kind != "node" and step.name == around.name:
            found[outer].append(number)
    return {inner[0]: node for node, inner in found.items() if len(inner) == 1}


def _steps_above(forest: Forest, steps: Sequence[Step | None]) -> list[int | None]:
    """For each span the nearest one above it that is a step."""
    above: list[int | None] = [None] * len(steps)
    for number in forest.parents_first:
        parent = forest.parents[number]
        if parent is not None:
            above[number] = above[parent] if steps[parent] is None else parent
    return above


def _agents_above(forest: Forest, steps: Sequence[Step | None]) -> list[int | None]:
    """For each span the nearest agent above it."""
    above: list[int | None] = [None] * len(steps)
    for number in forest.parents_first:
        parent = forest.parents[number]
        if parent is not None:
            step = steps[parent]
            above[number] = parent if step is not None and step.kind == "agent" else above[parent]
    return above


def _are_of_others(forest: Forest, ones: _Ones, first: int | None, second: int | None) -> bool:
    """Whether two lie below agents that one scope tells apart, neither within the other."""
    return (
        first is not None
        and second is not None
        and not ones.are_one(first, second)
        and not ones.may_be(first, second)
        and not _are_related(forest.parents, first, second)
    )


def _lend(steps: list[Step | None], above: Sequence[int | None]) -> None:
    """Gives each call of a model what only the one call within it tells, as folding will."""
    inner: dict[int, list[int]] = defaultdict(list)
    for number, outer in enumerate(above):
        if outer is not None and _are_calls(steps, outer, number):
            inner[outer].append(number)
    for outer in sorted(inner, reverse=True):
        step, lender = steps[outer], steps[inner[outer][0]]
        if len(inner[outer]) == 1 and step is not None and lender is not None:
            lent = {field: getattr(lender, field) for field in _LENT}
            told = {field: value for field, value in lent.items() if getattr(step, field) is None}
            steps[outer] = replace(step, **told)


def _name_as_asked(steps: list[Step | None], spans: Sequence[Span]) -> None:
    """Gives a gateway's good calls the alias that its client asked for, to be known by."""
    for number, step in enumerate(steps):
        if step is not None and step.kind == "llm" and step.status == "ok":
            alias = label(spans[number].attributes.get("litellm.model_group"))
            if alias is not None:
                steps[number] = replace(step, model_requested=alias)


def _candidates(
    spans: Sequence[Span], steps: Sequence[Step | None]
) -> Iterator[tuple[int, Sequence[int]]]:
    """Each span of a kind that several scopes record, with those of its kind near it."""
    kinds: dict[str, list[int]] = defaultdict(list)
    for number, step in enumerate(steps):
        if step is not None and step.kind != "other":
            kinds[step.kind].append(number)
    around = ("node", "agent")  # what is around others first
    for kind in sorted(kinds, key=lambda kind: around.index(kind) if kind in around else 2):
        numbers = kinds[kind]
        if len({spans[number].scope for number in numbers}) > 1:
            for place, number in enumerate(numbers):
                yield number, numbers[max(0, place - _NEAR) : place + _NEAR]


def _are_calls(steps: Sequence[Step | None], outer: int, inner: int) -> bool:
    """Whether both are calls of models."""
    return all(step is not None and step.kind == "llm" for step in (steps[outer], steps[inner]))


def _are_folded(
    spans: Sequence[Span], steps: Sequence[Step | None], outer: int, inner: int
) -> bool:
    """Whether folding makes one of a step and the one around it, or tells them apart, by itself."""
    first, second = steps[outer], steps[inner]
    if first is None or second is None or first.kind != second.kind:
        return False
    is_own = spans[outer].scope == spans[inner].scope and first.name == second.name
    return first.kind == "llm" or is_own


def _is_one(
    forest: Forest,
    steps: Sequence[Step | None],
    outer: int,
    inner: int,
    *,
    is_within: bool = False,
) -> bool:
    first, second = steps[outer], steps[inner]
    if first is None or second is None or forest.spans[outer].scope == forest.spans[inner].scope:
        return False
    if first.kind == second.kind and (ids := _response_ids(forest.spans, outer, inner)):
        return ids[0] == ids[1] and _may_be_one_text(said(first), said(second))
    failed = _failed(forest, steps, outer), _failed(forest, steps, inner)
    if first.kind == "llm" and any(failed) and not all(failed):
        return False  # an attempt, within a call that another attempt saved
    by_model = all(failed) or forest.parents[inner] is None
    is_alike = agree(first, second, by_model=by_model, is_within=is_within)  # the quicker question
    return is_alike and not differ(first, second)


def _may_be_one_text(one: str | None, other: str | None) -> bool:
    """Whether two texts, of which one may be cut short or have more around it, may be the same."""
    if one is None or other is None:
        return True
    return one[:_BEGINNING] in other or other[:_BEGINNING] in one


def _response_ids(spans: Sequence[Span], one: int, other: int) -> tuple[str, str] | None:
    """The ids that a provider gave two responses, where both are known.

    They outrank what else was written of a call but its text: some count its tokens otherwise,
    and a stand-in of a provider gives one id to all that it answers.
    """
    first = spans[one].attributes.get("gen_ai.response.id")
    second = spans[other].attributes.get("gen_ai.response.id")
    known = isinstance(first, str) and isinstance(second, str) and FAKE_ID not in (first, second)
    return (first, second) if known and first and second else None


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
    if max(early, late) > max(_SLACK_NS, min(length // 4, _MAX_SLACK_NS)):
        return False
    shared = min(around.end_ns, within.end_ns) - max(around.start_ns, within.start_ns)
    return 2 * shared >= length or not length  # a message that was written when it was over


def _streamed_after(forest: Forest, steps: Sequence[Step | None], outer: int, inner: int) -> bool:
    """Whether the inner call may be the outer one's stream.

    A framework's span may end when it has the stream at hand; its SDK's then stands beside it,
    and lasts as long as the stream. The same answer shows that they are one, or the same failure;
    where the first span ended too early to know an answer, the model that both asked for.
    """
    first, second = steps[outer], steps[inner]
    parents, around, within = forest.parents, forest.spans[outer], forest.spans[inner]
    if first is None or second is None or first.kind != "llm" or differ(first, second):
        return False
    if parents[outer] is None or parents[outer] != parents[inner]:
        return False
    if around.start_ns > within.start_ns:
        return False
    if around.error and within.error:
        return bool(around.status_message) and around.status_message == within.status_message
    if first.ttft_s is None and "stream" not in around.name:
        return False
    if first.output is None and first.tokens_out is None:
        return first.model_requested is not None and first.model_requested == second.model_requested
    return first.output is not None and (said(first), called(first)) == (
        said(second),
        called(second),
    )


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
