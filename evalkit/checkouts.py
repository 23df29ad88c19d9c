"""The pipeline of another checkout, tried in a process of its own, with its own code.

:func:`locate` finds what is to be run, :class:`CheckoutArm` runs it. The process is
:mod:`evalkit.checkout_process`; the two speak JSON lines over its standard input and output:
an :class:`Opening`, then a :class:`Job` per trial; back come :class:`Said`, each a trial in the
journal's form. The trials are scored here, so that both versions are judged alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from evalkit import git, scoring
from evalkit.dataset import Case
from evalkit.errors import IncompleteError, InputError
from evalkit.results import Trial
from evalkit.suite import Setting

PROTOCOL = 1
"""Of the messages; a process that speaks another is not used."""

MODULE = "evalkit.checkout_process"

START_S = 120.0
"""How long the other process may take to load its pipeline."""

SPARE_S = 45.0
"""How much longer than its attempts may take a trial may stay away."""

_LINE = 2**28
_KEPT = 64 * 2**10


class CannotRerunError(IncompleteError):
    """The baseline cannot be run again: the gate falls back to its stored trials."""


class Checkout(NamedTuple):
    """A checkout that holds another version of the suite: ``root`` is its top folder."""

    root: Path
    suite: Path
    here: Path
    python: Path
    commit: str | None
    uncommitted: str | None

    def place(self, path: Path) -> Path | None:
        """The same place in the checkout as ``path`` has here; None where it is not in here."""
        path = path.resolve()
        if path.is_relative_to(self.root) or not path.is_relative_to(self.here):
            return None
        return self.root / path.relative_to(self.here)


class Opening(msgspec.Struct, frozen=True):
    """What the other process runs. ``here`` is the checkout whose code it must not load."""

    protocol: int
    suite: str
    root: str
    here: str
    settings: dict[str, Setting]


class Job(msgspec.Struct, frozen=True):
    """One trial to make; the case's id, route and input are all that the pipeline may need."""

    case: str
    route: str
    trial: int
    input: Any


class Ready(msgspec.Struct, frozen=True):
    """The pipeline is loaded; a trial takes ``patience`` seconds at most."""

    protocol: int
    evalkit: str
    patience: float


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of the other process: it is ready, it refuses, or here is a trial."""

    ready: Ready | None = None
    refused: str | None = None
    trial: msgspec.Raw = msgspec.Raw()


def locate(suite: Path, folder: Path, python: Path | None = None) -> Checkout:
    """The same suite in another checkout, and the interpreter that runs it there.

    Without ``python``, that of the checkout's ``.venv``, else the one that runs now. Raises
    InputError where there is no such folder, suite or interpreter, or the folder is this checkout.
    """
    if not folder.is_dir():
        raise InputError(f"--baseline-checkout {folder}: there is no such folder")
    root, suite = folder.resolve(), suite.resolve()
    here = git.root(suite.parent) or _common(suite)
    if root == here.resolve():
        raise InputError(
            f"--baseline-checkout {folder} is the checkout that the candidate is run from: give "
            "another one, for instance from `git worktree add ../baseline main`"
        )
    place = suite.relative_to(here.resolve())
    if not (root / place).is_file():
        raise InputError(
            f"--baseline-checkout {folder}: it has no {place}; give the top folder of a checkout "
            f"of the baseline, as {here} is the candidate's"
        )
    own = root / ".venv" / "bin" / "python"
    chosen = python or (own if own.exists() else Path(sys.executable))
    if not os.access(chosen, os.X_OK) or chosen.is_dir():
        raise InputError(f"--baseline-python {chosen}: there is no such program")
    chosen = Path(os.path.abspath(chosen))  # noqa: PTH100  resolved, it leaves its environment
    return Checkout(
        root, root / place, here.resolve(), chosen, git.commit(root), git.uncommitted(root)
    )


def _common(suite: Path) -> Path:
    """Outside git: the working folder, if the suite is below it, else the suite's own folder."""
    here = Path.cwd().resolve()
    return here if suite.is_relative_to(here) else suite.parent


