"""A report for a person at a terminal: what was measured per route, and what got worse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from evalkit import phrasing
from evalkit.console import fits, table, to_text
from evalkit.escaping import line, shell
from evalkit.results import (
    CaseScore,
    CaseSummary,
    GateReport,
    GateRow,
    Report,
    RouteSummary,
    Run,
    ScorerSummary,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

MAX_CASES = 8
MAX_STEPS = 3

_STYLES = {"✗": "bold red", "!": "bold magenta", "?": "yellow", "▲": "green", "✓": "green"}
_NUMBERS = frozenset({"cases", "trials", "infra", "p50", "p99", "tokens", "cost"})


def render(report: Report, /, *, width: int = 100, color: bool = False) -> str:
    """The run's routes and, where there is a gate, its verdicts and what is behind them.

    Ends with the decision, so that it is the last thing on the screen.
    """
    parts: list[RenderableType] = [_run_line(report.run), ""]
    parts += _routes(report.routes, width)
    parts += [_text(f"note: {line(note)}", "yellow") for note in report.notes]
    text = to_text(*parts, width=width, color=color)
    if report.gate is None:
        return text
    return text + "\n" + render_gate(report.gate, width=width, color=color)


def render_gate(gate: GateReport, /, *, width: int = 100, color: bool = False) -> str:
    """The gate's decision: a line per route and scorer, then each failed row in full."""
    title = f"Gate: {_named(gate.label, gate.run)} against "
    title += _named(gate.baseline_label or "", gate.baseline) if gate.baseline else "no baseline"
    parts: list[RenderableType] = [_text(title, "bold"), "", _verdicts(gate, width)]
    told: set[object] = set()
    for row in phrasing.blocking_rows(gate):
        parts += ["", *_detail(row, gate, told)]
    if gate.notes:
        parts.append("")
    parts += [_text(f"note: {line(note)}", "yellow") for note in gate.notes]
    style = "bold green" if gate.exit == 0 else "bold red" if gate.exit == 1 else "bold magenta"
    parts += ["", _text(_capital(phrasing.headline(gate, line)), style)]
    return to_text(*parts, width=width, color=color)


def render_compare(
    runs: Sequence[Run], routes: Sequence[RouteSummary], /, *, width: int = 100, color: bool = False
) -> str:
    """Route by version: every scorer of every run, with pass^k, latency, tokens and cost.

    ``runs`` in the order asked for, which is the order of the versions within each route.
    """
    order = {run.id: place for place, run in enumerate(runs)}
    rows = sorted(routes, key=lambda one: (one.route, order.get(one.run, len(order))))
    parts: list[RenderableType] = [_run_line(run) for run in runs]
    parts += ["", _text("What it took, per trial", "bold"), _operations(rows, versions=True)]
    parts += ["", _text("How good it was", "bold"), _scorers(rows, versions=True)]
    return to_text(*parts, width=width, color=color)


def render_runs(runs: Sequence[Run], /, *, width: int = 100, color: bool = False) -> str:
    """The stored runs, in the order given; times are UTC."""
    if not runs:
        return "no runs yet: make one with `evalkit run SUITE --label LABEL`\n"
    made = table("run", "label", "suite", "started", "cases", "trials", "status", right=_NUMBERS)
    for run in runs:
        style = {"complete": "", "interrupted": "yellow", "running": "cyan"}[run.status]
        made.add_row(
            _text(line(run.id, 60)),
            _text(line(run.label, 40), "bold"),
            _text(line(run.suite.name, 40)),
            _text(phrasing.moment(run.started)),
            _text(str(len(run.planned))),
            _text(phrasing.count(len(run.planned) * run.trials)),
            _text(run.status, style),
        )
    if not fits(made, width):
        made.columns.pop(3)  # a run's id tells the time as well
    return to_text(made, width=width, color=color)


def render_cases(
    run: Run, cases: Sequence[CaseSummary], /, *, width: int = 100, color: bool = False
) -> str:
    """The cases of a run, with the trials that every gating scorer passed."""
    on = run.suite.gate.on
    scorers = list(dict.fromkeys(one.scorer for case in cases for one in case.scores))
    shown = [name for name in scorers if name in on] or scorers[:3]
    made = table("case", "route", *(line(name, 40) for name in shown), "infra", right=_NUMBERS)
    for case in cases:
        found = {one.scorer: one for one in case.scores}
        lost = sum(case.infrastructure.values())
        made.add_row(
            _text(line(case.case, 80)),
            _text(line(case.route, 40)),
            *(_passed(found.get(name)) for name in shown),
            _text(str(lost) if lost else "", "bold magenta"),
        )
    hint = f"look closer: evalkit show {shell(run.id)} CASE"
    return to_text(_run_line(run), "", made, "", _text(hint, "cyan"), width=width, color=color)


