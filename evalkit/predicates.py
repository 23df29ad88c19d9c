"""Does a found value hold what a case states of it? Plain values and predicates.

A plain value must be equal after JSON normalisation (1 = 1.0, True is no 1); an object may have
further keys; a list has the same elements in any order. A non-empty object whose keys are all in
:data:`evalkit.dataset.PREDICATES` is a predicate, and all its keys must hold:

=============  =====================================================================
``any``        true: there, whatever its value
``absent``     true: not there at all (null is there); false: there
``one_of``     holds one of these values or predicates
``ge``, ``le`` a number at least, at most this; or a date or time (ISO 8601) not before, after
``approx``     a number within a millionth (1e-9 near zero), or of ``{value, tolerance}``; or the
               same moment, or one within a ``tolerance`` like ``90s``, ``2h``, ``1d``
``regex``      a text in which this RE2 pattern is found
``contains``   a text with this part, or a list with this element, or with all of a list's
``ordered``    a list whose elements hold these, in this order
``equals``     exactly this literal: never read as predicate, no further keys, lists in order
=============  =====================================================================

The arguments themselves are never a predicate: their keys are names of arguments. A key that is
not there itself may be a path: ``address.city``, ``items[0].sku``.
Comparison is bounded: 64 levels deep, and a million pairs of elements of lists in any order, over
all that is compared together (:func:`together`); what is beyond is not judged: TooMuchError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

from evalkit.dataset import PREDICATES
from evalkit.errors import TooMuchError
from evalkit.pairing import left_over, pair_off
from evalkit.values import (
    MAX_DEPTH,
    NUMBERS,
    SCALARS,
    canonical,
    duration,
    found_in,
    lookup,
    moment,
    quantity,
    show,
    within,
)

MAX_PAIRS = 1_000_000
"""So many pairs of an element stated and one found are looked at together."""

MAX_TEXT = 1_000_000
"""Longer JSON texts are not kept to tell equal values by."""

FEW_PAIRS = 256
"""So many pairs are looked at sooner than equal elements are found."""

ABSENT: Any = type("Absent", (), {"__repr__": lambda _: "nothing"})()
"""What is found where a key is not there."""


class _Pairs:
    """The pairs of elements that may still be looked at."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_PAIRS

    def spend(self, stated: int, found: int) -> None:
        self.left -= stated * found
        if self.left < 0:
            raise TooMuchError(
                f"lists of {stated:,} and {found:,} elements in any order are too long to be "
                "compared: state `ordered` or `equals`"
            )


_shared: ContextVar[_Pairs | None] = ContextVar("pairs", default=None)


@contextmanager
def together() -> Iterator[None]:
    """Within it all comparisons share one bound; outside, each has its own."""
    token = _shared.set(_Pairs())
    try:
        yield
    finally:
        _shared.reset(token)


class _Comparison:
    """How to compare, and how many pairs of elements may still be looked at."""

    __slots__ = ("exact", "literal", "pairs")

    def __init__(self, exact: bool, literal: bool = False, pairs: _Pairs | None = None) -> None:
        self.exact = exact  # unstated keys are wrong
        self.literal = literal
        self.pairs = pairs or _shared.get() or _Pairs()


# --- public questions ---------------------------------------------------------------------


def holds(stated: Any, found: Any, *, exact: bool = False) -> bool:
    """Whether a value holds a plain value or predicate; ``exact`` forbids further keys.

    Raises TooMuchError.
    """
    return _holds(stated, found, _Comparison(exact), 0)


def same(one: Any, other: Any) -> bool:
    """JSON equality: 1 = 1.0, True is no 1, same keys, lists in order. Raises TooMuchError."""
    return _holds(one, other, _Comparison(exact=True, literal=True), 0)


def all_hold(stated: Mapping[str, Any], found: Any, *, exact: bool = False) -> bool:
    """Whether an object's values hold by key; the object itself is never read as a predicate.

    Raises TooMuchError.
    """
    if type(found) is not dict:
        found = _as_json(found)
        if not isinstance(found, Mapping):
            return False
    nested = []
    for key, value in stated.items():  # most differ in a plain value: told first
        inner = found[key] if key in found else at_key(found, key)
        if type(value) not in SCALARS or type(inner) not in _JSON:
            nested.append((value, inner))
        elif not _equal_scalars(value, inner):
            return False
    if nested:
        at = _Comparison(exact)
        for value, inner in nested:
            if not _holds(value, inner, at, 1):
                return False
    return not exact or not unnamed(stated, found)


_encoder = msgspec.json.Encoder()
_PREDICATE_WRITTEN = re.compile(rb'\{"(?:%s)":' % "|".join(PREDICATES).encode())


