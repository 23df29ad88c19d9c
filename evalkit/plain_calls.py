"""Whether plain lists of tool calls match: the verdict alone, for filtering many pairs.

Most pairs are told by their names, or by the texts of their calls; what is left is aligned. The
verdict is always that of :func:`evalkit.match`, which also tells why, and how near a miss is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evalkit.arguments import arguments_hold
from evalkit.calls import check_arguments, check_modes, listed
from evalkit.dataset import ArgumentsMode, MatchMode
from evalkit.pairing import left_over
from evalkit.predicates import literals, together, written
from evalkit.scorers.trajectory_match import match

Calls = Sequence[Mapping[str, Any]]


def matches(
    expected: Iterable[Mapping[str, Any]],
    actual: Iterable[Mapping[str, Any]],
    *,
    mode: MatchMode = "in_order",
    args: ArgumentsMode = "stated",
) -> bool:
    """Whether :func:`evalkit.match` passes these calls ``{"name": ..., "args": {...}}``.

    Raises what that raises, where the names alone do not tell.
    """
    check_modes(mode, args)
    expected, actual = listed("expected", expected), listed("actual", actual)
    names, found = _names(expected), _names(actual)
    if mode != "effects" and names and found:
        if not _names_fit(names, found, mode):
            return False
        if args == "ignore" or (expected == actual and _are_same(expected, actual)):
            return True
        if mode in {"exact", "in_order"}:
            if len(expected) == len(actual):
                check_arguments(expected)
                with together():
                    return all(_holds(*pair, args) for pair in zip(expected, actual, strict=True))
        elif (left := _without_same(expected, actual)) is not None:
            expected, actual = left
            if not (actual if mode == "subset" else expected):
                return True
            if len(expected) == len(actual) == 1:
                return _holds(expected[0], actual[0], args)
    return match(expected, actual, mode=mode, args=args).passed is True


def _names(calls: Calls) -> list[str] | None:
    """The calls' names, where each is an object of just a name and arguments."""
    if {*map(type, calls)} != {dict} or {*map(len, calls)} != {2}:
        return None
    try:
        names = [one["name"] for one in calls]
        plain = {*map(type, names)} == {str} and {type(one["args"]) for one in calls} == {dict}
    except KeyError:
        return None
    return names if plain else None


def _names_fit(expected: list[str], actual: list[str], mode: MatchMode) -> bool:
    """Whether the mode can pass with calls of these names."""
    if mode == "exact":
        return expected == actual
    if mode == "unordered":
        return sorted(expected) == sorted(actual)
    if mode == "in_order":
        after = iter(actual)
        return all(name in after for name in expected)
    fewer, more = (actual, expected) if mode == "subset" else (expected, actual)
    return Counter(fewer) <= Counter(more)


def _are_same(expected: Calls, actual: Calls) -> bool:
    """Whether both are of one text, which states no predicate (to Python, 1 is True too)."""
    (stated,) = literals([expected])
    return stated is not None and stated == written([actual])[0]


def _without_same(expected: Calls, actual: Calls) -> tuple[Calls, Calls] | None:
    """What is left when calls of the same text have paired off; None where one has no such text.

    Nothing is lost by it. To hold is transitive where nothing is a predicate: if a call that is
    the same as an expected one served another, that one is also served by what took its place.
    """
    stated = literals([one["args"] for one in expected])
    found = written([one["args"] for one in actual])
    if None in stated:
        return None
    lacking, extra = left_over(
        [(one["name"], text) for one, text in zip(expected, stated, strict=True)],
        [(one["name"], text) for one, text in zip(actual, found, strict=True)],
    )
    return [expected[at] for at in lacking], [actual[at] for at in extra]


def _holds(expected: Mapping[str, Any], actual: Mapping[str, Any], args: ArgumentsMode) -> bool:
    return expected["name"] == actual["name"] and arguments_hold(
        expected["args"], actual["args"], args
    )
