"""The same call recorded twice, by a framework's instrumentation and by its SDK's or server's.

The SDK's span has lost its parent, sits beside the framework's or in a trace of its own, as does
a gateway's for its client; it belongs below the framework's
span for the same call, where folding makes one step of both.
"""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.model_names import served_evidence
from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.sameness import is_same_tool
from evalkit.tracing.tree import Forest, parents_first
from evalkit.trajectory import Step

_TWINNED = ("llm", "tool")
_NEAR = 50
"""How many calls before and after one, in order of start, may enclose it."""


def joined(forest: Forest, readings: Sequence[Reading]) -> Forest:
    """The forest with each call that repeats one of another scope put below that one."""
    scopes = {span.scope for span in forest.spans}
    if len(scopes) < 2:
        return forest
    above = _kinds_above(forest, readings)
    calls = [n for n, reading in enumerate(readings) if _kind(reading) in _TWINNED]
    parents = list(forest.parents)
    taken: set[int] = set()
    for place, number in enumerate(calls):
        if above[number] in _TWINNED:
            continue  # already below the call that it is
        near = calls[max(0, place - _NEAR) : place + _NEAR]
        twins = [n for n in near if n not in taken and _is_twin(forest, readings, n, number)]
        if twins and number not in taken:
            # The closest around it, where several enclose it.
            best = min(twins, key=lambda n: forest.spans[n].end_ns - forest.spans[n].start_ns)
            parents[number] = best
            taken.update((best, number))
    if not taken:
        return forest
    return forest._replace(parents=parents, parents_first=parents_first(parents))


def _kinds_above(forest: Forest, readings: Sequence[Reading]) -> list[str | None]:
    """For each span the kind of the nearest step above it."""
    above: list[str | None] = [None] * len(readings)
    for number in forest.parents_first:
        parent = forest.parents[number]
        if parent is not None:
            above[number] = _kind(readings[parent]) or above[parent]
    return above


def _kind(reading: Reading) -> str | None:
    return reading.step.kind if reading.step is not None else None


def _is_twin(forest: Forest, readings: Sequence[Reading], outer: int, inner: int) -> bool:
    around, within = forest.spans[outer], forest.spans[inner]
    first, second = readings[outer].step, readings[inner].step
    if first is None or second is None or around.scope == within.scope:
        return False
    if first.kind != second.kind or not _encloses(around, within):
        return False
    is_root = forest.parents[inner] is None
    return _agree(first, second) and (is_root or None not in (first.tokens_in, second.tokens_in))


def _encloses(around: Span, within: Span) -> bool:
    return around.start_ns <= within.start_ns and within.end_ns <= around.end_ns


def _agree(first: Step, second: Step) -> bool:
    """Whether nothing that both know speaks against their being one call."""
    if first.kind == "tool" and not is_same_tool(first.name, second.name):
        return False
    models = (first.model_served, second.model_served)
    if None not in models and served_evidence(*models) == "mismatch":
        return False
    pairs = ((first.tokens_in, second.tokens_in), (first.tokens_out, second.tokens_out))
    return all(None in pair or pair[0] == pair[1] for pair in pairs)
