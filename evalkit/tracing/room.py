"""Memory that many threads share: each takes what it needs, or waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class NoRoomError(Exception):
    """What was asked for did not come free in time."""


class Room:
    """Bytes that may be held at once."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int, seconds: float) -> Iterator[None]:
        """Holds so many bytes for a while. Raises NoRoomError if they do not come free in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._left >= size, seconds):
                raise NoRoomError
            self._left -= size
        try:
            yield
        finally:
            with self._changed:
                self._left += size
                self._changed.notify_all()
