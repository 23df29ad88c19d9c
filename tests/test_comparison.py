"""Stored runs as numbers per route, case and pair of runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.comparison import paired, summarize, summarize_cases
from evalkit.results import PlannedCase
from tests.recordings import of_tau, of_values, recorded, score, tau, trial

SHARED = Path(__file__).parents[2] / "shared"


def small():
    cases = [
        PlannedCase("b1", "beta", "x", owner="ann", tags=("happy",)),
        PlannedCase("a1", "alpha", "x"),
        PlannedCase("a2", "alpha", "x"),
    ]
    trials = [
        trial("b1", 0, "beta", latency_s=1.0, tokens_in=10, tokens_out=5, cost_usd=0.5),
        trial("b1", 1, "beta", latency_s=3.0, tokens_in=20, tokens_out=None),
        trial("b1", 2, "beta", status="timeout", error="no answer in 30 s", latency_s=30.0),
        trial("a1", 0, "alpha"),
        trial("a2", 0, "alpha", status="crashed", error="exit 3"),
        trial("ghost", 0, "alpha"),
    ]
    scores = [
        score("b1", 0, "task_completion", 1.0, "beta"),
        score("b1", 1, "task_completion", 0.5, "beta", reason="half is missing"),
        score("b1", 0, "trajectory_match", None, "beta", status="could_not_judge", reason="boom"),
        score("b1", 1, "trajectory_match", 1.0, "beta"),
        score("a1", 0, "task_completion", 1.0, "alpha"),
        score("a1", 0, "trajectory_match", None, "alpha", status="nothing_to_judge", reason="no"),
        score("ghost", 0, "task_completion", 0.0, "alpha"),
    ]
    return recorded(cases, trials, scores)


def test_routes_are_summarised_in_the_order_of_the_plan():
    beta, alpha = summarize(small())
    assert (beta.route, alpha.route) == ("beta", "alpha")
    assert (beta.cases, beta.trials, beta.infrastructure) == (1, 3, 1)
    assert (beta.latency_p50, beta.tokens, beta.cost_usd) == (2.0, 17.5, 0.5)
    assert beta.latency_p99 == pytest.approx(2.98)
    completion, match = beta.scorers
    assert completion.estimate.mean == 0.75
    assert completion.pass_hat == {1: 0.5, 2: 0.0}
    assert (match.scored, match.not_judged, match.pass_hat) == (1, 1, {1: 1.0})
    assert [found.scorer for found in alpha.scorers] == ["task_completion"]
    assert alpha.scorers[0].scored == 1
    assert (alpha.latency_p50, alpha.tokens, alpha.cost_usd) == (None, None, None)


def test_cases_tell_their_worst_trial():
    first, second, third = summarize_cases(small())
    assert (first.case, first.owner, first.tags) == ("b1", "ann", ("happy",))
    assert (first.trials, first.infrastructure) == (3, {"timeout": 1})
    assert (first.error, first.latency_s) == ("no answer in 30 s", 2.0)
    completion, match = first.scores
    assert (completion.mean, completion.passed, completion.scored) == (0.75, 1, 2)
    assert completion.reason == "half is missing"
    assert (match.mean, match.reason) == (1.0, "boom")
    assert second.scores[1].mean is None
    assert second.scores[1].reason == "no"
    assert (third.infrastructure, third.error, third.scores) == ({"crashed": 1}, "exit 3", ())


def test_a_value_that_is_no_number_counts_as_not_judged():
    run = of_values({"r": {"a": [1.0, float("nan"), 2.0]}})
    (found,) = summarize(run)[0].scorers
    assert (found.scored, found.not_judged, found.estimate.mean) == (1, 2, 1.0)


def test_pass_hat_reaches_as_far_as_half_of_the_cases():
    run = of_values({"r": {"a": [1, 1, 0], "b": [1, 1, 1], "c": [1, None, None]}})
    (found,) = summarize(run)[0].scorers
    assert found.pass_hat == pytest.approx({1: (2 / 3 + 1 + 1) / 3, 2: (1 / 3 + 1) / 2, 3: 0.5})


def test_runs_are_paired_by_case_where_the_case_is_the_same():
    baseline = of_values({"r": {"a": [1, 1], "b": [1, 0], "old": [1], "lost": [1]}})
    candidate = of_values({"r": {"new": [1], "b": [0], "a": [1, 0], "lost": [None]}})
    found = paired(candidate, baseline, "r", "task_completion")
    assert found.cases == ("b", "a")
    assert found.differences.tolist() == [-0.5, -0.5]
    assert found.trials == 7
    assert paired(candidate, baseline, "r", "nobody").cases == ()
    assert paired(candidate, baseline, "nowhere", "task_completion").cases == ()


def test_an_empty_run_has_no_routes():
    assert summarize(recorded([], [], [])) == ()
    assert summarize_cases(recorded([], [], [])) == ()


def test_tau_bench_gives_its_published_pass_hat():
    if not SHARED.is_dir():
        pytest.skip("the recorded agent runs are not here")
    run = of_tau(tau("tau1_gpt-4o_airline_50x4", SHARED))
    (found,) = summarize(run)[0].scorers
    assert found.pass_hat == pytest.approx({1: 0.42, 2: 0.273, 3: 0.22, 4: 0.2}, abs=5e-4)
