"""How every report says numbers, verdicts and changes to a person.

Numbers are rounded here and nowhere else. Unknown is ``–``. Names that come from data pass
through the ``say`` function of the medium (:mod:`evalkit.escaping`).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable

from evalkit.reports import FAILED, UNDECIDED, CaseChange, GateReport, GateRow, StepChange

UNKNOWN = "–"
EFFICIENCY = ("latency_s", "tokens", "cost_usd", "steps")
"""Seconds, tokens, US dollars and steps of a trial: rows with these names hold no shares."""

AGAIN_MARK = "↻"
_NOISE = 1e-9  # of sums of floats
AGAIN = (
    f"{AGAIN_MARK} of trials made again in both versions: a p, which decides, and means with their "
    "difference; those without it, and the table of routes, are of the stored trials"
)
"""What the mark beside a row's means, or its p, says."""

VERDICT_MARKS = {
    "broken": "✗",
    "regressed": "✗",
    "missing": "✗",
    "unmeasurable": "!",
    "inconclusive": "?",
    "breached": "✗",
    "unproven": "?",
    "new": "+",
    "improved": "▲",
    "ok": "✓",
}

_STEP_WORDS = {
    "missing": "expected {name}: missing",
    "unexpected": "{name}: not expected, but taken",
    "out_of_order": "{name}: out of order",
    "wrong_arguments": "{name}: wrong arguments",
    "superfluous_arguments": "{name}: superfluous arguments",
    "forbidden": "{name}: forbidden, but called",
    "failed": "{name}: failed",
    "duplicate": "{name}: done twice",
    "retry": "{name}: retried",
    "loop": "{name}: looped",
    "fallback": "{name}: fell back",
    "detour": "{name}: a detour",
    "wrong_route": "route {name}: taken instead",
    "outcome": "answer, {name}: not met",
}


def number(value: float | None, digits: int = 2) -> str:
    """A mean or share: ``0.94``."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def signed(value: float | None) -> str:
    """A difference: ``−0.31``, with a true minus sign; ``−0.00`` is a drop, none is ``+0.00``."""
    if value is None:
        return UNKNOWN
    size = 0.0 if abs(value) < _NOISE else value
    return f"{size:+.2f}".replace("-", "−")


def measured(value: float | None) -> str:
    """A quantity of any size, in three digits: ``0.875``, ``1.24``, ``1,834``."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def interval(
    low: float | None, high: float | None, say: Callable[[float | None], str] = number
) -> str:
    """A confidence interval, ``[0.90, 0.97]``; empty when unknown."""
    return "" if low is None or high is None else f"[{say(low)}, {say(high)}]"


def p_value(value: float | None) -> str:
    """A p value with its relation: ``= 0.021``, ``< 0.001``."""
    if value is None:
        return UNKNOWN
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def seconds(value: float | None) -> str:
    """A duration given in seconds: ``38 ms``, ``1.2 s``, ``2 min 5 s``."""
    if value is None:
        return UNKNOWN
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 99.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"


