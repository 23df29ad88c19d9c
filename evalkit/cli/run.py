"""`evalkit run`: runs a suite, and with a baseline decides whether it got worse."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, Format, FormatOption, OnOption, StoreOption
from evalkit.errors import ExitCode, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from evalkit.files import LoadedSuite
    from evalkit.results import Report, Run
    from evalkit.runner import Progress


Texts = list[str] | None


def run(  # noqa: PLR0913  every option of the command is a parameter
    suite: Annotated[Path, typer.Argument(help="A suite file.")],
    *,
    label: Annotated[
        str | None, typer.Option(help="The version's name; default: the git commit.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="RUN", help="Gate against this run or label.")
    ] = None,
    settings: Annotated[
        Texts, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the pipeline.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Trials of each case.")
    ] = None,
    route: Annotated[Texts, typer.Option(metavar="R", help="Only this route; repeatable.")] = None,
    case: Annotated[Texts, typer.Option(metavar="C", help="Only this case; repeatable.")] = None,
    tag: Annotated[Texts, typer.Option(metavar="T", help="Only cases tagged so.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most this many cases.")
    ] = None,
    on: OnOption = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=1024, metavar="N", help="Trials at the same time.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Complete an interrupted run.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write Markdown.")] = None,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = Format.TABLE,
) -> int:
    """Run a suite; with --baseline, exit 1 when a route got worse."""
    from evalkit.check import load_suite
    from evalkit.cli.decision import report_on
    from evalkit.planning import checked_out_commit, read_settings
    from evalkit.results import Selection
    from evalkit.runner import resume as complete
    from evalkit.runner import run as execute
    from evalkit.store import Store

    loaded = load_suite(suite)
    selection = Selection(tuple(route or ()), tuple(case or ()), tuple(tag or ()), limit)
    if resume and (settings or selection or trials):
        raise InputError("--resume completes a run as it was planned: drop --set, --trials, --case")
    opened = Store(store)
    # Found before anything is paid for; and `--label main --baseline main` means the previous one.
    against = opened.find(baseline, suite=loaded.suite.name).id if baseline else None
    _scorers_exist(loaded, on or [])
    named = label or checked_out_commit(loaded.folder) or "run"
    chosen = read_settings(settings or [])

    def work(on_progress: Callable[[Progress], None]) -> Run:
        if resume:
            return complete(
                loaded, resume, store=store, concurrency=concurrency, on_progress=on_progress
            )
        return execute(
            loaded,
            label=named,
            store=store,
            settings=chosen,
            trials=trials,
            selection=selection,
            concurrency=concurrency,
            on_progress=on_progress,
        )

    finished = _execute(work, suite)
    report = report_on(opened, finished.id, against, on or ())
    _publish(report, form, junit, markdown)
    return exit_of(report)


def exit_of(report: Report) -> int:
    """The gate's exit; without one, 3 if a route has too many infrastructure failures."""
    if report.gate is not None:
        return report.gate.exit
    return ExitCode.INCOMPLETE if too_many_failures(report) else ExitCode.PASSED


def too_many_failures(report: Report) -> list[str]:
    """The routes where more trials than the suite allows failed for infrastructure reasons."""
    allowed = report.run.suite.gate.max_infrastructure
    return [route.route for route in report.routes if route.infrastructure > allowed * route.trials]


def _execute(work: Callable[[Callable[[Progress], None]], Run], suite: Path) -> Run:
    """Runs with progress on stderr. Ctrl-C says how to go on."""
    from evalkit.cli.progress import shown
    from evalkit.escaping import shell

    seen: list[str] = []
    try:
        with shown() as update:

            def follow(now: Progress) -> None:
                seen[:] = [now.run_id]
                update(now)

            return work(follow)
    except KeyboardInterrupt:
        if seen:
            again = f"evalkit run {shell(suite)} --resume {shell(seen[0])}"
            print(f"\ninterrupted; finished trials are kept. To go on: {again}", file=sys.stderr)
        else:
            print("\ninterrupted before the first trial was finished", file=sys.stderr)
        raise


def _publish(report: Report, form: Format, junit: Path | None, markdown: Path | None) -> None:
    from evalkit.cli.output import annotate, say, screen, write
    from evalkit.escaping import line
    from evalkit.reporters import json, terminal
    from evalkit.reporters import junit as junit_xml
    from evalkit.reporters import markdown as markdown_text

    say(json.render(report) if form is Format.JSON else terminal.render(report, **screen()))
    if report.gate is None:
        for route in too_many_failures(report):
            said = f"error: {line(route)}: too many trials failed for infrastructure reasons"
            print(said, file=sys.stderr)
    if junit is not None:
        write(junit, junit_xml.render(report))
    if markdown is not None:
        write(markdown, markdown_text.render(report))
    annotate(report, to_stderr=form is Format.JSON)


def _scorers_exist(loaded: LoadedSuite, on: list[str]) -> None:
    names = [use.name for use in loaded.suite.scorer_uses]
    own = any(":" in name for name in names)  # a scorer of one's own may give scores of any name
    for name in on:
        if name not in names and not own:
            raise InputError(f"--on {name}: the suite's scorers are {', '.join(names)}")
