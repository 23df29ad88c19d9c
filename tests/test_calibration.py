"""A judge beside its labels: agreement, kappa, confusion, and words that are read or listed."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.calibration import Labelled, calibrate
from evalkit.cli import main
from evalkit.judging import calibrations
from evalkit.judging.verdicts import UnreadableError, normalise, read_reply
from evalkit.runner import run
from evalkit.store import Store
from tests.judge_server import serving, verdict
from tests.project import CASES, load_project

LABELS = Path(__file__).parents[2] / "shared" / "data" / "judge_verdicts_airline_retail.jsonl.gz"


@pytest.mark.parametrize(
    ("word", "means"),
    [
        ("PASS", "pass"),
        ("satisfied.", "pass"),
        ("Partially Satisfied", "partial"),
        ("non-compliant", "fail"),
        (True, "pass"),
        (0.0, "fail"),
        ("1.0", "pass"),
        (0.5, None),
        ("passable", None),
        ("not pass", None),
        (None, None),
        ("x" * 10_000, None),
    ],
)
def test_words_are_in_the_table_or_unknown(word: Any, means: str | None) -> None:
    assert normalise(word) == means


@pytest.mark.parametrize(
    "text",
    [
        '{"reason": "so", "verdict": "pass"}',
        'Sure!\n```json\n{"verdict": "Pass", "reason": "so"}\n```\nBye {"verdict": "fail"}',
        'I think: {"verdict": "pass", "reason": "so"} and {that} is {"all": 1}',
    ],
)
def test_a_verdict_is_found(text: str) -> None:
    assert read_reply(text) == ("pass", "so")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for given_text in (text, "{" * 200 + text, f'{{"verdict": {text}'):
        with suppress(UnreadableError):
            assert read_reply(given_text).verdict in ("pass", "partial", "fail", "unsure")


PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40)


@settings(deadline=None, max_examples=50)  # scikit-learn loads with the first
@given(PAIRS)
def test_agreement_by_its_definition(pairs: list[tuple[bool, bool]]) -> None:
    found = calibrate(Labelled(verdict, label, "r") for verdict, label in pairs).overall
    assert found.labels == len(pairs)
    if not pairs:
        assert (found.accuracy, found.low, found.kappa) == (None, None, None)
        return
    observed = sum(a == b for a, b in pairs) / len(pairs)
    assert found.accuracy == pytest.approx(observed)
    assert found.low is not None and found.high is not None
    assert 0 <= found.low <= observed <= found.high <= 1
    said, true = (sum(pair[side] for pair in pairs) / len(pairs) for side in (0, 1))
    chance = said * true + (1 - said) * (1 - true)
    if len({one for pair in pairs for one in pair}) == 1:
        assert found.kappa is None
    else:
        assert found.kappa == pytest.approx((observed - chance) / (1 - chance))


def test_unknown_words_are_listed_and_never_compared() -> None:
    found = calibrate(
        [
            Labelled("pass", "pass", "a"),
            Labelled("splendid", "pass", "a"),
            Labelled("fail", "perhaps", "b"),
            Labelled("unsure", "fail", "b"),
            Labelled("partially_satisfied", "fail", "b"),
        ]
    )
    assert found.overall.labels == 2
    assert found.unknown == {"verdict 'splendid'": 1, "label 'perhaps'": 1}
    assert found.unsure == 1
    assert found.words["partially_satisfied"] == "partial"
    assert found.groups["b"].confusion == {
        "pass": {"pass": 0, "fail": 0},
        "fail": {"pass": 0, "fail": 1},
    }


def test_a_real_judge(capsys: pytest.CaptureFixture[str]) -> None:
    if not LABELS.is_file():
        pytest.skip("needs ../shared/data/judge_verdicts_airline_retail.jsonl.gz")
    fields = ["--verdict", "judge_verdict", "--label", "tau2_success", "--format", "json"]
    by = ["--by", "domain", "--by", "judge_prompt_name"]
    assert main(["judge", "calibrate", str(LABELS), *fields, *by]) == 0
    told = json.loads(capsys.readouterr().out)
    airline = [
        group["accuracy"] for name, group in told["groups"].items() if name.startswith("airline")
    ]
    assert (min(airline), max(airline)) == (0.40, 0.68)
    assert (told["overall"]["labels"], told["unknown"]) == (656, {})
    assert told["overall"]["kappa"] == pytest.approx(0.119, abs=0.001)


def test_a_run_is_calibrated_and_then_may_be_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = {"model": "m", "rubric": "R", "base_url_env": "JUDGE_URL", "min_agreement": 0.7}
    suite = {"scorers": [{"judge": arguments}], "gate": {"on": ["judge"]}}
    cases = [{**CASES[0], "id": f"c{n}", "input": {"q": n}, "route": "r"} for n in range(24)]
    with serving(lambda n, body: verdict("pass")) as server:
        monkeypatch.setenv("JUDGE_URL", server.url)
        ran = run(
            load_project(tmp_path, cases=cases, trials=1, **suite), label="main", store=Path("s")
        )
        assert len(server.requests) == 24
        refused = [trial.scores[0] for trial in Store("s").trials(ran.id)]
        assert all("is not calibrated" in score.reason for score in refused)
        rows = [{"case": f"c{n}", "label": n >= 2} for n in range(24)]
        with gzip.open("labels.jsonl.gz", "wt") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
        assert main(["judge", "calibrate", "labels.jsonl.gz", "--run", "main", "--store", "s"]) == 0
        assert "24   0.92  0.74 to 0.98" in capsys.readouterr().out
        again = ["judge", "calibrate", "again.jsonl", "--run", "main", "--store", "s"]
        for second, code in (("pass", 0), ("fail", 2)):
            two = [*rows, {"case": "c5", "label": second}]
            Path("again.jsonl").write_text("".join(json.dumps(row) + "\n" for row in two))
            assert main(again) == code
        told = capsys.readouterr()
        assert "24   0.92" in told.out
        assert "again.jsonl:25: trial 0 of case 'c5' has two labels, True and 'fail'" in told.err
        assert main(["score", "main", "--store", "s"]) == 0
        assert len(server.requests) == 24  # all from what was kept
    scores = [trial.scores[0] for trial in Store("s").trials(Store("s").find("main+rescored").id)]
    assert all(score.passed and score.data["cached"] for score in scores)
    assert calibrations.refusal("s", scores[0].data["judge"], "r", 0.95) is not None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no labels"),
        ("[1]\n", "an object a line"),
        ('{"verdict": NaN}\n', "NaN"),
        ('{"verdict": 1}\n', "no field 'label'; there are: verdict"),
    ],
)
def test_wrong_files_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, says: str
) -> None:
    (tmp_path / "labels.jsonl").write_text(content)
    assert main(["judge", "calibrate", str(tmp_path / "labels.jsonl")]) == 2
    assert says in capsys.readouterr().err
