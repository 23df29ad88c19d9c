"""Is the answer what the case expects? Every outcome check is deterministic."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from evalkit import plugins
from evalkit.dataset import Case, OutcomeCheck
from evalkit.predicates import same
from evalkit.results import Finding, Score, could_not_judge, nothing_to_judge
from evalkit.trajectory import Trajectory
from evalkit.values import found_in, is_number, lookup, show, within

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

NAME = "task_completion"
MAX_LEAVES = 100_000


class _CannotJudgeError(Exception):
    """A check could not be made: its message says why."""


def task_completion(case: Case, trajectory: Trajectory, /, *, folder: str | None = None) -> Score:
    """The share of the case's outcome checks that are met; passed: all are.

    Could not judge: a check's own function raised, or its JSON Schema is none. ``folder`` is
    where the modules of functions are looked for first: the suite's.
    """
    checks = case.expect.outcome
    if not checks:
        return nothing_to_judge(NAME, "the case states no outcome checks")
    try:
        said = [_check(check, trajectory, folder) for check in checks]
    except _CannotJudgeError as error:
        return could_not_judge(NAME, str(error))
    failed = [(place, why) for place, why in enumerate(said) if why is not None]
    more = f"; and {len(failed) - 1} more" if len(failed) > 1 else ""
    return Score(
        NAME,
        1 - len(failed) / len(checks),
        not failed,
        f"{failed[0][1]}{more}" if failed else f"all {len(checks)} outcome checks met",
        tuple(
            Finding("outcome", f"outcome check {place + 1}: {checks[place].checks[0]}", detail=why)
            for place, why in failed
        ),
        data={"checks": len(checks), "met": len(checks) - len(failed)},
    )


def _check(check: OutcomeCheck, trajectory: Trajectory, folder: str | None) -> str | None:
    """Why the check is not met; None if it is."""
    kind = check.checks[0]
    about = check.path or "the answer"
    value = trajectory.output
    if check.path is not None:
        try:
            value = lookup(value, check.path)
        except LookupError as error:
            return f"{about}: {error.args[0]}"
    if kind == "said":
        return _said(check.said or "", trajectory.said or (_text(value),))
    if kind == "finished":
        return _finished(trajectory.stop_reason)
    if kind == "function":
        return _function(check.function or "", value, folder)
    why = _CHECK[kind](check, value)
    return why and f"{about}: {why}"


def _text(value: Any) -> str:
    """A text as it is; else all texts and numbers within the value, a line each."""
    if isinstance(value, str):
        return value
    lines: list[str] = []
    pending = [value]
    while pending and len(lines) < MAX_LEAVES:
        one = pending.pop()
        if isinstance(one, Mapping):
            pending.extend(reversed(list(one.values())))
        elif isinstance(one, list | tuple):
            pending.extend(reversed(one))
        elif one is not None:
            lines.append(one if isinstance(one, str) else show(one))
    return "\n".join(lines)


# --- checks: each says why it is not met ---------------------------------------------------


def _equals(check: OutcomeCheck, value: Any) -> str | None:
    if same(check.equals, value):
        return None
    return f"expected {show(check.equals)}, found {show(value)}"


def _contains(check: OutcomeCheck, value: Any) -> str | None:
    text = _text(value)
    lacking = next((part for part in _parts(check.contains) if part not in text), None)
    return None if lacking is None else f"does not contain {show(lacking)}: {show(text)}"


def _not_contains(check: OutcomeCheck, value: Any) -> str | None:
    text = _text(value)
    present = next((part for part in _parts(check.not_contains) if part in text), None)
    return None if present is None else f"must not contain {show(present)}, and does"


def _parts(stated: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (stated,) if isinstance(stated, str) else stated or ()


def _regex(check: OutcomeCheck, value: Any) -> str | None:
    text = _text(value)
    if found_in(check.regex or "", text):
        return None
    return f"does not match {show(check.regex)}: {show(text)}"


def _one_of(check: OutcomeCheck, value: Any) -> str | None:
    options = check.one_of or ()
    if any(same(option, value) for option in options):
        return None
    return f"expected one of {show(list(options))}, found {show(value)}"


def _ge(check: OutcomeCheck, value: Any) -> str | None:
    if check.ge is not None and is_number(value) and value >= check.ge:
        return None
    return f"expected >= {check.ge}, found {show(value)}"


def _le(check: OutcomeCheck, value: Any) -> str | None:
    if check.le is not None and is_number(value) and value <= check.le:
        return None
    return f"expected <= {check.le}, found {show(value)}"


def _approx(check: OutcomeCheck, value: Any) -> str | None:
    if check.approx is not None and within(value, check.approx, check.tolerance):
        return None
    give = "" if check.tolerance is None else f" ± {check.tolerance}"
    return f"expected about {check.approx}{give}, found {show(value)}"


def _json_schema(check: OutcomeCheck, value: Any) -> str | None:
    from referencing.exceptions import Unresolvable

    validator = _validator(msgspec.json.encode(check.json_schema))
    try:
        failing = next(iter(validator.iter_errors(value)), None)
    except Unresolvable as error:
        raise _CannotJudgeError(
            f"the JSON Schema refers to {show(error.ref)}, which is not in it"
        ) from None
    if failing is None:
        return None
    message = " ".join(failing.message[:300].split())
    return f"does not fit the JSON Schema at {failing.json_path[:200]}: {message}"


@lru_cache(maxsize=64)
def _validator(schema: bytes) -> Validator:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    content = msgspec.json.decode(schema)
    kind = validator_for(content, default=Draft202012Validator)
    try:
        kind.check_schema(content)
    except SchemaError as error:
        where = error.json_path[:200]
        raise _CannotJudgeError(f"no valid JSON Schema at {where}: {error.message[:300]}") from None
    return kind(content, registry=Registry())  # an empty registry: nothing is fetched


_Check = Callable[[OutcomeCheck, Any], str | None]
_CHECK: dict[str, _Check] = {
    "equals": _equals,
    "contains": _contains,
    "not_contains": _not_contains,
    "regex": _regex,
    "one_of": _one_of,
    "ge": _ge,
    "le": _le,
    "approx": _approx,
    "json_schema": _json_schema,
}

CUT_OFF = frozenset(
    (
        *("agent_error", "aborted", "cancelled", "canceled", "content_filter", "crashed", "error"),
        *("failed", "infrastructure_error", "interrupted", "length", "max_iterations"),
        *("max_steps", "max_tokens", "max_turns", "recursion_limit", "refused", "timeout"),
        *("too_many_errors", "unexpected_error", "user_error"),
    )
)
"""The stop reasons of a trial that did not come to an end of its own."""


def _finished(stop_reason: str | None) -> str | None:
    if stop_reason is None or stop_reason.lower() not in CUT_OFF:
        return None
    return f"it was cut off: {stop_reason[:100]}"


_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def _said(wanted: str, messages: tuple[str, ...]) -> str | None:
    plain = _plain(wanted)
    if any(plain in _plain(message) for message in messages):
        return None
    return f"the user was not told {show(wanted)}"


def _plain(text: str) -> str:
    return _THOUSANDS.sub("", text.casefold())


def _function(path: str, value: Any, folder: str | None) -> str | None:
    plugins.make_importable(folder, path)
    try:
        verdict = plugins.load_object(path)(value)
    except Exception as error:  # a user's function may raise anything
        said = " ".join(str(error).split())[:300]
        raise _CannotJudgeError(f"{path} raised {type(error).__name__}: {said}") from None
    met, why = verdict if isinstance(verdict, tuple) and len(verdict) == 2 else (verdict, "")
    if not isinstance(met, bool):
        raise _CannotJudgeError(
            f"{path} returned {show(verdict)}; expected a bool, or a bool and a reason"
        )
    return None if met else f"{path}: {' '.join(str(why).split())[:300] or 'returned False'}"
