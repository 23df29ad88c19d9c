"""Spans as a forest in a stable order. Nothing here recurses: a trace may be of any depth."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from evalkit.spans import Span
from evalkit.tracing.reasons import NO_PARENT, STARTS_EARLY


class Forest(NamedTuple):
    """Spans ordered by start, end and id, with each one's parent as an index, or None.

    ``parents_first`` lists the indices so that a parent comes before its children.
    ``quarantined`` counts spans left out: repeated ids, and those that are their own ancestors.
    """

    spans: list[Span]
    parents: list[int | None]
    parents_first: Sequence[int]
    quarantined: int


def grow(spans: Sequence[Span]) -> Forest:
    """The spans as a forest; a span whose parent is not among them is a root."""
    unique: dict[tuple[str, str], Span] = {}
    for span in spans:
        unique.setdefault((span.trace_id, span.span_id), span)
    ordered = sorted(unique.values(), key=_place)
    parents = _parents(ordered)
    order = parents_first(parents)
    if len(order) < len(ordered):  # some are never reached from a root
        looped = _on_cycles(unique)
        ordered = [span for span in ordered if (span.trace_id, span.span_id) not in looped]
        parents = _parents(ordered)
        order = parents_first(parents)
    return Forest(ordered, parents, order, len(spans) - len(ordered))


def oddities(forest: Forest) -> dict[str, int]:
    """How many spans do not fit the others, by reason.

    A trace without a root of its own has its first span's parent outside: that is no oddity.
    """
    spans, parents = forest.spans, forest.parents
    above = [span.parent_id for span, parent in zip(spans, parents, strict=True) if parent is None]
    found = {}
    if any(above):
        outside = None if None in above else above[0]
        if orphans := len(above) - above.count(None) - above.count(outside) * (outside is not None):
            found[NO_PARENT] = orphans
    if not isinstance(forest.parents_first, range):
        early = [
            parent
            for span, parent in zip(spans, parents, strict=True)
            if parent is not None and 0 < span.start_ns < spans[parent].start_ns
        ]
        if early:
            found[STARTS_EARLY] = len(early)
    return found


_place = attrgetter("start_ns", "end_ns", "span_id")


def _parents(spans: Sequence[Span]) -> list[int | None]:
    index = {(span.trace_id, span.span_id): number for number, span in enumerate(spans)}
    return [index.get((span.trace_id, span.parent_id or "")) for span in spans]


def _on_cycles(spans: dict[tuple[str, str], Span]) -> set[tuple[str, str]]:
    """The spans that are their own ancestors. What hangs off them becomes a root."""
    looped: set[tuple[str, str]] = set()
    walked_by: dict[tuple[str, str], int] = {}
    for walk, start in enumerate(spans):
        key = start
        while key in spans and key not in walked_by:
            walked_by[key] = walk
            key = (key[0], spans[key].parent_id or "")
        if walked_by.get(key) != walk or key in looped:
            continue
        while key not in looped:  # met a span of this very walk: it is on a cycle
            looped.add(key)
            key = (key[0], spans[key].parent_id or "")
    return looped


def parents_first(parents: Sequence[int | None]) -> Sequence[int]:
    """The indices so that a parent comes before its children; none of those on a cycle."""
    if all(parent is None or parent < number for number, parent in enumerate(parents)):
        return range(len(parents))  # nearly always: a parent starts before its children
    children: list[list[int]] = [[] for _ in parents]
    found: list[int] = []
    for number, parent in enumerate(parents):
        (found if parent is None else children[parent]).append(number)
    for number in found:  # grows while it is read: breadth first
        found.extend(children[number])
    return found
