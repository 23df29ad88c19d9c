"""What a run will do, decided before anything runs: which cases, how often, with what settings."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Mapping

from evalkit import git
from evalkit.check import guesses
from evalkit.dataset import Case, Dataset
from evalkit.errors import InputError
from evalkit.files import LoadedSuite
from evalkit.results import PlannedCase, Run, Selection, new_run_id
from evalkit.suite import Setting, Suite

LISTED = 20
"""Names that an error lists at the most."""


def plan(
    loaded: LoadedSuite,
    *,
    label: str,
    settings: Mapping[str, Setting] | None = None,
    trials: int | None = None,
    selection: Selection | None = None,
) -> Run:
    """The run that these arguments ask for; InputError where no case is left or a name is wrong."""
    if not label.strip():
        raise InputError("a run needs a label, for instance --label main")
    if trials is not None and trials < 1:
        raise InputError(f"--trials {trials}: at least 1")
    suite, dataset = loaded.suite, loaded.dataset
    selection = selection or Selection()
    chosen = select(dataset, selection)
    now = time.time()
    return Run(
        id=new_run_id(now),
        label=label,
        suite=suite,
        suite_path=str(loaded.path),
        dataset_path=dataset.path,
        dataset_digest=dataset.digest,
        planned=tuple(PlannedCase.of(case) for case in chosen),
        trials=trials or suite.trials,
        settings=merge_settings(suite, settings or {}),
        # One that leaves no case out is none: such a run can be a baseline.
        selection=selection if len(chosen) < len(dataset) else Selection(),
        started=now,
        commit=git.commit(loaded.folder),
        uncommitted=git.uncommitted(loaded.folder),
        evalkit_version=version(),
        notes=tuple(guesses(loaded)),
    )


def select(dataset: Dataset, selection: Selection) -> tuple[Case, ...]:
    """The cases that a selection leaves, in file order. Zero cases is an error, never a pass."""
    for what, wanted, known in (
        ("route", selection.routes, {case.route for case in dataset}),
        ("case", selection.cases, {case.id for case in dataset}),
        ("tag", selection.tags, {tag for case in dataset for tag in case.tags}),
    ):
        for name in wanted:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                listed = "" if len(known) > LISTED else f" There are: {', '.join(sorted(known))}"
                raise InputError(f"no case has the {what} {name!r}.{hint}{listed}")
    chosen = [
        case
        for case in dataset
        if (not selection.routes or case.route in selection.routes)
        and (not selection.cases or case.id in selection.cases)
        and (not selection.tags or set(selection.tags) & set(case.tags))
    ]
    if selection.limit is not None:
        if selection.limit < 1:
            raise InputError(f"--limit {selection.limit}: at least 1")
        chosen = chosen[: selection.limit]
    if selection.shard is not None:
        part, parts = _shard(selection.shard)
        chosen = chosen[part - 1 :: parts]
    if not chosen:
        raise InputError(f"no case is left: none of {len(dataset)} has all of what was asked for")
    return tuple(chosen)


def _shard(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise InputError(f"--shard {text}: expected k/n, for instance 2/4")
    return int(part), int(parts)


def merge_settings(suite: Suite, changes: Mapping[str, Setting]) -> dict[str, Setting]:
    """The suite's settings with ``changes``; only a setting that the suite states can change."""
    declared = suite.pipeline.settings
    for key in changes:
        if key not in declared:
            close = difflib.get_close_matches(key, declared, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            known = ", ".join(declared) or "none"
            raise InputError(f"unknown setting {key!r}.{hint} pipeline.settings states: {known}")
    return {**declared, **changes}


def read_settings(pairs: list[str]) -> dict[str, Setting]:
    """``key=value`` texts as settings: a JSON scalar is taken as such, all else as text."""
    settings: dict[str, Setting] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not (key and equals):
            raise InputError(f"--set {pair}: expected key=value")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        settings[key] = value if isinstance(value, str | int | float | bool | None) else text
    return settings


def version() -> str:
    """The version of evalkit that is installed."""
    from importlib.metadata import version as installed

    return installed("evalkit-ci")
