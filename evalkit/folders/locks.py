"""Advisory file locks (flock): one writer at a time, and a message that says who it is."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evalkit.errors import StoreError

_PAUSE = 0.02


class LockHeldError(StoreError):
    """Another process, or another part of this one, holds the lock; ``holder`` says which."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is held by {holder}")
        self.holder = holder


def take(path: Path, *, wait: float = 0.0, shared: bool = False) -> int:
    """Takes the lock on a side file, which is created and never removed.

    Waits at most ``wait`` seconds. Returns a descriptor for :func:`release`; the system also
    releases it when the process ends, however it ends. Raises LockHeldError, or StoreError
    where the file system has no locks.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + wait
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"cannot open the lock file {path}: {error.strerror}") from error
    try:
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise StoreError(f"cannot lock {path}: {error.strerror}") from error
            if time.monotonic() >= deadline:
                raise LockHeldError(path, _holder(descriptor))
            time.sleep(_PAUSE)
        if not shared:
            _sign(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def release(descriptor: int) -> None:
    """Gives a lock back, also where a forked child still has the descriptor open."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


@contextmanager
def held(path: Path, *, wait: float = 0.0, shared: bool = False) -> Iterator[None]:
    """Holds the lock for a ``with`` block; raises as :func:`take` does."""
    descriptor = take(path, wait=wait, shared=shared)
    try:
        yield
    finally:
        release(descriptor)


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock at this moment."""
    if not path.exists():
        return True
    try:
        # Shared: two readers that look at the same time do not take each other for a writer.
        release(take(path, shared=True))
    except LockHeldError:
        return False
    except StoreError:  # a read-only store can still be read
        return True
    return True


def _sign(descriptor: int) -> None:
    """Writes who holds the lock, for the message that others show while they wait."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    text = f"process {os.getpid()} on {socket.gethostname()} since {since}"
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
    except OSError:  # a full disk must not keep anyone from locking
        return


def _holder(descriptor: int) -> str:
    text = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
    return text if text.startswith("process ") and text.isprintable() else "another process"
