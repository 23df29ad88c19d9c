"""`evalkit report`: a stored run as one HTML file, and its plots as files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, OnOption, RunArgument, StoreOption
from evalkit.errors import ExitCode

if TYPE_CHECKING:
    from evalkit.breakdown import RouteBreakdown
    from evalkit.dataset import Case
    from evalkit.history import RouteHistory
    from evalkit.reports import GateReport, Report, RouteSummary
    from evalkit.results import Recorded, Run
    from evalkit.store import Store

MOST_TRACES = 5_000
"""So many cases have their traces in the file, the most urgent ones."""

HISTORY = 20
_HISTORY_CASES = 200_000


def report(
    run: RunArgument,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="What to compare with; default: that of the last gate on RUN, or the suite's.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Default: reports/RUN.html."),
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the plots there too, SVG and PNG.")
    ] = None,
    on: OnOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Write a stored run as one HTML file that needs no network. Exits 0 once it is written."""
    from evalkit.cli.naming import named_run
    from evalkit.cli.output import say, write
    from evalkit.escaping import line
    from evalkit.store import Store

    opened = Store(store)
    found = named_run(opened, run)
    against = _baseline(opened, found, baseline)
    made = _Material(opened, found, against, on or ())
    path = out or Path("reports") / f"{found.id}.html"
    write(path, made.page())
    say(f"wrote {line(path, 1000)}\n")
    if plots is not None:
        for drawn in made.plots(plots):
            say(f"wrote {line(drawn, 1000)}\n")
    return ExitCode.PASSED


def page(store: Store, run: Run, baseline: Run | None, on: Sequence[str] = ()) -> str:
    """The report of a run against a baseline, or of the run alone, as one HTML text."""
    return _Material(store, run, baseline, on).page()


def _baseline(store: Store, run: Run, asked: str | None) -> Run | None:
    """What is asked for; else what the last gate took, or the suite names, if it is there."""
    from evalkit.baselines import resolve
    from evalkit.errors import NotFoundError

    if asked is not None:
        return resolve(store, asked, run.suite.name)[0]
    decided = [one.report.baseline for one in store.decisions(run.id)]
    for name in (decided[-1] if decided else None, run.suite.gate.baseline):
        if name is not None:
            try:
                found, _ = resolve(store, name, run.suite.name)
            except NotFoundError:
                continue  # nobody asked for it: a report without it is better than none
            return found if found.id != run.id else None
    return None


class _Material:
    """What page and plots are made of, read once."""

    def __init__(self, store: Store, run: Run, baseline: Run | None, on: Sequence[str]) -> None:
        from evalkit.breakdown import breakdown
        from evalkit.comparison import summarize

        self.store, self.run = store, run
        self.candidate = store.load(run.id)
        self.baseline = store.load(baseline.id) if baseline else None
        self.expected, note = _expectations(run)
        kept = None if on or baseline is None else _kept_decision(store, run, baseline)
        self.report = _decide(self.candidate, self.baseline, on, [note] if note else [], kept)
        self.detail = breakdown(self.candidate, self.expected)
        self.before: tuple[Run, Sequence[RouteSummary], Mapping[str, RouteBreakdown]] | None = None
        if self.baseline is not None:
            parts = breakdown(self.baseline, self.expected)
            self.before = (self.baseline.run, summarize(self.baseline), parts)
        self.history = _history(store, self.report)

    def page(self) -> str:
        """The HTML file's text."""
        from evalkit.comparison import summarize_cases
        from evalkit.report_data import details, overview
        from evalkit.report_data.cases import common, listed
        from evalkit.report_data.overview import gating_scorers
        from evalkit.reporters import html

        scorers = [one.scorer for route in self.report.routes for one in route.scorers]
        cases = listed(
            self.report.cases,
            summarize_cases(self.baseline) if self.baseline else None,
            common(self.candidate, self.baseline),
            gating_scorers(self.report, scorers),
            self.report.gate,
        )
        first = overview(self.report, cases, self.detail, self.before, self.history)
        shown = [one.summary.case for one in cases[:MOST_TRACES]]
        old = self.baseline.run if self.baseline else None
        opened = details(
            shown,
            self.run,
            self.store.trials(self.run.id),
            self.expected,
            (old, self.store.trials(old.id)) if old else None,
        )
        return html.render(first, opened)

    def plots(self, folder: Path) -> Iterable[Path]:
        """Writes the plots and gives their paths."""
        from evalkit.reporters import plots

        before = self.before[1] if self.before else ()
        return plots.write(
            folder,
            self.report,
            before,
            (self.detail, self.before[2] if self.before else {}),
            self.history,
        )


def _kept_decision(store: Store, run: Run, baseline: Run) -> GateReport | None:
    """The last decision that the gate took on the run against this baseline.

    It may rest on trials that were made again to confirm a suspicion, which the run has not.
    """
    found = [one.report for one in store.decisions(run.id) if one.report.baseline == baseline.id]
    return found[-1] if found else None


def _decide(
    candidate: Recorded,
    baseline: Recorded | None,
    on: Sequence[str],
    notes: Sequence[str],
    kept: GateReport | None,
) -> Report:
    """The run as the gate sees it; nothing is stored, a report only reads."""
    import datetime

    from evalkit import policy
    from evalkit.cli.decision import known_scorers, report_of
    from evalkit.observations import score_rows

    known_scorers(score_rows(candidate).scorers, on)
    stated = candidate.run.suite.gate
    if kept is None and baseline is not None:
        today = datetime.datetime.now(datetime.UTC).date()
        chosen = policy.only(stated, on) if on else stated
        kept = policy.gate(candidate, baseline, chosen, today=today)
    return report_of(candidate, kept, notes)


def _expectations(run: Run) -> tuple[dict[str, Case], str | None]:
    """The cases from the dataset that are still what the run tried; and a note if some are not."""
    from evalkit.errors import FileError
    from evalkit.files import read_dataset
    from evalkit.phrasing import plural

    digests = {planned.id: planned.digest for planned in run.planned}
    missing = "steps are shown without the expected ones"
    if run.dataset_path is None or not Path(run.dataset_path).is_file():
        return {}, f"the dataset {run.dataset_path or ''} is not there: {missing}"
    try:
        dataset, _ = read_dataset(Path(run.dataset_path))
    except FileError as error:
        return {}, f"the dataset cannot be read, {missing}: {error.problems[0]}"
    found = {case.id: case for case in dataset if digests.get(case.id) == case.digest}
    lacking = len(digests) - len(found)
    note = f"{plural(lacking, 'case')} changed in the dataset since the run: {missing}"
    return found, note if lacking else None


def _history(store: Store, report: Report) -> tuple[RouteHistory, ...]:
    """The suite's complete runs up to this one; fewer where they are large."""
    from evalkit.history import histories
    from evalkit.report_data.overview import gating_scorers
    from evalkit.results import CONFIRMING

    scorers = [one.scorer for route in report.routes for one in route.scorers]
    runs = [
        one
        for one in store.runs()
        if one.status == "complete"
        and not one.label.endswith(CONFIRMING)
        and one.suite.name == report.run.suite.name
        and one.started <= report.run.started
        and (not one.selection or one.id == report.run.id)
    ][:HISTORY]
    size = 0
    kept: list[Recorded] = []
    for one in runs:
        size += len(one.planned) * one.trials
        if kept and size > _HISTORY_CASES:
            break
        kept.append(store.load(one.id))
    return histories(kept[::-1], gating_scorers(report, scorers))
