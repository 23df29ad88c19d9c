"""An OTLP/HTTP endpoint on the loopback interface: spans of pipelines outside this process."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import AbstractContextManager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from evalkit.errors import InputError
from evalkit.spans import Span
from evalkit.tracing.otlp import inflate, read_otlp_json, read_otlp_protobuf

MAX_BODY = 16 * 1024 * 1024
"""Larger request bodies, compressed or not, are refused. Bytes."""

MAX_SPANS = 10_000
"""Spans kept per trace; more are counted, not kept."""

_IDLE_SECONDS = 30


class LoopbackReceiver(AbstractContextManager["LoopbackReceiver"]):
    """Receives spans from entering to leaving (``with``, or ``start`` and ``close``).

    Only spans of expected traces are kept; ``stray_spans`` counts the others, ``dropped_spans``
    those over ``max_spans`` of one trace, ``rejected_requests`` what was no OTLP. Thread-safe.
    """

    def __init__(self, max_spans: int = MAX_SPANS) -> None:
        self.stray_spans = 0
        self.dropped_spans = 0
        self.rejected_requests = 0
        self._max_spans = max_spans
        self._traces: dict[str, list[Span]] = {}
        self._kept: dict[str, int] = {}
        self._arrived = threading.Condition()
        self._server: _Server | None = None

    @property
    def endpoint(self) -> str:
        """The base URL, as ``OTEL_EXPORTER_OTLP_ENDPOINT`` takes it."""
        if self._server is None:
            raise RuntimeError("the receiver is not started")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Listens on a free port of 127.0.0.1."""
        self._server = _Server(self)
        thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="evalkit-otlp", daemon=True
        )
        self._server.thread = thread
        thread.start()

    def close(self) -> None:
        """Stops listening and ends open connections. Closing twice does nothing."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def __enter__(self) -> LoopbackReceiver:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def expect(self, trace_id: str) -> None:
        """Keeps spans of this trace from now on, until it is forgotten."""
        with self._arrived:
            self._traces.setdefault(trace_id, [])
            self._kept.setdefault(trace_id, 0)

    def take(self, trace_id: str) -> list[Span]:
        """The spans of the trace that have arrived since it was last asked for."""
        with self._arrived:
            found = self._traces.get(trace_id, [])
            if found:
                self._traces[trace_id] = []
            return found

    def forget(self, trace_id: str) -> None:
        """Expects the trace no longer: what still arrives of it is stray."""
        with self._arrived:
            self._traces.pop(trace_id, None)
            self._kept.pop(trace_id, None)

    def wait(self, trace_id: str, seconds: float) -> bool:
        """Blocks until the expected trace has a span; False if it has none after ``seconds``."""
        with self._arrived:
            return self._arrived.wait_for(lambda: bool(self._traces.get(trace_id)), seconds)

    def add(self, spans: list[Span]) -> None:
        """Keeps those of the spans whose traces are expected."""
        with self._arrived:
            for span in spans:
                kept = self._traces.get(span.trace_id)
                if kept is None:
                    self.stray_spans += 1
                elif self._kept[span.trace_id] < self._max_spans:
                    self._kept[span.trace_id] += 1
                    kept.append(span)
                else:
                    self.dropped_spans += 1
            self._arrived.notify_all()

    def reject(self) -> None:
        """Counts a request that was no OTLP."""
        with self._arrived:
            self.rejected_requests += 1


class _Server(ThreadingHTTPServer):
    request_queue_size = 1024
    thread: threading.Thread

    def __init__(self, receiver: LoopbackReceiver) -> None:
        self.receiver = receiver
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news, and nothing may reach the terminal."""

    def stop(self) -> None:
        self.shutdown()
        self.thread.join()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with suppress(OSError):  # closed by the client meanwhile
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Refused(Exception):  # noqa: N818  an answer, not an error of this program
    """A request that is answered with a status and a reason, and then hung up on."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        """Answers one OTLP export."""
        path = self.path.partition("?")[0].rstrip("/")
        try:
            body = self._body()
            if path not in ("/v1/traces", "/v1/logs", "/v1/metrics"):
                raise _Refused(404, f"no {path[:100]} here; spans go to /v1/traces")
            if path == "/v1/traces":
                self.server.receiver.add(self._spans(body))
            self._answer(200, b"{}" if self._is_json else b"")
        except _Refused as refused:
            self.server.receiver.reject()
            self.close_connection = True
            self._answer(refused.status, json.dumps({"message": refused.reason}).encode())

    @property
    def _is_json(self) -> bool:
        return self.headers.get_content_type() == "application/json"

    def _spans(self, body: bytes) -> list[Span]:
        try:
            return read_otlp_json(body) if self._is_json else read_otlp_protobuf(body)
        except InputError as error:
            raise _Refused(400, str(error)) from None

    def _body(self) -> bytes:
        raw = self._chunks() if self._is_chunked else self._read(self._length())
        encoding = self.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding in ("", "identity"):
            return raw
        if encoding not in ("gzip", "deflate"):
            raise _Refused(415, f"unknown Content-Encoding {encoding[:50]!r}; use gzip")
        try:
            return inflate(raw, MAX_BODY)
        except InputError as error:
            raise _Refused(413 if "more than" in str(error) else 400, str(error)) from None

    @property
    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    def _length(self) -> int:
        stated = self.headers.get("Content-Length", "0")
        if not (stated.isascii() and stated.isdigit() and len(stated) < 20):
            raise _Refused(400, f"odd Content-Length {stated[:50]!r}")
        return int(stated)

    def _read(self, length: int) -> bytes:
        if length > MAX_BODY:
            raise _Refused(413, f"the body is larger than {MAX_BODY:,} bytes")
        found = self.rfile.read(length)
        if len(found) < length:
            raise _Refused(400, "the body is cut off")
        return found

    def _chunks(self) -> bytes:
        body = bytearray()
        while size := self._chunk_size():
            body += self._read(size)
            if len(body) > MAX_BODY:
                raise _Refused(413, f"the body is larger than {MAX_BODY:,} bytes")
            self.rfile.readline(3)
        while self.rfile.readline(1024).strip():  # trailers
            pass
        return bytes(body)

    def _chunk_size(self) -> int:
        line = self.rfile.readline(100).partition(b";")[0].strip()
        try:
            return int(line[:16], 16)
        except ValueError:
            raise _Refused(400, "malformed chunk in the body") from None

    def _answer(self, status: int, body: bytes) -> None:
        json_body = self._is_json or status != 200
        self.send_response(status)
        self.send_header(
            "Content-Type", "application/json" if json_body else "application/x-protobuf"
        )
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base's name
        """Requests are not logged."""
