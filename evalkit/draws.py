"""Ways to deal trials to two arms anew, drawn where there are too many to count them all.

A test is valid with any draws that do not look at its data. So each way is drawn once for the
cases at one place, and routes and scorers share it: Holm's correction holds however their p-values
depend on each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.splits import Floats, all_ways

_AT_ONCE = 256  # cases whose sums are tabled together
_BLOCK = 16  # cases whose ways are drawn together: what is taken of their sums stays in the cache
_PART = 8  # trials whose subsets are all listed, where a case can be dealt in more ways than that


class _Part(NamedTuple):
    """Some trials of a case, and what the candidate can get of them: a column for each way."""

    trials: slice
    ways: Floats


def differences_dealt(
    design: tuple[int, int], scores: Floats, cuts: Sequence[float], draws: int
) -> Floats:
    """For each cut, in each draw, the sum over cases of the difference of means, cut off there.

    ``scores`` has a row of pooled scores for each case of this design, (n_b, n_c). Each case is
    dealt in each draw as likely in one way as in any other. Draws are numbered by the place of the
    case, so that equal rows give equal sums.
    """
    totals = np.zeros((len(cuts), draws))
    # Away from the median: trials that scored as most of their case did then add nothing.
    apart = (scores - scores[:, [sum(design) // 2]]) * (sum(design) / math.prod(design))
    expected = apart.mean(axis=1, keepdims=True) * design[1]
    for start in range(0, len(scores), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        tables = [apart[some, part.trials] @ part.ways for part in _parts(design)]
        tables[0] -= expected[some]  # over all ways nothing changes
        for at in range(0, len(tables[0]), _BLOCK):
            first, *others = (table[at : at + _BLOCK] for table in tables)
            way, *other_ways = _ways_dealt((start + at) // _BLOCK, design, draws)
            rows = np.arange(len(first))
            dealt = _looked_up(first, way, rows)
            for other, way in zip(others, other_ways, strict=True):
                vary = rows[other.any(axis=1)]
                dealt[vary] += _looked_up(other, way, vary)
            for row, cut in enumerate(cuts):
                kept = dealt if math.isinf(cut) else np.clip(dealt, -cut, cut)
                totals[row] += kept.sum(axis=0)
    return totals


@cache
def _parts(design: tuple[int, int]) -> list[_Part]:
    """All trials and the ways to deal them, or a few at a time and all their subsets."""
    if math.comb(sum(design), design[1]) <= 2**_PART:
        return [_Part(slice(None), all_ways(design))]
    found = []
    for first in range(0, sum(design), _PART):
        trials = min(_PART, sum(design) - first)
        subsets = np.arange(2**trials) >> np.arange(trials)[:, None] & 1
        found.append(_Part(slice(first, first + trials), subsets.astype(float)))
    return found


def _looked_up(table: Floats, ways: NDArray[np.uint8], rows: NDArray[np.intp]) -> Floats:
    """Of each of these rows what its ways have there."""
    found: Floats = table.ravel().take(ways[rows] + rows[:, None] * table.shape[1])
    return found


@lru_cache(maxsize=128)
def _ways_dealt(block: int, design: tuple[int, int], draws: int) -> list[NDArray[np.uint8]]:
    """The ways drawn for a block of cases: of each part, a row for each case."""
    rng = np.random.default_rng([block, *design, draws])
    parts = _parts(design)
    if len(parts) > 1:
        return _subsets_dealt(rng, design, draws)
    ways = parts[0].ways.shape[1]
    return [rng.integers(ways, size=(_BLOCK, draws), dtype=np.uint32).astype(np.uint8)]


def _subsets_dealt(
    rng: np.random.Generator, design: tuple[int, int], draws: int
) -> list[NDArray[np.uint8]]:
    """What the candidate gets of each part: trial by trial, as likely as it still lacks some."""
    lacks = np.full((_BLOCK, draws), float(design[1]))
    found = []
    for part in _parts(design):
        subset = np.zeros((_BLOCK, draws), dtype=np.uint8)
        for place in range(len(part.ways)):
            left = sum(design) - part.trials.start - place
            given = rng.random((_BLOCK, draws)) * left < lacks
            lacks -= given
            subset |= given.astype(np.uint8) << place
        found.append(subset)
    return found
