"""collect(): a live OTLP receiver -> a spool on disk -> trials as traces complete -> a run.

The spool is the truth: a request is answered 200 once it is there. The journal shows traces
while they come; when the collector stops, the run is written anew from the whole spool. A killed
collector is finished by :func:`finish`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from evalkit.errors import InputError, NotFoundError, StoreError
from evalkit.files import SuiteFile
from evalkit.folders import JOURNAL, LOCK, locks, read_manifest, run_folder
from evalkit.journal import Journal
from evalkit.results import Run
from evalkit.traces import OnProgress, Report, as_trial, planned_run, read_trace, write_run
from evalkit.tracing.assembly import Reading
from evalkit.tracing.collecting import Collecting, Patience
from evalkit.tracing.otlp_grpc import GrpcServer
from evalkit.tracing.otlp_http import Endpoint, Server
from evalkit.tracing.parts import Reasons
from evalkit.tracing.spool import Spool, read_spool

SPOOL = "spans.spool"
MAX_BYTES = 20 * 1024**3
"""Disk that a spool may take; beyond, clients are answered 429."""

DEFAULT_PATIENCE = Patience()

_TICK_S = 0.2
_SHARE = 0.3
"""Of its time that a collector spends on trials while spans come: storing spans goes first."""

_BATCH = 100
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Listening(NamedTuple):
    """What a collector says when it is ready, and how far it is."""

    url: str
    run: str
    state: Collecting
    grpc_url: str | None = None


def collect(
    endpoint: Endpoint,
    *,
    label: str,
    store: Path,
    stop: threading.Event,
    on_ready: Callable[[Listening], None],
    suite: SuiteFile | None = None,
    patience: Patience = DEFAULT_PATIENCE,
    max_bytes: int = MAX_BYTES,
) -> Report:
    """Receives spans until ``stop`` is set, then finishes the run and says what it holds.

    Raises InputError for an address that cannot be had, or one beyond loopback without a token;
    NotFoundError where no span came; StoreError where the disk refuses.
    """
    if endpoint.host not in _LOOPBACK and endpoint.token is None:
        raise InputError(
            f"{endpoint.host} can be reached from other machines: give a token that senders must "
            "know (EVALKIT_COLLECT_TOKEN), or listen on 127.0.0.1"
        )
    if not label.strip():
        raise InputError("a run needs a label, for instance --label production")
    suite_record = suite.suite if suite else None
    run = planned_run(label, "otlp", suite_record)
    with Journal.start(store, run) as journal:
        spool = Spool(journal.folder / SPOOL)
        state = Collecting(spool, patience, max_bytes)
        try:
            servers = _servers(endpoint, state)
        except BaseException:
            spool.close()
            _remove(journal.folder)
            raise
        on_ready(Listening(servers[0].url, run.id, state, *(one.url for one in servers[1:])))
        try:
            _settle(state, journal, _reading(run), stop)
        finally:
            for server in servers:
                server.stop()
            spool.close()
    if not spool.size:
        _remove(journal.folder)
        raise NotFoundError("no span came: nothing to store")
    return finish(run.id, store=store, reasons=state.reasons, secrets=state.secrets)


def finish(
    run_id: str,
    *,
    store: Path,
    reasons: Reasons | None = None,
    secrets: Counter[str] | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Writes the run of a collector that stopped or was killed from its spool, then removes that.

    Raises NotFoundError where there is no such run or it has no spool, InputError where it is
    still collecting, StoreError.
    """
    folder = run_folder(store, run_id)
    if not (folder / SPOOL).is_file():
        raise NotFoundError(f"run {run_id} in {store} has no collected spans to finish")
    try:
        with locks.held(folder / LOCK, wait=1.0):
            run = read_manifest(folder).run
            reading = _reading(run)
            reading.refused.update(reasons or {})
            reading.secrets.update(secrets or {})
            report = write_run(
                store,
                run,
                lambda: read_spool(folder / SPOOL),
                reading,
                {"otlp": "otlp"},
                on_progress=on_progress,
            )
            for name in (SPOOL, JOURNAL):
                (folder / name).unlink(missing_ok=True)
    except locks.LockHeldError as error:
        raise InputError(f"run {run_id} is still collecting: {error.holder}") from None
    return report


def _servers(endpoint: Endpoint, state: Collecting) -> list[Server | GrpcServer]:
    """The server over HTTP and, if asked for, the one over gRPC: both, or InputError."""
    servers: list[Server | GrpcServer] = []
    port: int | None = endpoint.port
    try:
        servers.append(Server(endpoint, state.export, state.refuse))
        if (port := endpoint.grpc_port) is not None:
            servers.append(GrpcServer(endpoint, state.export, state.refuse))
    except (OSError, InputError) as error:
        for server in servers:
            server.stop()
        if isinstance(error, InputError):
            raise
        why = error.strerror or error
        raise InputError(f"cannot listen on {endpoint.host}:{port}: {why}") from None
    return servers


def _reading(run: Run) -> Reading:
    return Reading(Reasons(), Counter(), run.suite.route_from, run.suite.prices)


def _settle(state: Collecting, journal: Journal, reading: Reading, stop: threading.Event) -> None:
    """Turns complete traces into trials, in a share of the time, until told to stop."""
    pause = _TICK_S
    while not stop.wait(pause):
        started = time.perf_counter()
        found = [read_trace(parts[0].trace_id, parts, reading) for parts in state.complete(_BATCH)]
        with suppress(StoreError):  # the disk is full: the spool says so to the senders
            journal.extend(as_trial(one) for one in found if one is not None)
        took = time.perf_counter() - started
        pause = max(_TICK_S if len(found) < _BATCH else 0.0, took / _SHARE - took)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


__all__ = ["SPOOL", "Listening", "collect", "finish"]
