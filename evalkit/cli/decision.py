"""From what is stored to a report: the summaries of a run, and the gate against a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from evalkit.errors import InputError

if TYPE_CHECKING:
    from evalkit.confirming import Rerun
    from evalkit.results import GateRow, Recorded, Report, RouteSummary, Run
    from evalkit.store import Store
    from evalkit.suite import Confirm


def report_on(
    store: Store,
    run_id: str,
    baseline_id: str | None = None,
    on: Sequence[str] = (),
    *,
    notes: Sequence[str] = (),
    late_notes: Sequence[str] = (),
    rerun: Rerun | None = None,
    confirm: Confirm | None = None,
) -> Report:
    """The stored run per route and case, with the gate's decision where there is a baseline.

    The verdicts are kept in the store. ``on`` replaces the suite's gating scorers; ``notes`` are
    what a reader must know about the choice of the baseline. ``rerun`` confirms suspicions,
    within the budget of ``confirm`` in place of the suite's; ``late_notes`` are read after that.
    """
    from evalkit.comparison import summarize, summarize_cases
    from evalkit.policy import has_limits, needs_steps
    from evalkit.results import Report

    stated = store.run(run_id).suite.gate
    recorded = store.load(run_id, steps=needs_steps(stated))
    routes = summarize(recorded)
    known_scorers(routes, on)
    run = recorded.run
    report = Report(run=run, routes=routes, cases=summarize_cases(recorded), notes=notes_of(run))
    if baseline_id is None and not has_limits(stated):
        return report
    return _gated(store, report, recorded, baseline_id, on, (notes, late_notes), rerun, confirm)


def notes_of(run: Run) -> tuple[str, ...]:
    """What the suite leaves to a guess, the capture warns of, and spans that no trial can claim."""
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
    store: Store,
    report: Report,
    recorded: Recorded,
    baseline_id: str | None,
    on: Sequence[str],
    notes: tuple[Sequence[str], Sequence[str]],
    rerun: Rerun | None,
    confirm: Confirm | None,
) -> Report:
    import dataclasses
    import datetime

    import msgspec

    from evalkit import policy

    stated = recorded.run.suite.gate
    chosen = policy.only(stated, on) if on else stated
    if confirm is not None:
        chosen = msgspec.structs.replace(chosen, confirm=confirm)
    baseline = store.load(baseline_id) if baseline_id else None
    if baseline:
        recorded, baseline = (
            dataclasses.replace(one, taken=store.steps_taken(one.run.id))
            for one in (recorded, baseline)
        )
    if baseline and baseline.run.scopes != recorded.run.scopes:
        recorded, baseline = (
            dataclasses.replace(one, told=store.told(one.run.id)) for one in (recorded, baseline)
        )
    today = datetime.datetime.now(datetime.UTC).date()
    decided = policy.gate(recorded, baseline, chosen, today=today, rerun=rerun)
    rows = _with_costly_steps(store, decided.rows, recorded, baseline) if baseline else decided.rows
    every = (*notes[0], *notes[1], *decided.notes)
    decided = msgspec.structs.replace(decided, rows=rows, notes=every)
    not_kept = store.save_verdicts(decided)
    if not_kept:
        note = f"the database lacks this verdict, `evalkit rebuild` puts it in: {not_kept}"
        decided = msgspec.structs.replace(decided, notes=(*decided.notes, note))
    return msgspec.structs.replace(report, gate=decided)


def _with_costly_steps(
    store: Store, rows: tuple[GateRow, ...], candidate: Recorded, baseline: Recorded
) -> tuple[GateRow, ...]:
    """The rows about time, tokens, dollars and steps that rose with the steps that took it."""
    import msgspec

    from evalkit.comparison import common_cases
    from evalkit.costly_steps import costly_steps
    from evalkit.efficiency import MEASURES

    rose = {row.route for row in rows if row.scorer in MEASURES and row.verdict == "regressed"}
    if not rose:
        return rows
    common = common_cases(candidate, baseline)
    every = [case for route in rose for case in common[route]]
    after, before = (store.spending(run.run.id, every) for run in (candidate, baseline))
    return tuple(
        msgspec.structs.replace(row, steps=costly_steps(row, common[row.route], after, before))
        if row.scorer in MEASURES and row.verdict == "regressed"
        else row
        for row in rows
    )
