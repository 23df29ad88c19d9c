"""A trial as one line of JSON that is known to read back, and the journal made of such lines."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from evalkit.errors import PluginError, StoreError
from evalkit.results import Trial

MAX_NESTING = 400
"""JSON levels in one line: 100 nested steps take 200. Deeper values are cut, and say so."""

MAX_INTEGER_BITS = 4096

CUT = "(nested deeper than evalkit stores)"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Trial)

# What encoding or decoding raises for what is no JSON, or too deep or too long for it.
_UNFIT = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)

_HOLDERS = (msgspec.Struct, Mapping, list, tuple, set, frozenset)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_LEVELS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def encode_trial(trial: Trial) -> bytes:
    """The trial as one line of JSON, newline included, checked to read back.

    NaN and infinities become null. What JSON or UTF-8 has no room for is replaced and visible:
    lone surrogates by U+FFFD, integers over 4,096 bits, objects of other types and what nests
    too deep by a text that says so. Raises PluginError for a record that is not of a trial's
    shape, as a plug-in may have made.
    """
    try:
        line = _encoder.encode(trial)
        if _nesting(line) <= MAX_NESTING:
            _decoder.decode(line)
            return line + b"\n"
    except _UNFIT:
        pass
    try:
        line = _encoder.encode(_plain(trial))
        _decoder.decode(line)
    except _UNFIT as error:
        raise PluginError(
            f"trial {trial.trial!r} of case {str(trial.case)[:200]!r} cannot be stored: {error}. "
            "A scorer, target or convention made a record that is not of the documented shape"
        ) from error
    return line + b"\n"


def read_journal(path: Path) -> Iterator[Trial]:
    """The trials of a journal, the last record of each case and trial, in that record's order.

    Memory is that of one key per trial. A line that is torn or damaged counts as not written.
    """
    last: dict[tuple[str, int], int] = {}
    for number, trial in _decoded(path):
        last[trial.key] = number
    winners = set(last.values())
    yield from (trial for number, trial in _decoded(path, winners) if number in winners)


def scan_journal(path: Path) -> tuple[set[tuple[str, int]], int]:
    """The keys of finished trials, and where the last whole line ends (bytes).

    A trial whose last record is an infrastructure failure is not finished: it is tried again.
    """
    finished: set[tuple[str, int]] = set()
    for _, trial in _decoded(path):
        if trial.status == "completed":
            finished.add(trial.key)
        else:
            finished.discard(trial.key)
    return finished, _whole_lines(path)


def _whole_lines(path: Path) -> int:
    """Where the last line that ends in a newline ends."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(len(line) for line in file if line.endswith(b"\n"))


def _decoded(path: Path, wanted: set[int] | None = None) -> Iterator[tuple[int, Trial]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n") or (wanted is not None and number not in wanted):
                    continue
                try:
                    yield number, _decoder.decode(line)
                except _UNFIT:
                    continue
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error


def _nesting(line: bytes) -> int:
    """How deep the JSON nests; exact only above the limit's worth of brackets."""
    brackets = line.count(b"[") + line.count(b"{")
    if brackets <= MAX_NESTING:
        return brackets
    bare = _STRING.sub(b"", line).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_LEVELS.__getitem__, bare)), default=0)


def _plain(root: Any) -> Any:
    """The value as JSON has it, walked without recursion."""
    holder = [root]
    pending: list[tuple[Any, Any, Any, int]] = [(holder, 0, root, 0)]
    while pending:
        target, place, value, level = pending.pop()
        if not isinstance(value, _HOLDERS):
            target[place] = _scalar(value)
        elif level >= MAX_NESTING:
            target[place] = CUT
        else:
            made, held = _opened(value)
            target[place] = made
            pending.extend((made, key, one, level + 1) for key, one in held)
    return holder[0]


def _opened(value: Any) -> tuple[Any, list[tuple[Any, Any]]]:
    """An empty container of the same kind, and what belongs in it."""
    if isinstance(value, list | tuple | set | frozenset):
        return [None] * len(value), list(enumerate(value))
    if isinstance(value, msgspec.Struct):
        held = [(name, getattr(value, name)) for name in value.__struct_fields__]
    else:
        held = [(_key(key), one) for key, one in value.items()]
    return {key: None for key, _ in held}, held


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, int):
        bits = value.bit_length()
        return value if bits <= MAX_INTEGER_BITS else f"(an integer of {bits} bits)"
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _foreign(value)


def _key(key: Any) -> str:
    return str(_scalar(key)) if isinstance(key, str | int | float) else f"({type(key).__name__})"


def _foreign(value: Any) -> Any:
    """Dates, UUIDs, dataclasses and the like as msgspec writes them; others by their type."""
    try:
        return msgspec.json.decode(_encoder.encode(value))
    except Exception:  # a user's object may raise anything from its properties
        return f"({type(value).__name__})"
