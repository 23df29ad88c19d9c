"""What was wrong with spans, log records and documents, counted by reason, never dropped silently.

Most reasons say why something was refused. Those of :data:`MENDED` say what was read all the
same, taken another way, and those of :data:`APART` are no fault of what was read.
"""

from __future__ import annotations

from collections import Counter

NO_TIME = "span without a start or an end that is a time: unknown"
ENDS_EARLY = "span that ends before it starts: taken to end there"
STARTS_EARLY = "span that starts before its parent: clocks differ"
NO_PARENT = "span whose parent is not there: taken as a root"
NO_NUMBER = "number that is NaN, infinite or none at all: unknown"
TOO_WIDE = "whole number over 64 bits: rounded"
NO_UNICODE = "text that is no Unicode: replaced in part"
TOO_LONG = "text over a million characters: cut"
TOO_DEEP = "value nested too deeply: cut"

MENDED = frozenset(
    (
        NO_TIME,
        ENDS_EARLY,
        STARTS_EARLY,
        NO_PARENT,
        NO_NUMBER,
        TOO_WIDE,
        NO_UNICODE,
        TOO_LONG,
        TOO_DEEP,
    )
)

NO_TRACE = "log record without a trace"
"""Most logs belong to no trace."""

UNJOINED = "log record whose span is not there"

APART = frozenset((NO_TRACE, UNJOINED))

_KEPT = MENDED | APART

MAX_REASONS = 200
OTHER_REASONS = "other reasons"


class Reasons(Counter[str]):
    """How many spans, records, documents or values had something wrong with them, by reason.

    Reasons quote what was found, and a hostile file holds any number of different things: what
    comes after MAX_REASONS different ones counts as OTHER_REASONS.
    """

    def __setitem__(self, reason: str, count: int) -> None:
        if len(self) >= MAX_REASONS and reason not in self and reason not in _KEPT:
            reason, count = OTHER_REASONS, self[OTHER_REASONS] + count
        super().__setitem__(reason, count)

    def refused(self) -> Counter[str]:
        """Those for which something was left out."""
        return Counter({why: n for why, n in self.items() if why not in _KEPT})

    def mended(self) -> Counter[str]:
        """Those for which something was taken another way."""
        return Counter({why: n for why, n in self.items() if why in MENDED})
