"""collect(): a live OTLP receiver -> a spool on disk -> trials as traces complete -> a run.

The spool is the truth: a request is answered 200 once it is there. The journal shows traces
while they come; when the collector stops, the run is written anew from the whole spool. A killed
collector is finished by :func:`finish`.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from evalkit.errors import EvalkitError, InputError, NotFoundError, StoreError
from evalkit.folders import JOURNAL, LOCK, locks, read_manifest, run_folder
from evalkit.journal import Journal
from evalkit.results import Run
from evalkit.suite import Suite
from evalkit.traces import (
    OnProgress,
    Report,
    as_trial,
    planned_run,
    rare_collection,
    read_trace,
    write_run,
)
from evalkit.tracing import authorization
from evalkit.tracing.assembly import Reading
from evalkit.tracing.collecting import Collecting, Patience
from evalkit.tracing.otlp_grpc import GrpcServer
from evalkit.tracing.otlp_http import Answer, Endpoint, Export, Server, Sink
from evalkit.tracing.parts import Part, unpack_counts
from evalkit.tracing.reasons import Reasons
from evalkit.tracing.spool import Spool, read_spool

SPOOL = "spans.spool"
MAX_BYTES = 20 * 1024**3
"""Disk that a spool may take; beyond, clients are answered 429."""

DEFAULT_PATIENCE = Patience()

_TICK_S = 0.2
_SHARE = 0.3
"""Of its time that a collector spends on trials while spans come: storing spans goes first."""

_BATCH = 100


class Extent(NamedTuple):
    """How much one run takes: bytes on disk, and seconds, after which another one begins.

    Without ``seconds`` a collector has one run, and senders are told to wait when it is full;
    with them, a full run is finished early.
    """

    max_bytes: int = MAX_BYTES
    seconds: float | None = None


class Listening(NamedTuple):
    """What a collector says when a run is ready to be filled, and how far it is.

    ``finished`` is what the run before it holds, or why that could not be finished; None if there
    was none, or no span came.
    """

    url: str
    run: str
    state: Collecting
    grpc_url: str | None = None
    finished: Report | EvalkitError | None = None


DEFAULT_EXTENT = Extent()


class _Filling:
    """A run while spans come for it."""

    def __init__(
        self, store: Path, label: str, suite: Suite | None, patience: Patience, extent: Extent
    ) -> None:
        self.run = planned_run(label, "otlp", suite)
        self.journal = Journal.start(store, self.run)
        self.spool = Spool(self.journal.folder / SPOOL)
        self.state = Collecting(self.spool, patience, extent.max_bytes)
        ends = None if extent.seconds is None else time.monotonic() + extent.seconds
        self._ends, self._extent, self._store = ends, extent, store

    def is_full(self) -> bool:
        """Whether another run should take its place."""
        return self._ends is not None and (
            time.monotonic() >= self._ends or self.spool.size > self._extent.max_bytes
        )

    def close(self) -> Report | None:
        """Finishes the run, and says what it holds; None, and nothing stays, if no span came."""
        self.spool.close()
        self.journal.close()
        if not self.spool.size:
            _remove(self.journal.folder)
            return None
        return finish(self.run.id, store=self._store)


def collect(
    endpoint: Endpoint,
    *,
    label: str,
    store: Path,
    stop: threading.Event,
    on_ready: Callable[[Listening], None],
    suite: Suite | None = None,
    patience: Patience = DEFAULT_PATIENCE,
    extent: Extent = DEFAULT_EXTENT,
) -> Report:
    """Receives spans until ``stop`` is set, then finishes the last run and says what it holds.

    When a run is full by ``extent``, spans go to another one of the same label from then on, and
    the full one is finished meanwhile; ``on_ready`` is told of each. Raises InputError for an
    address that cannot be had, or one beyond loopback without a token, and for a token that no
    header carries; NotFoundError where no span came; StoreError where the disk refuses.
    """
    if endpoint.token is not None:
        authorization.check(endpoint.token)
    if endpoint.token is None and not _is_loopback(endpoint.host):
        raise InputError(
            f"{endpoint.host} can be reached from other machines: give a token that senders must "
            "know (EVALKIT_COLLECT_TOKEN), or listen on 127.0.0.1"
        )
    if not label.strip():
        raise InputError("a run needs a label, for instance --label production")
    filling = _Filling(store, label, suite, patience, extent)

    # A request that is with a run which is being closed is answered 503: it comes again.
    def sink(export: Export) -> Answer:
        return filling.state.export(export)

    def refused() -> None:
        filling.state.refuse()

    try:
        servers = _servers(endpoint, sink, refused)
    except BaseException:  # also Ctrl-C: nothing may be left behind
        filling.close()
        raise
    finished: Report | EvalkitError | None = None
    urls = [server.url for server in servers]
    try:
        while True:
            grpc_url = urls[1] if urls[1:] else None
            on_ready(Listening(urls[0], filling.run.id, filling.state, grpc_url, finished))
            with rare_collection():
                _settle(filling, stop)
            if stop.is_set():
                break
            full, filling = filling, _Filling(store, label, suite, patience, extent)
            try:
                finished = full.close()
            except EvalkitError as error:  # its spans stay on disk, and the next run goes on
                finished = error
    finally:
        for server in servers:
            server.stop()
        last = filling.close()
    if last is None:
        since = " since the last run" if finished is not None else ""
        raise NotFoundError(f"no span came{since}: nothing to store")
    return last


def finish(
    run_id: str,
    *,
    store: Path,
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
            report = write_run(
                store,
                run,
                lambda: _spooled(folder / SPOOL, reading),
                reading,
                {"otlp": "otlp"},
                on_progress=on_progress,
            )
            for name in (SPOOL, JOURNAL):
                (folder / name).unlink(missing_ok=True)
    except locks.LockHeldError as error:
        raise InputError(f"run {run_id} is still collecting: {error.holder}") from None
    except StoreError as error:
        raise StoreError(
            f"{error}. Its spans are kept: once mended, `evalkit collect --finish {run_id}` "
            "writes the run"
        ) from error
    return report


def _spooled(spool: Path, reading: Reading) -> Iterator[Part]:
    """The parts of traces; what was refused and redacted before they came to disk is counted."""
    for part in read_spool(spool):
        if part.codec != "counts":
            yield part
            continue
        counts = unpack_counts(part.data)
        reading.refused.update(counts.refused)
        reading.secrets.update(counts.secrets)


def _servers(
    endpoint: Endpoint, sink: Sink, refused: Callable[[], None]
) -> list[Server | GrpcServer]:
    """The server over HTTP and, if asked for, the one over gRPC: both, or InputError."""
    servers: list[Server | GrpcServer] = []
    port: int | None = endpoint.port
    try:
        servers.append(Server(endpoint, sink, refused))
        if (port := endpoint.grpc_port) is not None:
            servers.append(GrpcServer(endpoint, sink, refused))
    except (OSError, InputError) as error:
        for server in servers:
            server.stop()
        if isinstance(error, InputError):
            raise
        why = error.strerror or error
        raise InputError(f"cannot listen on {endpoint.host}:{port}: {why}") from None
    return servers


def _is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def _reading(run: Run) -> Reading:
    return Reading(Reasons(), Counter(), run.suite.route_from, run.suite.prices)


def _settle(filling: _Filling, stop: threading.Event) -> None:
    """Turns complete traces into trials, in a share of the time, until told to stop or full."""
    pause, reading = _TICK_S, _reading(filling.run)
    while not stop.wait(pause) and not filling.is_full():
        started = time.perf_counter()
        ripe = filling.state.complete(_BATCH)
        found = [read_trace(parts[0].trace_id, parts, reading) for parts in ripe]
        with suppress(StoreError):  # the disk is full: the spool says so to the senders
            filling.journal.extend(as_trial(one) for one in found if one is not None)
        took = time.perf_counter() - started
        pause = max(_TICK_S if len(found) < _BATCH else 0.0, took / _SHARE - took)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


__all__ = ["SPOOL", "Extent", "Listening", "collect", "finish"]
