"""The problems that triage listed last for a run, by number: what `promote --problem N` means."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from evalkit.errors import FileError, NotFoundError, Problem
from evalkit.files import write_atomically
from evalkit.folders import run_folder
from evalkit.triaging.problems import Problem as Found

FILE = "problems.json"


class Listed(msgspec.Struct, frozen=True):
    """One problem as it was listed: its name, and the trace that stands for it."""

    name: str
    representative: str


def keep_listing(store: Path, run: str, problems: Sequence[Found]) -> None:
    """Keeps the problems of a run in the order in which a person sees them."""
    listed = [Listed(one.name, one.representative) for one in problems]
    with suppress(OSError):  # a store that cannot be written can be triaged all the same
        write_atomically(run_folder(store, run) / FILE, msgspec.json.encode(listed))


def listed_problem(store: Path, run: str, number: int) -> Listed:
    """A problem by its number, from 1, in the last listing. Raises NotFoundError, FileError."""
    path = run_folder(store, run) / FILE
    try:
        listed = msgspec.json.decode(path.read_bytes(), type=list[Listed])
    except FileNotFoundError:
        raise NotFoundError(
            f"run {run} was not triaged yet, so no problem has a number: evalkit triage {run}"
        ) from None
    except (msgspec.MsgspecError, OSError) as error:
        raise FileError(Problem(str(path), f"{error}; triage the run again")) from None
    if not 1 <= number <= len(listed):
        raise NotFoundError(f"problem {number}: the last triage of {run} lists {len(listed)}")
    return listed[number - 1]
