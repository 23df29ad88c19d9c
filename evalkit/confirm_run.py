"""Tries suspicious cases again in both arms, for a gate that confirms before it alarms.

The candidate's arm is the pipeline that is here, with the candidate's settings. The baseline's is
the same pipeline with the settings stored with its run, or that of another checkout in a process
of its own, or one that answers at a URL. Both are tried in turn, trial by trial, so that whatever
happens outside meets both alike, and both are judged by the scorers that are here. What was tried
is kept as two further runs, labelled ``LABEL (confirm)``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from msgspec.structs import replace

from evalkit import scoring
from evalkit.budget import Budget
from evalkit.check import check_pipeline
from evalkit.checkouts import CannotRerunError, Checkout, CheckoutArm, locate
from evalkit.confirming import Row
from evalkit.dataset import Case
from evalkit.errors import InputError
from evalkit.executors import run_concurrently
from evalkit.files import LoadedSuite
from evalkit.journal import Journal
from evalkit.results import CONFIRMING, Run, Trial, new_run_id
from evalkit.store import Store
from evalkit.suite import Confirm, Suite
from evalkit.trials import Trials, open_trials

__all__ = ("CannotRerunError", "Rerunner", "Url", "keep", "open_rerunner", "source", "why_not")

OnTrial = Callable[[int], None]
"""Told how many trials were made again so far, over both arms."""


class Url(NamedTuple):
    """The baseline answers over HTTP, as ``pipeline.http`` does."""

    address: str

    @property
    def shown(self) -> str:
        """Without a user and password, which may stand in it."""
        parts = urlsplit(self.address)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


Source = Checkout | Url | None
"""Where the baseline is run again from; None: here, with the settings stored with its run."""


def source(
    loaded: LoadedSuite, checkout: Path | None, python: Path | None, url: str | None
) -> Source:
    """Where the baseline is run again from, by these options; InputError for what cannot be."""
    if checkout and url:
        raise InputError("--baseline-checkout and --baseline-url: the baseline is one of the two")
    if python and not checkout:
        raise InputError("--baseline-python is the interpreter of a --baseline-checkout")
    if url:
        try:
            check_pipeline(_at(loaded.suite, Url(url)).pipeline, loaded.folder)
        except InputError as error:
            raise InputError(f"--baseline-url {error}") from None
        return Url(url)
    return locate(loaded.path, checkout, python) if checkout else None


def why_not(candidate: Run, baseline: Run, policy: Confirm, source: Source = None) -> str | None:
    """Why the baseline cannot be run again, as a sentence; None where it can.

    From a checkout or a URL it can. Else it can where the two runs differ in their settings
    alone: where the code is what changed, the checkout that is here is the candidate's, and
    running it twice would never show a difference.
    """
    if not policy.enabled:
        return "re-runs are switched off"
    if candidate.suite.pipeline.target == "traces":
        return "recorded traces cannot be run again"
    if source is not None:
        return None
    if baseline.suite.pipeline.target == "traces":
        return "recorded traces cannot be run again"
    if replace(candidate.suite.pipeline, settings={}) != replace(
        baseline.suite.pipeline, settings={}
    ):
        return "the pipeline is reached in another way than the baseline's"
    if _code(candidate) != _code(baseline):
        return (
            f"the code changed since the baseline ({_code(baseline)} → {_code(candidate)}), and "
            "neither --baseline-checkout nor --baseline-url says where the old code is"
        )
    if candidate.settings == baseline.settings:
        return (
            "the runs are of the same commit and settings, so that both versions would be one and "
            "the same. Where something else changed, --baseline-checkout or --baseline-url says "
            "where the old version is"
        )
    return None


def _code(run: Run) -> str:
    changes = f" with changes {run.uncommitted}" if run.uncommitted else ""
    return f"commit {run.commit or 'unknown'}{changes}"


def _taken_on_trust(candidate: Run, baseline: Run, source: Source) -> str | None:
    """What nobody can check of a baseline that is run again: the note that says so."""
    if isinstance(source, Url):
        return (
            f"where cases are tried again, the baseline is what answers at {source.shown}: that "
            "this is its version is taken on trust"
        )
    if isinstance(source, Checkout):
        found = f"{source.root} at commit {source.commit or 'unknown'}"
        found += " with uncommitted changes" if source.uncommitted else ""
        other = f"; its stored trials are of {_code(baseline)}"
        same = (source.commit, source.uncommitted) == (baseline.commit, baseline.uncommitted)
        return f"where cases are tried again, the baseline is {found}" + ("" if same else other)
    if candidate.suite.pipeline.target == "http":
        return (
            "where cases are tried again, the baseline is its settings at the same address: that "
            "the same code answers there as did for the baseline is taken on trust"
        )
    if candidate.commit is None:
        return (
            "where cases are tried again, the baseline is its settings with the code that is here:"
            " this is no git checkout, so that the code did not change is taken on trust"
        )
    return None


class Arm(Protocol):
    """One of the two versions, to be tried again. Used on one event loop.

    ``ended`` is empty, or says why there is nothing more to be had of it.
    """

    ended: str

    async def open(self) -> None:
        """Makes it ready; CannotRerunError where that fails."""
        ...

    async def try_once(self, case: Case, number: int) -> Trial:
        """One trial, scored; infrastructure failures are trials too."""
        ...

    async def close(self) -> None: ...


class _Here:
    """The pipeline reached from this process."""

    def __init__(self, trials: Trials, *, closes: bool = True) -> None:
        self.ended = ""
        self.try_once = trials.try_once
        self._trials, self._closes = trials, closes

    async def open(self) -> None:
        """It was made ready when its trials were."""

    async def close(self) -> None:
        if self._closes:
            await self._trials.close()


class Rerunner:
    """The callback of :func:`evalkit.confirming.confirm`; ``made`` are its trials, baseline first.

    Made by :func:`open_rerunner`. A budget of ``policy`` that is spent ends the re-runs, and so
    does Ctrl-C. ``notes`` grow with what a reader of the decision must know of them.
    """

    def __init__(
        self,
        loaded: LoadedSuite,
        arms: tuple[Arm, Arm],
        policy: Confirm,
        concurrency: int,
        on_trial: OnTrial | None,
    ) -> None:
        self.made: tuple[list[Trial], list[Trial]] = ([], [])
        self.notes: list[str] = []
        self._cases = {case.id: case for case in loaded.dataset}
        self._arms, self._budget = arms, Budget(policy)
        self._concurrency, self._on_trial = concurrency, on_trial
        self._loop = asyncio.Runner()
        self._tried: dict[str, int] = {}
        self._is_open = False
        self._why_cut = ""

    def __call__(self, wanted: Mapping[str, int]) -> tuple[list[Row], list[Row]] | None:
        """Tries each case so often in each arm; None where the time or money is spent.

        The trials of a round that was cut are kept, and told in a note; none of them count.

        Raises CannotRerunError where an arm cannot be made ready: nothing was tried then.
        """
        start = tuple(len(arm) for arm in self.made)
        if self._why_cut:
            return None
        self._why_cut = self._why_over()
        if self._why_cut:
            self._tell_end(unfinished=0)
            return None
        first = {case: self._tried.get(case, 0) for case in wanted}
        jobs = [
            (arm, case, first[case] + number)
            for number in range(max(wanted.values(), default=0))
            for case, trials in wanted.items()
            if number < trials
            for arm in ((0, 1) if number % 2 == 0 else (1, 0))
        ]
        try:
            self._loop.run(self._try_all(jobs))
        except KeyboardInterrupt:
            self._why_cut = "they were interrupted"
        else:
            self._tell_failures(start)
        if self._why_cut:
            self._tell_end(unfinished=sum(map(len, self.made)) - sum(start))
            return None
        for case, trials in wanted.items():
            self._tried[case] = first[case] + trials
        before, after = (
            [row for trial in made[begin:] for row in _rows(trial, first[trial.case])]
            for made, begin in zip(self.made, start, strict=True)
        )
        return before, after

    def close(self) -> None:
        """Lets go of both arms."""
        for arm in self._arms:
            self._loop.run(arm.close())
        self._loop.close()

    async def _try_all(self, jobs: list[tuple[int, str, int]]) -> None:
        if not self._is_open:
            for arm in self._arms:
                await arm.open()
            self._is_open = True
        await run_concurrently(jobs, self._try, self._concurrency)

    async def _try(self, job: tuple[int, str, int]) -> None:
        arm, name, number = job
        self._why_cut = self._why_cut or self._why_over()
        if self._why_cut:  # what is left would be paid for in vain
            return
        trial = await self._arms[arm].try_once(self._cases[name], number)
        self.made[arm].append(trial)
        self._budget.pay(trial)
        if self._on_trial:
            self._on_trial(sum(len(made) for made in self.made))

    def _tell_end(self, unfinished: int) -> None:
        """A note of why there will be no more, with the trials of a round that was cut."""
        note = (
            f"the re-runs ended after {sum(map(len, self.made))} trials of both versions: "
            f"{self._why_cut}. What they had not settled is inconclusive"
        )
        if unfinished:
            note += f"; the last {unfinished}, of a round not finished, are kept and do not count"
        self.notes.append(note)

    def _tell_failures(self, start: tuple[int, ...]) -> None:
        """A note per arm whose trials failed for infrastructure reasons in this round."""
        for name, made, begin in zip(("baseline", "candidate"), self.made, start, strict=True):
            failed = [trial for trial in made[begin:] if trial.status != "completed"]
            if failed:
                self.notes.append(
                    f"{name}: {len(failed)} of {len(made) - begin} re-run trials failed for "
                    f"infrastructure reasons; the last: {failed[-1].status}: {failed[-1].error}"
                )

    def _why_over(self) -> str:
        """Why no further trial is begun: a budget, or an arm that has nothing more to give."""
        return self._budget.over or next((arm.ended for arm in self._arms if arm.ended), "")


@contextmanager
def open_rerunner(
    loaded: LoadedSuite,
    candidate: Run,
    baseline: Run,
    policy: Confirm,
    *,
    store: Path,
    source: Source = None,
    concurrency: int | None = None,
    on_trial: OnTrial | None = None,
) -> Iterator[Rerunner]:
    """Reaches both versions again. Raises as :func:`evalkit.runner.run` does.

    A checkout's process starts with the first trial that is asked for.
    """
    suite = candidate.suite
    with ExitStack() as stack:
        after = stack.enter_context(open_trials(suite, loaded.folder, candidate.settings, store))
        before: Arm
        if isinstance(source, Checkout):
            scorers = scoring.bind(suite.scorer_uses, suite.effects, loaded.folder, store=store)
            before = CheckoutArm(source, baseline.settings, scorers, candidate.evalkit_version)
        elif isinstance(source, Url):
            there = open_trials(_at(suite, source), loaded.folder, baseline.settings, store)
            before = _Here(stack.enter_context(there))
        else:
            before = _Here(after.with_settings(baseline.settings), closes=False)
        rerunner = Rerunner(
            loaded,
            (before, _Here(after)),
            policy,
            concurrency or suite.pipeline.concurrency,
            on_trial,
        )
        if trust := _taken_on_trust(candidate, baseline, source):
            rerunner.notes.append(trust)
        try:
            yield rerunner
        finally:
            rerunner.close()


def _at(suite: Suite, url: Url) -> Suite:
    """The suite with its pipeline at another address."""
    pipeline = replace(suite.pipeline, call=None, command=None, traces=None, http=url.address)
    return replace(suite, pipeline=pipeline)


def keep(
    rerunner: Rerunner, candidate: Run, baseline: Run, store: Path, source: Source = None
) -> tuple[Run, ...]:
    """Stores what was tried again as two runs, baseline's first; none where nothing was."""
    if isinstance(source, Checkout):
        made_of = {"commit": source.commit, "uncommitted": source.uncommitted}
        baseline = replace(baseline, **made_of)
    elif isinstance(source, Url):
        baseline = replace(baseline, commit=None, uncommitted=None)
    arms = zip((baseline, candidate), rerunner.made, strict=True)
    return tuple(_keep(run, made, candidate, store) for run, made in arms if made)


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
            commit=run.commit,
            uncommitted=run.uncommitted,
            planned=tuple(case for case in candidate.planned if case.id in tried),
            trials=1 + max(trial.trial for trial in made),
            started=min((trial.started for trial in made if trial.started), default=now),
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
