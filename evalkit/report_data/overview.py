"""The first page: the decision in one sentence, every route, and the list of cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from evalkit import phrasing
from evalkit.breakdown import RouteBreakdown
from evalkit.history import RouteHistory
from evalkit.report_data.cases import STANDINGS, Listed, columns
from evalkit.report_data.text import visible
from evalkit.reporters.json import gate_object, plain, run_object, summary_objects
from evalkit.reports import GateReport, GateRow, Report, RouteSummary
from evalkit.results import Run
from evalkit.step_failures import StepFailures

BINS = 24
_MOST_STEPS = 40
_MOST_TOOLS = 16
_LIT = 0.05
"""A step is lit if its fail rate rose by at least this, or is at least this without a baseline."""


def overview(
    report: Report,
    cases: Sequence[Listed],
    detail: Mapping[str, RouteBreakdown],
    baseline: tuple[Run, Sequence[RouteSummary], Mapping[str, RouteBreakdown]] | None = None,
    history: Iterable[RouteHistory] = (),
) -> dict[str, Any]:
    """Everything but the traces, as JSON has it.

    ``summary``, ``baseline_summary`` and ``gate`` are the objects of ``--format json``, number by
    number; what is rounded for people stands beside them as text.
    """
    before = {one.route: one for one in baseline[1]} if baseline else {}
    scorers = list(dict.fromkeys(one.scorer for route in report.routes for one in route.scorers))
    on = gating_scorers(report, scorers)
    ordered = [*on, *(name for name in scorers if name not in on)]
    worst = _worst_first(report)
    notes = (*(report.gate.notes if report.gate else ()), *report.notes)
    found = {route.route: route for route in report.routes}
    return {
        "suite": visible(report.run.suite.name, 200),
        "run": _run(report.run),
        "baseline": _run(baseline[0]) if baseline else None,
        "decision": _decision(report.gate),
        "headline": headline(report),
        "lead": _lead(report.gate),
        "notes": [visible(note, 600) for note in notes],
        "gate": plain(gate_object(report.gate)) if report.gate else None,
        "summary": [row for route in report.routes for row in summary_objects(route)],
        "baseline_summary": [
            row for route in (baseline[1] if baseline else ()) for row in summary_objects(route)
        ],
        "scorers": [visible(name, 200) for name in ordered],
        "on": on,
        "routes": [
            _route(
                name,
                found.get(name),
                before.get(name),
                [row for row in report.gate.rows if row.route == name] if report.gate else [],
                (detail.get(name), baseline[2].get(name) if baseline else None),
                on,
            )
            for name in worst
        ],
        "standings": list(STANDINGS.items()),
        "cases": columns(cases, ordered),
        "history": [msgspec.to_builtins(one) for one in history],
    }


def gating_scorers(report: Report, scorers: Sequence[str]) -> list[str]:
    """The scorers that decide: those of the gate, else those that the suite would gate on.

    Limits, and what trials took, have rows of the gate too, and no score of a case.
    """
    rows = report.gate.rows if report.gate else ()
    deciding = dict.fromkeys(row.scorer for row in rows) or report.run.suite.gate.on
    return [name for name in deciding if name in scorers]


def headline(report: Report) -> str:
    """The decision in one sentence; without a baseline, what there is to see."""
    if report.gate is not None and report.gate.baseline is not None:
        said = phrasing.headline(report.gate, lambda text: visible(text, 200))
        return said[:1].upper() + said[1:]
    cases = phrasing.plural(len(report.cases), "case")
    routes = phrasing.plural(len(report.routes), "route")
    return f"Not compared with a baseline: {cases} on {routes}"


def _decision(gate: GateReport | None) -> str:
    if gate is None or gate.baseline is None:
        return "none"
    return {0: "passed", 1: "failed"}.get(gate.exit, "undecided")


def _lead(gate: GateReport | None) -> list[dict[str, Any]]:
    """What got worse, a line per blocking route: the size, the step, the cases, the owner."""
    leads: dict[str, dict[str, Any]] = {}
    for row in phrasing.blocking_rows(gate) if gate else ():
        if row.route in leads or len(leads) == 5:
            continue
        worse = phrasing.worse_cases(row)
        leads[row.route] = {
            "route": visible(row.route, 200),
            "verdict": row.verdict,
            "scorer": visible(row.scorer, 200),
            "size": phrasing.fired(row),
            "steps": [phrasing.step_change(step, _name) for step in row.steps[:1]],
            "cases": len(worse),
            "broken": len(row.broken),
            "owners": [visible(owner, 200) for owner in row.owners],
            "reason": visible(row.reason, 600),
        }
    return list(leads.values())


def _name(text: object) -> str:
    return visible(text, 200)


def _run(run: Run) -> dict[str, Any]:
    """The object of ``runs``, with what tells one version from another."""
    return {
        **run_object(run),
        "label": visible(run.label, 200),
        "suite": visible(run.suite.name, 200),
        "when": phrasing.moment(run.started),
        "commit": None if run.commit is None else visible(run.commit, 64),
        "settings": {visible(k, 100): visible(v, 200) for k, v in run.settings.items()},
        "per_case": run.trials,
        "evalkit": run.evalkit_version,
    }


def _worst_first(report: Report) -> list[str]:
    """The routes, those that block first, then in the run's order."""
    blocking = [row.route for row in phrasing.blocking_rows(report.gate)] if report.gate else []
    judged = [row.route for row in report.gate.rows] if report.gate else []
    return list(dict.fromkeys([*blocking, *(one.route for one in report.routes), *judged]))


