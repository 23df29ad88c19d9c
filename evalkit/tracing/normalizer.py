"""Spans of one trace become a trajectory, whichever convention each of them is written in.

Every span is accounted for: it becomes a step, is a wrapper (its children move up), is not
understood (its attribute keys are counted), or is quarantined. Odd spans never raise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from evalkit.plugins import load, registered
from evalkit.protocols import Convention, Reading
from evalkit.spans import Span
from evalkit.suite import Price, RouteSource
from evalkit.tracing.attributes import clean_text, label, text
from evalkit.tracing.folding import folded
from evalkit.tracing.routes import route_taken
from evalkit.tracing.tree import Forest, grow
from evalkit.trajectory import MAX_DEPTH, Coverage, Step, Trajectory

ROUTE = "evalkit.route"
SAID = "evalkit.said"

_MAX_KEYS = 200
_MAX_ERROR = 500
_BUILT_IN = ("plain", "openinference", "genai")


def to_trajectory(
    spans: Sequence[Span],
    *,
    output: Any = msgspec.UNSET,
    route_from: RouteSource | None = None,
    prices: Mapping[str, Price] | None = None,
) -> Trajectory:
    """The spans as a trajectory.

    ``output`` is the pipeline's answer, kept as it is; without it, that of the first root step
    which has one. ``route_from`` says where the route taken is read from when no span carries
    ``evalkit.route``. ``prices`` (US dollars per million tokens, by exact model name) give a cost
    to steps that report tokens but no cost. Raises PluginError if an installed convention does
    not load, and nothing else.
    """
    forest = grow(spans)
    readings = [
        _read(span, None if parent is None else forest.spans[parent])
        for span, parent in zip(forest.spans, forest.parents, strict=True)
    ]
    steps = _nested(forest, readings, prices or {})
    if any(_lost_its_arguments(read.reading.step) for read in readings):
        steps = _repaired(steps)
    found = Trajectory(
        steps=steps,
        said=tuple(_said(forest, readings)),
        trace_id=forest.spans[0].trace_id if forest.spans else None,
        coverage=_coverage(len(spans), forest, readings),
    )
    return replace(
        found,
        output=_root_output(steps) if output is msgspec.UNSET else output,
        route=route_taken(_told_route(forest, readings), found, forest.spans, route_from),
        stop_reason=_stop_reason(found),
    )


class _Read(NamedTuple):
    """What became of one span, and which convention said so."""

    reading: Reading
    convention: str | None = None


def _read(span: Span, parent: Span | None) -> _Read:
    for convention in _conventions():
        try:
            if convention.claims(span):
                return _Read(convention.read(span, parent), convention.name)
        except Exception:  # a third party's convention may raise anything on a span it mistakes
            return _Read(Reading(role="unknown"), convention.name)
    return _Read(Reading(role="unknown"))


@cache
def _conventions() -> tuple[Convention, ...]:
    """All installed conventions; ours last, and of these the one that shares its keys least."""
    names = registered("convention")
    ordered = [name for name in names if name not in _BUILT_IN]
    ordered += [name for name in _BUILT_IN if name in names]
    found = [load("convention", name) for name in ordered]
    return tuple(one() if isinstance(one, type) else one for one in found)


def _nested(forest: Forest, readings: list[_Read], prices: Mapping[str, Price]) -> tuple[Step, ...]:
    """The steps as a tree: each one under the nearest ancestor that is a step too."""
    kept_parents, order = _kept_parents(forest, readings)
    children: list[list[Step]] = [[] for _ in readings]
    roots: list[Step] = []
    # Children before parents, later before earlier: so the lists below are in reverse order.
    for number in reversed(order):
        step = readings[number].reading.step
        assert step is not None
        below = tuple(reversed(children[number]))
        children[number] = []
        built = folded(_completed(step, forest.spans[number], below, prices))
        parent = kept_parents[number]
        (roots if parent is None else children[parent]).extend(reversed(built))
    return tuple(reversed(roots))


def _kept_parents(forest: Forest, readings: list[_Read]) -> tuple[list[int | None], list[int]]:
    """For each span the step that it is under, and the steps level by level, each in order."""
    nearest: list[int | None] = [None] * len(readings)
    kept_parents: list[int | None] = [None] * len(readings)
    levels: list[list[int]] = []
    depths = [-1] * len(readings)
    for number in forest.parents_first:
        parent = forest.parents[number]
        above = None if parent is None else nearest[parent]
        if not _is_step(readings[number]):
            nearest[number] = above
            continue
        if above is not None and depths[above] == MAX_DEPTH - 1:
            above = kept_parents[above]  # lifted to the deepest level that there is
        nearest[number] = number
        kept_parents[number] = above
        depths[number] = 0 if above is None else depths[above] + 1
        if depths[number] == len(levels):
            levels.append([])
        levels[depths[number]].append(number)
    return kept_parents, [number for level in levels for number in sorted(level)]


def _is_step(read: _Read) -> bool:
    return read.reading.role == "step" and read.reading.step is not None


def _completed(
    step: Step, span: Span, steps: tuple[Step, ...], prices: Mapping[str, Price]
) -> Step:
    """The convention's step with what every span tells: its place, its time and its failure."""
    error = step.error
    status = step.status
    raised = _exception(span)
    if span.error or raised is not None:
        status = "error"
        error = error or _first_line(raised) or _first_line(span.status_message) or "error"
    return replace(
        step,
        status=status,
        error=error,
        cost_usd=_cost(step, prices) if step.cost_usd is None else step.cost_usd,
        span_id=step.span_id or span.span_id,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        steps=steps,
    )


