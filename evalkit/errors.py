"""Every deliberate error of evalkit, and the exit code that each one means.

EvalkitError
├── InputError                 exit 2: the user's input or configuration is wrong
│   ├── FileError              a suite, dataset or trace file, with file, line and key
│   ├── PluginError            a scorer, pipeline or convention that does not load
│   ├── TooMuchError           a value that is too long or too deep to be compared
│   └── NotFoundError          a run, label, case or baseline that does not exist
└── IncompleteError            exit 3: the run could not be completed or decided
    ├── StoreError             results could not be written or read
    └── TargetError            the pipeline could not be reached, crashed or timed out
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class ExitCode(IntEnum):
    """What every command returns to the shell."""

    PASSED = 0
    GATE_FAILED = 1
    BAD_INPUT = 2
    INCOMPLETE = 3


class EvalkitError(Exception):
    """The root of all errors that evalkit raises on purpose: shown without a traceback."""

    exit_code: ExitCode = ExitCode.INCOMPLETE


class InputError(EvalkitError):
    """What the user gave is wrong; the message says what was found and what to do."""

    exit_code = ExitCode.BAD_INPUT


class TooMuchError(InputError):
    """A value is beyond what is compared: it could not be judged; the message says what it is."""


class Problem(NamedTuple):
    """One thing that is wrong in a file: where it is, and what a person should do about it."""

    file: str
    message: str
    line: int | None = None
    column: int | None = None
    case: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        about = [f"case {self.case!r}"] if self.case else []
        about += [f"at {self.key}"] if self.key else []
        return f"{place}: {self.message}" + (f" ({', '.join(about)})" if about else "")


class FileError(InputError):
    """A file that cannot be used, with every problem found in it."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class PluginError(InputError):
    """A plug-in that does not load, or is not of the shape that its seam asks for."""


class NotFoundError(InputError):
    """A run, label, case, route or baseline that does not exist."""


class IncompleteError(EvalkitError):
    """The work could not be completed or decided."""

    exit_code = ExitCode.INCOMPLETE


class StoreError(IncompleteError):
    """Results could not be written or read."""


class TargetError(IncompleteError):
    """The pipeline gave no answer: an infrastructure failure, never a wrong answer.

    ``status`` is one of :data:`evalkit.results.InfrastructureStatus`.
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status
