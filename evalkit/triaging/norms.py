"""What is usual on a route, so that what a trace lacks or overspends can be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from evalkit.dataset import Case, ExpectedStep
from evalkit.triaging.columns import Spent
from evalkit.triaging.signals import Signal, SignalKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALWAYS = 0.98
"""A step that this share of a route's earlier traces have is one that the route always takes."""
ALWAYS_HERE = 0.95
"""The same among the traces that are judged, some of which are faulty."""
GOLDEN = 0.8
"""A step that this share of a route's golden cases demand is one that it always takes."""
FEWEST = 20
"""With fewer traces of a route nothing is said to be usual."""
FAR = 3.0
"""How many times the route's 95th percentile is out of budget where no limit is stated."""

BUDGET = ("seconds", "tokens", "cost_usd")
"""What a route's traces may take only so much of."""

_PATH = ("node ", "tool ", "retriever ", "reranker ", "guardrail ", "handoff ")


STANDING: Mapping[SignalKind, float] = {"no_stop_reason": 0.5, "no_answer": 0.5, "injection": 0.1}
"""Signals that tell of the recording, or of the documents, and not of a trace, where more than
this share of a route's traces have them; injections count apart by step and words."""


class Norm(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a route always does, never does, and may take. Steps are labels: ``tool refund``.

    ``standing`` are signals that are usual on the route, with the share of traces that have each.
    """

    always: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
    most: dict[str, float] = {}
    standing: dict[Signal, float] = {}


def golden_norm(cases: Sequence[Case]) -> Norm:
    """What the golden cases of one route agree on: steps, forbidden steps, and limits."""
    demanded: Counter[str] = Counter()
    forbidden: Counter[str] = Counter()
    for case in cases:
        forbidden.update({one.label for one in case.expect.never if one.kind and not one.args})
        demanded.update(demands(case))
    enough = GOLDEN * len(cases)
    most = {}
    for name in BUDGET:
        limits = [limit for case in cases if (limit := _limit(case, name)) is not None]
        if limits and len(limits) == len(cases):
            most[name] = float(max(limits))
    return Norm(
        frozenset(label for label, count in demanded.items() if count >= enough),
        frozenset(label for label, count in forbidden.items() if count == len(cases)),
        most,
    )


def demands(case: Case) -> frozenset[str]:
    """The labels of the steps that a case demands on every path it accepts."""
    return frozenset(demanded(case))


def demanded(case: Case) -> tuple[str, ...]:
    """The same in the order of the first path."""
    paths = [_required(path) for path in case.expect.references]
    return tuple(one for one in paths[0] if all(one in path for path in paths)) if paths else ()


def _required(path: Sequence[ExpectedStep]) -> dict[str, None]:
    """The labels of the steps of a path that must be; of alternatives, none is known to be."""
    pending = list(reversed(path))
    found: dict[str, None] = {}
    while pending:
        step = pending.pop()
        if step.optional:
            continue
        if step.kind is not None:
            found[step.label] = None
        elif step.parallel is not None:
            pending.extend(reversed([one for listed in step.members for one in listed]))
    return found


def usual_steps(paths: Mapping[frozenset[str], int], share: float) -> frozenset[str]:
    """The steps that at least this share of a route's traces have; ``paths`` counts them."""
    total = sum(paths.values())
    if total < FEWEST:
        return frozenset()
    having: Counter[str] = Counter()
    for path, count in paths.items():
        having.update(dict.fromkeys(path, count))
    return frozenset(
        label
        for label, count in having.items()
        if count >= share * total and label.startswith(_PATH)
    )


def usual_budget(measure: Callable[[str], NDArray[np.float64]]) -> dict[str, float]:
    """Three times the 95th percentile of what a route's traces take, by name."""
    import numpy as np

    from evalkit.stats import percentile

    budget = {}
    for name in BUDGET:
        values = measure(name)
        known = values[~np.isnan(values)]
        high = percentile(known, 95) if len(known) >= FEWEST else None
        if high:
            budget[name] = FAR * high
    return budget


def standing_signals(signals: Mapping[tuple[Signal, ...], int]) -> dict[Signal, float]:
    """The signals of STANDING that are usual, with their share; ``signals`` counts traces."""
    total = sum(signals.values())
    if total < FEWEST:
        return {}
    having: Counter[Signal] = Counter()
    for shown, count in signals.items():
        having.update(dict.fromkeys(map(_standing, shown), count))
    shares = {one: count / total for one, count in having.items() if one.kind in STANDING}
    return {one: share for one, share in shares.items() if share > STANDING[one.kind]}


def is_standing(signal: Signal, norm: Norm) -> bool:
    """Whether a signal is usual on its route."""
    return _standing(signal) in norm.standing


def _standing(signal: Signal) -> Signal:
    """What a signal is counted as: of what is not recorded, the kind alone."""
    return signal if signal.kind == "injection" else Signal(signal.kind)


def departures(path: Collection[str], norm: Norm) -> list[Signal]:
    """Where the steps that a trace took depart from its route's norm."""
    taken = frozenset(path)
    found = [Signal("policy_breach", label) for label in sorted(taken & norm.never)]
    return found + [Signal("missing_step", label) for label in sorted(norm.always - taken)]


def overspending(spent: Spent, norm: Norm) -> Iterator[Signal]:
    """Where a trace took more than its route may."""
    for name, most in sorted(norm.most.items()):
        value = getattr(spent, name)
        if value is not None and value > most:
            yield overspent(name, value, most)


def overspent(name: str, value: float, most: float) -> Signal:
    """The signal of a trace that took more than it may."""
    return Signal("over_budget", name, text=f"{value:.6g} of {most:.6g}")


def _limit(case: Case, name: str) -> float | None:
    return getattr(case.expect.limits, name) if case.expect.limits else None
