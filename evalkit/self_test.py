"""The gate tested on a team's own stored trials: how often it alarms for nothing, what it finds.

Two arms are drawn from the stored trials of each case, with replacement: nothing changed. Then a
fault is put into one route of the candidate. Both are judged by :func:`evalkit.policy.gate`, in
one stage and with confirmation, where further trials are drawn from the same store. Only limits
are left out, which do not compare, and scorers that advise, which do not block.
"""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import msgspec
import numpy as np

from evalkit.confirming import Row
from evalkit.errors import InputError
from evalkit.observations import Floats, Whole, score_rows
from evalkit.policy import gate, set_apart
from evalkit.reports import GateReport
from evalkit.results import PlannedCase, Recorded
from evalkit.suite import GatePolicy

SECONDS = 30.0
SEED = 20261121
_BLOCKING = frozenset({"regressed", "broken"})
_DROP = 0.1
_HIT = 1 / 6  # of a route's cases, for a fault in few of them
_SURE = 0.9  # the least pass rate of a case that can be said to break
NOTHING, SPREAD = "nothing", "10 points spread over a route"
SIXTH, BROKEN = "10 points in a sixth of a route", "one case broken"


class SelfTestRow(msgspec.Struct, frozen=True, kw_only=True):
    """One effect: how often the gate said so, with the Monte-Carlo error of one sigma.

    For "nothing", ``one_stage`` and ``confirmed`` count any alarm at all; for a fault those on
    the route that has it. None: no route passes often enough to have this fault, or re-runs are
    switched off. ``undecided`` is the share of one-stage gates that ended undecided.
    """

    effect: str
    repeats: int
    one_stage: float | None
    one_stage_error: float | None
    confirmed: float | None
    confirmed_error: float | None
    undecided: float | None


class SelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate does on these runs' own data."""

    runs: tuple[str, ...]
    alpha: float
    seconds: float
    rows: tuple[SelfTestRow, ...]
    notes: tuple[str, ...]


class _Pool(NamedTuple):
    """Per planned case its completed trials, each the value and passed of every gating scorer."""

    cases: tuple[PlannedCase, ...]
    scorers: tuple[str, ...]
    trials: dict[str, list[dict[str, tuple[float, bool]]]]


Trial = dict[str, tuple[float, bool]]
Effect = Callable[[str, Trial], Trial]


class _Repeat(NamedTuple):
    alarm: bool
    undecided: bool


def self_test(
    runs: list[Recorded],
    policy: GatePolicy,
    *,
    today: datetime.date,
    seconds: float = SECONDS,
    repeats: int = 400,
    seed: int = SEED,
) -> SelfTest:
    """False alarms and power of the gate on the stored trials of one run, or several alike.

    Runs are pooled case by case: give several only where nothing changed between them; cases in
    quarantine ``today`` have no part. Ends after ``seconds`` or ``repeats`` of each effect,
    whichever is first. Raises InputError where nothing was scored.
    """
    pool = _pool([set_apart(one, policy, today) for one in runs], policy)
    policy = _comparing(policy)
    trials = runs[0].run.trials
    rng = np.random.default_rng(seed)
    began = time.monotonic()
    able = {effect: _able(pool, effect) for effect in (NOTHING, SPREAD, SIXTH, BROKEN)}
    found: dict[tuple[str, bool], list[_Repeat]] = {
        (effect, confirmed): []
        for effect, routes in able.items()
        for confirmed in ((False, True) if policy.confirm.enabled else (False,))
        if routes
    }
    for number in range(repeats):
        for (effect, confirmed), made in found.items():
            if number and time.monotonic() - began > seconds:
                return _result(runs, policy, found, able, began, pool)
            route = str(rng.choice(able[effect]))
            change = _fault(pool, effect, route, rng)
            arms = _Arms(pool, runs[0], trials, rng, change)
            made.append(_repeat(arms, policy, effect, route, today, confirmed=confirmed))
    return _result(runs, policy, found, able, began, pool)


def _comparing(policy: GatePolicy) -> GatePolicy:
    """The policy without what does not compare or does not block."""
    replace_ = msgspec.structs.replace
    routes = {
        route: replace_(own, on=policy.of(route).on, limits=() if own.limits else None, advise=None)
        for route, own in policy.routes.items()
    }
    return replace_(policy, limits=(), advise=(), quarantine=(), routes=routes)