class CheckoutArm:
    """Tries cases with the pipeline of a checkout, on one event loop.

    ``evalkit`` is this one's version: another may read the same spans in another way.
    ``ended`` says why there is nothing more to be had: a process that died or hung gives trials
    that crashed, which is an infrastructure failure and no answer.
    """

    def __init__(
        self,
        checkout: Checkout,
        settings: Mapping[str, Setting],
        scorers: Sequence[scoring.BoundScorer],
        evalkit: str,
    ) -> None:
        self.ended = ""
        self._checkout, self._settings, self._scorers = checkout, dict(settings), scorers
        self._evalkit = evalkit
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: dict[tuple[str, int], asyncio.Future[Trial]] = {}
        self._patience = 0.0
        self._complaint = b""
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Starts the process. Raises CannotRerunError, with what it said, where it is not ready."""
        checkout = self._checkout
        cwd = checkout.place(Path.cwd())
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(str(checkout.python), "-P", "-m", MODULE),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=cwd if cwd and cwd.is_dir() else checkout.root,
                env=_environment(checkout),
                start_new_session=True,
                limit=_LINE,
            )
        except OSError as error:
            raise CannotRerunError(f"{checkout.python} does not start: {error.strerror}") from error
        self._tasks.append(asyncio.create_task(self._listen_to_complaints(self._process)))
        await self._send(
            Opening(
                PROTOCOL,
                str(checkout.suite),
                str(checkout.root),
                str(checkout.here),
                self._settings,
            )
        )
        try:
            said = await asyncio.wait_for(self._next(), START_S)
        except TimeoutError:
            raise CannotRerunError(
                f"the checkout {checkout.root} was not ready within {START_S:.0f} s"
            ) from None
        except (ValueError, RecursionError) as error:
            raise CannotRerunError(
                f"{checkout.python} said what is no message: {str(error)[:200]}"
            ) from None
        if said is None or said.ready is None:
            why = said.refused if said else None
            raise CannotRerunError(
                f"the checkout {checkout.root} does not run: {why or await self._why_it_ended()}"
            )
        if (said.ready.protocol, said.ready.evalkit) != (PROTOCOL, self._evalkit):
            raise CannotRerunError(
                f"{checkout.python} has evalkit {said.ready.evalkit}, and this is {self._evalkit}, "
                "which may read the same spans in another way: install this version there"
            )
        self._patience = said.ready.patience + SPARE_S
        self._tasks.append(asyncio.create_task(self._listen()))

    async def try_once(self, case: Case, number: int) -> Trial:
        """One trial of a case, scored here."""
        lost = Trial(case=case.id, trial=number, route=case.route, status="crashed")
        if self.ended:
            return replace(lost, error=self.ended)
        coming = asyncio.get_running_loop().create_future()
        self._waiting[case.id, number] = coming
        await self._send(Job(case.id, case.route, number, case.input))
        try:
            trial: Trial = await asyncio.wait_for(coming, self._patience)
        except TimeoutError:
            await self._give_up(f"the baseline's process gave no trial in {self._patience:.0f} s")
            return replace(lost, error=self.ended)
        finally:
            self._waiting.pop((case.id, number), None)
        if trial.status != "completed" or trial.trajectory is None:
            return trial
        scores = await scoring.score_trial_async(case, trial.trajectory, self._scorers)
        return replace(trial, scores=scores)

    async def close(self) -> None:
        """Ends the process: it may finish by itself for a moment, then it is killed."""
        process = self._process
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 5)
        self._kill(process)
        await process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self, message: msgspec.Struct) -> None:
        assert self._process and self._process.stdin, "opened"
        # A process that died is noticed by what reads from it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(msgspec.json.encode(message) + b"\n")
            await self._process.stdin.drain()

    async def _next(self) -> Said | None:
        """The next message; None where the process ended. Raises ValueError for what is none."""
        assert self._process and self._process.stdout, "opened"
        line = await self._process.stdout.readline()
        return msgspec.json.decode(line, type=Said) if line.endswith(b"\n") else None

    async def _listen(self) -> None:
        """Hands trials to those that wait for them, until the process ends."""
        why = ""
        try:
            while (said := await self._next()) is not None:
                if said.refused is not None:
                    why = said.refused
                    break
                if bytes(said.trial):
                    trial = msgspec.json.decode(said.trial, type=Trial)
                    waiting = self._waiting.get(trial.key)
                    if waiting and not waiting.done():
                        waiting.set_result(trial)
        except (ValueError, RecursionError) as error:
            why = f"it said what is no message: {str(error)[:200]}"
        await self._give_up(f"the baseline's process ended: {why or await self._why_it_ended()}")

    async def _give_up(self, why: str) -> None:
        self.ended = self.ended or why
        for (case, number), waiting in list(self._waiting.items()):
            if not waiting.done():
                waiting.set_result(
                    Trial(case=case, trial=number, route="", status="crashed", error=self.ended)
                )
        if self._process:
            self._kill(self._process)

    async def _listen_to_complaints(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr
        while chunk := await process.stderr.read(2**16):
            self._complaint = (self._complaint + chunk)[-_KEPT:]

    async def _why_it_ended(self) -> str:
        """Its exit code and the last line of what it complained of."""
        assert self._process
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), 5)
        status = self._process.returncode
        lines = self._complaint.decode("utf-8", "replace").strip().splitlines()
        last = lines[-1][:500] if lines else "nothing on stderr"
        if "No module named evalkit" in last.replace("'", ""):
            return (
                f"{self._checkout.python} has no evalkit that can do this: install this version "
                "there, or name another interpreter with --baseline-python"
            )
        how = f"killed by signal {-status}" if status and status < 0 else f"exit code {status}"
        return f"{how}: {last}"

    def _kill(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _environment(checkout: Checkout) -> dict[str, str]:
    """This process's environment, as it would be in the checkout."""
    found = dict(os.environ)
    paths = found.get("PYTHONPATH", "").split(os.pathsep)
    moved = [str(checkout.place(Path(one)) or one) for one in paths if one]
    if moved:
        found["PYTHONPATH"] = os.pathsep.join(moved)
    own = checkout.root / ".venv"
    if checkout.python.is_relative_to(own):
        found["VIRTUAL_ENV"] = str(own)
        found["PATH"] = os.pathsep.join([str(own / "bin"), found.get("PATH", "")])
    return found
