"""Files as documents: one, or one per line; gzip or not; nothing larger than a limit is read."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from evalkit.errors import FileError, Problem
from evalkit.tracing.cutting import Shape, pieces
from evalkit.tracing.reasons import Reasons
from evalkit.tracing.wire import MAX_MESSAGE, DamagedError, Framing, framing, next_message

MAX_DOCUMENT = 64 * 1024 * 1024
"""A larger document (a line, or a file that is one document) is refused, unless it is of a shape
that it can be cut by. Bytes, inflated."""

MAX_WHOLE = 32 * 1024 * 1024
"""A larger document of a known shape is cut into pieces (:mod:`evalkit.tracing.cutting`)."""

HEAD = 65_536
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 20
_INFLATED = 1 << 16
_CUT_OFF = "the rest of a file: it is cut off, or no OTLP protobuf"


class _Inflated(io.RawIOBase):
    """What a gzip file holds, up to where it stops to inflate; ``damage`` is told why it does."""

    def __init__(self, file: gzip.GzipFile, damage: Callable[[str], None]) -> None:
        self._file = file
        self._damage = damage
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._ended:
            return 0
        try:
            # All that is inflated in one go is lost with what is damaged.
            found = self._file.read1(min(len(buffer), _INFLATED))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            self._damage(str(error))
            self._ended = True
            return 0
        buffer[: len(found)] = found
        return len(found)


@contextmanager
def opened(path: Path, damage: Callable[[str], None]) -> Iterator[BinaryIO]:
    """The file's bytes, inflated if it is gzipped. Raises FileError if it cannot be opened.

    A file that stops to inflate ends there, and ``damage`` is told why.
    """
    try:
        with path.open("rb", _CHUNK) as raw:
            magic = raw.read(4)
            raw.seek(0)
            if magic == _ZSTD:
                raise FileError(
                    Problem(str(path), "compressed with zstd: run `unzstd` on it first")
                )
            if not magic.startswith(_GZIP):
                yield raw
                return
            with gzip.open(raw) as inflated:
                yield io.BufferedReader(_Inflated(inflated, damage), _CHUNK)
    except OSError as error:
        raise FileError(Problem(str(path), f"cannot be read: {error.strerror}")) from None


def head(path: Path) -> bytes:
    """The first bytes of a file, inflated. Raises FileError if there are none to be had."""
    damage: list[str] = []
    with opened(path, damage.append) as file:
        found = file.read(HEAD)
    if damage and not found:
        raise FileError(Problem(str(path), f"does not inflate: {damage[0]}"))
    if not found.strip():
        raise FileError(Problem(str(path), "is empty"))
    return found.removeprefix(_BOM)


def json_documents(path: Path, refused: Reasons, shape: Shape | None = None) -> Iterator[bytes]:
    """The JSON documents of a file: one per line, or the file as one.

    Large ones of a known ``shape`` come in pieces. What is cut off, does not inflate or is over
    MAX_DOCUMENT is counted in ``refused``.
    """
    with opened(path, _counted(refused)) as file:
        yield from _json(file, refused, shape)


def _json(file: BinaryIO, refused: Reasons, shape: Shape | None) -> Iterator[bytes]:
    limit = MAX_DOCUMENT if shape is None else MAX_WHOLE
    first = file.readline(limit + 1).removeprefix(_BOM)
    while first and not first.strip():
        first = file.readline(limit + 1)
    if len(first) <= limit and _is_whole(first):
        yield first
        yield from _lines(file, refused, shape)
        return
    start = first + file.read(max(0, limit + 1 - len(first)))
    rest = start[len(first) :]
    if _looks_like_lines(first, rest):
        yield first
        yield from _lines(io.BytesIO(rest + file.readline(limit + 1)), refused, shape)
        yield from _lines(file, refused, shape)
    elif len(start) <= limit:
        yield start
    elif shape is not None:
        yield from pieces(start, file, shape, refused)
    else:
        refused[_too_large()] += 1


def _lines(file: BinaryIO, refused: Reasons, shape: Shape | None) -> Iterator[bytes]:
    limit = MAX_DOCUMENT if shape is None else MAX_WHOLE
    while line := file.readline(limit + 1):
        if len(line) > limit and shape is not None:
            yield from pieces(line, file, shape, refused)
        elif len(line) > limit:
            refused[_too_large()] += 1
            while line and not line.endswith(b"\n"):
                line = file.readline(_CHUNK)
        elif line.strip():
            yield line


def _is_whole(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _looks_like_lines(first: bytes, rest: bytes) -> bool:
    """Whether the file has a document per line, although its first line is damaged."""
    second = rest.lstrip().partition(b"\n")[0]
    return (
        first.lstrip()[:1] in (b"{", b"[")
        and len(first) > 2
        and _is_whole(second)
        and (second[:1] in (b"{", b"[") and len(second) > 2)
    )


def _counted(refused: Reasons) -> Callable[[str], None]:
    def damage(why: str) -> None:
        refused[f"the rest of a file: it does not inflate ({why})"] += 1

    return damage


def binary_documents(path: Path, refused: Reasons) -> Iterator[bytes]:
    """The protobuf messages of a file: the whole, or each with its length before it.

    Raises FileError if the file cannot be read at all.
    """
    frames = framing(head(path)) or "whole"
    with opened(path, _counted(refused)) as file:
        yield from _messages(file, frames, refused)


def _messages(file: BinaryIO, frames: Framing, refused: Reasons) -> Iterator[bytes]:
    while True:
        try:
            following = next_message(file, frames)
        except DamagedError:
            refused[_CUT_OFF] += 1
            return
        if following is None:
            return
        before, length = following
        if length > MAX_MESSAGE:
            refused[f"protobuf message larger than {MAX_MESSAGE >> 20} MiB"] += 1
            while length and (passed := len(file.read(min(length, _CHUNK)))):
                length -= passed
            continue
        message = file.read(length)
        if message:  # one that is cut off still has its first spans
            yield before + message
        elif length:
            refused[_CUT_OFF] += 1
            return


def _too_large() -> str:
    return f"document larger than {MAX_DOCUMENT >> 20} MiB: write several, one per line"