def _passed(score: CaseScore | None) -> Text:
    if score is None or not score.scored:
        return _text(phrasing.UNKNOWN)
    style = "" if score.passed == score.scored else "red"
    return _text(f"{score.passed}/{score.scored}", style)


def _run_line(run: Run) -> Text:
    cases = phrasing.plural(len(run.planned), "case")
    said = f"{_named(run.label, run.id)}: suite {line(run.suite.name, 60)}, "
    said += f"{cases} × {phrasing.plural(run.trials, 'trial')}"
    if run.settings:
        said += ", " + ", ".join(f"{line(k, 40)}={line(v, 40)}" for k, v in run.settings.items())
    return _text(said + ("" if run.status == "complete" else f", {run.status}"), "bold")


def _routes(routes: Sequence[RouteSummary], width: int) -> list[RenderableType]:
    matrix = _matrix(routes)
    if fits(matrix, width):
        return [matrix]
    return [_operations(routes), "", _scorers(routes)]


def _matrix(routes: Sequence[RouteSummary]) -> Table:
    """All on one table: a column per scorer, its interval below the mean."""
    scorers = list(dict.fromkeys(one.scorer for route in routes for one in route.scorers))
    failed = any(route.infrastructure for route in routes)
    heads = [line(name, 40).replace("_", "\n") for name in scorers]
    tail = ["p50", "p99", "tokens", "cost"]
    made = table("route", "cases", "trials", *(["infra"] if failed else []), right=_NUMBERS)
    for head in (*heads, *tail):
        made.add_column(_text(head), justify="right")
    for route in routes:
        found = {one.scorer: one for one in route.scorers}
        made.add_row(
            _text(line(route.route, 40), "bold"),
            *_sizes(route, failed),
            *(_text(_stacked(found.get(name))) for name in scorers),
            *_costs(route),
        )
    return made


def _operations(routes: Sequence[RouteSummary], versions: bool = False) -> Table:
    failed = any(route.infrastructure for route in routes)
    heads = ["cases", "trials", *(["infra"] if failed else []), "p50", "p99", "tokens", "cost"]
    made = table("route", *(["run"] if versions else []), *heads, right=_NUMBERS)
    for name, route in _once(routes):
        version = [_text(line(route.label, 30))] if versions else []
        made.add_row(name, *version, *_sizes(route, failed), *_costs(route))
    return made


def _scorers(routes: Sequence[RouteSummary], versions: bool = False) -> Table:
    """A line per route and scorer; with versions, per route, scorer and run."""
    heads = ["mean", "95 % interval"]
    several = sorted({k for route in routes for one in route.scorers for k in one.pass_hat})
    shown = _some(several, 4 if versions else 1)
    heads += [f"pass^{k}" for k in shown]
    made = table("route and scorer", *(["run"] if versions else []))
    for head in heads:
        made.add_column(_text(head), justify="left" if "%" in head else "right", no_wrap=True)
    last = ("", "")
    for route, one in _by_scorer(routes):
        if route.route != last[0]:
            made.add_row(_text(line(route.route, 60), "bold"))
        scorer = line(one.scorer, 60) if (route.route, one.scorer) != last else ""
        last = (route.route, one.scorer)
        mean = one.estimate
        made.add_row(
            _text("  " + scorer),
            *([_text(line(route.label, 30))] if versions else []),
            _text(phrasing.number(mean.mean) + ("*" if one.not_judged else "")),
            _text(phrasing.interval(mean.low, mean.high)),
            *(_text(phrasing.number(one.pass_hat.get(k), 3)) for k in shown),
        )
    if any(one.not_judged for route in routes for one in route.scorers):
        made.caption = _text("* some trials could not be judged; see evalkit show")
        made.caption_justify = "left"
    return made


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
        yield _text(line(route.route, 40) if route.route != last else "", "bold"), route
        last = route.route


def _some(several: list[int], most: int) -> list[int]:
    """The largest k of pass^k, and for comparisons up to ``most`` of them from 1 on."""
    return several[-1:] if most == 1 else sorted({*several[: most - 1], *several[-1:]})


def _sizes(route: RouteSummary, failed: bool) -> list[Text]:
    said = [_text(phrasing.count(route.cases)), _text(phrasing.count(route.trials))]
    style = "bold magenta" if route.infrastructure else ""
    return said + ([_text(phrasing.count(route.infrastructure), style)] if failed else [])


