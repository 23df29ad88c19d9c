"""One place where what goes wrong becomes a line on stderr and an exit code."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from evalkit.errors import EvalkitError, ExitCode
from evalkit.escaping import line, lines

# Typer's click is its own copy in newer versions: reach its exceptions through what it exports.
_CLICK: tuple[type[BaseException], ...] = (typer.Exit, typer.Abort, *typer.BadParameter.mro()[1:3])

INTERRUPTED = 130


class Guarded(TyperGroup):
    """A group of commands that never shows a traceback unless ``--debug`` asks for it.

    A command returns its exit code; deliberate errors carry theirs; anything else is a defect of
    evalkit's and says so.
    """

    def invoke(self, ctx: Any) -> Any:
        """Runs the command and exits with its code."""
        try:
            code = super().invoke(ctx)
        except _CLICK:
            raise
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except EvalkitError as error:
            code = _fail(ctx, f"error: {lines(error, 20_000)}", error.exit_code)
        except BrokenPipeError:
            raise
        except SystemExit as stop:  # no command of evalkit's raises it: it must not pass for one
            said = f"error: the pipeline or a plug-in called sys.exit({line(repr(stop.code))})"
            code = _fail(ctx, said, ExitCode.INCOMPLETE)
        except Exception as error:  # the last resort: a person reads a line, not a traceback
            said = f"internal error: {type(error).__name__}: {line(error)}"
            hint = "; run with `evalkit --debug` to see where" * (not ctx.params.get("debug"))
            code = _fail(ctx, said + hint, ExitCode.INCOMPLETE)
        raise typer.Exit(int(code or 0))


def _fail(ctx: Any, message: str, code: ExitCode) -> ExitCode:
    if ctx.params.get("debug"):
        traceback.print_exc()
    print(message, file=sys.stderr)
    return code
