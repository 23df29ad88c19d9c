"""Two stages: stored trials raise a suspicion, fresh trials of both arms confirm or drop it.

:func:`confirm` is pure: it looks at the trials that are there, asks a callback for more where
they tell something, and decides **on the fresh trials only**. So neither the choice of what to
look at, nor a lucky baseline, nor an outage while the candidate ran can make an alarm.

Two families are tested, each at its half of ``alpha`` (at all of it where the other is empty):

- *routes*: does the mean over all cases of a suspicious route and scorer drop? Suspicious is a
  route whose stored trials give the within-case permutation test p <= 0.5. All of its cases are
  tried again, not only those that failed: a choice by failures would turn a drift that leaves
  the mean where it is into a drop.
- *cases*: does a case pass less often? Suspicious is a case that always passed and no longer
  does, and any other whose exact (hypergeometric) p is at most 0.25. Tested by that exact test on
  fresh trials of its own.

Fresh trials come in three rounds. After each round whatever no longer looks worse, stored trials
included, is let go, which can only take alarms away. What is significant is not tried further:
the rounds share ``alpha`` as 5, 10 and 85 %, so that looking early costs nothing in certainty.
Holm corrects within a family for everything that was suspicious.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, NamedTuple

from evalkit.comparison import Paired
from evalkit.observations import Observed
from evalkit.permutation import attainable_p, permutation_drop
from evalkit.stats import holm

LOOKS = (0.05, 0.10, 0.85)
"""How the rounds share alpha."""

KEEP_ROUTE = (0.5, 0.15, 0.04)
"""A route goes on while p, stored trials included, is at most this: to round 1, 2 and 3."""

SUSPECT_CASE = 0.25
"""A case that did not always pass before is suspicious where its stored p is at most this."""

KEEP_CASE = (0.10, 0.03)
"""A case goes on while p, stored trials included, is at most this: to round 2 and 3."""

MOST_LOST = 0.25
"""The share of fresh trials that may be lost before nothing is decided."""

TRIALS = 24
"""Fresh trials of a case in each arm, over all rounds."""

_EARLY, _MIDDLE, _CASE_EARLY = 1 / 12, 1 / 4, 1 / 8
_DRAWS = 9_999


class Row(NamedTuple):
    """What a scorer said of one trial: the rows of the tables that :func:`confirm_tables` takes.

    ``value`` is in [0, 1]. In what a re-run gives, ``trial`` counts from 0 within that re-run.
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
    """One route and scorer, with the stored trials of both arms."""

    route: str
    scorer: str
    stored: Paired


class Confirmed(NamedTuple):
    """The decision on one comparison.

    ``p`` is that of the last test made on fresh trials (of the stored ones where nothing was
    suspicious), ``p_adjusted`` after Holm and the shares of families and rounds: at most alpha is
    significant. ``cases`` are those that fail more often for sure. ``fresh`` holds the fresh
    trials of the cases that were tried again, ``whole`` says whether those are all of the route.
    ``trials`` counts the fresh ones of both arms; ``why`` is set where nothing could be decided.
    """

    verdict: Literal["regressed", "broken", "ok", "inconclusive"]
    p: float
    p_adjusted: float
    cases: tuple[str, ...]
    fresh: Paired | None
    whole: bool
    trials: int
    why: str = ""


class Confirmation(NamedTuple):
    """All decisions, in the order of the comparisons, and the fresh trials of both arms spent."""

    found: tuple[Confirmed, ...]
    spent: int
    exhausted: bool


@dataclass
class _Open:
    """A comparison while it is being confirmed: what is suspicious, and its fresh trials.

    Trials asked for the route and those asked for a case are kept apart: how many a case gets
    depends on how its own went, which would bias the mean of the route.
    """

    route: str
    scorer: str
    stored: Paired
    p: float
    mean: bool = False
    suspects: set[int] = field(default_factory=set)
    for_mean: list[tuple[list[Row], list[Row]]] = field(default_factory=list)
    for_case: list[tuple[list[Row], list[Row]]] = field(default_factory=list)
    p_mean: float = 1.0
    p_case: dict[int, float] = field(default_factory=dict)
    adjusted: float = 1.0
    regressed: bool = False
    broken: set[int] = field(default_factory=set)
    asked: int = 0
    got: int = 0
    tried_whole: bool = False

    @property
    def active(self) -> bool:
        return not self.regressed and not self.broken and (self.mean or bool(self.suspects))


