"""How expected and actual steps go together, as a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from evalkit.arguments import Mismatch
from evalkit.dataset import Expected, ExpectedStep
from evalkit.plans import Plan
from evalkit.trajectory import Step

# ``gc=False`` below: none of these is a part of what it holds, so the collector need not look.


class Pair(msgspec.Struct, frozen=True, gc=False):
    """An expected step (its position) and the actual one (its number in the walk)."""

    expected: int
    step: int


class WrongArguments(msgspec.Struct, frozen=True, gc=False):
    """A pair by name whose arguments fail; ``unrecorded`` if the trace does not tell them, or not
    which of them it has."""

    expected: int
    step: int
    mismatches: tuple[Mismatch, ...]
    unrecorded: bool = False


class Superfluous(msgspec.Struct, frozen=True, gc=False):
    """A pair whose actual step has arguments that are not stated: their paths."""

    expected: int
    step: int
    paths: tuple[str, ...]


class Forbidden(msgspec.Struct, frozen=True, gc=False):
    """An actual step that the case says must never happen: position in ``never``, number."""

    never: int
    step: int
    unrecorded: bool = False


class Rates(NamedTuple):
    """Precision, recall and F1, each in [0, 1]; with nothing expected and nothing done, 1."""

    precision: float
    recall: float
    f1: float


def rates(right: float, taken: int, wanted: int) -> Rates:
    """Of what was done and of what was wanted, how much was right; F1 is their harmonic mean."""
    return Rates(
        right / taken if taken else float(not wanted),
        right / wanted if wanted else float(not taken),
        2 * right / (taken + wanted) if taken or wanted else 1.0,
    )


class Alignment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How expected and actual steps go together. Positions and walk numbers, in order.

    ``pairs`` hold in full; ``wrong`` are pairs by name alone; ``missing`` are required steps
    that did not happen, ``out_of_order`` those that did, but not in their place; ``unexpected``
    are considered steps that nothing asked for. ``considered`` are all considered steps without
    containers. ``necessary`` are the positions of required steps that this mode looks at, as
    often as they must happen. Positions are places among ``leaves``, the single steps of the
    expectation as written; ``plan`` is the way of satisfying it that was compared; ``steps`` are
    all actual steps by their number.
    ``precision``, ``recall`` and ``f1`` are in [0, 1]; with nothing expected and nothing done, 1.
    """

    expect: Expected
    leaves: tuple[ExpectedStep, ...]
    plan: Plan
    steps: Sequence[Step]
    pairs: tuple[Pair, ...]
    wrong: tuple[WrongArguments, ...]
    missing: tuple[int, ...]
    out_of_order: tuple[Pair, ...]
    unexpected: tuple[int, ...]
    superfluous: tuple[Superfluous, ...]
    forbidden: tuple[Forbidden, ...]
    considered: tuple[int, ...]
    necessary: tuple[int, ...]
    precision: float
    recall: float
    f1: float
    passed: bool

    def expected_step(self, position: int) -> ExpectedStep:
        """The expected step at that position."""
        return self.leaves[position]

    def step(self, number: int) -> Step:
        """The actual step of that number in the trajectory's walk."""
        return self.steps[number]
