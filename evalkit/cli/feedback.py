"""`evalkit feedback`: what people said of traces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, StoreOption
from evalkit.errors import ExitCode

feedback = typer.Typer(help="What people said of traces.", no_args_is_help=True)


@feedback.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with a header, or JSON Lines.")],
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Keep thumbs, escalations, reopened tickets and overrides by trace or session id."""
    from evalkit.cli.output import say
    from evalkit.feedback import import_feedback

    found = import_feedback(store, file)
    say(f"{found.added} remarks added ({found.praise} praise), {found.known} known before\n")
    return ExitCode.PASSED


@feedback.callback()
def top() -> None:
    """What people said of traces."""
