"""pass^k, pass@k and flakiness: without bias, and with intervals that hold what they say."""

from __future__ import annotations

import json
from math import comb

import numpy as np
import pytest
from scipy.stats import binom

from evalkit.comparison import summarize
from evalkit.gating import decide
from evalkit.history import histories
from evalkit.observations import Observed
from evalkit.reliability import disagreement, flaky_cases, flips, passes_of_k, within_variance
from evalkit.reporters.json import summary_objects
from evalkit.suite import GatePolicy
from tests.recordings import of_values


def seen(*passes):
    return Observed(tuple(map(float, passes)), tuple(map(float, passes)))


@pytest.mark.parametrize("chance", [0.02, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("trials", [2, 3, 8])
def test_estimates_have_no_bias_and_the_interval_holds_the_truth(chance, trials):
    weights = binom(trials, chance).pmf(range(trials + 1))
    found = [disagreement([(passed, trials)]) for passed in range(trials + 1)]
    truth = 2 * chance * (1 - chance)
    pairs = comb(trials, 2)
    shares = [passed * (trials - passed) / pairs for passed in range(trials + 1)]
    assert np.dot(weights, shares) == pytest.approx(truth)
    # No two trials of one version disagree more often than a coin does.
    assert [one[0] for one in found] == pytest.approx([min(0.5, share) for share in shares])
    assert all(low <= told <= high <= 0.5 for told, low, high in found)
    covered = [one[1] - 1e-12 <= truth <= one[2] + 1e-12 for one in found]
    assert np.dot(weights, covered) >= 0.95
    for made in range(2, trials + 1):
        ways = comb(trials, made)
        mixed = [1 - (comb(k, made) + comb(trials - k, made)) / ways for k in range(trials + 1)]
        expected = 1 - chance**made - (1 - chance) ** made
        assert np.dot(weights, mixed) == pytest.approx(expected)
        most = 1 - 0.5 ** (made - 1)
        apart = [flips([(passed, trials)], made) for passed in range(trials + 1)]
        assert apart == pytest.approx([min(most, one) for one in mixed])


@pytest.mark.parametrize(("passed", "trials"), [(0, 3), (1, 4), (2, 9), (40, 60), (5, 5)])
def test_the_interval_is_clopper_and_pearsons(passed, trials):
    from scipy.stats import binomtest

    low, high = binomtest(passed, trials).proportion_ci(0.95)
    ends = sorted(2 * p * (1 - p) for p in (low, high))
    found = disagreement([(passed, trials)])
    assert found[1] == pytest.approx(ends[0], abs=1e-9)
    assert found[2] == pytest.approx(0.5 if low <= 0.5 <= high else ends[1], abs=1e-9)


def test_versions_are_never_mixed():
    # always passed before, always fails now: a change, and nothing flaky
    assert flaky_cases({"a": [seen(1, 1, 1), seen(0, 0, 0)]}) == ((), 0)
    (one,), many = flaky_cases({"a": [seen(1, 1, 0), seen(0, 0, 0)], "b": [seen(1), seen(0)]})
    assert (one.case, many, one.arms) == ("a", 1, ((2, 3), (0, 3)))
    assert one.probability == pytest.approx(2 / 6)
    assert one.flips == pytest.approx(1 / 2)
    assert one.variance == pytest.approx((2 / 3) / 4)
    assert 0 <= one.low < one.probability < one.high <= 0.5
    assert disagreement([(1, 1), (0, 1)]) is None
    assert within_variance([(0.5,), (0.1,)]) is None


def test_two_versions_share_the_confidence():
    rng = np.random.default_rng(1)
    chances = 0.9, 0.4
    truth = np.mean([2 * p * (1 - p) for p in chances])
    covered = 0
    for _ in range(300):
        found = disagreement([(int(rng.binomial(6, p)), 6) for p in chances])
        covered += found[1] <= truth <= found[2]
    assert covered >= 285


def of_one(passed, counts):
    """pass^k and pass@k of a single sample."""
    (found,) = passes_of_k(np.array(passed), np.array(counts), np.zeros(len(passed), np.intp), 1)
    return found


def test_pass_hat_and_pass_at_come_with_intervals_for_every_k():
    hats, ats = of_one([3.0, 2.0, 0.0, 3.0], [3.0, 3.0, 3.0, 3.0])
    assert hats.means == pytest.approx({1: 2 / 3, 2: (1 + 1 / 3 + 0 + 1) / 4, 3: 0.5})
    assert ats.means == pytest.approx({1: 2 / 3, 2: 0.75, 3: 0.75})
    for shares in (hats, ats):
        for k, (low, high) in shares.intervals.items():
            assert 0 <= low < shares.means[k] < high <= 1
    assert of_one([], []) == (({}, {}), ({}, {}))


def test_many_samples_at_once_are_each_as_if_alone():
    rng = np.random.default_rng(8)
    counts = rng.integers(1, 6, 60).astype(float)
    passed = rng.binomial(counts.astype(int), 0.7).astype(float)
    sample = rng.integers(0, 5, 60)
    sample[sample == 3] = 4  # one of them has no cases
    for number, found in enumerate(passes_of_k(passed, counts, sample, 5)):
        mine = sample == number
        alone = of_one(passed[mine], counts[mine])
        assert max(found[0].means, default=0) == int(np.median(counts[mine]) if mine.any() else 0)
        for shares, expected in zip(found, alone, strict=True):
            assert shares.means == pytest.approx(expected.means)
            assert [*shares.intervals] == [*expected.intervals]
            for k, ends in shares.intervals.items():
                assert ends == pytest.approx(expected.intervals[k])
        for k, mean in found[0].means.items():
            assert mean == pytest.approx(
                np.mean(
                    [
                        comb(int(p), k) / comb(int(n), k)
                        for p, n in zip(passed[mine], counts[mine], strict=True)
                        if n >= k
                    ]
                )
            )


@pytest.mark.slow
@pytest.mark.parametrize("cases", [10, 30])
def test_intervals_of_pass_hat_and_pass_at_hold_the_truth(cases):
    rng = np.random.default_rng(3)
    mixes = [
        lambda n: rng.choice([0.99, 0.97, 0.9], n, p=[0.7, 0.2, 0.1]),
        lambda n: rng.beta(2, 0.5, n),
        lambda n: rng.choice([0.95, 0.7, 0.4, 0.1], n, p=[0.3, 0.4, 0.2, 0.1]),
    ]
    for mix in mixes:
        many = mix(200_000)
        covered = np.zeros((2, 3))
        for _ in range(200):
            passes = rng.binomial(3, mix(cases)).astype(float)
            for row, shares in enumerate(of_one(passes, np.full(cases, 3.0))):
                for k, (low, high) in shares.intervals.items():
                    truth = (many**k if row == 0 else 1 - (1 - many) ** k).mean()
                    covered[row, k - 1] += low <= truth <= high
        assert (covered >= 0.9 * 200).all()


def test_the_gate_names_flaky_cases_with_their_probability():
    before = of_values({"r": {"steady": [1, 1, 1], "wavers": [1, 0, 1]}})
    after = of_values({"r": {"steady": [1, 1, 1], "wavers": [1, 1, 0]}})
    report = decide(after, before, GatePolicy(on=("task_completion",)))
    (one,) = report.rows[0].flaky
    assert (one.case, one.arms, report.rows[0].flaky_cases) == ("wavers", ((2, 3), (2, 3)), 1)
    assert (one.probability, one.flips) == (0.5, 0.75)  # 2 of 3 pairs differ: a coin, no more
    (note,) = [note for note in report.notes if note.startswith("flaky")]
    assert "wavers (r, task_completion): 50%, 95 % interval" in note
    assert not any(note.startswith("flaky") for note in decide(
        of_values({"r": {"a": [1, 1]}}), of_values({"r": {"a": [1, 1]}}),
        GatePolicy(on=("task_completion",)),
    ).notes)  # fmt: skip


def test_a_summary_has_variance_flaky_cases_and_intervals():
    run = of_values({"r": {"a": [1, 1, 0], "b": [1, 1, 1], "c": [0.5, 0.5, 1]}})
    (row,) = summary_objects(summarize(run)[0])
    assert row["flaky"] == 2  # c passes with 1 alone
    assert row["variance"] == pytest.approx((1 / 3 + 0 + 1 / 12) / 3)
    assert set(row["pass_at_interval"]) == set(row["pass_hat"]) == {"1", "2", "3"}
    json.dumps(row)


def test_a_history_tells_flaky_cases_run_by_run():
    runs = [
        of_values({"r": {"a": passes, "b": [1, 1]}}, name=f"run {at}", started=float(at))
        for at, passes in enumerate(([1, 0], [1, 1], [0, 1]))
    ]
    (found,) = histories(runs, ("task_completion",))
    (one,) = found.flaky
    assert (one.case, one.arms, found.flaky_cases) == ("a", ((1, 2), (2, 2), (1, 2)), 1)
    assert one.probability == 0.5
