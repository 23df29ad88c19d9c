"""Triage: what is wrong in recorded traces, per route, grouped into problems.

One pass over the trials of a run; of a trace that has no signal only numbers are kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from evalkit.dataset import Case
from evalkit.golden import Golden
from evalkit.results import Trial
from evalkit.trajectory import Trajectory, Visit
from evalkit.triaging.columns import Distinct, Spent, Traces
from evalkit.triaging.norms import (
    ALWAYS,
    ALWAYS_HERE,
    Norm,
    departures,
    is_standing,
    overspending,
    overspent,
    standing_signals,
    usual_budget,
    usual_steps,
)
from evalkit.triaging.problems import Flagged, Problem, problems
from evalkit.triaging.rates import Rate, Window, rates
from evalkit.triaging.signals import (
    Signal,
    by_weight,
    shape_of,
    signals_of,
    template,
    tool_timeouts,
)

NO_ROUTE = "unknown"
"""The route of traces that tell none, as ingestion names it."""


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
    golden = Golden(cases)
    now, unmatched = _gathered(trials, golden, said, progress)
    then, _ = _gathered(before, golden, said, progress)
    norms = {
        route: _norm(found, then.get(route), golden.norm(route)) for route, found in now.items()
    }
    windows, flagged = {}, []
    for route, found in now.items():
        windows[route], more = _window(route, found, norms[route])
        flagged += more
    earlier = {
        route: _window(route, found, norms.get(route, Norm()))[0] for route, found in then.items()
    }
    return Triage(
        traces=sum(window.traces for window in windows.values()),
        flagged=len(flagged),
        problems=problems(flagged, cases),
        rates=rates(windows, earlier),
        notes=tuple(_notes(norms, unmatched, windows)),
    )


def signals_in(trial: Trial, golden: Golden) -> tuple[Signal, ...]:
    """The signals of one trace, held against the golden cases of its route."""
    trajectory = trial.trajectory or Trajectory()
    visits = list(trajectory.walk())
    route = _route(trial)
    norm = msgspec.structs.replace(golden.norm(route), always=frozenset())
    return by_weight(
        [
            *_own(trial, trajectory, visits, golden),
            *departures(shape_of(visits), norm),
            *overspending(_spent(trial, visits), norm),
        ]
    )


def said_of(trial: Trial, feedback: Mapping[str, Sequence[Signal]]) -> list[Signal]:
    """What people said of a trace, by its id or its session's."""
    return [signal for name in _ids(trial) for signal in feedback.get(name, ())]


def _ids(trial: Trial) -> list[str]:
    told = trial.trajectory or Trajectory()
    named = (trial.case, told.trace_id, told.session)
    return list(dict.fromkeys(one for one in named if one))


def _gathered(
    trials: Iterable[Trial],
    golden: Golden,
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
        unmatched.difference_update(_ids(trial))
        signals = [*_own(trial, trajectory, visits, golden), *said_of(trial, feedback)]
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


def _own(
    trial: Trial, trajectory: Trajectory, visits: Sequence[Visit], golden: Golden
) -> list[Signal]:
    """A trace's own signals, and the steps that golden cases demand of it.

    A trial that did not complete says why in its status.
    """
    found = list(signals_of(trajectory, visits))
    if trial.status == "timeout":
        found.insert(0, Signal("timeout", text=trial.error or ""))
    elif trial.status in ("crashed", "unreachable"):
        found.insert(0, Signal("error", text=trial.error or trial.status))
    missing = golden.missing(_route(trial), frozenset(shape_of(visits)), trajectory)
    return found + [Signal("missing_step", label) for label in missing]


def _alike(signal: Signal) -> Signal:
    """A signal without what differs among traces that fail in the same way."""
    return msgspec.structs.replace(signal, number=None, text=template(signal.text))


def _route(trial: Trial) -> str:
    taken = trial.trajectory.route if trial.trajectory else None
    return taken or trial.route or NO_ROUTE


def _spent(trial: Trial, visits: Sequence[Visit]) -> Spent:
    happened = trial.trajectory or Trajectory()
    read, written, cost = [happened.total(name) for name in ("tokens_in", "tokens_out", "cost_usd")]
    known = [one.known for one in (read, written) if one.known is not None]
    tokens = sum(known) if known and read.all and written.all else None
    return Spent(trial.latency_s, tokens, cost.sure, tool_timeouts(visits))


def _norm(found: Traces, earlier: Traces | None, golden: Norm) -> Norm:
    """What is usual in the earlier window, else in this one, and what the golden cases allow."""
    usual = usual_steps(*((earlier.paths(), ALWAYS) if earlier else (found.paths(), ALWAYS_HERE)))
    most = {**usual_budget((earlier or found).measure), **golden.most}
    standing = standing_signals((earlier or found).signals())
    return Norm(usual, golden.never, most, standing)


def _window(route: str, found: Traces, norm: Norm) -> tuple[Window, list[Flagged]]:
    counts: Counter[str] = Counter()
    flagged = []
    over = _over_budget(found, norm)
    for path, own, places in found.alike():
        kinds = dict.fromkeys([*own, *departures(path, norm)])
        for at in places:
            every = by_weight([*kinds, *over[at]]) if at in over else tuple(kinds)
            counts.update({one.kind for one in every})
            signals = by_weight(one for one in every if not is_standing(one, norm))
            if signals:
                flagged.append(Flagged(found.names[at], route, signals, found.started(at)))
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
    norms: Mapping[str, Norm], unmatched: set[str], windows: Mapping[str, Window]
) -> Iterator[str]:
    for route, norm in sorted(norms.items()):
        for signal, share in sorted(norm.standing.items(), key=lambda pair: -pair[1]):
            what = signal.kind.replace("_", " ")
            where = f" at {signal.step}" if signal.step else ""
            said = f" ({signal.text})" if signal.text else ""
            yield f"{route}: {share:.0%} of the traces have {what}{where}{said}: usual, not flagged"
    if unmatched:
        listed = ", ".join(sorted(unmatched)[:5])
        yield f"feedback for {len(unmatched)} ids that are not in this run: {listed}"
    if NO_ROUTE in windows:
        yield f"{windows[NO_ROUTE].traces} traces tell no route"
