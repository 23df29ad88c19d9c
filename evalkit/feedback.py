"""What people said of traces: thumbs, escalations, reopened tickets, human overrides.

Imported feedback is kept in the store, one line per remark, and joins triage as signals.
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from evalkit.errors import FileError, Problem
from evalkit.files import read_json, read_text, write_atomically
from evalkit.folders import locks
from evalkit.redaction import redact_secrets
from evalkit.triaging.signals import Signal

FILE = "feedback.jsonl"
MAX_SAID = 300
_COLUMNS = ("signal", "feedback", "rating", "thumbs", "kind", "type", "event", "score", "value")
_IDS = ("trace_id", "trace", "session_id", "session")
_GOOD = frozenset(
    {"thumbs_up", "up", "positive", "good", "1", "+1", "true", "like", "resolved", "👍"}
)
_WORDS = {
    "thumbs_down": ("thumbs_down", "down", "negative", "bad", "-1", "0", "false", "dislike", "👎"),
    "escalated": ("escalated", "escalation", "escalate"),
    "reopened": ("reopened", "reopen", "reopened_ticket", "ticket_reopened", "ticket_reopen"),
    "overridden": ("overridden", "override", "human_override", "human_overridden", "corrected"),
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words}


class Remark(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody said of a trace or session. ``signal`` is None for praise."""

    id: str
    signal: str | None
    note: str = ""


class Imported(NamedTuple):
    """What an import did: remarks that are new, that were there already, and praise among them."""

    added: int
    known: int
    praise: int


def import_feedback(store: Path, file: Path) -> Imported:
    """Reads a CSV file with a header (``.csv``, ``.tsv``), or JSON Lines, and keeps what it says.

    A line names a trace or a session (``trace_id``, ``session_id``) and a ``signal``: thumbs_up,
    thumbs_down, escalated, reopened or overridden; ``note`` is optional, and secrets in it are
    redacted. Raises FileError with every line that is not so; then nothing is kept.
    """
    remarks = _remarks(file)
    path = store / FILE
    store.mkdir(parents=True, exist_ok=True)
    with locks.held(store / f"{FILE}.lock", wait=10.0):
        known = set(_read(path)) if path.exists() else set()
        new = [one for one in dict.fromkeys(remarks) if one not in known]
        lines = b"".join(msgspec.json.encode(one) + b"\n" for one in new)
        write_atomically(path, (path.read_bytes() if path.exists() else b"") + lines)
    praise = sum(one.signal is None for one in new)
    return Imported(len(new), len(remarks) - len(new), praise)


def read_feedback(store: Path) -> Mapping[str, tuple[Signal, ...]]:
    """The signals from people by trace or session id; empty where nothing was imported."""
    path = store / FILE
    found: dict[str, list[Signal]] = defaultdict(list)
    for one in _read(path) if path.exists() else ():
        if one.signal in _WORDS:
            found[one.id].append(msgspec.convert({"kind": one.signal, "text": one.note}, Signal))
    return {trace: tuple(signals) for trace, signals in found.items()}


def _read(path: Path) -> list[Remark]:
    try:
        return [
            msgspec.json.decode(line, type=Remark) for line in read_text(path).split("\n") if line
        ]
    except msgspec.MsgspecError as error:
        raise FileError(Problem(str(path), f"no feedback file of evalkit: {error}")) from None


def _remarks(file: Path) -> list[Remark]:
    remarks, problems = [], []
    for number, row in _rows(file):
        remark, wrong = _remark(row)
        if remark is None:
            problems.append(Problem(str(file), wrong, number))
        else:
            remarks.append(remark)
    if not remarks and not problems:
        problems.append(Problem(str(file), "there is no feedback in it"))
    if problems:
        raise FileError(*problems[:50])
    return remarks


def _rows(file: Path) -> Iterator[tuple[int, Any]]:
    text = read_text(file).removeprefix("\ufeff")
    if file.suffix.lower() in (".csv", ".tsv"):
        header = text.split("\n", 1)[0]
        separator = max(",;\t", key=header.count)
        try:
            reader = csv.DictReader(text.splitlines(), strict=True, delimiter=separator)
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise FileError(Problem(str(file), f"not CSV: {error}")) from None
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, read_json(line)
            except (json.JSONDecodeError, ValueError, RecursionError) as error:
                raise FileError(Problem(str(file), f"not JSON: {error}", number)) from None


def _remark(row: Any) -> tuple[Remark | None, str]:
    if not isinstance(row, dict):
        return None, "expected an object with trace_id and signal"
    told = {_snake(str(key)): value for key, value in row.items()}
    name = next((str(told[key]).strip() for key in _IDS if told.get(key)), "")
    said = next((told[key] for key in _COLUMNS if told.get(key) not in (None, "")), None)
    if not name or len(name) > MAX_SAID:
        return None, "no trace_id or session_id"
    word = re.sub(r"[ -]+(?=\D)", "_", str(said).strip().lower())
    if said is None or (word not in _KINDS and word not in _GOOD):
        known = ", ".join(["thumbs_up", *_WORDS])
        return None, f"signal {str(said)[:50]!r} is not known; expected one of {known}"
    note, _ = redact_secrets(str(told.get("note") or told.get("comment") or "")[:MAX_SAID])
    return Remark(name, _KINDS.get(word), note), ""


def _snake(key: str) -> str:
    """A column's name as it is looked for: ``Trace ID`` and ``traceId`` are ``trace_id``."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key.strip())
    return re.sub(r"[ -]+", "_", apart).lower()
