"""A report for a person at a terminal: what was measured per route, and what got worse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from evalkit import phrasing
from evalkit.console import fits, table, to_text
from evalkit.escaping import line, shell
from evalkit.layout import NUMBERS, costs, named, operations, run_line, scorers, sizes, text
from evalkit.reports import (
    CaseScore,
    CaseSummary,
    GateReport,
    GateRow,
    Promotion,
    Report,
    RouteSummary,
    ScorerSummary,
)
from evalkit.results import Run

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from evalkit.power import Cost, Plan
    from evalkit.self_test import SelfTest

MAX_CASES = 8
MAX_STEPS = 3
MOST_IN_FULL = 50

_STYLES = {"✗": "bold red", "!": "bold magenta", "?": "yellow", "▲": "green", "✓": "green"}


def render(report: Report, /, *, width: int = 100, color: bool = False) -> str:
    """The run's routes and, where there is a gate, its verdicts and what is behind them.

    Ends with the decision, so that it is the last thing on the screen.
    """
    parts: list[RenderableType] = [run_line(report.run), ""]
    parts += _routes(report.routes, width)
    parts += [text(f"note: {line(note, 600)}", "yellow") for note in report.notes]
    shown = to_text(*parts, width=width, color=color)
    if report.gate is None:
        return shown
    return shown + "\n" + render_gate(report.gate, width=width, color=color)


def render_gate(gate: GateReport, /, *, width: int = 100, color: bool = False) -> str:
    """The gate's decision: a line per row, then those that failed in full, the worst first."""
    title = f"Gate: {named(gate.label, gate.run)} against "
    title += named(gate.baseline_label or "", gate.baseline) if gate.baseline else "no baseline"
    shown, omitted = _verdicts(gate, width)
    parts: list[RenderableType] = [text(title, "bold"), "", shown]
    if omitted:
        said = f"left out, in {width} columns: {', '.join(omitted)}; --format json has all"
        parts.append(text(said, "dim"))
    if any(row.spent_trials for row in gate.rows):
        parts.append(text(phrasing.AGAIN, "dim"))
    told: set[object] = set()
    failed = phrasing.blocking_rows(gate)
    for row in failed[:MOST_IN_FULL]:
        parts += ["", *_detail(row, gate, told)]
    if left := failed[MOST_IN_FULL:]:
        parts += ["", text(f"and {len(left)} more: `--format json` has them in full", "dim")]
    advice = phrasing.advisory_rows(gate)
    parts += [""] if gate.notes or advice else []
    parts += [text(f"advice: {_advised(row)}", "yellow") for row in advice]
    parts += [text(f"note: {line(note, 600)}", "yellow") for note in gate.notes]
    style = "bold green" if gate.exit == 0 else "bold red" if gate.exit == 1 else "bold magenta"
    parts += ["", text(_capital(phrasing.headline(gate, line)), style)]
    return to_text(*parts, width=width, color=color)


def render_runs(
    runs: Sequence[Run],
    trials: Mapping[str, int] | None = None,
    /,
    *,
    width: int = 100,
    color: bool = False,
) -> str:
    """The stored runs, in the order given; times are UTC.

    ``trials`` are those that a run holds; of a run that is not in it, those that were planned.
    """
    if not runs:
        return "no runs yet: make one with `evalkit run SUITE --label LABEL`\n"
    made = _runs(runs, trials or {}, started=True)
    if not fits(made, width):
        made = _runs(runs, trials or {}, started=False)  # a run's id tells the time as well
    return to_text(made, width=width, color=color)


def _runs(runs: Sequence[Run], trials: Mapping[str, int], *, started: bool) -> Table:
    time = ["started"] if started else []
    made = table("run", "label", "suite", *time, "cases", "trials", "status", right=NUMBERS)
    for run in runs:
        style = {"complete": "", "interrupted": "yellow", "running": "cyan"}[run.status]
        held = trials.get(run.id, len(run.planned) * run.trials)
        made.add_row(
            text(line(run.id, 60)),
            text(line(run.label, 40), "bold"),
            text(line(run.suite.name, 40)),
            *([text(phrasing.moment(run.started))] if started else []),
            text(str(len(run.planned) or held)),  # a recorded trace is a case
            text(phrasing.count(held)),
            text(run.status, style),
        )
    return made


def render_baselines(
    promotions: Sequence[Promotion],
    current: Mapping[tuple[str, str], str],
    /,
    *,
    width: int = 100,
    color: bool = False,
) -> str:
    """What was promoted, in the order given.

    ``current`` maps a promoted run and its label to the run that the label means now.
    """
    if not promotions:
        return "nothing was promoted yet: evalkit baseline promote RUN --label main\n"
    made = table("label", "run", "promoted", "gate", "")
    for one in promotions:
        said = {None: "none", 0: "passed"}.get(one.exit, f"exit {one.exit}")
        made.add_row(
            text(line(one.label, 40), "bold"),
            text(line(one.run, 60)),
            text(phrasing.moment(one.promoted)),
            text(said + ", forced" * one.forced, "yellow" * one.forced),
            text("current" if current.get((one.run, one.label)) == one.run else "", "green"),
        )
    promoted = {(one.label, one.run) for one in promotions}
    later = {(label, now) for (_, label), now in current.items()} - promoted
    notes = [
        text(f"{line(label, 40)} now means {line(now, 60)}, a later run of that label", "yellow")
        for label, now in sorted(later)
    ]
    return to_text(made, *notes, width=width, color=color)