def confirm(
    family: Sequence[Comparison],
    rerun: Rerun,
    *,
    alpha: float = 0.05,
    trials: int = TRIALS,
    max_trials: int | None = None,
) -> Confirmation:
    """Decides every comparison; any false alarm at all has a chance of at most ``alpha``.

    ``trials`` is how often a case is tried again in each arm at most; ``max_trials`` bounds the
    fresh trials of all cases and both arms. A suspicion that a budget leaves open is
    ``inconclusive``, never ``ok``.
    """
    rounds = _rounds(trials)
    opened = [_screen(one) for one in family]
    means = [one for one in opened if one.mean]
    cases = [(one, at) for one in opened for at in sorted(one.suspects)]
    share = 0.5 if means and cases else 1.0
    spent, exhausted = 0, False
    for number, (per_route, per_case) in enumerate(rounds):
        wanted = _wanted(opened, per_route, per_case)
        cost = 2 * sum(route + case for route, case in wanted.values())
        if not cost:
            break
        if max_trials is not None and spent + cost > max_trials:
            exhausted = True
            break
        made = rerun({case: route + extra for case, (route, extra) in wanted.items()})
        if made is None:
            exhausted = True
            break
        spent += cost
        _take(opened, wanted, made)
        last = number == len(rounds) - 1
        # the last round made gets all that earlier ones of a full plan would have left
        looked = share * (1 - sum(LOOKS[:number]) if last else LOOKS[number])
        _test_means(means, alpha, looked)
        _test_cases(cases, alpha, looked)
        if not last:
            _let_go(opened, number)
    return Confirmation(tuple(_decided(one, exhausted, alpha) for one in opened), spent, exhausted)


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

    Only cases in both tables are compared. Raises ValueError for a value outside [0, 1].
    """
    before, after = _by_comparison(baseline), _by_comparison(candidate)
    family = []
    for key, now in after.items():
        was = before.get(key, {})
        both = tuple(case for case in now if case in was)
        if both:
            paired = Paired(
                both, tuple(_seen(was[c]) for c in both), tuple(_seen(now[c]) for c in both)
            )
            family.append(Comparison(*key, paired))
    found = confirm(family, rerun, alpha=alpha, trials=trials, max_trials=max_trials)
    return {(one.route, one.scorer): said for one, said in zip(family, found.found, strict=True)}


@cache
def fewer_passes(passed_before: int, before: int, passed_after: int, after: int) -> float:
    """The exact one-sided p that a case passes less often: the hypergeometric tail, (0, 1]."""
    passes, all_trials = passed_before + passed_after, before + after
    least = max(0, passes - before)
    ways = sum(
        math.comb(passes, k) * math.comb(all_trials - passes, after - k)
        for k in range(least, passed_after + 1)
    )
    return ways / math.comb(all_trials, after)


def _by_comparison(rows: Iterable[Row]) -> dict[tuple[str, str], dict[str, list[Row]]]:
    tables: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for row in rows:
        if not 0 <= row.value <= 1:
            raise ValueError(
                f"case {row.case!r}, trial {row.trial}: {row.value!r} is not in [0, 1]"
            )
        tables.setdefault((row.route, row.scorer), {}).setdefault(row.case, []).append(row)
    return tables


def _seen(rows: Sequence[Row]) -> Observed:
    return Observed(
        tuple(float(row.value) for row in rows), tuple(float(row.passed) for row in rows)
    )


def _rounds(trials: int) -> list[tuple[int, int]]:
    """Trials of each arm per round: of every case of a route, and of a case that looks worse."""
    if trials < 4:
        return [(trials, trials)]
    early, middle = max(1, round(trials * _EARLY)), max(1, round(trials * _MIDDLE))
    case_early = max(1, round(trials * _CASE_EARLY))
    return [
        (early, case_early),
        (middle, middle),
        (trials - early - middle, trials - case_early - middle),
    ]


def _screen(one: Comparison) -> _Open:
    stored = one.stored
    before = [seen.values for seen in stored.baseline]
    after = [seen.values for seen in stored.candidate]
    p = permutation_drop(before, after).p
    opened = _Open(one.route, one.scorer, stored, p)
    opened.for_mean = [([], []) for _ in stored.cases]
    opened.for_case = [([], []) for _ in stored.cases]
    opened.mean = p <= KEEP_ROUTE[0]
    opened.suspects = {
        at
        for at, (was, now) in enumerate(zip(stored.baseline, stored.candidate, strict=True))
        if _looks_broken(was, now)
    }
    return opened


def _looks_broken(was: Observed, now: Observed) -> bool:
    if all(was.passed):
        return not all(now.passed)
    passed = int(sum(was.passed)), len(was.passed), int(sum(now.passed)), len(now.passed)
    return fewer_passes(*passed) <= SUSPECT_CASE


def _wanted(opened: Iterable[_Open], per_route: int, per_case: int) -> dict[str, tuple[int, int]]:
    """Per case the trials for its route's mean, and those for its own sake."""
    wanted: dict[str, tuple[int, int]] = {}
    for one in opened:
        if not one.active:
            continue
        for at, case in enumerate(one.stored.cases):
            route, extra = wanted.get(case, (0, 0))
            route = per_route if one.mean else route
            extra = per_case if at in one.suspects else extra
            if route or extra:
                wanted[case] = (route, extra)
    return wanted


