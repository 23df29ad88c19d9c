"""Arguments: plain values, predicates, what fails and what is superfluous."""

from __future__ import annotations

from datetime import date
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import match, matches, predicates
from evalkit.argument_problems import argument_problems
from evalkit.arguments import arguments_hold, mismatches, superfluous
from evalkit.dataset import PREDICATES
from evalkit.errors import TooMuchError
from evalkit.predicates import holds, same
from evalkit.values import canonical

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from("ab")
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y"]), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("stated", "found", "right"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (True, True, True),
        (None, None, True),
        ("1", 1, False),
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {}, False),
        ({"a": None}, {}, False),
        ([1, 2], [2, 1], True),
        ([1, 1, 2], [1, 2, 2], False),
        ([1], [1, 1], False),
        ([{"a": 1}, {}], [{"x": 0}, {"a": 1}], True),
        ([{}, {"a": 1}], [{"a": 1}, {"x": 0}], True),  # greedy would give {} the only {"a": 1}
        ({"any": True}, None, True),
        ({"one_of": [1, "x"]}, "x", True),
        ({"one_of": [1, {"ge": 5}]}, 7, True),
        ({"one_of": [1]}, True, False),
        ({"ge": 5, "le": 6}, 5.5, True),
        ({"ge": 5, "le": 6}, 7, False),
        ({"ge": 0}, True, False),
        ({"ge": 0}, "7", False),
        ({"ge": 0}, float("nan"), False),
        ({"ge": 10**400}, 10**401, True),
        ({"regex": "^v-[0-9]+$"}, "v-12", True),
        ({"regex": "^v-[0-9]+$"}, "x v-12", False),
        ({"regex": "1"}, 1, False),
        ({"regex": "a"}, "\ud800a", True),
        ({"contains": "b"}, "abc", True),
        ({"contains": "b"}, ["a", "b"], True),
        ({"contains": ["b", "b"]}, ["b", "a"], False),
        ({"contains": ["b", "a"]}, ["a", "c", "b"], True),
        ({"contains": {"k": 1}}, [{"k": 1, "l": 2}], True),
        ({"approx": 100}, 100.00001, True),
        ({"approx": 100}, 100.1, False),
        ({"approx": {"value": 100, "tolerance": 0.5}}, 100.4, True),
        ({"approx": {"value": 1.0, "tolerance": 0.1}}, 1.1, True),
        ({"approx": {"value": 1.0, "tolerance": 0.1}}, 1.1001, False),
        ({"approx": {"value": 19.99, "tolerance": 0.01}}, 20.0, True),
        ({"approx": {"value": 10**17, "tolerance": 0}}, 10**17 + 1, False),
        ({"approx": 0}, 1e-10, True),
        ({"approx": 1.5}, 10**400, False),
        ({"ordered": [1, {"ge": 2}]}, [1, 3], True),
        ({"ordered": [1, 2]}, [2, 1], False),
        ({"equals": {"ge": 5}}, {"ge": 5}, True),
        ({"equals": {"ge": 5}}, 6, False),
        ({"equals": {"a": 1}}, {"a": 1, "b": 2}, False),
        ({"equals": [1, 2]}, [2, 1], False),
        ({}, {"a": 1}, True),
    ],
)
def test_a_value_holds_or_not(stated: Any, found: Any, right: bool) -> None:
    assert holds(stated, found) is right


def test_the_arguments_themselves_are_never_a_predicate() -> None:
    assert arguments_hold({"regex": "a+"}, {"regex": "a+", "path": "."})
    assert not arguments_hold({"regex": "a+"}, "aaa")


def test_absent_is_about_the_key() -> None:
    assert arguments_hold({"a": {"absent": True}}, {"b": 1})
    assert not arguments_hold({"a": {"absent": True}}, {"a": None})
    assert not arguments_hold({"a": {"absent": False}}, {})
    assert not arguments_hold({"a": {"any": True}}, {})
    assert arguments_hold({"a": {"one_of": [None, {"absent": True}]}}, {})


