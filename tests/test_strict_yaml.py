"""YAML is read strictly, and every refusal names line and column."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import FileError
from evalkit.strict_yaml import Mark, read


def test_scalars_follow_yaml_1_2() -> None:
    text = "a: no\nb: 12:30:45\nc: [1, 0x1f, 1.5, true, null, ~, '7']\nd: {e: 2026-01-01}\n"
    assert read(text, "s.yaml").value == {
        "a": "no",
        "b": "12:30:45",
        "c": [1, 31, 1.5, True, None, None, "7"],
        "d": {"e": "2026-01-01"},
    }


def test_every_key_and_item_has_its_place() -> None:
    document = read("a:\n  b: 1\n  c: [x,\n    y]\n", "s.yaml")
    assert document.mark(("a", "b")) == Mark(2, 3)
    assert document.mark(("a", "c", 1)) == Mark(4, 5)
    assert document.mark(("a", "unknown", "deeper")) == Mark(1, 1)


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("a: 1\nb: 2\na: 3", 3, 1, "duplicate key `a`"),
        ("a: &x 1\nb: *x", 1, 4, "anchors"),
        ("a: !!python/object:os.system x", 1, 4, "tags"),
        ("a: [1,\n  2", 2, 4, "expected"),
        ("a: .nan", 1, 4, "finite"),
        ("a: 1" + "0" * 5000, 1, 4, "digits"),
        ("[" * 5000, 1, 39, "deeper"),
        ("? [1]\n: 2", 1, 3, "plain text"),
        ("a: 1\n---\nb: 2", 2, 1, "another document"),
    ],
)
def test_refusals_say_where(text: str, line: int, column: int, says: str) -> None:
    with pytest.raises(FileError) as raised:
        read(text, "s.yaml")
    (problem,) = raised.value.problems
    assert (problem.line, problem.column) == (line, column)
    assert says in problem.message


@pytest.mark.parametrize("text", ["", "# only a comment", "a: \x00", "x" * 2_000_000])
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(FileError):
        read(text, "s.yaml")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(FileError):
        read(text, "s.yaml")
