"""`evalkit init`: a small project that runs at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.errors import ExitCode


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it.")] = Path(),
) -> int:
    """Write a small working project: a pipeline, a dataset and a suite."""
    from evalkit import scaffold
    from evalkit.cli.output import say
    from evalkit.escaping import line, shell

    written = scaffold.init(folder)
    for path in written:
        say(f"wrote {line(path)}\n")
    suites = [path for path in written if path.suffix in (".yaml", ".yml")]
    if suites:
        say(f"\nnext: evalkit run {shell(suites[0])} --label main\n")
    return ExitCode.PASSED
