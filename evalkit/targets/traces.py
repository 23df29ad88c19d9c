"""Trajectories that were recorded before: nothing is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from evalkit.errors import FileError, Problem, TargetError
from evalkit.protocols import Answer, TrialContext
from evalkit.suite import Pipeline
from evalkit.trajectory import Trajectory


class Recording(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a recordings file: the trajectory of one trial of one case."""

    case: str
    trajectory: Trajectory
    trial: int = 0


class TracesTarget:
    """Answers each trial from a JSON Lines file of ``{"case", "trial", "trajectory"}``."""

    spans_from = "recording"

    def __init__(self, pipeline: Pipeline, folder: str) -> None:
        self._file = Path(folder, pipeline.traces or "")
        self._recordings, self._untold = _read(self._file)

    async def __call__(self, case_input: Any, context: TrialContext) -> Answer:
        trajectory = self._recordings.get((context.case, context.trial))
        if trajectory is None:
            raise TargetError(
                "no_trace", f"{self._file.name} has no trial {context.trial} of {context.case!r}"
            )
        if (context.case, context.trial) in self._untold:
            raise TargetError(
                "no_trace",
                f"{self._file.name} does not tell the steps of trial {context.trial} of"
                f' {context.case!r}: write `"steps": []` where nothing was done',
            )
        return Answer(output=trajectory.output, trajectory=trajectory)

    async def close(self) -> None:
        """Nothing is held."""


_Key = tuple[str, int]


def _read(file: Path) -> tuple[dict[_Key, Trajectory], set[_Key]]:
    """The trajectories, and the keys of those that do not say what their steps are."""
    import jsonlines

    found: dict[_Key, Trajectory] = {}
    untold: set[_Key] = set()
    try:
        with jsonlines.open(file, loads=msgspec.json.decode) as reader:
            for value in reader.iter(type=dict, skip_empty=True):
                recording = msgspec.convert(value, Recording)
                key = (recording.case, recording.trial)
                if key in found:
                    message = f"trial {recording.trial} is recorded twice"
                    raise FileError(Problem(str(file), message, case=recording.case))
                found[key] = recording.trajectory
                if "steps" not in value["trajectory"]:
                    untold.add(key)
    except OSError as error:
        raise FileError(Problem(str(file), f"cannot be read: {error.strerror}")) from None
    except jsonlines.InvalidLineError as error:
        raise FileError(Problem(str(file), str(error), error.lineno)) from None
    except msgspec.ValidationError as error:
        message = f"not a recording after {len(found)} good ones: {error}"
        raise FileError(Problem(str(file), message)) from None
    return found, untold
