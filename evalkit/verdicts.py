"""From paired scores to verdicts: arithmetic alone, the same for every stage of a gate.

:func:`judge` takes the scores of one family of comparisons (routes x scorers), whether they come
from stored runs or from trials made anew to confirm a suspicion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from evalkit.comparison import Paired
from evalkit.dealing import DRAWS
from evalkit.permutation import DropTest, attainable_p, drop_test
from evalkit.reports import Verdict
from evalkit.stats import Interval, detectable, holm, trial_interval


class Judgement(NamedTuple):
    """The decision on one comparison of a family.

    ``p`` and ``p_adjusted`` (Holm over the family) are one-sided for a drop; ``attainable`` is
    the smallest p that this many cases and trials can give, ``level`` what p must not exceed where
    nothing else in the family is significant; ``interval`` is the 95 % one of the paired
    difference for these very cases, coherent with the linear part of the test; ``detectable``
    the drop that would be seen with 80 % power.
    """

    verdict: Verdict
    p: float
    p_adjusted: float
    attainable: float
    level: float
    broken: tuple[str, ...]
    interval: Interval
    detectable: float | None


def judge(family: Sequence[Paired], alpha: float) -> tuple[Judgement, ...]:
    """Verdicts for all comparisons at once; any false alarm at all has a chance of ``alpha``.

    ``regressed``: the mean dropped. ``broken``: only the count of fully flipped cases is beyond
    chance. ``improved``: the mirror image of regressed, with its own Holm correction.
    ``inconclusive``: whatever had happened in this comparison, it could not have been
    significant. Scores that are the same in both arms, case by case, are ``ok``: there is no
    change to doubt. Every comparison has at least one case.
    """
    # Enough draws that the smallest Monte-Carlo p still passes the strictest of Holm's steps.
    draws = max(DRAWS, math.ceil(4 * len(family) / alpha))
    tests = [_test(pair, draws) for pair in family]
    ps = [test.p for test in tests]
    drops, rises = holm(ps), holm([test.linear.p_rise for test in tests])
    level = alpha / max(1, len(family))
    judgements = []
    for at, (pair, test) in enumerate(zip(family, tests, strict=True)):
        attainable = attainable_p(*_trials(pair))
        reachable = unchanged(pair) or _reachable(at, attainable, ps, alpha)
        judgements.append(
            Judgement(
                verdict=_verdict(test, drops[at], rises[at], reachable, alpha),
                p=test.p,
                p_adjusted=drops[at],
                attainable=attainable,
                level=level,
                broken=tuple(pair.cases[case] for case in test.broken),
                interval=trial_interval(*_values(pair), test.linear.p, test.linear.p_rise),
                detectable=detectable(*_values(pair), level),
            )
        )
    return tuple(judgements)


def unchanged(pair: Paired) -> bool:
    """Whether both arms hold the same scores, case by case, in whatever order."""
    return all(
        sorted(before.trials) == sorted(after.trials)
        for before, after in zip(pair.baseline, pair.candidate, strict=True)
    )


def _test(pair: Paired, draws: int) -> DropTest:
    return drop_test(
        *_values(pair),
        [seen.passed for seen in pair.baseline],
        [seen.passed for seen in pair.candidate],
        draws=draws,
    )


def _values(pair: Paired) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
    return [seen.values for seen in pair.baseline], [seen.values for seen in pair.candidate]


def _trials(pair: Paired) -> tuple[list[int], list[int]]:
    before, after = _values(pair)
    return [len(values) for values in before], [len(values) for values in after]


def _verdict(test: DropTest, drop: float, rise: float, reachable: bool, alpha: float) -> Verdict:
    if drop <= alpha:
        # The linear part alone, at its Bonferroni share of what the joint test had to pass.
        alone = 2 * test.linear.p * (drop / test.p)
        return "regressed" if test.linear.p <= test.sparse or alone <= alpha else "broken"
    if rise <= alpha:
        return "improved"
    return "ok" if reachable else "inconclusive"


def _reachable(at: int, attainable: float, ps: Sequence[float], alpha: float) -> bool:
    """Whether the worst outcome of one comparison, the others as they are, would be seen."""
    if attainable * len(ps) <= alpha:
        return True
    return holm([*ps[:at], attainable, *ps[at + 1 :]])[at] <= alpha
