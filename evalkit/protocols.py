"""The seams of evalkit, on one page: implement one, register it, name it in a suite.

A plug-in is named in a suite by its entry point's name (groups ``evalkit.scorers``,
``evalkit.conventions``, ``evalkit.targets``, ``evalkit.reporters``) or as
``package.module:object``. The built-ins register the same way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from evalkit.dataset import Case
from evalkit.results import Score
from evalkit.spans import Span
from evalkit.suite import Pipeline, Setting
from evalkit.trajectory import Step, Trajectory


class Scorer(Protocol):
    """Judges one trial. Pure, and synchronous or ``async``; may take 30 s. Raising, or taking
    longer, is recorded as "could not judge".

    A scorer may ask, by keyword parameter, for ``effects`` (:class:`evalkit.suite.Effects`),
    ``scores`` (those already given to this trial, by scorer name), ``folder`` (the suite's,
    where the modules of a user's functions are looked for) and ``store`` (the store's). Other
    keyword parameters are arguments that a suite may set: ``{my_scorer: {threshold: 0.8}}``; what
    a suite sets is checked against the parameter's annotation.
    """

    def __call__(
        self, case: Case, trajectory: Trajectory, /
    ) -> Score | Iterable[Score] | Awaitable[Score | Iterable[Score]]: ...


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a convention makes of one span: a step (without children), a wrapper, or neither.

    ``role`` is ``step``, ``wrapper`` (understood, but no step of the pipeline: its children move
    up) or ``unknown``. ``route`` is set where the span tells the route; ``said`` where it tells
    what the user was sent. ``steps`` are those of a span that is several beside each other, such as
    one for all the tools that a model called at once: of role ``step``, without a ``step``.
    """

    role: str
    step: Step | None = None
    route: str | None = None
    said: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()


@runtime_checkable
class Convention(Protocol):
    """Reads the spans of one attribute convention. Stateless; never raises on odd attributes.

    Two optional attributes save asking about every span. ``scopes``: how the scopes begin of the
    spans that it may claim. ``claims_by_keys``: True where what it claims depends on the scope
    and the attributes' keys alone; ``names`` says how the names begin of spans of which it does
    not.
    """

    name: str

    def claims(self, span: Span) -> bool:
        """Whether this span is written in this convention."""
        ...

    def read(self, span: Span, parent: Span | None) -> Reading:
        """The span as a step, wrapper or unknown; called only for spans that it claims."""
        ...


class TrialContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a target is given beside the input: where the trial's spans belong.

    ``traceparent`` is the W3C header of the trial's trace; ``otlp_endpoint`` the loopback
    receiver's base URL, for targets outside this process. ``timeout`` is in seconds.
    """

    case: str
    trial: int
    trace_id: str
    traceparent: str
    settings: Mapping[str, Setting]
    timeout: float
    otlp_endpoint: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a target returned. A target that holds recordings also gives the trajectory."""

    output: Any
    trajectory: Trajectory | None = None


@runtime_checkable
class Target(Protocol):
    """Reaches the pipeline once per trial; built as ``Target(pipeline, folder)``.

    ``folder`` is the suite's. Called concurrently on one event loop. Raises
    :class:`evalkit.errors.TargetError` for infrastructure failures; a cancelled call must
    release what it holds. ``spans_from`` says where its spans arrive: ``process`` (this one's
    OpenTelemetry SDK), ``otlp`` (the run's loopback receiver) or ``recording``.
    """

    spans_from: str

    async def __call__(self, case_input: Any, context: TrialContext) -> Answer: ...

    async def close(self) -> None: ...


class TargetFactory(Protocol):
    """What a target's entry point names, usually its class."""

    def __call__(self, pipeline: Pipeline, folder: str, /) -> Target: ...


class Executor(Protocol):
    """Runs jobs, at most ``concurrency`` at once, and gives each to ``done`` as it ends."""

    async def __call__(
        self,
        jobs: Iterable[Any],
        work: Callable[[Any], Awaitable[Any]],
        concurrency: int,
    ) -> None: ...


class Reporter(Protocol):
    """Renders a report as text; writes nothing itself."""

    def __call__(self, report: Any, /) -> str: ...


__all__: Sequence[str] = (
    "Answer",
    "Convention",
    "Executor",
    "Reading",
    "Reporter",
    "Scorer",
    "Target",
    "TargetFactory",
    "TrialContext",
)
