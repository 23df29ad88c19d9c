"""Spans of one trace become a trajectory, whichever convention each of them is written in.

Every span is accounted for: it becomes a step, is a wrapper (its children move up), is not
understood (its attribute keys are counted), or is quarantined. Odd spans never raise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.suite import Price, RouteSource
from evalkit.tracing.attributes import clean_text, label, text
from evalkit.tracing.choosing import reader_of
from evalkit.tracing.completeness import NAMING, missing, session_and_user
from evalkit.tracing.completion import completed
from evalkit.tracing.folding import folded
from evalkit.tracing.frameworks import of_ai_sdk
from evalkit.tracing.langchain import leaves_graph
from evalkit.tracing.messages import Results, results_in
from evalkit.tracing.offers import offered
from evalkit.tracing.outcome import final_output
from evalkit.tracing.routes import route_taken
from evalkit.tracing.sameness import forget
from evalkit.tracing.semantic_kernel import without_plugins
from evalkit.tracing.shapes import shape_of
from evalkit.tracing.tree import Forest, grow, oddities
from evalkit.tracing.twins import Repeats, joined
from evalkit.trajectory import MAX_DEPTH, Coverage, Step, Trajectory, Unseen, in_order

ROUTE = "evalkit.route"
SAID = "evalkit.said"

FAILURES = (
    "error.type",
    "gen_ai.tool.status",
    "tool.status",
    "gen_ai.task.status",
    "pydantic_ai.is_error",
)

_MAX_VERSION = 200
_MAX_KEYS = 200
_MAX_ERROR = 500


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
    reads = _read_all(forest)
    if "semantic_kernel" in reads.conventions:
        reads = reads._replace(readings=without_plugins(forest.spans, reads.readings))
    forest, repeats = joined(forest, reads.readings)
    nested = _nested(forest, reads, prices or {}, repeats)
    forget()
    listed = in_order(nested)
    steps, unseen = completed(nested, listed, lambda: _results(forest.spans, reads.readings))
    if steps is not nested:
        listed = in_order(steps)
    found = Trajectory(
        steps=steps,
        said=tuple(_said(forest, reads)),
        trace_id=forest.spans[0].trace_id if forest.spans else None,
    )
    route, decided = route_taken(_told_route(forest, reads), found, forest.spans, route_from)
    by_hand = {"", "plain"}.issuperset(reads.conventions)
    lacking = missing(found, listed, unseen=bool(unseen), by_hand=by_hand)
    session, user = session_and_user([forest.spans[number] for number in reads.noted])
    return replace(
        found,
        output=final_output(steps) if output is msgspec.UNSET else output,
        route=route,
        session=session,
        user=user,
        coverage=_coverage(len(spans), forest, reads, lacking, unseen, decided),
        stop_reason=_stop_reason(listed),
    )


class _Reads(NamedTuple):
    """What became of each span, and the name of the convention that said so, if any.

    ``noted`` are the numbers of spans that may tell more than a step: a failure, the route, what
    the user was sent, who the user is.
    """

    readings: list[Reading]
    conventions: list[str]
    noted: list[int]


_NOTED = frozenset((ROUTE, SAID, *NAMING, *FAILURES))
_UNKNOWN = Reading(role="unknown")


def _is_noted(keys: tuple[str, ...]) -> bool:
    return not _NOTED.isdisjoint(keys)


def _read_all(forest: Forest) -> _Reads:
    spans, parents = forest.spans, forest.parents
    readings: list[Reading] = []
    conventions: list[str] = []
    noted: list[int] = []
    for number, span in enumerate(spans):
        shape = shape_of(span.attributes)
        convention = reader_of(span, shape)
        if convention is None:
            reading, name = _UNKNOWN, ""
        else:
            parent = parents[number]
            name = convention.name
            try:
                reading = convention.read(span, None if parent is None else spans[parent])
            except Exception:  # a third party's convention may raise anything on odd spans
                reading = _UNKNOWN
            if reading.step is None and reading.role == "step" and not reading.steps:
                reading = _UNKNOWN
        readings.append(reading)
        conventions.append(name)
        if shape.tells(_is_noted) or reading.route is not None or reading.said:
            noted.append(number)
    return _Reads(readings, conventions, noted)


def _nested(
    forest: Forest, reads: _Reads, prices: Mapping[str, Price], repeats: Repeats
) -> tuple[Step, ...]:
    """The steps as a tree: each one under the nearest ancestor that is a step too."""
    made = [reading.step if reading.role == "step" else None for reading in reads.readings]
    kept_parents = _kept_parents(forest, made)
    noted = set(reads.noted)
    # Children come before parents, so a step is built once, with all that is below it.
    below: dict[int | None, list[tuple[int, tuple[Step, ...]]]] = {}
    for number in reversed(forest.parents_first):
        step = made[number]
        span = forest.spans[number]
        if step is None:
            several = reads.readings[number].steps
            if not several:
                continue
            built = tuple([folded(_completed(one, span, (), {}, False))[0] for one in several])
        else:
            steps = _by_number(below.pop(number)) if number in below else ()
            built = folded(
                _completed(step, span, steps, prices, number in noted), repeats.get(number, ())
            )
        below.setdefault(kept_parents[number], []).append((number, built))
    return _by_number(below.get(None, []))


def _by_number(built: list[tuple[int, tuple[Step, ...]]]) -> tuple[Step, ...]:
    """The steps by their spans' numbers: by start, then end, then id."""
    return tuple([step for _, steps in sorted(built, key=_number) for step in steps])


