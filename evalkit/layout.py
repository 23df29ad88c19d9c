"""What several terminal reports share: lines about a run, and tables of routes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from evalkit import phrasing
from evalkit.console import table
from evalkit.escaping import line
from evalkit.reports import RouteSummary, ScorerSummary
from evalkit.results import Run

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

NUMBERS = frozenset({"cases", "trials", "infra", "p50", "p99", "tokens", "cost"})
"""The headings of columns that align right."""


def text(said: str, style: str = "") -> Text:
    """Never rich markup: what is shown comes from data."""
    from rich.text import Text

    return Text(said, style=style)


def named(label: str, run: str | None) -> str:
    """A run by its label, with its id."""
    shown = line(run or "", 60)
    return f"{line(label, 60)} ({shown})" if label and label != run else shown


def run_line(run: Run) -> Text:
    """What a run was, in one line."""
    cases = phrasing.plural(len(run.planned), "case")
    said = f"{named(run.label, run.id)}: suite {line(run.suite.name, 60)}, "
    said += f"{cases} × {phrasing.plural(run.trials, 'trial')}"
    if run.settings:
        said += ", " + ", ".join(f"{line(k, 40)}={line(v, 40)}" for k, v in run.settings.items())
    return text(said + ("" if run.status == "complete" else f", {run.status}"), "bold")


def operations(routes: Sequence[RouteSummary], versions: bool = False) -> Table:
    """A line per route (and run): cases, trials, latency, tokens, cost."""
    failed = any(route.infrastructure for route in routes)
    heads = ["cases", "trials", *(["infra"] if failed else []), "p50", "p99", "tokens", "cost"]
    made = table("route", *(["run"] if versions else []), *heads, right=NUMBERS)
    for name, route in _once(routes):
        version = [text(line(route.label, 30))] if versions else []
        made.add_row(name, *version, *sizes(route, failed), *costs(route))
    return made


def scorers(routes: Sequence[RouteSummary], versions: bool = False, most: int = 1) -> Table:
    """A line per route and scorer; with versions, per route, scorer and run.

    ``most`` is how many columns of pass^k there may be.
    """
    heads = ["mean", "95 % interval"]
    several = sorted({k for route in routes for one in route.scorers for k in one.pass_hat})
    shown = _some(several, most)
    heads += [f"pass^{k}" for k in shown]
    made = table("route and scorer", *(["run"] if versions else []))
    for head in heads:
        made.add_column(text(head), justify="left" if "%" in head else "right", no_wrap=True)
    last = ("", "")
    for route, one in _by_scorer(routes):
        if route.route != last[0]:
            made.add_row(text(line(route.route, 60), "bold"))
        scorer = line(one.scorer, 60) if (route.route, one.scorer) != last else ""
        last = (route.route, one.scorer)
        mean = one.estimate
        made.add_row(
            text("  " + scorer),
            *([text(line(route.label, 30))] if versions else []),
            text(phrasing.number(mean.mean) + ("*" if one.not_judged else "")),
            text(phrasing.interval(mean.low, mean.high)),
            *(text(phrasing.number(one.pass_hat.get(k), 3)) for k in shown),
        )
    if any(one.not_judged for route in routes for one in route.scorers):
        made.caption = text("* some trials could not be judged")
        made.caption_justify = "left"
    return made


def sizes(route: RouteSummary, failed: bool) -> list[Text]:
    """Cells: cases, trials, and with ``failed`` the trials lost to infrastructure."""
    said = [text(phrasing.count(route.cases)), text(phrasing.count(route.trials))]
    style = "bold magenta" if route.infrastructure else ""
    return said + ([text(phrasing.count(route.infrastructure), style)] if failed else [])


def costs(route: RouteSummary) -> list[Text]:
    """Cells: latency p50 and p99, tokens and dollars per trial."""
    return [
        text(phrasing.seconds(route.latency_p50)),
        text(phrasing.seconds(route.latency_p99)),
        text(phrasing.count(route.tokens)),
        text(phrasing.dollars(route.cost_usd)),
    ]


def _by_scorer(routes: Sequence[RouteSummary]) -> Iterator[tuple[RouteSummary, ScorerSummary]]:
    """Routes in order; within a route scorer by scorer; within a scorer run by run."""
    for name in dict.fromkeys(route.route for route in routes):
        same = [route for route in routes if route.route == name]
        for scorer in dict.fromkeys(one.scorer for route in same for one in route.scorers):
            for route in same:
                yield from ((route, one) for one in route.scorers if one.scorer == scorer)


def _once(routes: Sequence[RouteSummary]) -> Iterator[tuple[Text, RouteSummary]]:
    last = None
    for route in routes:
        yield text(line(route.route, 40) if route.route != last else "", "bold"), route
        last = route.route


def _some(several: list[int], most: int) -> list[int]:
    """The largest k of pass^k, and for comparisons up to ``most`` of them from 1 on."""
    return several[-1:] if most == 1 else sorted({*several[: most - 1], *several[-1:]})
