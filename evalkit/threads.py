"""Blocking work off the event loop, without a pool: one daemon thread per call.

A pool's threads are joined when the program ends, so that one trial that never returns would
keep the whole run from ending; and the default pool is smaller than a run's concurrency.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def in_thread(function: Callable[[], Result]) -> Result:
    """What ``function`` returns or raises, called in a daemon thread and a copy of the context.

    Cancelling stops the waiting, not the thread.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def deliver(result: Result | None, failure: BaseException | None) -> None:
        if done.done():
            return
        if isinstance(failure, StopIteration):
            failure = RuntimeError(f"raised StopIteration({failure.value!r})")
        if failure is not None:
            done.set_exception(failure)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # None only beside a failure

    def work() -> None:
        result, failure = None, None
        try:
            result = function()
        except BaseException as error:  # it belongs to whoever waits
            failure = error
        try:
            loop.call_soon_threadsafe(deliver, result, failure)
        except RuntimeError:
            return  # the loop ended before this call did: nobody waits any more

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), daemon=True, name="evalkit").start()
    return await done


async def in_thread_within(seconds: float, function: Callable[[], Result]) -> Result:
    """As :func:`in_thread`, for at most so long: then OverTimeError, and the thread is stopped.

    Stopped is what runs Python code; a call into C that does not return keeps its thread. Where
    ``function`` calls ``sys.exit``, RuntimeError says so.
    """
    running: list[int] = []
    entrance = threading.Lock()

    def work() -> Result:
        running.append(threading.get_ident())
        try:
            return function()
        except SystemExit as error:  # out of a task it would end the loop, and the program
            raise RuntimeError(f"called sys.exit({error.code!r})") from error
        finally:
            with entrance:
                running.clear()

    waiting = asyncio.ensure_future(in_thread(work))
    try:
        done, _ = await asyncio.wait({waiting}, timeout=seconds)
    except asyncio.CancelledError:
        waiting.cancel()
        raise
    if done:
        return waiting.result()
    waiting.cancel()
    with entrance:  # under the lock the thread is still that of this call
        for thread in running:
            raised = ctypes.py_object(StoppedError)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)
    raise OverTimeError(f"did not return within {seconds:g} s")


class OverTimeError(Exception):
    """A call took longer than it may."""


class StoppedError(BaseException):
    """Raised in a thread that nobody waits for any more, wherever it is: not to be caught."""
