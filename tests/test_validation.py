"""Values become records, or a list of all that is wrong with them."""

from hypothesis import given
from hypothesis import strategies as st

from evalkit.dataset import Case
from evalkit.suite import Suite
from evalkit.validation import convert

GOOD = {"name": "s", "pipeline": {"call": "a:b"}, "dataset": "d.jsonl"}


def test_a_good_value_has_no_problems() -> None:
    suite, problems = convert(GOOD, Suite)
    assert problems == []
    assert suite is not None
    assert suite.pipeline.target == "call"


def test_every_problem_is_listed_at_its_place() -> None:
    _, problems = convert(
        {
            **GOOD,
            "nam": 1,
            "trials": "3",
            "gate": {"alfa": 0.1, "on": []},
            "pipeline": {"call": "a:b", "timeout": -1},
        },
        Suite,
    )
    assert {one.path for one in problems} == {
        ("nam",),
        ("trials",),
        ("gate", "alfa"),
        ("gate", "on"),
        ("pipeline", "timeout"),
    }


def test_an_unknown_key_is_answered_with_the_nearest_known_one() -> None:
    _, problems = convert({**GOOD, "datset": "x"}, Suite)
    assert problems[0].message == "unknown key `datset`. Did you mean `dataset`?"


def test_a_wrong_word_is_answered_with_the_right_ones() -> None:
    _, problems = convert({"id": "a", "input": 1, "route": "r", "expect": {"match": "x"}}, Case)
    assert "in_order" in problems[0].message


def test_list_items_keep_their_positions_when_earlier_ones_are_wrong() -> None:
    steps = [{"tool": "a", "node": "b"}, {"tool": "ok"}, {"tol": "x"}, {"any_of": []}]
    _, problems = convert({"id": "x", "input": 1, "route": "r", "expect": {"steps": steps}}, Case)
    assert [one.path for one in problems] == [
        ("expect", "steps", 0),
        ("expect", "steps", 2, "tol"),
        ("expect", "steps", 3, "any_of"),
    ]


def test_a_pipeline_has_exactly_one_target() -> None:
    for pipeline in ({}, {"call": "a:b", "http": "http://x"}):
        _, problems = convert({**GOOD, "pipeline": pipeline}, Suite)
        assert "exactly one of" in problems[0].message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["id", "input", "route", "expect", "tags", "x"]), JSON))
def test_any_value_gives_a_record_or_problems(value: dict[str, object]) -> None:
    case, problems = convert(value, Case)
    assert (case is None) == bool(problems)
