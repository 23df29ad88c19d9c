"""Which route a trace took, by what its suite says that routes are told by."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalkit.spans import Span
from evalkit.suite import RouteRule, RouteSource
from evalkit.tracing.attributes import label, parsed, structured
from evalkit.trajectory import Step, Trajectory
from evalkit.values import canonical

_PART = re.compile(r"[^.\[\]]+")
_NAME = re.compile(r"[\w-]{1,100}(?:(?: [&/+|-] |[ ./:&+|-])\(?[\w-]{1,100}\)?){0,3}")
"""At most four words without a sentence's punctuation."""

_TALK = {
    "i", "it", "is", "are", "was", "be", "this", "that", "we", "you", "your",
    "cannot", "will", "would", "should", "could", "please", "sorry", "because",
}  # fmt: skip
"""Words that names of several words do without."""

_MOST_WORDS = 5
"""Of a route that is a router's whole text."""

_FENCED = re.compile(r"```[\w-]{0,20}[ \t]*\n(.*?)```", re.DOTALL)

_NO_PLACES = frozenset({"llm", "embedding", "guardrail"})
"""Kinds of steps that are no place where a router sends anything."""


def route_taken(
    told: str | None,
    trajectory: Trajectory,
    spans: Sequence[Span],
    source: RouteSource | None,
) -> tuple[str | None, str | None]:
    """The route by ``source`` if there is one, else as told by a span; the last word counts.

    Beside it, what decided: ``attribute evalkit.route``, ``output of classify at label``,
    ``first step after classify``, ``rule 2: step refund``, ...
    """
    if source is not None:
        found = _by(source, trajectory, spans)
        if found is not None:
            return found
    return told, None if told is None else "attribute evalkit.route"


def _by(
    source: RouteSource, trajectory: Trajectory, spans: Sequence[Span]
) -> tuple[str, str] | None:
    if source.rules is not None:
        return _by_rules(source.rules, trajectory, spans)
    if source.attribute is not None:
        values: list[Any] = [span.attributes.get(source.attribute) for span in spans]
        why = f"attribute {source.attribute}"
    elif source.after is not None:
        values = [step.name for step in _after(trajectory.steps, source.after)]
        why = f"first step after {source.after}"
    else:
        outputs = [_output(step, source.path) for step in _named(trajectory, source.step)]
        values = [
            None if whole and _is_talk(said, source.path) else said for said, whole in outputs
        ]
        why = f"output of {source.step}" + (f" at {source.path}" if source.path else "")
    routes = [route for route in map(_as_route, values) if route is not None]
    return (routes[-1], why) if routes else None


def _by_rules(
    rules: Sequence[RouteRule], trajectory: Trajectory, spans: Sequence[Span]
) -> tuple[str, str] | None:
    for number, rule in enumerate(rules, 1):
        why = _holds(rule, trajectory, spans)
        if why is not None:
            return rule.route, f"rule {number}: {why}"
    return None


def _holds(rule: RouteRule, trajectory: Trajectory, spans: Sequence[Span]) -> str | None:
    """What of the trace fulfils the rule; None if nothing does."""
    if rule.attribute is not None:
        values = [span.attributes.get(rule.attribute) for span in spans]
        what = f"attribute {rule.attribute}"
    elif rule.step is not None:
        steps = list(_named(trajectory, rule.step))
        if rule.equals is None:
            return f"step {rule.step}" if steps else None
        values = [_output(step, rule.path)[0] for step in steps]
        what = f"output of {rule.step}" + (f" at {rule.path}" if rule.path else "")
    else:
        return "any trace"
    if rule.equals is None:
        return what if any(value is not None for value in values) else None
    wanted = canonical(rule.equals)
    return f"{what} is {rule.equals}" if wanted in map(canonical, values) else None


def _named(trajectory: Trajectory, name: str | None) -> Iterator[Step]:
    return (visit.step for visit in trajectory.walk() if visit.step.name == name)


def _output(step: Step, path: str | None) -> tuple[Any, bool]:
    """The output at the path, and whether it is the whole output, a text.

    An output of a single key may be recorded as its bare value: where a path leads into what is
    only a text, the text is the value.
    """
    said = _held(step.output)
    if isinstance(said, str):
        return said, True
    return value_at(said, path), False


def _held(output: Any) -> Any:
    """What JSON text holds, also where a model put it between fences, once; else the output."""
    said = structured(output)
    if not isinstance(said, str):
        return said
    if said[:1] == '"':
        return parsed(said)
    if "```" not in said:
        return said
    fenced = _FENCED.findall(said)
    held = structured(fenced[0]) if len(fenced) == 1 else said
    return said if isinstance(held, str) else held


def _is_talk(said: str, path: str | None) -> bool:
    """Whether a router's whole text is no route: a sentence tells none for sure.

    Where a path was to lead into it, it is one only if it can be a name.
    """
    text = said.strip()
    words = text.split()
    if len(words) > 1 and any(_is_talk_word(word) for word in words):
        return True
    if path is None:
        return len(words) > _MOST_WORDS or "\n" in text
    return _NAME.fullmatch(text) is None


def _is_talk_word(word: str) -> bool:
    """``it`` and ``It`` are; ``IT`` is a department."""
    return word.lower() in _TALK and (len(word) == 1 or not word.isupper())


def _after(steps: Sequence[Step], router: str) -> Iterator[Step]:
    """The first step beside each router, or else beside what it is in, that comes after it."""
    for place, step in enumerate(steps):
        if step.name == router or _ends_with_router(step, router):
            following = (one for one in steps[place + 1 :] if one.kind not in _NO_PLACES)
            yield from [found] if (found := next(following, None)) is not None else []
        if step.steps and step.name != router:  # at most MAX_DEPTH deep
            yield from _after(step.steps, router)


def _ends_with_router(step: Step, router: str) -> bool:
    """Whether the last thing that happens within the step is the router."""
    places = [one for one in step.steps if one.kind not in _NO_PLACES]
    return bool(places) and (places[-1].name == router or _ends_with_router(places[-1], router))


def value_at(value: Any, path: str | None) -> Any:
    """What is at a dotted path (``label``, ``items[0].name``), also into JSON text; else None."""
    for part in _PART.findall(path or ""):
        value = structured(value)
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _as_route(value: Any) -> str | None:
    """A string names a route, and so does the only one in a list."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    return label(value)
