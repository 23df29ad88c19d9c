"""A route's confusion of tools."""

from __future__ import annotations

import warnings

from evalkit.confusion import NONE, confusion


def test_the_matrix_counts_expected_against_chosen() -> None:
    found = confusion([["a", "a"], ["a", "b"], ["b", "b"], [None, "b"], ["a", None]])
    assert found.labels == ("a", "b", NONE)
    assert found.matrix == ((1, 1, 1), (0, 1, 0), (0, 1, 0))
    a, b = found.tools
    assert (a.precision, a.recall, a.expected) == (1, 1 / 3, 3)
    assert (b.precision, b.recall, b.f1) == (1 / 3, 1, 0.5)


def test_no_decisions_make_an_empty_matrix() -> None:
    assert confusion([]).labels == ()


def test_one_tool_that_is_always_right_is_a_matrix_of_one() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = confusion([("a", "a")] * 3)
    assert (found.labels, found.matrix) == (("a",), ((3,),))
    assert (found.tools[0].precision, found.tools[0].expected) == (1.0, 3)
