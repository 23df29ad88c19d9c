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
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from evalkit.comparison import Paired
from evalkit.observations import Observed
from evalkit.permutation import attainable_p
from evalkit.stats import holm
from evalkit.suspicion import KEEP_CASE, KEEP_ROUTE, NONE, Arms, arms_of, p_of_mean

ROUNDS = (1, 3, 6, 12, 20, 32)
"""Fresh trials of a case in each arm after each round; the last is :data:`TRIALS`."""

TRIALS = ROUNDS[-1]
"""Fresh trials of a case in each arm at most, over all rounds."""

MOST_LOST = 0.25
"""The share of fresh trials that may be lost before nothing is decided."""

_BEYOND = 0.15  # p of the other cases' mean that makes broken cases a regression of their route


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
    """A comparison while it is being confirmed: what is suspicious, and its fresh trials."""

    route: str
    scorer: str
    stored: list[Arms]
    cases: tuple[str, ...]
    p: float
    mean: bool
    suspects: set[int]
    fresh: list[Arms]
    p_case: dict[int, float] = field(default_factory=dict)
    adjusted: float = 1.0
    regressed: bool = False
    broken: set[int] = field(default_factory=set)
    asked: int = 0
    got: int = 0
    tried_whole: bool = False

    @property
    def wanted(self) -> Iterable[int]:
        """The cases that need further trials."""
        return range(len(self.cases)) if self.mean else sorted(self.suspects)

    @property
    def measurable(self) -> bool:
        """Whether few enough fresh trials were lost."""
        return self.asked - self.got <= MOST_LOST * self.asked


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
    opened = [_screen(one) for one in family]
    means = [one for one in opened if one.mean]
    cases = [(one, at) for one in opened for at in sorted(one.suspects)]
    share = 0.5 if means and cases else 1.0
    spent, tried, exhausted = 0, 0, False
    for number, goal in enumerate(goals(trials)):
        for one in opened:
            _let_go(one, number)
        wanted = {one.cases[at]: goal - tried for one in opened for at in one.wanted}
        cost = 2 * sum(wanted.values())
        if not cost:
            break
        if max_trials is not None and spent + cost > max_trials:
            exhausted = True
            break
        made = rerun(wanted)
        if made is None:
            exhausted = True
            break
        spent += cost
        _take(opened, goal - tried, made)
        looked = share * (goal - tried) / trials
        _test_means(means, alpha, looked)
        _test_cases(cases, alpha, looked)
        tried = goal
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


def refreshed(stored: Paired, fresh: Paired | None) -> Paired:
    """The comparison with fresh trials in place of stored ones, where a case has any."""
    if fresh is None:
        return stored
    before = dict(zip(fresh.cases, fresh.baseline, strict=True))
    after = dict(zip(fresh.cases, fresh.candidate, strict=True))
    rows = zip(stored.cases, stored.baseline, stored.candidate, strict=True)
    merged = [(before.get(case, was), after.get(case, now)) for case, was, now in rows]
    return Paired(stored.cases, tuple(was for was, _ in merged), tuple(now for _, now in merged))


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


def _screen(one: Comparison) -> _Open:
    stored = arms_of(one.stored)
    p = p_of_mean(stored)
    return _Open(
        route=one.route,
        scorer=one.scorer,
        stored=stored,
        cases=one.stored.cases,
        p=p,
        mean=p <= KEEP_ROUTE[0],
        suspects={at for at, case in enumerate(stored) if case.looks_broken},
        fresh=[NONE] * len(stored),
    )


def _let_go(one: _Open, number: int) -> None:
    """Ends what is settled, and drops what no longer looks worse in all trials together."""
    one.suspects -= one.broken
    one.mean = one.mean and not one.regressed and not one.broken
    if one.regressed:
        one.suspects = set()
    if number and (one.mean or one.suspects):
        seen = {at: one.stored[at].with_more(one.fresh[at]) for at in one.wanted}
        one.mean = one.mean and p_of_mean(list(seen.values())) <= KEEP_ROUTE[number]
        one.suspects = {at for at in one.suspects if seen[at].p <= KEEP_CASE[number]}


