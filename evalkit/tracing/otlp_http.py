"""An OTLP/HTTP server: reads requests within limits, gives them to a sink, answers what it says.

It knows nothing of what becomes of the spans. Threads, not a loop: reading a body is what takes
the time, and a slow client holds up only itself.
"""

from __future__ import annotations

import json
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, NamedTuple

from evalkit.errors import InputError
from evalkit.tracing.authorization import UNAUTHORIZED, is_authorized
from evalkit.tracing.compression import inflate
from evalkit.tracing.otlp_answers import failure, partial_success
from evalkit.tracing.room import NoRoomError, Room

MAX_BODY = 16 * 1024 * 1024
"""Larger request bodies, compressed or not, are refused. Bytes."""

MAX_AT_ONCE = 2 * MAX_BODY
"""Bytes of bodies, inflated, that are read and worked on at once; others wait for room."""

BODY_SECONDS = 60.0
"""A body must have come by then."""

HEAD_SECONDS = 60.0
"""A request's head must have come by then, from the connection's begin or the answer before."""

MAX_CONNECTIONS = 256
"""Further connections are answered 503 and closed."""

_IDLE_SECONDS = 30
_ROOM_SECONDS = 10.0
_RATIO = 32
"""How far bodies inflate, mostly: so much room is taken before it is known."""

_SPARE_SECONDS = 5.0
"""A late body is told so before it is hung up on."""

_MAX_TRAILERS = 100
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)

Signal = Literal["traces", "logs", "metrics"]
_PATHS: dict[str, Signal] = {
    "/v1/traces": "traces",
    "/v1/logs": "logs",
    "/v1/metrics": "metrics",
}


class Export(NamedTuple):
    """One request: its signal, and its body, inflated."""

    signal: Signal
    is_json: bool
    body: bytes


class Answer(NamedTuple):
    """What the sink says to a request: a status, why, and how many spans it rejected.

    ``retry_after`` is in seconds, for 429 and 503.
    """

    status: int = 200
    message: str = ""
    rejected: int = 0
    retry_after: int | None = None


class Certificate(NamedTuple):
    """What a server shows over TLS: files of a certificate chain and its private key, in PEM."""

    chain: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """As Python's TLS takes it. Raises InputError if the files do not load."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.chain, self.key)
        except OSError as error:
            raise InputError(f"the certificate or key does not load: {error}") from None
        return context


class Endpoint(NamedTuple):
    """Where to listen, and who may send: everyone, or whoever knows the token.

    ``grpc_port`` is that of OTLP over gRPC, None for none. A port of 0 takes a free one.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: str | None = None
    certificate: Certificate | None = None
    connections: int = MAX_CONNECTIONS
    grpc_port: int | None = None


Sink = Callable[[Export], Answer]
"""Takes a request and answers it; called from many threads. Raises nothing."""


