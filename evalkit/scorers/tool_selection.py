"""Was the right tool chosen at each decision?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from operator import itemgetter
from typing import Any, NamedTuple

from evalkit import unrecorded
from evalkit.alignment import rates
from evalkit.dataset import Case, Expected
from evalkit.expectation import is_for_agent, leaves, named_kinds
from evalkit.matching import Alignment, align
from evalkit.plans import LISTED, Plan, Row
from evalkit.results import Finding, Score, could_not_judge, nothing_to_judge
from evalkit.suite import Effects
from evalkit.tool_names import is_same_tool
from evalkit.trajectory import Trajectory, Unseen

NAME = "tool_selection"
MAX_LISTED = 100
"""At most so many decisions are named in one score; the counts are of all."""

MAX_ACCEPTABLE = 10
"""At most so many tools are named for one decision."""

_Rest = Sequence[tuple[int | None, int | None]]


def tool_selection(case: Case, trajectory: Trajectory, /) -> Score:
    """right / (right + wrong + missed + spurious) over the decisions to call a tool.

    Decisions are the agent's tool calls; retrievals too, if the case names a retriever. Expected
    and actual ones are paired optimally, in any order, those whose arguments hold first; whether
    arguments hold is no part of the value. ``wrong``: another tool in the expected one's stead
    (what is left on both sides, in order); ``missed``: none in its stead; ``spurious``: one too
    many. Optional ones count when called. No tool expected and none called is right. Passed: all
    right. An expected call that a model asked for is a decision, though nothing shows that it took
    place. ``data`` is described in docs/scorers.md. Could not judge: the trace records no tool
    calls, nor what would show that there were none; or such a call, were it made, would be the only
    one too many.
    """
    expect = case.expect
    if not expect.references:
        return nothing_to_judge(NAME, "the case states no expected steps")
    if unknown := unrecorded.why_kinds(trajectory, ("tool",)):
        return could_not_judge(NAME, unknown)
    kinds = frozenset({"tool", "retriever"} if _names_retriever(expect) else {"tool"})
    all_decide = named_kinds(expect) <= kinds and is_for_agent(expect)
    alignment = align(
        expect,
        trajectory,
        Effects(),
        mode=expect.match if expect.match in LISTED else "any_order",
        kinds=kinds,
        view=None if all_decide else lambda row: _decision(row, kinds),
        ordered=False,
    )
    chosen = _choices(alignment)
    if trajectory.coverage.unseen:
        chosen = _with_asked(alignment, chosen, trajectory.coverage.unseen)
    rest = list(zip_longest(chosen.missing, chosen.spurious))
    if not rest and (doubtful := unrecorded.why_calls(trajectory, chosen.doubtful)):
        return could_not_judge(NAME, doubtful)
    right, wrong = len(chosen.right) + len(chosen.asked), sum(None not in pair for pair in rest)
    total = right + len(rest)
    decisions = _decisions(alignment, chosen)
    return Score(
        NAME,
        right / total if total else 1.0,
        not rest,
        _reason(alignment, chosen, rest, decisions),
        tuple(_findings(alignment, rest)),
        data={
            "right": right,
            "wrong": wrong,
            "missed": len(chosen.missing) - wrong,
            "spurious": len(chosen.spurious) - wrong,
            **rates(right, right + len(chosen.spurious), right + len(chosen.missing))._asdict(),
            "confusion": _confusion(alignment, chosen, rest),
            "decisions": decisions,
            "arguments": _arguments(alignment),
            "abstention": _abstention(alignment, chosen),
            "hallucinated": _hallucinated(alignment),
        },
    )


def _names_retriever(expect: Expected) -> bool:
    return "retriever" in named_kinds(expect) and any(
        one.retriever is not None for stated in leaves(expect) for one in stated.alternatives
    )


def _decision(row: Row, kinds: frozenset[str]) -> Row | None:
    """The row as a decision of the agent; one that something else may satisfy is optional."""
    mine = [one for one in row.alternatives if one.actor == "agent"]
    chosen = tuple([one for one in mine if one.kind in kinds])
    if len(chosen) == len(row.alternatives):
        return row
    chosen = tuple([one for one in mine if one.kind in kinds or one.kind == "step"])
    return Row(row.position, chosen, optional=True) if chosen else None


class _Choices(NamedTuple):
    """Actual decisions: ``right`` by name, as (position, number), and ``spurious`` ones.

    ``asked`` are right ones that no step shows, as (position, name); ``doubtful`` are such that are
    not expected. ``missing`` are the positions of expected decisions that nobody made.
    """

    right: list[tuple[int, int]]
    spurious: Sequence[int]
    missing: Sequence[int]
    asked: Sequence[tuple[int, str]] = ()
    doubtful: Sequence[Unseen] = ()


def _choices(alignment: Alignment) -> _Choices:
    """Optional steps pair only in full; called with other arguments, the choice was right."""
    right = [(pair.expected, pair.step) for pair in alignment.pairs]
    right += [(one.expected, one.step) for one in alignment.wrong]
    left = [row for row in alignment.plan.rows if row.optional]
    for position, _ in right if left else ():
        served = next((row for row in left if row.position == position), None)
        if served is not None:
            left.remove(served)
    spurious = []
    for number in alignment.unexpected:
        name = alignment.step(number).name
        fitting = (row for row in left if any(one.name == name for one in row.alternatives))
        row = next(fitting, None)
        if row is None:
            spurious.append(number)
        else:
            left.remove(row)
            right.append((row.position, number))
    return _Choices(sorted(right, key=itemgetter(1)), spurious, alignment.missing)


def _with_asked(alignment: Alignment, chosen: _Choices, calls: Sequence[Unseen]) -> _Choices:
    """The decisions with those that only a model's message shows."""
    taken = Counter(position for position, _ in chosen.right)
    planned = Counter(row.position for row in alignment.plan.rows)
    open_places = [*chosen.missing, *(planned - taken - Counter(chosen.missing)).elements()]
    asked: list[tuple[int, str]] = []
    doubtful: list[Unseen] = []
    for call in calls:
        if call.kind != "tool":
            continue
        fitting = (place for place in open_places if _is_for(alignment, place, call.name))
        place = next(fitting, None)
        if place is None:
            doubtful.append(call)
        else:
            open_places.remove(place)
            asked.append((place, call.name))
    met = Counter(place for place, _ in asked)
    missing = (Counter(chosen.missing) - met).elements()
    return chosen._replace(missing=list(missing), asked=asked, doubtful=doubtful)


