"""`evalkit ingest`: recorded agent runs, read into a dataset and a run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, StoreOption
from evalkit.errors import ExitCode, InputError


class Recordings(StrEnum):
    """The kinds of files that can be read."""

    TAU = "tau"


def ingest(
    file: Annotated[Path, typer.Argument(help="A result file.")],
    form: Annotated[Recordings, typer.Option("--format", help="What wrote the file.")],
    label: Annotated[str, typer.Option(help="The run's label, for instance the model's name.")],
    trials: Annotated[
        str | None, typer.Option(metavar="0,1", help="Only these trials of the file.")
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Where to write the cases.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Read recorded agent runs; prints one JSON object that says what became of them."""
    import sys

    import msgspec

    from evalkit.cli.output import say
    from evalkit.escaping import line
    from evalkit.ingest import ingest_tau
    from evalkit.reporters import json

    assert form is Recordings.TAU
    numbers = None if trials is None else _numbers(trials)
    found = ingest_tau(file, label=label, store=store, trials=numbers, dataset=dataset)
    for note in found.notes:
        print(f"note: {line(note)}", file=sys.stderr)
    say(json.to_json(msgspec.structs.asdict(found)))
    return ExitCode.PASSED


def _numbers(text: str) -> list[int]:
    try:
        return [int(one) for one in text.split(",")]
    except ValueError:
        raise InputError(f"--trials {text}: expected numbers, for instance 0,1") from None
