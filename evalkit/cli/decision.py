"""From what is stored to a report: the summaries of a run, and the gate against a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from evalkit.errors import InputError

if TYPE_CHECKING:
    from evalkit.confirming import Rerun
    from evalkit.reports import GateReport, GateRow, Report
    from evalkit.results import Recorded, Run
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

    The rest is as :func:`decide_on` has it.
    """
    from evalkit.policy import has_limits

    recorded = read_run(store, run_id, on)
    gate = None
    if baseline_id is not None or has_limits(recorded.run.suite.gate):
        gate = decide_on(
            store,
            recorded,
            baseline_id,
            on,
            notes=notes,
            late_notes=late_notes,
            rerun=rerun,
            confirm=confirm,
        )
    return report_of(recorded, gate)


def read_run(store: Store, run_id: str, on: Sequence[str] = ()) -> Recorded:
    """A stored run with all that its suite's gate, or these scorers in its place, look at."""
    from evalkit.observations import score_rows
    from evalkit.policy import needs_steps

    run = store.run(run_id)
    recorded = store.load(run, steps=needs_steps(run.suite.gate))
    known_scorers(score_rows(recorded).scorers, on)
    return recorded


def report_of(recorded: Recorded, gate: GateReport | None, notes: Iterable[str] = ()) -> Report:
    """The run per route and case, with a decision on it and further notes."""
    from evalkit.comparison import summarize, summarize_cases
    from evalkit.reports import Report
    from evalkit.wording import say_unjudged

    return Report(
        run=recorded.run,
        routes=summarize(recorded),
        cases=summarize_cases(recorded),
        gate=gate,
        notes=(*notes_of(recorded.run), *say_unjudged(recorded), *notes),
    )


def notes_of(run: Run) -> tuple[str, ...]:
    """What the suite leaves to a guess, the capture warns of, and spans that no trial can claim."""
    if not run.stray_spans:
        return run.notes
    stray = f"{run.stray_spans:,} spans belonged to no trial: the pipeline loses its trace context"
    return (*run.notes, stray)


def known_scorers(known: Iterable[str], on: Sequence[str]) -> None:
    """InputError when a scorer asked for is not among those that are stored."""
    known = set(known)
    for name in on:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise InputError(f"--on {name}: no such scorer in what is stored. There is: {listed}")


def decide_on(
    store: Store,
    recorded: Recorded,
    baseline_id: str | None,
    on: Sequence[str] = (),
    *,
    notes: Sequence[str] = (),
    late_notes: Sequence[str] = (),
    rerun: Rerun | None = None,
    confirm: Confirm | None = None,
) -> GateReport:
    """The gate's decision on a run of :func:`read_run`, which is then kept in the store.

    ``on`` replaces the suite's gating scorers; ``notes`` are what a reader must know about the
    choice of the baseline. ``rerun`` confirms suspicions, within the budget of ``confirm`` in
    place of the suite's; ``late_notes`` are read after that.
    """
    import dataclasses
    import datetime

    import msgspec

    from evalkit import policy

    stated = recorded.run.suite.gate
    chosen = policy.only(stated, on) if on else stated
    if confirm is not None:
        chosen = msgspec.structs.replace(chosen, confirm=confirm)
    walked = policy.compares_steps(chosen)
    baseline = store.load(baseline_id, steps=walked) if baseline_id else None
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
    every = (*notes, *late_notes, *decided.notes)
    decided = msgspec.structs.replace(decided, rows=rows, notes=every)
    not_kept = store.save_verdicts(decided)
    if not_kept:
        note = f"the database lacks this verdict, `evalkit rebuild` puts it in: {not_kept}"
        decided = msgspec.structs.replace(decided, notes=(*decided.notes, note))
    return decided


def _with_costly_steps(
    store: Store, rows: tuple[GateRow, ...], candidate: Recorded, baseline: Recorded
) -> tuple[GateRow, ...]:
    """The rows about time, tokens, dollars and steps that rose with the steps that took it."""
    import msgspec

    from evalkit.comparison import common_cases
    from evalkit.costly_steps import costly_steps
    from evalkit.phrasing import EFFICIENCY

    rose = {row.route for row in rows if row.scorer in EFFICIENCY and row.verdict == "regressed"}
    if not rose:
        return rows
    common = common_cases(candidate, baseline)
    every = [case for route in rose for case in common[route]]
    after, before = (store.spending(run.run.id, every) for run in (candidate, baseline))
    return tuple(
        msgspec.structs.replace(row, steps=costly_steps(row, common[row.route], after, before))
        if row.scorer in EFFICIENCY and row.verdict == "regressed"
        else row
        for row in rows
    )