class Server(ThreadingHTTPServer):
    """Listens from construction to :meth:`stop`; ``refused`` is told of requests not passed on.

    Raises OSError if the address cannot be had, InputError if the certificate does not load.
    """

    request_queue_size = 1024
    daemon_threads = True

    def __init__(
        self, endpoint: Endpoint, sink: Sink, refused: Callable[[], None] = lambda: None
    ) -> None:
        self.sink = sink
        self.refused = refused
        self.endpoint = endpoint
        self.room = Room(MAX_AT_ONCE)
        self._open: dict[socket.socket, float] = {}  # by when each must have sent what is awaited
        self._busy = 0
        self._quiet = threading.Condition()
        self._stopping = False
        self.address_family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        tls = None if endpoint.certificate is None else endpoint.certificate.context()
        super().__init__((endpoint.host, endpoint.port), _Handler)
        if tls is not None:
            # The handshake happens in the connection's own thread, under its timeout.
            self.socket = tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.05,), name="evalkit-otlp", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL, as ``OTEL_EXPORTER_OTLP_ENDPOINT`` takes it."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"{'https' if self.endpoint.certificate else 'http'}://{shown}:{port}"

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accepts a connection and remembers it."""
        connection, address = super().get_request()
        self.await_from(connection, HEAD_SECONDS)
        return connection, address

    def await_from(self, connection: socket.socket, seconds: float) -> None:
        """Gives a connection so long to send what comes next; a read's timeout is not enough, for
        it begins anew with each byte."""
        with self._quiet:
            self._open[connection] = time.monotonic() + seconds

    def service_actions(self) -> None:
        """Hangs up on connections that were awaited for too long."""
        now = time.monotonic()
        with self._quiet:
            late = [connection for connection, due in self._open.items() if due < now]
        for connection in late:
            with suppress(OSError):  # closed meanwhile; TLS has no say in it
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serves the connection in a thread of its own, or refuses it if there are too many."""
        with self._quiet:
            full = len(self._open) > self.endpoint.connections
        if full:
            if self.endpoint.certificate is None:
                with suppress(OSError):
                    request.sendall(_BUSY)
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forgets and closes a connection."""
        with self._quiet:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news, and nothing may reach the terminal."""

    def ask(self, export: Export) -> Answer:
        """The sink's answer; 503 once the server stops."""
        with self._quiet:
            if self._stopping:
                return Answer(503, "stopping", retry_after=5)
            self._busy += 1
        try:
            return self.sink(export)
        finally:
            with self._quiet:
                self._busy -= 1
                self._quiet.notify_all()

    def stop(self, seconds: float = 10.0) -> None:
        """Takes no more, lets requests that are with the sink end, then hangs up."""
        self.shutdown()
        self._thread.join()
        with self._quiet:
            self._stopping = True
            self._quiet.wait_for(lambda: self._busy == 0, seconds)
            connections = list(self._open)
        for connection in connections:
            with suppress(OSError):  # closed by the client meanwhile
                connection.shutdown(socket.SHUT_RD)
        self.server_close()


