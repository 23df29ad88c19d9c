"""Which route a trace took: from an attribute, or from the output of a step."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.spans import Span
from evalkit.suite import RouteSource
from evalkit.tracing.attributes import label
from evalkit.trajectory import Trajectory

_PART = re.compile(r"[^.\[\]]+")


def route_taken(
    told: str | None,
    trajectory: Trajectory,
    spans: Sequence[Span],
    source: RouteSource | None,
) -> tuple[str | None, str | None]:
    """The route by ``source`` if there is one, else as told by a span; the last word counts.

    Beside it, what decided: ``attribute evalkit.route``, ``output of classify at label``, ...
    """
    by_attribute = (told, None if told is None else "attribute evalkit.route")
    if source is None:
        return by_attribute
    if source.attribute is not None:
        found = [span.attributes.get(source.attribute) for span in spans]
    else:
        outputs = [
            visit.step.output for visit in trajectory.walk() if visit.step.name == source.step
        ]
        # OpenInference records an output of a single key as that key's bare value.
        found = [
            output if isinstance(output, str) else value_at(output, source.path)
            for output in outputs
        ]
    named = [route for route in map(_as_route, found) if route is not None]
    return (named[-1], _origin(source)) if named else by_attribute


def _origin(source: RouteSource) -> str:
    if source.attribute is not None:
        return f"attribute {source.attribute}"
    return f"output of {source.step}" + (f" at {source.path}" if source.path else "")


def value_at(value: Any, path: str | None) -> Any:
    """What is at a dotted path (``label``, ``items[0].name``); None if there is nothing."""
    for part in _PART.findall(path or ""):
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
