"""Several runs side by side: what each measured, each against the first, and which to choose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from evalkit import phrasing
from evalkit.choosing import Choice, Versus
from evalkit.console import fits, table, to_text
from evalkit.escaping import code, line, markdown
from evalkit.layout import operations, run_line, scorers, text
from evalkit.ranking import Standing
from evalkit.reports import RouteSummary
from evalkit.results import Run

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

MAX_NAMED = 3
MAX_ROWS = 200
_STYLES = {"worse": "bold red", "better": "green", "no difference shown": ""}
_RUN_HEADS = ("route", "scorer", "run", "mean", "pass^k", "p50", "p99", "tokens", "cost")
_PAIR_HEADS = ("route", "scorer", "run", "difference", "p adjusted", "", "broken", "fixed")
_RANK_HEADS = ("route", "run", "quality", "cost", "p50", "Pareto", "choose")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def render(
    runs: Sequence[Run],
    routes: Sequence[RouteSummary],
    choice: Choice | None = None,
    /,
    *,
    width: int = 100,
    color: bool = False,
) -> str:
    """Route by version, then the comparison with the first run, and the routing table.

    ``runs`` in the order asked for, which is the order of the versions within each route.
    """
    every = _ordered(runs, routes)
    rows = every[: max(len(runs), MAX_ROWS // len(runs) * len(runs))]
    several = (scorers(rows, versions=True, most=most) for most in (4, 3, 2))
    fitting = (made for made in several if fits(made, width))
    how_good = next(fitting, None) or scorers(rows, versions=True)
    parts: list[RenderableType] = [run_line(run) for run in runs]
    parts += ["", text("What it took, per trial", "bold"), operations(rows, versions=True)]
    parts += ["", text("How good it was", "bold"), how_good]
    if len(rows) < len(every):
        parts.append(text(f"and {len(every) - len(rows):,} more rows of both; --format json"))
    if choice is not None:
        names = names_of(runs)
        title = f"Against {line(names[choice.reference], 60)}, {_correction(choice)}"
        parts += ["", text(title, "bold"), _pairs(choice, names)]
        parts += ["", text(_rule(choice), "bold"), _standings(choice, names, width)]
        parts += ["", text("To paste", "bold"), text(routing_table(runs, choice).rstrip())]
        parts += [text(f"note: {line(note, 400)}") for note in choice.notes]
    return to_text(*parts, width=width, color=color)


def render_markdown(
    runs: Sequence[Run], routes: Sequence[RouteSummary], choice: Choice | None = None, /
) -> str:
    """The same as Markdown; names that come from data are escaped."""
    names = names_of(runs)
    rows = (cells for route in _ordered(runs, routes) for cells in _markdown_route(route, names))
    parts = ["## evalkit compare", *_markdown_table(_RUN_HEADS, rows)]
    if choice is not None:
        parts.append(f"### Against {code(names[choice.reference], 80)}, {_correction(choice)}")
        pairs = (_markdown_pair(one, names) for one in choice.pairs)
        parts += _markdown_table(_PAIR_HEADS, pairs)
        parts.append(f"### {markdown(_rule(choice))}")
        ranks = (_markdown_rank(one, names) for one in choice.standings)
        parts += _markdown_table(_RANK_HEADS, ranks)
        parts.append("```yaml\n" + routing_table(runs, choice).replace("```", "") + "```")
        parts += [f"note: {markdown(note, 400)}" for note in choice.notes]
    return "\n\n".join(parts) + "\n"


def routing_table(runs: Sequence[Run], choice: Choice) -> str:
    """The chosen version of every route as YAML, ready to paste."""
    names = names_of(runs)
    said = ["routes:"]
    for one in choice.standings:
        if one.chosen:
            numbers = ", ".join(_numbers(one))
            said.append(f"  {_scalar(one.route)}: {_scalar(names[one.run])}  # {numbers}")
    return "\n".join(said) + "\n"


def names_of(runs: Sequence[Run]) -> dict[str, str]:
    """What each run is called: its label, or its id where several bear the label."""
    labels = [run.label for run in runs]
    return {run.id: run.label if labels.count(run.label) == 1 else run.id for run in runs}


def _ordered(runs: Sequence[Run], routes: Sequence[RouteSummary]) -> list[RouteSummary]:
    order = {run.id: place for place, run in enumerate(runs)}
    return sorted(routes, key=lambda one: (one.route, order.get(one.run, len(order))))


def _correction(choice: Choice) -> str:
    name = {"holm": "Holm", "bh": "Benjamini-Hochberg, to explore"}[choice.correction]
    return f"corrected over {phrasing.plural(len(choice.pairs), 'comparison')} ({name})"


def _rule(choice: Choice) -> str:
    return "Which to choose: the cheapest that is near the best and not shown worse, by " + (
        ", ".join(line(name, 40) for name in choice.scorers)
    )


def _pairs(choice: Choice, names: Mapping[str, str]) -> Table:
    made = table("route and scorer", "run")
    for head in ("difference", "p adj", ""):
        made.add_column(text(head), no_wrap=True)
    made.add_column(text("broken and fixed cases"), overflow="fold")
    last = ("", "")
    shown = [one for one in choice.pairs if len(choice.pairs) <= MAX_ROWS or _telling(one)]
    for one in shown[:MAX_ROWS]:
        if one.route != last[0]:
            made.add_row(text(line(one.route, 60), "bold"))
        scorer = line(one.scorer, 60) if (one.route, one.scorer) != last else ""
        last = (one.route, one.scorer)
        made.add_row(
            text("  " + scorer),
            text(line(names[one.run], 30)),
            text(_size(one)),
            text(phrasing.p_value(one.p_adjusted).removeprefix("= ")),
            text(one.change if one.change != "no difference shown" else "–", _STYLES[one.change]),
            text(_flipped(one)),
        )
    left = len(choice.pairs) - len(shown[:MAX_ROWS])
    if left:
        made.caption = text(f"and {left:,} more comparisons; --format json")
        made.caption_justify = "left"
    return made


def _telling(one: Versus) -> bool:
    return one.change != "no difference shown" or bool(one.broken or one.fixed)


def _size(one: Versus) -> str:
    spread = phrasing.interval(one.low, one.high, phrasing.signed)
    return f"{phrasing.signed(one.difference)} {spread}"


def _flipped(one: Versus) -> str:
    said = []
    for word, cases in (("broken", one.broken), ("fixed", one.fixed)):
        if cases:
            named = ", ".join(line(case, 60) for case in cases[:MAX_NAMED])
            more = f" and {len(cases) - MAX_NAMED} more" if len(cases) > MAX_NAMED else ""
            said.append(f"{len(cases)} {word}: {named}{more}")
    return "; ".join(said)


def _standings(choice: Choice, names: Mapping[str, str], width: int) -> Table:
    made = table("route", "run", "quality", "cost", "p50", right={"quality", "cost", "p50"})
    made.add_column(text("Pareto"), no_wrap=True)
    made.add_column(text("choose"), overflow="fold")
    last = None
    shown = [one for one in choice.standings if len(choice.standings) <= MAX_ROWS or one.efficient]
    for one in shown:
        style = "bold green" if one.chosen else ""
        made.add_row(
            text(line(one.route, 40) if one.route != last else "", "bold"),
            text(line(names[one.run], 30), style),
            *(text(said, style) for said in (_quality(one), *_numbers(one)[1:])),
            text("efficient" if one.efficient else ""),
            text(("← " + one.reason if width >= 120 else "←") if one.chosen else "", style),
        )
        last = one.route
    return made


def _quality(one: Standing) -> str:
    return phrasing.number(one.quality)


def _numbers(one: Standing) -> list[str]:
    return [
        f"quality {phrasing.number(one.quality)}",
        phrasing.dollars(one.cost_usd),
        phrasing.seconds(one.latency_p50),
    ]


def _scalar(name: str) -> str:
    """A name as a YAML scalar: plain where no reader could take it for anything else."""
    words = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}
    plain = _PLAIN.fullmatch(name) and name.lower() not in words
    return name if plain else json.dumps(name)


def _markdown_route(route: RouteSummary, names: Mapping[str, str]) -> Iterator[list[str]]:
    for one in route.scorers:
        mean = phrasing.number(one.estimate.mean)
        hats = " ".join(phrasing.number(value, 3) for _, value in sorted(one.pass_hat.items())[:4])
        yield [
            code(route.route, 80),
            code(one.scorer, 80),
            code(names[route.run], 80),
            f"{mean} {phrasing.interval(one.estimate.low, one.estimate.high)}".strip(),
            hats,
            phrasing.seconds(route.latency_p50),
            phrasing.seconds(route.latency_p99),
            phrasing.count(route.tokens),
            phrasing.dollars(route.cost_usd).replace("<", "&lt;"),
        ]


def _markdown_pair(one: Versus, names: Mapping[str, str]) -> list[str]:
    return [
        code(one.route, 80),
        code(one.scorer, 80),
        code(names[one.run], 80),
        _size(one),
        phrasing.p_value(one.p_adjusted).removeprefix("= ").replace("<", "&lt;"),
        one.change if one.change != "no difference shown" else "",
        ", ".join(code(case, 80) for case in one.broken[:MAX_NAMED]),
        ", ".join(code(case, 80) for case in one.fixed[:MAX_NAMED]),
    ]


def _markdown_rank(one: Standing, names: Mapping[str, str]) -> list[str]:
    return [
        code(one.route, 80),
        code(names[one.run], 80),
        _quality(one),
        phrasing.dollars(one.cost_usd).replace("<", "&lt;"),
        phrasing.seconds(one.latency_p50),
        "efficient" if one.efficient else "",
        f"**choose**: {one.reason}" if one.chosen else "",
    ]


def _markdown_table(heads: Sequence[str], rows: Iterator[list[str]]) -> list[str]:
    """The table, cut at :data:`MAX_ROWS`. Cells are escaped already."""
    found = list(rows)
    said = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    said += ["| " + " | ".join(line(cell, 2000) for cell in row) + " |" for row in found[:MAX_ROWS]]
    more = len(found) - MAX_ROWS
    return ["\n".join(said), *([f"and {more} more rows"] if more > 0 else [])]