class _Refused(Exception):  # noqa: N818  an answer, not an error of this program
    """A request that is answered with a status and a reason, and then hung up on."""

    def __init__(self, status: int, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.answer = Answer(status, reason, retry_after=retry_after)


class _LargerError(Exception):
    """A body inflates to more than was thought."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True
    server: Server

    def do_POST(self) -> None:
        """Answers one OTLP export."""
        self.server.await_from(self.connection, math.inf)
        try:
            self._authorize()
            signal = _PATHS.get(self.path.partition("?")[0].rstrip("/"))
            if signal is None:
                raise _Refused(404, f"no {self.path[:100]} here; spans go to /v1/traces")
            answer = self._exported(signal)
            if answer.status == 200:
                self._accept(signal, answer)
            else:
                self._refuse(answer)
        except _Refused as refused:
            self.server.refused()
            self.close_connection = True  # the body may still be on its way
            self._refuse(refused.answer)
        self.server.await_from(self.connection, HEAD_SECONDS)

    def _exported(self, signal: Signal) -> Answer:
        """The sink's answer to the body, for which there is room first."""
        encoding = self._encoding()
        size = MAX_BODY if self._is_chunked else self._length()
        if size > MAX_BODY:
            raise _Refused(413, f"the body is larger than {MAX_BODY:,} bytes")
        try:
            room = min(MAX_BODY, size * _RATIO) if encoding else size
            with self.server.room.taken(room, _ROOM_SECONDS):
                self.server.await_from(self.connection, BODY_SECONDS + _SPARE_SECONDS)
                raw = self._chunks() if self._is_chunked else self._read(size)
                self.server.await_from(self.connection, math.inf)
                try:
                    return self._ask(signal, _inflated(raw, room) if encoding else raw)
                except _LargerError:
                    pass
            with self.server.room.taken(MAX_BODY, _ROOM_SECONDS):
                return self._ask(signal, _inflated(raw, MAX_BODY))
        except NoRoomError:
            raise _Refused(503, "too much is being worked on", retry_after=1) from None

    def _ask(self, signal: Signal, body: bytes) -> Answer:
        return self.server.ask(Export(signal, self._is_json, body))

    @property
    def _is_json(self) -> bool:
        return self.headers.get_content_type() == "application/json"

    def _authorize(self) -> None:
        token = self.server.endpoint.token
        if token is None:
            return
        if not is_authorized(self.headers.get("Authorization", ""), token):
            raise _Refused(401, UNAUTHORIZED)

    def _encoding(self) -> str:
        """How the body is compressed, empty if it is not."""
        encoding = self.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity", "gzip", "deflate"):
            raise _Refused(415, f"unknown Content-Encoding {encoding[:50]!r}; use gzip")
        return "" if encoding == "identity" else encoding

    @property
    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    def _length(self) -> int:
        stated = self.headers.get("Content-Length", "0")
        if not (stated.isascii() and stated.isdigit() and len(stated) < 20):
            raise _Refused(400, f"odd Content-Length {stated[:50]!r}")
        return int(stated)

    def _read(self, length: int) -> bytes:
        found = bytearray()
        deadline = time.monotonic() + BODY_SECONDS
        while len(found) < length:
            some = self.rfile.read1(length - len(found))
            if not some:
                raise _Refused(400, "the body is cut off")
            if time.monotonic() > deadline:
                raise _Refused(408, f"the body took longer than {BODY_SECONDS:.0f} s")
            found += some
        return bytes(found)

    def _chunks(self) -> bytes:
        body = bytearray()
        deadline = time.monotonic() + BODY_SECONDS
        while size := self._chunk_size():
            if len(body) + size > MAX_BODY:
                raise _Refused(413, f"the body is larger than {MAX_BODY:,} bytes")
            body += self._read(size)
            if time.monotonic() > deadline:
                raise _Refused(408, f"the body took longer than {BODY_SECONDS:.0f} s")
            self.rfile.readline(3)
        for _ in range(_MAX_TRAILERS):
            if not self.rfile.readline(1024).strip():
                return bytes(body)
        raise _Refused(400, "too many trailers")

    def _chunk_size(self) -> int:
        line = self.rfile.readline(100).partition(b";")[0].strip()
        try:
            size = int(line[:16], 16)
        except ValueError:
            size = -1
        if size < 0:
            raise _Refused(400, "malformed chunk in the body")
        return size

    def _accept(self, signal: Signal, answer: Answer) -> None:
        if not answer.rejected:
            self._send(200, b"{}" if self._is_json else b"", self._is_json)
        elif self._is_json:
            rejected = "rejectedLogRecords" if signal == "logs" else "rejectedSpans"
            told = {rejected: str(answer.rejected), "errorMessage": answer.message}
            self._send(200, json.dumps({"partialSuccess": told}).encode(), True)
        else:
            self._send(200, partial_success(answer.rejected, answer.message), False)

    def _refuse(self, answer: Answer) -> None:
        # A client that is told to come back keeps its connection; others are hung up on.
        if answer.retry_after is None:
            self.close_connection = True
        # In protobuf for who sent that; a person with curl reads JSON.
        is_json = self.headers.get_content_type() != "application/x-protobuf"
        told = {"message": answer.message}
        body = json.dumps(told).encode() if is_json else failure(answer.message)
        self._send(answer.status, body, is_json, answer.retry_after)

    def _send(
        self, status: int, body: bytes, is_json: bool, retry_after: int | None = None
    ) -> None:
        self.send_response(status)
        kind = "application/json" if is_json else "application/x-protobuf"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Says nothing of versions to whoever asks."""
        return "evalkit"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base's name
        """Requests are not logged."""


def _inflated(raw: bytes, room: int) -> bytes:
    """The body, inflated. Raises _LargerError where it needs more room, and might have it."""
    try:
        return inflate(raw, room)
    except InputError as error:
        if "more than" not in str(error):
            raise _Refused(400, str(error)) from None
        if room < MAX_BODY:
            raise _LargerError from None
        raise _Refused(413, str(error)) from None
