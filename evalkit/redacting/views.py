"""A text as it reads after decoding, with the way back to its bytes.

A secret may stand in a text escaped (``\\u0040``), percent-encoded (``%40``) or broken over lines.
Each view decodes one of these and remembers where every byte came from, so that what is found in
the decoded text is replaced in the original.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

MAX_ESCAPES = 3
"""JSON in a string in JSON in a string: how many layers are unescaped."""

_ESCAPE = re.compile(rb"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([\"'\\/nrt]))")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
# Also the soft breaks of quoted-printable, and quote marks and indentation of the next line.
_BREAK = re.compile(rb"=?(?:\r\n|\n|\r)[ \t>|]*")
_PLAIN = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class View(NamedTuple):
    """Decoded bytes; byte ``i`` came from ``starts[i]`` up to ``ends[i]`` of the original.

    ``name`` is ``plain``, ``escaped``, ``percent`` or ``joined``. ``breaks`` are the positions
    where lines were joined.
    """

    name: str
    data: bytes
    starts: range | list[int]
    ends: range | list[int]
    breaks: tuple[int, ...] = ()

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The range of the original that a range of this view came from."""
        return self.starts[start], self.ends[end - 1]


def views(data: bytes) -> Iterator[View]:
    """The text itself, then every decoding that changes it."""
    plain = View("plain", data, range(len(data)), range(1, len(data) + 1))
    yield plain
    latest = plain
    for _ in range(MAX_ESCAPES):
        if b"\\" not in latest.data:
            break
        unescaped = _decoded("escaped", latest, _ESCAPE, _unescape)
        if unescaped is None:
            break
        yield unescaped
        latest = unescaped
    if b"%" in data:
        unquoted = _decoded("percent", plain, _PERCENT, lambda one: bytes([int(one[1], 16)]))
        if unquoted is not None:
            yield unquoted
    if b"\n" in latest.data or b"\r" in latest.data:
        joined = _decoded("joined", latest, _BREAK, lambda one: b"")
        if joined is not None:
            yield joined


def _unescape(found: re.Match[bytes]) -> bytes:
    code, byte, char = found.groups()
    if char is not None:
        return _PLAIN.get(char, char)
    return chr(int(code or byte, 16)).encode("utf-8", "surrogatepass")


def _decoded(
    name: str,
    view: View,
    pattern: re.Pattern[bytes],
    decode: Callable[[re.Match[bytes]], bytes],
) -> View | None:
    """The view with every match decoded, or None if there is none."""
    out = bytearray()
    starts: list[int] = []
    ends: list[int] = []
    breaks: list[int] = []
    at = 0
    for found in pattern.finditer(view.data):
        start, end = found.span()
        out += view.data[at:start]
        starts.extend(view.starts[at:start])
        ends.extend(view.ends[at:start])
        new = decode(found)
        breaks.append(len(out))
        out += new
        starts.extend([view.starts[start]] * len(new))
        ends.extend([view.ends[end - 1]] * len(new))
        at = end
    if not breaks:
        return None
    out += view.data[at:]
    starts.extend(view.starts[at:])
    ends.extend(view.ends[at:])
    return View(name, bytes(out), starts, ends, tuple(breaks) if name == "joined" else ())
