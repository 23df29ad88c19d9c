"""JSON Schema for hostile schemas and values: the standard's answers, in bounded work."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from evalkit.json_schemas import SchemaProblemError, problem, unfit

EVIL = "^(a+)+$"
LONG = "a" * 5_000 + "!"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": EVIL}, LONG),
        ({"patternProperties": {EVIL: {}}, "additionalProperties": False}, {LONG: 1}),
        ({"properties": {"x": {"propertyNames": {"pattern": EVIL}}}}, {"x": {LONG: 1}}),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "pattern": EVIL}, LONG),
        ({"uniqueItems": True}, [*({"a": n} for n in range(20_000)), {"a": 7.0}]),
    ],
)
def test_hostile_patterns_and_values_take_no_time(schema: dict[str, Any], value: Any) -> None:
    assert "does not fit the JSON Schema" in (unfit(schema, value) or "")


def test_references_that_double_with_every_level_are_bounded() -> None:
    levels = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    schema = {"$defs": {**levels, "d40": {}}, "$ref": "#/$defs/d0"}
    with pytest.raises(SchemaProblemError, match="references"):
        unfit(schema, 1)


def test_what_is_wrong_with_a_schema() -> None:
    nested: dict[str, Any] = {}
    for _ in range(5_000):
        nested = {"not": nested}
    for schema, says in (
        ({"type": "nonsense"}, "not valid at"),
        ({"items": {"pattern": "("}}, "missing )"),
        ({"patternProperties": {"(?=x)": {}}}, "(?="),
        ({"patternProperties": {"x": {}}, "unevaluatedProperties": False}, "not supported"),
        (nested, "nested too deep"),
    ):
        assert says in (problem(schema) or "")
    assert problem({"properties": {"pattern": {"const": {"pattern": "("}}}}) is None
    assert problem({"pattern": r"^\p{L}+$"}) is None
    with pytest.raises(SchemaProblemError, match="without end"):
        unfit({"$ref": "#"}, 1)


KEYS = st.text("abx", max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["a", "ab", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
SCHEMAS = st.recursive(
    st.booleans()
    | st.builds(lambda pattern: {"pattern": pattern}, st.sampled_from(["^a", "b$", "x"]))
    | st.builds(lambda kind: {"type": kind}, st.sampled_from(["string", "integer", "object"]))
    | st.just({"uniqueItems": True}),
    lambda inner: (
        st.builds(lambda one: {"items": one}, inner)
        | st.builds(
            lambda named, patterned, other: {
                "properties": named,
                "patternProperties": patterned,
                "additionalProperties": other,
            },
            st.dictionaries(KEYS, inner, max_size=2),
            st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=2),
            inner,
        )
    ),
    max_leaves=4,
)


@given(SCHEMAS.filter(lambda schema: isinstance(schema, dict)), VALUES)
def test_the_answers_are_those_of_the_standard(schema: dict[str, Any], value: Any) -> None:
    assert (unfit(schema, value) is None) == Draft202012Validator(schema).is_valid(value)