def count(value: float | None) -> str:
    """A count or a mean of counts: ``1,234``."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def dollars(value: float | None) -> str:
    """US dollars: ``$1.20``; below a dollar with the digits that tell: ``$0.041``, ``$0.0041``."""
    if value is None:
        return UNKNOWN
    if value >= 1 or value == 0:
        return f"${value:,.2f}"
    if value >= 0.01:
        return f"${value:.3f}"
    return "< $0.000001" if value < 0.000001 else f"${float(f'{value:.1e}'):.8f}".rstrip("0")


def percent(share: float) -> str:
    """A share as a percentage; only exactly none and all are 0 % and 100 %."""
    rounded = min(max(round(share * 100), 0 if share <= 0 else 1), 100 if share >= 1 else 99)
    return f"{rounded} %"


def moment(started: float | None) -> str:
    """Seconds since the epoch as UTC: ``2026-11-20 14:03``."""
    if not started:
        return UNKNOWN
    return datetime.datetime.fromtimestamp(started, datetime.UTC).strftime("%Y-%m-%d %H:%M")


def plural(many: int, noun: str) -> str:
    """``1 case``, ``2 cases``."""
    return f"{many:,} {noun}" + ("" if many == 1 else "s")


def fired(row: GateRow) -> str:
    """The numbers behind a verdict: size with interval, adjusted p, cases and trials."""
    parts = []
    if row.baseline is not None or row.candidate is not None:
        parts.append(before_after(row))
    if row.difference is not None or (row.limit is not None and row.low is not None):
        parts.append(size(row))
    if row.p_adjusted is not None:
        of = " of the trials made again" if row.spent_trials else ""
        parts.append(f"p adjusted {p_value(row.p_adjusted)}{of}")
    parts.append(plural(row.cases, "case"))
    if row.trials or not row.spent_trials:
        parts.append(plural(row.trials, "stored trial" if row.baseline is not None else "trial"))
    if row.spent_trials:
        parts.append(f"{plural(row.spent_trials, 'trial')} made again")
    return " · ".join(parts)


def needed(cases: tuple[int | None, int | None]) -> str:
    """Cases in one stage and with confirmation: ``68, 24``."""
    return ", ".join(count(one) for one in cases)


def rate(share: float | None, error: float | None) -> str:
    """A share with its Monte-Carlo error: ``4.5 % ± 1.5``."""
    if share is None:
        return UNKNOWN
    return f"{share * 100:.1f} % ± {(error or 0) * 100:.1f}"


def verdict(row: GateRow) -> str:
    """The verdict, and that it does not block where a reader could think so."""
    advises = not row.blocking and row.verdict in (*FAILED, *UNDECIDED)
    return row.verdict + (" (advice)" if advises else "")


def before_after(row: GateRow) -> str:
    """Both means, ``0.95 → 0.62``; of an absolute limit what was measured, ``1.24``.

    With ``↻`` where they are of trials made again: see :data:`AGAIN`.
    """
    if row.limit is not None:
        return measured(row.candidate)
    again = f" {AGAIN_MARK}" if row.stored is not None else ""
    return f"{amount(row, row.baseline)} → {amount(row, row.candidate)}{again}"


def p_adjusted(row: GateRow) -> str:
    """The row's p after correction; with ``↻`` where it is of trials made again."""
    said = p_value(row.p_adjusted).removeprefix("= ")
    again = row.spent_trials and row.p_adjusted is not None
    return f"{said} {AGAIN_MARK}" if again else said


def amount(row: GateRow, value: float | None) -> str:
    """A value of the row: a share, or a quantity of any size."""
    return measured(value) if row.limit or row.scorer in EFFICIENCY else number(value)


def difference(row: GateRow) -> str:
    """The row's difference with its sign, as shares or quantities are written."""
    if row.scorer in EFFICIENCY and row.difference is not None:
        return ("+" if row.difference >= 0 else "−") + measured(abs(row.difference))
    return signed(row.difference)


def size(row: GateRow) -> str:
    """The difference with its interval, or the interval of what a limit is about."""
    if row.limit is not None:
        return interval(row.low, row.high, measured)
    if row.scorer in EFFICIENCY:
        return difference(row)
    return f"{difference(row)} {interval(row.low, row.high, signed)}".rstrip()


def step_change(step: StepChange, say: Callable[[object], str] = str) -> str:
    """Where the runs part: ``expected tool x: missing in 42 of 42 trials, 1 of 42 before``."""
    if step.kind == "took_more":
        took = f"{measured(step.candidate)} a trial, {measured(step.baseline)} before"
        return f"{say(step.name)}: {took}"
    words = _STEP_WORDS.get(step.kind, "{name}: " + step.kind.replace("_", " "))
    what = words.replace("{name}", say(step.name))
    if step.baseline_trials and step.candidate_trials:
        now = round(step.candidate * step.candidate_trials)
        was = round(step.baseline * step.baseline_trials)
        before = f"{was} of {step.baseline_trials}" if was else "none"
        return f"{what} in {now} of {step.candidate_trials} trials, {before} before"
    before = percent(step.baseline) if step.baseline > 0 else "none"
    return f"{what} in {percent(step.candidate)} of trials, {before} before"


