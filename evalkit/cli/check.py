"""`evalkit check`: everything that is wrong with a suite and its dataset, at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.errors import ExitCode


def check(suite: Annotated[Path, typer.Argument(help="A suite file.")]) -> int:
    """Validate a suite and its dataset; runs nothing."""
    import sys

    from evalkit.check import guesses, inspect, unjudged
    from evalkit.cli.output import say
    from evalkit.escaping import line
    from evalkit.phrasing import plural

    loaded, problems = inspect(suite)
    for problem in problems:
        print(line(problem, 1000), file=sys.stderr)
    if problems or loaded is None:
        print(f"error: {plural(len(problems), 'problem')}", file=sys.stderr)
        return ExitCode.BAD_INPUT
    routes = len({case.route for case in loaded.dataset})
    cases = plural(len(loaded.dataset), "case")
    say(f"ok: {line(loaded.suite.name)}, {cases} on {plural(routes, 'route')}\n")
    for note in (*guesses(loaded), *unjudged(loaded)):
        print(f"note: {line(note, 1000)}", file=sys.stderr)
    return ExitCode.PASSED