def test_modes_of_arguments() -> None:
    assert arguments_hold({"a": 1}, {"a": 1, "b": 2}, "stated")
    assert not arguments_hold({"a": 1}, {"a": 1, "b": 2}, "exact")
    assert not arguments_hold({"a": {"x": 1}}, {"a": {"x": 1, "y": 2}}, "exact")
    assert arguments_hold(None, {"a": 1}, "exact")
    assert not arguments_hold({}, {"a": 1}, "exact")
    assert arguments_hold({"a": 1}, {"a": 2}, "ignore")


def test_mismatches_name_path_stated_and_found() -> None:
    stated = {"amount": {"ge": 5000}, "vendor": {"id": "v-1"}, "tags": {"absent": True}}
    found = {"amount": 300, "vendor": {"id": "v-2", "name": "x"}}
    assert [str(one) for one in mismatches(stated, found)] == [
        "amount: expected >= 5000, found 300",
        "vendor.id: expected 'v-1', found 'v-2'",
    ]
    assert [one.path for one in mismatches({"a": 1}, {"a": 1, "b": 2}, "exact")] == ["b"]
    assert mismatches({"a": 1}, {"a": 1, "b": 2}) == ()
    assert "nothing" in str(mismatches({"a": 1}, {})[0])


def test_superfluous_keys_are_found_in_nested_objects() -> None:
    assert superfluous({"a": {"x": 1}, "b": 1}, {"a": {"x": 1, "y": 2}, "b": 1, "c": 3}) == (
        "a.y",
        "c",
    )
    assert superfluous(None, {"a": 1}) == ()
    assert len(superfluous({}, {str(number): 1 for number in range(10_000)})) == 50


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def test_comparison_is_bounded_in_depth_and_size() -> None:
    assert holds(deep(60), deep(60))
    with pytest.raises(TooMuchError, match="deeper than 64"):
        holds(deep(5000), deep(5000))
    with pytest.raises(TooMuchError, match="deeper than 64"):
        same(deep(5000), deep(5000))
    assert mismatches(deep(5000), deep(5000))
    assert canonical(deep(5000)) == canonical(deep(5000))
    many = [{"k": number} for number in range(1500)]
    with pytest.raises(TooMuchError, match="lists of 1,500 and 1,500 elements"):
        holds([{"k": {"ge": 0}, "l": 1}] * 1500, many)
    assert str(mismatches({"a": 1}, {"a": 10**5000})[0]).endswith("thousands of digits")


def test_long_lists_of_objects_in_any_order_hold_by_their_equal_elements() -> None:
    rows = [{"id": number, "sizes": [number, None], "note": None} for number in range(1500)]
    found = [{**row, "id": float(row["id"])} for row in reversed(rows)]
    assert holds({"rows": rows}, {"rows": found})
    assert not holds({"rows": rows}, {"rows": [*found[1:], found[1]]})
    assert holds({"rows": rows}, {"rows": [*found[1:], {**found[0], "further": 1}]})
    assert not holds({"rows": rows}, {"rows": [*found[1:], {**found[0], "further": 1}]}, exact=True)
    assert holds({"rows": {"contains": rows[:1400]}}, {"rows": found})
    some = [{"id": {"ge": 0}}, *rows[:300]]
    assert holds({"rows": some}, {"rows": [*rows[:300], {"id": 0}]})
    assert not holds({"rows": some}, {"rows": [*rows[:300], {"id": -1}]})


@given(st.lists(st.dictionaries(st.sampled_from("xy"), values, max_size=2), max_size=24), st.data())
def test_equal_elements_pair_off_without_loss(stated: list[Any], data: st.DataObject) -> None:
    """Whatever the length from which on equal elements are taken off first."""
    found = [
        {**one, **data.draw(st.sampled_from([{}, {"z": 1}]))}
        for one in data.draw(st.permutations(stated))
    ]
    assert holds(stated, found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predicates, "FEW_PAIRS", 0)
        assert holds(stated, found)
        other = data.draw(st.lists(values, max_size=3))
        assert holds(stated[:3], other) == _holds_at_all(stated[:3], other)


