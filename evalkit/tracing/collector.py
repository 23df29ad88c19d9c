"""Collects the spans of trials in this process, beside whatever tracing is set up there.

The only module that needs the OpenTelemetry SDK. One span processor per process hands finished
spans to the collectors that are active; it is given to every tracer provider that exists or is
created while one is, and does nothing when none is (providers cannot remove a processor).
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import (
    NonRecordingSpan,
    ProxyTracerProvider,
    SpanContext,
    StatusCode,
    TraceFlags,
)

from evalkit.spans import Span, SpanEvent

MAX_SPANS = 10_000
"""Spans kept per trial unless a collector is told otherwise; more are counted, not kept."""

_LIMIT = 100_000


class TrialTrace:
    """The trace of one trial: its ids for the pipeline, and its spans once that has returned."""

    def __init__(self, trace_id: int, span_id: int, collector: Collector) -> None:
        self.trace_id = f"{trace_id:032x}"
        self.traceparent = f"00-{trace_id:032x}-{span_id:016x}-01"
        self.dropped_spans = 0
        self._collector = collector
        self._number = trace_id
        self._finished: list[ReadableSpan] | None = []
        self._lock = threading.Lock()

    def take(self) -> list[Span]:
        """The spans that have ended, once; those that end later are counted as late."""
        self._collector._forget(self._number)
        with self._lock:
            finished, self._finished = self._finished, None
        # A span is delivered twice where two of our processors sit on one provider.
        unique = {id(span): span for span in finished or ()}
        return [as_span(span) for span in unique.values()]

    def _add(self, span: ReadableSpan, limit: int) -> bool:
        """Keeps the span, or counts it as dropped; False if the spans were taken already."""
        with self._lock:
            if self._finished is None:
                return False
            if len(self._finished) < limit:
                self._finished.append(span)
                return True
            self.dropped_spans += 1
        self._collector._count("dropped_spans")
        return True


class Collector(AbstractContextManager["Collector"]):
    """Collects spans of this process from entering to leaving.

    ``stray_spans`` counts spans of no trial, ``late_spans`` those that ended after their trial's
    were taken, ``dropped_spans`` those over ``max_spans`` of one trial. ``notes`` says what a
    person should know about the providers found, such as samplers that may drop spans.
    """

    def __init__(self, max_spans: int = MAX_SPANS) -> None:
        self.stray_spans = 0
        self.late_spans = 0
        self.dropped_spans = 0
        self.notes: list[str] = []
        self._max_spans = max_spans
        # Trace ids of one collector start alike: so a late span is told from a stray one without
        # remembering trials. The other half stays random, as samplers expect.
        self._prefix = secrets.randbits(63) + 1
        self._open: dict[int, TrialTrace] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Collector:
        _router.activate(self)
        return self

    def __exit__(self, *_: object) -> None:
        _router.deactivate(self)
        self._open.clear()

    def ensure_provider(self) -> None:
        """Sets a tracer provider if none is set; call it after the pipeline was imported."""
        if isinstance(trace.get_tracer_provider(), ProxyTracerProvider):
            trace.set_tracer_provider(_own_provider())
        _router.attach(trace.get_tracer_provider())

    @contextmanager
    def trial(self) -> Iterator[TrialTrace]:
        """A fresh trace for what runs inside, in this context and those that copy it.

        It starts as an incoming ``traceparent`` would start it: with a remote parent, and no span
        of ours in the user's own backend.
        """
        trace_id = self._prefix << 64 | secrets.randbits(64)
        span_id = secrets.randbits(63) + 1
        opened = TrialTrace(trace_id, span_id, self)
        parent = SpanContext(trace_id, span_id, True, TraceFlags(TraceFlags.SAMPLED))
        self._open[trace_id] = opened
        token = otel_context.attach(trace.set_span_in_context(NonRecordingSpan(parent)))
        try:
            yield opened
        finally:
            otel_context.detach(token)
            self._forget(trace_id)

    def _receive(self, span: ReadableSpan, trace_id: int) -> bool:
        """Whether the span is of one of this collector's trials."""
        opened = self._open.get(trace_id)
        if opened is not None and opened._add(span, self._max_spans):
            return True
        if trace_id >> 64 == self._prefix:
            self._count("late_spans")
            return True
        return False

    def _forget(self, trace_id: int) -> None:
        self._open.pop(trace_id, None)

    def _count(self, counter: str) -> None:
        with self._lock:
            setattr(self, counter, getattr(self, counter) + 1)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def as_span(found: ReadableSpan) -> Span:
    """A span of the SDK as evalkit's record."""
    context = found.context
    assert context is not None
    scope = found.instrumentation_scope
    status = found.status
    return Span(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=f"{found.parent.span_id:016x}" if found.parent else None,
        name=found.name,
        start_ns=found.start_time or 0,
        end_ns=found.end_time or 0,
        attributes=_copied(found.attributes),
        events=tuple(
            SpanEvent(event.name, event.timestamp, _copied(event.attributes))
            for event in found.events
        ),
        error=status.status_code is StatusCode.ERROR,
        status_message=status.description or "",
        scope=scope.name if scope else "",
        scope_version=(scope.version if scope else None) or "",
        resource=found.resource.attributes,
    )


def _copied(attributes: Any) -> dict[str, Any]:
    # The SDK's own copy() is one dict copy; going through its mapping interface is ten times that.
    return dict(attributes.copy()) if hasattr(attributes, "copy") else dict(attributes or {})