def _take(
    opened: Iterable[_Open],
    wanted: Mapping[str, tuple[int, int]],
    made: tuple[Iterable[Row], Iterable[Row]],
) -> None:
    """Hands the fresh rows out: a case's first trials to the route, the others to the case."""
    arms: list[dict[tuple[str, str], list[Row]]] = [{}, {}]
    for arm, rows in zip(arms, made, strict=True):
        for row in rows:
            if 0 <= row.value <= 1:
                arm.setdefault((row.case, row.scorer), []).append(row)
    for one in opened:
        if not one.active:
            continue
        one.tried_whole |= one.mean
        for at, case in enumerate(one.stored.cases):
            route, extra = wanted.get(case, (0, 0))
            one.asked += 2 * (route * one.mean + extra * (at in one.suspects))
            for side, arm in enumerate(arms):
                for row in arm.get((case, one.scorer), ()):
                    if row.trial < route and one.mean:
                        one.for_mean[at][side].append(row)
                        one.got += 1
                    elif row.trial >= route and at in one.suspects:
                        one.for_case[at][side].append(row)
                        one.got += 1


def _test_means(means: Sequence[_Open], alpha: float, share: float) -> None:
    for one in means:
        one.p_mean = 1.0
        if one.active and one.mean and (arms := _fresh_arms(one)):
            one.p_mean = permutation_drop(*arms, draws=_DRAWS).p
            one.p = one.p_mean
    for one, adjusted in zip(means, holm([one.p_mean for one in means]), strict=True):
        if one.active:
            one.adjusted = min(one.adjusted, adjusted / share)
            one.regressed = adjusted / share <= alpha


def _fresh_arms(one: _Open) -> tuple[list[list[float]], list[list[float]]] | None:
    """The fresh values of the cases that have some in both arms; None where too many are lost."""
    if one.got < (1 - MOST_LOST) * one.asked:
        return None
    both = [(was, now) for was, now in one.for_mean if was and now]
    if not both:
        return None
    return [[row.value for row in was] for was, _ in both], [
        [row.value for row in now] for _, now in both
    ]


def _test_cases(cases: Sequence[tuple[_Open, int]], alpha: float, share: float) -> None:
    ps = []
    for one, at in cases:
        was, now = one.for_case[at]
        p = 1.0
        if at in one.suspects and (one.active or one.regressed) and was and now:
            p = fewer_passes(*_passes(was), *_passes(now))
            one.p_case[at] = p
        ps.append(p)
    for (one, at), adjusted in zip(cases, holm(ps), strict=True):
        if adjusted / share <= alpha and at in one.suspects:
            one.broken.add(at)
        one.adjusted = min(one.adjusted, adjusted / share)


def _passes(rows: Sequence[Row]) -> tuple[int, int]:
    return sum(row.passed for row in rows), len(rows)


