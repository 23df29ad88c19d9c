"""A model as judge, against a real server that behaves well, badly, slowly and not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.calibration import Labelled, calibrate
from evalkit.dataset import Case, Expected, OutcomeCheck
from evalkit.errors import PluginError
from evalkit.judging import calibrations
from evalkit.results import Score
from evalkit.scoring import bind, score_trial, score_trial_async
from evalkit.suite import Effects, ScorerUse
from evalkit.trajectory import Step, Trajectory
from tests.judge_server import Behave, Reply, serving, verdict

KEY = "sk-secret-77"
CASE = Case(id="c", input={"q": "refund?"}, route="refund")
DONE = Trajectory(steps=(Step(kind="tool", name="refund", output="done"),), output="Refunded.")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)


def bound(store: Path | None, more: Sequence[ScorerUse] = (), **arguments: Any) -> Any:
    given = {"model": "judge-1", "rubric": "It must refund.", "base_url_env": "JUDGE_URL"}
    use = ScorerUse("judge", {**given, "key_env": "JUDGE_KEY", "timeout": 5, **arguments})
    return bind([use, *more], Effects(), None, store=store)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Serves a behaviour, judges once (or ``times``), and gives the scores and the requests."""

    def ask(behave: Behave, *, times: int = 1, **arguments: Any) -> tuple[list[Score], list[Any]]:
        case = arguments.pop("case", CASE)
        with serving(behave) as server:
            monkeypatch.setenv("JUDGE_URL", server.url)
            scorers = bound(arguments.pop("store", tmp_path), **arguments)
            scores = [
                score
                for _ in range(times)
                for score in asyncio.run(score_trial_async(case, DONE, scorers))
            ]
            return scores, server.requests

    return ask


def test_a_verdict_and_what_was_asked(asked: Any) -> None:
    (score,), ((path, headers, body),) = asked(lambda n, b: verdict("pass", "It was refunded."))
    assert (score.scorer, score.value, score.passed) == ("judge", 1.0, True)
    assert score.reason == "It was refunded."
    assert score.data["tokens_in"] == 9
    assert score.data["model_served"] == "judge-1-2026"
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert body["model"] == "judge-1"
    assert body["response_format"]["type"] == "json_schema"
    question = body["messages"][1]["content"]
    assert all(text in question for text in ("It must refund.", "refund?", "tool refund", "done"))


def test_failing_and_partial_verdicts_do_not_pass(asked: Any) -> None:
    (failed,), _ = asked(lambda n, b: verdict("fail", "No refund."), store=None)
    assert (failed.value, failed.passed, failed.steps[0].detail) == (0.0, False, "No refund.")
    (half,), _ = asked(lambda n, b: verdict("Partially satisfied"), store=None)
    assert (half.value, half.passed) == (0.5, False)


def test_the_same_question_is_paid_for_once(asked: Any, tmp_path: Path) -> None:
    scores, requests = asked(lambda n, b: verdict("pass"), times=3)
    assert len(requests) == 1
    assert [score.data["cached"] for score in scores] == [False, True, True]
    _, more = asked(lambda n, b: verdict("pass"), rubric="Another.")
    assert len(more) == 1
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*.json"))
    assert KEY.encode() not in kept


def test_a_reply_that_cannot_be_read_is_paid_for_once(asked: Any) -> None:
    scores, requests = asked(lambda n, b: Reply("I would say so."), times=2)
    assert len(requests) == 1
    assert scores[0] == scores[1]
    assert scores[0].status == "could_not_judge"


def test_the_temperature_can_be_left_out(asked: Any) -> None:
    refused = {"error": {"message": "'temperature' does not support 0 with this model"}}

    def behave(number: int, body: dict[str, Any]) -> Reply:
        if "temperature" in body:
            return Reply(status=400, raw=json.dumps(refused).encode())
        return verdict("pass")

    (score,), _ = asked(behave)
    assert score.status == "could_not_judge"
    assert score.reason.endswith("`temperature: null` in the judge's arguments leaves it out")
    (score,), ((_, _, body),) = asked(behave, temperature=None)
    assert score.passed
    _, ((_, _, body),) = asked(lambda n, b: verdict("pass"), temperature=0.5)
    assert body["temperature"] == 0.5