def render_plan(
    plan: Plan,
    baseline: Run | None,
    notes: Sequence[str] = (),
    /,
    *,
    width: int = 100,
    color: bool = False,
) -> str:
    """Per route and scorer the drops that the gate sees, then what it costs and what to add."""
    source = f"measured in {named(baseline.label, baseline.id)}" if baseline else "assumed"
    parts: list[RenderableType] = [
        text(f"Drops of the mean that are found with 80 % power; variance {source}", "bold"),
        "",
    ]
    made = table("route and scorer", "cases", "trials", right={"cases", "trials"})
    for head in ("mean", "one stage", "confirm", "cases for 10 points", "for 5"):
        made.add_column(text(head), justify="right", no_wrap=True)
    last = None
    for row in plan.rows:
        if row.route != last:
            made.add_row(text(line(row.route, 60), "bold"))
        last = row.route
        needed = [phrasing.needed(row.needed[key]) for key in ("0.1", "0.05")]
        made.add_row(
            text(f"  {line(row.scorer, 60)}"),
            text(phrasing.count(row.cases)),
            text(phrasing.count(row.trials)),
            text(phrasing.number(row.mean) + ("" if row.measured else "*")),
            text(phrasing.number(row.one_stage)),
            text(phrasing.number(row.confirmed)),
            *(text(said) for said in needed),
        )
    said = "cases for 10 and 5 points: in one stage, with confirm"
    if not fits(made, width):
        for _ in range(2):
            made.columns.pop()
        said = f"cases needed for 10 and 5 points: left out, in {width} columns; --format json"
    parts.append(made)
    parts.append(text(said))
    if not all(row.measured for row in plan.rows):
        parts.append(text("* assumed: no past run has scores; see docs/planning.md"))
    parts += ["", text(_cost(plan.cost))]
    parts += [text(f"add: {line(said)}", "cyan") for said in plan.advice]
    parts += [text(f"note: {line(note, 600)}", "yellow") for note in notes]
    return to_text(*parts, width=width, color=color)


def _cost(cost: Cost) -> str:
    """What a run takes, and a confirmation of its largest route at most."""

    def priced(trials: int, time: float | None, money: float | None) -> str:
        known = [] if time is None else [phrasing.seconds(time)]
        known += [] if money is None else [phrasing.dollars(money)]
        return ", ".join([phrasing.plural(trials, "trial"), *known])

    run = priced(cost.trials, cost.seconds, cost.cost_usd)
    if not cost.confirm_trials:
        return f"a run takes {run}; nothing is confirmed"
    again = priced(cost.confirm_trials, cost.confirm_seconds, cost.confirm_usd)
    return f"a run takes {run}; to confirm the largest route takes at most {again}"


def render_self_test(found: SelfTest, /, *, width: int = 100, color: bool = False) -> str:
    """How often the gate alarms when nothing changed, and how often it sees each fault."""
    title = f"The gate on resampled trials of {', '.join(line(run, 60) for run in found.runs)}"
    made = table("what was done to the candidate")
    for head in ("repeats", "one stage", "confirm", "undecided"):
        made.add_column(text(head), justify="right", no_wrap=True)
    for row in found.rows:
        made.add_row(
            text(row.effect),
            text(phrasing.count(row.repeats)),
            text(phrasing.rate(row.one_stage, row.one_stage_error)),
            text(phrasing.rate(row.confirmed, row.confirmed_error)),
            text("–" if row.undecided is None else phrasing.percent(row.undecided)),
        )
    parts: list[RenderableType] = [text(title, "bold"), "", made, ""]
    parts += [text(f"note: {line(note, 600)}", "yellow") for note in found.notes]
    return to_text(*parts, width=width, color=color)


def render_cases(
    run: Run, cases: Sequence[CaseSummary], /, *, width: int = 100, color: bool = False
) -> str:
    """The cases of a run, with the trials that every gating scorer passed."""
    on = run.suite.gate.on
    scorers = list(dict.fromkeys(one.scorer for case in cases for one in case.scores))
    shown = [name for name in scorers if name in on] or scorers[:3]
    made = table("case", "route", *(line(name, 40) for name in shown), "infra", right=NUMBERS)
    for case in cases:
        found = {one.scorer: one for one in case.scores}
        lost = sum(case.infrastructure.values())
        made.add_row(
            text(line(case.case, 80)),
            text(line(case.route, 40)),
            *(_passed(found.get(name)) for name in shown),
            text(str(lost) if lost else "", "bold magenta"),
        )
    hint = f"look closer: evalkit show {shell(run.id)} CASE"
    return to_text(run_line(run), "", made, "", text(hint, "cyan"), width=width, color=color)


