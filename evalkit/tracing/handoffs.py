"""Handing over to another agent, where it is recorded as a tool that the model called."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from evalkit.tracing.attributes import step_name
from evalkit.trajectory import Step

_TRANSFER = re.compile(r"(?:transfer|handoff|hand_off)_to_([\w-]+)|handoff")
_TARGETS = ("agent_name", "to_agent", "agent", "to")


@lru_cache(maxsize=4096)
def transfer(name: str) -> re.Match[str] | None:
    """What the name of a tool that may hand over consists of; its first group is the target."""
    return _TRANSFER.fullmatch(name)


@lru_cache(maxsize=4096)
def plain_agent(name: str) -> str:
    """An agent's name as the tool that leads to it has it, however words are set apart.

    ``Refund agent``, ``RefundAgent`` and ``refund_agent`` are all ``refund``.
    """
    plain = re.sub(r"[\W_]+", "", name.lower())
    return plain.removesuffix("agent") or plain


def agents_among(steps: Iterable[Step]) -> frozenset[str]:
    """The plain names of the steps that may be handed over to: agents, and nodes of a graph."""
    kinds = ("agent", "node", "workflow")
    return frozenset(plain_agent(step.name) for step in steps if step.kind in kinds)


def target(name: str, arguments: Any) -> str | None:
    """The agent that such a call names, in its arguments or in the tool's own name."""
    found = transfer(name)
    if found is None:
        return None
    given = arguments if isinstance(arguments, Mapping) else {}
    told = [given.get(key) for key in _TARGETS] if found[1] in (None, "agent") else [found[1]]
    return next((one for one in told if isinstance(one, str) and one), None)


def lacks_target(step: Step) -> bool:
    """Whether a handoff's recording does not tell to whom."""
    given = step.arguments
    return isinstance(given, Mapping) and given.get("to", "") is None


def as_handoff(step: Step, agents: Collection[str] = ()) -> Step:
    """A tool that hands over to another agent (``transfer_to_*``, ``handoff``), as the handoff.

    The name alone is no evidence where the call carries what a tool works on: a bank's
    ``transfer_to_savings`` has an amount. Then an agent of that name must be there, below the
    tool or among ``agents`` (plain names), or the arguments must name one.
    """
    found = transfer(step.name) if step.kind == "tool" else None
    if found is None:
        return step
    below = [child.name for child in step.steps if child.kind == "agent"]
    named = target(step.name, step.arguments)
    is_generic = found[1] in (None, "agent")
    known = named is not None and (is_generic or plain_agent(named) in agents)
    if not (below or known or not step.arguments):
        return step
    to = step_name(*below[:1], named, step.name)
    given = step.arguments if isinstance(step.arguments, Mapping) else {}
    rest = {key: value for key, value in given.items() if key not in _TARGETS}
    return replace(step, kind="handoff", name=to, arguments={"from": step.agent, "to": to, **rest})