def test_a_judge_of_another_temperature_is_another_judge(asked: Any) -> None:
    found = [
        asked(lambda n, b: verdict("pass"), store=None, **given)[0][0].data["judge"]
        for given in ({}, {"temperature": 0.0}, {"temperature": None}, {"temperature": 1})
    ]
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_a_damaged_answer_is_asked_for_again(asked: Any, tmp_path: Path) -> None:
    asked(lambda n, b: verdict("pass"))
    for path in (tmp_path / "judge" / "answers").rglob("*.json"):
        path.write_bytes(b"{")
    (score,), requests = asked(lambda n, b: verdict("pass"))
    assert (score.passed, len(requests)) == (True, 1)


@pytest.mark.parametrize(
    "bad",
    [
        Reply(status=429, headers={"retry-after": "0"}),
        Reply(status=503, headers={"retry-after": "0"}),
        Reply(hang_up=True),
        Reply(delay=1.0),
    ],
)
def test_what_may_pass_is_tried_again(asked: Any, bad: Reply) -> None:
    (score,), requests = asked(
        lambda n, b: bad if n == 0 else verdict("pass"), timeout=0.3, store=None
    )
    assert (score.passed, len(requests)) == (True, 2)


@pytest.mark.parametrize(
    ("bad", "calls", "says"),
    [
        (Reply(status=500, headers={"retry-after": "0"}), 2, "HTTP 500"),
        (Reply(status=401, raw=f"bad key {KEY}".encode()), 1, "HTTP 401: bad key ***"),
        (Reply(status=302, headers={"location": "http://127.0.0.1:1/"}), 1, "HTTP 302"),
        (Reply(raw=b"<html>"), 1, "no chat completion"),
        (Reply(raw=b"[" * 100_000), 1, "no chat completion"),
        (Reply(raw=b'{"choices": []}'), 1, "no chat completion"),
        (Reply(None), 1, "no text"),
        (Reply("I think it is fine."), 1, "no JSON object with a `verdict`"),
        (Reply('{"verdict": "splendid"}'), 1, "'splendid' is not understood"),
        (Reply('{"verdict": "pass"} no, {"verdict": "fail"}'), 1, "disagree"),
        (verdict("unsure", "Nothing is shown."), 1, "is unsure: Nothing is shown."),
        (Reply(delay=0.5), 2, "no answer within 0.1 s"),
    ],
)
def test_no_verdict_is_no_score(asked: Any, bad: Reply, calls: int, says: str) -> None:
    timeout = 0.1 if bad.delay else 5
    (score,), requests = asked(lambda n, b: bad, timeout=timeout, attempts=2)
    assert (score.status, score.value) == ("could_not_judge", None)
    assert says in score.reason
    assert KEY not in score.reason
    assert len(requests) == calls


def test_an_endpoint_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for url, says in (
        ("", "JUDGE_URL is not set"),
        ("ftp://x", "no http"),
        ("http://127.0.0.1:1/v1", "not reached"),
    ):
        monkeypatch.setenv("JUDGE_URL", url)
        (score,) = asyncio.run(score_trial_async(CASE, DONE, bound(None, attempts=1)))
        assert score.status == "could_not_judge"
        assert says in score.reason


def test_too_much_to_show_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_URL", "http://127.0.0.1:1/v1")
    long = Trajectory(steps=tuple(Step(kind="tool", name="t", output="x" * 5000) for _ in "a" * 60))
    (score,) = asyncio.run(score_trial_async(CASE, long, bound(None)))
    assert "at most 200000 are judged" in score.reason


def test_arguments_are_checked_before_anything_runs() -> None:
    for wrong in ({"timeout": "long"}, {"min_agreement": 2}, {"response_format": "xml"}):
        with pytest.raises(PluginError, match=next(iter(wrong))):
            bound(None, **wrong)
    with pytest.raises(PluginError, match="model"):
        bind([ScorerUse("judge", {"rubric": "It must refund."})], Effects(), None)


def test_without_a_loop_a_judge_could_not_judge() -> None:
    (score,) = score_trial(CASE, DONE, bound(None))
    assert score.status == "could_not_judge"


# --- trusted or refused ------------------------------------------------------------------------


def labelled(agreeing: int, others: int, group: str = "refund") -> list[Labelled]:
    return [
        *(Labelled("pass", True, group) for _ in range(agreeing)),
        *(Labelled("pass", False, group) for _ in range(others)),
    ]


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (None, "is not calibrated"),
        (labelled(9, 0), "9 labels, at least 20"),
        (labelled(12, 28), "agrees with 30% of 40 labels on route refund"),
        ([*labelled(9, 0), *labelled(10, 21, "other")], "of 40 labels over all routes"),
    ],
)
def test_a_judge_below_min_agreement_may_not_judge(
    asked: Any, tmp_path: Path, labels: list[Labelled] | None, says: str
) -> None:
    (plain,), _ = asked(lambda n, b: verdict("pass"))
    if labels is not None:
        calibrations.save(tmp_path, plain.data["judge"], calibrate(labels))
    (score,), requests = asked(lambda n, b: verdict("pass"), min_agreement=0.8)
    assert (score.status, requests) == ("could_not_judge", [])
    assert says in score.reason
    assert score.data["verdict"] == "pass"  # kept, to calibrate with


