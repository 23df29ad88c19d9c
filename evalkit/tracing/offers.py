"""Which tools a model was offered, where a span tells: the instrumentations' ways to say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from evalkit.tracing.attributes import as_list, as_map, label, parsed
from evalkit.tracing.shapes import flattened, shape_of

MAX_OFFERED = 500

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
    shape = shape_of(attributes)
    if not shape.tells(_telling):
        return None
    names: dict[str, None] = {}
    for tool in islice(_tools(attributes, shape.tells(flattened)), MAX_OFFERED):
        name = _name(tool)
        if name is not None:
            names |= {name: None, _at_home(name): None}
    return tuple(names) or None


def _telling(keys: tuple[str, ...]) -> bool:
    """Whether one of the keys is one under which offers stand."""
    lists = tuple(f"{one}." for one in _FLATTENED)
    return any(key in (*_LISTS, _PARAMETERS) or key.startswith(lists) for key in keys)


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
