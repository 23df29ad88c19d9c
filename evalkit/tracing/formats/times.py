"""Times of the formats that write them as text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ns(value: Any) -> int:
    """Nanoseconds since the epoch from such a number or an ISO 8601 time; 0 where unknown."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value < 2**63 else 0
    if not isinstance(value, str):
        return 0
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return 0
    since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH
    found = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
    return found if 0 <= found < 2**63 else 0
