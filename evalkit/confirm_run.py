"""Tries suspicious cases again in both arms, for a gate that confirms before it alarms.

Both arms are the pipeline that is there now, each with the settings stored with its run, trial
by trial in turn, so that whatever happens outside meets both alike. What was tried is kept as
two further runs, labelled ``LABEL (confirm)``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from evalkit.confirming import Row
from evalkit.executors import run_concurrently
from evalkit.files import LoadedSuite
from evalkit.journal import Journal
from evalkit.results import CONFIRMING, Run, Trial, new_run_id
from evalkit.store import Store
from evalkit.suite import Confirm
from evalkit.trials import Trials, open_trials

OnTrial = Callable[[int], None]
"""Told how many trials were made again so far, over both arms."""


def why_not(candidate: Run, baseline: Run, policy: Confirm) -> str | None:
    """Why the baseline cannot be run again from here, as a sentence; None where it can.

    It can where the two runs differ in their settings alone. Where the code is what changed, the
    checkout that is here is the candidate's: running it twice would never show a difference.
    """
    if not policy.enabled:
        return "re-runs are switched off"
    if candidate.suite.pipeline.target == "traces" or baseline.suite.pipeline.target == "traces":
        return "recorded traces cannot be run again"
    if replace(candidate.suite.pipeline, settings={}) != replace(
        baseline.suite.pipeline, settings={}
    ):
        return "the pipeline is reached in another way than the baseline's"
    if candidate.commit != baseline.commit:
        return (
            f"the code changed since the baseline (commit {baseline.commit or 'unknown'} → "
            f"{candidate.commit or 'unknown'})"
        )
    if candidate.settings == baseline.settings:
        return "both runs have the same settings and commit, so that one cannot stand for the other"
    return None


def without_reruns(why: str) -> str:
    """The note of a gate that decides on the stored trials alone."""
    return (
        f"no re-runs: {why}. Decided on the stored trials alone: the false-alarm rate holds only if"
        " nothing but the pipeline differed while the two runs were made, and small drops or single"
        " broken cases are found less often (docs/gate.md)"
    )


class Rerunner:
    """The callback of :func:`evalkit.confirming.confirm`; ``made`` are its trials, baseline first.

    Made by :func:`open_rerunner`. A budget of ``policy`` that is spent ends the re-runs.
    """

    def __init__(
        self,
        loaded: LoadedSuite,
        arms: tuple[Trials, Trials],
        policy: Confirm,
        concurrency: int,
        on_trial: OnTrial | None,
    ) -> None:
        self.made: tuple[list[Trial], list[Trial]] = ([], [])
        self._cases = {case.id: case for case in loaded.dataset}
        self._arms, self._policy = arms, policy
        self._concurrency, self._on_trial = concurrency, on_trial
        self._began = time.monotonic()
        self._loop = asyncio.Runner()
        self._tried: dict[str, int] = {}

    def __call__(self, wanted: Mapping[str, int]) -> tuple[list[Row], list[Row]] | None:
        """Tries each case so often in each arm; None where the time or money is spent."""
        if self._spent():
            return None
        first = {case: self._tried.get(case, 0) for case in wanted}
        jobs = [
            (arm, case, first[case] + number)
            for number in range(max(wanted.values(), default=0))
            for case, trials in wanted.items()
            if number < trials
            for arm in ((0, 1) if number % 2 == 0 else (1, 0))
        ]
        start = tuple(len(arm) for arm in self.made)
        self._loop.run(run_concurrently(jobs, self._try, self._concurrency))
        for case, trials in wanted.items():
            self._tried[case] = first[case] + trials
        before, after = (
            [row for trial in made[begin:] for row in _rows(trial, first[trial.case])]
            for made, begin in zip(self.made, start, strict=True)
        )
        return before, after

    def close(self) -> None:
        """Lets go of the pipeline."""
        self._loop.run(self._arms[0].close())
        self._loop.close()

    async def _try(self, job: tuple[int, str, int]) -> None:
        arm, name, number = job
        case, trials = self._cases[name], self._arms[arm]
        self.made[arm].append(await trials.judge(case, number, *await trials.attempt(case, number)))
        if self._on_trial:
            self._on_trial(sum(len(made) for made in self.made))

    def _spent(self) -> bool:
        seconds, dollars = self._policy.max_seconds, self._policy.max_usd
        if seconds is not None and time.monotonic() - self._began >= seconds:
            return True
        costs = (
            trial.trajectory.cost_usd or 0.0
            for made in self.made
            for trial in made
            if trial.trajectory
        )
        return dollars is not None and sum(costs) >= dollars


@contextmanager
def open_rerunner(
    loaded: LoadedSuite,
    candidate: Run,
    baseline: Run,
    policy: Confirm,
    *,
    store: Path,
    concurrency: int | None = None,
    on_trial: OnTrial | None = None,
) -> Iterator[Rerunner]:
    """Reaches the pipeline again, for both runs. Raises as :func:`evalkit.runner.run` does."""
    suite = candidate.suite
    with open_trials(suite, loaded.folder, candidate.settings, store) as trials:
        rerunner = Rerunner(
            loaded,
            (trials.with_settings(baseline.settings), trials),
            policy,
            concurrency or suite.pipeline.concurrency,
            on_trial,
        )
        try:
            yield rerunner
        finally:
            rerunner.close()


def keep(rerunner: Rerunner, candidate: Run, baseline: Run, store: Path) -> tuple[Run, ...]:
    """Stores what was tried again as two runs, baseline's first; none where nothing was."""
    kept = []
    for run, made in zip((baseline, candidate), rerunner.made, strict=True):
        if made:
            kept.append(_keep(run, made, candidate, store))
    return tuple(kept)


def _keep(run: Run, made: list[Trial], candidate: Run, store: Path) -> Run:
    now = time.time()
    tried = {trial.case for trial in made}
    journal = Journal.start(
        store,
        replace(
            candidate,
            id=new_run_id(now),
            label=run.label + CONFIRMING,
            settings=run.settings,
            planned=tuple(case for case in candidate.planned if case.id in tried),
            trials=1 + max(trial.trial for trial in made),
            started=min((trial.started for trial in made), default=now),
            finished=None,
        ),
    )
    with journal:
        journal.extend(made)
        finished = journal.finish()
    Store(store).add(finished.id)
    return finished


def _rows(trial: Trial, first: int) -> Iterator[Row]:
    """The scores of one trial, numbered from 0 within this re-run."""
    if trial.status != "completed":
        return
    for score in trial.scores:
        if score.value is not None and score.passed is not None:
            yield Row(
                trial.route,
                trial.case,
                trial.trial - first,
                score.scorer,
                score.value,
                score.passed,
            )