_number = itemgetter(0)


def _kept_parents(forest: Forest, made: Sequence[Step | None]) -> list[int | None]:
    """For each span the step that it is under."""
    nearest: list[int | None] = [None] * len(made)
    kept_parents: list[int | None] = [None] * len(made)
    depths = [0] * len(made)
    for number in forest.parents_first:
        parent = forest.parents[number]
        above = None if parent is None else nearest[parent]
        if made[number] is None:
            nearest[number] = kept_parents[number] = above
            continue
        nearest[number] = number
        if above is not None:
            depth = depths[above] + 1
            if depth == MAX_DEPTH:  # lifted to the deepest level that there is
                above, depth = kept_parents[above], depth - 1
            kept_parents[number] = above
            depths[number] = depth
    return kept_parents


def _completed(
    step: Step, span: Span, steps: tuple[Step, ...], prices: Mapping[str, Price], is_noted: bool
) -> Step:
    """The convention's step with what every span tells: its place, its time and its failure."""
    status, error, served = step.status, step.error, step.model_served
    raised = _exception(span) if span.events else None
    failed = span.error or raised is not None or (is_noted and _failed(span))
    if failed and not (leaves_graph(span) or _tells_others(span)):
        status = "error"
        error = (
            error
            or _first_line(raised)
            or _first_line(span.status_message)
            or label(span.attributes.get("error.message"))
            or label(span.attributes.get("error.type"))
            or "error"
        )
    if step.tokens_in == 0 and step.kind in ("llm", "embedding"):
        step = _without_zeros(step)
    if status == "error" and step.kind == "llm":
        # Some write the model asked for where the one that answered belongs: here none did.
        served = None
    return replace(
        step,
        status=status,
        error=error,
        model_served=served,
        cost_usd=_cost(step, prices) if prices and step.cost_usd is None else step.cost_usd,
        offered=_offered(step, span),
        span_id=step.span_id or span.span_id,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        steps=steps,
    )


def _tells_others(span: Span) -> bool:
    """Whether a span that did not fail has the failure of another.

    LiteLLM writes its call's onto the span around it, OpenInference's processor for the AI SDK
    any failure onto all spans after it; where one failed itself, it has the exception.
    """
    if span.error:
        is_processed = "openinference.span.kind" in span.attributes and of_ai_sdk(span)
        return is_processed and _exception(span) is None
    return span.scope != "litellm" and "litellm.call_id" in span.attributes


