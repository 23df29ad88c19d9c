"""A file of parts, durable before anyone is told so: what a collector has acknowledged.

One thread writes; whatever is queued goes out in one write and one fsync. A torn end, as a kill
or a crash leaves it, is cut off when the file is read or opened again.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.errors import StoreError
from evalkit.tracing.parts import HEAD, Part, on_disk, part_of, size_after

MAX_QUEUED = 32 * 1024 * 1024
"""Bytes that may wait for the disk; beyond, the spool is full and a client is told to wait."""

MAX_PART = 64 * 1024 * 1024
_MARK = struct.Struct("<4sI")
_MAGIC = b"evk2"
_BEFORE = _MARK.size + HEAD.size


class SpoolFullError(StoreError):
    """More waits for the disk than may: try again in a moment."""


class Place(NamedTuple):
    """Where a part lies in the spool."""

    offset: int
    size: int


class _Batch:
    """Parts of one request, and whether they are on disk."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.done = threading.Event()
        self.start = 0
        self.failure: str | None = None


class Spool:
    """Appends parts to one file. Thread-safe; :meth:`close` writes what is queued."""

    def __init__(self, path: Path, max_queued: int = MAX_QUEUED) -> None:
        self.path = path
        self._max_queued = max_queued
        end = sum(part_size for _, part_size in _scan(path)) if path.exists() else 0
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(self._file, end)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}") from error
        self.size = end
        self._waiting: list[_Batch] = []
        self._queued = 0
        self._broken: str | None = None
        self._closing = False
        self._work = threading.Condition()
        self._thread = threading.Thread(target=self._write, name="evalkit-spool", daemon=True)
        self._thread.start()

    def append(self, parts: Sequence[Part]) -> list[Place]:
        """Returns where the parts are once they are on disk.

        Raises SpoolFullError if too much waits already, StoreError if the disk refuses.
        """
        packed = [_packed(part) for part in parts]
        batch = _Batch(b"".join(packed))
        with self._work:
            if self._broken or self._closing:
                raise StoreError(self._broken or "the collector is stopping")
            if self._waiting and self._queued + len(batch.data) > self._max_queued:
                raise SpoolFullError("too many spans wait for the disk")
            self._queued += len(batch.data)
            self._waiting.append(batch)
            self._work.notify()
        batch.done.wait()
        if batch.failure is not None:
            raise StoreError(batch.failure)
        places, at = [], batch.start
        for one in packed:
            places.append(Place(at, len(one)))
            at += len(one)
        return places

    def read(self, place: Place) -> Part:
        """The part at a place that :meth:`append` gave."""
        return _unpacked(os.pread(self._file, place.size, place.offset))

    def close(self) -> None:
        """Writes what is queued and closes the file. Idempotent."""
        with self._work:
            if self._closing:
                return
            self._closing = True
            self._work.notify()
        self._thread.join()
        os.close(self._file)

    def _write(self) -> None:
        while True:
            with self._work:
                self._work.wait_for(lambda: self._waiting or self._closing)
                batches, self._waiting = self._waiting, []
            if not batches:
                return
            self._commit(batches)
            with self._work:
                self._queued -= sum(len(batch.data) for batch in batches)
            for batch in batches:
                batch.done.set()

    def _commit(self, batches: list[_Batch]) -> None:
        at = self.size
        try:
            if self._broken:
                raise OSError(self._broken)
            for batch in batches:
                batch.start = at
                at += _write_all(self._file, batch.data, at)
            os.fdatasync(self._file)
            self.size = at
        except OSError as error:
            # After a failed fsync a later one may succeed without the data: take no more.
            self._broken = f"cannot write {self.path}: {error.strerror or error}"
            for batch in batches:
                batch.failure = self._broken


def read_spool(path: Path) -> Iterator[Part]:
    """The whole parts of a spool, in order; what follows a damaged one is not read."""
    try:
        for part, _ in _scan(path):
            yield part
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error


def _scan(path: Path) -> Iterator[tuple[Part, int]]:
    """The whole parts, and how many bytes each takes."""
    with path.open("rb") as file:
        while len(before := file.read(_BEFORE)) == _BEFORE:
            magic, check = _MARK.unpack_from(before)
            head = before[_MARK.size :]
            size = size_after(head)
            if magic != _MAGIC or size is None or size > MAX_PART:
                return
            data = file.read(size)
            if len(data) < size or zlib.crc32(data, zlib.crc32(head)) != check:
                return
            yield part_of(head, data), _BEFORE + size


def _packed(part: Part) -> bytes:
    head, data = on_disk(part)
    return _MARK.pack(_MAGIC, zlib.crc32(data, zlib.crc32(head))) + head + data


def _unpacked(record: bytes) -> Part:
    return part_of(record[_MARK.size : _BEFORE], record[_BEFORE:])


def _write_all(file: int, data: bytes, offset: int) -> int:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file, rest, offset)
        rest, offset = rest[written:], offset + written
    return len(data)
