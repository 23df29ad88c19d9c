"""What git says of a folder: its checkout, the commit, and what was changed since."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path


def root(folder: Path) -> Path | None:
    """The top of the checkout that holds ``folder``; None outside one."""
    said = _asked(folder, "rev-parse", "--show-toplevel")
    return Path(said.decode("utf-8", "surrogateescape")) if said else None


def commit(folder: Path) -> str | None:
    """The commit that is checked out in ``folder``, twelve digits; None outside a checkout."""
    said = _asked(folder, "rev-parse", "--short=12", "HEAD")
    return said.decode("ascii", "replace") if said else None


def uncommitted(folder: Path) -> str | None:
    """A digest of what tracked files hold beyond the commit; None where they hold nothing more."""
    changes = _asked(folder, "diff", "--binary", "--no-ext-diff", "--no-textconv", "HEAD")
    return hashlib.sha256(changes).hexdigest()[:12] if changes else None


def _asked(folder: Path, *arguments: str) -> bytes | None:
    """What git prints; None where it fails, is slow or is not installed."""
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command; the folder is one argument
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