def _passed(score: CaseScore | None) -> Text:
    if score is None or not score.scored:
        return text(phrasing.UNKNOWN)
    style = "" if score.passed == score.scored else "red"
    return text(f"{score.passed}/{score.scored}", style)


def _routes(routes: Sequence[RouteSummary], width: int) -> list[RenderableType]:
    matrix = _matrix(routes)
    if fits(matrix, width):
        return [matrix]
    return [operations(routes), "", scorers(routes)]


def _matrix(routes: Sequence[RouteSummary]) -> Table:
    """All on one table: a column per scorer, its interval below the mean."""
    scorers = list(dict.fromkeys(one.scorer for route in routes for one in route.scorers))
    failed = any(route.infrastructure for route in routes)
    heads = [line(name, 40).replace("_", "\n") for name in scorers]
    tail = ["p50", "p99", "tokens", "cost"]
    made = table("route", "cases", "trials", *(["infra"] if failed else []), right=NUMBERS)
    for head in (*heads, *tail):
        made.add_column(text(head), justify="right")
    for route in routes:
        found = {one.scorer: one for one in route.scorers}
        made.add_row(
            text(line(route.route, 40), "bold"),
            *sizes(route, failed),
            *(text(_stacked(found.get(name))) for name in scorers),
            *costs(route),
        )
    return made


def _stacked(one: ScorerSummary | None) -> str:
    if one is None:
        return phrasing.UNKNOWN
    mark = "*" if one.not_judged else ""
    low, high = one.estimate.low, one.estimate.high
    spread = "" if low is None or high is None else f"\n{low:.2f}–{high:.2f}"
    return phrasing.number(one.estimate.mean) + mark + spread


def _verdicts(gate: GateReport, width: int) -> tuple[Table, tuple[str, ...]]:
    """The fullest table that the screen has room for, and what it leaves out.

    Names are never broken in two.
    """
    owned = ("owners",) if any(row.owners for row in gate.rows) else ()
    for left in ((), owned, (*owned, "p adj"), (*owned, "p adj", "intervals")):
        made = _verdict_table(
            gate, owners=not left, interval="intervals" not in left, p="p adj" not in left
        )
        if fits(made, width):
            break
    return made, left


def _verdict_table(gate: GateReport, *, owners: bool, interval: bool, p: bool) -> Table:
    """A group per route, a line per scorer; difference and interval in one column."""
    made = table("route and scorer", "verdict")
    for head in ("before → after", "difference", *(["p adj"] if p else [])):
        made.add_column(text(head), no_wrap=True)
    last = None
    for row in gate.rows:
        if row.route != last:
            named = text(line(row.route, 60), "bold")
            if owners and row.owners:
                named.append(
                    f"  {', '.join(line(owner, 40) for owner in row.owners)}", "not bold dim"
                )
            made.add_row(named)
        last = row.route
        mark = phrasing.VERDICT_MARKS[row.verdict]
        style = _STYLES.get(mark, "")
        scorer = text("  ").append(mark, style).append(f" {line(row.scorer, 60)}")
        size = phrasing.size(row) if interval or row.limit else phrasing.signed(row.difference)
        made.add_row(
            scorer,
            text(phrasing.verdict(row), style),
            text(phrasing.before_after(row)),
            text(size),
            *([text(phrasing.p_adjusted(row))] if p else []),
        )
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
        facts.add_row(text(name, "dim"), said)
    return [text(title, _STYLES.get(mark, "")), Padding(facts, (0, 0, 0, 2))]


def _facts(
    row: GateRow, gate: GateReport, told: set[object]
) -> Iterator[tuple[str, RenderableType]]:
    """What is behind a row; steps and cases already ``told`` for the route are not repeated."""
    yield "why", text(line(row.reason, 600) or phrasing.fired(row))
    steps = [step for step in row.steps[:MAX_STEPS] if (row.route, step) not in told]
    for place, step in enumerate(steps):
        yield "step" if place == 0 else "", text(phrasing.step_change(step, line), "bold")
    worse = phrasing.worse_cases(row)
    same = (row.route, frozenset(one.case for one in worse))
    if worse and same in told:
        yield "cases", text(f"the same {phrasing.plural(len(worse), 'case')} as above")
        return
    if worse:
        yield "cases", _cases(row)
    told.update((same, *((row.route, step) for step in steps)))
    if row.owners:
        yield "owner", text(", ".join(line(owner, 60) for owner in row.owners))
    look = phrasing.closer_look(gate.run, row, shell)
    if look is not None:
        yield "look", text(look, "cyan")


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
        passed = f"trials passed {phrasing.passes(one)}"
        made.add_row(text(line(one.case, 80)), text(passed), text(broken, "red"))
    if len(worse) > MAX_CASES:
        made.add_row(text(f"and {len(worse) - MAX_CASES} more"), "", "")
    return made


def _advised(row: GateRow) -> str:
    name = f"{line(row.route, 60)} · {line(row.scorer, 60)}"
    steps = "".join(f"; {phrasing.step_change(step, line)}" for step in row.steps[:MAX_STEPS])
    return f"{name} is {row.verdict}: {line(row.reason, 600)}{steps}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