def passes(change: CaseChange) -> str:
    """A case's passed trials before and after: ``3/3 → 0/3``, ``3/3 → not run``.

    Where only the score moved, by how much: ``3/3 → 3/3, score −0.27``.
    """
    before = f"{change.baseline_passed}/{change.baseline_trials}"
    if not change.candidate_trials:
        return f"{before} → not run"
    after = f"{change.candidate_passed}/{change.candidate_trials}"
    same = (
        change.baseline_passed * change.candidate_trials
        == change.candidate_passed * change.baseline_trials
    )
    moved = f", score {signed(change.difference)}" if same and change.difference else ""
    return f"{before} → {after}{moved}"


def worse_cases(row: GateRow) -> list[CaseChange]:
    """The cases that got worse, broken ones first, then by size."""
    worse = [
        case
        for case in row.changes
        if case.difference < 0 or case.case in row.broken or not case.candidate_trials
    ]
    return sorted(worse, key=lambda case: (case.case not in row.broken, case.difference, case.case))


def closer_look(run: str, row: GateRow, quote: Callable[[object], str]) -> str | None:
    """The command that shows the worst case of a row; None where this run has none to show."""
    shown = [one.case for one in worse_cases(row) if one.candidate_trials]
    return f"evalkit show {quote(run)} {quote(shown[0])}" if shown else None


def blocking_rows(gate: GateReport) -> list[GateRow]:
    """The rows that keep the gate from passing, the worst verdict first."""
    worst = [*FAILED, *UNDECIDED]
    blocking = [row for row in gate.rows if row.blocking and row.verdict in worst]
    return sorted(blocking, key=lambda row: (worst.index(row.verdict), row.route))


def advisory_rows(gate: GateReport) -> list[GateRow]:
    """The rows that got worse and are only told: they have no say in the exit code."""
    worst = [*FAILED, *UNDECIDED]
    told = [row for row in gate.rows if not row.blocking and row.verdict in worst]
    return sorted(told, key=lambda row: (worst.index(row.verdict), row.route))


def headline(gate: GateReport, say: Callable[[object], str] = str) -> str:
    """The decision in one sentence, the first thing that a release engineer reads."""
    blocking = blocking_rows(gate)
    if gate.exit == 0:
        if not any(row.blocking for row in gate.rows):
            return "passed: nothing blocks here"
        rest = _tally(gate.rows, ("improved", "new"))
        return "passed: no route got worse" + (f" ({rest})" if rest else "")
    word = "FAILED" if gate.exit == 1 else "NOT DECIDED"
    if not blocking:
        return f"{word}: nothing was judged" + "; see the notes" * bool(gate.notes)
    return f"{word}: " + "; ".join(_by_route(blocking, say))


def _by_route(rows: Iterable[GateRow], say: Callable[[object], str]) -> list[str]:
    routes: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        routes.setdefault(row.route, {}).setdefault(row.verdict, []).append(say(row.scorer))
    said = [f"{say(route)} {_and(verdicts)}" for route, verdicts in routes.items()]
    return said if len(said) <= 5 else [*said[:5], f"and {len(said) - 5} more"]


def _and(verdicts: dict[str, list[str]]) -> str:
    return " and ".join(
        f"{'' if verdict == 'regressed' else 'is '}{verdict} on {', '.join(scorers)}"
        for verdict, scorers in verdicts.items()
    )


def _tally(rows: Iterable[GateRow], verdicts: Iterable[str]) -> str:
    found = [row.verdict for row in rows]
    return ", ".join(f"{found.count(one)} {one}" for one in verdicts if one in found)
