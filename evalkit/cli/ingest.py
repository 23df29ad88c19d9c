"""`evalkit ingest`: recorded traces and agent runs, read into a run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, StoreOption
from evalkit.errors import ExitCode, InputError

if TYPE_CHECKING:
    from evalkit.traces import Progress, Report


class Recordings(StrEnum):
    """The kinds of files that can be read."""

    OTLP_JSON = "otlp-json"
    OTLP_PROTOBUF = "otlp-protobuf"
    JAEGER = "jaeger"
    LANGFUSE = "langfuse"
    SDK_JSON = "sdk-json"
    CHAT = "chat"
    TAU = "tau"


def ingest(
    files: Annotated[list[Path], typer.Argument(help="Trace or result files, gzipped or not.")],
    form: Annotated[
        Recordings | None,
        typer.Option("--format", help="What wrote the files; told from them if not given."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The run's label; the first file's name if not given.")
    ] = None,
    suite: Annotated[
        Path | None, typer.Option(help="A suite that says how routes are read and tokens cost.")
    ] = None,
    trials: Annotated[
        str | None, typer.Option(metavar="0,1", help="tau only: these trials of the file.")
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(metavar="OUT", help="tau only: where to write the cases.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Read recorded traces into a run; prints one JSON object that says what became of them."""
    from evalkit.tracing import formats

    kind = form.value if form else _kind(files)
    name = label if label is not None else files[0].name.partition(".")[0]
    if kind == formats.TAU:
        if suite is not None:
            raise InputError("--suite says how traces are read: results of tau-bench need none")
        return _tau(files, name, trials, dataset, store)
    if trials is not None or dataset is not None:
        raise InputError("--trials and --dataset belong to results of tau-bench (--format tau)")
    return _traces(files, form.value if form else None, name, suite, store)


def _kind(files: list[Path]) -> str:
    from evalkit.tracing import formats

    return formats.detect(files[0])


def _tau(
    files: list[Path], label: str, trials: str | None, dataset: Path | None, store: Path
) -> int:
    import sys

    import msgspec

    from evalkit.cli.output import say
    from evalkit.escaping import line
    from evalkit.ingest import ingest_tau
    from evalkit.reporters import json

    if len(files) > 1:
        raise InputError("results of tau-bench are read one file at a time")
    numbers = None if trials is None else _numbers(trials)
    found = ingest_tau(files[0], label=label, store=store, trials=numbers, dataset=dataset)
    for note in found.notes:
        print(f"note: {line(note)}", file=sys.stderr)
    say(json.to_json(msgspec.structs.asdict(found)))
    return ExitCode.PASSED


def _traces(
    files: list[Path], form: str | None, label: str, suite: Path | None, store: Path
) -> int:
    import sys

    import msgspec

    from evalkit.cli.output import say
    from evalkit.cli.progress import told
    from evalkit.files import suite_alone
    from evalkit.reporters import json
    from evalkit.traces import ingest_traces

    with told() as tell:
        report = ingest_traces(
            files,
            label=label,
            store=store,
            form=form,
            suite=suite_alone(suite) if suite else None,
            on_progress=lambda now: tell(_said(now)),
        )
    sys.stderr.write(coverage(report))
    say(json.to_json(msgspec.structs.asdict(report)))
    return ExitCode.PASSED


def _said(now: Progress) -> str:
    return f"{now.traces:,} traces stored" if now.traces else f"{now.spans:,} spans read"


def coverage(report: Report) -> str:
    """The coverage report, for a person: what became of every span."""
    from evalkit.escaping import line

    said = [
        f"run {report.run}: {report.traces:,} traces, {report.spans:,} spans, "
        f"{report.steps:,} steps",
        *(f"  {line(file)}: {form}" for file, form in report.files.items()),
        f"  read by convention: {_counts(report.conventions)}",
        f"  wrappers, no steps of their own: {report.ignored:,}",
        f"  not understood: {report.not_understood:,}"
        + (f", with keys {_counts(report.unknown_keys, 8)}" if report.unknown_keys else ""),
        f"  quarantined: {report.quarantined:,}",
        *(f"    {count:,} × {line(why)}" for why, count in report.reasons.items()),
    ]
    if report.mended:
        said.append(f"  mended: {sum(report.mended.values()):,}")
        said += (f"    {count:,} × {line(why)}" for why, count in report.mended.items())
    if set(report.routes_from) != {"nothing"}:
        said.append(f"  routes read from: {_counts(report.routes_from)}")
    if report.no_steps:
        said.append(f"  traces without a step: {report.no_steps:,}")
    if report.unjoined_logs:
        said.append(f"  log records of no span: {report.unjoined_logs:,}")
    if report.secrets:
        said.append(f"  secrets redacted: {_counts(report.secrets)}")
    return "\n".join(said) + "\n"


def _counts(found: dict[str, int], most: int = 20) -> str:
    from evalkit.escaping import line

    named = [f"{line(name)} {count:,}" for name, count in list(found.items())[:most]]
    return ", ".join(named) or "none"


def _numbers(text: str) -> list[int]:
    try:
        return [int(one) for one in text.split(",")]
    except ValueError:
        raise InputError(f"--trials {text}: expected numbers, for instance 0,1") from None
