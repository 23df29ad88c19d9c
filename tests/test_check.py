"""A suite and its dataset are checked together, and every problem is listed at its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.check import inspect, load_suite
from evalkit.errors import FileError
from tests.project import CASES, GOOD, write_project


def problems_of(path: Path) -> list[str]:
    return [str(problem) for problem in inspect(path)[1]]


def test_a_good_project_has_no_problems(tmp_path: Path) -> None:
    assert problems_of(write_project(tmp_path)) == []


def test_all_problems_of_both_files_are_listed_at_once(tmp_path: Path) -> None:
    cases: list[dict[str, Any]] = [
        {**CASES[0], "route": "evn"},
        {**CASES[1], "expect": {"steps": [{"tool": "a", "after": ["b"]}]}},
        {**CASES[2], "expect": {"outcome": [{"regex": "(a"}]}},
        {**CASES[3], "expect": {"outcome": [{"json_schema": {"type": "strin"}}]}},
        {**CASES[4], "expect": {"outcome": [{"function": "no_such_module:f"}]}},
        CASES[5],
        CASES[5],
    ]
    suite = write_project(
        tmp_path,
        cases=cases,
        routes=["even", "odd"],
        scorers=["task_completion", "trajectory_mtch"],
        gate={"on": ["task_completion", "routing"]},
    )
    found = problems_of(suite)
    for number, says in (
        (1, "unknown route 'evn'. Did you mean 'even'?"),
        (2, "'b'"),
        (3, "regex"),
        (4, "JSON Schema"),
        (5, "no_such_module"),
        (7, "duplicate id: line 6 has it too"),
    ):
        line = f"{tmp_path / 'cases.jsonl'}:{number}: "
        assert any(one.startswith(line) and says in one for one in found), (number, found)
    assert any("unknown scorer 'trajectory_mtch'. Did you mean" in one for one in found)
    assert any("unknown scorer 'routing'" in one for one in found)
    assert len(found) == 8


@pytest.mark.parametrize(
    ("pipeline", "says"),
    [
        ({"call": "no_such_pipeline:f"}, "does not import"),
        ({"call": "json"}, "expected package.module:function"),
        ({"call": "json:__name__"}, "not callable"),
        ({"command": ["no-such-program-at-all"]}, "no program"),
        ({"http": "localhost:80/x"}, "expected http://"),
        ({"traces": "missing.jsonl"}, "no such file"),
    ],
)
def test_a_pipeline_that_cannot_be_reached_is_a_problem(
    tmp_path: Path, pipeline: dict[str, Any], says: str
) -> None:
    (problem,) = problems_of(write_project(tmp_path, GOOD, pipeline=pipeline))
    assert says in problem


def test_a_missing_dataset_is_a_problem_and_load_raises_it(tmp_path: Path) -> None:
    suite = write_project(tmp_path)
    (tmp_path / "cases.jsonl").unlink()
    with pytest.raises(FileError, match="no such file"):
        load_suite(suite)


def test_a_suite_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(json.dumps([1]))
    (problem,) = problems_of(tmp_path / "s.yaml")
    assert "expected `object`" in problem


def test_a_judge_and_what_it_judges_by_belong_together(tmp_path: Path) -> None:
    def found(judging: bool, *scorers: Any) -> list[str]:
        outcome = [{"judge": "The tone is kind."}] if judging else []
        cases = [{**CASES[0], "expect": {"outcome": outcome}}]
        listed = ["task_completion", "trajectory_match", *scorers]
        return problems_of(write_project(tmp_path, cases=cases, scorers=listed))

    judge = {"judge": {"model": "m"}}
    (lacking,) = found(True)
    assert "$.expect.outcome[0].judge" in lacking
    assert "list `judge` as scorer" in lacking
    assert found(True, judge) == []
    (idle,) = found(False, judge)
    assert "give it a `rubric`" in idle