def _holds_at_all(stated: list[Any], found: list[Any]) -> bool:
    return len(stated) == len(found) and any(
        all(holds(one, other) for one, other in zip(stated, order, strict=True))
        for order in permutations(found)
    )


def test_what_is_compared_together_shares_one_bound() -> None:
    stated = [{"id": number, "name": f"a{number}"} for number in range(700)]
    found = [{"id": number, "name": f"b{number}"} for number in range(700)]
    assert not holds(stated, found)
    with predicates.together(), pytest.raises(TooMuchError):
        for _ in range(3):
            assert not holds(stated, found)
    assert not holds(stated, found)


@pytest.mark.parametrize("judge", [match, matches])
@pytest.mark.parametrize("mode", ["exact", "unordered"])
def test_the_calls_of_two_paths_share_one_bound(
    judge: Any, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicates, "MAX_PAIRS", 5_000)
    stated = {"name": "f", "args": {"rows": [{"id": {"ge": 0}}] * 30}}
    found = {"name": "f", "args": {"rows": [{"id": number} for number in range(30)]}}
    assert judge([stated], [found], mode=mode)
    with pytest.raises(TooMuchError, match="state `ordered`"):
        judge([stated] * 6, [found] * 6, mode=mode)


@pytest.mark.parametrize("judge", [match, matches])
def test_a_value_that_json_has_no_type_for_is_what_json_makes_of_it(judge: Any) -> None:
    day = date(2026, 1, 1)
    text = {"x": "2026-01-01", "y": [1, "2026-01-01"]}
    for value in ({"x": day, "y": [1, day]}, {"y": (1, day), "x": day}):
        for one, other in ((text, value), (value, text), (value, value)):
            assert judge([{"name": "f", "args": one}], [{"name": "f", "args": other}])
    assert not arguments_hold({"x": "2026-01-02"}, {"x": day})
    assert arguments_hold({"x": {"ge": "2025-12-31"}}, {"x": day})


def test_every_predicate_is_known_and_checked() -> None:
    wrong: dict[str, Any] = {
        "any": False,
        "one_of": [],
        "ge": "5",
        "le": True,
        "regex": "(",
        "approx": {"value": "x"},
        "absent": 1,
        "ordered": 3,
    }
    for key, value in wrong.items():
        (problem,) = argument_problems({"argument": {key: value}})
        assert problem.startswith("argument: ")
        assert key in problem
    assert set(wrong) | {"contains", "equals"} == PREDICATES
    assert argument_problems({"a": {"b": [{"one_of": [{"regex": "("}]}]}})
    assert argument_problems({"a": {"ge": 5, "le": 3}})
    assert argument_problems({"a": deep(100)})
    assert argument_problems({"regex": "(", "a": {"equals": {"regex": "("}}, "b": [1]}) == []
    assert argument_problems(None) == []


@given(values)
def test_everything_equals_itself(value: Any) -> None:
    assert same(value, value)
    assert holds({"equals": value}, value)
    assert holds(value, value, exact=True)


@given(values, values)
def test_canonical_forms_are_equal_exactly_if_values_are(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == same(one, other)


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from([1, 2, {"ge": 1}, {"ge": 2}, {"a": 1}, {}, {"any": True}]), max_size=4
    ),
    st.lists(st.sampled_from([1, 2, 3, {"a": 1}, {"b": 1}]), max_size=4),
)
def test_lists_in_any_order_agree_with_trying_all_orders(
    stated: list[Any], found: list[Any]
) -> None:
    expected = len(stated) == len(found) and any(
        all(holds(one, other) for one, other in zip(stated, order, strict=True))
        for order in permutations(found)
    )
    assert holds(stated, found) == expected
