"""JSON values: numbers, texts, equality and how a person is shown them. All bounded."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Hashable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from evalkit.errors import TooMuchError

if TYPE_CHECKING:
    import re2

MAX_DEPTH = 64
MAX_TEXT = 10_000_000
RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-9
NUMBERS = frozenset({int, float})
SCALARS = frozenset({str, int, float, bool, type(None)})


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; True and False are none."""
    return type(value) in NUMBERS and (type(value) is int or math.isfinite(value))


def within(found: Any, value: float, tolerance: float | None = None) -> bool:
    """Whether a number lies within ``tolerance`` of ``value`` (default: a millionth of it)."""
    if not is_number(found):
        return False
    try:
        if tolerance is not None:
            # 1.1 is within 0.1 of 1.0, though no float says so: each may be off by its rounding.
            rounding = sum(math.ulp(one) for one in (found, value) if type(one) is float)
            return bool(abs(found - value) <= tolerance + rounding)
        close = math.isclose(found, value, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
    except OverflowError:  # an integer beyond any float
        return False
    return close


_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhdw])")


def moment(value: Any) -> float | None:
    """Seconds since the epoch of an ISO 8601 date or time (UTC where it names no zone), or None."""
    if not isinstance(value, str) or not 8 <= len(value) <= 40:
        return None
    try:
        time = datetime.fromisoformat(value)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def duration(value: Any) -> float | None:
    """Seconds of a duration like ``90s``, ``15m``, ``2h``, ``1d``, ``1w``, or None."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return float(found[1]) * _UNITS[found[2]] if found else None


def quantity(value: Any) -> float | int | None:
    """What can be compared by size: a finite number, or a date or time as seconds; else None."""
    if is_number(value):
        number: float | int = value
        return number
    return moment(value)


_PART = re.compile(r"[^.\[\]]+|\[-?\d{1,9}\]")
_PATH = re.compile(r"[^.\[\]]+(\.[^.\[\]]+|\[-?\d{1,9}\])*")


def is_path(text: str) -> bool:
    """Whether a text is a path into an object: ``total``, ``address.city``, ``items[0].sku``."""
    return _PATH.fullmatch(text) is not None


@lru_cache(maxsize=10_000)
def path_parts(path: str) -> tuple[str | int, ...]:
    """The names of keys and places in lists that a path leads through."""
    return tuple([int(part[1:-1]) if part[0] == "[" else part for part in _PART.findall(path)])


def lookup(value: Any, path: str) -> Any:
    """The value at a dotted path with ``[i]`` for places in lists; LookupError says what's not."""
    for part in path_parts(path):
        if isinstance(part, int):
            if not isinstance(value, list | tuple) or not -len(value) <= part < len(value):
                raise LookupError(f"there is no [{part}] in {show(value)}")
            value = value[part]
        else:
            if not isinstance(value, Mapping) or part not in value:
                raise LookupError(f"there is no {part!r} in {show(value)}")
            value = value[part]
    return value


def found_in(pattern: str, text: Any) -> bool:
    """Whether an RE2 pattern is found in a text; in linear time, and never in other values.

    Raises TooMuchError where the text is longer than 10,000,000 characters.
    """
    if not isinstance(text, str):
        return False
    if len(text) > MAX_TEXT:
        raise TooMuchError(f"a regex looks at up to {MAX_TEXT:,} characters; found {len(text):,}")
    # A lone surrogate cannot be encoded for RE2; only it is replaced.
    clean = text.encode("utf-8", "replace").decode("utf-8")
    return _compiled(pattern).search(clean) is not None


def regex_problem(pattern: Any) -> str | None:
    """What is wrong with an RE2 pattern, if anything."""
    import re2

    if not isinstance(pattern, str):
        return f"a regex is text, found {show(pattern)}"
    try:
        _compiled(pattern)
    except (re2.error, UnicodeEncodeError) as error:
        said = error.args[0] if error.args else "no RE2 pattern"
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        return f"regex {show(pattern)}: {text}"
    return None


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re2._Regexp[str]:
    import re2

    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def canonical(value: Any, depth: int = 0) -> Hashable:
    """A hashable form of a JSON value; equal forms mean equal values (1 = 1.0, True is no 1)."""
    if depth > MAX_DEPTH:
        return "..."
    kind = type(value)
    if kind is str or kind is int or kind is float:
        return value  # type: ignore[no-any-return]  # hashable all three
    if kind is dict or isinstance(value, Mapping):
        keys = sorted(value, key=str)
        return ("{}", tuple([(str(key), canonical(value[key], depth + 1)) for key in keys]))
    if isinstance(value, list | tuple):
        return ("[]", tuple([canonical(item, depth + 1) for item in value]))
    if kind is bool:
        return ("bool", value)
    return value if kind in SCALARS else ("other", repr(value)[:200])


_short = reprlib.Repr()
_short.maxlevel = 4
_short.maxdict = _short.maxlist = _short.maxtuple = 8
_short.maxstring = _short.maxother = 100


def show(value: Any) -> str:
    """A value on one line, cut to a length that a person reads."""
    if type(value) in SCALARS and type(value) is not int:  # the short way, for most
        text = repr(value[:100]) if type(value) is str else repr(value)
        if len(text) <= 100:
            return text
    try:
        return _short.repr(value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        return "a number of thousands of digits"
