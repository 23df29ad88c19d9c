"""Protobuf's wire format without a schema: fields of a message, and how messages lie in a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Literal

Framing = Literal["whole", "four bytes", "varint"]
"""A file is one message, or each has its length before it: as the Collector's file exporter
writes it, in four bytes, most significant first; or as protobuf's own libraries do, a varint."""

_FIRST = b"\n"
"""The tag of the only field that a request of traces or logs has: number 1, with a length."""

MAX_MESSAGE = 64 * 1024 * 1024
"""A larger message, or a resource's part of one, is refused. Bytes."""

_MAX_VARINT = 10


class DamagedError(ValueError):
    """Bytes that are no varint, or too few."""


def varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends. Raises DamagedError."""
    number = 0
    for place, byte in enumerate(data[at : at + _MAX_VARINT]):
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return number, at + place + 1
    raise DamagedError("no varint")


def fields(message: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of a message that have a length, with their numbers, up to where it is damaged.

    One that is cut off is given as far as it goes.
    """
    data, at = memoryview(message), 0
    try:
        while at < len(data):
            tag, at = varint(data, at)
            kind, size = tag & 7, 0
            if kind == 0:
                _, at = varint(data, at)
            elif kind == 2:
                size, at = varint(data, at)
                yield tag >> 3, data[at : at + size]
            elif kind not in (1, 5):
                return
            at += {1: 8, 5: 4}.get(kind, size)
    except DamagedError:
        return


def framing(start: bytes) -> Framing | None:
    """How messages lie in a file that begins so; None where it is no file of requests."""
    is_framed, stated = False, int.from_bytes(start[:4], "big")
    if len(start) > 4 and start[:1] != _FIRST and start[4:5] == _FIRST:
        is_framed = _is_request(start[4 : 4 + stated], stated)
    if is_framed and stated <= MAX_MESSAGE:
        return "four bytes"
    try:
        length, at = varint(start, 0)
    except DamagedError:
        length = at = 0
    if length and _is_request(start[at : at + length], length):
        return "varint"
    if is_framed:
        return "four bytes"
    return "whole" if start[:1] == _FIRST else None


def _is_request(start: bytes, length: int) -> bool:
    """Whether a message of that length, which begins so, is one field 1 after another."""
    at = 0
    while at < len(start):
        if start[at : at + 1] != _FIRST:
            return False
        try:
            size, at = varint(start, at + 1)
        except DamagedError:
            return len(start) < length
        at += size
    return at == length if len(start) == length else at <= length


def next_message(file: BinaryIO, frames: Framing) -> tuple[bytes, int] | None:
    """What stands before the next message in it, and how many bytes of it follow.

    A file that is one message is as good as several: each field 1 of it is one too. None at the
    end of the file. Raises DamagedError.
    """
    if frames == "four bytes":
        size = file.read(4)
        if 0 < len(size) < 4:
            raise DamagedError("cut off")
        return (b"", int.from_bytes(size, "big")) if size else None
    tag = file.read(1) if frames == "whole" else b""
    if frames == "whole" and tag != _FIRST:
        if not tag:
            return None
        raise DamagedError("another field than the first")
    read = bytearray()
    while byte := file.read(1):
        read += byte
        if byte < b"\x80" or len(read) == _MAX_VARINT:
            break
    if not read and not tag:
        return None
    return (tag + read if tag else b"", varint(bytes(read), 0)[0])