def _take(opened: Iterable[_Open], trials: int, made: tuple[Iterable[Row], Iterable[Row]]) -> None:
    """Hands the fresh rows to the comparisons that asked for them."""
    arms: list[dict[tuple[str, str, str], list[Row]]] = [{}, {}]
    for arm, rows in zip(arms, made, strict=True):
        for row in rows:
            if 0 <= row.value <= 1:
                arm.setdefault((row.route, row.case, row.scorer), []).append(row)
    for one in opened:
        one.tried_whole |= one.mean
        for at in one.wanted:
            key = (one.route, one.cases[at], one.scorer)
            more = Arms(*(_seen(arm.get(key, ())[:trials]) for arm in arms))
            one.fresh[at] = one.fresh[at].with_more(more)
            one.asked += 2 * trials
            one.got += len(more.baseline.values) + len(more.candidate.values)


def _test_means(means: Sequence[_Open], alpha: float, share: float) -> None:
    ps = []
    for one in means:
        tested = one.mean and one.measurable
        ps.append(p_of_mean(one.fresh) if tested else float(not one.regressed))
        one.p = ps[-1] if tested else one.p
    for one, adjusted in zip(means, holm(ps), strict=True):
        if one.mean:
            one.adjusted = min(one.adjusted, adjusted / share)
            one.regressed = adjusted / share <= alpha


def _test_cases(cases: Sequence[tuple[_Open, int]], alpha: float, share: float) -> None:
    ps = []
    for one, at in cases:
        tested = at in one.suspects and one.fresh[at].both
        ps.append(one.fresh[at].p if tested else float(at not in one.broken))
        if tested:
            one.p_case[at] = ps[-1]
    for (one, at), adjusted in zip(cases, holm(ps), strict=True):
        if at in one.suspects:
            one.adjusted = min(one.adjusted, adjusted / share)
            if adjusted / share <= alpha:
                one.broken.add(at)


def _decided(one: _Open, exhausted: bool, alpha: float) -> Confirmed:
    lost = one.asked - one.got
    fresh = _fresh(one)
    why = ""
    verdict: Literal["regressed", "broken", "ok", "inconclusive"] = "ok"
    if one.regressed or one.broken:
        verdict = "regressed" if one.regressed and _beyond(one) else "broken"
    elif one.wanted and exhausted:
        verdict, why = (
            "inconclusive",
            "the re-runs ended, by their budget or otherwise, before this was decided",
        )
    elif not one.measurable:
        verdict, why = "inconclusive", f"{lost} of {one.asked} re-run trials gave no score"
    elif one.wanted and fresh and _attainable(fresh) > alpha / 2:
        verdict, why = "inconclusive", "too few trials were made again to tell"
    return Confirmed(
        verdict=verdict,
        p=min([one.p, *(one.p_case[at] for at in one.broken)]) if one.broken else one.p,
        p_adjusted=min(1.0, one.adjusted),
        cases=tuple(one.cases[at] for at in sorted(one.broken)),
        fresh=fresh,
        whole=one.tried_whole,
        trials=one.got,
        why=why,
    )


def _beyond(one: _Open) -> bool:
    """Whether more than the broken cases moved, so that the route as a whole got worse."""
    if not one.broken or len(one.broken) == len(one.cases):
        return True
    return p_of_mean([case for at, case in enumerate(one.fresh) if at not in one.broken]) <= _BEYOND


def _attainable(fresh: Paired) -> float:
    return attainable_p(
        [len(seen.values) for seen in fresh.baseline],
        [len(seen.values) for seen in fresh.candidate],
    )


def _fresh(one: _Open) -> Paired | None:
    """The fresh trials of every case that has some in both arms."""
    kept = [at for at, case in enumerate(one.fresh) if case.both]
    if not kept:
        return None
    return Paired(
        tuple(one.cases[at] for at in kept),
        tuple(one.fresh[at].baseline for at in kept),
        tuple(one.fresh[at].candidate for at in kept),
    )
