"""Labels of executions from a file, beside the verdicts that a file or a stored run holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evalkit.calibration import Labelled
from evalkit.errors import FileError, InputError, Problem
from evalkit.files import read_json
from evalkit.ingest import read_bounded
from evalkit.judging.verdicts import normalise
from evalkit.store import Store

Row = tuple[int, dict[str, Any]]


def read(path: Path) -> list[Row]:
    """Line number and object of each line of a JSON Lines file. Raises FileError."""
    rows: list[Row] = []
    for number, line in enumerate(read_bounded(path).split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = read_json(line.decode())
        except (ValueError, RecursionError) as error:
            raise FileError(Problem(str(path), f"not JSON: {error}", number)) from None
        if not isinstance(row, dict):
            raise FileError(Problem(str(path), "expected an object a line", number))
        rows.append((number, row))
    if not rows:
        raise FileError(Problem(str(path), "no labels: the file is empty"))
    return rows


def of_file(
    rows: Sequence[Row], path: Path, verdict: str, label: str, by: Sequence[str]
) -> Iterator[Labelled]:
    """Verdicts and labels of one file, by field names. Raises FileError for a missing one."""
    for number, row in rows:
        group = " / ".join(str(row[field]) for field in by if field in row)
        yield Labelled(_field(row, verdict, path, number), _field(row, label, path, number), group)


def of_run(
    rows: Sequence[Row], path: Path, label: str, store: Path, run: str, scorer: str
) -> tuple[str, list[Labelled]]:
    """The judge of a stored run, and its verdicts beside the labels of those trials, by route.

    A label names ``case`` and ``trial`` (which a run of one trial each may leave out). Raises
    InputError where a label is of no trial of the run, or the run has no verdicts of one judge,
    FileError where two lines label one trial and do not say the same.
    """
    opened = Store(store)
    found = opened.find(run)
    wanted: dict[tuple[str, int], Any] = {}
    for number, row in rows:
        case, trial = _field(row, "case", path, number), row.get("trial")
        if trial is None and found.trials > 1:
            message = f"run {found.id} has {found.trials} trials a case: say which `trial`"
            raise FileError(Problem(str(path), message, number))
        key = str(case), 0 if trial is None else trial
        said = _field(row, label, path, number)
        if key in wanted and not _agree(wanted[key], said):
            message = (
                f"trial {key[1]} of case {key[0]!r} has two labels, {wanted[key]!r} and"
                f" {said!r}: decide which is true"
            )
            raise FileError(Problem(str(path), message, number))
        wanted[key] = said
    judges: set[str] = set()
    pairs: list[Labelled] = []
    unseen = set(wanted)
    for one in opened.trials(found.id):
        if one.key not in wanted:
            continue
        unseen.discard(one.key)
        for score in one.scores:
            if score.scorer == scorer and "verdict" in score.data:
                judges.add(str(score.data.get("judge")))
                pairs.append(Labelled(score.data["verdict"], wanted[one.key], one.route))
    if unseen:
        case, trial = min(unseen, key=str)
        raise InputError(f"{path}: run {found.id} has no trial {trial} of case {case!r}")
    if len(judges) != 1:
        raise InputError(
            f"run {found.id} has no verdicts of the scorer {scorer!r} for these labels"
            if not judges
            else f"run {found.id} has verdicts of {len(judges)} judges: score it again first"
        )
    return judges.pop(), pairs


def _agree(one: Any, other: Any) -> bool:
    read = normalise(one), normalise(other)
    return read[0] == read[1] and (read[0] is not None or one == other)


def _field(row: dict[str, Any], name: str, path: Path, number: int) -> Any:
    if name not in row:
        known = ", ".join(sorted(row)[:20])
        raise FileError(Problem(str(path), f"no field {name!r}; there are: {known}", number))
    return row[name]
