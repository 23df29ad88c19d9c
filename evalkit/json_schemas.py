"""JSON Schema, for schemas and values that nobody vouches for: RE2 patterns, bounded work.

Nothing is fetched: a schema refers to what is within it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from evalkit.values import canonical, found_in, regex_problem, show

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

MAX_REFERENCES = 100_000
"""So many references are followed for one value: nested ones can double with every level."""

_LITERALS = frozenset({"const", "enum", "default", "examples"})
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class SchemaProblemError(Exception):
    """The schema cannot be used: its message says why."""


def problem(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a schema, if anything."""
    try:
        _validator(_encoded(schema))
    except SchemaProblemError as error:
        return str(error)
    return None


def unfit(schema: Mapping[str, Any], value: Any) -> str | None:
    """Where a value does not fit the schema, and why; None if it does.

    Raises SchemaProblemError where the schema cannot be used.
    """
    from referencing.exceptions import Unresolvable

    validator, followed = _validator(_encoded(schema))
    followed.clear()
    try:
        failing = next(iter(validator.iter_errors(value)), None)
    except Unresolvable as error:
        raise SchemaProblemError(f"it refers to {show(error.ref)}, which is not in it") from None
    except RecursionError:
        raise SchemaProblemError("it refers to itself, or the value nests, without end") from None
    if failing is None:
        return None
    message = " ".join(failing.message[:300].split())
    return f"does not fit the JSON Schema at {failing.json_path[:200]}: {message}"


def _encoded(schema: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(schema)
    except RecursionError:
        raise SchemaProblemError("nested too deep") from None


@lru_cache(maxsize=64)
def _validator(schema: bytes) -> tuple[Validator, list[None]]:
    """The validator, and what it counts the references in that it follows."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import extend, validator_for
    from referencing import Registry

    content = msgspec.json.decode(schema)
    kind = validator_for(content, default=Draft202012Validator)
    try:
        # Without formats, patterns would be compiled as Python's: they are RE2's, see below.
        kind.check_schema(content, format_checker=None)  # type: ignore[call-arg]  # not in its types
    except SchemaError as error:
        where = error.json_path[:200]
        raise SchemaProblemError(f"not valid at {where}: {error.message[:300]}") from None
    except RecursionError:
        raise SchemaProblemError("nested too deep") from None
    _check_patterns(content)
    followed: list[None] = []
    own: dict[str, Any] = {
        name: _counted(kind.VALIDATORS[name], followed)
        for name in _REFERENCES
        if name in kind.VALIDATORS
    }
    own |= {name: keyword for name, keyword in _KEYWORDS.items() if name in kind.VALIDATORS}
    made = extend(kind, validators=own)  # type: ignore[no-untyped-call]  # it has no types
    return made(content, registry=Registry()), followed


def _check_patterns(schema: Any) -> None:
    pending, patterned, unevaluated = [schema], False, False
    while pending:
        one = pending.pop()
        if isinstance(one, list):
            pending += one
        if not isinstance(one, dict):
            continue
        stated = one.get("pattern")
        of_keys = one.get("patternProperties")
        patterns = [stated] if isinstance(stated, str) else []
        patterns += list(of_keys) if isinstance(of_keys, dict) else []
        for pattern in patterns:
            if said := regex_problem(pattern):
                raise SchemaProblemError(said)
        patterned |= isinstance(of_keys, dict)
        unevaluated |= "unevaluatedProperties" in one
        pending += [value for key, value in one.items() if key not in _LITERALS]
    if patterned and unevaluated:  # the library matches these by `re`
        raise SchemaProblemError(
            "`unevaluatedProperties` beside `patternProperties` is not supported: "
            "use `additionalProperties`"
        )


# --- keywords: each tells what is wrong, as the library's own ------------------------------

_Keyword = Callable[[Any, Any, Any, Any], Iterator[Any]]


def _counted(keyword: _Keyword, followed: list[None]) -> _Keyword:
    def follow(validator: Any, reference: Any, instance: Any, schema: Any) -> Iterator[Any]:
        followed.append(None)
        if len(followed) > MAX_REFERENCES:
            raise SchemaProblemError(f"more than {MAX_REFERENCES:,} references to follow")
        yield from keyword(validator, reference, instance, schema) or ()

    return follow


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if validator.is_type(instance, "string") and not found_in(pattern, instance):
        yield ValidationError(f"{show(instance)} does not match {show(pattern)}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any
) -> Iterator[Any]:
    if validator.is_type(instance, "object"):
        for pattern, inner in patterns.items():
            for key, value in instance.items():
                if found_in(pattern, key):
                    yield from validator.descend(value, inner, path=key, schema_path=pattern)


def _additional(validator: Any, inner: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if not validator.is_type(instance, "object"):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key in instance:
        if key in named or any(found_in(pattern, key) for pattern in patterns):
            continue
        if inner is False:
            yield ValidationError(f"{show(key)} is not allowed")
        else:
            yield from validator.descend(instance[key], inner, path=key)


def _unique(validator: Any, unique: bool, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if unique and validator.is_type(instance, "array"):
        seen = {canonical(item) for item in instance}
        if len(seen) < len(instance):
            yield ValidationError(f"{show(instance)} has non-unique elements")


_KEYWORDS: dict[str, _Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "uniqueItems": _unique,
}
