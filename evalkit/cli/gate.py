"""`evalkit gate`: decides from what is stored; runs nothing."""

from __future__ import annotations

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


def gate(
    run: RunArgument,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="What to compare against; default: the suite's."),
    ] = None,
    on: OnOption = None,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = Format.TABLE,
) -> int:
    """Decide per route and scorer whether a stored run is worse than a baseline."""
    from evalkit.cli.decision import report_on
    from evalkit.cli.output import annotate, say, screen
    from evalkit.errors import InputError
    from evalkit.store import Store

    opened = Store(store)
    candidate = opened.find(run)
    against = baseline or candidate.suite.gate.baseline
    if against is None:
        raise InputError("no baseline: give --baseline RUN, or gate.baseline in the suite")
    found = opened.find(against, suite=candidate.suite.name)
    report = report_on(opened, candidate.id, found.id, on or ())
    assert report.gate is not None
    if form is Format.JSON:
        from evalkit.reporters import json

        say(json.render_gate(report.gate))
    else:
        from evalkit.reporters import terminal

        say(terminal.render_gate(report.gate, **screen()))
    annotate(report, to_stderr=form is Format.JSON)
    return report.gate.exit
