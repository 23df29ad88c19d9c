"""How far a command is, on stderr: in place on a terminal, else a line every ten seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evalkit.phrasing import seconds

if TYPE_CHECKING:
    from evalkit.runner import Progress

EVERY_S = 10.0


@contextmanager
def shown() -> Iterator[Callable[[Progress], None]]:
    """A function to call with every progress; what it shows ends with the block."""
    if sys.stderr.isatty():
        with _bar() as update:
            yield update
    else:
        yield _lines()


@contextmanager
def told() -> Iterator[Callable[[str], None]]:
    """A function to call with how far something is; a terminal's line is cleared at the end."""
    terminal = sys.stderr.isatty()
    last = time.monotonic()

    def update(said: str) -> None:
        nonlocal last
        clock = time.monotonic()
        if clock - last < (0.2 if terminal else EVERY_S):
            return
        last = clock
        print(f"\r\x1b[K{said}" if terminal else said, end="" if terminal else "\n",
              file=sys.stderr, flush=True)  # fmt: skip

    try:
        yield update
    finally:
        if terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich import progress as bars
    from rich.console import Console

    bar = bars.Progress(
        bars.BarColumn(bar_width=24),
        bars.MofNCompleteColumn(),
        bars.TextColumn("trials · {task.fields[said]}"),
        bars.TimeElapsedColumn(),
        bars.TextColumn("·"),
        bars.TimeRemainingColumn(),
        bars.TextColumn("left"),
        console=Console(stderr=True, markup=False, highlight=False),
        transient=True,
        refresh_per_second=8,
    )
    with bar:
        task = bar.add_task("run", total=None, said="starting")

        def update(now: Progress) -> None:
            bar.update(task, completed=now.done, total=now.total, said=_counts(now))

        yield update


def _lines() -> Callable[[Progress], None]:
    started = last = time.monotonic()

    def update(now: Progress) -> None:
        nonlocal last
        clock = time.monotonic()
        if clock - last < EVERY_S and now.done < now.total:
            return
        last = clock
        took = clock - started
        left = f", {seconds(took / now.done * (now.total - now.done))} left" if now.done else ""
        end = left if now.done < now.total else f", took {seconds(took)}"
        print(f"{now.done}/{now.total} trials, {_counts(now)}{end}", file=sys.stderr, flush=True)

    return update


def _counts(now: Progress) -> str:
    said = f"{now.failed} failed"
    return said + (f", {now.infrastructure} infrastructure" if now.infrastructure else "")
