"""A program in a terminal of its own, as a person sees and types it."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PATIENCE_S = 60.0


class Terminal:
    """Runs a command in a pseudo-terminal; ``said`` is all that it has written so far."""

    def __init__(self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self._own, theirs = os.openpty()
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=dict(env),
            preexec_fn=lambda: os.login_tty(theirs),  # noqa: PLW1509 - Ctrl-C needs it
        )  # fmt: skip
        os.close(theirs)
        self.said = ""
        self._seen = 0

    def expect(self, text: str) -> str:
        """Waits until the program says this; gives what it said since the last call."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.said[self._seen :]:
            if not self._read(deadline):
                raise AssertionError(f"never said {text!r}:\n{self.said[self._seen :]}")
        end = self.said.index(text, self._seen) + len(text)
        came, self._seen = self.said[self._seen : end], end
        return came

    def type(self, line: str) -> None:
        """Types a line and Enter."""
        os.write(self._own, line.encode() + b"\r")

    def press(self, key: bytes) -> None:
        """Presses one key: b"\\x03" is Ctrl-C, b"\\x04" Ctrl-D."""
        os.write(self._own, key)

    def interrupt(self) -> int:
        """Presses Ctrl-C, as a person does: once more if nothing comes of it; the exit code.

        One that comes just before the program begins to read is seen only when it has read.
        """
        for _ in range(int(PATIENCE_S)):
            self.press(b"\x03")
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1.0)
                break
        return self.exit_code()

    def exit_code(self) -> int:
        """Waits for the end of the program; its exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            pass
        code = self._process.wait(timeout=PATIENCE_S)
        os.close(self._own)
        return code

    def _read(self, deadline: float) -> bool:
        """Reads what there is; False at the end, or when the time is up."""
        ready, _, _ = select.select([self._own], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            self._process.kill()
            return False
        try:
            data = os.read(self._own, 65536)
        except OSError:  # Linux says so when the other end is closed
            return False
        self.said += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode("utf-8", "replace"))
        return bool(data)
