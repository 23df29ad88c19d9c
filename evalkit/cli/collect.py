"""`evalkit collect`: live spans of a running system, read into a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, StoreOption
from evalkit.errors import EvalkitError, ExitCode, InputError

if TYPE_CHECKING:
    import threading

    from evalkit.collect import Listening
    from evalkit.traces import Report
    from evalkit.tracing.otlp_http import Certificate


def collect(  # noqa: PLR0913  every option of the command is a parameter
    *,
    label: Annotated[str, typer.Option(help="The run's label.")] = "production",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 4318,
    grpc_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Take OTLP over gRPC too, there; needs the extra `grpc`."
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="EVALKIT_COLLECT_TOKEN", help="What senders must know; see docs."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="A certificate chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    connections: Annotated[int, typer.Option(min=1, max=10_000, help="At most at once.")] = 256,
    quiet: Annotated[
        float, typer.Option(min=0, help="A trace is complete so many seconds after its last span.")
    ] = 5.0,
    timeout: Annotated[
        float, typer.Option(min=0, help="… or so many seconds after its first, root or not.")
    ] = 60.0,
    seconds: Annotated[
        float | None, typer.Option("--for", min=0, help="Stop after so many seconds.")
    ] = None,
    max_gb: Annotated[
        float, typer.Option(min=0.001, help="Disk that one run's spans use at most.")
    ] = 20.0,
    roll: Annotated[
        float | None,
        typer.Option(min=0.01, metavar="HOURS", help="Begin another run every so many hours."),
    ] = None,
    suite: Annotated[
        Path | None, typer.Option(help="A suite that says how routes are read and tokens cost.")
    ] = None,
    finish: Annotated[
        str | None, typer.Option(metavar="RUN", help="Complete the run of a killed collector.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Receive OTLP over HTTP (gRPC if asked) until Ctrl-C, then print what came, like `ingest`."""
    from evalkit import collect as collecting
    from evalkit.files import suite_alone
    from evalkit.tracing.collecting import Patience
    from evalkit.tracing.otlp_http import Endpoint

    if finish is not None:
        if suite is not None:
            raise InputError(f"run {finish} keeps the suite it was begun with: leave out --suite")
        return _say(collecting.finish(finish, store=store))
    report = collecting.collect(
        Endpoint(host, port, token, _certificate(tls_cert, tls_key), connections, grpc_port),
        label=label,
        store=store,
        stop=_stopped(seconds),
        on_ready=_ready,
        suite=suite_alone(suite) if suite else None,
        patience=Patience(quiet, timeout),
        extent=collecting.Extent(int(max_gb * 1024**3), roll * 3600 if roll else None),
    )
    return _say(report)


def _stopped(seconds: float | None) -> threading.Event:
    """Set by Ctrl-C, by SIGTERM, or when the time is up."""
    import signal
    import threading

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if seconds is not None:
        timer = threading.Timer(seconds, stop.set)
        timer.daemon = True
        timer.start()
    return stop


def _ready(listening: Listening) -> None:
    import sys

    if isinstance(listening.finished, EvalkitError):
        print(f"error: the run before is not finished: {listening.finished}", file=sys.stderr)
    elif listening.finished is not None:
        _say(listening.finished)
    grpc = f" and on {listening.grpc_url} for OTLP over gRPC" if listening.grpc_url else ""
    print(
        f"listening on {listening.url} for OTLP over HTTP{grpc} (run {listening.run}); "
        "Ctrl-C to stop",
        file=sys.stderr,
        flush=True,
    )


def _say(report: Report) -> int:
    import sys

    import msgspec

    from evalkit.cli.ingest import coverage
    from evalkit.cli.output import say
    from evalkit.reporters import json

    sys.stderr.write(coverage(report))
    say(json.to_json(msgspec.structs.asdict(report)))
    return ExitCode.PASSED


def _certificate(chain: Path | None, key: Path | None) -> Certificate | None:
    from evalkit.tracing.otlp_http import Certificate

    if chain is None and key is None:
        return None
    if chain is None or key is None:
        raise InputError("TLS needs both --tls-cert and --tls-key")
    return Certificate(chain, key)
