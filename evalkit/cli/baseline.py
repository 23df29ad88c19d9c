"""`evalkit baseline`: baselines that travel as one file, and those that a label means."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, Format, FormatOption, RunArgument, StoreOption
from evalkit.errors import ExitCode, NotFoundError

app = typer.Typer(
    help="Keep baselines: as one portable file, or by promoting a run after a green gate.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("export")
def export(
    run: RunArgument,
    file: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Write a run's numbers as one portable file, without what the pipeline was asked and said."""
    from evalkit import baselines
    from evalkit.cli.naming import named_run
    from evalkit.cli.output import say
    from evalkit.escaping import line
    from evalkit.store import Store

    opened = Store(store)
    found, notes = baselines.resolve(opened, run, named_run(opened, run).suite.name)
    for note in notes:
        print(f"note: {line(note, 600)}", file=sys.stderr)
    size = baselines.export(opened, found.id, file)
    say(f"{line(found.label)} ({found.id}) is in {line(file)}, {size / 1000:,.0f} kB\n")
    return ExitCode.PASSED


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="A file that `baseline export` wrote.")],
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Put the run of a portable file into the store."""
    from evalkit import baselines
    from evalkit.cli.output import say
    from evalkit.escaping import line
    from evalkit.store import Store

    run = baselines.load(Store(store), file)
    say(f"{line(run.label)} ({run.id}) is in {line(store)}: {len(run.planned):,} cases\n")
    return ExitCode.PASSED


@app.command("promote")
def promote(
    run: RunArgument,
    label: Annotated[str, typer.Option(help="The label that means this run from now on.")] = "main",
    force: Annotated[
        bool, typer.Option("--force", help="Although its gates are not green.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Make a run the baseline of a label, after a green gate."""
    from evalkit import baselines
    from evalkit.cli.naming import named_run
    from evalkit.cli.output import say
    from evalkit.escaping import line
    from evalkit.store import Store

    opened = Store(store)
    done = baselines.promote(opened, named_run(opened, run).id, label, force=force)
    before = f"; before, it was {done.replaced}" if done.replaced else ""
    forced = " (forced)" if done.forced else ""
    say(f"{line(label)} is now {done.run}{forced}{before}\n")
    return ExitCode.PASSED


@app.command("list")
def list_all(store: StoreOption = DEFAULT_STORE, form: FormatOption = Format.TABLE) -> int:
    """List what was promoted, newest first."""
    from evalkit.cli.output import say, screen
    from evalkit.store import Store

    opened = Store(store)
    found = opened.promotions()[::-1]
    current = {}
    for one in found:
        with suppress(NotFoundError):  # its folder was removed since
            suite = opened.run(one.run).suite.name
            current[one.run, one.label] = opened.bearing(one.label, suite)[0]
    if form is Format.JSON:
        from evalkit.reporters import json

        say(json.render_baselines(found, current))
    else:
        from evalkit.reporters import terminal

        say(terminal.render_baselines(found, current, **screen()))
    return ExitCode.PASSED