def _exception(span: Span) -> str | None:
    """The message, or else the type, of the last exception that the span recorded."""
    for event in reversed(span.events):
        if event.name == "exception":
            found = event.attributes
            message = text(found.get("exception.message"))
            return message or text(found.get("exception.type")) or "exception"
    return None


def _first_line(message: str | None) -> str:
    head = (message or "")[: 8 * _MAX_ERROR].partition("Traceback (most recent call last)")[0]
    return label(head.strip().partition("\n")[0][:_MAX_ERROR]) or ""


def _cost(step: Step, prices: Mapping[str, Price]) -> float | None:
    price = prices.get(step.model_served or "") or prices.get(step.model_requested or "")
    if price is None or step.tokens_in is None:
        return None
    if step.tokens_out is None and step.kind != "embedding":
        return None
    cached = min(step.tokens_cached or 0, step.tokens_in)
    cached_price = price.input if price.cached is None else price.cached
    millionths = (step.tokens_in - cached) * price.input + cached * cached_price
    return (millionths + (step.tokens_out or 0) * price.output) / 1e6


def _repaired(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Tools' arguments that a recording lost, taken from the model's own calls of them.

    OpenInference records a LangChain tool's single argument without its name.
    """
    visits = Trajectory(steps=steps).walk()
    calls = [call for visit in visits if visit.step.kind == "llm" for call in _calls(visit.step)]
    return tuple(_with_arguments(step, calls) for step in steps)


def _lost_its_arguments(step: Step | None) -> bool:
    return step is not None and step.kind == "tool" and isinstance(step.arguments, str)


def _calls(step: Step) -> list[Mapping[str, Any]]:
    calls = step.output.get("tool_calls", ()) if isinstance(step.output, Mapping) else ()
    return [call for call in calls if isinstance(call.get("arguments"), Mapping)]


def _with_arguments(step: Step, calls: list[Mapping[str, Any]]) -> Step:
    """The step and, at most MAX_DEPTH levels down, its children, with arguments named."""
    if _lost_its_arguments(step):
        for call in calls:
            if call["name"] == step.name and [*call["arguments"].values()] == [step.arguments]:
                step = replace(step, arguments=call["arguments"])
                break
    if not step.steps:
        return step
    return replace(step, steps=tuple(_with_arguments(child, calls) for child in step.steps))


def _told_route(forest: Forest, readings: list[_Read]) -> str | None:
    """The route that a span carries; the last word counts."""
    for span, read in zip(reversed(forest.spans), reversed(readings), strict=True):
        told = label(span.attributes.get(ROUTE)) or label(read.reading.route)
        if told is not None:
            return told
    return None


def _said(forest: Forest, readings: list[_Read]) -> Iterator[str]:
    for span, read in zip(forest.spans, readings, strict=True):
        yield from read.reading.said
        told = span.attributes.get(SAID)
        listed = told if isinstance(told, list | tuple) else (told,)
        yield from (clean_text(message) for message in listed if isinstance(message, str))


def _root_output(steps: tuple[Step, ...]) -> Any:
    return next((step.output for step in steps if step.output is not None), None)


def _stop_reason(trajectory: Trajectory) -> str | None:
    """That of the model call which started last."""
    calls = [visit.step for visit in trajectory.walk() if visit.step.kind == "llm"]
    return max(calls, key=lambda step: step.start_ns or 0).stop_reason if calls else None


def _coverage(total: int, forest: Forest, readings: list[_Read]) -> Coverage:
    unknown: Counter[str] = Counter()
    conventions: Counter[str] = Counter()
    wrappers = not_understood = 0
    for span, read in zip(forest.spans, readings, strict=True):
        if read.convention is not None:
            conventions[read.convention] += 1
        if read.reading.role == "wrapper":
            wrappers += 1
        elif not _is_step(read):
            not_understood += 1
            unknown.update(key for key in map(label, span.attributes) if key)
    scopes = {span.scope: span.scope_version for span in forest.spans if span.scope}
    return Coverage(
        spans=total,
        wrappers=wrappers,
        not_understood=not_understood,
        quarantined=forest.quarantined,
        unknown_keys=dict(unknown.most_common(_MAX_KEYS)),
        conventions=dict(conventions),
        scopes=dict(list(scopes.items())[:_MAX_KEYS]),
    )
