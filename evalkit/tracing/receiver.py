"""The loopback receiver of a test run: spans and logs of pipelines outside this process."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager

from evalkit.errors import InputError
from evalkit.spans import Span
from evalkit.tracing.otlp import read_otlp_json, read_parts
from evalkit.tracing.otlp_http import MAX_BODY, Answer, Endpoint, Export, Server
from evalkit.tracing.otlp_protobuf import read_logs_protobuf, read_otlp_protobuf
from evalkit.tracing.parts import LogEvent, unpack_logs
from evalkit.tracing.reasons import Reasons

MAX_SPANS = 10_000
"""Spans, and log records, kept per trace; more are counted, not kept."""


class LoopbackReceiver(AbstractContextManager["LoopbackReceiver"]):
    """Receives from entering to leaving (``with``, or ``start`` and ``close``).

    Only spans of expected traces are kept; ``stray_spans`` counts the others, ``dropped_spans``
    those over ``max_spans`` of one trace, ``rejected_requests`` what was no OTLP. Thread-safe.
    """

    def __init__(self, max_spans: int = MAX_SPANS) -> None:
        self.stray_spans = 0
        self.dropped_spans = 0
        self.rejected_requests = 0
        self._max_spans = max_spans
        self._traces: dict[str, list[Span]] = {}
        self._logs: dict[str, list[LogEvent]] = {}
        self._kept: dict[str, int] = {}
        self._arrived = threading.Condition()
        self._server: Server | None = None

    @property
    def endpoint(self) -> str:
        """The base URL, as ``OTEL_EXPORTER_OTLP_ENDPOINT`` takes it."""
        if self._server is None:
            raise RuntimeError("the receiver is not started")
        return self._server.url

    def start(self) -> None:
        """Listens on a free port of 127.0.0.1."""
        self._server = Server(Endpoint(), self._export, self.reject)

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
            self._logs.setdefault(trace_id, [])
            self._kept.setdefault(trace_id, 0)

    def take(self, trace_id: str) -> list[Span]:
        """The spans of the trace that have arrived since it was last asked for."""
        with self._arrived:
            found = self._traces.get(trace_id, [])
            if found:
                self._traces[trace_id] = []
            return found

    def logs(self, trace_id: str) -> list[LogEvent]:
        """The log records of the trace that have arrived so far."""
        with self._arrived:
            return list(self._logs.get(trace_id, ()))

    def forget(self, trace_id: str) -> None:
        """Expects the trace no longer: what still arrives of it is stray."""
        with self._arrived:
            self._traces.pop(trace_id, None)
            self._logs.pop(trace_id, None)
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

    def _export(self, export: Export) -> Answer:
        try:
            if export.signal == "traces":
                read = read_otlp_json if export.is_json else read_otlp_protobuf
                self.add(read(export.body))
            elif export.signal == "logs":
                self._add_logs(_logs(export))
        except InputError as error:
            self.reject()
            return Answer(400, str(error))
        return Answer()

    def _add_logs(self, logs: list[LogEvent]) -> None:
        with self._arrived:
            for log in logs:
                kept = self._logs.get(log.trace_id)
                if kept is not None and len(kept) < self._max_spans:
                    kept.append(log)


def _logs(export: Export) -> list[LogEvent]:
    if not export.is_json:
        return read_logs_protobuf(export.body, Reasons())
    parts = read_parts(export.body, Reasons())
    return [log for part in parts if part.codec == "logs" for log in unpack_logs(part.data)]


__all__ = ["MAX_BODY", "MAX_SPANS", "LoopbackReceiver"]
