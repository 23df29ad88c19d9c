"""Span attributes as plain, bounded values: what is too big, too deep or odd is cut, never raised.

Attributes come from traces and are hostile: texts of any size, JSON of any depth, numbers that
are no numbers. Conventions read them only through these functions.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from evalkit.tracing.shapes import flattened, shape_of

MAX_TEXT = 1_000_000
"""Longer strings are cut, and JSON in longer strings is not parsed. Characters."""

MAX_NESTING = 64
"""Deeper values are replaced by a marker."""

HIDDEN = "__REDACTED__"
"""What OpenInference writes where a user had it leave content out."""

MAX_NAME = 500
MAX_COUNT = 2**53

_DIGITS = re.compile(r"[0-9]{1,15}")
_OBJECT = re.compile(r"<[^<>]{1,200} at 0x[0-9a-fA-F]+>")
_SURROGATE = re.compile("[\ud800-\udfff]")


def plain(value: Any, depth: int = 0) -> Any:
    """The value as bounded JSON data: finite numbers, clean and cut strings, limited nesting."""
    kind = type(value)
    if kind is str:
        return value if value.isascii() and len(value) <= MAX_TEXT else clean_text(value)
    if kind is dict and depth < MAX_NESTING:
        made = {}
        for key, item in value.items():
            # Clean keys and texts, which are nearly all there is, cost no call.
            name, one = key, item
            if type(key) is not str or not key.isascii() or len(key) > MAX_TEXT:
                name = clean_text(key if isinstance(key, str) else str(key))
            if type(item) is not str or not item.isascii() or len(item) > MAX_TEXT:
                one = plain(item, depth + 1)
            made[name] = one
        return made
    if kind is list and depth < MAX_NESTING:
        return [plain(item, depth + 1) for item in value]
    if value is None or kind is bool:
        return value
    if kind is int or kind is float:
        return _number(value)
    return _plain_other(value, depth)


def _plain_other(value: Any, depth: int) -> Any:
    """What JSON does not give: numbers that it may not hold, and values of other types."""
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, (bytes, bytearray)):
        return clean_text(bytes(value[:MAX_TEXT]).decode("utf-8", "replace"))
    if depth >= MAX_NESTING:
        return "… (nested too deeply)"
    if isinstance(value, Mapping):
        return plain(dict(value), depth)
    if isinstance(value, (list, tuple, set, frozenset)):
        return plain(list(value), depth)
    return clean_text(repr(value))


def _number(value: int | float) -> int | float | None:
    """The number as JSON can hold it: finite, and whole ones within 64 bits."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if -(2**63) <= value < 2**63 else _as_float(value)


def clean_text(value: str) -> str:
    """The string without lone surrogates, at most MAX_TEXT characters and a marker long."""
    if len(value) <= MAX_TEXT and value.isascii():
        return value
    if len(value) > MAX_TEXT:
        value = f"{value[:MAX_TEXT]}… (cut, {len(value):,} characters)"
    return _SURROGATE.sub("\ufffd", value)


def parsed(value: Any) -> Any:
    """What a JSON string holds; any other value, and text that is no JSON, as it is."""
    if not isinstance(value, str) or len(value) > MAX_TEXT or value[:1] not in _JSON_STARTS:
        return value
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return value


_decode = msgspec.json.Decoder().decode
_JSON_STARTS = frozenset('{["-0123456789tfn \t\r\n')


def structured(value: Any) -> Any:
    """Like :func:`parsed`, but only objects and lists: the text ``42`` stays a text."""
    if not isinstance(value, str):
        return value
    start = value[:1]
    if start.isspace():
        start = value.lstrip()[:1]
    return parsed(value) if start in ("{", "[") else value


def literal(value: str) -> Any:
    """What the Python repr of plain values holds; any other text as it is."""
    if len(value) > MAX_TEXT:
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def as_map(value: Any) -> Mapping[str, Any]:
    """The value, or the object in its JSON text, as a map; empty if it is none."""
    if value is None:
        return {}
    found = parsed(value)
    return found if isinstance(found, (dict, Mapping)) else {}


def as_list(value: Any) -> list[Any]:
    """The value, or the list in its JSON text, as a list; empty if it is none."""
    if value is None:
        return []
    found = parsed(value)
    if found is not value and type(found) is list:
        return found  # nobody else's
    return list(found) if isinstance(found, (list, tuple)) else []


