"""Verdicts and exit codes, from runs built by hand and from recorded agents."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from evalkit.confirming import Row
from evalkit.errors import InputError
from evalkit.gating import decide
from evalkit.measurement import too_many
from evalkit.results import PlannedCase, Selection
from evalkit.suite import GatePolicy, RoutePolicy
from tests.recordings import of_tau, of_values, recorded, score, tau, trial

SHARED = Path(__file__).parents[2] / "shared"
ON = GatePolicy(on=("task_completion",))


def route(cases, trials):
    return {f"case {at}": list(trials) for at in range(cases)}


def verdicts(report):
    return {(row.route, row.scorer): row.verdict for row in report.rows}


def test_a_drop_is_named_with_its_size_interval_and_cases():
    baseline = of_values(
        {"exceptions": route(14, [1, 1, 1]), "other": {"o": [1, 1, 1], "q": [1, 1, 1]}}
    )
    candidate = of_values(
        {"exceptions": route(14, [0, 0, 0]), "other": {"o": [1, 1, 1], "q": [1, 1, 1]}}
    )
    report = decide(candidate, baseline, ON)
    row, other = report.rows
    assert report.exit == 1
    assert (row.verdict, other.verdict) == ("regressed", "ok")
    assert (row.baseline, row.candidate, row.difference) == (1.0, 0.0, -1.0)
    assert row.low == -1.0
    assert -1 < row.high < -0.4
    assert row.p < row.p_adjusted < 1e-9
    assert row.broken == tuple(f"case {at}" for at in range(14))
    assert len(row.changes) == 14
    assert row.changes[0].owner == "exceptions team"
    assert row.owners == ("exceptions team",)
    assert row.reason.startswith("mean fell from 1.00 to 0.00 over 14 cases (−1.00, 95 % interval")


def test_broken_cases_among_improving_ones_are_broken_and_not_regressed():
    flaky = {f"f{at}": [1, 0, 1, 0, 1] for at in range(30)}
    better = {f"f{at}": [1, 1, 1, 0, 1] for at in range(30)}
    baseline = of_values({"r": {"x": [1] * 5, "y": [1] * 5, **flaky}})
    candidate = of_values({"r": {"x": [0] * 5, "y": [0] * 5, **better}})
    report = decide(candidate, baseline, ON)
    (row,) = report.rows
    assert (report.exit, row.verdict, row.broken) == (1, "broken", ("x", "y"))
    assert "always passed now always fail: x, y" in row.reason
    assert [change.case for change in row.changes[:2]] == ["x", "y"]


def test_an_improvement_is_told_and_never_blocks():
    baseline, candidate = (of_values({"r": route(10, [v] * 3)}) for v in (0, 1))
    report = decide(candidate, baseline, ON)
    assert (report.exit, report.rows[0].verdict) == (0, "improved")
    assert report.rows[0].changes[0].difference == 1


@pytest.mark.parametrize("values", [[1, 1, 1], [0, 0, 0], [1, 0, 1], [0.4, 0.4, 0.4], [1]])
@pytest.mark.parametrize("cases", [1, 8])
def test_identical_runs_pass(values, cases):
    run = of_values({"r": route(cases, values)})
    report = decide(run, run, ON)
    assert (report.exit, report.rows[0].verdict) == (0, "ok")


def test_a_design_that_could_never_tell_is_inconclusive_and_says_what_it_takes():
    baseline, candidate = (of_values({"r": route(1, [v] * 3)}) for v in (1, 0))
    report = decide(candidate, baseline, GatePolicy(on=("task_completion",), alpha=0.01))
    (row,) = report.rows
    assert (report.exit, row.verdict) == (3, "inconclusive")
    assert row.detectable is None
    assert "at least 2 cases of 3 trials" in row.reason
    assert row.broken == ("case 0",)


def test_correction_over_routes_makes_the_same_drop_harder_to_prove():
    def gate(others):
        more = {f"o{at}": {f"o{at}-{n}": [1] * 3 for n in range(5)} for at in range(others)}
        baseline = of_values({"r": route(2, [1, 1, 1]), **more})
        candidate = of_values({"r": route(2, [0, 0, 0]), **more})
        return decide(candidate, baseline, ON)

    assert gate(0).exit == 1
    alone, among = gate(0).rows[0], gate(8).rows[0]
    assert among.p == alone.p
    assert among.p_adjusted == pytest.approx(9 * alone.p)
    assert gate(30).rows[0].verdict == "inconclusive"


def test_missing_cases_and_routes_fail_and_are_named():
    baseline = of_values({"r": route(10, [1, 1, 1]), "gone": {"g": [1, 1, 1]}})
    kept = {case: values for case, values in route(10, [1, 1, 1]).items() if case != "case 3"}
    report = decide(of_values({"r": kept}), baseline, ON)
    assert report.exit == 1
    assert verdicts(report) == {
        ("r", "task_completion"): "missing",
        ("gone", "task_completion"): "missing",
    }
    assert "1 case of the baseline not in this run: case 3" in report.rows[0].reason
    assert report.rows[0].changes[0].candidate_trials == 0
    assert report.rows[1].owners == ("gone team",)


def test_a_regression_beside_missing_cases_is_still_a_regression():
    baseline = of_values({"r": route(10, [1, 1, 1])})
    candidate = of_values({"r": route(9, [0, 0, 0])})
    (row,) = decide(candidate, baseline, ON).rows
    assert row.verdict == "regressed"
    assert "not in this run: case 9" in row.reason


def test_a_selection_is_judged_for_what_was_selected():
    baseline = of_values({"r": route(10, [1, 1, 1]), "s": {"g": [1, 1, 1]}})
    candidate = of_values({"r": route(10, [1, 1, 1])}, selection=Selection(routes=("r",)))
    report = decide(candidate, baseline, ON)
    assert (report.exit, verdicts(report)) == (0, {("r", "task_completion"): "ok"})
    assert any("only a selection was run: 1 case" in note for note in report.notes)
    lost = of_values({"r": route(9, [1, 1, 1])}, selection=Selection(routes=("r",)))
    assert decide(lost, baseline, ON).rows[0].verdict == "missing"


def test_infrastructure_failures_are_unmeasurable_and_never_a_regression():
    baseline = of_values({"r": route(20, [1, 1, 1])})
    candidate = of_values(
        {"r": route(16, [1, 1, 1]) | {f"case {n}": [None] * 3 for n in range(16, 20)}}
    )
    report = decide(candidate, baseline, ON)
    assert (report.exit, report.rows[0].verdict) == (3, "unmeasurable")
    assert "12 of 60 trials did not complete" in report.rows[0].reason
    lenient = GatePolicy(on=("task_completion",), max_infrastructure=0.5)
    assert decide(candidate, baseline, lenient).exit == 0


@pytest.mark.parametrize(
    ("lost", "lost_before", "exit_code"),
    [(0, 0, 0), (8, 6, 0), (4, 0, 0), (8, 0, 3), (0, 8, 3), (11, 8, 3), (8, 11, 3)],
)
def test_no_more_trials_may_be_lost_than_chance_explains(lost, lost_before, exit_code):
    def of(many):  # each lost trial is of another case
        cases = route(30, [1, 1, 1])
        return of_values({"r": dict(cases) | {name: [None, 1, 1] for name in list(cases)[:many]}})

    report = decide(of(lost), of(lost_before), ON)
    assert (report.exit, report.rows[0].verdict == "unmeasurable") == (exit_code, exit_code == 3)
    if exit_code:
        assert "did not complete" in report.rows[0].reason


@given(st.integers(1, 200), st.floats(0.01, 0.5), st.data())
def test_too_many_is_the_exact_binomial_test(trials, limit, data):
    lost = data.draw(st.integers(0, trials))
    found = too_many(lost, trials, limit)
    p = binomtest(lost, trials, limit, alternative="greater").pvalue
    assert found == (lost > limit * trials and p <= 0.01)


def test_trials_that_were_never_made_count_as_not_completed():
    baseline = of_values({"r": route(10, [1, 1, 1])})
    never = of_values({"r": route(9, [1, 1, 1]) | {"case 9": []}})
    assert decide(never, baseline, ON).rows[0].verdict == "unmeasurable"
    stopped = of_values({"r": route(10, [1, 1])}, status="interrupted")
    assert decide(stopped, baseline, ON).rows[0].verdict == "unmeasurable"
    fewer = of_values({"r": route(10, [1, 1])})
    assert decide(fewer, baseline, ON).exit == 0


@pytest.mark.parametrize("value", [None, float("nan"), math.inf, -1.0])
def test_what_was_not_judged_or_is_no_score_fails_closed(value):
    cases = [PlannedCase(f"c{at}", "r", "x") for at in range(5)]
    trials = [trial(case.id, number) for case in cases for number in range(3)]
    status = "could_not_judge" if value is None else "scored"
    good = [score(row["case"], row["trial"], "task_completion", 1.0) for row in trials]
    bad = [good[0] | {"value": value, "passed": True, "status": status}, *good[1:]]
    baseline, candidate = recorded(cases, trials, good), recorded(cases, trials, bad)
    report = decide(candidate, baseline, ON)
    assert (report.exit, report.rows[0].verdict) == (3, "unmeasurable")
    silent = decide(recorded(cases, trials, good[2:]), baseline, ON)
    assert (silent.exit, silent.rows[0].verdict) == (3, "unmeasurable")


def test_scores_that_vanished_are_unmeasurable_and_none_at_all_is_no_pass():
    cases = [PlannedCase(f"c{at}", "r", "x") for at in range(5)]
    trials = [trial(case.id, 0) for case in cases]
    scored = [score(case.id, 0, "task_completion", 1.0) for case in cases]
    baseline, candidate = recorded(cases, trials, scored), recorded(cases, trials, [])
    assert decide(candidate, baseline, ON).rows[0].verdict == "unmeasurable"
    assert decide(baseline, candidate, ON).exit == 3
    nothing = decide(candidate, candidate, ON)
    assert (nothing.exit, [row.verdict for row in nothing.rows]) == (3, ["unmeasurable"])
    assert "no trial has a score named task_completion" in nothing.rows[0].reason


def test_a_scorer_that_no_run_knows_is_an_input_error():
    run = of_values({"r": route(3, [1])})
    with pytest.raises(InputError, match=r"no run has scores of 'tone'.*stored: task_completion"):
        decide(run, run, GatePolicy(on=("tone",)))


def test_without_a_baseline_or_its_route_everything_is_new():
    run = of_values({"r": route(3, [1])})
    report = decide(run, None, ON)
    assert (report.exit, report.rows[0].verdict, report.baseline) == (0, "new", None)
    more = of_values({"r": route(3, [1]), "added": {"n": [0]}})
    report = decide(more, run, ON)
    assert (report.exit, verdicts(report)[("added", "task_completion")]) == (0, "new")


def by(scorers, *, on, routes=("r",)):
    """A run judged by these scorers, values by name, of a suite whose gate blocks on ``on``."""
    cases = [PlannedCase(f"{name}{at}", name, "x") for name in routes for at in range(6)]
    trials = [trial(case.id, number, case.route) for case in cases for number in range(3)]
    scores = [
        score(row["case"], row["trial"], name, value, row["route"])
        for row in trials
        for name, value in scorers.items()
    ]
    made = recorded(cases, trials, scores, scorers=tuple(scorers))
    suite = msgspec.structs.replace(made.run.suite, gate=on)
    return dataclasses.replace(made, run=msgspec.structs.replace(made.run, suite=suite))


def test_a_scorer_that_blocks_no_longer_is_told_with_what_became_of_it():
    both = GatePolicy(on=("g", "h"))
    before = by({"g": 1.0, "h": 1.0}, on=both, routes=("r", "s"))

    def told(scorers, policy):
        report = decide(by(scorers, on=policy, routes=("r", "s")), before, policy)
        assert report.exit == 0
        return [note for note in report.notes if "blocked in the baseline's suite" in note]

    assert told({"g": 1.0, "h": 1.0}, both) == []
    (gone,) = told({"h": 1.0}, GatePolicy(on=("h",)))
    assert gone.startswith("g blocked") and "has no scores of it" in gone and "r, s" in gone
    (idle,) = told({"g": 0.0, "h": 1.0}, GatePolicy(on=("h",)))
    assert "it has no say (routes r, s)" in idle
    (advises,) = told({"g": 0.0, "h": 1.0}, GatePolicy(on=("h",), advise=("g",)))
    assert "it advises" in advises
    (here,) = told({"g": 1.0, "h": 1.0}, GatePolicy(on=("g", "h"), routes={"s": OWN}))
    assert here.startswith("g blocked") and "(route s)" in here
    kept = by({"g": 1.0, "h": 1.0}, on=both, routes=("r", "s"))
    assert not any(
        "blocked in" in note for note in decide(kept, before, GatePolicy(on=("h",))).notes
    )


OWN = RoutePolicy(on=("h",))


def test_a_route_that_no_scorer_in_common_blocks_on_is_not_decided():
    before = by({"g": 1.0}, on=GatePolicy(on=("g",)))
    policy = GatePolicy(on=("h",))
    report = decide(by({"h": 1.0}, on=policy), before, policy)
    assert (report.exit, report.rows[0].verdict) == (3, "inconclusive")
    assert "evalkit score run" in report.rows[0].reason
    more = GatePolicy(on=("g", "h"))  # one more scorer is new, and the other is compared
    report = decide(by({"g": 1.0, "h": 1.0}, on=more), before, more)
    assert (report.exit, verdicts(report)["r", "h"]) == (0, "new")
    added = decide(by({"h": 1.0}, on=policy, routes=("r", "n")), before, policy)
    assert verdicts(added) == {("r", "h"): "inconclusive", ("n", "h"): "new"}


def test_changed_cases_are_not_compared():
    baseline = of_values({"r": route(6, [1, 1, 1])})
    candidate = of_values({"r": route(6, [0, 0, 0])})

    def edited(run, count):
        planned = [
            msgspec.structs.replace(case, digest="edited") if at < count else case
            for at, case in enumerate(run.run.planned)
        ]
        changed = msgspec.structs.replace(run.run, planned=tuple(planned), dataset_digest="e")
        return type(run)(changed, run.trials, run.scores)

    report = decide(edited(candidate, 2), baseline, ON)
    assert (report.rows[0].verdict, report.rows[0].cases) == ("regressed", 4)
    assert any(
        "changed since the baseline, not compared: case 0, case 1" in n for n in report.notes
    )
    assert decide(edited(candidate, 6), baseline, ON).rows[0].verdict == "inconclusive"


def test_notes_tell_what_else_differs():
    run = of_values({"r": route(3, [1])}, settings={"variant": "a"}, scopes={"openinference": "1"})
    later = of_values(
        {"r": route(3, [1])},
        settings={"variant": "b"},
        scopes={"openinference": "2"},
        stray_spans=4,
    )
    notes = " | ".join(decide(later, run, ON).notes)
    assert "the settings changed: variant a → b" in notes
    assert "the instrumentation changed: openinference 1 → 2" in notes
    assert "4 spans belong to no trial" in notes


def test_the_step_where_a_route_diverges_is_named_for_scorers_that_see_only_outcomes():
    def run(broken):
        cases = [PlannedCase(f"c{at}", "r", "x") for at in range(8)]
        trials = [trial(case.id, number) for case in cases for number in range(3)]
        gone = {"kind": "missing", "name": "retriever retrieve_policy", "expected": 1}
        noise = {"kind": "retry", "name": "tool search"}
        found = json.dumps([gone, noise] if broken else [noise])
        outcome = json.dumps([{"kind": "outcome", "name": "contains review"}] if broken else [])
        value = 0.0 if broken else 1.0
        scores = [
            score(row["case"], row["trial"], scorer, value, findings=text)
            for row in trials
            for scorer, text in (("task_completion", outcome), ("trajectory_match", found))
        ]
        scores[1]["findings"] = "{not findings"
        return recorded(cases, trials, scores)

    policy = GatePolicy(on=("task_completion", "trajectory_match"))
    for row in decide(run(True), run(False), policy).rows:
        (step,) = row.steps
        assert (step.kind, step.name, step.expected) == ("missing", "retriever retrieve_policy", 1)
        assert (step.baseline, step.candidate) == (0.0, pytest.approx(23 / 24))
        assert len(step.cases) == 8
    (row,) = decide(run(False), run(False), ON).rows
    assert row.steps == ()


def test_false_alarms_stay_below_alpha_and_a_large_drop_is_found():
    rng = np.random.default_rng(42)

    def run(drop):
        chances = {
            f"{name}{at}": p for name in "ab" for at, p in enumerate([0.97] * 12 + [0.5] * 6)
        }
        return of_values(
            {
                name: {
                    case: (rng.random(3) < p - drop).astype(float).tolist()
                    for case, p in chances.items()
                    if case.startswith(name)
                }
                for name in "ab"
            }
        )

    alarms = [decide(run(0), run(0), ON).exit for _ in range(60)]
    found = [decide(run(0.4), run(0), ON).exit for _ in range(20)]
    assert sum(code == 1 for code in alarms) <= 7
    assert sum(code == 1 for code in found) >= 18


def rewards(name, **chosen):
    if not SHARED.is_dir():
        pytest.skip("the recorded agent runs are not here")
    runs = tau(name, SHARED)
    return of_tau([run for run in runs if all(v in str(run[k]) for k, v in chosen.items())])


REWARD = GatePolicy(on=("reward",))
RETAIL = "tau2_retail114_gpt-4.1-mini_base_run0221b"


def test_one_model_against_itself_passes():
    if not SHARED.is_dir():
        pytest.skip("the recorded agent runs are not here")
    runs = tau("tau1_gpt-4o_airline_50x4", SHARED)
    halves = list(itertools.combinations(range(4), 2))
    single = [((a,), (b,)) for a, b in itertools.permutations(range(4), 2)]
    for before, after in [*((one, set(range(4)) - set(one)) for one in halves), *single]:
        baseline, candidate = (
            of_tau([run for run in runs if run["trial"] in arm]) for arm in (before, after)
        )
        report = decide(candidate, baseline, REWARD)
        assert (report.exit, report.rows[0].verdict) == (0, "ok")
    for first, second in (("base", "run0221b"), ("run0221b", "base")):
        report = decide(rewards(RETAIL, run=second), rewards(RETAIL, run=first), REWARD)
        assert (report.exit, report.rows[0].verdict) == (0, "ok")


def test_a_fine_tuned_model_that_is_no_worse_passes_and_so_does_the_reverse():
    name = "tau2_gpt-4.1_vs_ft_airline20_retail40"
    plain, tuned = rewards(name, run="tau2 gpt-4.1/"), rewards(name, run="tau2 ft-gpt-4.1/")
    for candidate, baseline in ((tuned, plain), (plain, tuned)):
        report = decide(candidate, baseline, REWARD)
        assert report.exit == 0
        assert {row.verdict for row in report.rows if row.blocking} == {"ok"}


def test_cases_that_never_ran_are_no_quality_regression():
    if not SHARED.is_dir():
        pytest.skip("the recorded agent runs are not here")
    runs = [run for run in tau(RETAIL, SHARED) if "base" in run["run"]]
    gone = {run["task_id"] for run in runs[:18]}
    never = [run | {"steps": [], "reward": 0.0} if run["task_id"] in gone else run for run in runs]
    report = decide(of_tau(never), of_tau(runs), REWARD)
    assert (report.exit, report.rows[0].verdict) == (3, "unmeasurable")


def test_a_weaker_model_regresses_and_a_stronger_one_improves():
    name = "tau2_airline50_sonnet45_gptoss120b"
    strong, weak = rewards(name, model="claude"), rewards(name, model="gpt-oss")
    worse, better = decide(weak, strong, REWARD), decide(strong, weak, REWARD)
    assert (worse.exit, worse.rows[0].verdict, len(worse.rows[0].broken)) == (1, "regressed", 18)
    assert worse.rows[0].p == pytest.approx(20 / 2**19)
    assert (better.exit, better.rows[0].verdict) == (0, "improved")


def test_runs_that_never_started_are_infrastructure_and_no_wrong_answers():
    name = "tau2_retail114_gpt-5-mini_base_vs_mermaid"
    plain, guided = rewards(name, run="base"), rewards(name, run="mermaid")
    report = decide(guided, plain, REWARD)
    assert (report.exit, report.rows[0].verdict, report.rows[0].cases) == (0, "ok", 111)
    assert any("baseline: 3 of 114 trials failed for infrastructure" in n for n in report.notes)


def test_a_run_against_itself_passes_and_says_what_that_is_worth():
    run = of_values({"r": route(8, [1, 0, 1])})
    report = decide(run, run, ON)
    assert report.exit == 0
    assert "this is one run compared with itself: no difference can show" in report.notes


def test_a_baseline_of_another_suite_is_told():
    run = of_values({"r": route(8, [1, 0, 1])})
    suite = msgspec.structs.replace(run.run.suite, name="another")
    other = dataclasses.replace(run, run=msgspec.structs.replace(run.run, id="x", suite=suite))
    assert f"the baseline is of suite another, this run of {run.run.suite.name}" in (
        decide(run, other, ON).notes
    )


def test_a_case_that_breaks_in_part_is_not_said_to_fail_always():
    cases = {f"f{at}": [1] * 5 for at in range(30)}

    def rerun(wanted):
        arms = ([], [])
        for case, trials in wanted.items():
            for arm, rows in enumerate(arms):
                for number in range(trials):
                    value = float(case != "f0" or arm == 0 or number % 3 == 0)
                    rows.append(Row("r", case, number, "task_completion", value, value == 1.0))
        return arms

    after = of_values({"r": {**cases, "f0": [0, 1, 0, 0, 1]}})
    (row,) = decide(after, of_values({"r": cases}), ON, rerun).rows
    assert (row.verdict, row.broken) == ("broken", ("f0",))
    assert row.reason.startswith("1 case passes less often than before: f0; mean fell")


def test_rows_about_efficiency_name_the_owners_too():
    slow = of_values({"r": route(12, [1, 1, 1])})
    fast = dataclasses.replace(slow, trials=with_latency(slow.trials, 1.0))
    slow = dataclasses.replace(slow, trials=with_latency(slow.trials, 2.0))
    row = next(row for row in decide(slow, fast, ON).rows if row.scorer == "latency_s")
    assert row.owners == ("r team",)


def with_latency(trials, seconds):
    at = trials.schema.get_field_index("latency_s")
    return trials.set_column(at, "latency_s", pa.array([seconds] * trials.num_rows))


def again(before, after, *, lost=lambda arm, case: False):
    """A re-run of both versions: a function from case and number to a value, for each arm."""

    def rerun(wanted):
        return tuple(
            [
                Row("r", case, number, "task_completion", value, value == 1)
                for case, trials in wanted.items()
                if not lost(arm, case)
                for number in range(trials)
                for value in [float(value_of(case, number))]
            ]
            for arm, value_of in enumerate((before, after))
        )

    return rerun


def always(_case, _number):
    return 1.0


def test_a_baseline_that_was_hardly_measured_passes_nothing():
    lost = {f"case {at}": [None] * 3 for at in range(1, 30)}
    baseline = of_values({"r": {"case 0": [1, 1, 1], **lost}})
    candidate = of_values({"r": {"case 0": [1, 1, 1], **route(30, [0, 0, 0])}})
    report = decide(candidate, baseline, ON)
    assert (report.exit, report.rows[0].verdict) == (3, "unmeasurable")
    assert "87 of the baseline's 90 trials did not complete" in report.rows[0].reason
    stopped = of_values(
        {"r": {"case 0": [1, 1, 1], **{case: [] for case in lost}}}, status="interrupted"
    )
    assert decide(candidate, stopped, ON).rows[0].verdict == "unmeasurable"


def test_a_few_cases_in_common_do_not_stand_for_a_route():
    baseline, candidate = of_values({"r": route(30, [1, 1, 1])}), of_values({"r": route(30, [0])})

    def same(count, run):
        planned = tuple(
            msgspec.structs.replace(case, digest="edited") if at >= count else case
            for at, case in enumerate(run.run.planned)
        )
        return dataclasses.replace(run, run=msgspec.structs.replace(run.run, planned=planned))

    report = decide(same(1, baseline), baseline, ON)
    assert (report.exit, report.rows[0].verdict) == (3, "inconclusive")
    assert "only 1 of 30 cases can be compared" in report.rows[0].reason
    most = decide(same(20, baseline), baseline, ON)
    assert (most.exit, most.rows[0].verdict) == (0, "ok")
    assert "over 20 of 30 cases" in most.rows[0].reason
    assert decide(same(10, candidate), baseline, ON).exit == 1


def lost_case(value):
    return of_values({"r": route(30, [1, 1, 1]) | {"case 3": [value] * 3}})


def test_a_case_that_never_completes_is_unmeasurable_unless_trying_it_again_measures_it():
    baseline, candidate = of_values({"r": route(30, [1, 1, 1])}), lost_case(None)
    report = decide(candidate, baseline, ON)
    assert (report.exit, report.rows[0].verdict) == (3, "unmeasurable")
    assert "has none now" in report.rows[0].reason and "case 3" in report.rows[0].reason
    raises = again(always, always, lost=lambda arm, case: arm == 1 and case == "case 3")
    row = decide(candidate, baseline, ON, raises).rows[0]
    assert row.verdict == "inconclusive" and "gave no score: case 3" in row.reason
    assert decide(candidate, baseline, ON, again(always, always)).exit == 0
    broken = again(always, lambda case, _: case != "case 3")
    row = decide(candidate, baseline, ON, broken).rows[0]
    assert (row.verdict, row.broken) == ("broken", ("case 3",))
    assert row.changes[0].case == "case 3"
    once, one = (
        of_values({"r": route(30, [1])}),
        of_values({"r": route(30, [1]) | {"case 3": [None]}}),
    )
    assert decide(one, once, ON).exit == decide(one, once, ON, again(always, always)).exit == 0
    assert decide(one, once, ON, raises).exit == 3


@pytest.mark.parametrize("worse", [0, 1])
def test_answers_that_leave_nothing_to_judge_do_not_leave_the_mean_in_silence(worse):
    cases = [PlannedCase(f"c{at}", "r", "x") for at in range(30)]
    trials = [trial(case.id, number) for case in cases for number in range(3)]

    def run(silent):
        scores = []
        for at, row in enumerate(trials):
            one = score(row["case"], row["trial"], "task_completion", 1.0)
            nothing = {"value": None, "passed": None, "status": "nothing_to_judge"}
            scores.append(one | nothing if at % 3 == 0 and at < silent else one)
        return recorded(cases, trials, scores)

    runs = [run(0), run(45)]
    report = decide(runs[1 - worse], runs[worse], ON)
    assert (report.exit, report.rows[0].verdict) == (3, "unmeasurable")
    assert "nothing to judge in" in report.rows[0].reason and "c9" in report.rows[0].reason
    assert decide(run(45), run(45), ON).exit == decide(run(6), run(0), ON).exit == 0


def test_cases_are_broken_by_fresh_trials_where_those_decide():
    before = route(20, [1, 1, 1]) | {"coin": [1, 1, 1]}
    after = route(20, [0, 0, 0]) | {"coin": [0, 0, 0]}
    rerun = again(
        lambda case, number: case != "coin" or number % 2, lambda case, n: case == "coin" and n % 2
    )
    (row,) = decide(of_values({"r": after}), of_values({"r": before}), ON, rerun).rows
    assert row.verdict == "regressed" and row.stored == (1.0, 0.0)
    assert "coin" not in row.broken
    assert -1 <= row.low < row.difference < row.high < 0


def test_what_re_runs_do_not_prove_is_told_of_the_stored_trials():
    flaky = {f"f{at}": [1, 0, 1] for at in range(20)}
    better = of_values({"r": route(20, [1, 1, 1]) | flaky})
    worse = of_values({"r": route(20, [0, 0, 0]) | flaky})
    rerun = again(always, always)
    (one,), (two,) = (decide(better, worse, ON, how).rows for how in (None, rerun))
    assert one.verdict == two.verdict == "improved"
    assert (one.low, one.high, one.detectable) == (two.low, two.high, two.detectable)
    (one,), (two,) = (decide(worse, better, ON, how).rows for how in (None, rerun))
    assert (two.verdict, two.baseline, two.candidate) == ("ok", one.baseline, one.candidate)
    assert (one.low, one.high) == (two.low, two.high) and two.detectable
    assert "not confirmed by" in two.reason and "40 cases: 1.00 → 1.00" in two.reason
    assert two.high < 0 and "p 1 of the trials made again)" in two.reason  # no contradiction
    assert "of the trials made again)" not in one.reason


def test_an_interval_excludes_no_change_where_the_test_does():
    cases = {f"c{at}": [1] * 5 for at in range(30)}
    after = of_values({"r": {**cases, "c0": [0] * 5}})
    (row,) = decide(after, of_values({"r": cases}), ON).rows
    assert row.verdict == "regressed" and row.p < 0.025
    assert row.high < 0
