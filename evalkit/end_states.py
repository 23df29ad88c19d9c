"""The pipeline's real state after a trial, read by the function that a suite names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from evalkit import plugins
from evalkit.errors import PluginError
from evalkit.protocols import TrialContext
from evalkit.threads import OverTimeError, in_thread_within
from evalkit.trajectory import EndState

ReadState = Callable[[Any, TrialContext, Any], Any]


def load(path: str, folder: Path) -> ReadState:
    """The function at ``package.module:object``. Raises PluginError if it is none."""
    plugins.make_importable(folder, path)
    function = plugins.load_object(path)
    try:
        inspect.signature(function).bind(None, None, None)
    except (TypeError, ValueError) as error:
        raise PluginError(
            f"{path!r} can't be called as (input, context, answer): {error}"
        ) from None
    return function  # type: ignore[no-any-return]  # a callable, as just seen


async def read(
    function: ReadState, case_input: Any, context: TrialContext, answer: Any
) -> EndState:
    """What the function returns, as JSON; where it raises, or takes longer than the trial may, why.

    It runs in a thread of its own; a coroutine function runs on a loop in that thread.
    """
    try:
        found = await in_thread_within(
            context.timeout, lambda: _called(function, case_input, context, answer)
        )
        return EndState(value=msgspec.json.decode(msgspec.json.encode(found)))
    except OverTimeError as error:
        return EndState(error=str(error))
    except Exception as error:  # a user's function may raise anything
        said = " ".join(str(error)[:1000].split())[:300]
        return EndState(error=f"{type(error).__name__}: {said or 'no message'}")


def _called(function: ReadState, *arguments: Any) -> Any:
    import asyncio

    found = function(*arguments)
    return asyncio.run(_awaited(found)) if inspect.isawaitable(found) else found


async def _awaited(found: Any) -> Any:
    return await found
