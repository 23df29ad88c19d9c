"""Runs of parts of a dataset, from a CI matrix, become one run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain

import msgspec

from evalkit.errors import InputError
from evalkit.journal import Journal
from evalkit.results import Run, Selection, new_run_id
from evalkit.store import Store


def merge(store: Store, run_ids: Sequence[str], label: str | None = None) -> Run:
    """A new run with the trials of all ``run_ids``, which are left as they are.

    ``label`` defaults to theirs. Raises InputError unless all are complete, of one suite, dataset,
    settings and number of trials, and no case is in two of them.
    """
    runs = [store.find(run_id) for run_id in run_ids]
    if len(runs) < 2:
        raise InputError("merging takes two runs or more")
    first = runs[0]
    for run in runs:
        if run.status != "complete":
            raise InputError(f"run {run.id} is {run.status}: complete it with --resume")
        for what in ("suite", "dataset_digest", "settings", "trials", "commit"):
            if getattr(run, what) != getattr(first, what):
                raise InputError(f"runs {first.id} and {run.id} differ in {what}: not one run")
    planned = [case for run in runs for case in run.planned]
    seen: set[str] = set()
    for case in planned:
        if case.id in seen:
            raise InputError(f"case {case.id!r} is in two of the runs: shards share no case")
        seen.add(case.id)
    now = time.time()
    merged = msgspec.structs.replace(
        first,
        id=new_run_id(now),
        label=label or first.label,
        planned=tuple(planned),
        selection=_selection(runs),
        started=min(run.started for run in runs),
        finished=None,
        stray_spans=0,
        notes=tuple(dict.fromkeys(note for run in runs for note in run.notes)),
    )
    with Journal.start(store.path, merged) as journal:
        journal.extend(chain.from_iterable(store.trials(run.id) for run in runs))
        finished = journal.finish(stray_spans=sum(run.stray_spans for run in runs))
    store.add(finished.id)
    return finished


def _selection(runs: Sequence[Run]) -> Selection:
    """What the shards together were asked for: without their shard, if all shards are there."""
    shards = [run.selection.shard for run in runs]
    whole = msgspec.structs.replace(runs[0].selection, shard=None)
    count = str(shards[0] or "").partition("/")[2]
    if count and set(shards) == {f"{k}/{count}" for k in range(1, int(count) + 1)}:
        return whole
    return Selection(cases=tuple(case.id for run in runs for case in run.planned))
