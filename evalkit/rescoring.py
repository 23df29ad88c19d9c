"""rescore(): stored trajectories -> scores by changed scorers or cases, as a run of their own."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from msgspec.structs import replace

from evalkit import scoring
from evalkit.check import guesses, load_suite
from evalkit.dataset import Case
from evalkit.errors import InputError
from evalkit.files import LoadedSuite
from evalkit.journal import Journal
from evalkit.measurement import name_some
from evalkit.planning import version
from evalkit.results import PlannedCase, Run, Trial, new_run_id
from evalkit.store import Store

SUFFIX = "+rescored"
BATCH = 256
RECORDED = frozenset({"reward"})
"""Scores that come with recordings; no scorer of a suite gives them."""


def load_for(run: Run, suite: Path | None = None) -> LoadedSuite:
    """The suite to score with: the one given, else the run's own, as its file says now.

    Raises InputError where the run does not say, FileError where the files are wrong.
    """
    path = suite or (Path(run.suite_path) if run.suite_path else None)
    if path is None:
        raise InputError(f"run {run.id} does not say which suite file it is of: give --suite")
    return load_suite(path)


def rescore(
    store: Path, run_id: str, loaded: LoadedSuite, *, label: str | None = None, concurrency: int = 8
) -> Run:
    """Scores the stored trials of a run again, and stores them as a run of their own.

    Nothing is executed. The new run says which run it is from (``rescored_from``); its label is
    the old one with ``+rescored`` unless given. Trials that did not complete stay as they are; a
    reward that came with the recording is kept. Cases that the dataset no longer has are left out,
    new ones are not tried: the run's notes say which. Raises InputError for an
    unfinished run, no case in common, or a case whose input changed: its trajectory answers
    another question.
    """
    opened = Store(store)
    origin = opened.find(run_id)
    if origin.status != "complete":
        raise InputError(f"run {origin.id} is {origin.status}: complete it first (--resume)")
    suite = loaded.suite
    cases = _cases(origin, loaded)
    scorers = scoring.bind(suite.scorer_uses, suite.effects, loaded.folder, store=store)
    run = _planned(origin, loaded, cases, label)
    with Journal.start(store, run) as journal:
        try:
            for batch in _batches(opened.trials(origin.id), cases):
                journal.extend(asyncio.run(_scored(batch, cases, scorers, concurrency)))
            finished = journal.finish(stray_spans=origin.stray_spans)
        except BaseException:
            journal.close()
            shutil.rmtree(journal.folder, ignore_errors=True)
            raise
    opened.add(finished.id)
    return finished


def _cases(origin: Run, loaded: LoadedSuite) -> dict[str, Case]:
    """The cases to score, in the run's order; those that both the run and the dataset have."""
    now = {case.id: case for case in loaded.dataset}
    found = {planned.id: now[planned.id] for planned in origin.planned if planned.id in now}
    if not found:
        raise InputError(
            f"run {origin.id} and {loaded.dataset.path} have no case in common: is it its dataset?"
        )
    asked = {planned.id: planned.input_digest for planned in origin.planned}
    other = [name for name, case in found.items() if asked[name] not in (None, case.input_digest)]
    if other:
        listed = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
        raise InputError(
            f"the input of {listed} is not what run {origin.id} was asked: run the suite again"
        )
    return found


def _planned(origin: Run, loaded: LoadedSuite, cases: Mapping[str, Case], label: str | None) -> Run:
    now = time.time()
    then = guesses(loaded._replace(suite=origin.suite))
    return replace(
        origin,
        id=new_run_id(now),
        label=label or f"{origin.label.removesuffix(SUFFIX)}{SUFFIX}",
        suite=loaded.suite,
        suite_path=str(loaded.path),
        dataset_path=loaded.dataset.path,
        dataset_digest=loaded.dataset.digest,
        planned=tuple(PlannedCase.of(case) for case in cases.values()),
        rescored_from=origin.id,
        started=now,
        finished=None,
        evalkit_version=version(),
        scopes={},
        stray_spans=0,
        notes=(
            *guesses(loaded),
            *_not_scored(origin, loaded),
            *(note for note in origin.notes if note not in then),
        ),
    )


def _not_scored(origin: Run, loaded: LoadedSuite) -> Iterator[str]:
    """The cases that only the run has, or only the dataset."""
    then = [planned.id for planned in origin.planned]
    now = {case.id for case in loaded.dataset}
    if gone := [case for case in then if case not in now]:
        yield f"cases left out, which the dataset no longer has ({len(gone)}): {name_some(gone)}"
    new = [case.id for case in loaded.dataset if case.id not in then]
    if new and not origin.selection:
        yield f"cases not tried, which are new in the dataset ({len(new)}): {name_some(new)}"


def _batches(trials: Iterable[Trial], cases: Mapping[str, Case]) -> Iterator[list[Trial]]:
    wanted = (trial for trial in trials if trial.case in cases)
    while batch := list(islice(wanted, BATCH)):
        yield batch


async def _scored(
    trials: Sequence[Trial],
    cases: Mapping[str, Case],
    scorers: Sequence[scoring.BoundScorer],
    concurrency: int,
) -> list[Trial]:
    room = asyncio.Semaphore(concurrency)

    async def score(trial: Trial) -> Trial:
        case = cases[trial.case]
        if trial.status != "completed" or trial.trajectory is None:
            return replace(trial, route=case.route)
        async with room:
            found = await scoring.score_trial_async(case, trial.trajectory, scorers)
        given = {score.scorer for score in found}
        kept = tuple(one for one in trial.scores if one.scorer in RECORDED - given)
        return replace(trial, route=case.route, scores=(*kept, *found))

    return await asyncio.gather(*map(score, trials))
