"""`evalkit show`: what happened in a run, or in one of its cases, beside what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, Format, FormatOption, RunArgument, StoreOption
from evalkit.errors import ExitCode, NotFoundError

if TYPE_CHECKING:
    from evalkit.dataset import Case
    from evalkit.results import Run, Trial


def show(
    run: RunArgument,
    case: Annotated[str | None, typer.Argument(help="A case's id.")] = None,
    trial: Annotated[int | None, typer.Option(metavar="N", help="Only this trial.")] = None,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = Format.TABLE,
) -> int:
    """Show trajectories beside the expected ones; without a case, a line per case."""
    from evalkit.cli.naming import named_run
    from evalkit.cli.output import say, screen
    from evalkit.comparison import summarize_cases
    from evalkit.reporters import diff, json, terminal
    from evalkit.store import Store

    opened = Store(store)
    found = named_run(opened, run)
    if case is not None:
        _known(found, case)
    if case is None and form is Format.TABLE and trial is None:
        say(terminal.render_cases(found, summarize_cases(opened.load(found)), **screen()))
        return ExitCode.PASSED
    trials = _trials(opened.trials(found.id, case=case), trial, found)
    if form is Format.JSON:
        say(json.render_show(found, trials))
    else:
        say(diff.render_show(found, trials, _expectations(found, trials), **screen()))
    return ExitCode.PASSED


def _known(run: Run, case: str) -> None:
    import difflib

    ids = [planned.id for planned in run.planned]
    if case not in ids:
        close = difflib.get_close_matches(case, ids, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise NotFoundError(f"run {run.id} has no case {case!r}.{hint}")


def _trials(trials: Iterable[Trial], wanted: int | None, run: Run) -> list[Trial]:
    found = sorted(trials, key=lambda one: (one.case, one.trial))
    if wanted is None:
        return found
    chosen = [one for one in found if one.trial == wanted]
    if not chosen:
        raise NotFoundError(f"--trial {wanted}: no such trial; a case of {run.id} has {run.trials}")
    return chosen


def _expectations(run: Run, trials: Iterable[Trial]) -> dict[str, Case]:
    """The shown cases from the dataset, those that are still what the run tried."""
    from evalkit.files import read_dataset

    wanted = {one.case for one in trials}
    digests = {planned.id: planned.digest for planned in run.planned if planned.id in wanted}
    if run.dataset_path is None or not Path(run.dataset_path).is_file():
        return {}
    dataset, _ = read_dataset(Path(run.dataset_path))
    return {case.id: case for case in dataset if digests.get(case.id) == case.digest}
