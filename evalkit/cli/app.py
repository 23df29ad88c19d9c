"""The `evalkit` application: its commands and its options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from evalkit.cli import baseline, judge
from evalkit.cli.check import check
from evalkit.cli.collect import collect
from evalkit.cli.compare import compare
from evalkit.cli.dataset import dataset
from evalkit.cli.export import export
from evalkit.cli.failures import Guarded
from evalkit.cli.feedback import feedback
from evalkit.cli.gate import gate
from evalkit.cli.history import history
from evalkit.cli.ingest import ingest
from evalkit.cli.init import init
from evalkit.cli.merge import merge
from evalkit.cli.plan import plan
from evalkit.cli.promote import promote
from evalkit.cli.query import query
from evalkit.cli.rebuild import rebuild
from evalkit.cli.report import report
from evalkit.cli.review import review
from evalkit.cli.run import run
from evalkit.cli.runs import runs
from evalkit.cli.score import score
from evalkit.cli.show import show
from evalkit.cli.steps import steps
from evalkit.cli.triage import triage
from evalkit.cli.view import view

app = typer.Typer(
    name="evalkit",
    cls=Guarded,
    help="Tells whether an LLM pipeline got worse: on which route, at which step, how surely.",
    epilog="Exit codes: 0 passed, 1 a gate failed, 2 wrong input, 3 not completed or decided.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from evalkit.planning import version

        typer.echo(f"evalkit {version()}")
        raise typer.Exit


@app.callback()
def top(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """The options of all commands; :class:`Guarded` reads ``debug``."""


# In the order of work: measure, look, keep, read recordings, promote, and the store.
COMMANDS: tuple[Callable[..., object], ...] = (
    *(init, check, plan, run, gate, compare),
    *(runs, show, steps, report, history, view),
    *(score, merge),
    *(ingest, collect, triage, promote, review),
    *(export, query, rebuild),
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(feedback, name="feedback")
app.add_typer(dataset, name="dataset")
app.add_typer(baseline.app, name="baseline")
app.add_typer(judge.app, name="judge")
