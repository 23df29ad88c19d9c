"""`evalkit plan`: what a suite can see, what it costs, and what to add where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption
from evalkit.errors import ExitCode


def plan(
    suite: Annotated[Path, typer.Argument(help="A suite file.")],
    baseline: Annotated[
        str | None,
        typer.Option(metavar="REF", help="A past run to measure from; default: the suite's."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, max=1000, metavar="N", help="Trials of each case.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = Format.TABLE,
) -> int:
    """Say which drops a suite's gate can see, what a run costs, and what to add."""
    import datetime

    from msgspec.structs import replace

    from evalkit import phrasing, power
    from evalkit.baselines import resolve
    from evalkit.check import load_suite
    from evalkit.cli.output import say, screen
    from evalkit.comparison import summarize
    from evalkit.results import PlannedCase
    from evalkit.store import Store

    loaded = load_suite(suite)
    stated, opened = loaded.suite, Store(store)
    ref = baseline or stated.gate.baseline
    # The suite's own baseline may not have been run yet; one that is asked for must be there.
    known = ref is not None and (baseline or opened.bearing(ref, stated.name))
    run, found = resolve(opened, ref, stated.name) if ref and known else (None, ())
    past = opened.load(run, texts=False) if run else None
    notes = [*found]
    policy = stated.gate
    apart = policy.quarantined(datetime.datetime.now(datetime.UTC).date())
    apart &= {case.id for case in loaded.dataset}
    if stated.pipeline.target == "traces":
        policy = replace(policy, confirm=replace(policy.confirm, enabled=False))
        notes.append("recorded traces cannot be run again: nothing is confirmed")
    elif not policy.confirm.enabled:
        notes.append("re-runs are switched off (gate.confirm.enabled): nothing is confirmed")
    if apart:
        notes.append(
            f"{phrasing.plural(len(apart), 'case')} in quarantine: run and paid for, not judged"
        )
    cases = [PlannedCase(one.id, one.route, one.digest, one.owner) for one in loaded.dataset]
    made = power.plan(
        cases,
        trials or stated.trials,
        policy,
        apart=apart,
        concurrency=stated.pipeline.concurrency,
        past=past,
        summaries=summarize(past) if past else (),
    )
    if form is Format.JSON:
        from evalkit.reporters import json

        say(json.render_plan(made, run, notes))
    else:
        from evalkit.reporters import terminal

        say(terminal.render_plan(made, run, notes, **screen()))
    return ExitCode.PASSED
