"""What the keys of attributes tell, worked out once for all spans that have the same keys.

Traffic repeats a few shapes: a framework writes the same keys on every span of a kind. Which
convention reads a span, which of the many names for a fact it uses and where its flattened lists
lie is thus told by looking the keys up, not by asking for each name on every span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

Told = TypeVar("Told")

_MAX_SHAPES = 4096
_MAX_KEYS = 500
"""Maps with more keys are each worked out for themselves: they are too odd to come again."""

_MAX_HELD = 4_000_000
"""Characters of keys in all known shapes."""

_MAX_DOTS = 40


class Shape:
    """The keys of some attributes, and what was found from them alone."""

    __slots__ = ("_found", "keys")

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.keys = keys
        self._found: dict[Any, Any] = {}

    def tells(self, find: Callable[[tuple[str, ...]], Told]) -> Told:
        """What ``find`` makes of the keys: a pure function, called once."""
        try:
            return self._found[find]  # type: ignore[no-any-return]  # each find has its own type
        except KeyError:
            found = self._found[find] = find(self.keys)
            return found


class Attributes(dict[str, Any]):
    """Attributes that know their shape, as those of a file's spans do."""

    __slots__ = ("shape",)

    shape: Shape


def shaped(keys: tuple[str | None, ...], values: Iterable[Any]) -> dict[str, Any]:
    """The values under their keys; those without a key are left out."""
    shape = _shapes.get(keys) or _shape(keys)
    if shape.keys is not keys and len(shape.keys) < len(keys):
        return {key: value for key, value in zip(keys, values, strict=True) if key}
    # The shape's own keys, in a copy of a map that has room for them: spans then share them, they
    # need not be hashed again, and the map need not grow.
    made = Attributes(shape.tells(dict.fromkeys))
    for key, value in zip(shape.keys, values, strict=True):
        made[key] = value
    made.shape = shape
    return made


_shapes: dict[tuple[str | None, ...], Shape] = {}
_held = [0]
# The attributes asked about last: those of one span are asked about several times in a row.
_last: list[tuple[Mapping[str, Any], Shape]] = [({}, Shape(()))]


def shape_of(attributes: Mapping[str, Any]) -> Shape:
    """The shape of the attributes, the same for equal keys in the same order."""
    if type(attributes) is Attributes:
        return attributes.shape
    attributes_before, shape = _last[0]
    if attributes is attributes_before and len(attributes) == len(shape.keys):
        return shape
    keys = tuple(attributes)
    shape = _shapes.get(keys) or _shape(keys)
    _last[0] = (attributes, shape)
    return shape


def _shape(keys: tuple[str | None, ...]) -> Shape:
    shape = Shape(tuple(key for key in keys if key))
    size = sum(map(len, shape.keys))
    if len(keys) <= _MAX_KEYS and size <= _MAX_HELD // 100:
        _held[0] += size
        if len(_shapes) >= _MAX_SHAPES or _held[0] > _MAX_HELD:
            _shapes.clear()
            _held[0] = size
        _shapes[keys] = shape
    return shape


Places = Mapping[str, tuple[tuple[tuple[str, str], ...], ...]]


def flattened(keys: tuple[str, ...]) -> Places:
    """Flattened lists among the keys: for each one's prefix its items, as (name, key) pairs.

    ``a.0.b`` and ``a.10.c`` are the list ``a`` of ``{b: ..}`` and ``{c: ..}``.
    """
    lists: dict[str, dict[int, list[tuple[str, str]]]] = {}
    for key in keys:
        parts = key.split(".", _MAX_DOTS)
        # Deeper lists lie within an item of an outer one, which is asked about by itself.
        for place in range(1, len(parts) - 1):
            number = parts[place]
            if number.isascii() and number.isdigit() and len(number) < 16:
                prefix, rest = ".".join(parts[:place]), ".".join(parts[place + 1 :])
                if rest:
                    lists.setdefault(prefix, {}).setdefault(int(number), []).append((rest, key))
    return {
        prefix: tuple(tuple(items[number]) for number in sorted(items))
        for prefix, items in lists.items()
    }
