"""Steps for plain Python: a decorator and context manager that emits one span per call.

    @step("retriever")
    def retrieve_policy(domain: str) -> list[str]: ...

    with step("tool", "lookup", arguments={"vendor": "Acme"}) as lookup:
        lookup.output = find("Acme")

Spans go through OpenTelemetry's global tracer: to evalkit during a run, to the user's own backend
otherwise, and nowhere (at almost no cost) where no tracing is set up.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cache, wraps
from typing import Any, TypeVar, cast, overload

import msgspec

from evalkit.trajectory import STEP_KINDS, StepKind

Function = TypeVar("Function", bound=Callable[..., Any])

MAX_JSON = 1_000_000
"""Longer arguments and outputs are cut. Bytes."""

_STATED = frozenset(
    {
        "output",
        "agent",
        "actor",
        "model_requested",
        "model_served",
        "provider",
        "stop_reason",
        "tokens_in",
        "tokens_out",
        "tokens_cached",
        "tokens_reasoning",
        "cost_usd",
        "call_id",
    }
)


class OpenStep(AbstractContextManager["OpenStep"]):
    """A step while it runs. What is set on it is recorded when it ends.

    ``route`` is the route taken, ``said`` what the user was sent; any field of
    :class:`evalkit.trajectory.Step` that a recording can state may be set too.
    """

    output: Any = None
    route: str | None = None
    said: str | None = None
    agent: str | None = None
    model_requested: str | None = None
    model_served: str | None = None
    provider: str | None = None
    stop_reason: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    tokens_reasoning: int | None = None
    cost_usd: float | None = None
    call_id: str | None = None

    def __init__(
        self, kind: StepKind, name: str | None, arguments: Any, stated: Mapping[str, Any]
    ) -> None:
        self.kind = kind
        self.name = name
        self.arguments = arguments
        self._stated = stated
        for field, value in stated.items():
            setattr(self, field, value)

    def __call__(self, function: Function) -> Function:
        """Decorates a function, sync or async: each call is one step, named like the function."""
        name = self.name or getattr(function, "__name__", type(function).__name__)
        bind = _binder(function)

        def opened(args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenStep:
            arguments = bind(args, kwargs) if self.arguments is None else self.arguments
            return OpenStep(self.kind, name, arguments, self._stated)

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with opened(args, kwargs) as running:
                result = running.output = function(*args, **kwargs)
            return result

        @wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with opened(args, kwargs) as running:
                result = running.output = await function(*args, **kwargs)
            return result

        return cast("Function", call_async if inspect.iscoroutinefunction(function) else call)

    def __enter__(self) -> OpenStep:
        self._active = _tracer().start_as_current_span(self.name or self.kind)
        self._span = self._active.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._span.is_recording():
            self._span.set_attributes(self._attributes())
        self._active.__exit__(*error)

    def _attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = {"evalkit.step.kind": self.kind}
        for field, value in (("arguments", self.arguments), ("output", self.output)):
            if value is not None:
                found[f"evalkit.step.{field}"] = as_json(value)
        for field in _STATED - {"output"}:
            if (value := getattr(self, field, None)) is not None:
                found[f"evalkit.step.{field}"] = value
        for field in ("route", "said"):
            if (value := getattr(self, field)) is not None:
                found[f"evalkit.{field}"] = value
        return found


@overload
def step(kind: Function, /) -> Function: ...
@overload
def step(
    kind: StepKind = "node", name: str | None = None, *, arguments: Any = None, **stated: Any
) -> OpenStep: ...
def step(
    kind: Any = "node", name: str | None = None, *, arguments: Any = None, **stated: Any
) -> Any:
    """A step of the pipeline, as a decorator or a context manager.

    ``kind`` is one of :data:`evalkit.trajectory.STEP_KINDS`; ``name`` defaults to the function's.
    A decorated function's arguments (by name) and its return value are recorded as JSON, an
    exception as an error. ``stated`` are further fields: ``model_requested``, ``agent``,
    ``route``, ... Raises ValueError for an unknown kind, TypeError for an unknown field.
    """
    if callable(kind):
        return OpenStep("node", None, None, {})(kind)
    if kind not in STEP_KINDS:
        raise ValueError(f"a step's kind is one of {', '.join(STEP_KINDS)}, not {kind!r}")
    if unknown := set(stated) - _STATED - {"route", "said"}:
        known = ", ".join(sorted(_STATED | {"route", "said"}))
        raise TypeError(f"step() has no {', '.join(sorted(unknown))}; known: {known}")
    return OpenStep(kind, name, arguments, stated)


def as_json(value: Any) -> str:
    """The value as JSON of at most MAX_JSON bytes; what JSON cannot hold, by its ``repr``."""
    try:
        encoded = msgspec.json.encode(value, enc_hook=repr)
    except Exception:  # the user's object may raise anything, and recording must not
        encoded = msgspec.json.encode(_safe_repr(value))
    if len(encoded) > MAX_JSON:
        cut = encoded[:MAX_JSON].decode("utf-8", "ignore")
        encoded = msgspec.json.encode(f"{cut}… (cut, {len(encoded):,} bytes)")
    return encoded.decode()


def _safe_repr(value: Any) -> str:
    try:
        return repr(value)[:MAX_JSON].encode("utf-8", "replace").decode()
    except Exception:  # a user's __repr__ may raise anything
        return f"<{type(value).__qualname__}>"


def _binder(function: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Gives a call's arguments by name, without ``self`` or ``cls``."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some builtins have none
        return lambda args, kwargs: {"args": args, **kwargs}
    first = next(iter(signature.parameters), "")

    def bind(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            found = dict(signature.bind(*args, **kwargs).arguments)
        except TypeError:  # the call itself will say so
            return {"args": args, **kwargs}
        if first in ("self", "cls"):
            found.pop(first, None)
        return found

    return bind


@cache
def _tracer() -> Any:
    from opentelemetry import trace

    return trace.get_tracer("evalkit.steps")
