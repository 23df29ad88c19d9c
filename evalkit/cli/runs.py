"""`evalkit runs`: what is stored."""

from __future__ import annotations

import sys

from evalkit.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption
from evalkit.errors import ExitCode


def runs(store: StoreOption = DEFAULT_STORE, form: FormatOption = Format.TABLE) -> int:
    """List the stored runs, newest first."""
    from evalkit.cli.output import say, screen
    from evalkit.escaping import line
    from evalkit.store import Store

    opened = Store(store)
    found, trials = opened.runs(cases=False), opened.stored_trials()
    for name, why in opened.damaged():
        print(f"warning: run {line(name)} cannot be read: {line(why)}", file=sys.stderr)
    if form is Format.JSON:
        from evalkit.reporters import json

        say(json.render_runs(found, trials))
    else:
        from evalkit.reporters import terminal

        say(terminal.render_runs(found, trials, **screen()))
    return ExitCode.PASSED
