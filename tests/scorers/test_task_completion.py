"""Outcome checks: met or not, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit.dataset import Case, Expected, OutcomeCheck
from evalkit.results import Score
from evalkit.scorers.task_completion import task_completion
from evalkit.trajectory import Trajectory

OUTPUT = {"decision": "escalate", "total": 1000.5, "items": [{"sku": "A"}], "text": "Not Approved"}
LOOP = {"$ref": "https://example.invalid/schema.json"}


def judge(*checks: OutcomeCheck, output: Any = OUTPUT, said: tuple[str, ...] = ()) -> Score:
    case = Case(id="c", input="?", route="r", expect=Expected(outcome=checks))
    return task_completion(case, Trajectory(output=output, said=said))


@pytest.mark.parametrize(
    ("check", "passed"),
    [
        (OutcomeCheck(path="decision", equals="escalate"), True),
        (OutcomeCheck(path="decision", equals=None), False),
        (OutcomeCheck(path="items[0].sku", equals="A"), True),
        (OutcomeCheck(path="items[-1].sku", equals="A"), True),
        (OutcomeCheck(path="items[1].sku", equals="A"), False),
        (OutcomeCheck(path="nothing.here", equals=None), False),
        (OutcomeCheck(path="items", equals=[{"sku": "A", "n": 1}]), False),
        (OutcomeCheck(contains="Approved"), True),
        (OutcomeCheck(contains="approved"), False),
        (OutcomeCheck(contains=("escalate", "Not")), True),
        (OutcomeCheck(contains=("escalate", "absent")), False),
        (OutcomeCheck(not_contains=("absent", "Not")), False),
        (OutcomeCheck(not_contains="absent"), True),
        (OutcomeCheck(regex="^Not"), False),
        (OutcomeCheck(path="text", regex="^Not"), True),
        (OutcomeCheck(path="total", one_of=(1, 1000.5)), True),
        (OutcomeCheck(path="total", ge=1000), True),
        (OutcomeCheck(path="total", le=1000), False),
        (OutcomeCheck(path="decision", ge=0), False),
        (OutcomeCheck(path="total", approx=1000), False),
        (OutcomeCheck(path="total", approx=1000, tolerance=0.5), True),
        (OutcomeCheck(json_schema={"required": ["decision"]}), True),
        (OutcomeCheck(json_schema={"required": ["other"]}), False),
        (OutcomeCheck(said="NOT approved"), True),
    ],
)
def test_a_check_is_met_or_says_why_not(check: OutcomeCheck, passed: bool) -> None:
    score = judge(check)
    assert (score.value, score.passed) == (float(passed), passed)
    assert bool(score.steps) is not passed
    assert score.reason


def test_value_is_the_share_of_checks_met() -> None:
    score = judge(OutcomeCheck(contains="Not"), OutcomeCheck(path="decision", equals="approve"))
    assert (score.value, score.passed) == (0.5, False)
    assert score.reason == "decision: expected 'approve', found 'escalate'"


def test_no_checks_is_nothing_to_judge() -> None:
    assert judge().status == "nothing_to_judge"


def test_said_ignores_case_and_thousands_separators() -> None:
    messages = ("Hello", "Your refund is 1,000 DOLLARS, in 2 days")
    assert judge(OutcomeCheck(said="1000 dollars"), said=messages).passed
    assert judge(OutcomeCheck(said="1,000"), said=("it is 1000",)).passed
    assert not judge(OutcomeCheck(said="12"), said=("items 1,2",)).passed
    assert not judge(OutcomeCheck(said="escalate"), said=messages).passed


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, LOOP])
def test_a_schema_that_cannot_be_used_could_not_judge(schema: dict[str, Any]) -> None:
    score = judge(OutcomeCheck(json_schema=schema))
    assert score.status == "could_not_judge"
    assert "JSON Schema" in score.reason


def test_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outcome_functions.py").write_text(
        "def yes(output): return output['decision'] == 'escalate'\n"
        "def no(output): return False, 'too late'\n"
        "def odd(output): return 'yes'\n"
        "def fails(output): return 1 / 0\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert judge(OutcomeCheck(function="outcome_functions:yes")).passed
    assert "too late" in judge(OutcomeCheck(function="outcome_functions:no")).reason
    for name, said in (("odd", "'yes'"), ("fails", "ZeroDivisionError"), ("none", "none")):
        score = judge(OutcomeCheck(function=f"outcome_functions:{name}"))
        assert score.status == "could_not_judge"
        assert said in score.reason
