"""Absolute floors and ceilings: what a run's route measures, with an interval, against a number.

A limit is one line of text, such as ``pass_rate(task_completion) >= 0.9`` or
``p99_latency_s <= 3``. It is judged by the 95 % interval of what was measured: breached only
where the whole interval lies beyond it.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from evalkit import untold
from evalkit.observations import (
    Floats,
    Whole,
    cases_by_route,
    observations,
    score_rows,
    taken,
    trial_rows,
)
from evalkit.permutation import permutation_drop
from evalkit.results import Recorded
from evalkit.stats import mean_interval, pass_at, pass_hat
from evalkit.suite import score_name
from evalkit.values import canonical

if TYPE_CHECKING:
    import pyarrow as pa

    from evalkit.observations import ScoreRows, TrialRows

_TEXT = re.compile(r" *([a-z_]+|pass[\^@]|p)(\d*)(_latency_s)?(?:\(([^()]+)\))? *(<=|>=) *(\S+) *")


_BY_CHANCE = 0.05  # p above which a step that the baseline took may have gone by chance
_MOST_NAMED = 5


class Limit(NamedTuple):
    """A limit as read: ``of`` is the scorer or step it is about, ``k`` of pass^k or percentile."""

    text: str
    measure: str
    of: str
    k: int
    floor: bool
    bound: float

    @property
    def of_scorer(self) -> bool:
        """Whether it is about what a scorer said."""
        return self.measure in ("mean", "pass_rate", "pass^", "pass@")

    @property
    def of_steps(self) -> bool:
        """Whether it needs the recorded steps."""
        return self.measure in ("retries", "fail_rate")

    @property
    def of_step(self) -> bool:
        """Whether it is about one step, by its name."""
        return self.measure == "fail_rate"


class Measured(NamedTuple):
    """A quantity with its 95 % interval over cases; None where it is not known.

    ``untold`` of the ``completed`` trials may have done more of it than their traces tell.
    """

    value: float | None
    low: float | None
    high: float | None
    cases: int
    trials: int
    untold: int = 0
    completed: int = 0


class Walked(NamedTuple):
    """Per trial what was found in its steps, and whether they may not be all."""

    values: Floats
    untold: untold.Flags


class Tables(NamedTuple):
    """A run's tables as arrays, read once for all limits."""

    recorded: Recorded
    scores: ScoreRows
    trials: TrialRows
    routes: dict[str, Whole]
    # What was found in the steps, per trial, by what a limit looks at: they are walked once.
    walked: dict[tuple[str, str], Walked]


def read_limit(text: str) -> Limit:
    """A limit from its text, of the form that :data:`evalkit.suite.Limit` allows."""
    found = _TEXT.fullmatch(text)
    assert found, f"{text!r} was checked when the suite was read"
    measure, k, latency, of, sign, bound = found.groups()
    name = "latency" if latency else measure
    return Limit(
        " ".join(text.split()),
        name,
        score_name((of or "").strip()),
        int(k or 0),
        sign == ">=",
        float(bound),
    )


def read_tables(recorded: Recorded) -> Tables:
    """Reads a run's tables once."""
    rows = score_rows(recorded), trial_rows(recorded)
    return Tables(recorded, *rows, cases_by_route(recorded), {})


def measure(limit: Limit, tables: Tables, route: str) -> Measured:
    """What a limit is about, on one route: completed trials only, cases as clusters.

    Shares take :func:`evalkit.stats.mean_interval`; means of tokens, dollars and retries
    Student's t over cases, retries no less than Poisson's of their number; percentiles of latency
    the order statistics at the exact binomial interval of the share beyond, with as many trials
    as their likeness within cases is worth.
    """
    if limit.of_scorer:
        return _scored(limit, tables, route)
    mine = np.isin(tables.trials.case, tables.routes[route]) & tables.trials.completed
    if limit.measure == "latency":
        return _percentile(limit, tables.trials.latency_s[mine], tables.trials.case[mine])
    unsure = 0
    if limit.of_steps:
        walked = _of_steps(limit, tables)
        values, unsure = walked.values[mine], int(walked.untold[mine].sum())
    else:
        values = getattr(tables.trials, limit.measure)[mine]
    known = np.isfinite(values)
    means = _case_means(values[known], tables.trials.case[mine][known])
    found = _mean(means, int(known.sum()), share=limit.measure == "fail_rate")
    found = found._replace(untold=unsure, completed=int(mine.sum()))
    return _as_count(found, float(values[known].sum())) if limit.measure == "retries" else found


def breached(limit: Limit, found: Measured) -> bool:
    """Whether the whole interval is beyond the limit."""
    if found.low is None or found.high is None:
        return False
    return found.high < limit.bound if limit.floor else found.low > limit.bound


def beyond(limit: Limit, found: Measured) -> bool:
    """Whether the measured value itself is beyond the limit."""
    if found.value is None:
        return False
    return found.value < limit.bound if limit.floor else found.value > limit.bound


