"""Two stages: stored trials raise a suspicion, fresh trials of both arms confirm or drop it.

:func:`confirm` is pure: it looks at the trials that are there, asks a callback for more where
they tell something, and decides **on the fresh trials only**. So neither the choice of what to
look at, nor a lucky baseline, nor an outage while the candidate ran can make an alarm. What is
suspicious, and for how long, is said by :mod:`evalkit.suspicion`.

Two families are tested, each at its half of ``alpha`` (at all of it where the other is empty):

- *routes*: does the mean over all cases of a suspicious route and scorer drop? All of its cases
  are tried again, not only those that failed: a choice by failures would turn a drift that leaves
  the mean where it is into a drop.
- *cases*: does a suspicious case pass less often? By the exact (hypergeometric) test.

Fresh trials come in rounds, few at first: what no longer looks worse, stored trials included, is
let go before the next, which can only take alarms away. All that is tried again has, after each
round, as many trials in each arm as :data:`ROUNDS` says, so a case's trials serve its own test
and its route's. What is significant is not tried further. Looking early costs nothing in
certainty: each round spends of ``alpha`` the share that its trials have of all.
Holm corrects within a family for everything that was suspicious; what was found in an earlier
round no longer counts, what was let go does.

What was never tried again, of which too many trials were lost, or which so few trials could not
have proven is ``inconclusive``: a suspicion that was not looked into is no ``ok``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from evalkit.comparison import Paired
from evalkit.dealing import DRAWS, PermutationTest
from evalkit.observations import Observed
from evalkit.permutation import attainable_p
from evalkit.reports import Verdict
from evalkit.stand_in import Contradiction, contradictions
from evalkit.stats import Interval, holm, trial_interval
from evalkit.suspicion import KEEP_CASE, KEEP_ROUTE, Arms, Suspicion, p_of_mean, test_of_mean

ROUNDS = (1, 3, 6, 12, 20, 32)
"""Fresh trials of a case in each arm after each round; the last is :data:`TRIALS`."""

TRIALS = ROUNDS[-1]
"""Fresh trials of a case in each arm at most, over all rounds."""

LIMIT = 0.05
"""The share of fresh trials that one arm may lose beyond the other before nothing is decided."""

_BEYOND = 0.15  # p of the other cases' mean that makes broken cases a regression of their route
_MOST_DRAWS = 100_000


class Row(NamedTuple):
    """What a scorer said of one trial: the rows of the tables that :func:`confirm_tables` takes.

    ``value`` is in [0, 1]. ``trial`` names the trial to a reader; the tests do not look at it.
    """

    route: str
    case: str
    trial: int
    scorer: str
    value: float
    passed: bool


Rerun = Callable[[Mapping[str, int]], tuple[Iterable[Row], Iterable[Row]] | None]
"""Tries each of these cases so often in the baseline **and** in the candidate, interleaved.

Gives the rows of both, baseline first; trials that failed for infrastructure reasons have none.
None says that there will be no more: a budget is spent, or they were interrupted.
"""


class Comparison(NamedTuple):
    """One route and scorer, with the stored trials of both arms.

    A case of which the candidate has no trials is a suspect, to be tried again.
    """

    route: str
    scorer: str
    stored: Paired


class Confirmed(NamedTuple):
    """The decision on one comparison: regressed, broken, missing, inconclusive or ok.

    ``p`` is that of the last test made on fresh trials (of the stored ones where nothing was
    suspicious), ``p_adjusted`` after Holm and the shares of families and rounds: at most alpha is
    significant. ``cases`` are those that fail more often for sure, as the fresh trials prove.
    ``fresh`` holds the fresh trials of the cases that were tried again. ``interval`` is set where
    they prove that the mean dropped: of that drop, at the level of the round in which it was
    proven, so that ending there does not spoil it. ``trials`` counts the fresh ones of both arms;
    ``why`` is set where nothing could be decided, and ``unmeasured`` are the suspects that no
    fresh trials tell of. ``contradiction`` says where the baseline that was run again is not like
    the stored one; where it does worse, nothing is ``ok``.
    """

    verdict: Verdict
    p: float
    p_adjusted: float
    cases: tuple[str, ...]
    fresh: Paired | None
    interval: Interval | None
    trials: int
    why: str = ""
    unmeasured: tuple[str, ...] = ()
    contradiction: Contradiction | None = None


class Confirmation(NamedTuple):
    """All decisions, in the order of the comparisons, and the fresh trials of both arms spent.

    ``exhausted``: there were no more to be had, though something was open; ``unpaid`` are those
    that the next round would have taken, where ``max_trials`` is why.
    """

    found: tuple[Confirmed, ...]
    spent: int
    exhausted: bool
    unpaid: int = 0


class _Look(NamedTuple):
    """One round's tests: their level, the share of it that each family has, and of all rounds."""

    alpha: float
    family: float
    share: float

    def adjusted(self, p: float) -> float:
        """Of a p that Holm corrected: at most alpha is significant."""
        return p / (self.family * self.share)