def _is_for(alignment: Alignment, position: int, tool: str) -> bool:
    every = alignment.expected_step(position).alternatives
    return any(is_same_tool(one.name or "", tool) for one in every)


# --- what is told of them -------------------------------------------------------------------


def _wanted(alignment: Alignment, position: int | None) -> str | None:
    if position is None:
        return None
    names = (one.name or "" for one in alignment.expected_step(position).alternatives)
    return " or ".join(dict.fromkeys(names))


def _chosen(alignment: Alignment, one: int | None) -> str | None:
    return None if one is None else alignment.step(one).name


def _confusion(alignment: Alignment, chosen: _Choices, rest: _Rest) -> list[list[str | None]]:
    """[expected, chosen]; a right choice among alternatives is its own expectation."""
    steps = alignment.steps
    right: list[list[str | None]] = [
        [steps[number].name] * 2 for _, number in chosen.right[:MAX_LISTED]
    ]
    asked: list[list[str | None]] = [[name] * 2 for _, name in chosen.asked]
    others = [[_wanted(alignment, place), _chosen(alignment, number)] for place, number in rest]
    return [*[*right, *asked][:MAX_LISTED], *others[:MAX_LISTED]]


def _decisions(alignment: Alignment, chosen: _Choices) -> dict[str, Any]:
    """At each call in order: what was acceptable, given what had been done, and was it that?

    Acceptable are the expected tools that are not done yet and wait for nothing, in the order
    that the case states (none where its mode has none but ``after``). ``wrong`` lists decisions
    that were not: step, chosen, acceptable. Of those that no step shows nothing tells when they
    were made: none waits for them.
    """
    plan = alignment.plan
    made = [*chosen.right, *[(None, number) for number in chosen.spurious]]
    if chosen.spurious:
        made.sort(key=itemgetter(1))
    open_places: dict[int, list[int]] = {}
    for number in range(len(plan.rows) - 1, -1, -1):
        open_places.setdefault(plan.rows[number].position, []).append(number)
    waited_for = sum([1 << place for place, row in enumerate(plan.rows) if not row.optional])
    accepted = done = 0
    for asked, _ in chosen.asked:
        done |= 1 << open_places[asked].pop()
    waited_for &= ~done
    wrong: list[dict[str, Any]] = []
    for position, number in made:
        place = None if position is None else open_places[position].pop()
        if place is not None and not _before(plan, place) & waited_for:
            accepted += 1
        elif len(wrong) < MAX_LISTED:
            acceptable = _acceptable(plan, done, waited_for)
            wrong.append(
                {"step": number, "chosen": _chosen(alignment, number), "acceptable": acceptable}
            )
        if place is not None:
            done |= 1 << place
            waited_for &= ~done
    accuracy = accepted / len(made) if made else None
    return {"made": len(made), "acceptable": accepted, "accuracy": accuracy, "wrong": wrong}


