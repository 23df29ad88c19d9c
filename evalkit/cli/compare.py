"""`evalkit compare`: route by version, for one or more stored runs."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, Format, FormatOption, OnOption, StoreOption
from evalkit.errors import ExitCode


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Run ids or labels.")],
    on: OnOption = None,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = Format.TABLE,
) -> int:
    """Compare stored runs per route: each scorer, pass^k, latency, tokens and cost."""
    import msgspec

    from evalkit.cli.decision import known_scorers
    from evalkit.cli.output import say, screen
    from evalkit.comparison import summarize
    from evalkit.store import Store

    opened = Store(store)
    found = [opened.find(name) for name in dict.fromkeys(runs)]
    routes = [route for run in found for route in summarize(opened.load(run.id))]
    known_scorers(routes, on or ())
    if on:
        routes = [
            msgspec.structs.replace(
                route, scorers=tuple(one for one in route.scorers if one.scorer in on)
            )
            for route in routes
        ]
    if form is Format.JSON:
        from evalkit.reporters import json

        say(json.render_compare(found, routes))
    else:
        from evalkit.reporters import terminal

        say(terminal.render_compare(found, routes, **screen()))
    return ExitCode.PASSED
