"""Steps and plain tool calls that Python hands over, as records: checked as a dataset's are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from evalkit.dataset import ArgumentsMode, Expected, ExpectedStep, MatchMode
from evalkit.errors import InputError
from evalkit.predicates import literals
from evalkit.soundness import problems
from evalkit.suite import Effects
from evalkit.trajectory import Step, Trajectory
from evalkit.values import show

MOST_TOLD = 5
"""So many problems of one expectation are told at once."""

_MODES = get_args(MatchMode)
_ARGUMENTS_MODES = get_args(ArgumentsMode)


def check_modes(mode: Any, args: Any) -> None:
    """Raises InputError where there is no such match mode, or way to compare arguments."""
    for key, given, known in (("mode", mode, _MODES), ("args", args, _ARGUMENTS_MODES)):
        if given not in known:
            raise InputError(f"{key}={show(given)}: expected one of {', '.join(known)}")


def check_effects(effects: Any) -> None:
    """Raises InputError where what is to say which tools change state is no record of that."""
    if not isinstance(effects, Effects):
        raise InputError(
            f"effects={show(effects)}: expected a record such as "
            'evalkit.suite.Effects(write=("pay",))'
        )


def check_arguments(expected: Iterable[Mapping[str, Any]]) -> None:
    """Raises InputError where predicates in the arguments of plain calls cannot be read."""
    expected = list(expected)
    if None in literals([one.get("args") or {} for one in expected]):
        _check(Expected(steps=tuple([_expected(one, at) for at, one in enumerate(expected)])))


def expectation(
    expected: Iterable[Mapping[str, Any] | ExpectedStep], mode: MatchMode, args: ArgumentsMode
) -> Expected:
    """What these steps expect. Raises InputError, with everything that is wrong with them."""
    check_modes(mode, args)
    given = listed("expected", expected)
    steps = tuple([_expected(one, at) for at, one in enumerate(given)])
    expect = Expected(steps=steps, match=mode, args=args)
    are_records = any(isinstance(one, ExpectedStep) for one in given)
    if are_records or None in literals([one.args or {} for one in steps]):
        _check(expect)
    return expect


def trajectory(actual: Iterable[Mapping[str, Any] | Step]) -> Trajectory:
    """What these steps did. Raises InputError where one is no step."""
    given = listed("actual", actual)
    return Trajectory(steps=tuple([_actual(one, at) for at, one in enumerate(given)]))


def _check(expect: Expected) -> None:
    if said := problems(expect):
        more = f"; and {len(said) - MOST_TOLD} more" if len(said) > MOST_TOLD else ""
        raise InputError(f"expected {'; '.join(said[:MOST_TOLD])}{more}")


def listed(what: str, given: Any) -> list[Any]:
    """What was given, as a list. Raises InputError where it is none."""
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise InputError(f"`{what}` is a list of steps, found {show(given)}")
    return list(given)


def _expected(given: Any, at: int) -> ExpectedStep:
    if isinstance(given, ExpectedStep):
        return given
    name = _name("expected", given, at)
    args = given.get("args")
    if args is not None and not isinstance(args, Mapping):
        raise InputError(
            f"expected[{at}] {show(name)}: `args` is an object, a value for each name of an "
            f"argument; found {show(args)}"
        )
    return ExpectedStep(tool=name, args=None if args is None else dict(args))


def _actual(given: Any, at: int) -> Step:
    if isinstance(given, Step):
        return given
    name = _name("actual", given, at)
    arguments = given.get("args")
    return Step(kind="tool", name=name, arguments={} if arguments is None else arguments)


def _name(what: str, given: Any, at: int) -> str:
    if isinstance(given, Mapping):
        name = given.get("name")
        if isinstance(name, str) and len(given) == 1 + ("args" in given):
            return name
    raise InputError(
        f'{what}[{at}]: a step is {{"name": ..., "args": {{...}}}} or a record, found {show(given)}'
    )
