"""The formats that traces come in, one module each, and how a file's format is told."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from evalkit.errors import FileError, InputError, Problem
from evalkit.tracing.cutting import Shape, pieces
from evalkit.tracing.documents import HEAD, binary_documents, head, json_documents
from evalkit.tracing.formats import chat, jaeger, langfuse, otlp_json, otlp_protobuf, sdk_json
from evalkit.tracing.mending import mended
from evalkit.tracing.parts import Part
from evalkit.tracing.reasons import Reasons
from evalkit.tracing.wire import framing


class Format(NamedTuple):
    """One format: ``read`` gives a document's parts, or raises InputError if it is none of it.

    ``keys`` are object keys of which a document has one; a format is told by them. By its
    ``shape``, told by how it begins, a document of any size is cut, where it can be.
    """

    name: str
    keys: tuple[str, ...]
    read: Callable[[bytes, Reasons], Iterable[Part]]
    shape: Callable[[bytes], Shape | None]


def _always(shape: Shape | None) -> Callable[[bytes], Shape | None]:
    return lambda _: shape


FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("otlp-json", otlp_json.KEYS, otlp_json.read, _always(otlp_json.SHAPE)),
        Format("otlp-protobuf", (), otlp_protobuf.read, _always(None)),
        Format("jaeger", jaeger.KEYS, jaeger.read, _always(jaeger.SHAPE)),
        Format("langfuse", langfuse.KEYS, langfuse.read, _always(langfuse.SHAPE)),
        Format("sdk-json", sdk_json.KEYS, sdk_json.read, _always(sdk_json.SHAPE)),
        Format("chat", chat.KEYS, chat.read, chat.shape),
    )
}
"""In the order in which they are tried: from the most particular keys to the least."""

MAX_MENDED = 4 * 1024 * 1024
"""Larger documents are mended piece by piece. Bytes."""

TAU = "tau"
_BINARY = "otlp-protobuf"
_TAU_KEYS = ("simulations", "traj", "num_trials", "reward_info")


def detect(path: Path) -> str:
    """The name of the file's format, or ``tau``. Raises FileError if it is none that is known."""
    start = head(path)
    if start.lstrip()[:1] not in (b"{", b"["):
        if framing(start) is not None:
            return "otlp-protobuf"
        raise FileError(Problem(str(path), f"neither JSON nor OTLP protobuf. {_known()}"))
    if _has(start, otlp_json.KEYS):
        return "otlp-json"
    if _has(start, _TAU_KEYS):
        return TAU
    for one in FORMATS.values():
        if _has(start, one.keys):
            return one.name
    raise FileError(Problem(str(path), f"its format is not recognized. {_known()}"))


def read_parts(path: Path, name: str, refused: Reasons) -> Iterator[Part]:
    """The file's parts. A document that cannot be read is counted in ``refused``, with why."""
    documents = (
        binary_documents(path, refused)
        if name == _BINARY
        else json_documents(path, refused, FORMATS[name].shape(head(path)))
    )
    for document in documents:
        try:
            found = read_document(document, name, refused)
        except InputError as error:
            refused[f"document: {str(error)[:200]}"] += 1
            continue
        yield from found


def read_document(document: bytes, name: str, refused: Reasons) -> Iterable[Part]:
    """A document's parts: what is good of it. Raises InputError where nothing is."""
    one = FORMATS[name]
    try:
        return one.read(document, refused)
    except InputError:
        found = [] if name == _BINARY else _again(one, document, refused)
        if not found:
            raise
        return found


def _again(one: Format, document: bytes, refused: Reasons) -> list[Part]:
    """What can be read of a document that cannot be read whole, with what is bad in it mended."""
    found: list[Part] = []
    counts = Reasons()
    shape = one.shape(document[:HEAD])
    try:
        if shape is None or len(document) <= MAX_MENDED:
            found = list(one.read(mended(document, counts), counts))
    except (InputError, ValueError, RecursionError):
        counts.clear()
    if not found and shape is not None:
        found = list(_piecemeal(one, document, shape, counts))
    if found:
        refused.update(counts)
    return found


def _piecemeal(one: Format, document: bytes, shape: Shape, refused: Reasons) -> Iterator[Part]:
    """The document, element by element: what is damaged costs only itself, or what follows it."""
    left = 10 * len(document)  # an element's piece repeats what it shares with others
    for piece in pieces(document, io.BytesIO(), shape, refused, batch=0):
        left -= len(piece)
        if left < 0:
            refused["the rest of a document: too much of it is damaged"] += 1
            return
        try:
            yield from one.read(piece, refused)
        except InputError as error:
            try:
                found = one.read(mended(piece, counts := Reasons()), refused)
                refused.update(counts)
                yield from found
            except (InputError, ValueError, RecursionError):
                refused[f"part of a document: {str(error)[:200]}"] += 1


def _has(start: bytes, keys: tuple[str, ...]) -> bool:
    """Whether one of the keys is there; not one quoted within a text."""
    alternatives = "|".join(map(re.escape, keys)).encode()
    return bool(keys) and re.search(rb'(?<!\\)"(?:%s)"\s*:' % alternatives, start) is not None


def _known() -> str:
    return f"Name it with --format: {', '.join([*FORMATS, TAU])}"
