"""What keys tell, worked out once: the same as asking every span."""

from __future__ import annotations

import gzip
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.plugins import load, registered
from evalkit.spans import Span
from evalkit.tracing import choosing, shapes
from evalkit.tracing.attributes import indexed
from evalkit.tracing.choosing import reader_of
from evalkit.tracing.otlp import read_parts
from evalkit.tracing.reasons import Reasons
from evalkit.tracing.shapes import shape_of, shaped
from tests.captures import CAPTURES, needs_captures

PARTS = st.sampled_from(["a", "b", "0", "1", "10", "x1", "٣", ""])
KEYS = st.lists(PARTS, min_size=1, max_size=6).map(".".join)


def asked_one_by_one(attributes: dict[str, Any], prefix: str) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for key, value in attributes.items():
        place = re.fullmatch(re.escape(prefix) + r"\.([0-9]{1,15})\.(.+)", key, re.DOTALL)
        if place:
            found.setdefault(int(place[1]), {})[place[2]] = value
    return [found[number] for number in sorted(found)]


@given(st.dictionaries(KEYS, st.integers()), st.sampled_from(["a", "b", "a.0.b", "0", ""]))
def test_flattened_lists_are_found_as_by_asking_every_key(
    attributes: dict[str, Any], prefix: str
) -> None:
    found = indexed(attributes, prefix)
    assert found == asked_one_by_one(attributes, prefix)
    assert indexed(shaped(tuple(attributes), list(attributes.values())), prefix) == found


@given(st.lists(st.tuples(st.sampled_from([None, "", "a", "b", "c"]), st.integers())))
def test_attributes_are_those_with_a_key_the_last_of_each(
    pairs: list[tuple[str | None, int]],
) -> None:
    made = shaped(tuple(key for key, _ in pairs), [value for _, value in pairs])
    assert made == {key: value for key, value in pairs if key}
    assert set(shape_of(made).keys) == set(made)


def span(name: str, scope: str = "", **attributes: Any) -> Span:
    return Span(
        trace_id="0af7651916cd43dd8448eb211c80319c",
        span_id="b7ad6b7169203331",
        name=name,
        start_ns=0,
        end_ns=1,
        attributes=attributes,
        scope=scope,
    )


def chosen(found: Span) -> str | None:
    convention = reader_of(found, shape_of(found.attributes))
    return None if convention is None else convention.name


def test_a_convention_is_asked_once_for_a_shape_but_for_names_that_it_states() -> None:
    keys = {"gen_ai.operation.name": "chat", "some.detail": 1}
    assert chosen(span("chat", **keys)) == "genai"
    assert chosen(span("haystack.component.run", **keys)) == "haystack"
    assert chosen(span("chat", **keys)) == "genai"
    assert chosen(span("chat", scope="strands", **keys)) == "strands"
    assert chosen(span("chat", other=1)) is None


def test_a_convention_that_does_not_say_so_is_asked_about_every_span(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Valued:
        name = "valued"

        def claims(self, span: Span) -> bool:
            return bool(span.attributes["mine"])

        def read(self, span: Span, parent: Span | None) -> Any: ...

    known = choosing._conventions()
    monkeypatch.setattr(choosing, "_conventions", lambda: (Valued(), *known))
    choosing._candidates.cache_clear()
    try:
        keys = {"gen_ai.operation.name": "chat"}
        assert chosen(span("a", scope="own", mine=1, **keys)) == "valued"
        assert chosen(span("a", scope="own", mine=0, **keys)) == "genai"
        assert chosen(span("a", scope="own", mine=1, **keys)) == "valued"
        assert chosen(span("a", scope="own", **keys)) == "valued"  # it raised
    finally:
        choosing._candidates.cache_clear()


@needs_captures
def test_every_recorded_span_is_read_by_the_first_convention_that_claims_it() -> None:
    assert set(choosing._BUILT_IN) <= set(registered("convention"))
    known = [load("convention", name)() for name in choosing._BUILT_IN]
    asked = 0
    for path in sorted(CAPTURES.glob("*.otlp.json.gz")):
        parts = read_parts(gzip.decompress(path.read_bytes()), Reasons())
        for found in [one for part in parts if part.codec == "spans" for one in part.data]:
            scopes = [getattr(one, "scopes", ()) or "" for one in known]
            scoped = [
                one
                for one, starts in zip(known, scopes, strict=True)
                if found.scope.startswith(starts)
            ]
            first = next((one.name for one in scoped if one.claims(found)), None)
            assert chosen(found) == first, (path.name, found.name)
            asked += 1
    assert asked > 1000


def test_keys_are_held_up_to_a_limit() -> None:
    for number in range(300):
        shape_of({f"{number}.{one}.{'k' * 1000}": 1 for one in range(30)})
        shape_of({f"{number}.{'k' * 100_000}": 1})
    assert sum(len(key) for keys in shapes._shapes for key in keys if key) <= shapes._MAX_HELD
