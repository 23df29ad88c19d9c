"""Parts of many traces, grouped by trace: in memory up to a budget, beyond it on disk.

The spans of one trace may lie anywhere in a file, or in several. Nearly always they lie near one
another: then a trace is given as soon as nothing more came of it for a while, while it is at hand.
Memory is that of the budget or of one partition, whichever is larger, never that of the input.
"""

from __future__ import annotations

import shutil
import tempfile
import zlib
from collections import Counter, deque
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

MAX_TRACE_SIZE = 256 * 1024 * 1024
"""As are those beyond so many bytes of it."""

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
        self._open: dict[str, _Trace] = {}
        # Hashes of ids, which are a third as large; two that are alike only cost another reading.
        self._given: set[int] = set()
        # Each part's trace and number, as they came, and each trace's last number.
        self._arrived: deque[tuple[str, int]] = deque()
        self._last: dict[str, int] = {}
        self._count = 0
        self._held = 0
        self._spilled: Path | None = None
        self._over: Counter[str] = Counter()

    def add(self, part: Part) -> None:
        """Takes a part.

        Raises StoreError where it has to go to disk and the disk refuses, LateSpansError where
        its trace was given already.
        """
        if hash(part.trace_id) in self._given:
            raise LateSpansError(f"more spans of trace {part.trace_id}")
        trace = self._open.get(part.trace_id)
        if trace is None:
            trace = self._open[part.trace_id] = _Trace()
        self._held += trace.take(part)
        if self._window is not None:
            self._count += 1
            self._last[part.trace_id] = self._count
            self._arrived.append((part.trace_id, self._count))
        elif self._held > self._budget:
            self._spill()

    def settled(self, refused: Reasons) -> Iterator[tuple[str, list[Part]]]:
        """The traces of which nothing more came within the window, as :meth:`traces` gives them."""
        while self._window is not None and self._held > self._window and len(self._open) > 1:
            trace_id, number = self._arrived.popleft()
            if self._last[trace_id] != number:
                continue  # more of it came later
            del self._last[trace_id]
            trace = self._open.pop(trace_id)
            self._held -= trace.size
            self._given.add(hash(trace_id))
            yield trace_id, trace.given(refused)

    def traces(self, refused: Reasons) -> Iterator[tuple[str, list[Part]]]:
        """Every trace with all its parts, and forgets them; spans over the limit are refused.

        In order of first appearance, unless parts had to go to disk.
        """
        if self._spilled is None:
            yield from _emptied(self._open, refused)
            return
        self._spill()
        refused.update(self._over)
        for path in sorted(self._spilled.iterdir()):
            yield from _partition(path, refused)
            path.unlink()

    def __exit__(self, *_: object) -> None:
        if self._spilled is not None:
            shutil.rmtree(self._spilled, ignore_errors=True)

    def _spill(self) -> None:
        """Appends all parts to their partitions' files."""
        by_partition: dict[int, list[bytes]] = {}
        for trace_id, trace in self._open.items():
            lines = by_partition.setdefault(zlib.crc32(trace_id.encode()) % _PARTITIONS, [])
            for part in trace.parts:
                lines += on_disk(part)
            self._over.update(trace.over)
        try:
            if self._spilled is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._spilled = Path(tempfile.mkdtemp(prefix="spill-", dir=self._folder))
            for number, lines in by_partition.items():
                with (self._spilled / f"{number:03}").open("ab") as file:
                    file.writelines(lines)
        except OSError as error:
            raise StoreError(f"cannot write {self._folder}: {error.strerror or error}") from error
        self._open.clear()
        self._held = 0


class _Trace:
    """The parts of a trace, as many as it may have, and what was left out of it, by reason."""

    __slots__ = ("over", "parts", "size", "spans")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.spans = self.size = 0
        self.over: dict[str, int] = {}

    def take(self, part: Part) -> int:
        """How many bytes more are held; 0 where the part is over a limit."""
        size = part.size or len(part.data) + _PART_OVERHEAD
        self.spans += part.spans
        if self.spans <= MAX_TRACE_SPANS and self.size + size <= MAX_TRACE_SIZE:
            self.parts.append(part)
            self.size += size
            return size
        what = "span" if part.spans else "log records"
        most = f"{MAX_TRACE_SPANS:,}" if self.spans > MAX_TRACE_SPANS else "256 MiB"
        reason = f"{what} over the limit of {most} in one trace"
        self.over[reason] = self.over.get(reason, 0) + (part.spans or 1)
        return 0

    def given(self, refused: Reasons) -> list[Part]:
        """The parts; what was left out is counted."""
        if self.over:
            refused.update(self.over)
        return self.parts


def _partition(path: Path, refused: Reasons) -> Iterator[tuple[str, list[Part]]]:
    found: dict[str, _Trace] = {}
    with path.open("rb") as file:
        while head := file.read(HEAD.size):
            part = part_of(head, file.read(size_after(head)))
            found.setdefault(part.trace_id, _Trace()).take(part)
    yield from _emptied(found, refused)


def _emptied(found: dict[str, _Trace], refused: Reasons) -> Iterator[tuple[str, list[Part]]]:
    """Each trace, forgotten when it is given."""
    while found:
        trace_id = next(iter(found))
        yield trace_id, found.pop(trace_id).given(refused)
