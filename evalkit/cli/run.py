"""`evalkit run`: runs a suite, and with a baseline decides whether it got worse."""

from __future__ import annotations

import math
import sys
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TextIO

import typer

from evalkit.cli.options import DEFAULT_STORE, Format, FormatOption, OnOption, StoreOption
from evalkit.errors import ExitCode, InputError
from evalkit.escaping import shell
from evalkit.phrasing import percent, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from evalkit.confirm_run import Source
    from evalkit.confirming import Rerun, Row
    from evalkit.files import LoadedSuite
    from evalkit.reports import Report
    from evalkit.results import Run
    from evalkit.runner import Progress
    from evalkit.store import Store
    from evalkit.suite import Confirm


Texts = list[str] | None


def run(  # noqa: PLR0913  every option of the command is a parameter
    suite: Annotated[Path, typer.Argument(help="A suite file.")],
    *,
    label: Annotated[
        str | None, typer.Option(help="The version's name; default: the git commit.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="REF", help="Gate against this run, label or baseline file."),
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
    shard: Annotated[
        str | None, typer.Option(metavar="K/N", help="Only the K-th of N parts; see merge.")
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
    code_quality: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write GitLab's code quality JSON.")
    ] = None,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm/--no-confirm", help="Confirm a suspicion by trying cases again, both ways."
        ),
    ] = True,
    max_trials: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="At most so many trials to confirm.")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(min=0, metavar="S", help="At most so long to confirm.")
    ] = None,
    max_usd: Annotated[
        float | None, typer.Option(min=0, metavar="USD", help="At most so many dollars to confirm.")
    ] = None,
    baseline_checkout: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="To confirm, run the baseline's code from this checkout."),
    ] = None,
    baseline_python: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The checkout's interpreter; default: its .venv, or this."
        ),
    ] = None,
    baseline_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="To confirm, reach the baseline at this address."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = Format.TABLE,
) -> int:
    """Run a suite; with --baseline, exit 1 when a route got worse."""
    from evalkit import git
    from evalkit.baselines import resolve
    from evalkit.check import load_suite
    from evalkit.cli.decision import report_on
    from evalkit.confirm_run import source
    from evalkit.planning import read_settings
    from evalkit.results import Selection
    from evalkit.runner import resume as complete
    from evalkit.runner import run as execute
    from evalkit.store import Store

    loaded = load_suite(suite)
    selection = Selection(tuple(route or ()), tuple(case or ()), tuple(tag or ()), limit, shard)
    if resume and (settings or selection or trials):
        raise InputError("--resume completes a run as it was planned: drop --set, --trials, --case")
    opened = Store(store)
    # Found before anything is paid for; and `--label main --baseline main` means the previous one.
    against, notes = resolve(opened, baseline, loaded.suite.name) if baseline else (None, ())
    _scorers_exist(loaded, on or [])
    rerun_from = source(loaded, baseline_checkout, baseline_python, baseline_url)
    confirming = _confirm_policy(loaded, confirm, max_trials, max_seconds, max_usd)
    if rerun_from is not None and against is None:
        raise InputError(
            "where the baseline is run again from needs --baseline REF, its stored run"
        )
    named = label or git.commit(loaded.folder) or "run"
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
    if against is None:
        report = report_on(opened, finished.id, None, on or (), notes=notes)
    else:
        report = _gated(
            _Gating(opened, loaded, finished, against, on or (), notes),
            confirming,
            rerun_from,
            concurrency,
        )
    _publish(report, form, junit, markdown, code_quality)
    return exit_of(report)


class _Gating(NamedTuple):
    """What is gated, and against what."""

    store: Store
    loaded: LoadedSuite
    candidate: Run
    baseline: Run
    on: Sequence[str]
    notes: Sequence[str]

    def decided(
        self,
        *notes: str,
        more: Sequence[str] = (),
        rerun: Rerun | None = None,
        confirm: Confirm | None = None,
    ) -> Report:
        """The decision, kept in the store."""
        from evalkit.cli.decision import report_on

        return report_on(
            self.store,
            self.candidate.id,
            self.baseline.id,
            self.on,
            notes=[*self.notes, *notes],
            late_notes=more,
            rerun=rerun,
            confirm=confirm,
        )


