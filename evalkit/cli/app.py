"""The `evalkit` application: its commands and its options."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.check import check
from evalkit.cli.compare import compare
from evalkit.cli.failures import Guarded
from evalkit.cli.gate import gate
from evalkit.cli.ingest import ingest
from evalkit.cli.init import init
from evalkit.cli.rebuild import rebuild
from evalkit.cli.run import run
from evalkit.cli.runs import runs
from evalkit.cli.show import show

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


for command in (init, check, run, gate, compare, runs, show, ingest, rebuild):
    app.command()(command)
