"""run(): target -> collector -> normalizer -> scorers -> journal."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.dataset import Case
from evalkit.errors import IncompleteError, InputError, StoreError
from evalkit.executors import run_concurrently
from evalkit.files import LoadedSuite
from evalkit.journal import Journal
from evalkit.planning import plan
from evalkit.results import Run, Selection, Trial
from evalkit.store import Store
from evalkit.suite import Setting
from evalkit.trials import Attempt, Trials, open_trials

GIVE_UP_AFTER = 10
"""A pipeline whose first trials all fail, this many at least, is not tried any further."""

UNTOLD = {
    "tool calls": "no trajectory tells of tool calls: there are neither spans of tools nor what"
    " the models said: scorers that look for tools cannot judge",
    "arguments": "no trajectory tells the arguments of tools: scorers cannot judge them",
}
"""Words of :attr:`evalkit.trajectory.Coverage.missing` that a reader of the scores must know of."""

UNSEEN = (
    "no trial of this run has a span: nothing shows that the pipeline is instrumented, and not"
    " merely silent where the cases ask it to call nothing"
)

OnProgress = Callable[["Progress"], None]


class Progress(NamedTuple):
    """How far a run is. ``failed``: trials in which a gating scorer did not pass."""

    run_id: str
    done: int
    total: int
    failed: int
    infrastructure: int


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

    ``run_id`` may be a label too, where one run of it is not complete. Raises InputError if the
    run is complete, unknown, still going, or of another dataset.
    """
    planned = _unfinished(Store(store), run_id)
    if planned.dataset_digest != loaded.dataset.digest:
        raise InputError(
            f"run {planned.id} was started on another version of {loaded.dataset.path}: "
            "their results would not belong together. Start a new run"
        )
    return _execute(
        loaded, planned, lambda: Journal.resume(store, planned.id), store, concurrency, on_progress
    )


def _unfinished(store: Store, ref: str) -> Run:
    begun = [run for run in store.runs() if run.label == ref and run.status != "complete"]
    if len(begun) > 1:
        listed = ", ".join(run.id for run in begun)
        raise InputError(f"several runs {ref!r} are not complete: name one by its id, of {listed}")
    return begun[0] if begun else store.find(ref)


def _execute(
    loaded: LoadedSuite,
    planned: Run,
    open_journal: Callable[[], Journal],
    store: Path,
    concurrency: int | None,
    on_progress: OnProgress | None,
) -> Run:
    concurrency = concurrency or planned.suite.pipeline.concurrency
    with open_trials(planned.suite, loaded.folder, planned.settings, store) as trials:
        journal = open_journal()
        session = _Session(planned, loaded, trials, journal, on_progress)
        try:
            asyncio.run(session.complete(concurrency))
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
        trials: Trials,
        journal: Journal,
        on_progress: OnProgress | None,
    ) -> None:
        cases = {case.id: case for case in loaded.dataset}
        self._missing: Counter[str] = Counter()
        self._trajectories = self._spans = 0
        self._run, self._suite, self._trials = run, run.suite, trials
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
            "stray_spans": self._trials.capture.stray_spans,
            "notes": [*self._trials.capture.notes, *self._untold()],
        }

    def _untold(self) -> Iterator[str]:
        """What no trajectory of the run tells, and scorers of the path would look for."""
        whole = self._completed + self._infrastructure == len(self._run.planned) * self._run.trials
        if whole and self._completed and not (self._spans or self._suite.pipeline.traces):
            yield UNSEEN
        for word, said in UNTOLD.items():
            if self._trajectories and self._missing[word] == self._trajectories:
                yield said

    async def complete(self, concurrency: int) -> None:
        """Runs every job. A slot is free for the next trial while the last one is judged."""
        self._report()
        answered: asyncio.Queue[tuple[Case, int, int, Attempt] | None]
        answered = asyncio.Queue(2 * concurrency)

        async def attempt(job: tuple[Case, int]) -> None:
            await answered.put((*job, *await self._trials.attempt(*job)))

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
            await self._trials.close()

    async def _judge(self, case: Case, trial: int, attempts: int, attempt: Attempt) -> None:
        judged = await self._trials.judge(case, trial, attempts, attempt)
        await self._journal.append(judged)
        self._count(judged)
        self._report()

    def _count(self, judged: Trial) -> None:
        self._done += 1
        blocking = self._suite.gate.of(judged.route).on or ()
        gating = [score for score in judged.scores if score.scorer in blocking]
        self._failed += any(score.passed is False for score in gating)
        self._completed += judged.status == "completed"
        self._infrastructure += judged.status != "completed"
        if judged.trajectory:
            self._missing.update(set(judged.trajectory.coverage.missing))
            self._trajectories += bool(judged.trajectory.steps)
            self._spans += judged.trajectory.coverage.spans
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