def _without_zeros(step: Step) -> Step:
    """The call without tokens where all are 0: there is no empty prompt, they were not told."""
    if step.tokens_out:
        return step
    cost = step.cost_usd or None
    return replace(
        step,
        tokens_in=None,
        tokens_out=None,
        tokens_cached=None,
        tokens_reasoning=None,
        cost_usd=cost,
    )


def _offered(step: Step, span: Span) -> tuple[str, ...] | None:
    chooses = step.offered is None and step.kind in ("llm", "agent")
    return offered(span.attributes) if chooses else step.offered


def _failed(span: Span) -> bool:
    """Whether an attribute tells a failure that the span's status does not."""
    found = span.attributes
    return (
        label(found.get("error.type")) is not None
        or "error" in (found.get("gen_ai.tool.status"), found.get("tool.status"))
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


def _results(spans: Sequence[Span], readings: Sequence[Reading]) -> Results:
    """What tools returned, by call id, as later model calls and what ran the tools tell."""
    chats = ("llm", "agent")
    return results_in(
        span
        for span, reading in zip(spans, readings, strict=True)
        if reading.step is not None and reading.step.kind in chats
    )


def _told_route(forest: Forest, reads: _Reads) -> str | None:
    """The route that a span carries; the last word counts."""
    for number in reversed(reads.noted):
        told = label(forest.spans[number].attributes.get(ROUTE))
        told = told or label(reads.readings[number].route)
        if told is not None:
            return told
    return None


def _said(forest: Forest, reads: _Reads) -> Iterator[str]:
    for number in reads.noted:
        yield from reads.readings[number].said
        told = forest.spans[number].attributes.get(SAID)
        listed = told if isinstance(told, list | tuple) else (told,)
        yield from (clean_text(message) for message in listed if isinstance(message, str))


def _stop_reason(steps: Iterable[Step]) -> str | None:
    """That of the model call which ended last; one around others ended before them."""
    last = None
    for step in steps:
        if step.kind == "llm" and (last is None or (step.end_ns or 0) >= (last.end_ns or 0)):
            last = step
    if last is None:
        return None
    below = in_order(last.steps) if last.steps else ()
    is_around = any(step.kind == "llm" for step in below)
    return _stop_reason(below) if is_around else last.stop_reason


def _coverage(
    total: int,
    forest: Forest,
    reads: _Reads,
    lacking: tuple[str, ...],
    unseen: tuple[Unseen, ...],
    route_from: str | None,
) -> Coverage:
    roles = [reading.role for reading in reads.readings]
    wrappers = roles.count("wrapper")
    not_understood = len(roles) - wrappers - roles.count("step")
    scopes = {span.scope: span.scope_version for span in forest.spans}
    scopes.pop("", None)
    names = reads.conventions
    return Coverage(
        spans=total,
        wrappers=wrappers,
        not_understood=not_understood,
        quarantined=forest.quarantined,
        mended=oddities(forest),
        unknown_keys=_unknown_keys(forest.spans, roles) if not_understood else {},
        conventions={name: names.count(name) for name in dict.fromkeys(names) if name},
        scopes=dict(list(scopes.items())[:_MAX_KEYS]),
        missing=lacking,
        unseen=unseen,
        route_from=route_from,
        service_version=_service_version(forest),
    )


def _unknown_keys(spans: Sequence[Span], roles: Sequence[str]) -> dict[str, int]:
    """The attributes of spans not understood, by how many have them, most frequent first."""
    unknown: Counter[str] = Counter()
    for span, role in zip(spans, roles, strict=True):
        if role not in ("wrapper", "step"):
            unknown.update(key for key in map(label, span.attributes) if key)
    return dict(unknown.most_common(_MAX_KEYS))


def _service_version(forest: Forest) -> str | None:
    """The first that a span's resource states."""
    told = (span.resource.get("service.version") for span in forest.spans)
    found = next(filter(None, told), None)
    return clean_text(found)[:_MAX_VERSION] if isinstance(found, str) else None
