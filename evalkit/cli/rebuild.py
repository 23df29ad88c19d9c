"""`evalkit rebuild`: the database, made anew from the run folders."""

from __future__ import annotations

import sys

from evalkit.cli.options import DEFAULT_STORE, StoreOption
from evalkit.errors import ExitCode


def rebuild(store: StoreOption = DEFAULT_STORE) -> int:
    """Rebuild results.duckdb from the run folders, which are the truth."""
    from evalkit.cli.output import say
    from evalkit.escaping import line
    from evalkit.phrasing import plural
    from evalkit.store import Store

    rebuilt = Store(store).rebuild()
    say(f"rebuilt {line(store / 'results.duckdb')} from {plural(len(rebuilt.runs), 'run')}\n")
    for name, why in rebuilt.damaged:
        print(f"error: run {line(name)} cannot be read: {line(why)}", file=sys.stderr)
    return ExitCode.INCOMPLETE if rebuilt.damaged else ExitCode.PASSED
