"""The options that several commands share, and what they mean."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How a command prints what it found."""

    TABLE = "table"
    JSON = "json"


StoreOption = Annotated[
    Path,
    typer.Option("--store", envvar="EVALKIT_STORE", help="The folder that results are kept in."),
]
FormatOption = Annotated[
    Format, typer.Option("--format", help="A table for people, or one JSON object on stdout.")
]
OnOption = Annotated[
    list[str] | None,
    typer.Option("--on", metavar="SCORER", help="Look at this scorer; repeat it for several."),
]
RunArgument = Annotated[str, typer.Argument(help="A run's id or label.")]

DEFAULT_STORE = Path(".evalkit")
