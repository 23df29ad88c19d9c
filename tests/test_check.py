"""A suite and its dataset are checked together, and every problem is listed at its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.check import inspect, load_suite, unjudged
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


def test_a_bad_key_hides_nothing_of_another(tmp_path: Path) -> None:
    cases: list[dict[str, Any]] = [
        CASES[0],
        {**CASES[1], "expect": {"match": "inorder", "outcome": [{"regex": "(a"}]}, "route": "odds"},
        {**CASES[0], "expect": {"outcome": [{"regex": "(b"}]}},
        {**CASES[3], "tagz": [], "expect": {"steps": [{"tool": "a", "after": ["b"]}]}},
    ]
    suite = write_project(
        tmp_path, cases=cases, routes=["even", "odd"], scorers=["tool_selectoin"], trails=2
    )
    found = "\n".join(problems_of(suite))
    for says in (
        "unknown key `trails`",
        "unknown scorer 'tool_selectoin'",
        "(case 'case-1', at $.expect.match)",
        "cases.jsonl:2: unknown route 'odds'",
        "(case 'case-1', at $.expect.outcome[0])",
        "duplicate id: line 1 has it too",
        "(case 'case-0', at $.expect.outcome[0])",
        "unknown key `tagz`",
        "(case 'case-3', at $.expect.steps)",
    ):
        assert says in found, (says, found)


def test_a_list_of_scorers_that_cannot_be_read_makes_no_further_problems(tmp_path: Path) -> None:
    suite = write_project(tmp_path, scorers=[3, "routing"], gate={"on": ["routing"]})
    (problem,) = problems_of(suite)
    assert "scorers" in problem


def test_the_dataset_of_a_suite_without_a_pipeline_is_checked_too(tmp_path: Path) -> None:
    path = write_project(tmp_path, cases=[{**CASES[0], "tagz": []}])
    path.write_text(json.dumps({"name": "x", "dataset": "cases.jsonl"}))
    found = "\n".join(problems_of(path))
    assert "`pipeline`" in found and "unknown key `tagz`" in found


def test_what_cases_state_and_nobody_judges_is_noted(tmp_path: Path) -> None:
    near = {"value": 100, "tolerance": 0.5}
    expect = {"limits": {"steps": 3}, "steps": [{"tool": "pay", "args": {"amount": near}}]}
    cases: list[dict[str, Any]] = [{**CASES[0], "expect": expect}, *CASES[1:]]
    limits, literal = unjudged(load_suite(write_project(tmp_path, cases=cases)))
    assert "`limits` of 1 case (case-0)" in limits and "list `limits` as scorer" in limits
    assert "case-0: tool pay: argument 'amount'" in literal and '{"approx":' in literal
    right = {**expect, "steps": [{"tool": "pay", "args": {"amount": {"approx": near}}}]}
    cases = [{**CASES[0], "expect": right}, *CASES[1:]]
    assert (
        unjudged(
            load_suite(
                write_project(tmp_path, cases=cases, scorers=["limits"], gate={"on": ["limits"]})
            )
        )
        == []
    )


def test_a_scorer_that_one_place_lets_block_and_advise_is_refused(tmp_path: Path) -> None:
    def found(gate: dict[str, Any]) -> list[str]:
        return problems_of(write_project(tmp_path, gate=gate))

    both = {"on": ["routing"], "advise": ["routing"]}
    (top,) = found(both)
    assert "'routing' cannot both advise and block" in top and "$.gate.advise[0]" in top
    (route,) = found({"routes": {"odd": both}})
    assert "$.gate.routes.odd.advise[0]" in route
    (default,) = found({"advise": ["task_completion"]})
    assert "it is in `on` by default: state `on` without it" in default
    assert found({"on": ["routing"], "routes": {"odd": {"advise": ["routing"]}}}) == []
    assert found({"routes": {"odd": {"on": []}}}) == []


def test_a_limit_on_a_step_whose_name_is_nearly_that_of_an_expected_one_is_noted(
    tmp_path: Path,
) -> None:
    def noted(step: str) -> list[str]:
        gate = {"routes": {"odd": {"limits": [f"fail_rate({step}) <= 0.1"]}}}
        return unjudged(load_suite(write_project(tmp_path, gate=gate)))

    (note,) = noted("lookup")
    assert "no case expects a step 'lookup'. Did you mean 'look_up'?" in note
    assert noted("look_up") == noted("fallback") == []
