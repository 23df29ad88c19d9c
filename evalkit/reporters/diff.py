"""A trial for a person: its scores, and its trajectory beside the expected one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from evalkit import phrasing
from evalkit.assignment import TooLargeError
from evalkit.console import table, to_text
from evalkit.dataset import Case, ExpectedStep
from evalkit.errors import TooMuchError
from evalkit.escaping import line
from evalkit.matching import Alignment, align, may_call_nothing_more
from evalkit.results import Run, Trial
from evalkit.suite import Effects
from evalkit.trajectory import Step, Trajectory

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

MAX_ROWS = 300
"""Longer trajectories are cut off, and the rest counted."""

LEGEND = (
    ("✓", "as expected", "green"),
    ("−", "missing", "bold red"),
    ("+", "not expected", "bold red"),
    ("≠", "wrong arguments", "bold red"),
    ("↕", "out of order", "bold red"),
    ("!", "forbidden", "bold red"),
    ("·", "not compared", "dim"),
)
_STYLES = {mark: style for mark, _, style in LEGEND}
_WITH_ARGUMENTS = frozenset({"tool", "retriever", "reranker", "handoff"})


class Row(NamedTuple):
    """One line of the diff: ``mark`` as in LEGEND, what was expected, what happened, and notes.

    ``depth`` is how deep the actual step is nested; ``error`` whether it failed.
    """

    mark: str
    expected: str
    actual: str
    depth: int = 0
    notes: tuple[str, ...] = ()
    error: bool = False


def render_show(
    run: Run,
    trials: Sequence[Trial],
    cases: Mapping[str, Case],
    /,
    *,
    width: int = 100,
    color: bool = False,
) -> str:
    """Every trial with its scores and its aligned diff.

    ``cases`` are the expectations by case id, as they were in the run; a trial of a case that is
    not among them is shown without.
    """
    parts: list[RenderableType] = []
    marks: set[str] = set()
    for trial in trials:
        case = cases.get(trial.case)
        parts += [*_head(trial, case), *_scores(trial, width), ""]
        if trial.trajectory is None:
            parts += [_text("  no trajectory was recorded", "dim"), ""]
            continue
        rows, note = diff(trial.trajectory, case, run.suite.effects)
        marks.update(row.mark for row in rows)
        parts += [_text(note, "yellow")] if note else []
        parts += [_table(rows), ""]
    said = [f"{mark} {what}" for mark, what, _ in LEGEND if mark in marks]
    parts += [_text("   ".join(said), "dim")] if said else []
    return to_text(*parts, width=width, color=color)


def render_diff(
    trajectory: Trajectory, case: Case, effects: Effects, /, *, width: int = 100
) -> str:
    """The aligned diff alone, without colour."""
    rows, _ = diff(trajectory, case, effects)
    return to_text(_table(rows), width=width, color=False)


def diff(
    trajectory: Trajectory, case: Case | None, effects: Effects
) -> tuple[tuple[Row, ...], str]:
    """The rows in order of time, what is missing at its place; and why nothing was compared."""
    if case is None or not case.expect.references:
        why = "the case as it was in this run is not at hand" if case is None else ""
        return tuple(_plain(trajectory)), why
    try:
        return tuple(_aligned(align(case.expect, trajectory, effects), trajectory)), ""
    except (TooLargeError, TooMuchError) as error:
        return tuple(_plain(trajectory)), line(error)


def _plain(trajectory: Trajectory) -> Iterator[Row]:
    for _, depth, _, step in trajectory.walk():
        yield Row("·", "", line(step.label, 80), depth, _about(step), step.status == "error")


def _aligned(found: Alignment, trajectory: Trajectory) -> Iterator[Row]:
    pairs = {pair.step: ("✓", pair.expected) for pair in found.pairs}
    pairs |= {one.step: ("≠", one.expected) for one in found.wrong}
    pairs |= {pair.step: ("↕", pair.expected) for pair in found.out_of_order}
    unexpected, forbidden = set(found.unexpected), {one.step for one in found.forbidden}
    extra = "+" if may_call_nothing_more(found.expect) else "·"
    missing = list(found.missing)
    for number, depth, _, step in trajectory.walk():
        mark, position = pairs.get(number, (extra if number in unexpected else "·", None))
        while position is not None and missing and missing[0] < position:
            yield _missing(found, missing.pop(0))
        stated = None if position is None else found.expected_step(position)
        yield Row(
            mark="!" if number in forbidden else mark,
            expected="" if stated is None else _expected(stated),
            actual=line(step.label, 80),
            depth=depth,
            notes=(
                *_about(step, stated is not None and stated.args is not None),
                *_wrong(found, number),
            ),
            error=step.status == "error",
        )
    yield from (_missing(found, position) for position in missing)


def _missing(found: Alignment, position: int) -> Row:
    return Row("−", _expected(found.expected_step(position)), "")


def _expected(stated: ExpectedStep) -> str:
    said = line(stated.label, 120) + (" (optional)" if stated.optional else "")
    return said if stated.args is None else f"{said}\n{_json(stated.args)}"


def _about(step: Step, compared: bool = False) -> tuple[str, ...]:
    """What a person wants to know of a step: arguments, model, tokens, error."""
    said = []
    if step.arguments is not None and (step.kind in _WITH_ARGUMENTS or compared):
        said.append(_json(step.arguments))
    if step.kind == "llm" or step.model_served or step.model_requested:
        said.append(_model(step))
    if step.status == "error":
        said.append("error: " + line(step.error or "no message"))
    return tuple(filter(None, said))


def _model(step: Step) -> str:
    served, asked = step.model_served, step.model_requested
    said = [line(served or asked or "", 80)] if served or asked else []
    said += [f"(asked for {line(asked, 80)})"] if asked and served and asked != served else []
    if step.tokens_in is not None or step.tokens_out is not None:
        said.append(f"{phrasing.count(step.tokens_in)} → {phrasing.count(step.tokens_out)} tokens")
    said += [f"stopped: {line(step.stop_reason, 40)}"] if step.stop_reason else []
    return ", ".join(said).replace(", (", " (")


def _wrong(found: Alignment, number: int) -> Iterator[str]:
    for one in found.wrong:
        if one.step == number:
            yield from (f"≠ {line(mismatch)}" for mismatch in one.mismatches[:8])
            if one.unrecorded:
                yield "≠ the trace does not tell the arguments, or not their names"
    for more in found.superfluous:
        if more.step == number:
            yield "superfluous: " + ", ".join(line(path, 60) for path in more.paths[:8])


def _head(trial: Trial, case: Case | None) -> Iterator[Text]:
    said = f"{line(trial.case)} · trial {trial.trial} · {trial.status}"
    said += f" · {phrasing.seconds(trial.latency_s)}" if trial.latency_s is not None else ""
    said += f" · owner {line(case.owner, 60)}" if case and case.owner else ""
    yield _text(said, "bold")
    found = trial.trajectory
    taken = found.route if found else None
    wrong = taken is not None and taken != trial.route
    said = f"  route {line(trial.route, 60)}" + (f", taken: {line(taken, 60)}" if wrong else "")
    if found is not None and found.coverage.route_from is not None:
        said += f" ({line(found.coverage.route_from, 120)})"
    yield _text(said, "bold red" if wrong else "")
    if case is not None:
        yield _text(f"  input {_json(case.input)}")
    if trial.error:
        yield _text(f"  error {line(trial.error, 600)}", "bold magenta")
    if trial.trajectory is not None and trial.trajectory.output is not None:
        yield _text(f"  answer {_json(trial.trajectory.output)}")


def _scores(trial: Trial, width: int) -> Iterator[RenderableType]:
    from rich.table import Table

    made = Table.grid(padding=(0, 1))
    made.add_column(min_width=2)
    for _ in range(2):
        made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for score in trial.scores:
        mark, style = _SCORE_MARKS[score.passed]
        value = phrasing.number(score.value)
        reason = line(score.reason, max(width * 2, 160))
        made.add_row(
            _text(f" {mark}", style), _text(line(score.scorer, 40)), _text(value), _text(reason)
        )
    if trial.scores:
        yield made


_SCORE_MARKS = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("–", "dim")}


def _table(rows: Sequence[Row]) -> Table:
    made = table("", "expected", "actual")
    made.columns[1].ratio, made.columns[2].ratio = 2, 3
    for row in rows[:MAX_ROWS]:
        style = _STYLES[row.mark]
        failed = "✗ " if row.error else ""
        actual = _text("  " * row.depth + failed + row.actual, "red" if row.error else "")
        for note in row.notes:
            actual.append("\n" + "  " * (row.depth + 1) + note, style="dim")
        made.add_row(_text(row.mark, style), _text(row.expected), actual)
    if len(rows) > MAX_ROWS:
        made.add_row("", "", _text(f"and {len(rows) - MAX_ROWS} more steps"))
    return made


def _json(value: Any, limit: int = 160) -> str:
    """A value on one line; text without quotes reads best."""
    if isinstance(value, str):
        return line(value, limit)
    try:
        return line(json.dumps(value, ensure_ascii=False), limit)
    except (TypeError, ValueError, RecursionError):
        return line(repr(type(value)), limit)


def _text(text: str, style: str = "") -> Text:
    """Never rich markup: what is shown comes from data."""
    from rich.text import Text

    return Text(text, style=style)
