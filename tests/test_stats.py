"""Intervals, corrections and pass^k."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.stats import (
    detectable,
    holm,
    mean_interval,
    paired_interval,
    pass_at,
    pass_hat,
    percentile,
    trial_interval,
)

shares = st.floats(0, 1)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([]) == ()
    assert holm([0.02, float("nan")]) == pytest.approx((0.04, 1.0))


@settings(deadline=None)
@given(st.lists(shares, max_size=8))
def test_holm_is_between_the_raw_p_and_bonferroni_and_keeps_the_order(ps):
    adjusted = holm(ps)
    for p, corrected in zip(ps, adjusted, strict=True):
        assert p <= corrected <= min(1, len(ps) * p) + 1e-12
    ranked = [corrected for _, corrected in sorted(zip(ps, adjusted, strict=True))]
    assert ranked == sorted(ranked)


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=6), st.data())
def test_pass_hat_and_pass_at_count_draws_without_replacement(trials, data):
    k = data.draw(st.integers(1, len(trials)))
    draws = list(itertools.combinations(trials, k))
    count = sum(trials)
    assert pass_hat(count, len(trials), k) == pytest.approx(np.mean([all(d) for d in draws]))
    assert pass_at(count, len(trials), k) == pytest.approx(np.mean([any(d) for d in draws]))


def test_pass_hat_beyond_the_trials_is_refused():
    with pytest.raises(ValueError, match=r"pass\^4 needs at least 4 trials"):
        pass_hat([3, 4], [3, 4], 4)
    with pytest.raises(ValueError, match=r"pass\^0"):
        pass_hat(1, 1, 0)


@settings(deadline=None)
@given(st.lists(shares, min_size=2, max_size=40))
def test_mean_interval_holds_the_mean_and_never_collapses(means):
    found = mean_interval(means)
    assert found is not None
    assert 0 <= found.low <= found.mean + 1e-12
    assert found.mean - 1e-12 <= found.high <= 1
    assert found.high - found.low > 0.01


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=40))
def test_paired_interval_holds_the_difference_never_collapses_and_mirrors(differences):
    found = paired_interval(differences)
    mirror = paired_interval([-value for value in differences])
    assert found is not None
    assert mirror is not None
    assert -1 <= found.low <= found.mean + 1e-12
    assert found.mean - 1e-12 <= found.high <= 1
    assert found.high - found.low > 0.01
    assert (mirror.low, mirror.high) == pytest.approx((-found.high, -found.low))


def test_one_case_says_nothing_and_none_says_none():
    assert mean_interval([0.7]) == (0.7, 0.0, 1.0)
    assert paired_interval([0.0]) == (0.0, -1.0, 1.0)
    assert mean_interval([]) is None
    assert paired_interval([]) is None


@pytest.mark.parametrize("cases", [5, 12, 60])
@pytest.mark.parametrize("mix", [[(0.99, 1.0)], [(0.98, 0.6), (0.6, 0.25), (0.05, 0.15)]])
def test_intervals_cover_what_they_should(cases, mix):
    rng = np.random.default_rng(cases)
    levels, weights = zip(*mix, strict=True)
    truth = float(np.dot(levels, weights))
    held = []
    for _ in range(800):
        chances = rng.choice(levels, size=cases, p=weights)
        before, after = rng.binomial(3, chances) / 3, rng.binomial(3, chances * 0.8) / 3
        mean, change = mean_interval(before), paired_interval(after - before)
        held.append((mean.low <= truth <= mean.high, change.low <= -0.2 * truth <= change.high))
    assert np.mean(held, axis=0) == pytest.approx(1, abs=0.09)


def test_percentile():
    assert percentile([3.0, 1.0, 2.0], 50) == 2
    assert percentile([], 99) is None


def test_detectable_shrinks_with_cases_and_says_when_nothing_could_be():
    def design(cases, trials):
        flaky = [[1.0] + [0.0] * (trials - 1)] * cases
        return detectable(flaky, flaky, 0.05)

    assert design(120, 3) < design(30, 3) < design(12, 3)
    assert detectable([[1.0]], [[1.0]], 0.05) is None


def test_detectable_is_no_less_than_what_the_test_can_reach():
    sure = [[1.0] * 3] * 4
    # three flips of three against three trials: 1/8000 <= 0.001 < 1/400
    assert detectable(sure, sure, 0.001) >= 3 / 4


@pytest.mark.parametrize("levels", [[0.6], [0.98, 0.98, 0.98, 0.6, 0.05], [1.0]])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 8])
def test_detectable_is_seen_about_four_times_in_five(levels, alpha):
    from evalkit.permutation import permutation_drop

    rng = np.random.default_rng(9)
    seen = []

    def trials(chances):
        return (rng.random((40, 3)) < chances[:, None]).astype(float).tolist()

    for _ in range(150):
        chances = rng.choice(levels, 40)
        drop = detectable(trials(chances), trials(chances), alpha)
        worse = chances * (1 - drop / chances.mean())
        seen.append(permutation_drop(trials(chances), trials(worse)).p <= alpha)
    assert 0.72 <= np.mean(seen) <= 0.97


def test_all_perfect_cases_are_bounded_by_clopper_and_pearson():
    from scipy.stats import binomtest

    for cases in (2, 3, 10):
        exact = binomtest(cases, cases).proportion_ci()
        assert mean_interval([1.0] * cases).low >= exact.low
        assert mean_interval([0.0] * cases).high <= 1 - exact.low


def test_the_interval_of_a_difference_agrees_with_the_test_beside_it():
    gone = trial_interval([[1.0] * 3] * 3, [[0.0] * 3] * 3, p=20.0**-3)
    assert (gone.mean, gone.low) == (-1.0, -1.0)
    assert gone.high < -0.5
    one = trial_interval([[1.0] * 3] * 3, [[1.0] * 3, [1.0] * 3, [1.0, 1.0, 0.0]], p=0.5)
    assert one.low < one.mean < 0 <= one.high
    assert trial_interval([[1.0]], [[0.0]], p=0.5).high >= 0


@settings(deadline=None)
@given(st.lists(st.lists(shares, min_size=1, max_size=4), min_size=1, max_size=12), st.data())
def test_trial_interval_holds_the_difference_and_mirrors(before, data):
    after = [data.draw(st.lists(shares, min_size=1, max_size=4)) for _ in before]
    found, mirror = trial_interval(before, after), trial_interval(after, before)
    assert -1 <= found.low <= found.mean + 1e-12
    assert found.mean - 1e-12 <= found.high <= 1
    assert (mirror.low, mirror.high) == pytest.approx((-found.high, -found.low))


@pytest.mark.parametrize("mix", [[(0.99, 1.0)], [(0.98, 0.6), (0.6, 0.25), (0.05, 0.15)]])
def test_trial_intervals_cover_the_change_of_these_cases(mix):
    rng = np.random.default_rng(4)
    levels, weights = zip(*mix, strict=True)
    held = []
    for _ in range(300):
        chances = rng.choice(levels, size=12, p=weights)
        arms = [(rng.random((12, 3)) < c[:, None]).astype(float) for c in (chances, chances * 0.8)]
        found = trial_interval(arms[0].tolist(), arms[1].tolist())
        held.append(found.low <= -0.2 * chances.mean() <= found.high)
    assert np.mean(held) >= 0.92
