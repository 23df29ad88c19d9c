"""One trial, whole: the pipeline is called, its spans read, and the trajectory scored."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from evalkit import end_states, plugins, scoring
from evalkit.capture import Capture, open_capture
from evalkit.dataset import Case
from evalkit.errors import TargetError
from evalkit.protocols import Answer, Target, TrialContext
from evalkit.results import Score, Trial
from evalkit.spans import Span
from evalkit.suite import Setting, Suite
from evalkit.tracing.normalizer import to_trajectory
from evalkit.tracing.secrecy import redacted
from evalkit.trajectory import EndState, Trajectory


class Attempt(NamedTuple):
    """What one call of the pipeline gave: an answer, or why there is none; and its spans."""

    started: float
    latency_s: float
    spans: list[Span]
    answer: Answer | None = None
    failure: TargetError | None = None
    state: EndState | None = None


@contextmanager
def open_trials(
    suite: Suite,
    folder: Path,
    settings: Mapping[str, Setting],
    store: Path | None,
    *,
    scored: bool = True,
) -> Iterator[Trials]:
    """The trials of a suite, while its spans are captured; with scores, unless not asked for.

    Everything that can be wrong with the pipeline's address and the scorers goes wrong here,
    before anything is called: raises InputError.
    """
    factory = plugins.load("target", suite.pipeline.target)
    with open_capture(factory.spans_from) as capture:
        target: Target = factory(suite.pipeline, str(folder))
        uses = suite.scorer_uses if scored else ()
        scorers = scoring.bind(uses, suite.effects, folder, store=store)
        read_state = None if suite.state is None else end_states.load(suite.state, folder)
        capture.ready()
        yield Trials(suite, settings, target, capture, scorers, read_state)


class Trials:
    """Tries cases: :meth:`attempt` calls the pipeline, :meth:`judge` makes a Trial of it.

    They are two, so that a slot is free for the next call while the last one is judged.
    """

    def __init__(
        self,
        suite: Suite,
        settings: Mapping[str, Setting],
        target: Target,
        capture: Capture,
        scorers: Sequence[scoring.BoundScorer],
        read_state: end_states.ReadState | None = None,
    ) -> None:
        self.capture = capture
        self._read_state = read_state
        self._suite, self._settings = suite, settings
        self._target, self._scorers = target, scorers
        self._replays = target.spans_from == "recording"

    def with_settings(self, settings: Mapping[str, Setting]) -> Trials:
        """The same pipeline, called with other settings; what it holds is shared."""
        return Trials(
            self._suite, settings, self._target, self.capture, self._scorers, self._read_state
        )

    async def close(self) -> None:
        """Lets go of what the target holds."""
        await self._target.close()

    async def try_once(self, case: Case, trial: int) -> Trial:
        """Attempts a case and judges what came of it."""
        return await self.judge(case, trial, *await self.attempt(case, trial))

    async def attempt(self, case: Case, trial: int) -> tuple[int, Attempt]:
        """Calls the pipeline, again after an infrastructure failure, never after an answer."""
        retries = self._suite.pipeline.retries
        for number in range(retries + 1):
            attempt = await self._call(case, trial)
            if attempt.failure is None or number == retries:
                break
            await asyncio.sleep(random.uniform(0.5, 1) * 2**number / 4)  # noqa: S311 - jitter
        return number + 1, attempt

    async def _call(self, case: Case, trial: int) -> Attempt:
        timeout = self._suite.pipeline.timeout
        with self.capture.trial() as trace:
            context = TrialContext(
                case=case.id,
                trial=trial,
                trace_id=trace.trace_id,
                traceparent=trace.traceparent,
                settings=self._settings,
                timeout=timeout,
                otlp_endpoint=self.capture.otlp_endpoint,
            )
            started, clock = time.time(), time.perf_counter()
            answer, failure = None, None
            try:
                answer = await _within(timeout, self._target(as_json(case.input), context))
            except TargetError as error:
                failure = error
            latency = time.perf_counter() - clock
            attempt = Attempt(started, latency, await trace.spans(), answer, failure)
        if answer is None or self._read_state is None:
            return attempt
        state = await end_states.read(self._read_state, as_json(case.input), context, answer.output)
        return attempt._replace(state=state)

    async def judge(self, case: Case, trial: int, attempts: int, attempt: Attempt) -> Trial:
        """The trial as it is stored. Only a trial that completed is scored."""
        answer, failure = attempt.answer, attempt.failure
        output = None
        if answer is not None:
            try:
                output = as_json(answer.output)
            except ValueError as error:
                failure = TargetError("unserializable", str(error))
        trajectory = answer.trajectory if answer else None
        if trajectory is None:
            trajectory = to_trajectory(
                redacted(attempt.spans)[0],
                output=output,
                route_from=self._suite.route_from,
                prices=self._suite.prices,
            )
        if attempt.state is not None:
            trajectory = msgspec.structs.replace(trajectory, state=attempt.state)
        if failure is None and not trajectory.steps and not _is_whole(case, answer, trajectory):
            failure = TargetError("no_trace", _why_no_trace(trajectory))
        scores: tuple[Score, ...] = ()
        if failure is None:
            scores = await scoring.score_trial_async(case, trajectory, self._scorers)
        return Trial(
            case=case.id,
            trial=trial,
            route=case.route,
            # What TargetError documents, and errors stand above the results that name it.
            status=failure.status if failure else "completed",  # type: ignore[arg-type]
            error=str(failure) if failure else None,
            attempts=attempts,
            started=attempt.started,
            # How long a recording took to read says nothing of what it records.
            latency_s=trajectory.seconds if self._replays else attempt.latency_s,
            trajectory=trajectory,
            scores=scores,
        )


async def _within(timeout: float, call: Any) -> Answer:
    """The target's answer; TargetError after ``timeout`` seconds, also if it ignores cancelling."""
    task: asyncio.Task[Answer] = asyncio.ensure_future(call)
    try:
        await asyncio.wait({task}, timeout=timeout)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.done():
        return task.result()
    task.cancel()
    raise TargetError("timeout", f"no answer within {timeout:g} s")


def as_json(output: Any) -> Any:
    """What a pipeline takes or returned as plain JSON values, its own. ValueError: what cannot be.

    Dataclasses, msgspec records and pydantic models are taken by their fields.
    """
    try:
        return msgspec.json.decode(msgspec.json.encode(output, enc_hook=_fields))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise ValueError(
            f"the pipeline returned what is not JSON: {type(output).__name__}: {error}"
        ) from None


def _fields(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _is_whole(case: Case, answer: Answer | None, trajectory: Trajectory) -> bool:
    """Whether a trace without steps tells that nothing was done: a recording says so itself, and
    of a pipeline it is believed where the case asks for just that."""
    lost = trajectory.coverage.not_understood or trajectory.coverage.quarantined
    recorded = answer is not None and answer.trajectory is not None
    return not lost and (recorded or case.expect.calls_nothing)


def _why_no_trace(trajectory: Trajectory) -> str:
    coverage = trajectory.coverage
    if coverage.not_understood:
        keys = ", ".join(coverage.unknown_keys) or "none"
        return (
            f"{coverage.not_understood} spans arrived, but none is of a known convention"
            f" (attribute keys: {keys})"
        )
    return (
        "no span arrived: instrument the pipeline with OpenTelemetry (OpenInference or GenAI"
        " conventions), or put evalkit.step() on its functions"
    )
