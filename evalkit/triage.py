"""Triage: what is wrong in recorded traces, per route, grouped into problems.

One pass over the trials of a run; of a trace that has no signal only numbers are kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from evalkit.dataset import Case
from evalkit.results import Trial
from evalkit.trajectory import Trajectory
from evalkit.triaging.norms import (
    ALWAYS,
    ALWAYS_HERE,
    Norm,
    Spent,
    breaches,
    golden_norm,
    usual_budget,
    usual_steps,
)
from evalkit.triaging.problems import Flagged, Problem, problems
from evalkit.triaging.rates import Rate, Window, rates
from evalkit.triaging.signals import SIGNALS, Signal, SignalKind, shape_of, signals_of

NO_ROUTE = "unknown"
"""The route of traces that tell none, as ingestion names it."""
USUALLY_LACKING = 0.5
"""A signal about the recording that this share of a route's traces have is no failure."""
_OF_RECORDING: tuple[SignalKind, ...] = ("no_stop_reason", "no_answer")

Shape = tuple[str, ...]


class Triage(msgspec.Struct, frozen=True, kw_only=True):
    """What triage found. ``flagged`` traces have at least one signal; ``notes`` what to know."""

    traces: int
    flagged: int
    problems: tuple[Problem, ...]
    rates: tuple[Rate, ...]
    notes: tuple[str, ...] = ()


class _Trace(msgspec.Struct, frozen=True):
    """What is kept of a trace: its path is shared with all others that took the same."""

    trace: str
    started: float
    spent: Spent
    shape: Shape
    signals: tuple[Signal, ...]


@dataclass
class _Route:
    traces: list[_Trace] = field(default_factory=list)
    shapes: Counter[Shape] = field(default_factory=Counter)


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
    number of traces read so far.
    """
    said = dict(feedback or {})
    now, unmatched = _gathered(trials, said, progress)
    then, _ = _gathered(before, said, None)
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


def signals_in(trial: Trial, cases: Sequence[Case] = ()) -> tuple[Signal, ...]:
    """The signals of one trace alone, with what the golden cases of its route demand."""
    trajectory = trial.trajectory or Trajectory()
    golden = golden_norm([case for case in cases if case.route == _route(trial)])
    spent = _spent(trial, trajectory)
    return _ordered([*_own(trial, trajectory), *breaches(shape_of(trajectory), spent, golden)])


def _gathered(
    trials: Iterable[Trial],
    feedback: Mapping[str, Sequence[Signal]],
    progress: Callable[[int], None] | None,
) -> tuple[dict[str, _Route], set[str]]:
    """The traces per route, and the ids in the feedback that none of them has."""
    routes: dict[str, _Route] = defaultdict(_Route)
    shapes: dict[Shape, Shape] = {}
    unmatched = set(feedback)
    for count, trial in enumerate(trials, 1):
        trajectory = trial.trajectory or Trajectory()
        shape = shape_of(trajectory)
        shape = shapes.setdefault(shape, shape)
        names = {trial.case, trajectory.trace_id or "", trajectory.session or ""}
        said = [signal for name in names for signal in feedback.get(name, ())]
        unmatched -= names
        signals = (*_own(trial, trajectory), *said)
        route = routes[_route(trial)]
        spent = _spent(trial, trajectory)
        route.traces.append(_Trace(trial.case, trial.started, spent, shape, signals))
        route.shapes[shape] += 1
        if progress is not None and count % 1000 == 0:
            progress(count)
    return routes, unmatched


def _own(trial: Trial, trajectory: Trajectory) -> tuple[Signal, ...]:
    """A trace's own signals; a trial that did not complete says why in its status."""
    found = signals_of(trajectory)
    if trial.status == "timeout":
        return (Signal("timeout", text=trial.error or ""), *found)
    if trial.status in ("crashed", "unreachable"):
        return (Signal("error", text=trial.error or trial.status), *found)
    return found


def _route(trial: Trial) -> str:
    taken = trial.trajectory.route if trial.trajectory else None
    return taken or trial.route or NO_ROUTE


def _spent(trial: Trial, trajectory: Trajectory) -> Spent:
    tokens = [count for count in (trajectory.tokens_in, trajectory.tokens_out) if count is not None]
    return Spent(trial.latency_s, sum(tokens) if tokens else None, trajectory.cost_usd)


def _norm(route: str, found: _Route, earlier: _Route | None, cases: Sequence[Case]) -> Norm:
    """The golden cases' demands, and what is usual in the earlier window or, without, in this."""
    golden = golden_norm([case for case in cases if case.route == route])
    usual = usual_steps(*((earlier.shapes, ALWAYS) if earlier else (found.shapes, ALWAYS_HERE)))
    most = {**usual_budget(one.spent for one in (earlier or found).traces), **golden.most}
    return Norm(golden.always | usual, golden.never, most)


def _lacking(found: _Route) -> frozenset[str]:
    """Signals of the recording that most traces of a route have: it does not tell."""
    counts = Counter(kind for one in found.traces for kind in {s.kind for s in one.signals})
    return frozenset(
        kind for kind in _OF_RECORDING if counts[kind] > USUALLY_LACKING * len(found.traces)
    )


def _window(
    route: str, found: _Route, norm: Norm, lacking: frozenset[str]
) -> tuple[Window, list[Flagged]]:
    counts: Counter[str] = Counter()
    flagged = []
    for one in found.traces:
        own = [signal for signal in one.signals if signal.kind not in lacking]
        signals = _ordered([*own, *breaches(one.shape, one.spent, norm)])
        counts.update({signal.kind for signal in signals})
        if signals:
            flagged.append(Flagged(one.trace, route, signals, one.started))
    spent = tuple(one.spent for one in found.traces)
    return Window(len(found.traces), counts, spent), flagged


def _ordered(signals: Iterable[Signal]) -> tuple[Signal, ...]:
    return tuple(sorted(signals, key=lambda one: SIGNALS.index(one.kind)))


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
