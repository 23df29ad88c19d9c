"""Suspicions that `run --baseline` settles by trying both versions again."""

from __future__ import annotations

import json
import sys

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
    assert "trials made again in both versions, kept as" in err
    store = Store(project / ".evalkit")
    kept = {one.label: one for one in store.runs() if one.label.endswith("(confirm)")}
    assert set(kept) == {"main (confirm)", "new (confirm)"}
    assert kept["main (confirm)"].settings["skip"] is False
    assert kept["new (confirm)"].settings["skip"] is True


def test_a_budget_of_none_decides_nothing_and_no_confirm_says_what_that_costs(evalkit, main_run):
    code, found, _ = run(evalkit, "--max-trials", "0")
    assert code == 3
    assert "inconclusive" in {row["verdict"] for row in found["routes"]}
    (ended,) = [note for note in found["notes"] if "re-runs ended after 0 trials" in note]
    assert "at most 0 are allowed in all (max_trials)" in ended and not found["confirmed"]
    code, found, _ = run(evalkit, "--max-trials", "20")
    assert code == 3 and found["confirmed"]
    (ended,) = [note for note in found["notes"] if "re-runs ended after 12 trials" in note]
    assert "at most 20 are allowed" in ended
    code, found, _ = run(evalkit, "--no-confirm")
    assert code == 1
    assert any(note.startswith("no re-runs: re-runs are switched off") for note in found["notes"])


def test_no_trial_is_begun_when_the_time_is_spent(evalkit, main_run):
    code, found, _ = run(evalkit, "--max-seconds", "0.000001")
    assert code == 3
    assert "inconclusive" in {row["verdict"] for row in found["routes"]}
    assert sum(row["spent_trials"] for row in found["routes"]) == 0


def test_edited_code_in_both_arms_is_not_taken_for_the_baseline(evalkit, main_run, project):
    """Without git nothing tells that the code changed, but the stored trials do."""
    pipeline = next(project.glob("pipeline_*.py"))
    pipeline.write_text(pipeline.read_text().replace('settings["skip"] and ', ""))
    del sys.modules[pipeline.stem]
    code, found, _ = run(evalkit)
    assert code == 3
    refund = [row for row in found["routes"] if row["route"] == "refund" and row["blocking"]]
    assert {row["verdict"] for row in refund} == {"inconclusive"}
    assert all("does not stand for the stored one" in row["reason"] for row in refund)
    assert all("edited code" in row["reason"] for row in refund)


def test_a_budget_in_dollars_is_not_taken_for_kept_where_costs_are_unknown(
    evalkit, main_run, project
):
    code, found, _ = run(evalkit, "--max-usd", "5")
    assert code == 3
    refund = [row for row in found["routes"] if row["route"] == "refund" and row["blocking"]]
    assert {row["verdict"] for row in refund} == {"inconclusive"}
    (note,) = [one for one in found["notes"] if one.startswith("the re-runs ended after")]
    assert "does not tell all that it cost" in note and "`prices`" in note
    # What was paid for is told, also of the round that was cut.
    store = Store(project / ".evalkit")
    kept = [one for one in store.runs() if one.label.endswith("(confirm)")]
    made = sum(len(list(store.trials(one.id))) for one in kept)
    assert made and f"after {made} trials of both versions" in note
    assert f"the last {made}, of a round not finished" in note


def test_trials_that_tell_their_cost_are_paid_for_until_the_budget_is_spent(evalkit, project):
    pipeline = next(project.glob("pipeline_*.py"))
    asked = 'with trace.get_tracer("desk").start_as_current_span("ask", attributes=PAID):\n'
    text = pipeline.read_text().replace("    classify(", f"    {asked}        classify(")
    paid = "{'openinference.span.kind': 'LLM', 'llm.cost.total': 0.25}"
    pipeline.write_text(f"from opentelemetry import trace\n\nPAID = {paid}\n{text}")
    assert evalkit("run", "suite.yaml", "--label", "main")[0] == 0
    code, found, _ = run(evalkit, "--max-usd", "2")
    assert code == 3
    (note,) = [one for one in found["notes"] if one.startswith("the re-runs ended after")]
    assert "their budget of 2 US dollars is spent" in note
    assert run(evalkit, "--max-usd", "1000")[0] == 1


@pytest.mark.parametrize("option", ["--max-usd", "--max-seconds"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_a_budget_that_is_no_number_is_refused_before_anything_runs(
    evalkit, main_run, project, option, value
):
    code, _, err = evalkit("run", "suite.yaml", "--baseline", "main", option, value)
    assert code == 2 and option in err
    assert len(Store(project / ".evalkit").runs()) == 1
    assert evalkit("gate", "main", "--self-test", "--seconds", "nan")[0] == 2


def test_a_baseline_is_run_again_only_where_settings_alone_differ(evalkit, main_run, project):
    before = Store(project / ".evalkit").find("main")
    after = replace(before, settings={**before.settings, "skip": True})
    assert why_not(after, before, Confirm()) is None
    assert "same commit and settings" in why_not(before, before, Confirm())
    assert "the code changed" in why_not(replace(after, commit="abc"), before, Confirm())
    changed = replace(after, uncommitted="12ab")
    assert "the code changed" in why_not(changed, before, Confirm())
    assert why_not(changed, replace(before, uncommitted="12ab"), Confirm()) is None
    traces = replace(after.suite.pipeline, call=None, traces="t.jsonl")
    recorded = replace(after, suite=replace(after.suite, pipeline=traces))
    assert "recorded traces" in why_not(recorded, before, Confirm())
