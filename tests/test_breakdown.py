"""The breakdown of a route: findings along the path, tools, surplus steps, durations."""

from __future__ import annotations

import json

import pyarrow as pa

from evalkit.breakdown import breakdown
from evalkit.dataset import Case, Expected, ExpectedStep
from evalkit.results import PlannedCase, Recorded
from tests.recordings import SCORES, recorded, score, trial


def a_case(name: str, *nodes: str) -> Case:
    steps = tuple(ExpectedStep(node=node) for node in nodes)
    return Case(id=name, input=1, route="r", expect=Expected(steps=steps))


CASES = {one.id: one for one in (a_case("a", "in", "out"), a_case("b", "in", "check", "out"))}


def findings(*found):
    return json.dumps([{"kind": kind, "name": name, **more} for kind, name, more in found])


def with_data(found: Recorded, data: list[str | None]) -> Recorded:
    table = found.scores.append_column("data", pa.array(data, pa.string()))
    return Recorded(found.run, found.trials, table)


def test_fail_rates_are_of_the_cases_that_expect_the_step():
    missing = findings(("missing", "node check", {"expected": 1}))
    beside = findings(("unexpected", "tool x", {"step": 3}))
    found = breakdown(
        recorded(
            [PlannedCase(name, "r", "d") for name in CASES],
            [
                trial("a", 0, latency_s=0.5),
                trial("a", 1),
                trial("b", 0, tokens_in=3, tokens_out=4),
                trial("b", 1, status="timeout", latency_s=9.0),
            ],
            [
                score("a", 0, "trajectory_match", 1.0),
                score("a", 1, "trajectory_match", 0.5, findings=beside),
                score("b", 0, "trajectory_match", 0.5, findings=missing),
            ],
        ),
        CASES,
    )["r"]
    assert [(s.step, s.stated, s.expected, s.failed, s.rate) for s in found.path] == [
        ("node in", 2, 3, 0, 0.0),
        ("node check", 1, 1, 1, 1.0),
        ("node out", 2, 3, 0, 0.0),
    ]
    assert found.path[1].cases == ("b",)
    assert found.path[1].by["missing"] == 1
    assert found.beside == (("unexpected", "tool x", 1),)
    assert (found.latency_s, found.tokens) == ((0.5,), (7.0,))


def test_tools_and_causes_are_added_up_and_foreign_data_is_passed_over():
    told = [
        json.dumps({"confusion": [["a", "a"], ["a", None]]}),
        json.dumps({"confusion": [["a", "b"], ["a", "a"], "x", [1]]}),
        json.dumps({"causes": {"loop": 2, "retry": -1}, "taken": 5}),
        json.dumps({"causes": {"loop": 1, "detour": 1}, "taken": "many"}),
        "not JSON",
    ]
    rows = [
        score("a", 0, "tool_selection", 1.0),
        score("b", 0, "tool_selection", 0.5),
        score("a", 0, "step_efficiency", 0.5),
        score("b", 0, "step_efficiency", 0.5),
        score("b", 1, "step_efficiency", 0.5),
    ]
    base = recorded([PlannedCase(name, "r", "d") for name in CASES], [trial("a", 0)], rows)
    found = breakdown(with_data(base, told), {})["r"]
    assert {(w, c): n for w, c, n in found.confusion} == {
        ("a", "a"): 2,
        ("a", None): 1,
        ("a", "b"): 1,
    }
    assert found.causes == {"loop": 3, "detour": 1, "retry": 0}
    assert found.steps_taken == 5
    assert found.path == ()


def test_findings_that_point_nowhere_count_nowhere():
    wrong = findings(("missing", "node in", {"expected": 99}), ("missing", "node in", {}))
    found = breakdown(
        recorded(
            [PlannedCase("a", "r", "d")],
            [trial("a", 0)],
            [score("a", 0, "trajectory_match", 0.5, findings=wrong)],
        ),
        CASES,
    )["r"]
    assert [step.failed for step in found.path] == [0, 0]
    assert "data" not in SCORES.names


def test_economy_is_told_over_all_trials_and_over_those_that_completed_their_task():
    told = [
        json.dumps(
            {
                "confusion": [["a", "a"]] * 3 + [["a", "b"]],
                "decisions": {"made": 4, "acceptable": 3},
            }
        ),
        json.dumps({"decisions": "many"}),
        *[None] * 4,
    ]
    rows = [
        score("a", 0, "tool_selection", 0.75),
        score("a", 1, "tool_selection", 1.0),
        score("a", 0, "step_efficiency", 0.5),
        score("a", 1, "step_efficiency", 1.0),
        score("a", 0, "task_completion", 0.0),
        score("a", 1, "task_completion", 1.0),
    ]
    base = recorded([PlannedCase("a", "r", "d")], [trial("a", 0), trial("a", 1)], rows)
    found = breakdown(with_data(base, told), {})["r"]
    assert (found.efficiency, found.efficiency_of_success, found.successes) == (0.75, 1.0, 1)
    assert (found.decisions, found.acceptable) == (4, 3)
    assert [(one.tool, one.precision, one.recall) for one in found.tools] == [
        ("a", 1.0, 0.75),
        ("b", 0.0, 0.0),
    ]