def _gated(
    gating: _Gating, confirm: Confirm, rerun_from: Source, concurrency: int | None
) -> Report:
    """The gate's decision: suspicions are settled by re-runs where the baseline can be re-run."""
    from evalkit.confirm_run import CannotRerunError, keep, open_rerunner, why_not
    from evalkit.wording import without_reruns

    candidate, baseline = gating.candidate, gating.baseline
    why = why_not(candidate, baseline, confirm, rerun_from)
    if why is not None:
        return gating.decided(without_reruns(why))
    with open_rerunner(
        gating.loaded,
        candidate,
        baseline,
        confirm,
        store=gating.store.path,
        source=rerun_from,
        concurrency=concurrency,
    ) as rerunner:

        def rerun(wanted: Mapping[str, int]) -> tuple[list[Row], list[Row]] | None:
            more = 2 * sum(wanted.values())
            print(
                f"confirming: {len(wanted)} cases of routes that look worse, {more} trials more"
                " in both versions",
                file=sys.stderr,
            )
            with _pipeline_prints_aside():
                return rerunner(wanted)

        try:
            return gating.decided(more=rerunner.notes, rerun=rerun, confirm=confirm)
        except CannotRerunError as error:
            return gating.decided(without_reruns(str(error)))
        finally:
            kept = keep(rerunner, candidate, baseline, gating.store.path, rerun_from)
            if kept:
                said = " and ".join(run.id for run in kept)
                again = plural(sum(map(len, rerunner.made)), "trial")
                print(f"{again} made again in both versions, kept as {said}", file=sys.stderr)


def _confirm_policy(
    loaded: LoadedSuite,
    confirm: bool,
    max_trials: int | None,
    max_seconds: float | None,
    max_usd: float | None,
) -> Confirm:
    """The suite's policy for re-runs, as the options change it."""
    from msgspec.structs import replace

    for option, most in (("--max-seconds", max_seconds), ("--max-usd", max_usd)):
        if most is not None and not math.isfinite(most):
            raise InputError(f"{option} {most}: a number, at least 0")
    stated = loaded.suite.gate.confirm
    return replace(
        stated,
        enabled=stated.enabled and confirm,
        max_trials=stated.max_trials if max_trials is None else max_trials,
        max_seconds=stated.max_seconds if max_seconds is None else max_seconds,
        max_usd=stated.max_usd if max_usd is None else max_usd,
    )


def exit_of(report: Report) -> int:
    """The gate's exit; without one, 3 if a route has too many infrastructure failures."""
    if report.gate is not None:
        return report.gate.exit
    return ExitCode.INCOMPLETE if too_many_failures(report) else ExitCode.PASSED


def too_many_failures(report: Report) -> list[str]:
    """A sentence for each route of which more trials failed for infrastructure reasons than may."""
    from evalkit.measurement import too_few_left

    allowed = report.run.suite.gate.max_infrastructure
    return [
        f"{route.route}: {route.infrastructure} of {plural(route.trials, 'trial')} failed for "
        f"infrastructure reasons, at most {percent(allowed)} may, chance aside"
        + _commonest_failure(report, route.route)
        for route in report.routes
        if route.trials and too_few_left(route.infrastructure, route.trials, allowed)
    ]


def _commonest_failure(report: Report, route: str) -> str:
    """What most of a route's failures are, with an example and the command that shows it."""
    failed = [case for case in report.cases if case.route == route and case.infrastructure]
    counts = Counter[str]()
    for case in failed:
        counts.update(case.infrastructure)
    if not counts:
        return ""
    status, many = counts.most_common(1)[0]
    example = next(case for case in failed if status in case.infrastructure)
    look = f"evalkit show {shell(report.run.id)} {shell(example.case)}"
    return f"; {many} by {status}, for instance {example.error or 'without a word'}. See `{look}`"


def _execute(work: Callable[[Callable[[Progress], None]], Run], suite: Path) -> Run:
    """Runs with progress on stderr. Ctrl-C says how to go on."""
    from evalkit.cli.progress import shown

    seen: list[str] = []
    try:
        with shown() as update, _pipeline_prints_aside():

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


def _pipeline_prints_aside() -> redirect_stdout[TextIO]:
    """What a pipeline in this process prints goes to stderr: stdout is for the report."""
    return redirect_stdout(sys.stderr)


def _publish(
    report: Report,
    form: Format,
    junit: Path | None,
    markdown: Path | None,
    code_quality: Path | None,
) -> None:
    from evalkit.cli.output import annotate, dataset_lines, say, screen, write
    from evalkit.escaping import line
    from evalkit.reporters import codequality, json, terminal
    from evalkit.reporters import junit as junit_xml
    from evalkit.reporters import markdown as markdown_text

    say(json.render(report) if form is Format.JSON else terminal.render(report, **screen()))
    if report.gate is None:
        for said in too_many_failures(report):
            print(f"error: {line(said, 1000)}", file=sys.stderr)
    if junit is not None:
        write(junit, junit_xml.render(report))
    if markdown is not None:
        write(markdown, markdown_text.render(report))
    if code_quality is not None:
        write(code_quality, codequality.render(report, lines=dataset_lines(report.run)))
    annotate(report, to_stderr=form is Format.JSON)


def _scorers_exist(loaded: LoadedSuite, on: list[str]) -> None:
    names = [use.name for use in loaded.suite.scorer_uses]
    own = any(":" in name for name in names)  # a scorer of one's own may give scores of any name
    for name in on:
        if name not in names and not own:
            raise InputError(f"--on {name}: the suite's scorers are {', '.join(names)}")