# --- one route ----------------------------------------------------------------------------


def _route(
    name: str,
    now: RouteSummary | None,
    was: RouteSummary | None,
    rows: Sequence[GateRow],
    parts: tuple[RouteBreakdown | None, RouteBreakdown | None],
    on: Sequence[str],
) -> dict[str, Any]:
    after, before = parts
    return {
        "name": visible(name, 200),
        "cases": now.cases if now else 0,
        "trials": now.trials if now else 0,
        "lost": now.infrastructure if now else 0,
        "owners": [visible(one, 200) for one in (rows[0].owners if rows else ())],
        "rows": [_row(row) for row in rows] or [_unjudged(one, now) for one in on],
        "took": _took(now, was),
        "pass_hat": _pass_hats(now, was),
        "path": _path(after, before),
        "beside": _beside(after, before),
        "confusion": _confusion(after, before),
        "chosen_well": _chosen_well(after),
        "causes": _causes(after, before),
        "economy": _economy(after),
        "latency": _histogram(after, before, "latency_s"),
        "tokens": _histogram(after, before, "tokens"),
    }


def _row(row: GateRow) -> dict[str, Any]:
    return {
        "scorer": visible(row.scorer, 200),
        "verdict": row.verdict,
        "baseline": phrasing.amount(row, row.baseline),
        "candidate": phrasing.amount(row, row.candidate),
        "difference": phrasing.difference(row),
        "interval": phrasing.interval(row.low, row.high, phrasing.signed),
        "at": _at(row),
        "reason": visible(row.reason, 900),
        "steps": [phrasing.step_change(step, _name) for step in row.steps],
        "changes": [
            [visible(one.case, 200), phrasing.passes(one), one.case in row.broken]
            for one in phrasing.worse_cases(row)
        ][:200],
    }


def _at(row: GateRow) -> list[float | None]:
    """A difference with its interval; limits, and seconds, tokens and dollars, lack one of them."""
    if row.difference is None or row.low is None:
        return [None, None, None]
    return [row.difference, row.low, row.high]


def _unjudged(scorer: str, now: RouteSummary | None) -> dict[str, Any]:
    """A scorer's mean where nothing was compared."""
    found = next((one for one in (now.scorers if now else ()) if one.scorer == scorer), None)
    seen = found.estimate if found else None
    return {
        "scorer": visible(scorer, 200),
        "verdict": None,
        "baseline": phrasing.UNKNOWN,
        "candidate": phrasing.number(seen.mean if seen else None),
        "difference": phrasing.UNKNOWN,
        "interval": "",
        "at": [None, None, None],
        "reason": f"95 % interval {phrasing.interval(seen.low, seen.high)}" if seen else "no score",
        "steps": [],
        "changes": [],
    }


def _took(now: RouteSummary | None, was: RouteSummary | None) -> list[list[str]]:
    """Name, baseline and candidate of what a trial took."""
    said = {
        "latency_p50": ("latency p50", phrasing.seconds),
        "latency_p99": ("latency p99", phrasing.seconds),
        "tokens": ("tokens", phrasing.count),
        "cost_usd": ("cost", phrasing.dollars),
    }
    return [
        [name, say(getattr(was, field, None)), say(getattr(now, field, None))]
        for field, (name, say) in said.items()
    ]


def _pass_hats(now: RouteSummary | None, was: RouteSummary | None) -> list[list[Any]]:
    """Scorer, and pass^1, pass^2, ... of baseline and candidate."""
    old = {one.scorer: _hats(one.pass_hat) for one in (was.scorers if was else ())}
    return [
        [visible(one.scorer, 200), old.get(one.scorer, []), _hats(one.pass_hat)]
        for one in (now.scorers if now else ())
    ]


def _hats(found: Mapping[int, float]) -> list[float]:
    return [found[k] for k in sorted(found)]


def _path(after: RouteBreakdown | None, before: RouteBreakdown | None) -> list[dict[str, Any]]:
    """The golden path, each step with its fail rates; ``lit`` marks where it got worse.

    ``first`` marks the first lit step with at least half of the largest rise: later steps may
    fail only because an earlier one did.
    """
    if after is None:
        return []
    old = {(step.step, step.nth): step for step in before.path} if before else {}
    shown = after.path[:_MOST_STEPS]
    rises = [_rise(step, old.get((step.step, step.nth)), before is not None) for step in shown]
    most = max(rises, default=0.0)
    first = next((at for at, rise in enumerate(rises) if rise >= max(_LIT, most / 2)), None)
    return [
        {
            "name": visible(step.step, 200),
            "nth": step.nth,
            "optional": step.optional,
            "cases": step.stated,
            "trials": step.expected,
            "rate": _percent(step.rate),
            "before": _percent(was.rate) if (was := old.get((step.step, step.nth))) else None,
            "share": step.rate,
            "kinds": [
                f"{how.replace('_', ' ')} in {count} of {step.expected} trials"
                for how, count in step.by.items()
                if count
            ],
            "failing": len(step.cases),
            "lit": rises[at] >= _LIT,
            "first": at == first,
        }
        for at, step in enumerate(shown)
    ]


