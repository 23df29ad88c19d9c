"""Ratios of what a trial takes: told, robust, and without a say in the exit code."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.gating import decide
from evalkit.ranks import signed_rank, stratified_rank_sum
from evalkit.results import PlannedCase
from evalkit.suite import GatePolicy
from tests.recordings import recorded, score, tau, trial

SHARED = Path(__file__).parents[2] / "shared"
ON = GatePolicy(on=("task_completion",))


def run(seconds, **more):
    cases = [PlannedCase(f"c{at}", "r", "x") for at in range(len(seconds))]
    trials = [
        trial(f"c{at}", number, latency_s=float(second), **more)
        for at, listed in enumerate(seconds)
        for number, second in enumerate(listed)
    ]
    scores = [score(row["case"], row["trial"], "task_completion", 1.0) for row in trials]
    return recorded(cases, trials, scores)


def test_a_slower_route_is_named_and_does_not_block():
    rng = np.random.default_rng(1)
    before = rng.lognormal(0, 1, (20, 3))
    report = decide(run(before * 1.5), run(before), ON)
    quality, latency = report.rows
    assert (report.exit, quality.verdict) == (0, "ok")
    assert (latency.scorer, latency.verdict, latency.blocking) == ("latency_s", "regressed", False)
    assert "1.50 times the baseline's in the median over 20 cases" in latency.reason
    back = decide(run(before), run(before * 1.5), ON)
    assert [row.verdict for row in back.rows] == ["ok", "improved"]


def test_p_is_told_before_and_after_correction():
    rng = np.random.default_rng(4)
    before = rng.lognormal(0, 0.3, (12, 1))
    _, latency = decide(run(before * 1.3, tokens_in=7), run(before, tokens_in=7), ON).rows
    # latency and tokens are tested, and tokens rose less surely
    assert 0 < latency.p < latency.p_adjusted == pytest.approx(2 * latency.p)
    assert f"p adjusted {latency.p_adjusted:.2g}" in latency.reason


@pytest.mark.parametrize("counts", [(1, 5), (5, 1), (2, 3)])
def test_unequal_trials_are_no_news(counts):
    rng = np.random.default_rng(7)
    found = []
    for _ in range(25):
        # a retry takes ten times as many
        arms = [with_tokens(np.where(rng.random((60, n)) < 0.2, 10_000, 1_000)) for n in counts]
        found += [row for row in decide(arms[1], arms[0], ON).rows if row.scorer == "tokens"]
    assert len(found) <= 2


def test_a_rise_by_just_the_margin_is_no_news_where_few_values_are_seen():
    rng = np.random.default_rng(11)
    found = []
    for _ in range(25):
        before, after = rng.choice([1_000, 10_000], (2, 60, 1), p=[0.8, 0.2])
        found += decide(with_tokens(after * 11 // 10), with_tokens(before), ON).rows[1:]
    assert len(found) <= 3


def test_a_rise_is_seen_with_unequal_trials_and_all_numbers_say_so():
    rng = np.random.default_rng(8)
    before, after = (rng.integers(800, 1200, (20, n)) for n in (2, 5))
    after = after * 2
    _, tokens = decide(with_tokens(after), with_tokens(before), ON).rows
    assert (tokens.verdict, tokens.baseline) == ("regressed", pytest.approx(before.mean()))
    assert tokens.candidate == pytest.approx(after.mean())
    ratios = [b / a for was, now in zip(before, after, strict=True) for a in was for b in now]
    said = f"{np.median(ratios):.2f} times the baseline's in the median over 20 cases, 200 pairs"
    assert said in tokens.reason


def test_a_mean_that_goes_the_other_way_is_told():
    before, after = np.full((20, 3), 1_000), np.full((20, 3), 1_500)
    before[0] = 100_000
    _, tokens = decide(with_tokens(after), with_tokens(before), ON).rows
    assert (tokens.verdict, tokens.baseline > tokens.candidate) == ("regressed", True)
    assert "1.50 times" in tokens.reason and "let the mean fall" in tokens.reason


def test_several_trials_of_few_cases_can_tell():
    before, after = run([[1.0] * 3] * 3, tokens_in=10), run([[1.0] * 3] * 3, tokens_in=15)
    _, tokens = decide(after, before, ON).rows
    assert (tokens.verdict, tokens.p) == ("regressed", pytest.approx(20.0**-3))
    one = decide(run([[1.0] * 3], tokens_in=15), run([[1.0] * 3], tokens_in=10), ON)
    assert any("rose in each case" in note and "it takes 2 cases" in note for note in one.notes)


def test_noise_outliers_and_small_changes_are_no_news():
    rng = np.random.default_rng(2)
    before = rng.lognormal(0, 1, (20, 3))
    for after in (before, before * 1.04, rng.permuted(before, axis=1)):
        assert len(decide(run(after), run(before), ON).rows) == 1
    hung = before.copy()
    hung[0] *= 1000
    assert len(decide(run(hung), run(before), ON).rows) == 1


def test_what_is_not_known_and_a_latency_of_zero_are_not_compared():
    before = run([[0.0]] * 20)
    assert len(decide(run([[5.0]] * 20, tokens_in=9), before, ON).rows) == 1


def test_from_nothing_to_something_is_a_rise():
    before, after = run([[1.0]] * 20, tokens_in=0), run([[1.0]] * 20, tokens_in=2000)
    _, tokens = decide(after, before, ON).rows
    assert (tokens.scorer, tokens.verdict, tokens.candidate) == ("tokens", "regressed", 2000)
    assert "tokens rose: from 0 in the median over 20 cases" in tokens.reason
    _, tokens = decide(before, after, ON).rows
    assert (tokens.verdict, tokens.baseline, tokens.candidate) == ("improved", 2000, 0)
    assert len(decide(before, before, ON).rows) == 1
    # Trials of one case may take none by chance, as from a cache: their mean counts.
    rng = np.random.default_rng(5)
    cached = [with_tokens(rng.integers(0, 2, (20, 3)) * 100) for _ in range(2)]
    assert len(decide(*cached, ON).rows) == 1


def with_tokens(tokens):
    listed = [[1.0] * len(row) for row in tokens]
    made = run(listed, tokens_in=0)
    place = made.trials.schema.get_field_index("tokens_in")
    column = pa.array([int(one) for row in tokens for one in row], pa.int64())
    return dataclasses.replace(made, trials=made.trials.set_column(place, "tokens_in", column))


def test_a_rise_in_each_of_too_few_cases_is_told():
    before, after = run([[1.0]] * 4, tokens_in=10), run([[1.0]] * 4, tokens_in=100)
    report = decide(after, before, ON)
    assert len(report.rows) == 1
    (note,) = [note for note in report.notes if "too few" in note]
    assert "tokens rose in each case: 10.00 times" in note and "it takes 6 cases" in note
    assert not any("too few" in note for note in decide(before, before, ON).notes)
    mixed = with_tokens(np.array([[100], [100], [100], [10]]))
    few = with_tokens(np.array([[10]] * 4))
    assert not any("too few" in note for note in decide(mixed, few, ON).notes)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=12))
def test_signed_rank_is_the_exact_distribution_over_all_signs(differences):
    from itertools import product

    from scipy.stats import rankdata

    known = np.array([value for value in differences if value])
    if not len(known):
        assert signed_rank(differences) == 1
        return
    ranks = rankdata(np.abs(known))
    seen = ranks[known > 0].sum()
    sums = [np.dot(signs, ranks) for signs in product((0, 1), repeat=len(known))]
    assert signed_rank(differences) == pytest.approx(np.mean([s >= seen - 1e-9 for s in sums]))


def test_signed_rank_agrees_with_scipy_on_many_differences():
    from scipy.stats import wilcoxon

    differences = np.random.default_rng(3).normal(0.2, 1, 120)
    theirs = wilcoxon(differences, alternative="greater", method="approx", correction=True).pvalue
    assert signed_rank(differences) == pytest.approx(theirs, rel=0.05)


@pytest.mark.parametrize("cases", [101, 111, 300, 5000])
def test_signed_rank_of_many_is_small_and_never_below_the_least_that_it_can_be(cases):
    from scipy.stats import norm

    for differences in (np.arange(1.0, cases + 1), np.full(cases, 1.0)):
        found = signed_rank(differences)
        assert max(2.0**-cases, 1e-308) <= found < 1e-15
    ranks = np.arange(1.0, cases + 1)
    expected = norm.sf((ranks.sum() / 2 - 0.5) / (np.sqrt(np.sum(ranks**2)) / 2))
    assert signed_rank(ranks) == pytest.approx(expected, rel=1e-6, abs=1e-300)


few_values = st.lists(st.integers(0, 3), min_size=1, max_size=3)


def table(rows):
    found = np.full((len(rows), max(map(len, rows))), np.nan)
    for at, row in enumerate(rows):
        found[at, : len(row)] = row
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(few_values, few_values), min_size=1, max_size=3))
def test_rank_sums_have_the_distribution_over_all_ways_to_deal(cases):
    from itertools import combinations, product

    def wins(first, second):
        return sum(float(b > a) + 0.5 * (b == a) for a in first for b in second)

    dealt = []
    for first, second in cases:
        pooled = [*first, *second]
        ways = [set(way) for way in combinations(range(len(pooled)), len(second))]
        dealt.append(
            [
                wins(
                    [one for at, one in enumerate(pooled) if at not in way],
                    [one for at, one in enumerate(pooled) if at in way],
                )
                for way in ways
            ]
        )
    seen = sum(wins(*case) for case in cases)
    sums = np.array([sum(way) for way in product(*dealt)])
    found = stratified_rank_sum(*(table(side) for side in zip(*cases, strict=True)))
    if seen * 2 > sum(len(first) * len(second) for first, second in cases):
        assert found == pytest.approx(np.mean(sums >= seen))
    else:
        assert found == 1


@pytest.mark.parametrize(
    ("trials", "values", "more"), [((5, 5), 10_000, 1_200), ((5, 1), 2, 0.4), ((2, 3), 4, 0.9)]
)
def test_rank_sums_of_many_trials_agree_with_drawn_ones(trials, values, more):
    rng = np.random.default_rng(9)
    first, second = (rng.integers(0, values, (300, n)).astype(float) for n in trials)
    second += np.where(rng.random(second.shape) < 0.25, round(more), 0)
    pooled = np.concatenate((first, second), axis=1)

    def wins(dealt):
        split = dealt[:, :, None, : trials[0]], dealt[:, :, trials[0] :, None]
        return (split[1] > split[0]).sum((1, 2, 3)) + (split[1] >= split[0]).sum((1, 2, 3))

    seen = wins(pooled[None])[0]
    drawn = np.concatenate(
        [wins(rng.permuted(np.tile(pooled, (100, 1, 1)), axis=2)) for _ in range(40)]
    )
    share = np.mean(drawn >= seen)
    assert 0.001 < share < 0.5
    error = np.sqrt(share * (1 - share) / len(drawn))
    assert stratified_rank_sum(first, second) == pytest.approx(share, abs=4 * error)


def test_rank_sums_of_one_case_are_mann_and_whitneys():
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(10)
    for trials in ((8, 6), (40, 40)):  # counted, and approximated
        first, second = rng.random(trials[0]), rng.random(trials[1]) + 0.1
        theirs = mannwhitneyu(second, first, alternative="greater", method="exact").pvalue
        assert stratified_rank_sum(first[None], second[None]) == pytest.approx(theirs, rel=0.02)
    far = np.ones((400, 5))
    assert 0 < stratified_rank_sum(far, far + 1) < 1e-200


def agents(name, **chosen):
    if not SHARED.is_dir():
        pytest.skip("the recorded agent runs are not here")
    found = [run for run in tau(name, SHARED) if all(v in str(run[k]) for k, v in chosen.items())]
    cases, trials, scores = {}, [], []
    for one in found:
        case, route = f"{one['domain']}-{one['task_id']}", one["domain"]
        cases[case] = PlannedCase(case, route, case)
        done = bool(one["steps"])
        took = {"latency_s": one["duration_s"], "tokens_in": len(one["steps"]) or None}
        status = "completed" if done else "crashed"
        trials.append(trial(case, one["trial"], route, status=status, **took))
        if done:
            passed = float(one["reward"] == 1)
            scores.append(score(case, one["trial"], "task_completion", passed, route))
    return recorded(cases.values(), trials, scores, planned_trials=1)


@pytest.mark.slow
def test_a_longer_prompt_keeps_quality_and_takes_more():
    name = "tau2_retail114_gpt-5-mini_base_vs_mermaid"
    report = decide(agents(name, run="mermaid"), agents(name, run="base"), ON)
    verdicts = {row.scorer: row.verdict for row in report.rows}
    assert (report.exit, verdicts["task_completion"]) == (0, "ok")
    assert "regressed" in (verdicts.get("latency_s"), verdicts.get("tokens"))


@pytest.mark.slow
def test_a_fine_tuned_model_passes_and_the_reverse_does_not_fail_retail():
    name = "tau2_gpt-4.1_vs_ft_airline20_retail40"
    plain, tuned = agents(name, run="tau2 gpt-4.1/"), agents(name, run="tau2 ft-gpt-4.1/")
    assert decide(tuned, plain, ON).exit == 0
    back = {row.route: row for row in decide(plain, tuned, ON).rows if row.blocking}
    assert back["retail"].verdict == "ok"


@pytest.mark.slow
def test_cases_that_never_ran_are_no_quality_regression():
    name = "tau2_retail114_gpt-4.1-mini_base_run0221b"
    base = agents(name, run="base")
    some = {case.id for case in base.run.planned[:18]}
    kept = [dict(row) for row in base.trials.to_pylist()]
    for row in kept:
        row["status"] = "crashed" if row["case"] in some else row["status"]
    scores = [row for row in base.scores.to_pylist() if row["case"] not in some]
    never = recorded(base.run.planned, kept, scores, planned_trials=1)
    report = decide(never, base, ON)
    assert (report.exit, report.rows[0].verdict) == (3, "unmeasurable")
