"""Applies scorers to a trial, and keeps their failures as data."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from evalkit import plugins
from evalkit.dataset import Case
from evalkit.errors import PluginError
from evalkit.results import Score, could_not_judge
from evalkit.suite import Effects, ScorerUse, score_name
from evalkit.threads import OverTimeError, StoppedError, in_thread_within
from evalkit.trajectory import Trajectory

GIVEN = ("effects", "folder", "judged", "scores", "store")
"""Keyword parameters by which a scorer asks for what evalkit knows; no suite sets them."""

ORDER = (None, "judged", "scores")
"""Scorers that ask for ``judged`` come after those that ask for no other's scores, and are given
these; those that ask for ``scores`` come last, and are given all."""

MAX_SCORES = 100
"""At most so many scores from one scorer for one trial."""

UNGIVEN = "the scorer did not return this score, which it says that it gives"

OWN_TIMEOUT_S = 30.0
"""How long a scorer that is not evalkit's may take for one trial."""

MAX_LATE = 3
"""So often may it take longer before it is given up."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Score).decode
_decode_case = msgspec.json.Decoder(Case).decode
_decode_trajectory = msgspec.json.Decoder(Trajectory).decode

_STOPPING = (KeyboardInterrupt, MemoryError, StoppedError)
"""What is no failure of a scorer's: it gets out. SystemExit is one."""


