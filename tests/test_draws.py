"""Ways to deal trials that are drawn: each as likely, each with as many trials as it must have."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chisquare

from evalkit.draws import differences_dealt


def dealt(design, scores, draws, cut=math.inf):
    return differences_dealt(design, np.array(scores, dtype=float), [cut], draws)[0]


@pytest.mark.parametrize("design", [(1, 1), (5, 4), (5, 5), (6, 6), (3, 12), (8, 7)])
def test_each_way_to_deal_is_as_likely(design):
    before, after = design
    scores = 2.0 ** np.arange(sum(design))  # each way has a sum of its own
    ways = math.comb(sum(design), after)
    differences = dealt(design, [scores], 20 * ways)
    sums = (differences + scores.sum() / before) * before * after / sum(design)
    whole = np.round(sums).astype(int)
    assert np.abs(sums - whole).max() < 1e-6
    assert all(way.bit_count() == after for way in set(whole.tolist()))
    seen = np.unique(whole, return_counts=True)[1]
    assert len(seen) == ways
    assert chisquare(seen).pvalue > 1e-4


@pytest.mark.parametrize("design", [(5, 5), (8, 8), (20, 33)])
def test_cases_are_dealt_independently_of_each_other(design):
    before, after = design
    rng = np.random.default_rng(3)
    scores = np.where(rng.random((40, sum(design))) < 0.6, 1.0, rng.random((40, sum(design))))
    draws = 9_999
    totals = dealt(design, scores, draws)
    variance = scores.var(axis=1, ddof=1).sum() * (1 / before + 1 / after)
    assert abs(totals.mean()) < 4 * math.sqrt(variance / draws)
    assert totals.var() == pytest.approx(variance, rel=4 * math.sqrt(2 / draws))


@pytest.mark.parametrize("design", [(4, 5), (9, 20)])
def test_each_difference_is_cut_off_by_itself(design):
    rng = np.random.default_rng(4)
    scores = rng.random((3, sum(design)))
    several = np.repeat(scores[:1], 3, axis=0)
    assert np.abs(dealt(design, several, 999, cut=0.01)).max() <= 0.03 + 1e-12
    one = dealt(design, scores[:1], 999)
    np.testing.assert_allclose(dealt(design, scores[:1], 999, 0.1), np.clip(one, -0.1, 0.1))
