"""Which tools a model was offered, where a span tells: the instrumentations' ways to say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from evalkit.tracing.attributes import as_list, as_map, label, parsed
from evalkit.tracing.shapes import flattened, shape_of

MAX_OFFERED = 500

_MOST_KEPT = 16_384
"""Characters of offers, and their keys, that are kept: calls of one agent repeat them."""

_LISTS = (
    "gen_ai.tool.definitions",
    "ai.prompt.tools",
    "gen_ai.agent.tools",
    "crewai.agent.tools",
    "haystack.agent.tools",
)
_FLATTENED = ("llm.tools", "gen_ai.tool.definitions", "llm.request.functions")
_PARAMETERS = "model_request_parameters"


def offered(attributes: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The names of the offered tools; those of an MCP server also as the server has them.

    None where the span does not tell.
    """
    keys = shape_of(attributes).tells(_telling)
    if not keys:
        return None
    values = tuple([attributes[key] for key in keys])
    is_text = all(isinstance(value, str) for value in values)
    is_kept = is_text and sum(map(len, (*keys, *values))) <= _MOST_KEPT
    return _kept_names(keys, values) if is_kept else _names(keys, values)


def _telling(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys under which offers stand."""
    lists = tuple(f"{one}." for one in _FLATTENED)
    return tuple(key for key in keys if key in (*_LISTS, _PARAMETERS) or key.startswith(lists))


def _names(keys: tuple[str, ...], values: tuple[Any, ...]) -> tuple[str, ...] | None:
    names: dict[str, None] = {}
    attributes = dict(zip(keys, values, strict=True))
    lists = shape_of(attributes).tells(flattened)
    for tool in islice(_tools(attributes, lists), MAX_OFFERED):
        name = _name(tool)
        if name is not None:
            names |= {name: None, _at_home(name): None}
    return tuple(names) or None


_kept_names = lru_cache(128)(_names)


def _tools(attributes: Mapping[str, Any], lists: Mapping[str, Any]) -> Iterator[Any]:
    for key in _LISTS:
        yield from as_list(attributes.get(key))
    for prefix in _FLATTENED:
        for item in lists.get(prefix, ()):
            yield {name: attributes[key] for name, key in item}
    stated = as_map(attributes.get(_PARAMETERS))
    for kind in ("function_tools", "output_tools"):
        yield from as_list(stated.get(kind))


def _at_home(name: str) -> str:
    """The name that a tool has on its server: ``find`` for ``mcp__kb__find``."""
    return (name.split("__", 2)[2:] or [name])[0] if name.startswith("mcp__") else name


def _name(tool: Any) -> str | None:
    """A tool's name: itself, or what its record states, however deep its kind puts it."""
    found = parsed(tool)
    if isinstance(found, str):
        return label(found)
    stated = as_map(found)
    for within in ("function", "tool.json_schema", "data"):
        inner = as_map(stated.get(within))
        inner = as_map(inner.get("function")) or inner
        if (name := label(inner.get("name"))) is not None:
            return name
    return label(stated.get("tool.name")) or label(stated.get("name"))
