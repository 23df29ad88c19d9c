"""`evalkit history`: its object, its table, and what it says where there is nothing."""

from __future__ import annotations

import json

import msgspec

from evalkit.journal import Journal
from tests.report_data.stores import two_runs


def test_the_object_has_points_and_changes(project, evalkit):
    two_runs(project / "s")
    code, out, err = evalkit("history", "refund", "--store", "s", "--format", "json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["route"], found["suite"]) == ("refund", "desk")
    first = found["scorers"][0]
    assert [point["label"] for point in first["points"]] == ["base", "cand"]
    assert first["changes"][0]["label"] == "cand"
    assert first["changes"][0]["difference"] == -1.0
    _, compared, _ = evalkit("compare", "cand", "--store", "s", "--format", "json")
    row = next(
        row
        for row in json.loads(compared)["routes"]
        if (row["route"], row["scorer"]) == ("refund", first["scorer"])
    )
    assert {k: row[k] for k in ("mean", "low", "high")} == {
        k: first["points"][1][k] for k in ("mean", "low", "high")
    }


def test_the_table_says_what_changed(project, evalkit):
    two_runs(project / "s")
    _, out, _ = evalkit("history", "refund", "--store", "s")
    assert "changed at cand" in out
    _, out, _ = evalkit("history", "status", "--store", "s", "--on", "task_completion")
    assert "no change that these runs show" in out
    _, out, _ = evalkit("history", "refund", "--store", "s", "--label", "base")
    assert "cand" not in out


def test_what_is_not_there_is_named(project, evalkit):
    code, _, err = evalkit("history", "refund", "--store", "s")
    assert code == 2
    assert "no complete runs" in err
    two_runs(project / "s", 2)
    code, _, err = evalkit("history", "refnd", "--store", "s")
    assert code == 2
    assert "Did you mean 'refund'?" in err
    code, _, err = evalkit("history", "refund", "--store", "s", "--label", "x")
    assert code == 2
    assert "'base'" in err


def test_the_suite_is_the_newest_that_has_the_route_and_confirming_runs_are_no_versions(
    project, evalkit
):
    store = two_runs(project / "s")
    other = msgspec.structs.replace(store.find("cand"), id="z-other", started=2e9)
    suite = msgspec.structs.replace(other.suite, name="other")
    planned = tuple(msgspec.structs.replace(one, route="else") for one in other.planned)
    confirming = msgspec.structs.replace(other, id="z-confirm", label="cand (confirm)")
    for run in (msgspec.structs.replace(other, suite=suite, planned=planned), confirming):
        with Journal.start(store.path, run) as journal:
            journal.extend(store.trials(store.find("cand").id))
            journal.finish()
    found = json.loads(evalkit("history", "refund", "--store", "s", "--format", "json")[1])
    assert found["suite"] == "desk"
    assert [point["label"] for point in found["scorers"][0]["points"]] == ["base", "cand"]
