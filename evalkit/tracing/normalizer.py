"""Spans of one trace become a trajectory, whichever convention each of them is written in.

Every span is accounted for: it becomes a step, is a wrapper (its children move up), is not
understood (its attribute keys are counted), or is quarantined. Odd spans never raise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from evalkit.plugins import load, registered
from evalkit.protocols import Convention, Reading
from evalkit.spans import Span
from evalkit.suite import Price, RouteSource
from evalkit.tracing.attributes import clean_text, label, text
from evalkit.tracing.completeness import missing, session_and_user
from evalkit.tracing.completion import completed
from evalkit.tracing.folding import folded
from evalkit.tracing.messages import ToolResult, tool_results
from evalkit.tracing.outcome import final_output
from evalkit.tracing.routes import route_taken
from evalkit.tracing.tree import Forest, grow
from evalkit.tracing.twins import joined
from evalkit.trajectory import MAX_DEPTH, Coverage, Step, Trajectory

ROUTE = "evalkit.route"
SAID = "evalkit.said"

_MAX_KEYS = 200
_MAX_ERROR = 500
# The more particular before the more general: the first that claims a span reads it.
_BUILT_IN = (
    "plain",
    "openinference",
    "langsmith",
    "traceai",
    "traceloop",
    "mcp",
    "litellm",
    "vercel_ai",
    "claude",
    "haystack",
    "llamaindex",
    "google_adk",
    "pydantic_ai",
    "semantic_kernel",
    "agent_framework",
    "strands",
    "crewai",
    "mastra",
    "langfuse",
    "genai",
)


def to_trajectory(
    spans: Sequence[Span],
    *,
    output: Any = msgspec.UNSET,
    route_from: RouteSource | None = None,
    prices: Mapping[str, Price] | None = None,
) -> Trajectory:
    """The spans as a trajectory.

    ``output`` is the pipeline's answer, kept as it is; without it, what
    :func:`evalkit.tracing.outcome.final_output` finds. ``route_from`` says where the route taken
    is read from when no span carries ``evalkit.route``. ``prices`` (US dollars per million
    tokens, by exact model name) give a cost to steps that report tokens but no cost. Raises
    PluginError if an installed convention does not load, and nothing else.
    """
    forest = grow(spans)
    readings = [
        _read(span, None if parent is None else forest.spans[parent])
        for span, parent in zip(forest.spans, forest.parents, strict=True)
    ]
    forest = joined(forest, [read.reading for read in readings])
    steps = completed(
        _nested(forest, readings, prices or {}), lambda: _results(forest.spans, readings)
    )
    found = Trajectory(
        steps=steps,
        said=tuple(_said(forest, readings)),
        trace_id=forest.spans[0].trace_id if forest.spans else None,
        coverage=_coverage(len(spans), forest, readings),
    )
    route, decided = route_taken(_told_route(forest, readings), found, forest.spans, route_from)
    listed = [visit.step for visit in found.walk()]
    session, user = session_and_user(forest.spans)
    return replace(
        found,
        output=final_output(steps) if output is msgspec.UNSET else output,
        route=route,
        session=session,
        user=user,
        coverage=replace(found.coverage, missing=missing(listed), route_from=decided),
        stop_reason=_stop_reason(listed),
    )


class _Read(NamedTuple):
    """What became of one span, and which convention said so."""

    reading: Reading
    convention: str | None = None


def _read(span: Span, parent: Span | None) -> _Read:
    for convention in _conventions_of(span.scope):
        try:
            if convention.claims(span):
                return _Read(convention.read(span, parent), convention.name)
        except Exception:  # a third party's convention may raise anything on a span it mistakes
            return _Read(Reading(role="unknown"), convention.name)
    return _Read(Reading(role="unknown"))


@lru_cache(maxsize=1024)
def _conventions_of(scope: str) -> tuple[Convention, ...]:
    """The conventions that may claim a span of the scope; a dialect names the scopes it is for."""
    return tuple(
        one
        for one in _conventions()
        if not (scopes := getattr(one, "scopes", ())) or scope.startswith(scopes)
    )


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
    raised = _exception(span) if span.events else None
    if span.error or raised is not None or _failed(span):
        status = "error"
        error = (
            error
            or _first_line(raised)
            or _first_line(span.status_message)
            or label(span.attributes.get("error.message"))
            or label(span.attributes.get("error.type"))
            or "error"
        )
    return replace(
        step,
        status=status,
        error=error,
        # Some write the model asked for where the one that answered belongs: here none did.
        model_served=None if status == "error" and step.kind == "llm" else step.model_served,
        cost_usd=_cost(step, prices) if step.cost_usd is None else step.cost_usd,
        span_id=step.span_id or span.span_id,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        steps=steps,
    )


def _failed(span: Span) -> bool:
    """Whether an attribute tells a failure that the span's status does not."""
    found = span.attributes
    return (
        label(found.get("error.type")) is not None
        or found.get("gen_ai.tool.status") == "error"
        or found.get("gen_ai.task.status") == "failure"
        or found.get("pydantic_ai.is_error") is True
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


def _results(spans: Sequence[Span], readings: Sequence[_Read]) -> dict[str, ToolResult]:
    """What tools returned, by call id, as later model calls were told; the first word counts."""
    found: dict[str, ToolResult] = {}
    for span, read in zip(spans, readings, strict=True):
        if read.reading.step is not None and read.reading.step.kind in ("llm", "agent"):
            for result in tool_results(span):
                found.setdefault(result.call_id, result)
    return found


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


def _stop_reason(steps: Sequence[Step]) -> str | None:
    """That of the model call which started last."""
    calls = [step for step in steps if step.kind == "llm"]
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
