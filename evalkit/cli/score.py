"""`evalkit score`: scores stored trajectories again; runs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.options import (
    DEFAULT_STORE,
    Format,
    FormatOption,
    OnOption,
    RunArgument,
    StoreOption,
)


def score(
    run: RunArgument,
    suite: Annotated[
        Path | None, typer.Option(help="A suite file; default: the run's own, as it is now.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The new run's label; default: the old one and `+rescored`.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="RUN", help="Gate against this run or label.")
    ] = None,
    on: OnOption = None,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = Format.TABLE,
) -> int:
    """Score a stored run again with changed scorers or a changed dataset, as a new run."""
    from evalkit.baselines import resolve
    from evalkit.cli.decision import report_on
    from evalkit.cli.naming import named_run
    from evalkit.cli.output import annotate, say, screen
    from evalkit.cli.run import exit_of
    from evalkit.reporters import json, terminal
    from evalkit.rescoring import load_for, rescore
    from evalkit.store import Store

    opened = Store(store)
    origin = named_run(opened, run)
    loaded = load_for(origin, suite)
    against, notes = resolve(opened, baseline, loaded.suite.name) if baseline else (None, ())
    finished = rescore(store, origin.id, loaded, label=label)
    report = report_on(opened, finished.id, against.id if against else None, on or (), notes=notes)
    say(json.render(report) if form is Format.JSON else terminal.render(report, **screen()))
    annotate(report, to_stderr=form is Format.JSON)
    return exit_of(report)
