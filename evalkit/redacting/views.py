"""A text as it reads after decoding, with the way back to its bytes.

A secret may stand in a text escaped (``\\u0040``), percent-encoded (``%40``) or broken over lines.
Each view decodes one of these and remembers where every byte came from, so that what is found in
the decoded text is replaced in the original.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

MAX_VIEWS = 10
"""How many ways of reading a text are looked at: JSON in a string in a URL, and so on."""

_ENCODED = re.compile(rb"[\\%+\n\r]")
_ESCAPE = re.compile(rb"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([\"'\\/nrt]))")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_FORM = re.compile(rb"%([0-9A-Fa-f]{2})|\+")
# Also the soft breaks of quoted-printable, and quote marks and indentation of the next line.
_BREAK = re.compile(rb"=?(?:\r\n|\n|\r)[ \t>|]*")
_PLAIN = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class View(NamedTuple):
    """Decoded bytes; byte ``i`` came from ``starts[i]`` up to ``ends[i]`` of the original.

    ``name`` is ``plain``, or how it was decoded last: ``escaped``, ``percent``, ``form`` (percent
    with ``+`` for spaces) or ``joined``. ``breaks`` are the positions where lines were joined.
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
    """The text itself, then every decoding that changes it, also of what was decoded."""
    found = [View("plain", data, range(len(data)), range(1, len(data) + 1))]
    if not _ENCODED.search(data):
        yield found[0]
        return
    seen = {data}
    for at in range(MAX_VIEWS):
        if at >= len(found):
            break
        yield found[at]
        for view in _decodings(found[at]):
            if view.data not in seen and len(found) < MAX_VIEWS:
                seen.add(view.data)
                found.append(view)


def _decodings(view: View) -> Iterator[View]:
    """What a view reads as, decoded once more; joined lines are the last step."""
    if view.name == "joined":
        return
    data = view.data
    if b"\\" in data:
        yield from _decoded("escaped", view, _ESCAPE, _unescape)
    if b"%" in data:
        yield from _decoded("percent", view, _PERCENT, _unquote)
    if b"+" in data and b" " not in data and (b"%" in data or b"=" in data):
        yield from _decoded("form", view, _FORM, _unquote)
    if b"\n" in data or b"\r" in data:
        yield from _decoded("joined", view, _BREAK, lambda one: b"")


def _unquote(found: re.Match[bytes]) -> bytes:
    return b" " if found[0] == b"+" else bytes([int(found[1], 16)])


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
) -> Iterator[View]:
    """The view with every match decoded; none where nothing matches."""
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
        return
    out += view.data[at:]
    starts.extend(view.starts[at:])
    ends.extend(view.ends[at:])
    yield View(name, bytes(out), starts, ends, tuple(breaks) if name == "joined" else ())
