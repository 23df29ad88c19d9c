"""Workflow commands for GitHub Actions: an annotation for every route and scorer that failed."""

from __future__ import annotations

from collections.abc import Mapping

from evalkit import phrasing
from evalkit.escaping import line
from evalkit.reports import GateReport, GateRow, Report

MAX_ANNOTATIONS = 10
"""GitHub shows ten annotations of a kind for each step."""


def render(report: Report, /, *, lines: Mapping[str, int] | None = None) -> str:
    """``::error``, ``::warning`` and ``::notice`` lines, the worst first; empty without a gate.

    ``lines`` are the cases' lines in the dataset: a row that failed points at its worst case's,
    everything else at the suite.
    """
    gate = report.gate
    if gate is None:
        return "".join(_note("warning", note, report) for note in report.notes)
    failed = phrasing.blocking_rows(gate)
    said = [
        _command("error", _title(row), _message(row), report, _place(row, report, lines or {}))
        for row in failed
    ]
    left = len(said) - MAX_ANNOTATIONS
    if left > 0:
        said = said[: MAX_ANNOTATIONS - 1]
        said.append(_note("error", f"and {left + 1} more routes and scorers failed", report))
    if not failed and gate.exit:
        said.append(_note("error", phrasing.headline(gate, line), report))
    said += [_note("warning", note, report) for note in (*gate.notes, *report.notes)[:5]]
    if gate.exit == 0:
        said.append(_command("notice", "evalkit", _versus(gate), report))
    return "".join(said)


def escape_data(text: str) -> str:
    """A command's message: ``%``, CR and LF escaped as GitHub documents it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """A command's property: as :func:`escape_data`, and ``:`` and ``,`` as well."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def _place(row: GateRow, report: Report, lines: Mapping[str, int]) -> tuple[str, int] | None:
    """File and line of the row's worst case, where the dataset has it."""
    known = [one.case for one in phrasing.worse_cases(row) if one.case in lines]
    file = report.run.dataset_path
    return (file, lines[known[0]]) if known and file else None


def _command(
    kind: str, title: str, message: str, report: Report, place: tuple[str, int] | None = None
) -> str:
    file, number = place or (report.run.suite_path, 1)
    at = f"file={escape_property(line(file))},line={number}," if file else ""
    return f"::{kind} {at}title={escape_property(line(title))}::{escape_data(message)}\n"


def _note(kind: str, note: str, report: Report) -> str:
    return _command(kind, "evalkit", line(note, 600), report)


def _title(row: GateRow) -> str:
    return f"{row.route} {row.verdict} on {row.scorer}"


def _message(row: GateRow) -> str:
    said = [line(row.reason, 600) or phrasing.fired(row)]
    said += [phrasing.step_change(step, line) for step in row.steps[:3]]
    worse = phrasing.worse_cases(row)
    said += [f"{line(one.case, 80)}: trials passed {phrasing.passes(one)}" for one in worse[:8]]
    said += [f"and {len(worse) - 8} more cases"] if len(worse) > 8 else []
    said += ["owner: " + ", ".join(line(one, 60) for one in row.owners)] if row.owners else []
    return "\n".join(filter(None, said))


def _versus(gate: GateReport) -> str:
    said = f"{line(gate.label)} against {line(gate.baseline_label or gate.baseline or '–')}"
    return f"{said}: {phrasing.headline(gate, line)}"
