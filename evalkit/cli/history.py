"""`evalkit history`: how the scores of a route moved over the stored runs, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, Format, FormatOption, OnOption, StoreOption
from evalkit.errors import ExitCode, NotFoundError
from evalkit.results import CONFIRMING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from evalkit.history import RouteHistory
    from evalkit.results import Run


def history(
    route: Annotated[str, typer.Argument(help="A route's name.")],
    suite: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Default: the newest run's that has the route."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="L", help="Only runs with this label; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="The newest so many runs.")] = 30,
    on: OnOption = None,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = Format.TABLE,
) -> int:
    """Show a route's scores over complete runs, oldest first, and where they changed."""
    import msgspec

    from evalkit.cli.output import say, screen
    from evalkit.history import histories
    from evalkit.store import Store

    opened = Store(store)
    runs = _whole(_chosen(opened.runs(), route, suite, label or ()), route)[:limit]
    scorers = on or list(runs[0].suite.gate.on)
    found = histories([opened.load(run.id) for run in reversed(runs)], scorers, route)
    if not found:
        raise NotFoundError(_nothing(runs, route, scorers))
    if form is Format.JSON:
        from evalkit.reporters import json

        shown = {"route": route, "suite": runs[0].suite.name, "scorers": found}
        say(json.to_json({**shown, "scorers": [msgspec.to_builtins(one) for one in found]}))
    else:
        from evalkit.console import to_text

        here = screen()
        say(to_text(*(part for one in found for part in _shown(one, here["width"])), **here))
    return ExitCode.PASSED


def _chosen(runs: Sequence[Run], route: str, suite: str | None, labels: Sequence[str]) -> list[Run]:
    """Complete runs of one suite, newest first; NotFoundError says what there is instead.

    The suite is that of the newest run with the route, unless it is named.
    """
    complete = [
        run
        for run in runs
        if run.status == "complete" and (run.label in labels or not run.label.endswith(CONFIRMING))
    ]
    if not complete:
        raise NotFoundError("there are no complete runs in this store yet: `evalkit run` makes one")
    bearing = [run for run in complete if any(case.route == route for case in run.planned)]
    name = suite or (bearing or complete)[0].suite.name
    found = [
        run for run in complete if run.suite.name == name and (not labels or run.label in labels)
    ]
    if not found:
        suites = ", ".join(sorted({repr(run.suite.name) for run in complete}))
        known = ", ".join(dict.fromkeys(repr(run.label) for run in complete))
        raise NotFoundError(
            f"no complete run of suite {name!r} with that label. Suites: {suites}; labels: {known}"
        )
    return found


def _whole(runs: Sequence[Run], route: str) -> list[Run]:
    """The runs that tried all of the route: a part of its cases has another mean."""
    import sys

    from evalkit.results import Selection

    found = [run for run in runs if run.selection in (Selection(), Selection(routes=(route,)))]
    left = [run.id for run in runs if run not in found]
    if not found:
        raise NotFoundError(
            f"only selections of cases were run ({', '.join(left[:3])}): a history is of runs of "
            "the whole dataset, or of the whole route (--route)"
        )
    if left:
        print(f"note: left out, since only a selection was run: {', '.join(left)}", file=sys.stderr)
    return found


def _nothing(runs: Sequence[Run], route: str, scorers: Sequence[str]) -> str:
    import difflib

    routes = list(dict.fromkeys(case.route for run in runs for case in run.planned))
    if route in routes:
        return f"no run has scores of {', '.join(scorers)} on route {route!r}"
    close = difflib.get_close_matches(route, routes, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"no run has a route {route!r}.{hint} There is: {', '.join(routes)}"


def _points(found: RouteHistory, *, whole: bool) -> Table:
    """A line per run; without its commit and start, which its id and `runs` tell, if not whole."""
    from rich.text import Text

    from evalkit import phrasing
    from evalkit.console import table
    from evalkit.escaping import line

    more = ("commit", "started") if whole else ()
    made = table("run", "label", *more, "mean", "95 % interval", "cases", "")
    changed = {change.run: change for change in found.changes}
    for point in found.points:
        change = changed.get(point.run)
        sign = "" if change is None else "▼ " if change.difference < 0 else "▲ "
        made.add_row(
            Text(line(point.run)),
            Text(line(point.label, 30)),
            *([Text((point.commit or phrasing.UNKNOWN)[:12])] if whole else []),
            *([Text(phrasing.moment(point.started))] if whole else []),
            Text(phrasing.number(point.mean)),
            Text(phrasing.interval(point.low, point.high)),
            Text(str(point.cases)),
            Text(sign + (phrasing.signed(change.difference) if change else "")),
        )
    return made


def _shown(found: RouteHistory, width: int) -> list[RenderableType]:
    from rich.text import Text

    from evalkit import phrasing
    from evalkit.console import fits
    from evalkit.escaping import line

    made = _points(found, whole=True)
    if not fits(made, width):
        made = _points(found, whole=False)
    parts: list[RenderableType] = [
        Text(f"{line(found.route)} · {line(found.scorer)}", "bold"),
        made,
    ]
    for change in found.changes:
        between = (
            f" (95 % sure: between {change.earliest} and {change.latest})"
            if change.earliest != change.latest
            else ""
        )
        said = (
            f"changed at {line(change.label)} ({change.run}): {phrasing.number(change.before)} → "
            f"{phrasing.number(change.after)}, p adjusted {phrasing.p_value(change.p_adjusted)}"
        )
        parts.append(Text(said + between))
    if not found.changes:
        parts.append(Text("no change that these runs show", "dim"))
    for one in found.flaky[:3]:
        passes = " ".join(f"{passed}/{made}" for passed, made in one.arms)
        chance = phrasing.percent(one.probability)
        said = f"flaky: {line(one.case)}, two trials disagree in {chance}"
        said += f" (95 % interval {phrasing.interval(one.low, one.high)}), passed {passes}"
        parts.append(Text(said))
    return [*parts, ""]
