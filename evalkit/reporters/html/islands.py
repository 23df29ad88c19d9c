"""Data within a page: JSON that no browser can read as markup, compressed where it is large."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

LARGE = 1_000_000
"""Above so many characters in all, a page's islands are compressed."""

_PACK = 400_000


def dump(value: Any) -> str:
    """JSON without anything that ends a script element or starts a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").encode("utf-8", "replace").decode("utf-8")


def pack(details: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
    """The details as JSON arrays of about 400 kB, each with the place of its first."""
    packs: list[tuple[int, str]] = []
    waiting: list[str] = []
    start = size = 0
    for at, one in enumerate(details):
        text = dump(one)
        waiting.append(text)
        size += len(text)
        if size >= _PACK:
            packs.append((start, "[" + ",".join(waiting) + "]"))
            waiting, start, size = [], at + 1, 0
    if waiting:
        packs.append((start, "[" + ",".join(waiting) + "]"))
    return packs


def island(name: str, text: str, compressed: bool) -> str:
    """A script element of data, which no browser runs."""
    if not compressed:
        return f'<script type="application/json" id="{name}">{text}</script>'
    data = base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()
    return f'<script type="text/plain" data-packed="gzip" id="{name}">{data}</script>'
