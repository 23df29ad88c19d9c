"""Foreign text and values for a page that sets them as text: bounded, with nothing hidden."""

from __future__ import annotations

import json
import re
from typing import Any

from evalkit.reporters.json import plain

# What a screen obeys instead of showing: control characters, bidirectional overrides and other
# invisible ones, and half surrogate pairs, which UTF-8 cannot hold.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
LIMIT = 4_000
"""How many characters of one value a page shows unless the caller says otherwise."""


def visible(text: object, limit: int = LIMIT) -> str:
    """``text`` with what could not be seen written out (``\\u202e``), at most ``limit`` long."""
    given = str(text)
    shown = _UNSEEN.sub(_written_out, given[: max(0, limit)].replace("\r\n", "\n"))
    more = len(given) - limit
    return shown + (f"\n… {more:,} more characters are cut off" if more > 0 else "")


def value(found: Any, limit: int = LIMIT) -> str | None:
    """A JSON value as indented text, a text as itself; None where nothing is recorded."""
    if found is None:
        return None
    if isinstance(found, str):
        return visible(found, limit)
    return visible(json.dumps(plain(found), ensure_ascii=False, indent=2), limit)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
