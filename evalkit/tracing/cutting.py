"""A JSON document too large to hold, cut into smaller ones of the same shape.

A shape says which arrays are long: their elements are taken a batch at a time, and each batch
stands again within what came before it in the document, as the resource and the scope of spans.
Nothing is parsed here, only where values end is found; whoever reads a piece says if it is good.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from evalkit.tracing.reasons import Reasons

Shape = Mapping[str, "Shape"]
"""Names of arrays, each with the shape of its elements; an empty one is taken element by element.

The name "" stands for a document that is an array itself.
"""

BATCH = 4 * 1024 * 1024
"""Elements are gathered up to so many bytes."""

MAX_ELEMENT = 64 * 1024 * 1024
"""A larger element, or a larger value beside the arrays, is refused. Bytes."""

_CHUNK = 8 * 1024 * 1024
_MAX_DEPTH = 1_000_000
_CUT_OFF, _NO_JSON, _TOO_DEEP = "it is cut off", "it is no JSON", "it is nested too deeply"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SPACE = re.compile(rb"[ \t\r\n]*+")
_SCALAR = re.compile(rb"[^\s,\[\]{}\"]++")
_TEXT = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_LINE = re.compile(rb"\n[\[{]")
_TOKEN = re.compile(_STRING + rb'|\[++|[\]{}"]', re.DOTALL)
"""Brackets, a text, or the quote that begins a text whose end is not there yet."""


def _nested(levels: int) -> bytes:
    """Brackets around values that nest at most so deep: found in one go, not bracket by bracket."""
    inside = rb'[^\[\]{}"]++|' + _STRING
    return rb"[\[{](?:" + (inside + (b"|" + _nested(levels - 1) if levels else b"")) + rb")*+[\]}]"


_VALUE = re.compile(_nested(8) + b"|" + _STRING, re.DOTALL)


class _Damaged(Exception):  # noqa: N818  a state of the file, not an error of this program
    """The document is no JSON from here on, or ends too early."""


def pieces(
    start: bytes, file: BinaryIO, shape: Shape, refused: Reasons, batch: int = BATCH
) -> Iterator[bytes]:
    """The documents in ``start`` and what follows it in the file, cut into smaller ones.

    Elements stand together in a piece up to ``batch`` bytes; with 0, each alone.
    What is damaged or has too large an element is counted in ``refused``; after a damaged
    document reading goes on with the next line.
    """
    scanner = _Scanner(start, file, refused, batch)
    while scanner.peek():
        try:
            yield from _document(scanner, shape)
        except _Damaged as damage:
            refused[f"the rest of a document: {damage}"] += 1
            scanner.next_document()


def _document(scanner: _Scanner, shape: Shape) -> Iterator[bytes]:
    if scanner.peek() == b"[" and "" in shape:
        yield from _array(scanner, shape[""])
    elif scanner.peek() == b"{" and any(shape):
        yield from _object(scanner, shape)
    elif (value := scanner.value()) is not None:
        yield value


def _array(scanner: _Scanner, shape: Shape) -> Iterator[bytes]:
    """Each element of an array that is a document."""
    for _ in scanner.members(b"]"):
        if shape and scanner.peek() == b"{":
            yield from _object(scanner, shape)
        elif (value := scanner.value()) is not None:
            yield value


def _object(scanner: _Scanner, shape: Shape) -> Iterator[bytes]:
    """The object once for each batch of its long arrays, with what stands before them in it."""
    before: list[bytes] = []
    size = 0
    is_cut = False
    for key in scanner.members(b"}"):
        long = shape.get(key[1:-1].decode("utf-8", "replace"))
        if long is not None and scanner.peek() == b"[":
            is_cut = True
            for batch in _batches(scanner, long):
                yield b"{%s}" % b",".join([*before, b"%s:[%s]" % (key, batch)])
        elif (value := scanner.value()) is not None:
            if size + len(value) > BATCH:
                scanner.refuse(BATCH)  # it would stand in every piece
                continue
            before.append(b"%s:%s" % (key, value))
            size += len(value)
    if not is_cut:
        yield b"{%s}" % b",".join(before)


def _batches(scanner: _Scanner, shape: Shape) -> Iterator[bytes]:
    """The elements of an array, as many together as a batch holds."""
    held: list[bytes] = []
    size = 0
    try:
        for element in _array(scanner, shape):
            if held and size + len(element) > scanner.batch:
                yield b",".join(held)
                held, size = [], 0
            held.append(element)
            size += len(element)
    except _Damaged:
        if held:  # what stands before the damage is good
            yield b",".join(held)
        raise
    if held:
        yield b",".join(held)


class _Scanner:
    """A place in the file: what is there, and where the value that begins there ends."""

    def __init__(self, start: bytes, file: BinaryIO, refused: Reasons, batch: int) -> None:
        self.batch = batch
        self._data = start
        self._at = 0
        self._file = file
        self._ended = False
        self._refused = refused

    def peek(self) -> bytes:
        """The next character that is no space; nothing at the end of the file."""
        while True:
            found = _SPACE.match(self._data, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._data):
                return self._data[self._at : self._at + 1]
            if not self._more():
                return b""

    def members(self, end: bytes) -> Iterator[bytes]:
        """Stands at each element of an array in turn, or at each value of an object: its key."""
        self._at += 1
        if self.peek() == end:
            self._at += 1
            return
        while True:
            key = b""
            if end == b"}":
                key = self._key()
            yield key
            separator = self.peek()
            if separator not in (b",", end):
                raise _Damaged(_NO_JSON if separator else _CUT_OFF)
            self._at += 1
            if separator == end:
                return

    def _key(self) -> bytes:
        if self.peek() != b'"' or (key := self.value()) is None or self.peek() != b":":
            raise _Damaged(_NO_JSON if self.peek() else _CUT_OFF)
        self._at += 1
        return key

    def value(self) -> bytes | None:
        """The next value as it stands there; None, and counted, where it is too large."""
        first = self.peek()
        self._ahead()
        pattern = _VALUE if first in (b"{", b"[", b'"') else _SCALAR
        found = pattern.match(self._data, self._at)
        if pattern is _SCALAR:
            if found is None:
                raise _Damaged(_NO_JSON if first else _CUT_OFF)
            while found is not None and found.end() == len(self._data):  # a number may go on
                if not self._more():
                    raise _Damaged(_CUT_OFF)
                found = pattern.match(self._data, self._at)
        if found is not None:
            self._at = found.end()
            return self._within_limit(found[0])
        return self._long_value()

    def _long_value(self) -> bytes | None:
        """A value that is nested deeply, or goes on beyond what is held of the file."""
        kept = bytearray()
        depth, in_text = 0, False
        while True:
            end, depth, in_text = self._brackets(depth, in_text)
            if len(kept) <= MAX_ELEMENT:
                kept += self._data[self._at : end]
            self._at = end
            if depth == 0 and not in_text:
                return self._within_limit(bytes(kept))
            if not self._more():
                raise _Damaged(_CUT_OFF)

    def _brackets(self, depth: int, in_text: bool) -> tuple[int, int, bool]:
        """How far the value goes in what is held, how deep it is there, and if within a text."""
        at = self._at
        if in_text:
            text = _TEXT.match(self._data, at)
            at = text.end() if text else at
            if self._data[at : at + 1] != b'"':
                return at, depth, True
            at += 1
        if in_text and depth == 0:
            return at, 0, False
        for token in _TOKEN.finditer(self._data, at):
            mark = token[0]
            if mark == b'"':
                return token.end(), depth, True
            depth += len(mark) if mark[0] in b"[{" else -1 if mark in (b"]", b"}") else 0
            if depth <= 0:
                return token.end(), 0, False
            if depth > _MAX_DEPTH:
                raise _Damaged(_TOO_DEEP)
        return len(self._data), depth, False

    def _within_limit(self, value: bytes) -> bytes | None:
        if len(value) <= MAX_ELEMENT:
            return value
        self.refuse(MAX_ELEMENT)
        return None

    def refuse(self, limit: int) -> None:
        """Counts a value that is left out."""
        self._refused[f"part of a document larger than {limit >> 20} MiB"] += 1

    def next_document(self) -> None:
        """Goes to the next line that begins with a bracket, or to the end of the file."""
        while True:
            found = _LINE.search(self._data, self._at)
            if found is not None:
                self._at = found.end() - 1
                return
            self._at = max(self._at, len(self._data) - 1)  # a line's end may be the last there
            if not self._more():
                self._at = len(self._data)
                return

    def _ahead(self) -> None:
        """Holds enough of the file that most values end in it."""
        if len(self._data) - self._at < _CHUNK // 8:
            self._more()

    def _more(self) -> bool:
        """Reads on, and forgets what lies behind; False at the end of the file."""
        if self._ended:
            return False
        read = self._file.read(_CHUNK)
        self._ended = not read
        if self._at:
            self._data, self._at = self._data[self._at :], 0
        self._data += read
        return bool(read)
