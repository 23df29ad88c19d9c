"""A Python function in this process, synchronous or not."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Self

from evalkit import plugins
from evalkit.errors import PluginError, TargetError
from evalkit.protocols import Answer, TrialContext
from evalkit.suite import Pipeline
from evalkit.threads import in_thread


class CallTarget:
    """Calls ``package.module:function`` with the case's input.

    A function with a parameter named ``settings`` also gets the run's settings. An ``async``
    function runs on the runner's event loop; any other in a thread of its own, so that a trial
    that never returns blocks neither the others nor the end of the program.
    """

    spans_from = "process"

    def __init__(self, pipeline: Pipeline, folder: str) -> None:
        path = pipeline.call or ""
        plugins.make_importable(folder, path)
        self._use(plugins.load_object(path), path)

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Self:
        """The target that calls this very function."""
        target = cls.__new__(cls)
        target._use(function, getattr(function, "__qualname__", repr(function)))
        return target

    def _use(self, function: Callable[..., Any], path: str) -> None:
        if not callable(function):
            raise PluginError(f"{path!r} is not callable")
        self._function = function
        self._takes_settings = _takes_settings(function, path)
        called = getattr(function, "__call__", None)  # noqa: B004  an object's may be async
        self._is_async = any(map(inspect.iscoroutinefunction, (function, called)))

    async def __call__(self, case_input: Any, context: TrialContext) -> Answer:
        keywords = {"settings": dict(context.settings)} if self._takes_settings else {}
        try:
            if self._is_async:
                output = await self._function(case_input, **keywords)
            else:
                output = await in_thread(lambda: self._function(case_input, **keywords))
                if inspect.isawaitable(output):
                    output = await output
        except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # a pipeline may raise anything, SystemExit too
            raise TargetError(_status(error), describe(error)) from error
        return Answer(output=output)

    async def close(self) -> None:
        """Nothing is held."""


def _takes_settings(function: Callable[..., Any], path: str) -> bool:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return False  # a builtin that does not tell
    takes = "settings" in signature.parameters
    try:
        signature.bind(None, **({"settings": {}} if takes else {}))
    except TypeError as error:
        raise PluginError(
            f"{path!r} takes {signature}, but it is called with the case's input alone"
            f" (and `settings`, where it has that parameter): {error}"
        ) from None
    return takes


def _status(error: BaseException) -> str:
    """What kind of infrastructure failure an exception is, its causes included."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, TimeoutError):
            return "timeout"
        if isinstance(cause, ConnectionError):
            return "unreachable"
        cause = cause.__cause__ or cause.__context__
    return "crashed"


def describe(error: BaseException) -> str:
    """An exception on one line, with the innermost place in the pipeline's code."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    text = " ".join(str(error).split())[:500] or "no message"
    where = ""
    if frame:
        code = frame.tb_frame.f_code
        where = f" ({code.co_filename.rpartition('/')[2]}:{frame.tb_lineno} in {code.co_name})"
    return f"{type(error).__name__}: {text}{where}"
