"""One check of a trial's outcome: met, or why not, or why nobody can tell. Deterministic."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from evalkit import plugins
from evalkit.arguments import mismatches
from evalkit.dataset import OutcomeCheck
from evalkit.errors import TooMuchError
from evalkit.json_schemas import SchemaProblemError, unfit
from evalkit.predicates import holds, same
from evalkit.trajectory import EndState, Trajectory
from evalkit.values import found_in, is_number, lookup, show, within

MAX_LEAVES = 100_000
UNRECORDED_ANSWER = frozenset({"text", "outputs"})


class CannotTellError(Exception):
    """A check could not be made: its message says why."""


def unmet(check: OutcomeCheck, trajectory: Trajectory, folder: str | None) -> str | None:
    """Why the check is not met; None if it is. Raises CannotTellError.

    ``folder`` is where the modules of functions are looked for first. Not for ``passed`` and
    ``judge``, which rest on other scores.
    """
    try:
        return _unmet(check, trajectory, folder)
    except TooMuchError as error:
        raise CannotTellError(f"{check.path or 'the answer'}: {error}") from None


def _unmet(check: OutcomeCheck, trajectory: Trajectory, folder: str | None) -> str | None:
    kind = check.checks[0]
    if kind == "finished":
        return _finished(trajectory.stop_reason)
    if kind == "unrecorded":
        raise CannotTellError(f"no recording holds what success rests on: {check.unrecorded}")
    if kind == "said" and trajectory.said and check.path is None:
        return _said(check.said or "", trajectory.said)
    value = _answer(trajectory)
    about = check.path or "the answer"
    if check.path is not None:
        try:
            value = lookup(value, check.path)
        except LookupError as error:
            return f"{about}: {error.args[0]}"
    if kind == "said":
        return _said(check.said or "", trajectory.said or (_text(value),))
    if kind == "function":
        return _function(check.function or "", value, folder)
    why = _CHECK[kind](check, value)
    return why and f"{about}: {why}"


def unlike(stated: Any, found: EndState | None) -> tuple[str, ...]:
    """Where the real state is not what is stated of it; nothing if it is. Raises CannotTellError.

    As arguments are compared: an object may have further keys, a list is in any order, predicates
    are allowed.
    """
    if found is None:
        raise CannotTellError("no end state was read: name a `state` function in the suite")
    if found.error is not None:
        raise CannotTellError(f"the end state could not be read: {found.error}")
    try:
        if holds(stated, found.value):
            return ()
        listed = tuple(str(one) for one in mismatches({"state": stated}, {"state": found.value}))
    except TooMuchError as error:
        raise CannotTellError(f"the end state: {error}") from None
    return listed or (f"found {show(found.value)}",)


def _answer(trajectory: Trajectory) -> Any:
    """What was answered; a trace that records no texts does not tell."""
    if trajectory.output is None and not trajectory.said:
        lacking = UNRECORDED_ANSWER.intersection(trajectory.coverage.missing)
        if lacking:
            raise CannotTellError("the trace does not record the answer")
    return trajectory.output


def _text(value: Any) -> str:
    """A text as it is; else all texts and numbers within the value, a line each.

    Raises TooMuchError where there are more than 100,000.
    """
    if isinstance(value, str):
        return value
    lines: list[str] = []
    pending = [value]
    while pending:
        if len(lines) >= MAX_LEAVES:
            raise TooMuchError(f"more than {MAX_LEAVES:,} values: name a part of them by `path`")
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
    try:
        return unfit(check.json_schema or {}, value)
    except SchemaProblemError as error:
        raise CannotTellError(f"the JSON Schema cannot be used: {error}") from None


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
        *("abort", "aborted", "canceled", "cancelled", "crash", "crashed", "error", "errors"),
        *("exceeded", "exhausted", "fail", "failed", "failure", "filter", "interrupted", "killed"),
        *("length", "limit", "max", "refusal", "refused", "timeout", "truncated"),
    )
)
"""Words of the stop reasons of a trial that did not come to an end of its own."""

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def _finished(stop_reason: str | None) -> str | None:
    if stop_reason is None:
        return None
    words = (word.lower() for word in _WORDS.findall(stop_reason[:1000]))
    return None if CUT_OFF.isdisjoint(words) else f"it was cut off: {stop_reason[:100]}"


_THOUSANDS = re.compile(
    r"(?<=\d)[,\N{NO-BREAK SPACE}\N{THIN SPACE}\N{NARROW NO-BREAK SPACE}](?=\d{3}(?!\d))"
)
_DECIMALS = re.compile(r"\d\.\d+$")
_MORE_BEFORE = re.compile(r"\d\.?$")
_MORE_DIGITS = re.compile(r"\d|\.\d*[1-9]")
_MORE_DECIMALS = re.compile(r"0*[1-9]|\.\d")


def _said(wanted: str, messages: tuple[str, ...]) -> str | None:
    plain = _plain(wanted)
    if any(_tells(_plain(message), plain) for message in messages):
        return None
    return f"the user was not told {show(wanted)}"


def _plain(text: str) -> str:
    return _THOUSANDS.sub("", text.casefold())


def _tells(text: str, wanted: str) -> bool:
    """Whether a text holds another, of which a number at either end is no part of a longer one.

    Zeros at the end of decimals make no other number: 10 is told by 10.00, not by 100 or 10.5.
    """
    begins, ends = wanted[:1].isdecimal(), wanted[-1:].isdecimal()
    more = _MORE_DECIMALS if _DECIMALS.search(wanted) else _MORE_DIGITS
    at = text.find(wanted)
    while at >= 0:
        end = at + len(wanted)
        part = begins and _MORE_BEFORE.search(text[max(0, at - 2) : at])
        if not (part or (ends and more.match(text, end))):
            return True
        at = text.find(wanted, at + 1)
    return False


def _function(path: str, value: Any, folder: str | None) -> str | None:
    plugins.make_importable(folder, path)
    own = msgspec.json.decode(msgspec.json.encode(value))  # to change the record is not its to do
    try:
        verdict = plugins.load_object(path)(own)
    except (Exception, SystemExit) as error:  # a user's function may raise anything
        said = " ".join(str(error).split())[:300]
        raise CannotTellError(f"{path} raised {type(error).__name__}: {said}") from None
    met, why = verdict if isinstance(verdict, tuple) and len(verdict) == 2 else (verdict, "")
    if not isinstance(met, bool):
        raise CannotTellError(
            f"{path} returned {show(verdict)}; expected a bool, or a bool and a reason"
        )
    return None if met else f"{path}: {' '.join(str(why).split())[:300] or 'returned False'}"