class _Tested:
    """The tests of one comparison so far."""

    def __init__(self, one: Suspicion) -> None:
        self.suspicion = one
        self.p = one.p
        self.p_case: dict[int, float] = {}
        self.adjusted = 1.0
        self.interval: Interval | None = None
        self.mean_could_show = False
        self.could_show: set[int] = set()
        self.contradiction: Contradiction | None = None


def confirm(
    family: Sequence[Comparison],
    rerun: Rerun,
    *,
    alpha: float = 0.05,
    trials: int = TRIALS,
    max_trials: int | None = None,
    limit: float = LIMIT,
) -> Confirmation:
    """Decides every comparison; any false alarm at all has a chance of at most ``alpha``.

    ``trials`` is how often a case is tried again in each arm at most; ``max_trials`` bounds the
    fresh trials of all cases and both arms; ``limit`` is the share of them that one arm may lose
    beyond the other. A suspicion that a budget leaves open is ``inconclusive``, never ``ok``.
    Raises ValueError for an alpha that is not between 0 and 1, and for less than one trial.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha!r}: it is a chance above 0 and below 1")
    if trials < 1:
        raise ValueError(f"trials is {trials!r}: confirming takes at least one of each case")
    opened = [_Tested(Suspicion.of(*one, limit)) for one in family]
    means = [one for one in opened if one.suspicion.mean]
    cases = [(one, at) for one in opened for at in sorted(one.suspicion.suspects)]
    spent, tried, unpaid, exhausted = 0, 0, 0, False
    rounds = len(list(goals(trials)))
    for number, goal in enumerate(goals(trials)):
        suspicions = [one.suspicion for one in opened]
        for one in suspicions:
            one.let_go(number)
        wanted = {one.cases[at]: goal - tried for one in suspicions for at in one.wanted}
        cost = 2 * sum(wanted.values())
        if not cost:
            break
        if max_trials is not None and spent + cost > max_trials:
            exhausted, unpaid = True, cost
            break
        made = rerun(wanted)
        if made is None:
            exhausted = True
            break
        spent += cost
        _take(suspicions, goal - tried, made)
        look = _Look(alpha, 0.5 if means and cases else 1.0, (goal - tried) / trials)
        _test_means(means, look)
        _test_cases(cases, look)
        _hold_against_stored(opened, rounds)
        tried = goal
    found = tuple(_decided(one, exhausted) for one in opened)
    return Confirmation(found, spent, exhausted, unpaid)


def confirm_tables(
    baseline: Iterable[Row],
    candidate: Iterable[Row],
    rerun: Rerun,
    *,
    alpha: float = 0.05,
    trials: int = TRIALS,
    max_trials: int | None = None,
) -> dict[tuple[str, str], Confirmed]:
    """:func:`confirm` for two tables of rows, by route and scorer, in the candidate's order.

    Cases that the candidate's table lacks are tried again, and ``missing`` where that gives no
    rows of it either; so is a route and scorer that one of the tables lacks. Cases that the
    baseline lacks are new, and not compared. Raises ValueError for a value outside [0, 1], for
    two empty tables, and as :func:`confirm` does.
    """
    before, after = _by_comparison(baseline), _by_comparison(candidate)
    keys = tuple(dict.fromkeys((*after, *before)))
    if not keys:
        raise ValueError("neither table has a row: there is nothing to decide")
    family = []
    for key in keys:
        was, now = before.get(key, {}), after.get(key, {})
        if was and now:
            order = dict.fromkeys((*(case for case in now if case in was), *was))
            arms = (tuple(_seen(arm.get(c, ())) for c in order) for arm in (was, now))
            family.append(Comparison(*key, Paired(tuple(order), *arms)))
    made = confirm(family, rerun, alpha=alpha, trials=trials, max_trials=max_trials)
    found = {
        (one.route, one.scorer): _or_missing(one, said)
        for one, said in zip(family, made.found, strict=True)
    }
    return {
        key: found.get(key) or _missing("candidate" if key in before else "baseline")
        for key in keys
    }


def _or_missing(one: Comparison, said: Confirmed) -> Confirmed:
    """``missing`` where the candidate has no rows of a case, neither stored nor made again."""
    rows = zip(one.stored.cases, one.stored.candidate, strict=True)
    known = {case for case, seen in rows if seen.values}
    gone = [case for case in said.unmeasured if case not in known]
    if not gone or said.verdict in ("regressed", "broken"):
        return said
    return said._replace(verdict="missing", why="the candidate has no rows of these cases")


def _missing(arm: str) -> Confirmed:
    return Confirmed("missing", 1.0, 1.0, (), None, None, 0, f"the {arm} has no rows of this")


def _by_comparison(rows: Iterable[Row]) -> dict[tuple[str, str], dict[str, list[Row]]]:
    tables: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for row in rows:
        if not 0 <= row.value <= 1:
            raise ValueError(
                f"case {row.case!r}, trial {row.trial}: {row.value!r} is not in [0, 1]"
            )
        tables.setdefault((row.route, row.scorer), {}).setdefault(row.case, []).append(row)
    return tables


def _seen(rows: Iterable[Row]) -> Observed:
    values, passed = [], []
    for row in rows:
        values.append(float(row.value))
        passed.append(float(row.passed))
    return Observed(tuple(values), tuple(passed))


def goals(trials: int) -> Iterator[int]:
    """How many trials a case has in each arm after each round, if it has ``trials`` at the end."""
    yield from (goal for goal in ROUNDS[:-1] if goal < trials)
    yield trials


def _take(
    opened: Iterable[Suspicion], trials: int, made: tuple[Iterable[Row], Iterable[Row]]
) -> None:
    """Hands the fresh rows to the comparisons that asked for them."""
    arms: list[dict[tuple[str, str, str], list[Row]]] = [{}, {}]
    for arm, rows in zip(arms, made, strict=True):
        for row in rows:
            if 0 <= row.value <= 1:
                arm.setdefault((row.route, row.case, row.scorer), []).append(row)
    for one in opened:
        for at in one.wanted:
            key = (one.route, one.cases[at], one.scorer)
            one.take(at, trials, Arms(*(_seen(arm.get(key, ())[:trials]) for arm in arms)))
        one.give_up()


def _test_means(means: Sequence[_Tested], look: _Look) -> None:
    left = sum(not one.suspicion.regressed for one in means)
    # Enough draws that the smallest Monte-Carlo p still passes the strictest of Holm's steps.
    draws = max(DRAWS, min(_MOST_DRAWS, math.ceil(look.adjusted(4 * left) / look.alpha)))
    tests: dict[int, PermutationTest] = {}
    ps = []
    for number, one in enumerate(means):
        made = test_of_mean(one.suspicion.fresh, draws) if one.suspicion.mean else None
        ps.append(made.p if made else float(not one.suspicion.regressed))
        if made:
            tests[number] = made
    corrected = holm(ps)
    for number, made in tests.items():
        one, adjusted = means[number], look.adjusted(corrected[number])
        one.p, one.adjusted = made.p, min(one.adjusted, adjusted)
        floor = 0.0 if made.exact else 2 / (draws + 1)
        lowest = max(_attainable(one.suspicion.fresh), floor)
        one.mean_could_show |= look.adjusted(lowest * left) <= look.alpha
        if adjusted <= look.alpha:
            one.suspicion.regressed = True
            one.interval = _interval(one.suspicion.tried_again, made.p, look.share)


def _interval(fresh: Paired | None, p: float, share: float) -> Interval | None:
    if fresh is None:
        return None
    before, after = ([seen.values for seen in arm] for arm in (fresh.baseline, fresh.candidate))
    return trial_interval(before, after, p, share=share)


def _test_cases(cases: Sequence[tuple[_Tested, int]], look: _Look) -> None:
    left = sum(at not in one.suspicion.broken for one, at in cases)
    tested, ps = [], []
    for one, at in cases:
        fresh = one.suspicion.fresh[at]
        tested.append(at in one.suspicion.suspects and fresh.both)
        ps.append(fresh.p if tested[-1] else float(at not in one.suspicion.broken))
    corrected = holm(ps)
    for (one, at), made, p, holms in zip(cases, tested, ps, corrected, strict=True):
        if not made:
            continue
        adjusted = look.adjusted(holms)
        one.p_case[at], one.adjusted = p, min(one.adjusted, adjusted)
        if look.adjusted(_attainable([one.suspicion.fresh[at]]) * left) <= look.alpha:
            one.could_show.add(at)
        if adjusted <= look.alpha:
            one.suspicion.broken.add(at)


def _attainable(cases: Iterable[Arms]) -> float:
    known = [case for case in cases if case.both]
    return attainable_p(
        [len(case.baseline.values) for case in known],
        [len(case.candidate.values) for case in known],
    )


def _decided(tested: _Tested, exhausted: bool) -> Confirmed:
    one = tested.suspicion
    why = ""
    verdict: Verdict = "ok"
    if one.regressed or one.broken:
        verdict = "regressed" if one.regressed and _beyond(one) else "broken"
    elif tested.contradiction and tested.contradiction.is_worse:
        verdict, why = "inconclusive", tested.contradiction.said
    elif why := _undecided(tested, exhausted):
        verdict = "inconclusive"
    p_broken = [tested.p_case[at] for at in one.broken]
    return Confirmed(
        verdict=verdict,
        p=min([tested.p, *p_broken]),
        p_adjusted=min(1.0, tested.adjusted),
        cases=tuple(one.cases[at] for at in sorted(one.broken)),
        fresh=one.tried_again,
        interval=tested.interval,
        trials=one.got,
        why=why,
        unmeasured=tuple(one.cases[at] for at in one.untested),
        contradiction=tested.contradiction,
    )


def _undecided(tested: _Tested, exhausted: bool) -> str:
    """Why a comparison without a finding is not ``ok``; empty where it is."""
    one = tested.suspicion
    if exhausted and one.wanted:
        return "the re-runs ended, by their budget or otherwise, before this was decided"
    if one.mean_lost:
        asked, before, after = one.lost_of(range(len(one.cases)))
        return (
            f"{before} of the baseline's {asked} re-run trials and {after} of the candidate's "
            "gave no score"
        )
    if one.untested:
        return "re-run trials of suspicious cases gave no score"
    open_mean = one.mean and not tested.mean_could_show
    open_cases = one.suspects - tested.could_show
    if (open_mean and one.mean_looks_worse(KEEP_ROUTE[0])) or any(
        one.case_looks_worse(at, KEEP_CASE[0]) for at in open_cases
    ):
        return "too few trials were made again to tell"
    return ""


def _hold_against_stored(opened: Sequence[_Tested], rounds: int) -> None:
    """Ends what a baseline that is not the stored one cannot clear: more would be paid in vain."""
    found = contradictions([one.suspicion for one in opened], rounds)
    for one, contradiction in zip(opened, found, strict=True):
        one.contradiction = one.contradiction or contradiction
        if contradiction and contradiction.is_worse:
            one.suspicion.end()


def _beyond(one: Suspicion) -> bool:
    """Whether more than the broken cases moved, so that the route as a whole got worse."""
    if not one.broken or len(one.broken) == len(one.cases):
        return True
    return p_of_mean([case for at, case in enumerate(one.fresh) if at not in one.broken]) <= _BEYOND
