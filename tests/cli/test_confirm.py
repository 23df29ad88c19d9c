"""Suspicions that `run --baseline` settles by trying both versions again."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from evalkit.confirm_run import why_not
from evalkit.store import Store
from evalkit.suite import Confirm


@pytest.fixture
def main_run(evalkit):
    assert evalkit("run", "suite.yaml", "--label", "main")[0] == 0


def run(evalkit, *more):
    arguments = ["run", "suite.yaml", "--label", "new", "--baseline", "main", "--set", "skip=true"]
    code, out, err = evalkit(*arguments, "--format", "json", *more)
    return code, json.loads(out), err


def test_a_fault_is_confirmed_and_what_was_tried_is_kept(evalkit, main_run, project):
    code, found, err = run(evalkit)
    assert code == 1
    failed = [row for row in found["routes"] if row["blocking"]]
    refund = next(row for row in failed if row["verdict"] == "regressed")
    assert "confirmed by" in refund["reason"]
    assert refund["spent"]["trials"] > refund["trials"]
    assert "trials made again are kept as runs" in err
    store = Store(project / ".evalkit")
    kept = {one.label: one for one in store.runs() if one.label.endswith("(confirm)")}
    assert set(kept) == {"main (confirm)", "new (confirm)"}
    assert kept["main (confirm)"].settings["skip"] is False
    assert kept["new (confirm)"].settings["skip"] is True


def test_a_budget_of_none_decides_nothing_and_no_confirm_says_what_that_costs(evalkit, main_run):
    code, found, _ = run(evalkit, "--max-trials", "0")
    assert code == 3
    assert "inconclusive" in {row["verdict"] for row in found["routes"]}
    code, found, _ = run(evalkit, "--no-confirm")
    assert code == 1
    assert any(note.startswith("no re-runs: re-runs are switched off") for note in found["notes"])


def test_no_trial_is_begun_when_the_time_is_spent(evalkit, main_run):
    code, found, _ = run(evalkit, "--max-seconds", "0.000001")
    assert code == 3
    assert "inconclusive" in {row["verdict"] for row in found["routes"]}
    assert sum(row["spent_trials"] for row in found["routes"]) == 0


def test_a_baseline_is_run_again_only_where_settings_alone_differ(evalkit, main_run, project):
    before = Store(project / ".evalkit").find("main")
    after = replace(before, settings={**before.settings, "skip": True})
    assert why_not(after, before, Confirm()) is None
    assert "same settings" in why_not(before, before, Confirm())
    assert "the code changed" in why_not(replace(after, commit="abc"), before, Confirm())
    changed = replace(after, uncommitted="12ab")
    assert "the code changed" in why_not(changed, before, Confirm())
    assert why_not(changed, replace(before, uncommitted="12ab"), Confirm()) is None
    traces = replace(after.suite.pipeline, call=None, traces="t.jsonl")
    recorded = replace(after, suite=replace(after.suite, pipeline=traces))
    assert "recorded traces" in why_not(recorded, before, Confirm())
