"""A program: the case as JSON on its standard input, the answer as JSON on its output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Any

import msgspec

from evalkit.errors import TargetError
from evalkit.protocols import Answer, TrialContext
from evalkit.suite import Pipeline

MAX_OUTPUT = 16 * 2**20
STDERR_KEPT = 64 * 2**10


class CommandTarget:
    """Starts the program once per trial, in the suite's folder.

    Standard input is ``{"input": ..., "settings": {...}}``; standard output is the answer, one
    JSON value. ``TRACEPARENT`` and ``OTEL_EXPORTER_OTLP_ENDPOINT`` in its environment say where
    its spans belong and where to send them (OTLP over HTTP).
    """

    spans_from = "otlp"

    def __init__(self, pipeline: Pipeline, folder: str) -> None:
        self._command = pipeline.command or ()
        self._folder = folder
        self._calls: set[asyncio.Task[Answer]] = set()

    async def __call__(self, case_input: Any, context: TrialContext) -> Answer:
        call = asyncio.ensure_future(self._answer(case_input, context))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return await call

    async def close(self) -> None:
        """Waits until the programs of calls that were cancelled have ended.

        Else the loop might be closed before, of which asyncio warns under Python 3.11.
        """
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _answer(self, case_input: Any, context: TrialContext) -> Answer:
        payload = msgspec.json.encode({"input": case_input, "settings": dict(context.settings)})
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self._folder,
                env={**os.environ, **_environment(context)},
                start_new_session=True,
            )
        except OSError as error:
            reason = f"{self._command[0]!r} does not start: {error.strerror}"
            raise TargetError("crashed", reason) from error
        try:
            output, complaint = await _converse(process, payload)
            status = await process.wait()
        finally:
            await _end(process)
        if status != 0:
            how = f"killed by signal {-status}" if status < 0 else f"exit code {status}"
            raise TargetError("crashed", f"{how}: {_tail(complaint) or 'nothing on stderr'}")
        return Answer(output=_decode(output))


def _environment(context: TrialContext) -> dict[str, str]:
    found = {"TRACEPARENT": context.traceparent}
    if context.otlp_endpoint:
        found |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": context.otlp_endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_EXPORTER": "otlp",
        }
    return found


async def _converse(process: asyncio.subprocess.Process, payload: bytes) -> tuple[bytes, bytes]:
    assert process.stdin and process.stdout and process.stderr

    async def write(stdin: asyncio.StreamWriter) -> None:
        # A program may answer without reading its input to the end.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stdin.write(payload)
            await stdin.drain()
        stdin.close()

    output = asyncio.ensure_future(_read_all(process.stdout))
    complaint = asyncio.ensure_future(_read_tail(process.stderr))
    written = asyncio.ensure_future(write(process.stdin))
    try:
        await asyncio.gather(output, complaint, written)
    finally:
        for part in (output, complaint, written):
            part.cancel()
    return output.result(), complaint.result()


async def _read_all(stream: asyncio.StreamReader) -> bytes:
    found = bytearray()
    while chunk := await stream.read(2**16):
        found += chunk
        if len(found) > MAX_OUTPUT:
            raise TargetError("crashed", f"printed more than {MAX_OUTPUT:,} bytes")
    return bytes(found)


async def _read_tail(stream: asyncio.StreamReader) -> bytes:
    found = b""
    while chunk := await stream.read(2**16):
        found = (found + chunk)[-STDERR_KEPT:]
    return found


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends the program and all that it started, and closes what leads to it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process._transport.close()  # type: ignore[attr-defined]  # asyncio has no public way
    await process.wait()
    await asyncio.sleep(0)  # the pipes close in the loop's next turn


def _decode(output: bytes) -> Any:
    try:
        return msgspec.json.decode(output)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        excerpt = output[:200].decode("utf-8", "replace")
        raise TargetError(
            "crashed", f"standard output is not one JSON value ({error}): {excerpt!r}"
        ) from None


def _tail(complaint: bytes) -> str:
    lines = complaint.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:500] if lines else ""
