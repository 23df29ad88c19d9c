"""The trace of each trial, wherever its spans come from: this process, OTLP, or a recording."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from evalkit.errors import PluginError
from evalkit.spans import Span
from evalkit.tracing.parts import with_logs

if TYPE_CHECKING:
    from evalkit.tracing.collector import Collector, TrialTrace
    from evalkit.tracing.receiver import LoopbackReceiver

SETTLE_SECONDS = 10.0
"""How long to wait, after an answer, for spans that an exporter batches (5 s is its default)."""

QUIET_SECONDS = 0.25


class Trace(Protocol):
    """One trial's trace: ``trace_id`` in hex and the W3C ``traceparent`` that leads into it."""

    trace_id: str
    traceparent: str

    async def spans(self) -> list[Span]:
        """The trial's spans, once, after the pipeline has answered."""
        ...


class Capture(Protocol):
    """Traces of many trials at once; spans never mix.

    ``otlp_endpoint`` is where a pipeline outside this process sends its spans; ``stray_spans``
    counts spans of no trial: a pipeline that loses its trace context.
    """

    otlp_endpoint: str | None

    @property
    def stray_spans(self) -> int: ...

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the results must know of how spans were captured."""
        ...

    def trial(self) -> AbstractContextManager[Trace]: ...

    def ready(self) -> None:
        """Called when the target was built, before the first trial."""
        ...


@contextmanager
def open_capture(spans_from: str) -> Iterator[Capture]:
    """The capture for a target's ``spans_from``: ``process``, ``otlp`` or ``recording``."""
    if spans_from == "process":
        from evalkit.tracing.collector import Collector

        with Collector() as collector:
            yield ProcessCapture(collector)
    elif spans_from == "otlp":
        from evalkit.tracing.receiver import LoopbackReceiver

        with LoopbackReceiver() as receiver:
            yield OtlpCapture(receiver)
    elif spans_from == "recording":
        yield RecordingCapture()
    else:
        raise PluginError(f"a target's spans_from is process, otlp or recording: {spans_from!r}")


class _ProcessTrace:
    def __init__(self, trace: TrialTrace) -> None:
        self.trace_id, self.traceparent = trace.trace_id, trace.traceparent
        self._trace = trace

    async def spans(self) -> list[Span]:
        return self._trace.take()


class ProcessCapture:
    """Spans that this process's OpenTelemetry SDK ends within a trial's context."""

    otlp_endpoint: str | None = None

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    @property
    def stray_spans(self) -> int:
        return self._collector.stray_spans

    @property
    def notes(self) -> list[str]:
        late, dropped = self._collector.late_spans, self._collector.dropped_spans
        return [
            *self._collector.notes,
            *_counted(late, "ended after their trial had answered: they are in no trajectory"),
            *_counted(dropped, "were over the limit of one trial and were not kept"),
        ]

    @contextmanager
    def trial(self) -> Iterator[Trace]:
        with self._collector.trial() as trace:
            yield _ProcessTrace(trace)

    def ready(self) -> None:
        # Only now: a pipeline that sets its own provider does so while it is imported.
        self._collector.ensure_provider()


class _OtlpTrace:
    def __init__(self, receiver: LoopbackReceiver) -> None:
        self.trace_id, self._span_id = secrets.token_hex(16), secrets.token_hex(8)
        self.traceparent = f"00-{self.trace_id}-{self._span_id}-01"
        self._receiver = receiver
        receiver.expect(self.trace_id)

    async def spans(self) -> list[Span]:
        """Waits until the span that answered the call has arrived, then until it is quiet."""
        found: list[Span] = []
        deadline = time.monotonic() + SETTLE_SECONDS
        quiet_since = time.monotonic()
        while time.monotonic() < deadline:
            arrived = self._receiver.take(self.trace_id)
            if arrived:
                found += arrived
                quiet_since = time.monotonic()
            whole = any(span.parent_id == self._span_id for span in found)
            if whole and time.monotonic() - quiet_since > QUIET_SECONDS:
                break
            await asyncio.sleep(0.02)
        logs = self._receiver.logs(self.trace_id)
        self._receiver.forget(self.trace_id)
        return with_logs(found, logs)[0] if logs else found


class OtlpCapture:
    """Spans that programs and servers send to the run's own loopback receiver."""

    def __init__(self, receiver: LoopbackReceiver) -> None:
        self._receiver = receiver
        self.otlp_endpoint: str | None = receiver.endpoint

    @property
    def stray_spans(self) -> int:
        return self._receiver.stray_spans

    @property
    def notes(self) -> list[str]:
        rejected = self._receiver.rejected_requests
        return [
            *_counted(self._receiver.dropped_spans, "were over the limit and were not kept"),
            *([f"{rejected:,} OTLP requests were refused as malformed"] if rejected else []),
        ]

    @contextmanager
    def trial(self) -> Iterator[Trace]:
        yield _OtlpTrace(self._receiver)

    def ready(self) -> None:
        """The receiver listens already."""


class _NoTrace:
    def __init__(self) -> None:
        self.trace_id, self.traceparent = secrets.token_hex(16), ""

    async def spans(self) -> list[Span]:
        return []


class RecordingCapture:
    """Nothing is executed, so no spans arrive."""

    otlp_endpoint: str | None = None
    stray_spans = 0
    notes: Sequence[str] = ()

    @contextmanager
    def trial(self) -> Iterator[Trace]:
        yield _NoTrace()

    def ready(self) -> None:
        """Nothing to prepare."""


def _counted(spans: int, what: str) -> list[str]:
    return [f"{spans:,} spans {what}"] if spans else []