def _let_go(opened: Iterable[_Open], number: int) -> None:
    """Drops what no longer looks worse, from stored and fresh trials together."""
    for one in opened:
        if not one.active:
            continue
        seen = list(zip(one.stored.baseline, one.stored.candidate, strict=True))
        if one.mean:
            before = [
                [*was.values, *(row.value for row in fresh[0])]
                for (was, _), fresh in zip(seen, one.for_mean, strict=True)
            ]
            after = [
                [*now.values, *(row.value for row in fresh[1])]
                for (_, now), fresh in zip(seen, one.for_mean, strict=True)
            ]
            one.mean = permutation_drop(before, after).p <= KEEP_ROUTE[number + 1]
        one.suspects = {
            at
            for at in one.suspects
            if _pooled_case(seen[at], one.for_case[at]) <= KEEP_CASE[number]
        }


def _pooled_case(
    stored: tuple[Observed, Observed], fresh: tuple[Sequence[Row], Sequence[Row]]
) -> float:
    counts: list[int] = []
    for seen, rows in zip(stored, fresh, strict=True):
        passed, tried = _passes(rows)
        counts += (passed + int(sum(seen.passed)), tried + len(seen.passed))
    return fewer_passes(*counts)


def refreshed(stored: Paired, fresh: Paired | None) -> Paired:
    """The comparison with fresh trials in place of stored ones, where a case has any."""
    if fresh is None:
        return stored
    before = dict(zip(fresh.cases, fresh.baseline, strict=True))
    after = dict(zip(fresh.cases, fresh.candidate, strict=True))
    rows = zip(stored.cases, stored.baseline, stored.candidate, strict=True)
    merged = [(before.get(case, was), after.get(case, now)) for case, was, now in rows]
    return Paired(stored.cases, tuple(was for was, _ in merged), tuple(now for _, now in merged))


def _decided(one: _Open, exhausted: bool, alpha: float) -> Confirmed:
    names = one.stored.cases
    lost = one.asked - one.got
    why = ""
    verdict: Literal["regressed", "broken", "ok", "inconclusive"] = "ok"
    if one.regressed or one.broken:
        verdict = "regressed" if one.regressed and _beyond(one) else "broken"
    elif one.active and exhausted:
        verdict, why = (
            "inconclusive",
            "the re-runs ended, by their budget or otherwise, before this was decided",
        )
    elif lost > MOST_LOST * one.asked:
        verdict, why = "inconclusive", f"{lost} of {one.asked} re-run trials gave no score"
    elif one.active and (found := _fresh(one)) and _attainable(found) > alpha / 2:
        verdict, why = "inconclusive", "too few trials were made again to tell"
    return Confirmed(
        verdict=verdict,
        p=min([one.p, *(one.p_case[at] for at in one.broken)]) if one.broken else one.p,
        p_adjusted=min(1.0, one.adjusted),
        cases=tuple(names[at] for at in sorted(one.broken)),
        fresh=_fresh(one),
        whole=one.tried_whole,
        trials=one.got,
        why=why,
    )


def _beyond(one: _Open) -> bool:
    """Whether more than the broken cases moved, so that the route as a whole got worse."""
    if not one.broken:
        return True
    others = [arms for at, arms in enumerate(one.for_mean) if at not in one.broken and all(arms)]
    if not others:
        return len(one.broken) == len(one.stored.cases)
    before, after = ([[row.value for row in arms[side]] for arms in others] for side in (0, 1))
    return permutation_drop(before, after).p <= KEEP_ROUTE[1]


def _attainable(fresh: Paired) -> float:
    return attainable_p(
        [len(seen.values) for seen in fresh.baseline],
        [len(seen.values) for seen in fresh.candidate],
    )


def _fresh(one: _Open) -> Paired | None:
    """The fresh trials of every case that has some in both arms."""
    kept = []
    for at, case in enumerate(one.stored.cases):
        was = [*one.for_mean[at][0], *one.for_case[at][0]]
        now = [*one.for_mean[at][1], *one.for_case[at][1]]
        if was and now:
            kept.append((case, _seen(was), _seen(now)))
    if not kept:
        return None
    names, before, after = zip(*kept, strict=True)
    return Paired(names, before, after)
