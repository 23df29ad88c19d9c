"""A step's arguments against those that a case states: what fails, and what is superfluous."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from evalkit.dataset import ArgumentsMode
from evalkit.predicates import ABSENT, all_hold, at_key, describe, holds, is_predicate, unnamed
from evalkit.values import MAX_DEPTH, is_path, path_parts, show

MAX_SHOWN = 50
"""At most so many arguments of one step are named."""


class Mismatch(NamedTuple):
    """One value that does not hold: its dotted path, what was stated, what was found."""

    path: str
    expected: str
    found: str

    def __str__(self) -> str:
        about = f"{self.path}: " if self.path else ""
        return f"{about}expected {self.expected}, found {self.found}"


_Path = tuple[str | int, ...]


def without(arguments: Any, paths: Sequence[str]) -> Any:
    """The arguments without what is at these paths; a key may itself be a path to there.

    An element of a list becomes null, so that the others keep their places.
    """
    return _without(arguments, [_parts(path) for path in paths]) if paths else arguments


def _without(value: Any, paths: Sequence[_Path]) -> Any:
    if isinstance(value, Mapping):
        kept = ((key, _left(_parts(key), one, paths)) for key, one in value.items())
        return {key: left for key, left in kept if left is not ABSENT}
    if isinstance(value, list | tuple):
        counted = [_from_start(path, len(value)) for path in paths]
        every = [_left((place,), one, counted) for place, one in enumerate(value)]
        return [None if left is ABSENT else left for left in every]
    return value


def _left(names: _Path, value: Any, paths: Sequence[_Path]) -> Any:
    """What is left of the value that ``names`` lead to; ABSENT if nothing is."""
    if any(path == names[: len(path)] for path in paths):
        return ABSENT
    within = [path[len(names) :] for path in paths if path[: len(names)] == names]
    return _without(value, within) if within else value


def _parts(key: Any) -> _Path:
    return path_parts(key) if isinstance(key, str) and is_path(key) else (key,)


def _from_start(path: _Path, size: int) -> _Path:
    """The path with its first place, in a list of this size, counted from the start."""
    first, *rest = path
    return (first + size, *rest) if isinstance(first, int) and first < 0 else path


def _named(stated: Mapping[str, Any], found: Any) -> Any:
    """What was found, as an object: a bare value is that of the only argument that is stated.

    (Some instrumentations drop the name of the argument of tools that have only one.)
    """
    if found is None:
        return {}
    if len(stated) == 1 and not isinstance(found, Mapping):
        return {next(iter(stated)): found}
    return found


def unrecorded(stated: Mapping[str, Any] | None, found: Any) -> bool:
    """Whether what is stated may hold, for all that was recorded: nothing, or one value alone.

    A bare value is that of one of the arguments that are stated, by its place; the others may be
    defaults. Where it is none of theirs, it does not hold.
    """
    if found is None:
        return True
    if stated is None or len(stated) < 2 or isinstance(found, Mapping):
        return False
    return any(all_hold({key: value}, {key: found}) for key, value in stated.items())


def arguments_hold(
    stated: Mapping[str, Any] | None, found: Any, mode: ArgumentsMode = "stated"
) -> bool:
    """Whether a step's arguments hold what is stated; ``None`` states nothing."""
    if stated is None or mode == "ignore":
        return True
    if type(found) is not dict:
        found = _named(stated, found)
    return all_hold(stated, found, exact=mode == "exact")


def mismatches(
    stated: Mapping[str, Any] | None, found: Any, mode: ArgumentsMode = "stated"
) -> tuple[Mismatch, ...]:
    """The arguments that do not hold (at most 50): path, what was stated, what was found."""
    if stated is None or mode == "ignore":
        return ()
    failing = _explain("", stated, _named(stated, found), mode == "exact", 0)
    return tuple(islice(failing, MAX_SHOWN))


def superfluous(stated: Mapping[str, Any] | None, found: Any) -> tuple[str, ...]:
    """Paths (at most 50) of keys that are found but not stated, within objects too."""
    if stated is None or not isinstance(found, Mapping):
        return ()
    return tuple(islice(_unstated("", stated, found, 0), MAX_SHOWN))


def _explain(path: str, stated: Any, found: Any, exact: bool, depth: int) -> Iterator[Mismatch]:
    """Where it fails, as deep down in objects as the place can be told."""
    if depth > MAX_DEPTH:
        yield Mismatch(path, describe(stated), f"nesting deeper than {MAX_DEPTH} levels")
    elif _names_keys(stated, depth) and isinstance(found, Mapping):
        for key, value in stated.items():
            yield from _explain(_join(path, key), value, at_key(found, key), exact, depth + 1)
        if exact:
            for key in unnamed(stated, found):
                yield Mismatch(_join(path, key), "nothing", show(found[key]))
    elif depth == 0 or not holds(stated, found, exact=exact):
        yield Mismatch(path, describe(stated), show(found))


def _names_keys(stated: Any, depth: int) -> bool:
    """Whether keys are names: always at the top, below it unless all are predicates' names."""
    return isinstance(stated, Mapping) and (depth == 0 or not is_predicate(stated))


def _unstated(
    path: str, stated: Mapping[str, Any], found: Mapping[Any, Any], depth: int
) -> Iterator[str]:
    if depth > MAX_DEPTH:
        return
    further = set(unnamed(stated, found))
    for key, value in found.items():
        if key in further:
            yield _join(path, key)
        elif key in stated and isinstance(value, Mapping) and _names_keys(stated[key], depth + 1):
            yield from _unstated(_join(path, key), stated[key], value, depth + 1)


def _join(path: str, key: Any) -> str:
    name = str(key)[:100]
    return f"{path}.{name}" if path else name
