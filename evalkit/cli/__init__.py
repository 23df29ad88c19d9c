"""The command line: thin commands over the modules that do the work."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 passed, 1 gate failed, 2 bad input, 3 not done.

    ``arguments`` default to those of the process.
    """
    import sys

    from evalkit.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        # A terminal or pipe that is not UTF-8 shows a question mark, and is no reason to fail.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        app(args=None if arguments is None else list(arguments), prog_name="evalkit")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    return 0