def _costs(route: RouteSummary) -> list[Text]:
    return [
        _text(phrasing.seconds(route.latency_p50)),
        _text(phrasing.seconds(route.latency_p99)),
        _text(phrasing.count(route.tokens)),
        _text(phrasing.dollars(route.cost_usd)),
    ]


def _stacked(one: ScorerSummary | None) -> str:
    if one is None or one.estimate.mean is None:
        return phrasing.UNKNOWN
    mark = "*" if one.not_judged else ""
    low, high = one.estimate.low, one.estimate.high
    spread = "" if low is None or high is None else f"\n{low:.2f}–{high:.2f}"
    return phrasing.number(one.estimate.mean) + mark + spread


def _verdicts(gate: GateReport, width: int) -> Table:
    made = table("route", "", "verdict", "scorer")
    made.add_column(_text("before → after"), no_wrap=True)
    made.add_column(_text("difference"), no_wrap=True)
    if width >= 90:
        made.add_column(_text("95 % interval"), no_wrap=True)
        made.add_column(_text("p adjusted"), no_wrap=True)
    last = None
    for row in gate.rows:
        mark = phrasing.VERDICT_MARKS[row.verdict]
        cells = [
            _text(line(row.route, 40) if row.route != last else "", "bold"),
            _text(mark, _STYLES.get(mark, "")),
            _text(row.verdict, _STYLES.get(mark, "")),
            _text(line(row.scorer, 40)),
            _text(f"{phrasing.number(row.baseline)} → {phrasing.number(row.candidate)}"),
            _text(phrasing.signed(row.difference)),
        ]
        if width >= 90:
            cells.append(_text(phrasing.interval(row.low, row.high, phrasing.signed)))
            cells.append(_text(phrasing.p_value(row.p_adjusted).removeprefix("= ")))
        made.add_row(*cells)
        last = row.route
    return made


def _detail(row: GateRow, gate: GateReport, told: set[object]) -> list[RenderableType]:
    from rich.padding import Padding
    from rich.table import Table

    mark = phrasing.VERDICT_MARKS[row.verdict]
    title = f"{mark} {line(row.route, 60)} · {line(row.scorer, 60)}: {row.verdict}"
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, said in _facts(row, gate, told):
        facts.add_row(_text(name, "dim"), said)
    return [_text(title, _STYLES.get(mark, "")), Padding(facts, (0, 0, 0, 2))]


def _facts(
    row: GateRow, gate: GateReport, told: set[object]
) -> Iterator[tuple[str, RenderableType]]:
    """What is behind a row; steps and cases already ``told`` for the route are not repeated."""
    yield "why", _text(line(row.reason, 600) or phrasing.fired(row))
    steps = [step for step in row.steps[:MAX_STEPS] if (row.route, step) not in told]
    for place, step in enumerate(steps):
        yield "step" if place == 0 else "", _text(phrasing.step_change(step, line), "bold")
    worse = phrasing.worse_cases(row)
    same = (row.route, frozenset(one.case for one in worse))
    if worse and same in told:
        yield "cases", _text(f"the same {phrasing.plural(len(worse), 'case')} as above")
        return
    if worse:
        yield "cases", _cases(row)
    told.update((same, *((row.route, step) for step in steps)))
    if row.owners:
        yield "owner", _text(", ".join(line(owner, 60) for owner in row.owners))
    look = phrasing.closer_look(gate.run, row, shell)
    if look is not None:
        yield "look", _text(look, "cyan")


def _cases(row: GateRow) -> Table:
    """The cases that got worse with the trials they passed; pass rate hides nothing else."""
    from rich.table import Table

    worse = phrasing.worse_cases(row)
    made = Table.grid(padding=(0, 2))
    made.add_column(overflow="fold")
    made.add_column(no_wrap=True)
    made.add_column(no_wrap=True)
    for one in worse[:MAX_CASES]:
        broken = "broken" if one.case in row.broken else ""
        passed = f"passed {phrasing.passes(one)}"
        made.add_row(_text(line(one.case, 80)), _text(passed), _text(broken, "red"))
    if len(worse) > MAX_CASES:
        made.add_row(_text(f"and {len(worse) - MAX_CASES} more"), "", "")
    return made


def _named(label: str, run: str | None) -> str:
    shown = line(run or "", 60)
    return f"{line(label, 60)} ({shown})" if label and label != run else shown


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _text(text: str, style: str = "") -> Text:
    """Never rich markup: what is shown comes from data."""
    from rich.text import Text

    return Text(text, style=style)
