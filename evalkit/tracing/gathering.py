"""Parts of many traces, grouped by trace: in memory up to a budget, beyond it on disk.

The spans of one trace may lie anywhere in a file, or in several. Nearly always they lie near one
another: then a trace is given as soon as nothing more came of it for a while, while it is at hand.
Memory is that of the budget or of one partition, whichever is larger, never that of the input.
"""

from __future__ import annotations

import shutil
import tempfile
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from evalkit.errors import EvalkitError, StoreError
from evalkit.tracing.parts import HEAD, Part, on_disk, part_of, size_after
from evalkit.tracing.reasons import Reasons

BUDGET = 64 * 1024 * 1024
"""Bytes of parts held in memory before all of them go to disk."""

MAX_TRACE_SPANS = 100_000
"""Further spans of one trace are refused."""

WINDOW = 8 * 1024 * 1024
"""Bytes of parts after which a trace of which nothing more came is taken to be whole."""

_PARTITIONS = 256
_PART_OVERHEAD = 300


class LateSpansError(EvalkitError):
    """More came of a trace that was given already: read all of them again, with no window."""


class Gathering(AbstractContextManager["Gathering"]):
    """Takes parts in any order (:meth:`add`), gives whole traces once (:meth:`traces`).

    With a ``window``, gives those that seem to be whole early (:meth:`settled`). Spills into a
    temporary folder below ``folder``, which is gone afterwards. Not thread-safe.
    """

    def __init__(self, folder: Path, budget: int = BUDGET, window: int | None = None) -> None:
        self._folder = folder
        self._budget = budget
        self._window = window
        self._parts: dict[str, list[Part]] = {}
        # Hashes of ids, which are a third as large; two that are alike only cost another reading.
        self._given: set[int] = set()
        # Each part's trace and number, as they came, and each trace's last number.
        self._arrived: deque[tuple[str, int]] = deque()
        self._last: dict[str, int] = {}
        self._count = 0
        self._held = 0
        self._spilled: Path | None = None

    def add(self, part: Part) -> None:
        """Takes a part.

        Raises StoreError where it has to go to disk and the disk refuses, LateSpansError where
        its trace was given already.
        """
        if hash(part.trace_id) in self._given:
            raise LateSpansError(f"more spans of trace {part.trace_id}")
        self._parts.setdefault(part.trace_id, []).append(part)
        self._held += _size(part)
        if self._window is not None:
            self._count += 1
            self._last[part.trace_id] = self._count
            self._arrived.append((part.trace_id, self._count))
        elif self._held > self._budget:
            self._spill()

    def settled(self, refused: Reasons) -> Iterator[tuple[str, list[Part]]]:
        """The traces of which nothing more came within the window, as :meth:`traces` gives them."""
        while self._window is not None and self._held > self._window and len(self._parts) > 1:
            trace_id, number = self._arrived.popleft()
            if self._last[trace_id] != number:
                continue  # more of it came later
            del self._last[trace_id]
            parts = self._parts.pop(trace_id)
            self._held -= sum(map(_size, parts))
            self._given.add(hash(trace_id))
            yield trace_id, _limited(parts, refused)

    def traces(self, refused: Reasons) -> Iterator[tuple[str, list[Part]]]:
        """Every trace with all its parts, and forgets them; spans over the limit are refused.

        In order of first appearance, unless parts had to go to disk.
        """
        if self._spilled is None:
            while self._parts:
                trace_id = next(iter(self._parts))
                yield trace_id, _limited(self._parts.pop(trace_id), refused)
            return
        self._spill()
        for path in sorted(self._spilled.iterdir()):
            yield from _partition(path, refused)
            path.unlink()

    def __exit__(self, *_: object) -> None:
        if self._spilled is not None:
            shutil.rmtree(self._spilled, ignore_errors=True)

    def _spill(self) -> None:
        """Appends all parts to their partitions' files."""
        by_partition: dict[int, list[bytes]] = {}
        for trace_id, parts in self._parts.items():
            lines = by_partition.setdefault(zlib.crc32(trace_id.encode()) % _PARTITIONS, [])
            for part in parts:
                lines += on_disk(part)
        try:
            if self._spilled is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._spilled = Path(tempfile.mkdtemp(prefix="spill-", dir=self._folder))
            for number, lines in by_partition.items():
                with (self._spilled / f"{number:03}").open("ab") as file:
                    file.writelines(lines)
        except OSError as error:
            raise StoreError(f"cannot write {self._folder}: {error.strerror or error}") from error
        self._parts.clear()
        self._held = 0


def _partition(path: Path, refused: Reasons) -> Iterator[tuple[str, list[Part]]]:
    found: dict[str, list[Part]] = {}
    spans: dict[str, int] = {}
    with path.open("rb") as file:
        while head := file.read(HEAD.size):
            part = part_of(head, file.read(size_after(head)))
            trace_id, count = part.trace_id, part.spans
            spans[trace_id] = spans.get(trace_id, 0) + count
            if spans[trace_id] <= MAX_TRACE_SPANS:
                found.setdefault(trace_id, []).append(part)
            else:
                refused[_too_many()] += count
    while found:
        trace_id = next(iter(found))
        yield trace_id, found.pop(trace_id)


def _size(part: Part) -> int:
    return part.size or len(part.data) + _PART_OVERHEAD


def _limited(parts: list[Part], refused: Reasons) -> list[Part]:
    kept, total = [], 0
    for part in parts:
        total += part.spans
        if total <= MAX_TRACE_SPANS:
            kept.append(part)
        else:
            refused[_too_many()] += part.spans
    return kept


def _too_many() -> str:
    return f"span over the limit of {MAX_TRACE_SPANS:,} in one trace"
