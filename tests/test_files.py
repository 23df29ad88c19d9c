"""Suites and datasets on disk."""

import json
from pathlib import Path

import pytest

from evalkit.dataset import Case
from evalkit.errors import FileError
from evalkit.files import (
    case_lines,
    read_dataset,
    read_json,
    read_suite,
    read_text,
    write_atomically,
    write_dataset,
)

GOOD = {"id": "a", "input": 1, "route": "r"}


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines))
    return path


def test_a_dataset_is_read_with_all_problems_by_line_and_case(tmp_path: Path) -> None:
    path = write(
        tmp_path / "d.jsonl",
        GOOD,
        "",
        "{broken",
        {**GOOD, "id": "b", "expct": {}},
        GOOD,
        '{"id": "c", "id": "d", "input": 1, "route": "r"}',
        '{"id": "e", "input": NaN, "route": "r"}',
        "[" * 5000,
    )
    dataset, problems = read_dataset(path)
    assert [case.id for case in dataset] == ["a"]
    assert [problem.line for problem in problems] == [3, 4, 5, 6, 7, 8]
    broken, unknown, duplicate, twice, nan, deep = problems
    assert broken.column == 2
    assert (unknown.case, unknown.key) == ("b", "$.expct")
    assert "line 1 has it too" in duplicate.message
    assert "duplicate key `id`" in twice.message
    assert "NaN" in nan.message
    assert deep.line == 8


def test_an_empty_dataset_is_a_problem(tmp_path: Path) -> None:
    _, problems = read_dataset(write(tmp_path / "d.jsonl", "", " "))
    assert "empty" in problems[0].message


def test_json_deeper_than_100_levels_is_refused() -> None:
    assert read_json("[" * 90 + "]" * 90)
    with pytest.raises(ValueError, match="deeper"):
        read_json("[" * 101 + "]" * 101)


def test_a_suite_file_reports_line_and_column(tmp_path: Path) -> None:
    path = write(tmp_path / "s.yaml", "name: x", "dataset: d", "pipeline:", "  cal: a:b")
    file = read_suite(path)
    assert file.suite is None
    assert str(file.problems[0]).startswith(f"{path}:4:3: unknown key `cal`. Did you mean `call`?")


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_unreadable_files_say_why(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match="not UTF-8" if content else "no such file"):
        read_text(path)
    with pytest.raises(FileError, match="folder"):
        read_text(tmp_path)


def test_cases_survive_writing_and_reading(tmp_path: Path) -> None:
    cases = [Case("a", {"q": "ü"}, "r"), Case("b", [1, None], "s", owner="me", tags=("t",))]
    path = tmp_path / "new" / "d.jsonl"
    write_dataset(path, cases)
    dataset, problems = read_dataset(path)
    assert problems == []
    assert list(dataset) == cases
    assert case_lines(path) == {"a": 1, "b": 2}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text("old")

    def cases():  # type: ignore[no-untyped-def]
        yield Case("a", 1, "r")
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        write_dataset(path, cases())
    assert path.read_text() == "old"
    write_atomically(path, b"new")
    assert path.read_text() == "new"
    assert [one.name for one in tmp_path.iterdir()] == ["d.jsonl"]
