"""Triage: what is wrong in recorded traces, per route, grouped into problems.

One pass over the trials of a run; of a trace that has no signal only numbers are kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from evalkit.dataset import Case
from evalkit.results import Trial
from evalkit.trajectory import Trajectory, Visit, innermost_sum
from evalkit.triaging.columns import Distinct, Spent, Traces
from evalkit.triaging.norms import (
    ALWAYS,
    ALWAYS_HERE,
    Norm,
    departures,
    golden_norm,
    overspending,
    overspent,
    usual_budget,
    usual_steps,
)
from evalkit.triaging.problems import Flagged, Problem, problems
from evalkit.triaging.rates import Rate, Window, rates
from evalkit.triaging.signals import (
    Signal,
    SignalKind,
    by_weight,
    shape_of,
    signals_of,
    template,
    tool_timeouts,
)

NO_ROUTE = "unknown"
"""The route of traces that tell none, as ingestion names it."""
USUALLY_LACKING = 0.5
"""A signal about the recording that this share of a route's traces have is no failure."""
_OF_RECORDING: tuple[SignalKind, ...] = ("no_stop_reason", "no_answer")


class Triage(msgspec.Struct, frozen=True, kw_only=True):
    """What triage found. ``flagged`` traces have at least one signal; ``notes`` what to know."""

    traces: int
    flagged: int
    problems: tuple[Problem, ...]
    rates: tuple[Rate, ...]
    notes: tuple[str, ...] = ()


