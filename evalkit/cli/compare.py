"""`evalkit compare`: route by version, each against the first, and which version to choose."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, OnOption, StoreOption
from evalkit.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.reports import RouteSummary
    from evalkit.results import Run


class CompareFormat(StrEnum):
    """How the comparison is printed."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="Run ids or labels; the first is compared to."),
    ],
    on: OnOption = None,
    explore: Annotated[
        bool, typer.Option("--explore", help="Benjamini-Hochberg in place of Holm: more findings.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    form: Annotated[
        CompareFormat, typer.Option("--format", help="A table, one JSON object, or Markdown.")
    ] = CompareFormat.TABLE,
) -> int:
    """Compare stored runs per route: scorers, pass^k, latency, cost, and which to choose."""
    import msgspec

    from evalkit.choosing import choose
    from evalkit.cli.decision import known_scorers
    from evalkit.cli.naming import note_suites
    from evalkit.cli.output import say, screen
    from evalkit.comparison import summarize
    from evalkit.reporters import compare as report
    from evalkit.store import Store
    from evalkit.versions import line_up, read_cells

    opened = Store(store)
    found = opened.find_all(list(dict.fromkeys(runs)))
    note_suites(opened, runs[0], found[0])
    cells, scorers, lineup = [], tuple(on or ()), line_up(found)
    for run in found:
        # One at a time: twenty large runs need no more memory than one, and their numbers.
        recorded = opened.load(run, texts=False)
        summaries = summarize(recorded)
        scorers = scorers or _gating(run, summaries)
        cells.append(read_cells(recorded, summaries, lineup, scorers))
    routes = [route for one in cells for route in one.routes]
    known_scorers((one.scorer for route in routes for one in route.scorers), on or ())
    choice = None
    if len(found) > 1:
        choice = choose(cells, scorers, alpha=found[0].suite.gate.alpha, explore=explore)
    if on:
        routes = [
            msgspec.structs.replace(
                route, scorers=tuple(one for one in route.scorers if one.scorer in on)
            )
            for route in routes
        ]
    if form is CompareFormat.JSON:
        from evalkit.reporters import json

        say(json.render_compare(found, routes, choice))
    elif form is CompareFormat.MARKDOWN:
        say(report.render_markdown(found, routes, choice))
    else:
        say(report.render(found, routes, choice, **screen()))
    return ExitCode.PASSED


def _gating(reference: Run, routes: Sequence[RouteSummary]) -> tuple[str, ...]:
    """The scorers that gate the reference, as far as they are stored; else all that are."""
    known = tuple(dict.fromkeys(one.scorer for route in routes for one in route.scorers))
    return tuple(name for name in reference.suite.gate.all_on if name in known) or known
