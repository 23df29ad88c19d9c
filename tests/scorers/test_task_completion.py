"""Outcome checks: met or not, and why."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evalkit.dataset import Case, Expected, OutcomeCheck
from evalkit.results import Score, could_not_judge, nothing_to_judge
from evalkit.scorers.task_completion import task_completion
from evalkit.scoring import bind, score_trial_async
from evalkit.suite import Effects, ScorerUse
from evalkit.trajectory import Coverage, EndState, Trajectory
from tests.judge_server import Reply, serving, verdict

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
        (OutcomeCheck(path="total", approx=1000.4, tolerance=0.1), True),
        (OutcomeCheck(path="total", approx=1000.3, tolerance=0.1), False),
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


@pytest.mark.parametrize(
    ("check", "output"),
    [
        (OutcomeCheck(regex="a$"), "a" * 10_000_000 + "b"),
        (OutcomeCheck(json_schema={"pattern": "a$"}), "a" * 10_000_000 + "b"),
        (OutcomeCheck(not_contains="secret"), [*range(100_000), "secret"]),
        (OutcomeCheck(contains="secret"), [*range(100_000), "secret"]),
    ],
)
def test_what_is_too_long_to_be_looked_at_could_not_be_judged(
    check: OutcomeCheck, output: Any
) -> None:
    score = judge(check, output=output)
    assert (score.passed, score.status) == (None, "could_not_judge")
    assert "0,000" in score.reason


def test_an_end_state_beyond_any_comparison_could_not_be_judged() -> None:
    rows = [{"row": number} for number in range(1500)]
    case = Case(id="c", input="?", route="r", expect=Expected(state={"rows": rows}))
    for found, passed in ((rows[::-1], True), ([{**one, "x": 1} for one in rows], None)):
        score = task_completion(case, Trajectory(state=EndState(value={"rows": found})))
        assert score.passed is passed


def test_no_checks_is_nothing_to_judge() -> None:
    assert judge().status == "nothing_to_judge"


def test_said_ignores_case_and_thousands_separators() -> None:
    messages = ("Hello", "Your refund is 1,000 DOLLARS, in 2 days")
    assert judge(OutcomeCheck(said="1000 dollars"), said=messages).passed
    assert judge(OutcomeCheck(said="1,000"), said=("it is 1000",)).passed
    assert not judge(OutcomeCheck(said="12"), said=("items 1,2",)).passed
    assert not judge(OutcomeCheck(said="escalate"), said=messages).passed
    for space in "\N{NO-BREAK SPACE}\N{THIN SPACE}\N{NARROW NO-BREAK SPACE}":
        assert judge(OutcomeCheck(said="1234567.5"), said=(f"1{space}234{space}567.5 EUR",)).passed
        assert judge(OutcomeCheck(said=f"1{space}000"), said=("1,000",)).passed


@pytest.mark.parametrize(
    ("wanted", "message", "told"),
    [
        ("10", "It costs $10.", True),
        ("10", "10, as agreed", True),
        ("10", "$10.00", True),
        ("10", "from 100 down to 10", True),
        ("10", "$100", False),
        ("10", "$210", False),
        ("10", "$10.50", False),
        ("10", "$3.10", False),
        ("10", "$1,000", False),
        ("10", "10,000", False),
        ("54.04", "154.04", False),
        ("54.04", "$54.04.", True),
        ("54.5", "$54.50", True),
        ("54.5", "$54.503", False),
        ("1.2", "version 1.2.3", False),
        ("order 10", "order 100", False),
        ("order 10", "reorder 10", True),
        ("10 dollars", "110 dollars", False),
        ("10%", "10%", True),
        ("no", "nothing", True),
        ("", "anything", True),
    ],
)
def test_a_number_that_is_said_is_no_part_of_a_longer_one(
    wanted: str, message: str, told: bool
) -> None:
    assert judge(OutcomeCheck(said=wanted), said=(message,)).passed is told


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


# --- end state, other scorers, and what nobody can tell -----------------------------------------

SEEN = Trajectory(output=OUTPUT, state=EndState({"orders": [{"id": 7, "status": "refunded"}]}))
REFUNDED = {"orders": [{"status": "refunded"}]}
JUDGE = Score("judge", 1.0, True, "It was refunded.")
DOWN = could_not_judge("judge", "HTTP 503")


def completion(
    *checks: OutcomeCheck, state: Any = msgspec.UNSET, done: Trajectory = SEEN, **given: Any
) -> Score:
    expect = Expected(outcome=checks, state=state)
    return task_completion(Case(id="c", input="?", route="r", expect=expect), done, **given)


def test_a_stated_end_state_is_one_of_the_checks() -> None:
    decided = OutcomeCheck(path="decision", equals="escalate")
    assert completion(decided, state=REFUNDED).data == {"checks": 2, "met": 2, "not_judged": 0}
    wrong = completion(decided, state={"orders": []})
    assert (wrong.value, wrong.passed, wrong.steps[0].name) == (0.5, False, "end state")
    assert completion(state=REFUNDED).passed


@pytest.mark.parametrize(
    ("done", "says"),
    [
        (Trajectory(output=OUTPUT), "name a `state` function"),
        (Trajectory(output=OUTPUT, state=EndState(error="OSError: no database")), "no database"),
    ],
)
def test_an_end_state_that_was_not_read_leaves_it_open(done: Trajectory, says: str) -> None:
    met = OutcomeCheck(path="decision", equals="escalate")
    score = completion(met, state=REFUNDED, done=done)
    assert (score.status, score.value) == ("could_not_judge", None)
    assert says in score.reason
    assert score.data == {"checks": 2, "met": 1, "not_judged": 1}


def test_a_check_that_is_not_met_decides_whatever_the_others_would_say() -> None:
    unmet = OutcomeCheck(path="decision", equals="approve")
    met = OutcomeCheck(path="total", ge=1)
    score = completion(unmet, met, state=REFUNDED, done=Trajectory(output=OUTPUT))
    assert (score.value, score.passed) == (0.5, False)
    assert score.data["not_judged"] == 1


def test_what_no_recording_holds_is_never_met() -> None:
    unrecorded = OutcomeCheck(unrecorded="the environment's database")
    assert completion(unrecorded).status == "could_not_judge"
    assert "environment's database" in completion(unrecorded).reason
    assert completion(unrecorded, OutcomeCheck(said="never said")).passed is False


def test_a_judge_is_one_check_among_others() -> None:
    checks = (OutcomeCheck(path="decision", equals="escalate"), OutcomeCheck(passed="judge"))
    assert completion(*checks, judged={"judge": JUDGE}).passed
    failed = Score("judge", 0.0, False, "No refund.")
    score = completion(*checks, judged={"judge": failed})
    assert (score.value, score.passed) == (0.5, False)
    assert "No refund." in score.reason
    for judged, says in (({"judge": DOWN}, "HTTP 503"), ({}, "list it")):
        score = completion(*checks, judged=judged)
        assert (score.status, score.value) == ("could_not_judge", None)
        assert says in score.reason


def test_a_suite_may_count_other_scorers_for_every_case() -> None:
    assert completion(passed=("judge",), judged={"judge": JUDGE}).passed
    assert completion(passed=("judge",), judged={"judge": DOWN}).status == "could_not_judge"
    silent = {"limits": nothing_to_judge("limits", "no limits stated"), "judge": JUDGE}
    score = completion(passed=("limits", "judge"), judged=silent)
    assert score.data == {"checks": 1, "met": 1, "not_judged": 0}
    assert completion(passed=("limits",), judged=silent).status == "nothing_to_judge"


def test_an_answer_that_the_trace_does_not_record_is_not_judged() -> None:
    silent = Trajectory(coverage=Coverage(missing=("text",)))
    assert completion(OutcomeCheck(contains="x"), done=silent).status == "could_not_judge"
    assert completion(OutcomeCheck(said="x"), done=silent).status == "could_not_judge"
    assert completion(OutcomeCheck(contains="x"), done=Trajectory()).passed is False


def test_a_judge_in_a_suite_is_asked_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    uses = [
        ScorerUse("trajectory_score"),
        ScorerUse("task_completion", {"passed": ["judge"]}),
        ScorerUse("judge", {"model": "m", "rubric": "r", "attempts": 1}),
    ]
    scorers = bind(uses, Effects(), None, store=tmp_path)
    case = Case(id="c", input="?", route="r")

    def scored() -> dict[str, Score]:
        found = asyncio.run(score_trial_async(case, SEEN, scorers))
        return {score.scorer: score for score in found}

    with serving(lambda n, b: Reply(status=500)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert {one.status for one in scored().values()} == {"could_not_judge"}
    with serving(lambda n, b: verdict("fail", "No.")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        found = scored()
        assert [found[name].passed for name in ("judge", "task_completion")] == [False, False]
        assert found["trajectory_score"].data["parts"]["task_completion"] == 0.0
    assert scored()["task_completion"].passed is False  # the answer is kept


def test_a_function_that_loops_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "endless_outcome.py").write_text("def loops(output):\n    while True: pass\n")
    scorers = bind([ScorerUse("task_completion")], Effects(), tmp_path)
    check = OutcomeCheck(function="endless_outcome:loops")
    case = Case(id="c", input="?", route="r", expect=Expected(outcome=(check,)))
    (score,) = asyncio.run(score_trial_async(case, SEEN, scorers, timeout=0.1))
    assert (score.status, score.reason) == ("could_not_judge", "did not return within 0.1 s")


def test_checks_that_do_not_look_at_the_answer_have_no_path() -> None:
    with pytest.raises(ValueError, match="path into the answer"):
        OutcomeCheck(passed="judge", path="decision")
