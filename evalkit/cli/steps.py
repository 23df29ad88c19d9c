"""`evalkit steps`: how often each expected step failed, by route."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, Format, FormatOption, RunArgument, StoreOption
from evalkit.errors import ExitCode, InputError

if TYPE_CHECKING:
    from evalkit.dataset import Case
    from evalkit.results import Run
    from evalkit.step_failures import StepFailures


def steps(
    run: RunArgument,
    route: Annotated[
        list[str] | None, typer.Option(metavar="R", help="Only this route; repeatable.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = Format.TABLE,
) -> int:
    """Show the failure rate of every expected step, over cases and trials, worst first."""
    import msgspec

    from evalkit.cli.naming import named_run
    from evalkit.cli.output import say
    from evalkit.reporters import json
    from evalkit.step_failures import step_failures
    from evalkit.store import Store

    opened = Store(store)
    found = named_run(opened, run)
    cases = _still_the_same(found)
    every = step_failures(opened.load(found), cases)
    rows = [row for name, listed in every.items() for row in listed if not route or name in route]
    rows = sorted((row for row in rows if row.expected), key=lambda row: -(row.rate or 0.0))
    changed = len(found.planned) - len(cases)
    if form is Format.JSON:
        listed = [msgspec.structs.asdict(row) for row in rows]
        told = {"run": found.id, "label": found.label, "changed_cases": changed, "steps": listed}
        say(json.to_json(told))
    else:
        say(_table(found, rows, changed))
    return ExitCode.PASSED


def _still_the_same(run: Run) -> dict[str, Case]:
    """The run's cases as the dataset has them, those that did not change since."""
    from evalkit.files import read_dataset

    if run.dataset_path is None:
        raise InputError(
            f"run {run.id} has no dataset: its traces were recorded elsewhere, and no case says "
            "which steps to expect. `evalkit triage` looks at such runs"
        )
    if not Path(run.dataset_path).is_file():
        raise InputError(
            f"the dataset of run {run.id} is not at {run.dataset_path}: what each case expected "
            "is read from it"
        )
    dataset, _ = read_dataset(Path(run.dataset_path))
    then = {planned.id: planned.digest for planned in run.planned}
    return {case.id: case for case in dataset if then.get(case.id) == case.digest}


def _table(run: Run, rows: list[StepFailures], changed: int) -> str:
    from evalkit.escaping import line

    lines = [f"{line(run.label)}  {run.id}", ""]
    if changed:
        lines[1:1] = [f"{changed} cases changed since, or are gone: not counted"]
    widths = [max([5, *(len(line(row.route)) for row in rows)])]
    widths.append(max([4, *(len(_name(row)) for row in rows)]))
    lines.append(f"{'route':{widths[0]}}  {'step':{widths[1]}}  failed        how")
    for row in rows:
        share = f"{row.rate:4.0%} {row.failed}/{row.expected}"
        how = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in row.by.items() if n)
        names = f"{line(row.route):{widths[0]}}  {_name(row):{widths[1]}}"
        lines.append(f"{names}  {share:12}  {how}{_where(row)}".rstrip())
    if not rows:
        lines.append("no expected step was judged: trajectory_match gave no score")
    return "\n".join(lines) + "\n"


def _name(row: StepFailures) -> str:
    from evalkit.escaping import line

    return line(row.step) + (f" ({row.nth + 1})" if row.nth else "")


def _where(row: StepFailures) -> str:
    from evalkit.escaping import line

    shown = ", ".join(line(case) for case in row.cases[:3])
    more = f" and {len(row.cases) - 3} more" if len(row.cases) > 3 else ""
    return f"  ({shown}{more})" if shown else ""
