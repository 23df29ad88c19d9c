"""Wilcoxon's signed ranks: did paired values move, whatever their scale and tails?"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MOST_EXACT = 100


def signed_rank(differences: NDArray[np.float64] | Sequence[float]) -> float:
    """Wilcoxon's one-sided p, (0, 1], that the differences lie above zero; zeros tell nothing.

    Exact up to 100 differences, ties by mean ranks; normal beyond, and never below the least that
    p can be.
    """
    known = np.asarray(differences, dtype=float)
    known = known[known != 0]
    if not len(known):
        return 1.0
    _, place, counts = np.unique(np.abs(known), return_inverse=True, return_counts=True)
    # twice the mean rank of a group of ties: whole numbers
    ranks = (2 * np.cumsum(counts) - counts + 1)[place]
    seen = int(ranks[known > 0].sum())
    if len(known) > _MOST_EXACT:
        spread = math.sqrt(float((ranks.astype(float) ** 2).sum())) / 2
        away = (seen - 1 - float(ranks.sum()) / 2) / spread
        return max(math.erfc(away / math.sqrt(2)) / 2, 2.0 ** -len(known), sys.float_info.min)
    chances = np.ones(1)
    for rank in ranks.tolist():
        longer = np.zeros(len(chances) + rank)
        longer[: len(chances)] += chances / 2
        longer[rank:] += chances / 2
        chances = longer
    return min(1.0, float(chances[seen:].sum()))