@dataclass(frozen=True)
class BoundScorer:
    """A scorer that is loaded, checked and given its arguments.

    ``gives`` are the names of its scores. ``wants``: the parameter by which it asks for other
    scores. ``is_async``: it is awaited.
    ``bounded``: it is not evalkit's own, and may take so long only; ``loads`` says that it calls
    the functions that a case names; ``late`` are the limits that it exceeded so far.
    """

    name: str
    function: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    wants: str | None = None
    is_async: bool = False
    bounded: bool = False
    loads: bool = False
    gives: tuple[str, ...] = ()
    late: list[float] = field(default_factory=list, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the scores that it gives for every trial."""
        return self.gives or (self.name,)


def bind(
    uses: Sequence[ScorerUse],
    effects: Effects,
    folder: str | Path | None,
    *,
    store: str | Path | None = None,
) -> tuple[BoundScorer, ...]:
    """Loads and checks the scorers that a suite uses, in its order.

    Raises PluginError for one that does not load, is not callable with ``(case, trajectory)`` and
    its arguments, has an argument of another type than its parameter says, or is listed twice.
    """
    given = {
        "effects": effects,
        "folder": None if folder is None else str(folder),
        "store": None if store is None else str(store),
    }
    bound = [_bind(use, given, folder) for use in uses]
    names = [scorer.name for scorer in bound]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise PluginError(f"scorer {twice[0]!r} is listed twice: list it once")
    return tuple(bound)


async def score_trial_async(
    case: Case,
    trajectory: Trajectory,
    scorers: Sequence[BoundScorer],
    *,
    timeout: float | None = None,
) -> tuple[Score, ...]:
    """All scores of a trial, as :func:`score_trial`; asynchronous scorers are awaited.

    evalkit's own scorers run as they are: they are bounded. Any other, and what calls a case's own
    functions, may take ``timeout`` seconds (default: 30), in a thread of its own unless it is
    async; then it could not judge, and after three times it is not called again.
    """
    scores: dict[str, Score] = {}
    listed: list[list[Score]] = [[] for _ in scorers]
    timeout = OWN_TIMEOUT_S if timeout is None else timeout
    trajectory = _own(trajectory)
    for place in _order(scorers):
        found = await _apply_async(scorers[place], case, trajectory, scores, timeout)
        listed[place] = found
        scores.update((score.scorer, score) for score in found)
    return tuple(chain.from_iterable(listed))


def score_trial(
    case: Case, trajectory: Trajectory, scorers: Sequence[BoundScorer]
) -> tuple[Score, ...]:
    """All scores of a trial, in the scorers' order. One that fails could not judge; others go on.

    Nothing that a scorer raises gets out, but KeyboardInterrupt and MemoryError.
    Asynchronous scorers could not judge here, and how long a scorer takes is not bounded.
    """
    scores: dict[str, Score] = {}
    listed: list[list[Score]] = [[] for _ in scorers]
    trajectory = _own(trajectory)
    for place in _order(scorers):
        listed[place] = _apply(scorers[place], case, trajectory, scores)
        scores.update((score.scorer, score) for score in listed[place])
    return tuple(chain.from_iterable(listed))


def _own(trajectory: Trajectory) -> Trajectory:
    """The trajectory as a record of this scoring alone: what its scorers share goes with it."""
    return msgspec.structs.replace(trajectory)


def _order(scorers: Sequence[BoundScorer]) -> list[int]:
    """The places of the scorers in the order in which they are applied."""
    return sorted(range(len(scorers)), key=lambda place: ORDER.index(scorers[place].wants))


# --- binding ------------------------------------------------------------------------------


def _bind(use: ScorerUse, given: Mapping[str, Any], folder: str | Path | None) -> BoundScorer:
    function = plugins.load("scorer", use.name, folder)
    parameters = _parameters(use.name, function)
    known = _settable(parameters)
    for name in use.arguments:
        if name not in known and not _takes_any(parameters):
            listed = ", ".join(known) or "none"
            raise PluginError(f"scorer {use.name!r} has no argument {name!r}; it has: {listed}")
        if name in GIVEN:
            raise PluginError(f"scorer {use.name!r}: evalkit itself gives {name!r}; leave it out")
    arguments = _converted(use, function)
    arguments |= {name: value for name, value in given.items() if name in parameters}
    wants = next((name for name in ("scores", "judged") if name in parameters), None)
    _check_call(use.name, function, {**arguments, **({wants: {}} if wants else {})})
    return BoundScorer(
        name=score_name(use.name),
        function=function,
        arguments=arguments,
        wants=wants,
        is_async=inspect.iscoroutinefunction(_called(function)),
        bounded=not str(getattr(function, "__module__", "")).startswith("evalkit."),
        loads="folder" in parameters,
        gives=_gives(use.name, function),
    )


def _gives(name: str, function: Any) -> tuple[str, ...]:
    """The names of the scores that a scorer says it gives; none where that is its own name."""
    found = getattr(function, "gives", ())
    if isinstance(found, str) or not all(isinstance(one, str) and one for one in found):
        raise PluginError(f"scorer {name!r}: `gives` is a tuple of the names of its scores")
    return tuple(found)


def _converted(use: ScorerUse, function: Any) -> dict[str, Any]:
    """The suite's arguments, each as the type that its parameter's annotation says."""
    try:
        hints = get_type_hints(_called(function), include_extras=True)
    except Exception:  # a plug-in's annotations may name anything
        hints = {}
    found = dict(use.arguments)
    for name in found.keys() & hints.keys():
        try:
            found[name] = msgspec.convert(found[name], hints[name], strict=True)
        except msgspec.ValidationError as error:
            raise PluginError(f"scorer {use.name!r}, argument {name!r}: {error}") from None
        except Exception:  # noqa: S112  an annotation that is no type of JSON checks nothing
            continue
    return found


def _called(function: Any) -> Any:
    """What runs when it is called: the function itself, or an object's ``__call__``."""
    return function if inspect.isroutine(function) else type(function).__call__


def _parameters(name: str, function: Any) -> Mapping[str, inspect.Parameter]:
    if inspect.isclass(function) or not callable(function):
        found = "a class" if inspect.isclass(function) else f"a {type(function).__name__}"
        raise PluginError(f"scorer {name!r} is {found}, not a function (case, trajectory) -> Score")
    if inspect.isasyncgenfunction(_called(function)):
        raise PluginError(f"scorer {name!r} is an async generator: return a list of scores")
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise PluginError(f"scorer {name!r} does not tell its parameters: wrap it") from None


def _settable(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """The parameters that a suite may set: all but the case, the trajectory and what is given."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    first_two = [name for name, one in parameters.items() if one.kind in positional][:2]
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [
        name
        for name, one in parameters.items()
        if one.kind in by_keyword and name not in first_two and name not in GIVEN
    ]


def _takes_any(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())


def _check_call(name: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    try:
        inspect.signature(function).bind(None, None, **arguments)
    except TypeError as error:
        raise PluginError(
            f"scorer {name!r} can't be called as (case, trajectory) "
            f"with the suite's arguments {sorted(arguments)}: {error}"
        ) from None


# --- applying -----------------------------------------------------------------------------


def _apply(
    scorer: BoundScorer, case: Case, trajectory: Trajectory, so_far: Mapping[str, Score]
) -> list[Score]:
    """The scorer's scores; if anything is wrong with them, one that says so in their stead."""
    try:
        return _checked(scorer, _call(scorer, case, trajectory, so_far), so_far)
    except _STOPPING:
        raise
    except BaseException as error:  # a plug-in may raise anything, test frameworks' own included
        return _failed(scorer, _say(error))


async def _apply_async(
    scorer: BoundScorer,
    case: Case,
    trajectory: Trajectory,
    so_far: Mapping[str, Score],
    seconds: float,
) -> list[Score]:
    """As :func:`_apply`; awaits what is to be awaited, and stops waiting for what is not ours."""
    bounded = scorer.bounded or (scorer.loads and _names_functions(case))
    if not (scorer.is_async or bounded):
        return _apply(scorer, case, trajectory, so_far)
    if len(scorer.late) >= MAX_LATE:
        often = f"did not return within {seconds:g} s {MAX_LATE} times: not called again"
        return _failed(scorer, often)
    try:
        if not scorer.is_async:
            return await in_thread_within(
                seconds, lambda: _apply(scorer, case, trajectory, dict(so_far))
            )
        async with asyncio.timeout(seconds if bounded else None) as limit:
            returned = await _call(scorer, case, trajectory, so_far)
        return _checked(scorer, returned, so_far)
    except _STOPPING:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # the run is being stopped
            raise
        return _failed(scorer, _say(error))
    except BaseException as error:  # a plug-in may raise anything, test frameworks' own included
        late = isinstance(error, OverTimeError) or (
            scorer.is_async and isinstance(error, TimeoutError) and limit.expired()
        )
        if late:
            scorer.late.append(seconds)
            return _failed(scorer, f"did not return within {seconds:g} s")
        return _failed(scorer, _say(error))


def _names_functions(case: Case) -> bool:
    return any(check.function is not None for check in case.expect.outcome)


def _call(
    scorer: BoundScorer, case: Case, trajectory: Trajectory, so_far: Mapping[str, Score]
) -> Any:
    arguments: Mapping[str, Any] = scorer.arguments
    scores = dict(so_far) if scorer.wants else {}
    if scorer.bounded:
        # Not evalkit's own: it gets the record as it is stored, and cannot spoil it for others.
        case, trajectory = _decode_case(_encode(case)), _decode_trajectory(_encode(trajectory))
        arguments = copy.deepcopy(arguments)
        scores = {name: _decode(_encode(score)) for name, score in scores.items()}
    given = {scorer.wants: scores} if scorer.wants else {}
    return scorer.function(case, trajectory, **arguments, **given)


def _checked(scorer: BoundScorer, returned: Any, so_far: Mapping[str, Score]) -> list[Score]:
    scores = [returned] if isinstance(returned, Score) else _listed(returned)
    if isinstance(scores, str):
        return _failed(scorer, f"the scorer {scores}")
    found: dict[str, Score] = {}
    for score in scores:
        if not isinstance(score, Score):
            said = f"the scorer returned a {type(score).__name__} among its scores"
            return _failed(scorer, said)
        if score.scorer in found or score.scorer in so_far:
            said = f"the scorer returned a second score named {str(score.scorer)[:100]!r}"
            return _failed(scorer, said)
        # Through JSON and back: what can't be stored, or is of a wrong type, shows now.
        found[score.scorer] = _decode(_encode(score))
    lacking = [name for name in scorer.gives if name not in found]
    return [*found.values(), *(could_not_judge(name, UNGIVEN) for name in lacking)]


def _failed(scorer: BoundScorer, reason: str) -> list[Score]:
    """That none of its scores could be given."""
    return [could_not_judge(name, reason) for name in scorer.names]


def _listed(returned: Any) -> list[Any] | str:
    """What is to be scores, or why it is none."""
    if inspect.iscoroutine(returned):
        returned.close()
    if isinstance(returned, str | bytes | Mapping) or not isinstance(returned, Iterable):
        return f"returned a {type(returned).__name__}, not a Score"
    scores = list(islice(returned, MAX_SCORES + 1))
    if len(scores) > MAX_SCORES:
        return f"returned more than {MAX_SCORES} scores"
    return scores or "returned no score; say why with nothing_to_judge()"


def _say(error: BaseException) -> str:
    """The error on one line, bounded."""
    try:
        text = " ".join(str(error)[:1000].split())[:300]
    except Exception:  # an exception's own __str__ may raise anything
        text = ""
    return f"{type(error).__name__}: {text or 'no message'}"
