"""Which runs were made baselines, and when: one line each, never rewritten."""

from __future__ import annotations

from pathlib import Path

import msgspec

from evalkit.errors import StoreError
from evalkit.reports import Promotion

PROMOTIONS = "baselines.jsonl"


def read_promotions(store: Path) -> list[Promotion]:
    """All promotions of a store, oldest first; a torn last line is left out.

    Raises StoreError where the file cannot be read.
    """
    path = store / PROMOTIONS
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    found = []
    for line in filter(None, lines):
        try:
            found.append(msgspec.json.decode(line, type=Promotion))
        except (msgspec.MsgspecError, RecursionError):
            continue
    return found
