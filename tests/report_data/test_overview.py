"""The page's data: numbers as in ``--format json``, the failing step lit, cases by urgency."""

from __future__ import annotations

import json
import re

import msgspec
import pytest

from evalkit.cli import main
from evalkit.reporters.html.islands import dump
from evalkit.results import Trial
from tests.report_data.stores import HOSTILE, a_trial, two_runs


def run(capsys, *arguments):
    code = main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def island(path, name="overview"):
    text = path.read_text("utf-8")
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text)
    return json.loads(found.group(1))


@pytest.fixture
def page(tmp_path, capsys):
    """Writes the report of a store's run and reads its data."""

    def written(store, label="cand", *more):
        out = tmp_path / "out.html"
        code, said, err = run(capsys, "report", label, "--store", store.path, "-o", out, *more)
        assert (code, err) == (0, ""), said + err
        return island(out)

    return written


def test_numbers_are_those_of_the_json_format(tmp_path, page, capsys):
    store = two_runs(tmp_path)
    shown = page(store, "cand", "--baseline", "base")
    _, gate, _ = run(
        capsys, "gate", "cand", "--baseline", "base", "--store", store.path, "--format", "json"
    )
    told = json.loads(gate)
    assert shown["gate"] == {key: told[key] for key in shown["gate"]}
    _, compared, _ = run(
        capsys, "compare", "cand", "base", "--store", store.path, "--format", "json"
    )
    rows = json.loads(compared)["routes"]
    mine = shown["summary"] + shown["baseline_summary"]
    assert sorted(mine, key=str) == sorted(rows, key=str)
    columns = shown["cases"]
    means = columns["means"][shown["scorers"].index("trajectory_match")]
    refund = columns["texts"].index("refund")
    assert {m for m, r in zip(means, columns["route"], strict=True) if r == refund} == {0.5}


def test_names_the_step_and_puts_the_worst_first(tmp_path, page):
    shown = page(two_runs(tmp_path), "cand", "--baseline", "base")
    assert shown["decision"] == "failed"
    assert "refund" in shown["headline"]
    assert "retriever retrieve" in shown["lead"][0]["steps"][0]
    worst = shown["routes"][0]
    assert worst["name"] == "refund"
    assert [(s["name"], s["rate"], s["first"]) for s in worst["path"]] == [
        ("node classify", "0 %", False),
        ("retriever retrieve", "100 %", True),
    ]
    standings = [shown["standings"][at][0] for at in shown["cases"]["standing"]]
    assert standings == ["broken"] * 4 + ["passing"] * 4
    refund = shown["cases"]["texts"].index("refund")
    assert shown["cases"]["route"][:4] == [refund] * 4


def test_without_a_baseline_it_says_so_and_compares_nothing(tmp_path, page):
    shown = page(two_runs(tmp_path), "base")
    assert shown["baseline"] is None
    assert shown["gate"] is None
    assert shown["headline"] == "Not compared with a baseline: 8 cases on 2 routes"
    assert not any(step["first"] for route in shown["routes"] for step in route["path"])


def test_takes_the_baseline_of_the_last_gate(tmp_path, page, capsys):
    store = two_runs(tmp_path)
    assert page(store)["baseline"] is None
    run(capsys, "gate", "cand", "--baseline", "base", "--store", store.path)
    assert page(store)["baseline"]["label"] == "base"


def test_a_decision_that_was_kept_is_shown_and_not_taken_again(tmp_path, page, capsys):
    """It may rest on trials made to confirm, which the stored run has not."""
    store = two_runs(tmp_path)
    run(capsys, "gate", "cand", "--baseline", "base", "--store", store.path)
    decided = store.decisions(store.find("cand").id)[-1].report
    first = msgspec.structs.replace(decided.rows[0], reason="confirmed by 99 trials")
    store.save_verdicts(msgspec.structs.replace(decided, rows=(first, *decided.rows[1:])))
    assert "confirmed by 99 trials" in json.dumps(page(store, "cand", "--baseline", "base"))
    again = page(store, "cand", "--baseline", "base", "--on", first.scorer)
    assert "confirmed by 99 trials" not in json.dumps(again)


def test_details_hold_the_aligned_steps_with_their_times(tmp_path, page):
    page(two_runs(tmp_path), "cand", "--baseline", "base")
    first = island(tmp_path / "out.html", "pack-0")[0]
    marks = [row[0] for row in first["trials"][0]["rows"]]
    assert "−" in marks
    assert [row[1] for row in first["trials"][0]["rows"] if row[0] == "−"] == ["retriever retrieve"]
    assert [row[0] for row in first["baseline"][0]["rows"]][:2] == ["✓", "✓"]
    start, took, given, output, cost = first["trials"][0]["rows"][0][6]
    assert (start, took, output, cost) == (0, 1, "fine", "$0.001")
    assert json.loads(given) == {"text": "fine", "n": 0}


