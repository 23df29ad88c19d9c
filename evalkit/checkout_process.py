"""The process of another checkout: ``python -m evalkit.checkout_process``.

Tries the cases that :class:`evalkit.checkouts.CheckoutArm` asks for on its standard input, all
that are there at once, and answers with unscored trials. What the pipeline itself prints goes to
stderr.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from evalkit.capture import SETTLE_SECONDS
from evalkit.checkouts import PROTOCOL, Job, Opening, Ready, Said
from evalkit.dataset import Case
from evalkit.errors import EvalkitError, InputError
from evalkit.files import suite_alone
from evalkit.folders.lines import encode_trial
from evalkit.planning import version
from evalkit.suite import Suite
from evalkit.trials import Trials, open_trials

Say = Callable[[Said], None]


def main() -> int:
    """Serves until standard input ends."""
    jobs, answers = _take_channel()

    def say(message: Said) -> None:
        answers.write(msgspec.json.encode(message) + b"\n")
        answers.flush()

    try:
        opening = msgspec.json.decode(jobs.readline(), type=Opening)
        suite = _suite(opening)
        folder = Path(opening.suite).parent
        with open_trials(suite, folder, opening.settings, None, scored=False) as trials:
            foreign = _Foreign(Path(opening.here), Path(opening.root))
            foreign.refuse()
            say(Said(ready=Ready(PROTOCOL, version(), _patience(suite))))
            asyncio.run(_serve(trials, foreign, jobs, say))
    except (EvalkitError, msgspec.MsgspecError) as error:
        say(Said(refused=" ".join(str(error).split())[:1000]))
        return 1
    return 0


def _take_channel() -> tuple[IO[bytes], IO[bytes]]:
    """Standard input and output for ourselves: the pipeline gets nothing to read, and stderr."""
    jobs, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return os.fdopen(jobs, "rb", buffering=0), os.fdopen(answers, "wb")


def _suite(opening: Opening) -> Suite:
    if opening.protocol != PROTOCOL:
        raise InputError(f"this evalkit ({version()}) does not fit the candidate's")
    suite = suite_alone(Path(opening.suite))
    if suite.pipeline.target in ("http", "traces"):
        raise InputError(
            f"its pipeline is reached by `{suite.pipeline.target}`, so that the code in a "
            "checkout is not what runs"
        )
    return suite


def _patience(suite: Suite) -> float:
    tries = suite.pipeline.retries + 1
    return tries * (suite.pipeline.timeout + SETTLE_SECONDS) + float(2**tries)


class _Foreign:
    """Code of the candidate's checkout, loaded in place of this one's.

    Both arms would then be the same version, and a regression could never show.
    """

    def __init__(self, here: Path, root: Path) -> None:
        self._here, self._root = here, root
        prefixes = {Path(one).resolve() for one in (sys.prefix, sys.base_prefix)}
        self._environments = [one for one in prefixes if one.is_relative_to(here) and one != here]
        self._seen: set[str] = set()

    def refuse(self) -> None:
        """InputError for a module that was loaded since the last look and is foreign."""
        for name in sys.modules.keys() - self._seen:
            self._seen.add(name)
            file = getattr(sys.modules.get(name), "__file__", None)
            if isinstance(file, str) and self._is_foreign(name, Path(file).resolve()):
                raise InputError(
                    f"module {name} was loaded from the candidate's checkout ({file}), not from "
                    f"{self._root}: install the baseline in a .venv of its own, or name its "
                    "interpreter with --baseline-python"
                )

    def _is_foreign(self, name: str, file: Path) -> bool:
        if name.partition(".")[0] == "evalkit" or not file.is_relative_to(self._here):
            return False
        installed = {"site-packages", "dist-packages"} & set(file.parts)
        own = (self._root, *self._environments)
        return not installed and not any(file.is_relative_to(one) for one in own)


async def _serve(trials: Trials, foreign: _Foreign, jobs: IO[bytes], say: Say) -> None:
    reader = asyncio.StreamReader(limit=2**28)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), jobs)
    try:
        async with asyncio.TaskGroup() as group:
            while line := await reader.readline():
                job = msgspec.json.decode(line, type=Job)
                group.create_task(_try(trials, foreign, job, say))
    except BaseExceptionGroup as failures:  # the group's first says it, also a Ctrl-C
        raise failures.exceptions[0] from None
    finally:
        await trials.close()


async def _try(trials: Trials, foreign: _Foreign, job: Job, say: Say) -> None:
    case = Case(id=job.case, input=job.input, route=job.route)
    trial = await trials.try_once(case, job.trial)
    foreign.refuse()  # a pipeline may import its parts when they are first used
    say(Said(trial=msgspec.Raw(encode_trial(trial).rstrip())))


if __name__ == "__main__":
    sys.exit(main())
