"""Values that something beside them names: headers as records or pairs, options of a command.

``{"name": "x-api-key", "value": ...}``, ``["x-api-key", ...]``, ``["--api-key", ...]``: the name
is no key of the value, and tells of it what a key would.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.redacting.naming import key_kind, random_looking
from evalkit.redacting.secrets import is_value

_NAMES = frozenset({"name", "key", "header", "field", "param", "parameter", "variable", "k"})
_VALUES = frozenset({"value", "val", "values", "v", "stringvalue", "string_value"})
_SHORT = re.compile(r"-[paPwu]")
_NAME = re.compile(r"(?:-{0,2}|/[\w./-]{0,80}/)[A-Za-z][\w.-]{1,60}")


def text_of(value: Any) -> str | None:
    """A text, be it one of bytes; None if it is none."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def keys_of(found: Mapping[Any, Any], key: str) -> dict[Any, str]:
    """For each key of an object the name that tells of its value: mostly itself.

    For ``value`` it is what stands under ``name`` or the like; else ``key``, under which the
    object itself stands. Either only where it says that the value is a secret.
    """
    keys = {one: str(one) for one in found}
    held = [one for one, name in keys.items() if name.lower() in _VALUES]
    if held:
        named = (text_of(found[one]) for one, name in keys.items() if name.lower() in _NAMES)
        told = next((name for name in (*named, key) if name and _is_secret(name)), None)
        keys.update(dict.fromkeys(held, told) if told else {})
    return keys


def names_of(listed: Sequence[Any], key: str) -> list[str]:
    """For each element of a list the name that tells of it: ``key``, under which the list stands,
    or what stands before it."""
    names = [key] * len(listed)
    before = None
    for place, one in enumerate(listed):
        text = text_of(one)
        if before is not None and text is not None and _tells(before, text):
            names[place] = before
        before = text if text is not None and _is_secret(text) else None
    return names


def is_command(listed: Sequence[Any]) -> bool:
    """Whether a list is one of a command's words, with an option of one letter: ``-p...``."""
    return all(type(one) is str for one in listed) and any(_SHORT.match(one) for one in listed[1:])


def are_pairs(listed: Sequence[Any]) -> bool:
    """Whether a list is one of names with their values, as headers are often kept."""
    return bool(listed) and all(
        isinstance(one, list | tuple) and len(one) == 2 and text_of(one[0]) is not None
        for one in listed
    )


def name_in(pair: Sequence[Any]) -> str:
    """The name in a pair of it and its value, where it says that this is a secret; else none."""
    name, text = text_of(pair[0]) or "", text_of(pair[1])
    told = text is not None and _is_secret(name) and is_value(text.encode("utf-8", "replace"))
    return name if told else ""


def _is_secret(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and key_kind(name) is not None


def _tells(name: str, value: str) -> bool:
    """Whether a name in a list is that of the text after it; it may be one of a list of names."""
    if name.startswith("-"):
        return not value.startswith("-")
    return random_looking(value.encode("utf-8", "replace").rpartition(b" ")[2])
