"""What is wrong with the arguments that a step states, before anything is compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from evalkit.predicates import is_predicate
from evalkit.values import MAX_DEPTH, duration, is_number, moment, quantity, regex_problem, show


def argument_problems(args: Mapping[str, Any] | None) -> list[str]:
    """What is wrong with a step's stated arguments: each with its path and what would be right."""
    found: list[str] = []
    pending: list[tuple[str, Any, int]] = [
        (str(key)[:100], value, 1) for key, value in (args or {}).items()
    ]
    while pending:
        path, stated, depth = pending.pop(0)
        if depth > MAX_DEPTH:
            return [*found, f"{path[:200]}: nested deeper than {MAX_DEPTH} levels"]
        if is_predicate(stated):
            found += [f"{path}: {said}" for said in _predicate_problems(stated)]
            within_it = _patterns_within(stated)
        elif isinstance(stated, Mapping):
            within_it = list(stated.items())
        else:
            within_it = list(enumerate(stated)) if isinstance(stated, list | tuple) else []
        pending += [(f"{path}.{str(key)[:100]}", value, depth + 1) for key, value in within_it]
    return found


def _patterns_within(predicate: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """The values within a predicate that may be predicates themselves."""
    inner: list[tuple[Any, Any]] = []
    for key in ("one_of", "ordered", "contains"):
        value = predicate.get(key)
        if isinstance(value, list | tuple):
            inner += [(f"{key}[{place}]", item) for place, item in enumerate(value)]
        elif key == "contains" and value is not None:
            inner.append((key, value))
    return inner


def _predicate_problems(predicate: Mapping[str, Any]) -> Iterator[str]:
    for key, value in predicate.items():
        if said := _PROBLEM[key](value):
            yield said
    least, most = quantity(predicate.get("ge")), quantity(predicate.get("le"))
    if least is not None and most is not None and least > most:
        yield f"no value is both >= {predicate['ge']} and <= {predicate['le']}"
    if predicate.get("absent") is True and len(predicate) > 1:
        yield "`absent` goes with no other predicate"


def _needs(right: bool, key: str, what: str, value: Any) -> str | None:
    return None if right else f"`{key}` needs {what}, found {show(value)}"


def _approx_problem(value: Any) -> str | None:
    given, tolerance = value, None
    if isinstance(value, Mapping):
        given, tolerance = value.get("value"), value.get("tolerance")
        if not set(value) <= {"value", "tolerance"}:
            given = None
    if moment(given) is not None:
        right = tolerance is None or duration(tolerance) is not None
    else:
        right = is_number(given) and (
            tolerance is None or (is_number(tolerance) and tolerance >= 0)
        )
    what = "a number or a date, or {value, tolerance} (of a date a tolerance like 2h or 1d)"
    return _needs(right, "approx", what, value)


_PROBLEM: dict[str, Callable[[Any], str | None]] = {
    "any": lambda value: _needs(value is True, "any", "true", value),
    "absent": lambda value: _needs(type(value) is bool, "absent", "true or false", value),
    "one_of": lambda value: _needs(
        isinstance(value, list | tuple) and bool(value), "one_of", "a list of values", value
    ),
    "ge": lambda value: _needs(quantity(value) is not None, "ge", "a number or a date", value),
    "le": lambda value: _needs(quantity(value) is not None, "le", "a number or a date", value),
    "approx": _approx_problem,
    "regex": regex_problem,
    "contains": lambda value: None,
    "ordered": lambda value: _needs(isinstance(value, list | tuple), "ordered", "a list", value),
    "equals": lambda value: None,
}