def first(found: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """What the first of the keys that has a value holds; None if none has."""
    for key in keys:
        value = found.get(key)
        if value is not None:
            return value
    return None


def is_shown_object(value: Any) -> bool:
    """Whether the value is but how Python shows an object: ``<coroutine object f at 0x7f1>``."""
    return isinstance(value, str) and _OBJECT.fullmatch(value) is not None


def text(value: Any) -> str | None:
    """The value if it is a string with something in it."""
    return value if isinstance(value, str) and value else None


def is_flagged(value: Any) -> bool:
    """Whether a flag is set: true, or the word, as instrumentations that only know text write."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


def step_name(*values: Any) -> str:
    """The first value that can be a name, on one line of at most MAX_NAME characters."""
    for value in values:
        if (found := label(value)) is not None:
            return found
    return "unnamed"


def label(value: Any) -> str | None:
    """The value as a short string on one line, or None: models, providers, ids, stop reasons."""
    if not isinstance(value, str):
        return None
    # What is printable has no surrogate in it, and no white space but spaces.
    if len(value) > MAX_NAME or " " in value or not value.isprintable():
        value = clean_text(" ".join(value[: 4 * MAX_NAME].split())[:MAX_NAME])
    return value or None


_NO_MODEL = frozenset({"None", "null", "undefined", "unknown", "N/A"})
"""What instrumentations write where they do not know the model."""


_NO_PROVIDER = frozenset(
    {"autogen", "gcp.vertex.agent", "microsoft.agent_framework", "strands-agents"}
)
"""Frameworks that write their own name where the provider's belongs."""


def provider_label(value: Any) -> str | None:
    """A provider's name as a label; None also for a framework's."""
    name = label(value)
    return None if name in _NO_PROVIDER else name


def model_label(value: Any) -> str | None:
    """A model's name as a label; None also for the words that stand for an unknown one."""
    name = label(value)
    return None if name in _NO_MODEL else name


def count(*values: Any) -> int | None:
    """The first value that is a whole number of tokens; numbers in text count too."""
    for value in values:
        if type(value) is int and 0 <= value < MAX_COUNT:
            return value
        if isinstance(value, str) and _DIGITS.fullmatch(value):
            return int(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if 0 <= value < MAX_COUNT and value == int(value):
            return int(value)
    return None


def amount(*values: Any) -> float | None:
    """The first value that is a finite number of at least zero: a cost."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        found = _as_float(value)
        if found is not None and found >= 0:
            return found
    return None


def indexed(attributes: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """Flattened lists: ``PREFIX.0.a.b``, ``PREFIX.10.c`` as ``[{"a.b": ..}, {"c": ..}]``."""
    places = shape_of(attributes).tells(flattened).get(prefix, ())
    return [{name: attributes[key] for name, key in item} for item in places]


def _as_float(value: int | float) -> float | None:
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


_STOP_REASONS = {
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "tool-calls": "tool_calls",
    "function_call": "tool_calls",
    "end_turn": "stop",
    "completed": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "content-filter": "content_filter",
}


def stop_reason(*values: Any, calls: Sequence[Any] = ()) -> str | None:
    """Why the model stopped, in OpenAI's words (``stop``, ``tool_calls``, ``length``, ...).

    Takes strings, enum reprs such as ``FinishReason.STOP``, and lists or JSON lists of them. A
    model that called tools (``calls``) stopped for them: some APIs only say that it is done.
    """
    for value in values:
        if value is None:
            continue
        found = structured(value)
        if isinstance(found, (list, tuple)):
            found = next((item for item in found if text(item)), None)
        if (reason := label(found)) is not None:
            reason = reason.rpartition(".")[2].lower()
            reason = _STOP_REASONS.get(reason, reason)
            return "tool_calls" if reason == "stop" and calls else reason
    return None


def model_output(content: Any, calls: list[dict[str, Any]]) -> Any:
    """What a model answered: its text, or ``{"content", "tool_calls"}`` if it calls tools.

    A call is ``{"id", "name", "arguments"}``, with ``at_provider`` where the provider ran it.
    """
    return {"content": content, "tool_calls": calls} if calls else content