def _pool(runs: list[Recorded], policy: GatePolicy) -> _Pool:
    """The completed trials with all that the gating scorers said of them, case by case."""
    digests = {case.id: case.digest for case in runs[0].run.planned}
    gating = {case.id: policy.of(case.route).on or () for case in runs[0].run.planned}
    trials: dict[str, list[Trial]] = {}
    for recorded in runs:
        same = {case.id for case in recorded.run.planned if digests.get(case.id) == case.digest}
        rows = score_rows(recorded)
        number = np.array(recorded.scores["trial"].to_pylist(), dtype=np.intp)[rows.row]
        by_trial: dict[tuple[str, int], Trial] = {}
        for case, scorer, trial, value, passed, judged in zip(
            rows.case.tolist(), rows.scorer.tolist(), number.tolist(), rows.value.tolist(),
            rows.passed.tolist(), rows.judged.tolist(), strict=True,
        ):  # fmt: skip
            name = rows.cases[case]
            if judged and name in same and rows.scorers[scorer] in gating[name]:
                one = by_trial.setdefault((name, trial), {})
                one[rows.scorers[scorer]] = (value, passed == 1)
        for (tried, _), said in by_trial.items():
            trials.setdefault(tried, []).append(said)
    cases = tuple(case for case in runs[0].run.planned if case.id in trials)
    if not cases:
        of = "of a case that is not in quarantine " if policy.quarantine else ""
        why = f"no trial {of}has scores of {', '.join(policy.all_on)}"
        if gating and not any(gating.values()):
            why = "`on` is empty for every route"
        raise InputError(f"nothing to test the gate on: {why}")
    return _Pool(cases, policy.all_on, trials)


class _Arms(NamedTuple):
    """Where both arms of one repeat are drawn from; ``change`` is the candidate's fault."""

    pool: _Pool
    like: Recorded
    trials: int
    rng: np.random.Generator
    change: Effect | None

    def rerun(self, wanted: Mapping[str, int]) -> tuple[list[Row], list[Row]]:
        """Further trials of both."""
        before, after = (_rows(self.pool, wanted, self.rng, one) for one in (None, self.change))
        return before, after


def _repeat(
    arms: _Arms,
    policy: GatePolicy,
    effect: str,
    route: str,
    today: datetime.date,
    *,
    confirmed: bool,
) -> _Repeat:
    pool, like, trials, rng, change = arms
    before = _drawn(pool, like, "baseline", trials, rng, None)
    after = _drawn(pool, like, "candidate", trials, rng, change)
    rerun = arms.rerun if confirmed else None
    report = gate(after, before, policy, today=today, rerun=rerun)
    return _Repeat(_alarms(report, None if effect == NOTHING else route), report.exit == 3)


def _alarms(report: GateReport, route: str | None) -> bool:
    return any(
        row.blocking and row.verdict in _BLOCKING
        for row in report.rows
        if route is None or row.route == route
    )


def _passing(pool: _Pool, route: str) -> tuple[list[str], Floats]:
    """The cases of a route, and how often each passes."""
    mine = [case.id for case in pool.cases if case.route == route]
    return mine, np.array([_pass_rate(pool.trials[case]) for case in mine])


def _hit(passing: Floats) -> Whole:
    """The surest sixth of a route's cases."""
    hit: Whole = np.argsort(-passing, kind="stable")[: max(1, round(len(passing) * _HIT))]
    return hit


def _able(pool: _Pool, effect: str) -> list[str]:
    """The routes that pass often enough to have this fault."""
    able = []
    for route in sorted({case.route for case in pool.cases}):
        passing = _passing(pool, route)[1]
        loses = {SPREAD: float(passing.sum()), SIXTH: float(passing[_hit(passing)].sum())}
        enough = loses.get(effect, math.inf) >= _DROP * len(passing) - 1e-9
        if enough and (effect != BROKEN or passing.max() >= _SURE):
            able.append(route)
    return able


def _fault(pool: _Pool, effect: str, route: str, rng: np.random.Generator) -> Effect | None:
    """What becomes of a candidate's trial: a failing one, with a chance by case."""
    if effect == NOTHING:
        return None
    mine, passing = _passing(pool, route)
    if effect == BROKEN:
        surest = np.flatnonzero(passing == passing.max())
        lost = {mine[int(rng.choice(surest))]: 1.0}
    elif effect == SPREAD:
        lost = dict.fromkeys(mine, _DROP / float(passing.mean()))
    else:
        hit = _hit(passing)
        share = _DROP * len(mine) / float(passing[hit].sum())
        lost = dict.fromkeys((mine[at] for at in hit.tolist()), share)

    def change(case: str, trial: Trial) -> Trial:
        if case in lost and rng.random() < lost[case]:
            return dict.fromkeys(trial, (0.0, False))
        return trial

    return change


