"""A report in GitHub Markdown, for a job's summary and for comments on pull requests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evalkit import phrasing
from evalkit.escaping import code, line, markdown, shell
from evalkit.reports import GateReport, GateRow, Report, RouteSummary, ScorerSummary

MAX_ROWS = 60
MAX_DETAILS = 20
MAX_CASES = 8
"""With these a comment stays below GitHub's 65,536 characters for all but absurd names."""

_ICONS = {"✗": "❌", "!": "⚠️", "?": "❔", "+": "🆕", "▲": "📈", "✓": "✅"}


def render(report: Report, /) -> str:
    """The decision first, then what got worse, then every route."""
    run = report.run
    title = f"{markdown(run.suite.name)}: {markdown(run.label)}"
    parts = [f"## evalkit · {title}"]
    if report.gate is not None:
        parts += _gate(report.gate)
    parts.append(_routes(report.routes))
    parts += [f"> {markdown(note, 600)}" for note in report.notes]
    parts.append(f"<sub>run {code(run.id)}, {phrasing.plural(run.trials, 'trial')} per case</sub>")
    return "\n\n".join(filter(None, parts)) + "\n"


def _gate(gate: GateReport) -> list[str]:
    icon = {0: "✅", 1: "❌"}.get(gate.exit, "⚠️")
    against = gate.baseline_label or gate.baseline
    said = f"{icon} **{phrasing.headline(gate, markdown)}**"
    said += f"  \nagainst baseline {code(against)}" if against else ""
    heads = ("", "route", "scorer", "verdict", "before → after", "difference", "p adjusted")
    table = _table(heads, (_verdict(row) for row in gate.rows[:MAX_ROWS]))
    failed = phrasing.blocking_rows(gate)
    details = [_detail(row, gate) for row in failed[:MAX_DETAILS]]
    left = len(failed) - MAX_DETAILS
    details += [f"and {left} more failed rows"] if left > 0 else []
    more = len(gate.rows) - MAX_ROWS
    rest = [f"and {more} more rows"] if more > 0 else []
    rest += [f"<sub>{phrasing.AGAIN}</sub>"] if any(row.spent_trials for row in gate.rows) else []
    return [said, *details, table, *rest, *(f"> {markdown(note, 600)}" for note in gate.notes[:20])]


def _verdict(row: GateRow) -> list[str]:
    icon = _ICONS[phrasing.VERDICT_MARKS[row.verdict]]
    return [
        icon,
        code(row.route, 80),
        code(row.scorer, 80),
        phrasing.verdict(row),
        phrasing.before_after(row),
        phrasing.size(row),
        phrasing.p_adjusted(row).replace("<", "&lt;"),
    ]


def _detail(row: GateRow, gate: GateReport) -> str:
    icon = _ICONS[phrasing.VERDICT_MARKS[row.verdict]]
    said = [f"### {icon} {code(row.route, 80)} {row.verdict} on {code(row.scorer, 80)}", ""]
    said += [f"- {markdown(row.reason or phrasing.fired(row), 600)}"]
    said += [f"- **step**: {phrasing.step_change(step, code)}" for step in row.steps[:3]]
    worse = phrasing.worse_cases(row)
    said += [
        f"- {code(one.case, 80)}: trials passed {phrasing.passes(one)}" for one in worse[:MAX_CASES]
    ]
    said += [f"- and {len(worse) - MAX_CASES} more"] if len(worse) > MAX_CASES else []
    owners = ", ".join(markdown(owner, 60) for owner in row.owners[:10])
    said += [f"- owner: {owners}"] if owners else []
    look = phrasing.closer_look(gate.run, row, shell)
    said += [f"- look: {code(look)}"] if look else []
    return "\n".join(said)


def _routes(routes: Sequence[RouteSummary]) -> str:
    scorers = list(dict.fromkeys(one.scorer for route in routes for one in route.scorers))
    failed = any(route.infrastructure for route in routes)
    lost = ["infrastructure failures"] if failed else []
    heads = ["route", "cases", "trials", *lost, *(markdown(name, 60) for name in scorers)]
    heads += ["p50", "p99", "tokens", "cost"]
    rows = (_route(route, scorers, failed) for route in routes[:MAX_ROWS])
    return _table(heads, rows)


def _route(route: RouteSummary, scorers: Iterable[str], failed: bool) -> list[str]:
    found = {one.scorer: one for one in route.scorers}
    return [
        code(route.route, 80),
        str(route.cases),
        str(route.trials),
        *([str(route.infrastructure)] if failed else []),
        *(_score(found.get(name)) for name in scorers),
        phrasing.seconds(route.latency_p50),
        phrasing.seconds(route.latency_p99),
        phrasing.count(route.tokens),
        phrasing.dollars(route.cost_usd).replace("<", "&lt;"),
    ]


def _score(one: ScorerSummary | None) -> str:
    if one is None:
        return phrasing.UNKNOWN
    mark = r"\*" if one.not_judged else ""
    spread = phrasing.interval(one.estimate.low, one.estimate.high)
    return f"{phrasing.number(one.estimate.mean)}{mark} {spread}".strip()


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are escaped already; a cell never holds a line break."""
    said = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    said += ["| " + " | ".join(line(cell, 2000) for cell in row) + " |" for row in rows]
    return "\n".join(said)
