"""Was the right tool chosen at each decision?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from evalkit.dataset import Case, Expected, ExpectedStep
from evalkit.matching import Alignment, align
from evalkit.results import Finding, Score, nothing_to_judge
from evalkit.suite import Effects
from evalkit.trajectory import Trajectory

NAME = "tool_selection"
MAX_LISTED = 100
"""At most so many decisions are named in one score; the counts are of all."""

_Rest = Sequence[tuple[int | None, int | None]]


def tool_selection(case: Case, trajectory: Trajectory, /) -> Score:
    """right / (right + wrong + missed + spurious) over the decisions to call a tool.

    Decisions are the agent's tool calls; retrievals too, if the case names a retriever. Expected
    and actual ones are paired optimally by name, in any order; arguments are for
    ``trajectory_match`` to judge. ``wrong``: another tool in the expected one's stead (what is
    left on both sides, in order); ``missed``: none in its stead; ``spurious``: one too many.
    Optional ones count when called. No tool expected and none called is right. Passed: all right.
    ``data`` holds the counts, precision, recall, F1 and ``confusion``: pairs
    [expected, chosen], None where there is no counterpart.
    """
    steps = case.expect.steps
    if steps is None:
        return nothing_to_judge(NAME, "the case states no expected steps")
    kinds = frozenset({"tool"} if not _names_retriever(steps) else {"tool", "retriever"})
    decisions = dict(_decisions(steps, kinds))
    expect = Expected(steps=tuple(decisions.values()), match="unordered", args="ignore")
    alignment = align(expect, trajectory, Effects(), kinds=kinds)
    rest = list(zip_longest(alignment.missing, alignment.unexpected))
    right, wrong = len(alignment.pairs), sum(None not in pair for pair in rest)
    total = right + len(rest)
    return Score(
        NAME,
        right / total if total else 1.0,
        not rest,
        _reason(alignment, rest),
        tuple(_findings(alignment, rest, list(decisions))),
        data={
            "right": right,
            "wrong": wrong,
            "missed": len(alignment.missing) - wrong,
            "spurious": len(alignment.unexpected) - wrong,
            "precision": alignment.precision,
            "recall": alignment.recall,
            "f1": alignment.f1,
            "confusion": _confusion(alignment, rest),
        },
    )


def _names_retriever(steps: Sequence[ExpectedStep]) -> bool:
    return any(one.retriever is not None for stated in steps for one in stated.alternatives)


def _decisions(
    steps: Sequence[ExpectedStep], kinds: frozenset[str]
) -> Iterator[tuple[int, ExpectedStep]]:
    """The expected decisions by position; one that something else may satisfy is optional."""
    for position, stated in enumerate(steps):
        chosen = tuple(
            one
            for one in stated.alternatives
            if one.actor == "agent" and (one.kind in kinds or one.kind == "step")
        )
        if chosen:
            certain = len(chosen) == len(stated.alternatives) and all(
                one.kind != "step" for one in chosen
            )
            optional = stated.optional or not certain
            yield position, ExpectedStep(any_of=chosen, optional=optional)


def _wanted(alignment: Alignment, position: int | None) -> str | None:
    if position is None:
        return None
    names = (one.name or "" for one in alignment.expected_step(position).alternatives)
    return " or ".join(dict.fromkeys(names))


def _chosen(alignment: Alignment, number: int | None) -> str | None:
    return None if number is None else alignment.step(number).name


def _confusion(alignment: Alignment, rest: _Rest) -> list[list[str | None]]:
    """[expected, chosen]; a right choice among alternatives is its own expectation."""
    right = [[_chosen(alignment, pair.step)] * 2 for pair in alignment.pairs]
    others = [[_wanted(alignment, place), _chosen(alignment, number)] for place, number in rest]
    return [*right[:MAX_LISTED], *others[:MAX_LISTED]]


def _findings(alignment: Alignment, rest: _Rest, positions: list[int]) -> Iterator[Finding]:
    for place, number in rest[:MAX_LISTED]:
        wanted, chosen = _wanted(alignment, place), _chosen(alignment, number)
        if place is None:
            yield Finding("unexpected", f"tool {chosen}", step=number)
        else:
            detail = f"{chosen} was called instead" if chosen else ""
            name = f"tool {wanted}"
            yield Finding("missing", name, expected=positions[place], step=number, detail=detail)


def _reason(alignment: Alignment, rest: _Rest) -> str:
    if not rest:
        return "every tool as expected" if alignment.pairs else "no tool expected, none called"
    wanted, chosen = _wanted(alignment, rest[0][0]), _chosen(alignment, rest[0][1])
    more = f"; and {len(rest) - 1} more" if len(rest) > 1 else ""
    if wanted is None:
        return f"tool {chosen} called, not expected{more}"
    instead = f"{chosen} called instead" if chosen else "not called"
    return f"expected tool {wanted}: {instead}{more}"
