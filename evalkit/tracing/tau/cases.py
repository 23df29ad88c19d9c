"""A benchmark's task becomes a case: the calls and words that it expects."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from evalkit.dataset import (
    PREDICATES,
    Case,
    Expected,
    ExpectedStep,
    MatchMode,
    Origin,
    OutcomeCheck,
)
from evalkit.effects import reads_by_name
from evalkit.suite import Effects

MAX_ID = 200

WRITES = {
    "airline": (
        "book_reservation",
        "cancel_reservation",
        "send_certificate",
        "update_reservation_baggages",
        "update_reservation_flights",
        "update_reservation_passengers",
    ),
    "retail": (
        "cancel_pending_order",
        "exchange_delivered_order_items",
        "modify_pending_order_address",
        "modify_pending_order_items",
        "modify_pending_order_payment",
        "modify_user_address",
        "return_delivered_order_items",
    ),
}
"""The state-changing tools of the domains that we know by heart."""


TOOL_TYPES = frozenset({"read", "write", "think", "generic"})
"""How tau2-bench marks its tools; a generic one (a calculator, a handover) changes nothing."""


class Action(msgspec.Struct, frozen=True):
    """An expected call; tau-bench writes its arguments as ``kwargs``."""

    name: str
    arguments: dict[str, Any] | None = None
    kwargs: dict[str, Any] | None = None
    action_id: str | None = None
    requestor: str | None = None
    compare_args: tuple[str, ...] | None = None


BASIS = ("DB", "COMMUNICATE")
"""What a task's reward rests on where it does not say."""

WORDS = frozenset({"COMMUNICATE", "OUTPUTS"})
END_STATE = frozenset({"DB", "ENV_ASSERTION"})


class Task(msgspec.Struct, frozen=True):
    """A task of either benchmark. ``actions`` None: it says nothing about calls.

    ``basis`` is what its reward rests on, in the words of tau2-bench; () for nothing at all.
    """

    id: str
    input: Any
    actions: tuple[Action, ...] | None = None
    said: tuple[str, ...] = ()
    notes: str | None = None
    basis: tuple[str, ...] = BASIS


def to_case(task: Task, domain: str, source: str) -> Case:
    """The task as a case whose route is the domain.

    Only state-changing calls are judged (match ``effects``), so a task that expects no call
    expects that nothing changes; unless its reward rests on the calls themselves and not on what
    they change: then all of them are expected. The benchmarks replay the expected calls whatever
    becomes of them: one that the environment refused is as good as made. A run that was cut off
    is not solved. What the reward rests on besides, and no recording holds, is named as a check
    that cannot be judged.
    """
    actions = None if task.actions is None else tuple(map(_step, task.actions))
    called = "ACTION" in task.basis and END_STATE.isdisjoint(task.basis)
    mode: MatchMode = "in_order" if actions is None else "superset" if called else "effects"
    return Case(
        id=case_id(domain, task.id),
        input=task.input,
        route=domain,
        expect=Expected(
            outcome=(
                *(OutcomeCheck(said=text) for text in _required(task)),
                OutcomeCheck(finished=True),
                *(OutcomeCheck(unrecorded=what) for what in _unrecorded(task)),
            ),
            steps=actions,
            match=mode,
        ),
        source=Origin(kind="benchmark", name=source, notes=task.notes),
    )


def _required(task: Task) -> Iterator[str]:
    """What the user has to be told, where the reward rests on it."""
    if WORDS.intersection(task.basis):
        yield from (text for text in dict.fromkeys(task.said) if text)


def _unrecorded(task: Task) -> Iterator[str]:
    """What the reward rests on that neither calls nor words tell."""
    for basis in task.basis:
        if basis in END_STATE:
            yield f"the environment's end state ({basis})"
        elif basis not in WORDS and basis != "ACTION":
            yield f"what else the benchmark judges ({basis})"


def case_id(domain: str, task_id: str) -> str:
    """``domain-task``; an id that would be too long ends in a digest of the whole."""
    whole = f"{domain}-{task_id}"
    if len(whole) <= MAX_ID:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:12]
    return f"{whole[: MAX_ID - 13]}-{digest}"


def find_domain(tools: Iterable[str]) -> str | None:
    """The domain that these tools are of, where it is one that we know."""
    names = set(tools)
    shared = {domain: len(names.intersection(writes)) for domain, writes in WRITES.items()}
    best = max(shared, key=lambda domain: shared[domain])
    return best if shared[best] else None


def effects_of(
    domain: str, tools: Iterable[str], told: Mapping[str, str | None] | None = None
) -> Effects:
    """Which of the tools change state: as the file tells (``write``, ``read``, ...), else as we
    know of the domain, else judged by their names."""
    known = WRITES.get(domain, ())
    told = told or {}

    def changes(name: str) -> bool:
        kind = told.get(name)
        if kind in TOOL_TYPES:
            return kind == "write"
        return not (known or reads_by_name(name))

    return Effects(write=tuple(sorted({*known, *filter(changes, tools)})))


def literal(value: Any) -> Any:
    """A literal as an expectation of a dataset: what would read as a predicate is quoted."""
    if isinstance(value, dict):
        if value and PREDICATES.issuperset(value):
            return {"equals": value}
        return {key: literal(item) for key, item in value.items()}
    return [literal(item) for item in value] if isinstance(value, list) else value


def _step(action: Action) -> ExpectedStep:
    given = (action.kwargs if action.arguments is None else action.arguments) or {}
    compared = given if action.compare_args is None else set(action.compare_args)
    args = {key: literal(value) for key, value in given.items() if key in compared}
    actor: Literal["agent", "user"] = "user" if action.requestor == "user" else "agent"
    return ExpectedStep(tool=action.name, args=args or None, actor=actor, status="any")
