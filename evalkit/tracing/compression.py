"""Bounded inflation of request bodies and files."""

from __future__ import annotations

import zlib

from evalkit.errors import InputError


def inflate(data: bytes, limit: int) -> bytes:
    """What gzip or zlib data holds. InputError if that is over ``limit`` bytes, or damaged."""
    found = bytearray()
    try:
        while data:
            stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
            found += stream.decompress(data, limit + 1 - len(found))
            if len(found) > limit:
                raise InputError(f"compressed data holds more than {limit:,} bytes")
            if not stream.eof:
                raise InputError("compressed data is cut off")
            data = stream.unused_data.lstrip(b"\0")  # a gzip file may have several members
    except zlib.error as error:
        raise InputError(f"not gzip: {error}") from None
    return bytes(found)