def lost_steps(
    limit: Limit, after: Tables, before: Tables, common: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """By route, why the limit's step that no trial takes there now is lost, and not by chance.

    It is where the baseline took it on the route, and in the cases that are the same less often
    now by more than chance: the exact within-case test, at 5 %, of the route, or of all routes
    where none takes the step now.
    """
    was, now = _by_case(limit, before), _by_case(limit, after)
    nowhere = not takes(limit, after)
    gone_everywhere = nowhere and _gone(
        was, now, [case for cases in common.values() for case in cases]
    )
    new = sorted(set(_names(after)) - set(_names(before)))
    hint = f" Steps that the baseline does not have: {', '.join(new[:_MOST_NAMED])}" * bool(new)
    found = {}
    for route, cases in before.routes.items():
        here = [took for at in cases.tolist() for took in was.get(before.scores.cases[at], ())]
        if any(here) and (gone_everywhere if nowhere else _gone(was, now, common.get(route, ()))):
            found[route] = (
                f"no trial took {limit.of}, which the baseline took in {int(sum(here))} of "
                f"{len(here)}: was it renamed, or is it recorded no longer?{hint}"
            )
    return found


def _gone(
    was: Mapping[str, list[float]], now: Mapping[str, list[float]], cases: Sequence[str]
) -> bool:
    both = [case for case in cases if case in was and case in now]
    return permutation_drop([was[one] for one in both], [now[one] for one in both]).p <= _BY_CHANCE


def takes(limit: Limit, tables: Tables) -> bool:
    """Whether any completed trial of the run took the step that the limit is about."""
    found = np.isfinite(_of_steps(limit, tables).values)
    return bool((found & tables.trials.completed).any())


def alike(limit: Limit, tables: Tables) -> list[str]:
    """The steps of the run with a name like the one that the limit states."""
    return difflib.get_close_matches(limit.of, _names(tables))


def _names(tables: Tables) -> list[str]:
    steps = tables.recorded.steps
    return [] if steps is None else [str(name) for name in steps["name"].unique().to_pylist()]


def _by_case(limit: Limit, tables: Tables) -> dict[str, list[float]]:
    """Per case whether each completed trial took the limit's step: 1 or 0."""
    found: dict[str, list[float]] = {}
    done = tables.trials.completed
    took = np.isfinite(_of_steps(limit, tables).values)[done].astype(float)
    for case, one in zip(tables.trials.case[done].tolist(), took.tolist(), strict=True):
        found.setdefault(tables.scores.cases[case], []).append(one)
    return found


def _scored(limit: Limit, tables: Tables, route: str) -> Measured:
    seen = observations(tables.scores, limit.of)
    ids = tables.scores.cases
    mine = [seen[ids[at]] for at in tables.routes[route].tolist() if ids[at] in seen]
    if limit.measure.startswith("pass") and limit.k:
        mine = [one for one in mine if len(one.passed) >= limit.k]
    counts = np.array([len(one.passed) for one in mine])
    passes = np.array([sum(one.passed) for one in mine])
    if not mine:
        means = np.empty(0)
    elif limit.measure == "mean":
        means = np.array([one.mean for one in mine])
    elif limit.measure == "pass_rate":
        means = passes / counts
    else:
        means = (pass_hat if limit.measure == "pass^" else pass_at)(passes, counts, limit.k)
    return _mean(means, int(counts.sum()), share=True)


def _mean(means: Floats, trials: int, *, share: bool) -> Measured:
    """The mean over cases; one case alone has no interval unless it is a share."""
    if not len(means):
        return Measured(None, None, None, 0, trials)
    if share:
        found = mean_interval(means)
        assert found is not None, "there are cases"
        return Measured(*found, len(means), trials)
    mean = float(means.mean())
    if len(means) < 2:
        return Measured(mean, None, None, 1, trials)
    from scipy.special import stdtrit

    error = float(means.std(ddof=1)) / math.sqrt(len(means))
    reach = float(stdtrit(len(means) - 1, 0.975)) * error
    return Measured(mean, max(0.0, mean - reach), mean + reach, len(means), trials)


def _as_count(found: Measured, total: float) -> Measured:
    """The mean of a count with an interval no narrower than Poisson's exact one (Garwood's).

    Cases that all did the same have no scatter, and yet another run of them may differ.
    """
    if found.low is None or found.high is None:
        return found
    from scipy.special import gammaincinv

    low = float(gammaincinv(total, 0.025)) / found.trials if total else 0.0
    high = float(gammaincinv(total + 1, 0.975)) / found.trials
    return found._replace(low=min(found.low, low), high=max(found.high, high))


def _percentile(limit: Limit, seconds: Floats, case: Whole) -> Measured:
    """A percentile of latency; a clock that jumped back gives a latency that is left out."""
    sound = np.isfinite(seconds) & (seconds >= 0)
    seconds, case = seconds[sound], case[sound]
    if not len(seconds):
        return Measured(None, None, None, 0, 0)
    worth = len(seconds) / _design_effect(seconds > limit.bound, case)
    share = limit.k / 100
    from scipy.special import betaincinv

    # Clopper and Pearson's interval of the share of trials below the percentile, as ranks.
    low = float(betaincinv(share * worth, (1 - share) * worth + 1, 0.025))
    high = float(betaincinv(share * worth + 1, (1 - share) * worth, 0.975))
    ordered = np.sort(seconds)
    last = len(ordered) - 1
    return Measured(
        float(np.percentile(seconds, limit.k)),
        float(ordered[min(last, max(0, math.ceil(low * len(ordered)) - 1))]),
        float(ordered[min(last, math.ceil(high * len(ordered)) - 1)]),
        len(np.unique(case)),
        len(seconds),
    )


def _design_effect(beyond: np.ndarray, case: Whole) -> float:
    """How many trials of one case tell as much as one of another: 1 to the trials a case has."""
    share = float(beyond.mean())
    _, at, counts = np.unique(case, return_inverse=True, return_counts=True)
    if share in (0.0, 1.0) or len(counts) < 2:
        return 1.0 if len(counts) > 1 else float(len(beyond))
    sums = np.bincount(at, weights=beyond)
    scatter = float(((sums - share * counts) ** 2).sum()) * len(counts) / (len(counts) - 1)
    return min(float(counts.max()), max(1.0, scatter / (len(beyond) * share * (1 - share))))


def _case_means(values: Floats, case: Whole) -> Floats:
    _, at, counts = np.unique(case, return_inverse=True, return_counts=True)
    means: Floats = np.bincount(at, weights=values) / counts if len(counts) else np.empty(0)
    return means


def _of_steps(limit: Limit, tables: Tables) -> Walked:
    key = limit.measure, limit.of
    if key not in tables.walked:
        tables.walked[key] = _walked(limit, tables)
    return tables.walked[key]


def _walked(limit: Limit, tables: Tables) -> Walked:
    """Per trial: the retries, or the share of a step's calls that failed, as far as is told."""
    steps = tables.recorded.steps
    count = len(tables.trials.case)
    if steps is None:
        return Walked(np.full(count, np.nan), np.zeros(count, dtype=bool))
    columns = untold.StepColumns(
        _trial_of_step(tables, steps),
        np.array(steps["kind"].to_pylist()),
        np.array(steps["name"].to_pylist()),
        np.array(steps["status"].to_pylist()) == "error",
        np.array(steps["inferred"].to_pylist()) == "call",
    )
    coverage = taken(tables.recorded.trials["coverage"], tables.trials.row)
    if limit.measure == "fail_rate":
        unsure = untold.failures(coverage, columns, limit.of)
        return Walked(np.where(unsure, np.nan, _fail_rates(columns, limit.of, count)), unsure)
    found = _retries(columns, steps["arguments"], count)
    return Walked(found, untold.retries(coverage, columns))


def _fail_rates(steps: untold.StepColumns, name: str, count: int) -> Floats:
    """Per trial the share of a step's calls that failed; NaN where it has none."""
    mine = (steps.name == name) & (steps.trial >= 0)
    calls = np.bincount(steps.trial[mine], minlength=count)
    wrong = np.bincount(steps.trial[mine], weights=steps.failed[mine], minlength=count)
    return np.where(calls > 0, wrong / np.maximum(1, calls), np.nan)


def _retries(steps: untold.StepColumns, arguments: pa.ChunkedArray, count: int) -> Floats:
    """Per trial the calls that are like the last one of their step and arguments, which failed."""
    retries = np.zeros(count)
    calls_of = list(
        zip(steps.trial.tolist(), steps.kind.tolist(), steps.name.tolist(), strict=True)
    )
    failed = steps.failed.tolist()
    doubtful = {call for call, wrong in zip(calls_of, failed, strict=True) if wrong}
    last_failed: set[Hashable] = set()
    for number, (call, wrong) in enumerate(zip(calls_of, failed, strict=True)):
        if call not in doubtful or call[0] < 0:
            continue
        likeness = call, _canonical(arguments[number].as_py())
        retries[call[0]] += likeness in last_failed
        (last_failed.add if wrong else last_failed.discard)(likeness)
    return retries


def _canonical(arguments: str | None) -> Hashable:
    """Stored arguments so that equal ones are alike; what is no JSON stands for itself."""
    try:
        return canonical(msgspec.json.decode(arguments)) if arguments else None
    except msgspec.DecodeError:
        return arguments


def _trial_of_step(tables: Tables, steps: pa.Table) -> Whole:
    """The position of each step's trial among the rows of trials; -1 where it has none."""
    trials = taken(tables.recorded.trials, tables.trials.row)
    keys = zip(trials["case"].to_pylist(), trials["trial"].to_pylist(), strict=True)
    known = {key: at for at, key in enumerate(keys)}
    of = zip(steps["case"].to_pylist(), steps["trial"].to_pylist(), strict=True)
    return np.array([known.get(key, -1) for key in of], dtype=np.intp)