def test_a_judge_that_agrees_enough_may_judge(asked: Any, tmp_path: Path) -> None:
    (plain,), _ = asked(lambda n, b: verdict("pass"))
    calibrations.save(tmp_path, plain.data["judge"], calibrate(labelled(36, 4)))
    (score,), _ = asked(lambda n, b: verdict("pass"), min_agreement=0.8)
    assert score.passed
    (other,), _ = asked(lambda n, b: verdict("pass"), min_agreement=0.8, rubric="Another.")
    assert "is not calibrated" in other.reason


AMOUNT, TONE = "The amount is told.", "The tone is kind."
OWN = Case(
    id="c",
    input="refund?",
    route="refund",
    expect=Expected(outcome=(OutcomeCheck(judge=AMOUNT), OutcomeCheck(judge=TONE))),
)
COMPLETION = (ScorerUse("task_completion"),)


def on_amount(said: Reply, else_: Reply) -> Behave:
    return lambda n, body: said if AMOUNT in body["messages"][1]["content"] else else_


def test_a_case_s_own_rubrics_are_checks_of_its_outcome(asked: Any) -> None:
    behave = on_amount(verdict("fail", "No amount."), verdict("pass", "Kind."))
    (judged, completed), requests = asked(behave, case=OWN, rubric=None, more=COMPLETION)
    assert len(requests) == 2  # each is asked by itself
    assert (judged.value, judged.passed, judged.reason) == (0.5, False, "No amount.")
    assert judged.data["tokens_in"] == 18
    assert judged.data["rubrics"][TONE] == {"passed": True, "reason": "Kind."}
    assert (completed.value, completed.passed) == (0.5, False)
    assert completed.reason == "judge: No amount."
    [finding] = completed.steps
    assert (finding.name, finding.detail) == ("outcome check 1: judge", "No amount.")


def test_they_come_beside_the_suite_s_rubric(asked: Any) -> None:
    behave = on_amount(verdict("pass", "Told."), verdict("pass", "Well done."))
    (judged, completed), requests = asked(behave, case=OWN, more=COMPLETION)
    assert len(requests) == 3
    assert judged.passed
    assert set(judged.data["rubrics"]) == {AMOUNT, TONE}
    assert completed.data == {"checks": 2, "met": 2, "not_judged": 0}


def test_a_rubric_without_a_verdict_leaves_only_its_own_check_open(asked: Any) -> None:
    behave = on_amount(Reply("I think so."), verdict("pass", "Kind."))
    (judged, completed), _ = asked(behave, case=OWN, rubric=None, more=COMPLETION, store=None)
    assert (judged.status, completed.status) == ("could_not_judge", "could_not_judge")
    assert "no JSON object" in completed.reason
    assert completed.reason.count("judge: ") == 1
    assert completed.data == {"checks": 2, "met": 1, "not_judged": 1}
    behave = on_amount(Reply("I think so."), verdict("fail", "Rude."))
    (judged, completed), _ = asked(behave, case=OWN, rubric=None, more=COMPLETION, store=None)
    assert (judged.value, judged.passed, judged.reason) == (0.0, False, "Rude.")
    assert completed.passed is False


def test_a_judge_that_is_refused_meets_no_check(asked: Any) -> None:
    passing = on_amount(verdict("pass"), verdict("pass"))
    (judged, completed), _ = asked(
        passing, case=OWN, rubric=None, more=COMPLETION, min_agreement=0.8
    )
    assert (judged.status, completed.status) == ("could_not_judge", "could_not_judge")
    assert "is not calibrated" in completed.reason


def test_without_any_rubric_there_is_nothing_to_judge(asked: Any) -> None:
    (score,), requests = asked(lambda n, b: verdict("pass"), rubric=None)
    assert (score.status, requests) == ("nothing_to_judge", [])


def test_a_case_s_rubric_without_a_judge_could_not_be_judged() -> None:
    (score,) = score_trial(OWN, DONE, bind(COMPLETION, Effects(), None))
    assert score.status == "could_not_judge"
    assert "no `judge`" in score.reason
