"""Runs of a selection of the cases: what they are to labels, gates and histories."""

import json

import pytest

RUN = ("run", "suite.yaml", "--no-confirm", "--format", "json", "--label")


def gate_of(found):
    """Exit code, notes as one text, and the verdicts that block, of a run with a gate."""
    code, out, _ = found
    gate = json.loads(out)
    rows = [row for row in gate["routes"] if row["blocking"]]
    return code, "\n".join(gate["notes"]), {(row["route"], row["verdict"]) for row in rows}


@pytest.fixture
def main_run(evalkit):
    assert evalkit(*RUN, "main")[0] == 0


def test_a_selection_is_no_baseline_while_a_whole_run_bears_the_label(evalkit, main_run):
    assert evalkit(*RUN, "main", "--case", "status-0")[0] == 0
    code, notes, verdicts = gate_of(
        evalkit(*RUN, "bad", "--baseline", "main", "--set", "skip=true")
    )
    assert code == 1 and ("refund", "regressed") in verdicts
    assert "is of a selection (--case status-0) and no baseline" in notes


def test_a_gate_against_a_selection_alone_decides_only_what_was_selected(evalkit):
    assert evalkit(*RUN, "main", "--case", "status-0")[0] == 0
    bad = gate_of(evalkit(*RUN, "bad", "--baseline", "main", "--set", "skip=true"))
    code, notes, verdicts = bad
    assert code == 3
    assert verdicts == {("refund", "inconclusive"), ("status", "inconclusive")}
    assert "is of a selection (--case status-0), not of the whole dataset: 1 case" in notes
    same = gate_of(evalkit(*RUN, "one", "--case", "status-0", "--baseline", "main"))
    assert same[2] == {("status", "ok")} and "only a selection was run" not in same[1]


def test_a_new_case_is_not_taken_for_one_that_was_not_selected(evalkit, main_run, project):
    cases = (project / "cases.jsonl").read_text()
    more = cases.splitlines()[0].replace("status-0", "status-new").replace('"status"', '"new"')
    (project / "cases.jsonl").write_text(cases + more + "\n")
    code, _, verdicts = gate_of(evalkit(*RUN, "next", "--baseline", "main"))
    assert code == 0 and ("new", "new") in verdicts


def test_of_a_selection_it_is_said_how_many_cases_of_the_baseline_are_not_judged(evalkit, main_run):
    _, notes, _ = gate_of(evalkit(*RUN, "part", "--route", "status", "--baseline", "main"))
    assert "selection was run: 6 cases of the baseline are not judged (--route status)" in notes
    _, notes, _ = gate_of(evalkit(*RUN, "all", "--limit", "500", "--baseline", "main"))
    assert "only a selection" not in notes


def test_a_shard_alone_misses_no_case_of_the_others(evalkit, main_run):
    _, notes, verdicts = gate_of(evalkit(*RUN, "part", "--shard", "1/2", "--baseline", "main"))
    assert "missing" not in {verdict for _, verdict in verdicts}
    assert "6 cases of the baseline are not judged (--shard 1/2)" in notes


def test_a_selection_is_exported_and_promoted_only_where_that_is_meant(evalkit, main_run):
    _, listed, _ = evalkit("runs", "--format", "json")
    whole = json.loads(listed)["runs"][0]["run"]
    evalkit(*RUN, "main", "--case", "status-0")
    code, out, err = evalkit("baseline", "export", "main", "main.parquet")
    assert code == 0 and whole in out and "no baseline" in err
    evalkit("gate", "main", "--baseline", whole)
    code, _, err = evalkit("baseline", "promote", "main", "--label", "fresh")
    assert code == 2 and "--case status-0" in err
    assert evalkit("baseline", "promote", "main", "--label", "fresh", "--force")[0] == 0


def test_a_history_leaves_selections_out_and_says_so(evalkit, main_run):
    evalkit(*RUN, "main", "--route", "status")
    evalkit(*RUN, "main", "--case", "status-0")
    code, out, err = evalkit("history", "status", "--format", "json")
    points = json.loads(out)["scorers"][0]["points"]
    assert code == 0 and [point["cases"] for point in points] == [6, 6]
    assert err.count("only a selection was run") == 1
    code, _, err = evalkit("history", "status", "--label", "main", "--store", "elsewhere")
    assert code == 2
    evalkit(*RUN, "one", "--case", "status-0", "--store", "other")
    code, _, err = evalkit("history", "status", "--store", "other")
    assert code == 2 and "only selections of cases were run" in err