def triage(
    trials: Iterable[Trial],
    *,
    before: Iterable[Trial] = (),
    cases: Sequence[Case] = (),
    feedback: Mapping[str, Sequence[Signal]] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Triage:
    """Triages traces, one trial each. ``before`` is an earlier window, compared with.

    ``cases`` are golden cases: what those of a route agree on is demanded of its traces.
    ``feedback`` are signals from people by trace or session id. ``progress`` is called with the
    number of traces of a window read so far.
    """
    said = dict(feedback or {})
    now, unmatched = _gathered(trials, said, progress)
    then, _ = _gathered(before, said, progress)
    norms = {route: _norm(route, now[route], then.get(route), cases) for route in now}
    lacking = {route: _lacking(found) for route, found in now.items()}
    windows, flagged = {}, []
    for route, found in now.items():
        windows[route], more = _window(route, found, norms[route], lacking[route])
        flagged += more
    earlier = {
        route: _window(route, found, norms.get(route, Norm()), lacking.get(route, frozenset()))[0]
        for route, found in then.items()
    }
    return Triage(
        traces=sum(window.traces for window in windows.values()),
        flagged=len(flagged),
        problems=problems(flagged, cases),
        rates=rates(windows, earlier),
        notes=tuple(_notes(lacking, unmatched, windows)),
    )


def signals_in(trial: Trial, norm: Norm) -> tuple[Signal, ...]:
    """The signals of one trace, held against what is known of its route."""
    trajectory = trial.trajectory or Trajectory()
    visits = list(trajectory.walk())
    return by_weight(
        [
            *_own(trial, trajectory, visits),
            *departures(shape_of(visits), norm),
            *overspending(_spent(trial, visits), norm),
        ]
    )


def _gathered(
    trials: Iterable[Trial],
    feedback: Mapping[str, Sequence[Signal]],
    progress: Callable[[int], None] | None,
) -> tuple[dict[str, Traces], set[str]]:
    """The traces per route, and the ids in the feedback that none of them has."""
    paths: Distinct[frozenset[str]] = Distinct()
    kinds: Distinct[tuple[Signal, ...]] = Distinct()
    routes: dict[str, Traces] = {}
    unmatched = set(feedback)
    for count, trial in enumerate(trials, 1):
        trajectory = trial.trajectory or Trajectory()
        visits = list(trajectory.walk())
        names = {trial.case, trajectory.trace_id or "", trajectory.session or ""}
        said = [signal for name in names for signal in feedback.get(name, ())]
        unmatched -= names
        signals = [*_own(trial, trajectory, visits), *said]
        route = _route(trial)
        if route not in routes:
            routes[route] = Traces(paths, kinds)
        routes[route].append(
            trial.case,
            trial.started,
            _spent(trial, visits),
            frozenset(shape_of(visits)),
            tuple(map(_alike, signals)),
        )
        if progress is not None and count % 1000 == 0:
            progress(count)
    return routes, unmatched


def _own(trial: Trial, trajectory: Trajectory, visits: Sequence[Visit]) -> tuple[Signal, ...]:
    """A trace's own signals; a trial that did not complete says why in its status."""
    found = signals_of(trajectory, visits)
    if trial.status == "timeout":
        return (Signal("timeout", text=trial.error or ""), *found)
    if trial.status in ("crashed", "unreachable"):
        return (Signal("error", text=trial.error or trial.status), *found)
    return found


def _alike(signal: Signal) -> Signal:
    """A signal without what differs among traces that fail in the same way."""
    return msgspec.structs.replace(signal, number=None, text=template(signal.text))


def _route(trial: Trial) -> str:
    taken = trial.trajectory.route if trial.trajectory else None
    return taken or trial.route or NO_ROUTE


def _spent(trial: Trial, visits: Sequence[Visit]) -> Spent:
    tokens = [innermost_sum(visits, name) for name in ("tokens_in", "tokens_out")]
    known = [count for count in tokens if count is not None]
    cost = innermost_sum(visits, "cost_usd")
    return Spent(trial.latency_s, sum(known) if known else None, cost, tool_timeouts(visits))


def _norm(route: str, found: Traces, earlier: Traces | None, cases: Sequence[Case]) -> Norm:
    """The golden cases' demands, and what is usual in the earlier window or, without, in this."""
    golden = golden_norm([case for case in cases if case.route == route])
    usual = usual_steps(*((earlier.paths(), ALWAYS) if earlier else (found.paths(), ALWAYS_HERE)))
    most = {**usual_budget((earlier or found).measure), **golden.most}
    return Norm(golden.always | usual, golden.never, most)


def _lacking(found: Traces) -> frozenset[str]:
    """Signals of the recording that most traces of a route have: it does not tell."""
    counts: Counter[str] = Counter()
    for signals, count in found.signals().items():
        counts.update(dict.fromkeys({one.kind for one in signals}, count))
    return frozenset(kind for kind in _OF_RECORDING if counts[kind] > USUALLY_LACKING * len(found))


def _window(
    route: str, found: Traces, norm: Norm, lacking: frozenset[str]
) -> tuple[Window, list[Flagged]]:
    counts: Counter[str] = Counter()
    flagged = []
    over = _over_budget(found, norm)
    for path, own, places in found.alike():
        shared = [*(one for one in own if one.kind not in lacking), *departures(path, norm)]
        usual = by_weight(shared)
        for at in places:
            signals = by_weight([*shared, *over[at]]) if at in over else usual
            if signals:
                flagged.append(Flagged(found.names[at], route, signals, found.started(at)))
                counts.update({signal.kind for signal in signals})
    return Window(len(found), counts, found.measure), flagged


def _over_budget(found: Traces, norm: Norm) -> dict[int, list[Signal]]:
    """Where a trace took more than its route may, by the trace's place."""
    over: dict[int, list[Signal]] = defaultdict(list)
    for name, most in sorted(norm.most.items()):
        values = found.measure(name)
        for at in (values > most).nonzero()[0]:
            signal = overspent(name, float(values[at]), most)
            over[int(at)].append(_alike(signal))
    return over


def _notes(
    lacking: Mapping[str, frozenset[str]], unmatched: set[str], windows: Mapping[str, Window]
) -> Iterator[str]:
    for route, kinds in sorted(lacking.items()):
        for kind in sorted(kinds):
            what = kind.replace("_", " ")
            yield f"{route}: most traces have {what}: the recording does not tell, nothing flagged"
    if unmatched:
        listed = ", ".join(sorted(unmatched)[:5])
        yield f"feedback for {len(unmatched)} ids that are not in this run: {listed}"
    if NO_ROUTE in windows:
        yield f"{windows[NO_ROUTE].traces} traces tell no route"
