"""The tests for a drop, against brute force and the tests that statisticians already have."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.permutation import (
    attainable_p,
    broken_cases,
    drop_test,
    fewer_passes,
    mean_drop,
    passes_drop,
    permutation_drop,
)
from evalkit.ranks import signed_rank


def brute(baseline, candidate, flips=False):
    """All splits of all cases: the drop of each and how many cases flip fully."""
    per_case = []
    for before, after in zip(baseline, candidate, strict=True):
        pooled = [*before, *after]
        splits = []
        for dealt in itertools.combinations(range(len(pooled)), len(after)):
            now = [pooled[at] for at in dealt]
            was = [pooled[at] for at in range(len(pooled)) if at not in dealt]
            splits.append((np.mean(now) - np.mean(was), min(was) == 1 and max(now) == 0))
        per_case.append(splits)
    combined = list(itertools.product(*per_case))
    drops = np.array([sum(split[0] for split in splits) for splits in combined])
    flipped = np.array([sum(split[1] for split in splits) for splits in combined])
    return drops, flipped


def observed(baseline, candidate):
    drop = sum(np.mean(b) - np.mean(a) for a, b in zip(baseline, candidate, strict=True))
    return drop, sum(all(a) and not any(b) for a, b in zip(baseline, candidate, strict=True))


def arms(values, cases=4, trials=3):
    trials = st.lists(values, min_size=1, max_size=trials)
    return st.lists(st.tuples(trials, trials), min_size=1, max_size=cases).map(
        lambda cases: ([list(a) for a, _ in cases], [list(b) for _, b in cases])
    )


binary = st.sampled_from([0.0, 1.0])
graded = st.sampled_from([0.0, 1 / 3, 0.5, 2 / 3, 0.75, 1.0])
anything = st.floats(0, 1).map(lambda value: round(value, 6))  # or equal: no near ties


@settings(max_examples=60, deadline=None)
@given(arms(binary, 3) | arms(graded, 3) | arms(anything, 3))
def test_p_is_the_share_of_splits_with_at_least_this_drop(both):
    baseline, candidate = both
    found = permutation_drop(baseline, candidate)
    drops, _ = brute(baseline, candidate)
    here, _ = observed(baseline, candidate)
    tied = np.abs(drops - here) <= 1e-8
    assert found.exact
    assert found.standard_error == 0
    assert found.p == pytest.approx(np.mean((drops < here) | tied), abs=1e-9)
    assert found.p_rise == pytest.approx(np.mean((drops > here) | tied), abs=1e-9)
    assert found.mid_p == pytest.approx(found.p - np.mean(tied) / 2, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(arms(binary, cases=3), st.integers(0, 1))
def test_joint_p_is_the_null_distribution_of_the_smaller_part(both, extra):
    baseline = both[0] + [[1.0, 1.0]] * extra
    candidate = both[1] + [[0.0, 0.0]] * extra
    found = drop_test(baseline, candidate, baseline, candidate)
    drops, flips = brute(baseline, candidate)
    drops = drops.round(9)
    # P(drop at most d) and P(at least f flips), of every split by its rank
    linear = np.searchsorted(np.sort(drops), drops, side="right") / len(drops)
    sparse = 1 - np.searchsorted(np.sort(flips), flips, side="left") / len(flips)
    smaller = min(found.linear.p, found.sparse)
    if smaller <= 0.25:
        assert found.p == pytest.approx(np.mean(np.minimum(linear, sparse) <= smaller + 1e-9))
    assert smaller <= found.p <= min(1.0, 2 * smaller) + 1e-12


@settings(max_examples=60, deadline=None)
@given(arms(graded) | arms(anything), st.randoms(use_true_random=False))
def test_order_of_cases_and_trials_does_not_matter(both, random):
    baseline, candidate = both
    order = random.sample(range(len(baseline)), len(baseline))
    shuffled = [
        [random.sample(arm[at], len(arm[at])) for at in order] for arm in (baseline, candidate)
    ]
    before = permutation_drop(baseline, candidate)
    after = permutation_drop(*shuffled)
    assert after.p == pytest.approx(before.p, abs=1e-9)
    assert 0 < after.p <= 1


@settings(max_examples=60, deadline=None)
@given(arms(binary))
def test_passes_by_their_number_are_tested_like_passes_one_by_one(both):
    counts = [np.array([of(arm) for arm in side]) for side in both for of in (sum, len)]
    alike = permutation_drop(*both)
    assert passes_drop(*(one.astype(int) for one in counts)) == pytest.approx(alike)


@settings(deadline=None)
@given(st.lists(st.lists(graded, min_size=1, max_size=4), min_size=1, max_size=6))
def test_identical_data_are_no_drop(scores):
    passed = [[float(value == 1) for value in case] for case in scores]
    assert permutation_drop(scores, scores).p >= 0.5
    assert drop_test(scores, scores, passed, passed).p >= 0.5


@pytest.mark.parametrize(("broke", "fixed"), [(18, 1), (3, 1), (4, 4), (1, 0), (2, 6), (0, 3)])
def test_one_trial_a_case_is_exact_mcnemar(broke, fixed):
    from scipy.stats import binomtest

    baseline = [[0.0]] * fixed + [[1.0]] * (broke + 31)
    candidate = [[1.0]] * fixed + [[0.0]] * broke + [[1.0]] * 31
    expected = binomtest(broke, broke + fixed, alternative="greater").pvalue
    assert permutation_drop(baseline, candidate).p == pytest.approx(expected)
    assert drop_test(baseline, candidate, baseline, candidate).p == pytest.approx(expected)


def test_one_case_is_fisher_and_hypergeometric():
    from scipy.stats import fisher_exact, hypergeom

    baseline, candidate = [1.0] * 8 + [0.0] * 2, [1.0] * 3 + [0.0] * 6
    found = permutation_drop([baseline], [candidate])
    table = [[3, 6], [8, 2]]
    assert found.p == pytest.approx(fisher_exact(table, alternative="less").pvalue)
    assert found.p == pytest.approx(hypergeom(19, 11, 9).cdf(3))


def test_one_case_of_continuous_scores_is_scipys_permutation_test():
    from scipy.stats import permutation_test

    rng = np.random.default_rng(3)
    baseline, candidate = rng.random(5).tolist(), (rng.random(5) * 0.7).tolist()
    theirs = permutation_test(
        (candidate, baseline), lambda a, b: np.mean(a) - np.mean(b), alternative="less"
    )
    assert permutation_drop([baseline], [candidate]).p == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize("steps", [1, 2, 1000])
def test_one_trial_of_several_cases_is_scipys_permutation_test_of_pairs(steps):
    from scipy.stats import permutation_test

    rng = np.random.default_rng(13)
    baseline, candidate = rng.integers(0, steps + 1, (2, 9)) / steps
    theirs = permutation_test(
        (candidate, baseline),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        alternative="less",
        vectorized=True,
    )
    ours = permutation_drop(baseline[:, None].tolist(), candidate[:, None].tolist())
    assert ours.exact
    assert ours.p == pytest.approx(theirs.pvalue)


# Ways to deal few enough to list, and too many; two different scores, and three.
@pytest.mark.parametrize(("trials", "steps"), [(4, 1), (8, 1), (4, 2)])
def test_drawn_splits_agree_with_counted_ones_and_repeat(trials, steps):
    rng = np.random.default_rng(5)
    chances = rng.beta(4, 1, 40)
    baseline = [(rng.binomial(steps, chance, trials) / steps).tolist() for chance in chances]
    lower = np.maximum(0, chances - 0.05)
    candidate = [(rng.binomial(steps, chance, trials) / steps).tolist() for chance in lower]
    counted = permutation_drop(baseline, candidate)
    # irrational scores, in the same order of drops: no grid, too many splits to count
    scale = math.sqrt(0.5)
    drawn = permutation_drop(
        [[value * scale for value in case] for case in baseline],
        [[value * scale for value in case] for case in candidate],
    )
    assert counted.exact
    assert not drawn.exact
    assert drawn.standard_error > 0
    assert abs(drawn.p - counted.p) < 5 * drawn.standard_error
    assert drawn == permutation_drop(
        [[value * scale for value in case] for case in reversed(baseline)],
        [[value * scale for value in case] for case in reversed(candidate)],
    )


def test_many_trials_of_many_scores_are_dealt_as_shuffling_does():
    rng = np.random.default_rng(6)
    both = rng.random((12, 16))
    both[:, 8:] -= 0.07  # too many ways to deal to list them
    found = permutation_drop(both[:, :8].tolist(), both[:, 8:].tolist())
    dealt = rng.permuted(np.tile(both, (4_000, 1, 1)), axis=2)
    means = dealt[:, :, 8:].mean(axis=(1, 2)) - dealt[:, :, :8].mean(axis=(1, 2))
    shuffled = np.mean(means <= both[:, 8:].mean() - both[:, :8].mean() + 1e-12)
    error = math.hypot(found.standard_error, math.sqrt(shuffled * (1 - shuffled) / 4_000))
    assert not found.exact
    assert abs(found.p - shuffled) < 4 * error


def test_drawn_p_values_are_never_smaller_than_uniform():
    rng = np.random.default_rng(11)
    ps = np.array(
        [
            permutation_drop(rng.random((12, 3)).tolist(), rng.random((12, 3)).tolist()).p
            for _ in range(300)
        ]
    )
    for level in (0.01, 0.05, 0.1, 0.2, 0.5):
        assert np.mean(ps <= level) <= level + 3 * math.sqrt(level * (1 - level) / len(ps))


def test_two_broken_cases_among_flaky_ones_are_seen_by_the_sparse_part_alone():
    flaky = [[1.0, 0.0, 1.0, 0.0, 1.0]] * 40
    improved = [[1.0, 1.0, 1.0, 0.0, 1.0]] * 40
    baseline = [[1.0] * 5] * 2 + flaky
    candidate = [[0.0] * 5] * 2 + improved
    found = drop_test(baseline, candidate, baseline, candidate)
    assert found.broken == (0, 1)
    assert found.sparse < 1e-4
    assert found.linear.p > 0.5
    assert found.p < 1e-3


def test_cases_flip_by_chance_only_if_their_passes_allow_it():
    p, broken = broken_cases([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]], [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    assert broken == (0,)
    assert p == pytest.approx(1 / 20)
    p, broken = broken_cases([[1.0, 1.0], [1.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]])
    assert broken == (0,)
    assert p == pytest.approx(1 - (5 / 6) ** 2)


def test_graded_scores_flip_with_the_pass_and_not_with_the_value():
    baseline, candidate = [[0.9, 0.9, 0.9]] * 3, [[0.8, 0.8, 0.8]] * 3
    passed, failed = [[1.0] * 3] * 3, [[0.0] * 3] * 3
    found = drop_test(baseline, candidate, passed, failed)
    assert found.broken == (0, 1, 2)
    assert found.p == pytest.approx(20.0**-3)


def test_a_p_too_small_for_a_float_is_not_zero():
    baseline, candidate = [[1.0] * 5] * 300, [[0.0] * 5] * 300
    found = drop_test(baseline, candidate, baseline, candidate)
    assert 0 < found.p < 1e-200
    assert attainable_p([5] * 300, [5] * 300) > 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=6))
def test_attainable_p_is_that_of_every_case_flipping(sizes):
    baseline = [[1.0] * before for before, _ in sizes]
    candidate = [[0.0] * after for _, after in sizes]
    smallest = attainable_p([before for before, _ in sizes], [after for _, after in sizes])
    assert permutation_drop(baseline, candidate).p == pytest.approx(smallest)
    assert drop_test(baseline, candidate, baseline, candidate).p >= smallest * (1 - 1e-9)


@pytest.mark.parametrize(
    ("baseline", "candidate", "message"),
    [
        ([[1.0]], [], "1 baseline cases but 0"),
        ([[1.0], []], [[1.0], [1.0]], "case 1 has no trials"),
        ([[float("nan")]], [[1.0]], "case 0 has a score that is not finite"),
    ],
)
def test_what_cannot_be_tested_is_refused(baseline, candidate, message):
    with pytest.raises(ValueError, match=message):
        permutation_drop(baseline, candidate)


@pytest.mark.slow
@pytest.mark.parametrize("unequal", [False, True])  # 3 trials against 2, or 1 to 5 against 1 to 5
@pytest.mark.parametrize("steps", [1, 4])
def test_p_is_uniform_when_nothing_changed(steps, unequal):
    from scipy.stats import kstest

    rng = np.random.default_rng(8)
    ps = []
    for _ in range(1500):
        chances = rng.choice([0.95, 0.6, 0.2], 20, p=[0.5, 0.3, 0.2])
        sizes = rng.integers(1, 6, (2, 20)) if unequal else np.repeat([[3], [2]], 20, axis=1)
        arms = [
            [
                ((rng.random(n) < p) * rng.integers(1, steps + 1, n) / steps).tolist()
                for p, n in zip(chances, counts, strict=True)
            ]
            for counts in sizes.tolist()
        ]
        found = permutation_drop(*arms)
        # a tie is broken at random: the p of a discrete statistic is uniform only so
        ps.append(found.p - rng.random() * 2 * (found.p - found.mid_p))
    assert kstest(ps, "uniform").pvalue > 0.01


def lost(rng, chances, trials, share):
    """Passes of each case, some of the trials lost."""
    kept = np.maximum(1, trials - rng.binomial(trials, share, len(chances)))
    return [
        (rng.random(count) < p).astype(float).tolist()
        for p, count in zip(chances, kept, strict=True)
    ]


@pytest.mark.parametrize(("cases", "trials"), [(30, 32), (120, 5)])
def test_unequal_trials_are_counted_and_not_drawn(cases, trials):
    rng = np.random.default_rng(2)
    chances = rng.beta(4, 1, cases)
    before, after = lost(rng, chances, trials, 0.1), lost(rng, chances - 0.05, trials, 0.1)
    found = permutation_drop(before, after)
    assert found.exact
    # the splits of the difference of means itself, drawn
    here = sum(np.mean(b) - np.mean(a) for b, a in zip(before, after, strict=True))
    drawn = np.zeros(20_000)
    for b, a in zip(before, after, strict=True):
        passes = rng.hypergeometric(int(sum(b) + sum(a)), int(len(b) + len(a) - sum(b) - sum(a)),
                                    len(a), len(drawn)) if sum(b) + sum(a) else 0  # fmt: skip
        drawn += (sum(b) + sum(a) - passes) / len(b) - passes / len(a)
    share = np.mean(drawn >= here - 1e-9)
    assert found.p == pytest.approx(share, abs=0.012)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_rounded_weights_still_make_an_exact_test(data):
    """Over all splits of the same trials, P(p <= x) <= x, however the trials are lost."""
    sizes = data.draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2,
                               max_size=3))  # fmt: skip
    passes = [data.draw(st.integers(0, b + a)) for b, a in sizes]
    chance_of = []
    for (b, a), passed in zip(sizes, passes, strict=True):
        ways = {
            k: math.comb(passed, k) * math.comb(b + a - passed, a - k) / math.comb(b + a, a)
            for k in range(max(0, passed - b), min(passed, a) + 1)
        }
        chance_of.append(ways)
    found = []
    for split in itertools.product(*chance_of):
        arms = [
            ([1.0] * (passed - k) + [0.0] * (b - passed + k), [1.0] * k + [0.0] * (a - k))
            for (b, a), passed, k in zip(sizes, passes, split, strict=True)
        ]
        p = permutation_drop([b for b, _ in arms], [a for _, a in arms]).p
        found.append((p, math.prod(w[k] for w, k in zip(chance_of, split, strict=True))))
    for level, _ in found:
        assert sum(chance for p, chance in found if p <= level) <= level + 1e-9


def test_continuous_scores_are_tested_twice_and_pay_for_it():
    rng = np.random.default_rng(4)
    baseline, candidate = rng.random((12, 3)), rng.random((12, 3)) * 0.9
    within = permutation_drop(baseline.tolist(), candidate.tolist())
    ranks = signed_rank(baseline.mean(axis=1) - candidate.mean(axis=1))
    found = mean_drop(baseline.tolist(), candidate.tolist())
    assert found.p == pytest.approx(2 * min(within.p, ranks))
    # scores on a grid are tested once
    coarse = (baseline.round(1).tolist(), candidate.round(1).tolist())
    assert mean_drop(*coarse) == permutation_drop(*coarse)


def test_an_outlier_hides_a_drop_from_the_mean_and_not_from_the_gate():
    rng = np.random.default_rng(6)
    baseline = rng.uniform(1e-4, 2e-4, (20, 3))
    candidate = baseline * rng.uniform(0.5, 0.8, (20, 3))
    candidate[0, 0] = 0.97
    arms = baseline.tolist(), candidate.tolist()
    assert permutation_drop(*arms).p > 0.3
    assert mean_drop(*arms).p < 0.001


off_grid = st.sampled_from([0.3183, 0.3679, 0.7071, 0.9123])


@pytest.mark.parametrize("sign", [1, -1])
def test_draws_are_spared_only_where_the_rank_test_says_more_than_they_can(sign):
    rng = np.random.default_rng(9)
    baseline = rng.random((40, 5)) / 2 + 0.25
    candidate = baseline - sign * rng.uniform(0.1, 0.2, (40, 1))
    found = mean_drop(baseline.tolist(), candidate.tolist())
    ps = (found.p, found.p_rise)[::sign]
    assert ps[0] == 2 * 2.0**-40
    assert ps[1] > 0.9
    assert found.mid_p == found.p
    # of 12 cases the rank test cannot say as much as the draws
    few = mean_drop(baseline[:12].tolist(), candidate[:12].tolist())
    assert (few.p, few.p_rise)[::sign][0] < 2 * 2.0**-12


@settings(max_examples=60, deadline=None)
@given(arms(off_grid, 3), off_grid)
def test_unequal_trials_are_also_tested_by_differences_that_are_cut_off(both, more):
    baseline, candidate = both[0] + [[0.3183]], both[1] + [[0.9123, more]]
    spreads, dealt = [], []
    for before, after in zip(baseline, candidate, strict=True):
        pooled = [*before, *after]
        ways = itertools.combinations(range(len(pooled)), len(after))
        means = [sum(pooled[at] for at in way) / len(after) for way in ways]
        own = [
            now - (sum(pooled) - now * len(after)) / len(before)  # candidate's minus baseline's
            for now in means
        ]
        dealt.append(own)
        if min(pooled) != max(pooled):
            spreads.append(np.std(own))
    if all(len(b) == len(a) for b, a in zip(baseline, candidate, strict=True) if {*b} != {*a}):
        return
    cut = np.median(spreads)
    here = [np.mean(a) - np.mean(b) for b, a in zip(baseline, candidate, strict=True)]
    ways = np.array(list(itertools.product(*dealt)))
    clipped = np.clip(ways, -cut, cut).sum(axis=1), np.clip(here, -cut, cut).sum()
    both_sums = [(ways.sum(axis=1), sum(here)), clipped]
    found = mean_drop(baseline, candidate)
    assert found.exact
    for sign, p in ((1, found.p), (-1, found.p_rise)):
        # the p of each way to deal, by each sum, and the smaller of both
        ps = [[np.mean(sign * sums <= sign * one + 1e-9) for one in sums] for sums, _ in both_sums]
        seen = min(np.mean(sign * sums <= sign * one + 1e-9) for sums, one in both_sums)
        assert p == pytest.approx(np.mean(np.min(ps, axis=0) <= seen + 1e-9))


def few_scores(rng, trials):
    return rng.choice([0.3183, 0.3679, 0.9123], trials, p=[0.2, 0.3, 0.5])


def heavy(rng, trials):
    return np.minimum(1, rng.lognormal(-4, 1.5, trials))


def sevenths(rng, trials):
    return rng.choice([1, 7 / 8, 7 / 9, 7 / 11, 7 / 13], trials, p=[0.6, 0.1, 0.1, 0.1, 0.1])


@pytest.mark.parametrize(
    ("draw", "trials", "cases"),
    [
        (few_scores, (1, 2), 100),
        (few_scores, (5, 1), 6),
        (sevenths, (1, 3), 60),
        (sevenths, (3, 5), 60),
        (heavy, (2, 3), 30),
        (heavy, None, 40),  # some trials are lost
    ],
)
def test_unequal_trials_keep_their_level(draw, trials, cases):
    rng = np.random.default_rng(12)
    found = []
    for _ in range(60):
        sizes = [trials or 4 - rng.binomial(2, 0.3, 2) for _ in range(cases)]
        both = ([draw(rng, size[arm]).tolist() for size in sizes] for arm in (0, 1))
        found.append(mean_drop(*both, draws=299))
    # 0.05 and three standard errors
    for p in ([one.p for one in found], [one.p_rise for one in found]):
        assert np.mean(np.array(p) <= 0.05) <= 0.134


def test_all_trials_count_where_one_arm_has_more():
    rng = np.random.default_rng(14)
    seen = 0
    for _ in range(40):
        spread = rng.lognormal(0, 1, (40, 1)) * 0.01
        baseline, candidate = (0.5 + spread * rng.normal(0, 1, (40, trials)) for trials in (5, 1))
        found = mean_drop(baseline.tolist(), (candidate - 0.008).tolist(), draws=999)
        seen += found.p <= 0.05
    assert seen >= 37  # of single trials of both arms: 32


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_unequal_trials_does_not_matter(random):
    rng = np.random.default_rng(15)
    arms = [rng.random((12, trials)).tolist() for trials in (4, 2)]
    order = random.sample(range(12), 12)
    shuffled = [[random.sample(arm[at], len(arm[at])) for at in order] for arm in arms]
    assert mean_drop(*shuffled) == mean_drop(*arms)


@pytest.mark.slow
@pytest.mark.parametrize("unequal", [False, True])
@pytest.mark.parametrize("tail", ["lognormal", "pareto", "skewed"])
def test_p_of_continuous_scores_keeps_its_level_whatever_the_tails(tail, unequal):
    from scipy.stats import kstest

    rng = np.random.default_rng(9)
    draw = {
        "lognormal": lambda n: np.minimum(1, rng.lognormal(-4, 1.5, n)),
        "pareto": lambda n: np.minimum(1, rng.pareto(1.2, n) / 200),
        "skewed": lambda n: rng.beta(0.3, 4, n),
    }[tail]
    ps, ranks, within = [], [], []
    for _ in range(400):
        baseline = [draw(3).tolist() for _ in range(15)]
        candidate = [draw(2 if unequal and at % 2 else 3).tolist() for at in range(15)]
        ps.append(mean_drop(baseline, candidate, draws=999).p)
        within.append(permutation_drop(baseline, candidate, draws=999).p)
        ranks.append(signed_rank([np.mean(b) - np.mean(a) for b, a in
                                  zip(baseline, candidate, strict=True)]))  # fmt: skip
    assert kstest(within, "uniform").pvalue > 0.01
    if not unequal:
        assert kstest(ranks, "uniform").pvalue > 0.01
    # twice the smaller of two is never too small: the one-sided Kolmogorov test
    assert kstest(ps, "uniform", alternative="greater").pvalue > 0.01
    assert np.mean(np.array(ps) <= 0.05) <= 0.08


@pytest.mark.slow
def test_p_of_one_case_and_of_the_joint_test_are_uniform_when_nothing_changed():
    from scipy.stats import kstest

    rng = np.random.default_rng(10)
    cases, joint = [], []
    for _ in range(1500):
        chance = rng.beta(2, 1)
        before, after = rng.binomial([12, 9], chance)
        here = fewer_passes(before, 12, after, 9)
        below = fewer_passes(before + 1, 12, after - 1, 9) if after and before < 12 else 0.0
        cases.append(here - rng.random() * (here - below))  # ties broken at random
        chances = rng.beta(4, 1, 15)
        arms = [(rng.random((15, 3)) < chances[:, None]).astype(float).tolist() for _ in range(2)]
        joint.append(drop_test(*arms, *arms).p)
    assert kstest(cases, "uniform").pvalue > 0.01
    assert kstest(joint, "uniform", alternative="greater").pvalue > 0.01
