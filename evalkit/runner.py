"""run(): target -> collector -> normalizer -> scorers -> journal."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from evalkit import plugins, scoring
from evalkit.capture import Capture, open_capture
from evalkit.dataset import Case
from evalkit.errors import IncompleteError, InputError, StoreError, TargetError
from evalkit.executors import run_concurrently
from evalkit.files import LoadedSuite
from evalkit.journal import Journal
from evalkit.planning import plan
from evalkit.protocols import Answer, Target, TrialContext
from evalkit.results import Run, Selection, Trial
from evalkit.spans import Span
from evalkit.store import Store
from evalkit.suite import Setting
from evalkit.tracing.normalizer import to_trajectory
from evalkit.trajectory import Trajectory

GIVE_UP_AFTER = 10
"""A pipeline whose first trials all fail, this many at least, is not tried any further."""

OnProgress = Callable[["Progress"], None]


class Progress(NamedTuple):
    """How far a run is. ``failed``: trials in which a gating scorer did not pass."""

    run_id: str
    done: int
    total: int
    failed: int
    infrastructure: int


class Attempt(NamedTuple):
    """What one call of the pipeline gave: an answer, or why there is none; and its spans."""

    started: float
    latency_s: float
    spans: list[Span]
    answer: Answer | None = None
    failure: TargetError | None = None


def run(
    loaded: LoadedSuite,
    *,
    label: str,
    store: Path,
    settings: Mapping[str, Setting] | None = None,
    trials: int | None = None,
    selection: Selection | None = None,
    concurrency: int | None = None,
    on_progress: OnProgress | None = None,
) -> Run:
    """Runs every selected case ``trials`` times, stores what was found, and returns the run.

    Raises InputError for what is wrong before anything runs, IncompleteError when the pipeline
    gives no answer at all or the store cannot be written. Ctrl-C leaves a run that
    :func:`resume` completes.
    """
    planned = plan(loaded, label=label, settings=settings, trials=trials, selection=selection)
    return _execute(
        loaded, planned, lambda: Journal.start(store, planned), store, concurrency, on_progress
    )


def resume(
    loaded: LoadedSuite,
    run_id: str,
    *,
    store: Path,
    concurrency: int | None = None,
    on_progress: OnProgress | None = None,
) -> Run:
    """Completes an interrupted run: trials that were finished are not repeated.

    Raises InputError if the run is complete, unknown, still going, or of another dataset.
    """
    planned = Store(store).find(run_id)
    if planned.dataset_digest != loaded.dataset.digest:
        raise InputError(
            f"run {run_id} was started on another version of {loaded.dataset.path}: "
            "their results would not belong together. Start a new run"
        )
    return _execute(
        loaded, planned, lambda: Journal.resume(store, planned.id), store, concurrency, on_progress
    )


def _execute(
    loaded: LoadedSuite,
    planned: Run,
    open_journal: Callable[[], Journal],
    store: Path,
    concurrency: int | None,
    on_progress: OnProgress | None,
) -> Run:
    suite = planned.suite
    factory = plugins.load("target", suite.pipeline.target)
    with open_capture(factory.spans_from) as capture:
        # Everything that can be wrong with the input goes wrong before a run folder exists.
        target: Target = factory(suite.pipeline, str(loaded.folder))
        scorers = scoring.bind(suite.scorer_uses, suite.effects, loaded.folder)
        capture.ready()
        journal = open_journal()
        session = _Session(planned, loaded, target, capture, scorers, journal, on_progress)
        try:
            asyncio.run(session.complete(concurrency or suite.pipeline.concurrency))
        except BaseException:
            with suppress(StoreError):  # the first failure is the one to tell
                journal.finish("interrupted", **session.seen())
            raise
        finished = journal.finish(**session.seen())
    Store(store).add(finished.id)
    return finished


class _Session:
    """The trials of one run, from the first call of the pipeline to the last journal entry."""

    def __init__(
        self,
        run: Run,
        loaded: LoadedSuite,
        target: Target,
        capture: Capture,
        scorers: Sequence[scoring.BoundScorer],
        journal: Journal,
        on_progress: OnProgress | None,
    ) -> None:
        cases = {case.id: case for case in loaded.dataset}
        self._scopes: dict[str, str] = {}
        self._run, self._suite = run, run.suite
        self._target, self._capture, self._scorers = target, capture, scorers
        self._journal, self._on_progress = journal, on_progress
        # Trial by trial over all cases, so that a drift during the run meets all cases alike.
        self._jobs = [
            (cases[planned.id], trial)
            for trial in range(run.trials)
            for planned in run.planned
            if (planned.id, trial) not in journal.finished
        ]
        self._done = len(journal.finished)
        self._failed = self._infrastructure = self._completed = 0

    def seen(self) -> dict[str, Any]:
        """What the whole run's spans tell, for the run's record."""
        return {
            "scopes": self._scopes,
            "stray_spans": self._capture.stray_spans,
            "notes": self._capture.notes,
        }

    async def complete(self, concurrency: int) -> None:
        """Runs every job. A slot is free for the next trial while the last one is judged."""
        self._report()
        answered: asyncio.Queue[tuple[Case, int, int, Attempt] | None]
        answered = asyncio.Queue(2 * concurrency)

        async def attempt(job: tuple[Case, int]) -> None:
            await answered.put((*job, *await self._attempt(*job)))

        async def judge() -> None:
            while (trial := await answered.get()) is not None:
                await self._judge(*trial)

        try:
            async with asyncio.TaskGroup() as group:
                judges = [group.create_task(judge()) for _ in range(concurrency)]
                await run_concurrently(self._jobs, attempt, concurrency)
                for _ in judges:
                    await answered.put(None)
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            await self._target.close()

    async def _attempt(self, case: Case, trial: int) -> tuple[int, Attempt]:
        """Calls the pipeline, again after an infrastructure failure, never after an answer."""
        retries = self._suite.pipeline.retries
        for number in range(retries + 1):
            attempt = await self._call(case, trial)
            if attempt.failure is None or number == retries:
                break
            await asyncio.sleep(random.uniform(0.5, 1) * 2**number / 4)  # noqa: S311
        return number + 1, attempt

    async def _call(self, case: Case, trial: int) -> Attempt:
        timeout = self._suite.pipeline.timeout
        with self._capture.trial() as trace:
            context = TrialContext(
                case=case.id,
                trial=trial,
                trace_id=trace.trace_id,
                traceparent=trace.traceparent,
                settings=self._run.settings,
                timeout=timeout,
                otlp_endpoint=self._capture.otlp_endpoint,
            )
            started, clock = time.time(), time.perf_counter()
            answer, failure = None, None
            try:
                answer = await _within(timeout, self._target(case.input, context))
            except TargetError as error:
                failure = error
            latency = time.perf_counter() - clock
            return Attempt(started, latency, await trace.spans(), answer, failure)

    async def _judge(self, case: Case, trial: int, attempts: int, attempt: Attempt) -> None:
        judged = self._judged(case, trial, attempts, attempt)
        await self._journal.append(judged)
        self._count(judged)
        self._report()

    def _judged(self, case: Case, trial: int, attempts: int, attempt: Attempt) -> Trial:
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
                attempt.spans,
                output=output,
                route_from=self._suite.route_from,
                prices=self._suite.prices,
            )
        if failure is None and not trajectory.steps:
            failure = TargetError("no_trace", _why_no_trace(trajectory))
        return Trial(
            case=case.id,
            trial=trial,
            route=case.route,
            status=failure.status if failure else "completed",  # type: ignore[arg-type]
            error=str(failure) if failure else None,
            attempts=attempts,
            started=attempt.started,
            latency_s=attempt.latency_s,
            trajectory=trajectory,
            scores=() if failure else scoring.score_trial(case, trajectory, self._scorers),
        )

    def _count(self, judged: Trial) -> None:
        self._done += 1
        gating = [score for score in judged.scores if score.scorer in self._suite.gate.on]
        self._failed += any(score.passed is False for score in gating)
        self._completed += judged.status == "completed"
        self._infrastructure += judged.status != "completed"
        if judged.trajectory:
            self._scopes.update(judged.trajectory.coverage.scopes)
        enough = max(GIVE_UP_AFTER, 2 * self._suite.pipeline.concurrency)
        if not self._completed and self._infrastructure >= enough:
            raise IncompleteError(
                f"the pipeline gives no answer: the first {self._infrastructure} trials all failed."
                f" The last, case {judged.case!r}: {judged.status}: {judged.error}"
            )

    def _report(self) -> None:
        if self._on_progress:
            total = len(self._run.planned) * self._run.trials
            self._on_progress(
                Progress(self._run.id, self._done, total, self._failed, self._infrastructure)
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
    """What a pipeline returned as plain JSON values. ValueError says what cannot be.

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