class _Router(SpanProcessor):
    """The one processor of this process: finished spans go to the collector that knows them."""

    def __init__(self) -> None:
        self._active: tuple[Collector, ...] = ()
        self._lock = threading.RLock()
        self._undo: list[Callable[[], None]] = []

    def on_end(self, span: ReadableSpan) -> None:
        active = self._active
        if not active or span.context is None:
            return
        trace_id = span.context.trace_id
        for collector in active:
            if collector._receive(span, trace_id):
                return
        for collector in active:
            collector._count("stray_spans")

    @property
    def is_active(self) -> bool:
        return bool(self._active)

    def activate(self, collector: Collector) -> None:
        with self._lock:
            if not self._active:
                self._undo = [_watch_providers(self.attach), _instrument_threads()]
            self._active = (*self._active, collector)
            provider = trace.get_tracer_provider()
            if not isinstance(provider, ProxyTracerProvider):
                self.attach(provider)

    def deactivate(self, collector: Collector) -> None:
        with self._lock:
            self._active = tuple(one for one in self._active if one is not collector)
            if not self._active:
                for undo in reversed(self._undo):
                    undo()
                self._undo = []

    def attach(self, provider: Any) -> None:
        """Adds this processor to a provider of the SDK, or one that offers the same, once."""
        with self._lock:
            if not hasattr(provider, "add_span_processor"):
                self._note_all(f"spans of {type(provider).__qualname__} cannot be collected")
                return
            for collector in self._active:
                for note in _provider_notes(provider):
                    collector._note(note)
            if not _has_processor(provider, self):
                provider.add_span_processor(self)

    def _note_all(self, note: str) -> None:
        for collector in self._active:
            collector._note(note)


def _has_processor(provider: Any, processor: SpanProcessor) -> bool:
    held = getattr(provider, "_active_span_processor", None)
    if held is not None:
        return processor in getattr(held, "_span_processors", ())
    known = getattr(provider, "_evalkit_collects", False)
    provider._evalkit_collects = True
    return bool(known)


def _provider_notes(provider: Any) -> Iterator[str]:
    if getattr(provider, "_disabled", False):
        yield "OTEL_SDK_DISABLED is set: no spans can be collected"
    sampler = getattr(provider, "sampler", None)
    if isinstance(sampler, Sampler):
        described = sampler.get_description()
        if not described.startswith(("AlwaysOn", "ParentBased", _WhileCollecting.__name__)):
            yield f"the tracer provider's sampler {described} may drop spans of trials"


def _watch_providers(attach: Callable[[Any], None]) -> Callable[[], None]:
    """Calls ``attach`` with every SDK provider that is created from now on, until undone."""
    original = TracerProvider.__init__

    @wraps(original)
    def watched(self: TracerProvider, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if _router.is_active:
            attach(self)

    def undo() -> None:
        if TracerProvider.__init__ is watched:  # else somebody wrapped it after us
            setattr(TracerProvider, "__init__", original)  # noqa: B010  mypy's only way

    setattr(TracerProvider, "__init__", watched)  # noqa: B010  mypy's only way
    return undo


def _instrument_threads() -> Callable[[], None]:
    """Lets threads and thread pools inherit the trace context, unless they do already."""
    from opentelemetry.instrumentation.threading import ThreadingInstrumentor

    instrumentor = ThreadingInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        return lambda: None
    undo_subclasses = _instrument_thread_subclasses()
    instrumentor.instrument()

    def undo() -> None:
        instrumentor.uninstrument()
        undo_subclasses()

    return undo


def _instrument_thread_subclasses() -> Callable[[], None]:
    """The instrumentor wraps ``Thread.run``, which a subclass with its own ``run`` never calls."""
    original = threading.Thread.start

    @wraps(original)
    def start(self: threading.Thread) -> None:
        runs = next(found for found in type(self).__mro__ if "run" in vars(found))
        if runs not in (threading.Thread, threading.Timer):
            within = _within(otel_context.get_current(), self.run)
            setattr(self, "run", within)  # noqa: B010  mypy's only way
        original(self)

    def undo() -> None:
        if threading.Thread.start is start:
            setattr(threading.Thread, "start", original)  # noqa: B010  mypy's only way

    setattr(threading.Thread, "start", start)  # noqa: B010  mypy's only way
    return undo


def _within(context: otel_context.Context, run: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        token = otel_context.attach(context)
        try:
            run()
        finally:
            otel_context.detach(token)

    return call


class _WhileCollecting(Sampler):
    """Samples all while a collector is active, else nothing: our provider outlives a run."""

    def should_sample(
        self,
        parent_context: otel_context.Context | None,
        trace_id: int,
        name: str,
        kind: trace.SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[trace.Link] | None = None,
        trace_state: trace.TraceState | None = None,
    ) -> SamplingResult:
        decision = Decision.RECORD_AND_SAMPLE if _router.is_active else Decision.DROP
        return SamplingResult(decision, attributes, trace_state)

    def get_description(self) -> str:
        return type(self).__name__


def _own_provider() -> TracerProvider:
    limits = SpanLimits(
        max_span_attributes=_LIMIT,
        max_event_attributes=_LIMIT,
        max_events=_LIMIT,
        max_links=_LIMIT,
    )
    return TracerProvider(sampler=_WhileCollecting(), span_limits=limits, shutdown_on_exit=False)


_router = _Router()