def written(values: Sequence[Any]) -> Sequence[bytes | None]:
    """Each value as JSON text, or None: of no JSON, and of what is too deep or too large.

    Values of the same text are the same, but where it says ``null``: that may have been no number.
    """
    try:
        lines = _encoder.encode_lines(values)
    except (RecursionError, TypeError, ValueError, OverflowError):
        return [_written(value) for value in values]
    texts = lines.splitlines()
    if len(lines) < MAX_TEXT:
        return texts
    return [text if len(text) < MAX_TEXT else None for text in texts]


def _written(value: Any) -> bytes | None:
    try:
        text = _encoder.encode(value)
    except (RecursionError, TypeError, ValueError, OverflowError):
        return None
    return text if len(text) < MAX_TEXT else None


def literals(stated: Sequence[Any]) -> Sequence[bytes | None]:
    """The JSON text of each value that holds for every value of the same text; None for others.

    That is every value in which there is no predicate, and no ``null`` (see :func:`written`).
    """
    texts = written(stated)
    if _is_literal(b"".join(filter(None, texts))):
        return texts
    return [text if text and _is_literal(text) else None for text in texts]


def _is_literal(text: bytes) -> bool:
    return b"null" not in text and _PREDICATE_WRITTEN.search(text) is None


def at_key(found: Mapping[str, Any], key: str) -> Any:
    """The value of a key; where there is none, at that path; else :data:`ABSENT`."""
    value = found.get(key, ABSENT)
    if value is ABSENT and type(key) is str and ("." in key or "[" in key):
        try:
            return lookup(found, key)
        except LookupError:
            return ABSENT
    return value


