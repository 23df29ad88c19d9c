"""`evalkit export`: a stored run as files, or its scores sent to where traces are looked at."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, RunArgument, StoreOption
from evalkit.errors import ExitCode, InputError


class Form(StrEnum):
    """What is written."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


def export(
    run: RunArgument,
    form: Annotated[Form, typer.Option("--format", help="What to write.")] = Form.PARQUET,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Default: RUN-export.")
    ] = None,
    otlp: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send the scores there instead: OTLP over HTTP."),
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Sent along; repeatable.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Write a run's trials, steps and scores as files; or send its scores as OpenTelemetry."""
    from evalkit.cli.naming import named_run
    from evalkit.cli.output import say
    from evalkit.exporting import export as write
    from evalkit.reporters import json
    from evalkit.store import Store
    from evalkit.tracing.exporting import export_scores

    opened = Store(store)
    found = named_run(opened, run)
    if otlp is None:
        for path in write(opened, found.id, form.value, out or Path(f"{found.id}-export")):
            say(f"wrote {path}\n")
        return ExitCode.PASSED
    headers = dict(map(_header, header or ()))
    sent = export_scores(found, opened.trials(found.id), otlp, headers)
    say(json.to_json({"run": found.id, **sent._asdict()}))
    return ExitCode.PASSED if not sent.rejected else ExitCode.INCOMPLETE


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals) or not text.isprintable():
        raise InputError("--header: expected NAME=VALUE, for instance Authorization=Bearer …")
    return name, value
