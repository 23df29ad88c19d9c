"""From what is stored to a report: the summaries of a run, and the gate against a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from evalkit.errors import InputError

if TYPE_CHECKING:
    from evalkit.results import Recorded, Report, RouteSummary, Run
    from evalkit.store import Store


def report_on(
    store: Store, run_id: str, baseline_id: str | None = None, on: Sequence[str] = ()
) -> Report:
    """The stored run per route and case, with the gate's decision where there is a baseline.

    The verdicts are kept in the store. ``on`` replaces the suite's gating scorers.
    """
    from evalkit.comparison import summarize, summarize_cases
    from evalkit.results import Report

    recorded = store.load(run_id)
    routes = summarize(recorded)
    known_scorers(routes, on)
    run = recorded.run
    report = Report(run=run, routes=routes, cases=summarize_cases(recorded), notes=_notes(run))
    return report if baseline_id is None else _gated(store, report, recorded, baseline_id, on)


def _notes(run: Run) -> tuple[str, ...]:
    """What the capture warns of, and spans that no trial can claim."""
    if not run.stray_spans:
        return run.notes
    stray = f"{run.stray_spans:,} spans belonged to no trial: the pipeline loses its trace context"
    return (*run.notes, stray)


def known_scorers(routes: Iterable[RouteSummary], on: Sequence[str]) -> None:
    """InputError when a scorer asked for gave no score to any of the routes."""
    known = {one.scorer for route in routes for one in route.scorers}
    for name in on:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise InputError(f"--on {name}: no such scorer in what is stored. There is: {listed}")


def _gated(
    store: Store, report: Report, recorded: Recorded, baseline_id: str, on: Sequence[str]
) -> Report:
    import msgspec

    from evalkit.gating import decide

    policy = recorded.run.suite.gate
    if on:
        policy = msgspec.structs.replace(policy, on=tuple(on))
    decided = decide(recorded, store.load(baseline_id), policy)
    store.save_verdicts(decided)
    return msgspec.structs.replace(report, gate=decided)