def unnamed(stated: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """The found keys that no stated key is, nor leads into as a path."""
    led = {re.split(r"[.\[]", key, maxsplit=1)[0] for key in stated if key not in found}
    return [key for key in found if key not in stated and key not in led]


def is_predicate(stated: Any) -> bool:
    """Whether an object is a predicate: not empty, and all its keys are predicates' names."""
    is_object = type(stated) is dict or isinstance(stated, Mapping)
    return is_object and bool(stated) and PREDICATES.issuperset(stated)


def describe(stated: Any) -> str:
    """What is stated of a value, for a person: ``>= 5000``, ``one of ['a', 'b']``, ``'a'``."""
    if not is_predicate(stated):
        return show(stated)
    return " and ".join(
        _WORDING[key].format("not " if value is False else "", show(value))
        for key, value in stated.items()
    )


_WORDING = {
    "any": "any value",
    "absent": "{0}nothing",
    "one_of": "one of {1}",
    "ge": ">= {1}",
    "le": "<= {1}",
    "approx": "about {1}",
    "regex": "text matching {1}",
    "contains": "something with {1}",
    "ordered": "in this order {1}",
    "equals": "exactly {1}",
}


# --- comparison ---------------------------------------------------------------------------


def _holds(stated: Any, found: Any, at: _Comparison, depth: int) -> bool:
    kind = type(stated)
    if type(found) not in _JSON:
        found = _as_json(found)
    if kind in SCALARS:
        return _equal_scalars(stated, found)
    if depth > MAX_DEPTH:
        raise TooMuchError(f"nested deeper than {MAX_DEPTH} levels")
    if kind is dict or isinstance(stated, Mapping):
        if not at.literal and is_predicate(stated):
            return all(_PREDICATE[key](value, found, at, depth) for key, value in stated.items())
        return _object(stated, found, at, depth)
    if isinstance(stated, list | tuple):
        compare = _in_order if at.literal else _any_order
        return compare(stated, found, at, depth)
    plain = _as_json(stated)
    return plain is not stated and _holds(plain, found, at, depth)


_JSON = SCALARS | {dict, list, tuple, type(ABSENT)}


def _as_json(value: Any) -> Any:
    """What JSON makes of a value that it has no type for, such as a date; else the value."""
    if type(value) in _JSON or isinstance(value, Mapping | list | tuple):
        return value
    try:
        return msgspec.to_builtins(value, str_keys=True)
    except (RecursionError, TypeError, ValueError, OverflowError):
        return value


def _equal_scalars(stated: Any, found: Any) -> bool:
    kind, other = type(stated), type(found)
    return (kind is other or (kind in NUMBERS and other in NUMBERS)) and bool(stated == found)


def _object(stated: Mapping[str, Any], found: Any, at: _Comparison, depth: int) -> bool:
    if type(found) is not dict and not isinstance(found, Mapping):
        return False
    for key, value in stated.items():
        inner = found.get(key, ABSENT) if at.literal else at_key(found, key)
        if not _holds(value, inner, at, depth + 1):
            return False
    return not at.exact or not unnamed(stated, found)


def _in_order(stated: Sequence[Any], found: Any, at: _Comparison, depth: int) -> bool:
    return (
        isinstance(found, list | tuple)
        and len(stated) == len(found)
        and all(_holds(one, other, at, depth + 1) for one, other in zip(stated, found, strict=True))
    )


def _any_order(stated: Sequence[Any], found: Any, at: _Comparison, depth: int) -> bool:
    return (
        isinstance(found, list | tuple)
        and len(stated) == len(found)
        and (_are_equal_scalars(stated, found) or _each_has_its_own(stated, found, at, depth))
    )


def _are_equal_scalars(stated: Sequence[Any], found: Sequence[Any]) -> bool:
    """Whether these are the same plain values in the same order."""
    for one, other in zip(stated, found, strict=True):
        if type(one) not in SCALARS or not _equal_scalars(one, other):
            return False
    return True


def _each_has_its_own(stated: Sequence[Any], found: Any, at: _Comparison, depth: int) -> bool:
    """Whether every stated element holds for an element of its own: optimal, not greedy."""
    left = [_as_json(value) for value in found]
    counts: dict[Hashable, list[int]] = {}
    for place, value in enumerate(left):
        if type(value) in SCALARS:
            counts.setdefault(canonical(value), []).append(place)
    used = set()
    patterns = []
    for one in stated:  # equal plain values are interchangeable: no search needed
        if type(one) not in SCALARS:
            patterns.append(one)
        elif places := counts.get(canonical(one)):
            used.add(places.pop())
        else:
            return False
    rest = [value for place, value in enumerate(left) if place not in used]
    if len(patterns) * len(rest) > FEW_PAIRS and not _state_predicates(patterns):
        patterns, rest = _without_equal(patterns, rest)
    at.pairs.spend(len(patterns), len(rest))
    options = [
        [place for place, value in enumerate(rest) if _holds(one, value, at, depth + 1)]
        for one in patterns
    ]
    return pair_off(options) is not None


def _state_predicates(values: Sequence[Any]) -> bool:
    """Whether there may be predicates in these values."""
    try:
        return _PREDICATE_WRITTEN.search(_encoder.encode(values)) is not None
    except (RecursionError, TypeError, ValueError, OverflowError):
        return True


def _without_equal(stated: Sequence[Any], found: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """What is left when equal elements have paired off.

    Nothing is lost by it where nothing stated is a predicate, since to hold is transitive then:
    if an element equal to a stated one served another, what took its place serves that too.
    """
    lacking, extra = left_over([*map(canonical, stated)], [*map(canonical, found)])
    return [stated[at] for at in lacking], [found[at] for at in extra]


def _contains(part: Any, found: Any, at: _Comparison, depth: int) -> bool:
    if isinstance(found, str):
        return isinstance(part, str) and part in found
    if not isinstance(found, list | tuple):
        return False
    parts = part if isinstance(part, list | tuple) else (part,)
    return _each_has_its_own(parts, found, at, depth)


def _equals(literal: Any, found: Any, at: _Comparison, depth: int) -> bool:
    strict = _Comparison(exact=True, literal=True, pairs=at.pairs)
    return found is not ABSENT and _holds(literal, found, strict, depth + 1)


def _approx(stated: Any, found: Any, at: _Comparison, depth: int) -> bool:
    value, tolerance = stated, None
    if isinstance(stated, Mapping):
        value, tolerance = stated["value"], stated.get("tolerance")
    if not isinstance(value, str):
        return within(found, value, tolerance)
    wanted, given = moment(value), moment(found)
    if wanted is None or given is None:
        return False
    return within(given, wanted, duration(tolerance) or 0)


def _at_least(least: Any, found: Any) -> bool:
    """Numbers with numbers, moments with moments."""
    if isinstance(least, str) != isinstance(found, str):
        return False
    low, high = quantity(least), quantity(found)
    return low is not None and high is not None and low <= high


_Test = Callable[[Any, Any, _Comparison, int], bool]
_PREDICATE: dict[str, _Test] = {
    "any": lambda wanted, found, at, depth: found is not ABSENT,
    "absent": lambda wanted, found, at, depth: (found is ABSENT) == bool(wanted),
    "one_of": lambda options, found, at, depth: any(
        _holds(option, found, at, depth + 1) for option in options
    ),
    "ge": lambda least, found, at, depth: _at_least(least, found),
    "le": lambda most, found, at, depth: _at_least(found, most),
    "approx": _approx,
    "regex": lambda pattern, found, at, depth: found_in(pattern, found),
    "contains": _contains,
    "ordered": _in_order,
    "equals": _equals,
}