def test_one_case(tmp_path, page):
    shown = page(two_runs(tmp_path, 1), "cand", "--baseline", "base")
    assert shown["cases"]["id"] == ["case-0"]
    assert len(shown["routes"]) == 1


def test_trials_without_a_trace_are_not_measured(tmp_path, page, monkeypatch):
    def lost(case, number, spans, text, *, broken):
        if not broken:
            return a_trial(case, number, spans, text, broken=False)
        return Trial(case=case.id, trial=number, route=case.route, status="timeout", error=HOSTILE)

    monkeypatch.setattr("tests.report_data.stores.a_trial", lost)
    shown = page(two_runs(tmp_path), "cand", "--baseline", "base")
    assert shown["decision"] == "undecided"
    assert {shown["standings"][at][0] for at in shown["cases"]["standing"]} == {"lost"}
    details = island(tmp_path / "out.html", "pack-0")[0]
    assert details["trials"][0]["rows"] is None
    assert "\\x1b[31mred" in details["trials"][0]["error"]


def test_trials_without_scores_are_not_measured(tmp_path, page, monkeypatch):
    def unscored(case, number, spans, text, *, broken):
        return msgspec.structs.replace(a_trial(case, number, spans, text, broken=broken), scores=())

    monkeypatch.setattr("tests.report_data.stores.a_trial", unscored)
    shown = page(two_runs(tmp_path))
    assert {shown["standings"][at][0] for at in shown["cases"]["standing"]} == {"lost"}


def test_what_trials_took_is_on_no_scale_of_scores(tmp_path, page, monkeypatch):
    def slow(case, number, spans, text, *, broken):
        made = a_trial(case, number, spans, text, broken=False)
        return msgspec.structs.replace(made, latency_s=30.0 if broken else 0.5)

    monkeypatch.setattr("tests.report_data.stores.a_trial", slow)
    shown = page(two_runs(tmp_path, 40), "cand", "--baseline", "base")
    assert shown["on"] == ["task_completion", "trajectory_match"]
    rows = {row["scorer"]: row["at"] for route in shown["routes"] for row in route["rows"]}
    assert rows["latency_s"] == [None, None, None]
    assert None not in rows["task_completion"]


def test_an_interrupted_run_is_shown_as_far_as_it_went(tmp_path, page):
    from evalkit.journal import Journal

    store = two_runs(tmp_path)
    whole = store.find("cand")
    begun = msgspec.structs.replace(whole, id="begun", label="begun", status="running")
    with Journal.start(tmp_path, begun) as journal:
        journal.extend(list(store.trials(whole.id))[:4])
    shown = page(store, "begun", "--baseline", "base")
    assert shown["run"]["status"] == "interrupted"
    assert any("interrupted" in note for note in shown["notes"])
    assert shown["decision"] == "failed" or shown["decision"] == "undecided"


def test_a_dataset_that_is_gone_leaves_the_steps_alone(tmp_path, page):
    store = two_runs(tmp_path)
    (tmp_path / "cases.jsonl").unlink()
    shown = page(store, "cand", "--baseline", "base")
    assert any("dataset" in note and "not there" in note for note in shown["notes"])
    assert shown["routes"][0]["path"] == []


def test_hostile_text_never_leaves_its_island(tmp_path, page):
    page(two_runs(tmp_path, 2, text=HOSTILE), "cand", "--baseline", "base")
    text = (tmp_path / "out.html").read_text("utf-8")
    assert "<img" not in text
    assert "alert(1)</" not in text
    assert text.count("</script>") == text.count("<script")
    details = island(tmp_path / "out.html", "pack-0")[0]
    assert "\\u202e" in details["trials"][0]["output"]
    assert "<script>alert(1)</script>" in details["trials"][0]["output"]


def test_long_text_is_cut_and_says_so(tmp_path, page):
    page(two_runs(tmp_path, 2, text="x" * 1_000_000), "cand")
    details = island(tmp_path / "out.html", "pack-0")[0]
    assert details["trials"][0]["output"].endswith("996,000 more characters are cut off")
    assert (tmp_path / "out.html").stat().st_size < 1_000_000


def test_a_report_that_cannot_be_written_is_no_traceback(tmp_path, capsys):
    store = two_runs(tmp_path)
    (tmp_path / "file").write_text("")
    code, _, err = run(
        capsys, "report", "cand", "--store", store.path, "-o", tmp_path / "file" / "x.html"
    )
    assert code == 3
    assert "cannot write" in err


def test_an_unknown_baseline_is_bad_input(tmp_path, capsys):
    store = two_runs(tmp_path, 2)
    code, _, err = run(capsys, "report", "cand", "--store", store.path, "--baseline", "mian")
    assert code == 2
    assert "mian" in err


def test_json_in_a_page_holds_no_markup():
    assert dump({"a": "</script><!--"}) == '{"a":"\\u003c/script>\\u003c!--"}'
    assert json.loads(dump({"a": "</script>"})) == {"a": "</script>"}