def _rise(step: StepFailures, was: StepFailures | None, compared: bool) -> float:
    if step.rate is None:
        return 0.0
    return step.rate - ((was.rate or 0.0) if was and compared else 0.0)


def _percent(share: float | None) -> str:
    return phrasing.UNKNOWN if share is None else phrasing.percent(share)


def _beside(after: RouteBreakdown | None, before: RouteBreakdown | None) -> list[str]:
    """Steps that were taken and nothing asked for, as sentences."""
    if after is None or not after.path_trials:
        return []
    old = {(kind, name): count for kind, name, count in before.beside} if before else {}
    trials = before.path_trials if before else 0
    said = []
    for kind, name, count in after.beside:
        was = old.get((kind, name), 0) / trials if trials else None
        then = f", {phrasing.percent(was)} before" if was is not None else ""
        share = phrasing.percent(count / after.path_trials)
        said.append(f"{visible(name, 200)}: {kind} in {share} of trials{then}")
    return said


def _confusion(
    after: RouteBreakdown | None, before: RouteBreakdown | None
) -> dict[str, Any] | None:
    """The matrix expected by chosen, of the most frequent tools; None where nothing was judged."""
    if after is None or not after.confusion:
        return None
    old = {(w, c): n for w, c, n in before.confusion} if before else {}
    pairs = {(w, c): n for w, c, n in after.confusion}
    wanted = _tools(w for w, _, _ in after.confusion)
    chosen = _tools([*(w for w in wanted), *(c for _, c, _ in after.confusion)])
    return {
        "expected": [_tool(name, "not expected") for name in wanted],
        "chosen": [_tool(name, "not called") for name in chosen],
        "counts": [[pairs.get((w, c), 0) for c in chosen] for w in wanted],
        "before": [[old.get((w, c), 0) for c in chosen] for w in wanted] if before else None,
        "right": [[w is not None and w == c for c in chosen] for w in wanted],
        "left_out": sum(n for (w, c), n in pairs.items() if w not in wanted or c not in chosen),
    }


def _tools(names: Iterable[str | None]) -> list[str | None]:
    """Each name once, None last."""
    found = list(dict.fromkeys(names))
    known = [name for name in found if name is not None][:_MOST_TOOLS]
    return [*known, None] if None in found else [*known]


def _tool(name: str | None, absent: str) -> str:
    return absent if name is None else visible(name, 100)


def _chosen_well(after: RouteBreakdown | None) -> list[str]:
    """How well tools were chosen, as sentences: per decision, and each tool's rates."""
    if after is None or not after.tools:
        return []
    said = []
    if after.decisions:
        share = phrasing.percent(after.acceptable / after.decisions)
        said.append(f"{share} of {after.decisions:,} decisions were acceptable when they were made")
    return said + [
        f"{visible(one.tool, 100)}: precision {phrasing.number(one.precision)}, "
        f"recall {phrasing.number(one.recall)}, F1 {phrasing.number(one.f1)}"
        for one in after.tools[:_MOST_TOOLS]
    ]


def _economy(after: RouteBreakdown | None) -> str | None:
    """The mean step efficiency, over all trials and over those that completed their task."""
    if after is None or after.efficiency is None:
        return None
    said = f"step efficiency {phrasing.number(after.efficiency)} over all trials"
    if after.efficiency_of_success is None:
        return said
    of = phrasing.number(after.efficiency_of_success)
    return f"{said}, {of} over the {after.successes:,} that completed their task"


def _causes(after: RouteBreakdown | None, before: RouteBreakdown | None) -> list[list[Any]]:
    """Cause, count before (null without a baseline) and now."""
    if after is None:
        return []
    old = before.causes if before else {}
    names = dict.fromkeys([*after.causes, *old])
    return [
        [visible(name, 100), old.get(name, 0) if before else None, after.causes.get(name, 0)]
        for name in names
    ]


def _histogram(
    after: RouteBreakdown | None, before: RouteBreakdown | None, field: str
) -> dict[str, Any] | None:
    """Shares of trials per bin, both runs over the same bins; None where nothing is known.

    The last bin holds all that is above the 99th percentile of either run.
    """
    runs = [getattr(one, field) if one else () for one in (before, after)]
    if not runs[1]:
        return None
    top = max(float(np.percentile(values, 99)) for values in runs if values)
    low = min(min(values) for values in runs if values)
    top = top if top > low else low + max(1.0, abs(low)) * 1e-3
    edges = np.linspace(low, top, BINS + 1)
    return {
        "low": low,
        "high": top,
        "runs": [
            (np.histogram(np.minimum(values, top), edges)[0] / len(values)).tolist()
            if values
            else None
            for values in runs
        ],
    }