def _before(plan: Plan, place: int) -> int:
    """The decisions that must come before, as a bit mask."""
    if plan.before is not None:
        return plan.before[place]
    return (1 << place) - 1 if plan.listed else 0


def _acceptable(plan: Plan, done: int, waited_for: int) -> list[str]:
    names: dict[str, None] = {}
    for place, row in enumerate(plan.rows):
        if len(names) >= MAX_ACCEPTABLE or (plan.listed and waited_for & ((1 << place) - 1)):
            break  # in a list, all that come after wait as well
        if not done >> place & 1 and not _before(plan, place) & waited_for:
            names.update((one.name or "", None) for one in row.alternatives)
    return list(names)[:MAX_ACCEPTABLE]


def _arguments(alignment: Alignment) -> dict[str, Any]:
    """Of the right choices: how many with right arguments; what was wrong, missing, superfluous."""
    wrong, missing = [], []
    for one in alignment.wrong:
        tool = alignment.step(one.step).name
        for mismatch in one.mismatches:
            said = {"step": one.step, "tool": tool, "path": mismatch.path}
            if mismatch.found == "nothing":
                missing.append({**said, "expected": mismatch.expected})
            else:
                wrong.append({**said, "expected": mismatch.expected, "found": mismatch.found})
    superfluous = [
        {"step": one.step, "tool": alignment.step(one.step).name, "path": path}
        for one in alignment.superfluous
        for path in one.paths
    ]
    return {
        "right": len(alignment.pairs),
        "wrong": wrong[:MAX_LISTED],
        "missing": missing[:MAX_LISTED],
        "superfluous": superfluous[:MAX_LISTED],
    }


def _abstention(alignment: Alignment, chosen: _Choices) -> str | None:
    """``right``: no tool expected, none called; ``wrong``: expected, and none called at all;
    ``broken``: none expected, and one called; None where tools were both expected and called."""
    called = bool(chosen.right or chosen.asked or chosen.spurious)
    expected = any(not row.optional for row in alignment.plan.rows)
    if not called:
        return "wrong" if expected else "right"
    return None if alignment.plan.rows else "broken"


def _hallucinated(alignment: Alignment) -> list[str] | None:
    """Tools that the agent called though no model had been offered them by then; None if the trace
    is silent. Of calls before the first offer that it tells, it does not tell."""
    offered: set[str] | None = None
    by_models = silent = False
    called: dict[str, None] = {}
    for step in alignment.steps:
        if step.offered is not None:
            offered = {*step.offered} if offered is None else offered.union(step.offered)
            by_models, silent = by_models or step.kind == "llm", False
        elif step.kind == "llm" and by_models:
            silent = True  # other models' offers are told, this one's is not
        is_call = step.kind == "tool" and step.actor == "agent"
        if is_call and offered is not None and not silent and step.name not in offered:
            called[step.name] = None
    return None if offered is None else list(called)[:MAX_LISTED]


def _findings(alignment: Alignment, rest: _Rest) -> Iterator[Finding]:
    for place, number in rest[:MAX_LISTED]:
        wanted, chosen = _wanted(alignment, place), _chosen(alignment, number)
        if place is None:
            yield Finding("unexpected", f"tool {chosen}", step=number)
        else:
            detail = f"{chosen} was called instead" if chosen else ""
            yield Finding("missing", f"tool {wanted}", expected=place, step=number, detail=detail)


def _reason(
    alignment: Alignment, chosen: _Choices, rest: _Rest, decisions: Mapping[str, Any]
) -> str:
    made, acceptable = decisions["made"], decisions["acceptable"]
    untimely = f"; {acceptable} of {made} calls acceptable when made" if acceptable < made else ""
    return f"{_first(alignment, chosen, rest)}{untimely}"


def _first(alignment: Alignment, chosen: _Choices, rest: _Rest) -> str:
    if not rest:
        called = chosen.right or chosen.asked
        return "every tool as expected" if called else "no tool expected, none called"
    wanted, instead = _wanted(alignment, rest[0][0]), _chosen(alignment, rest[0][1])
    more = f"; and {len(rest) - 1} more" if len(rest) > 1 else ""
    if wanted is None:
        return f"tool {instead} called, not expected{more}"
    what = f"{instead} called instead" if instead else "not called"
    return f"expected tool {wanted}: {what}{more}"
