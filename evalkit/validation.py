"""Plain values become records, and every problem on the way is listed, not only the first."""

from __future__ import annotations

import difflib
import re
from typing import Any, NamedTuple, TypeVar

import msgspec

Record = TypeVar("Record")
Path = tuple[str | int, ...]

MAX_PROBLEMS = 50

_PATH_PART = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_UNKNOWN_KEY = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)


class Invalid(NamedTuple):
    """What is wrong with a value, and where it is."""

    path: Path
    message: str


def convert(value: Any, record: type[Record]) -> tuple[Record | None, list[Invalid]]:
    """``value`` as a record, or None with all its problems (at most 50)."""
    found, problems = salvage(value, record)
    return None if problems else found, problems


def salvage(value: Any, record: type[Record]) -> tuple[Record | None, list[Invalid]]:
    """What is good of ``value`` as a record, or None, and all its problems (at most 50).

    After a problem the offending part is left out and the rest is looked at again, so a person
    mends a file in one go. ``value`` is not changed.
    """
    problems: list[Invalid] = []
    removed: dict[Path, list[int]] = {}
    remaining = value
    while len(problems) < MAX_PROBLEMS:
        try:
            converted = msgspec.convert(remaining, record)
        except msgspec.ValidationError as error:
            invalid = _read(str(error), record)
            original = _original(invalid.path, removed)
            problems.append(Invalid(original, invalid.message))
            if not invalid.path or not _present(remaining, invalid.path):
                break
            if isinstance(last := original[-1], int):
                removed.setdefault(original[:-1], []).append(last)
            remaining = _without(remaining, invalid.path)
        except (RecursionError, ValueError) as error:
            problems.append(Invalid((), f"cannot be read: {type(error).__name__}"))
            break
        else:
            return converted, _drop_consequences(problems)
    return None, _drop_consequences(problems)


def _original(path: Path, removed: dict[Path, list[int]]) -> Path:
    """The path in the value as it was given, before list items were left out."""
    original: Path = ()
    for part in path:
        place = part
        if isinstance(place, int):
            for position in sorted(removed.get(original, ())):
                place += position <= place
        original = (*original, place)
    return original


def _read(text: str, record: type) -> Invalid:
    message, _, place = text.partition(" - at `")
    path = _parse_path(place.rstrip("`"))
    if unknown := _UNKNOWN_KEY.fullmatch(message):
        key = unknown[1]
        close = difflib.get_close_matches(key, _known_keys(record), n=1)
        hint = f". Did you mean `{close[0]}`?" if close else ""
        return Invalid((*path, key), f"unknown key `{key}`{hint}")
    if message.startswith("Invalid enum value"):
        message += f"; expected one of {', '.join(_options(record, path))}"
    return Invalid(path, message[:1].lower() + message[1:])


def _parse_path(text: str) -> Path:
    parts: list[str | int] = []
    for name, position in _PATH_PART.findall(text):
        parts.append(name if name else int(position) if position.isdigit() else position)
    return tuple(parts)


def _options(record: type, path: Path) -> list[str]:
    """The values that the key at the end of ``path`` may take."""
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    for one in msgspec.json.schema(record).get("$defs", {}).values():
        if options := one.get("properties", {}).get(key, {}).get("enum"):
            return [str(option) for option in options]
    return []


def _known_keys(record: type) -> list[str]:
    """Every key of the record and the records within it."""
    schema = msgspec.json.schema(record)
    return [key for one in schema.get("$defs", {}).values() for key in one.get("properties", {})]


def _present(value: Any, path: Path) -> bool:
    for part in path:
        in_object = isinstance(value, dict) and part in value
        in_array = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if not (in_object or in_array):
            return False
        value = value[part]
    return True


def _without(value: Any, path: Path) -> Any:
    """A copy of ``value`` in which the part at ``path`` is left out."""
    first, *rest = path
    if isinstance(value, dict):
        if rest:
            return {**value, first: _without(value[first], tuple(rest))}
        return {key: kept for key, kept in value.items() if key != first}
    position = int(first)
    if rest:
        changed = [*value]
        changed[position] = _without(value[position], tuple(rest))
        return changed
    return value[:position] + value[position + 1 :]


def _drop_consequences(problems: list[Invalid]) -> list[Invalid]:
    """Leaves out what is only missing because its wrong form was reported before."""
    kept: list[Invalid] = []
    for invalid in problems:
        children = [one.path for one in kept if one.path[:-1] == invalid.path and one.path]
        missing = re.fullmatch(r"object missing required field `(.*)`", invalid.message)
        if children and invalid.message.endswith("none of them"):
            continue
        if missing and (*invalid.path, missing[1]) in children:
            continue
        kept.append(invalid)
    return kept