def _pass_rate(trials: list[Trial]) -> float:
    return sum(all(passed for _, passed in one.values()) for one in trials) / len(trials)


def _draw(
    pool: _Pool, case: str, count: int, rng: np.random.Generator, change: Effect | None
) -> list[Trial]:
    stored = pool.trials[case]
    drawn = [stored[at] for at in rng.integers(len(stored), size=count).tolist()]
    return [change(case, one) for one in drawn] if change else drawn


def _rows(
    pool: _Pool, wanted: Mapping[str, int], rng: np.random.Generator, change: Effect | None
) -> list[Row]:
    routes = {case.id: case.route for case in pool.cases}
    return [
        Row(routes[case], case, number, scorer, value, passed)
        for case, count in wanted.items()
        for number, one in enumerate(_draw(pool, case, count, rng, change))
        for scorer, (value, passed) in one.items()
    ]


def _drawn(
    pool: _Pool,
    like: Recorded,
    name: str,
    trials: int,
    rng: np.random.Generator,
    change: Effect | None,
) -> Recorded:
    """One arm as a stored run would be: every case as often as the run plans."""
    import pyarrow as pa

    rows = _rows(pool, {case.id: trials for case in pool.cases}, rng, change)
    scored = {
        "case": [row.case for row in rows],
        "trial": [row.trial for row in rows],
        "route": [row.route for row in rows],
        "scorer": [row.scorer for row in rows],
        "value": [row.value for row in rows],
        "passed": [row.passed for row in rows],
        "status": ["scored"] * len(rows),
        "reason": [""] * len(rows),
        "findings": [None] * len(rows),
    }
    done = [(case, number) for case in pool.cases for number in range(trials)]
    unknown = pa.nulls(len(done), pa.float64())
    tried = {
        "case": [case.id for case, _ in done],
        "trial": [number for _, number in done],
        "route": [case.route for case, _ in done],
        "status": ["completed"] * len(done),
        **dict.fromkeys(("latency_s", "tokens_in", "tokens_out", "cost_usd"), unknown),
    }
    suite = msgspec.structs.replace(like.run.suite, scorers=pool.scorers)
    run = msgspec.structs.replace(
        like.run, id=name, label=name, suite=suite, planned=pool.cases, trials=trials,
        status="complete",
    )  # fmt: skip
    types = {"findings": pa.string()}
    return replace(
        like,
        run=run,
        trials=pa.table(tried),
        scores=pa.table({key: pa.array(value, types.get(key)) for key, value in scored.items()}),
        steps=None,
    )


def _result(
    runs: list[Recorded],
    policy: GatePolicy,
    found: dict[tuple[str, bool], list[_Repeat]],
    able: dict[str, list[str]],
    began: float,
    pool: _Pool,
) -> SelfTest:
    rows = []
    for effect in able:
        once, twice = (found.get((effect, confirmed), []) for confirmed in (False, True))
        one, one_error = _share(once)
        two, two_error = _share(twice)
        rows.append(
            SelfTestRow(
                effect=effect,
                repeats=len(once),
                one_stage=one,
                one_stage_error=one_error,
                confirmed=two,
                confirmed_error=two_error,
                undecided=sum(each.undecided for each in once) / len(once) if once else None,
            )
        )
    return SelfTest(
        runs=tuple(one.run.label for one in runs),
        alpha=policy.alpha,
        seconds=time.monotonic() - began,
        rows=tuple(rows),
        notes=tuple(_notes(pool, able, policy)),
    )


def _notes(pool: _Pool, able: dict[str, list[str]], policy: GatePolicy) -> Iterator[str]:
    yield "a case whose stored trials all passed never fails here: more trials, more truth"
    few = sum(len(trials) < 3 for trials in pool.trials.values())
    if few:
        yield f"{few} of {len(pool.trials)} cases have fewer than 3 trials to draw from"
    if not policy.confirm.enabled:
        yield "no re-runs: they are switched off, or the traces are recorded"
    every = len(able[NOTHING])
    for effect, routes in able.items():
        if len(routes) < every:
            yield (
                f"{effect}: of {every} routes only {len(routes)} pass often enough to have this "
                "fault; it is put into no other"
            )


def _share(repeats: list[_Repeat]) -> tuple[float | None, float | None]:
    """A share and its standard error; of none or all, the error that one more would show."""
    if not repeats:
        return None, None
    count, alarms = len(repeats), sum(one.alarm for one in repeats)
    near = (alarms + 0.5) / (count + 1)
    return alarms / count, math.sqrt(near * (1 - near) / count)
