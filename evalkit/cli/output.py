"""Where text goes: stdout, files, and GitHub Actions."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from evalkit.errors import StoreError

if TYPE_CHECKING:
    from evalkit.reports import Report
    from evalkit.results import Run


class Screen(TypedDict):
    """What a terminal reporter must know of the screen: columns, and whether it has colours."""

    width: int
    color: bool


def say(text: str) -> None:
    """Writes to stdout. A reader that went away (``| head``) is no failure of the command."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at exit; give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def screen() -> Screen:
    """The terminal's width (100 where there is none) and colour only on a terminal."""
    terminal = sys.stdout.isatty()
    color = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return {"width": shutil.get_terminal_size((100, 24)).columns, "color": color}


def write(path: Path, text: str, *, append: bool = False) -> None:
    """Writes a report to a file; StoreError says why it could not."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if append else "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def dataset_lines(run: Run) -> dict[str, int]:
    """The line of each case in the run's dataset, as far as the file is there."""
    from evalkit.errors import FileError
    from evalkit.files import case_lines

    try:
        return case_lines(Path(run.dataset_path)) if run.dataset_path else {}
    except FileError:
        return {}


def on_github() -> bool:
    """Whether a job of GitHub Actions runs this."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotate(report: Report, *, to_stderr: bool) -> None:
    """In GitHub Actions: annotations, and the report appended to the job's summary.

    The runner reads workflow commands on both streams; stdout may be taken by a JSON object.
    """
    if not on_github():
        return
    from evalkit.reporters import github, markdown

    text = github.render(report, lines=dataset_lines(report.run))
    if to_stderr:
        sys.stderr.write(text)
    else:
        say(text)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        write(Path(summary), markdown.render(report), append=True)
