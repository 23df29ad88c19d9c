"""Did it go the expected way? The case's match mode over the optimal alignment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from evalkit import calls, unrecorded
from evalkit.alignment import Pair
from evalkit.changes import changes_state
from evalkit.dataset import ArgumentsMode, Case, Expected, ExpectedStep, MatchMode
from evalkit.expectation import is_group, named_kinds, open_places, same_name
from evalkit.matching import Alignment, Forbidden, WrongArguments, align, may_call_nothing_more
from evalkit.results import Finding, Score, could_not_judge, nothing_to_judge
from evalkit.suite import Effects
from evalkit.trajectory import Step, Trajectory
from evalkit.unrecorded import Unrecorded

NAME = "trajectory_match"
MAX_FINDINGS = 100
"""At most so many steps are named by one score; ``data`` counts all."""


def trajectory_match(
    case: Case,
    trajectory: Trajectory,
    /,
    *,
    effects: Effects = Effects(),  # noqa: B008 # frozen
) -> Score:
    """Passed by the mode's definition; value: F1 of the optimal alignment, in [0, 1].

    ``exact``: these steps in this order and no others; ``in_order``: these in this order, others
    between them; ``any_order`` = ``superset``: these, others too; ``unordered``: these and no
    others; ``subset``: no others; ``effects``: the state changes that succeeded are the expected
    ones. A step that must never happen fails every mode. An expectation of no steps means that
    no tool may be called, in every mode but ``effects``, where reading is free. Could not judge:
    all that fails are arguments which the trace does not record, or steps of a kind that it does
    not record would decide, or calls that models asked for and that are not seen, or how a call
    ended of which only a model's message is seen.
    """
    return judge(case.expect, trajectory, effects)


def match(
    expected: Iterable[Mapping[str, Any] | ExpectedStep],
    actual: Iterable[Mapping[str, Any] | Step],
    *,
    mode: MatchMode = "in_order",
    args: ArgumentsMode = "stated",
    effects: Effects = Effects(),  # noqa: B008 # frozen
) -> Score:
    """The score that a suite would give these steps.

    Steps are records, or objects ``{"name": ..., "args": {...}}`` for tool calls; ``args`` may
    be left out: then an expected call states nothing of them, and an actual one has none.
    Without ``effects``, which tools change state is guessed by their names. Raises InputError on
    everything that ``evalkit check`` would refuse, and on what is no step.
    """
    calls.check_effects(effects)
    return judge(calls.expectation(expected, mode, args), calls.trajectory(actual), effects)


def judge(expect: Expected, trajectory: Trajectory, effects: Effects) -> Score:
    """The score of a trajectory against an expectation."""
    if not expect.references and not expect.never:
        return nothing_to_judge(NAME, "the case states no expected steps")
    alignment = align(expect, trajectory, effects)
    if not alignment.passed and (label := _only_unrecorded(alignment)):
        return could_not_judge(
            NAME, f"the trace does not record the arguments of {label}, which the case states"
        )
    if trajectory.coverage.missing and (why := _unknown(expect, trajectory, alignment, effects)):
        return could_not_judge(NAME, why)
    findings = tuple(islice(_findings(alignment), MAX_FINDINGS))
    return Score(
        NAME,
        alignment.f1,
        alignment.passed,
        "as expected" if alignment.passed else _reason(findings),
        findings,
        data=_counts(alignment, several=expect.paths is not None),
    )


def _counts(alignment: Alignment, several: bool) -> dict[str, Any]:
    happened = _happened(alignment)
    return {
        "mode": alignment.expect.match,
        "precision": alignment.precision,
        "recall": alignment.recall,
        "right": len(alignment.pairs),
        "wrong_arguments": len(alignment.wrong),
        "missing": len(alignment.missing),
        "out_of_order": len(alignment.out_of_order),
        "unexpected": len(alignment.unexpected),
        "forbidden": len(alignment.forbidden),
        **({"happened": happened} if happened else {}),
        **({"path": alignment.plan.path} if several else {}),
    }


def _only_unrecorded(alignment: Alignment) -> str | None:
    """The first step with unrecorded arguments, if those are all that fails."""
    unexpected = alignment.unexpected and may_call_nothing_more(alignment.expect)
    missing = alignment.missing and alignment.expect.match != "subset"
    doubtful: list[WrongArguments | Forbidden] = [*alignment.wrong, *alignment.forbidden]
    if unexpected or missing or alignment.out_of_order:
        return None
    if not all(one.unrecorded for one in doubtful):
        return None
    return alignment.step(doubtful[0].step).label


def _unknown(
    expect: Expected, trajectory: Trajectory, alignment: Alignment, effects: Effects
) -> str | None:
    """Why the verdict hangs on what the trace does not record, if it does."""
    changes = changes_state(alignment.steps, effects)
    unknown = unrecorded.of(trajectory)
    if unknown is not None and not _is_certain(expect, alignment, unknown, changes):
        asked = unknown.asked((*alignment.leaves, *expect.never)) or unknown.calls
        why = unrecorded.why_kinds(trajectory, unknown.kinds)
        return why or unrecorded.why_calls(trajectory, asked)
    return _unknown_outcome(expect, alignment, changes)


def _is_certain(
    expect: Expected, alignment: Alignment, unknown: Unrecorded, changes: Callable[[str], bool]
) -> bool:
    """Whether the verdict is the same whatever of this happened as well."""
    if any(not one.unrecorded for one in alignment.forbidden):
        return True
    if alignment.passed:
        further = _may_be_further(expect, unknown, changes)
        return not further and not any(map(unknown.may_be, expect.never))
    if not any(map(unknown.may_be, alignment.leaves)):
        return True  # nor does a step that is too much enclose an expected one that is not seen
    if expect.paths is not None or any(map(is_group, expect.steps or ())):
        return False  # another way may have been taken
    failing = [
        *(one.expected for one in alignment.wrong),
        *(one.expected for one in alignment.out_of_order),
        *(alignment.missing if expect.match != "subset" else ()),
    ]
    return not all(unknown.may_be(alignment.expected_step(one)) for one in failing)


def _may_be_further(expect: Expected, unknown: Unrecorded, changes: Callable[[str], bool]) -> bool:
    """Whether something that is not recorded may be a step too many."""
    if not may_call_nothing_more(expect):
        return False
    if expect.match == "effects":  # reading is free
        return bool(unknown.kinds & unrecorded.CALLS) or any(
            call.kind == "tool" and changes(call.name) for call in unknown.calls
        )
    considered = named_kinds(expect)
    return bool(unknown.kinds & considered & unrecorded.CALLS) or any(
        call.kind in considered for call in unknown.calls
    )


def _unknown_outcome(
    expect: Expected, alignment: Alignment, changes: Callable[[str], bool]
) -> str | None:
    """Why the verdict hangs on how a call ended that only a model's message shows, if it does."""
    doubtful = [step for step in alignment.steps if not step.outcome_known]
    if not doubtful:
        return None
    stated = [
        one
        for listed in (*alignment.leaves, *expect.never)
        for one in listed.alternatives
        if one.status in ("ok", "error")
    ]
    compared = [
        step
        for step in doubtful
        if (expect.match == "effects" and step.kind == "tool" and changes(step.name))
        or any(same_name(one, step) for one in stated)
    ]
    lacking = [] if expect.match == "subset" else map(alignment.expected_step, alignment.missing)
    is_certain = any(
        alignment.step(one.step) not in compared for one in alignment.forbidden
    ) or any(
        not any(same_name(one, step) for one in listed.alternatives for step in compared)
        for listed in lacking
    )
    return None if is_certain else unrecorded.outcome(compared)


# --- naming steps -------------------------------------------------------------------------


def _findings(alignment: Alignment) -> Iterator[Finding]:
    """What fails, gravest first; then what doesn't: failed tries and superfluous arguments."""
    for never in alignment.forbidden:
        yield Finding("forbidden", alignment.step(never.step).label, step=never.step)
    if alignment.expect.match != "subset":
        for position in alignment.missing:
            yield Finding("missing", alignment.expected_step(position).label, expected=position)
    for wrong in alignment.wrong:
        detail = "; ".join(map(str, wrong.mismatches))
        yield _about("wrong_arguments", alignment, wrong.expected, wrong.step, detail)
    for pair in alignment.out_of_order:
        yield _about("out_of_order", alignment, pair.expected, pair.step, "")
    if may_call_nothing_more(alignment.expect):
        for number in alignment.unexpected:
            yield Finding("unexpected", alignment.step(number).label, step=number)
    for pair in _failed(alignment):
        detail = alignment.step(pair.step).error or ""
        yield _about("failed", alignment, pair.expected, pair.step, detail)
    for extra in alignment.superfluous:
        detail = ", ".join(extra.paths)
        yield _about("superfluous_arguments", alignment, extra.expected, extra.step, detail)


def _failed(alignment: Alignment) -> Iterator[Pair]:
    """Expected steps that happened as expected, and whose last try ended in an error."""
    if not any(step.status == "error" for step in alignment.steps):
        return
    last: dict[tuple[str, str, str], int] = {}
    for number, step in enumerate(alignment.steps):
        last[step.kind, step.name, step.actor] = number
        if step.kind != "workflow":
            last["step", step.name, step.actor] = number
    for position in dict.fromkeys(pair.expected for pair in alignment.pairs):
        stated = alignment.expected_step(position)
        tries = [
            last.get((one.kind or "", one.name or "", one.actor), -1) for one in stated.alternatives
        ]
        if stated.status is None and max(tries) >= 0:
            number = max(tries)
            if alignment.step(number).status == "error":
                yield Pair(position, number)


def _happened(alignment: Alignment) -> list[int]:
    """The places of steps that need not happen and did."""
    places = open_places(alignment.expect)
    if not places:
        return []
    done = {pair.expected for pair in (*alignment.pairs, *alignment.out_of_order)}
    return sorted(places & (done | {wrong.expected for wrong in alignment.wrong}))


def _about(kind: Any, alignment: Alignment, expected: int, step: int, detail: str) -> Finding:
    label = alignment.step(step).label
    return Finding(kind, label, expected=expected, step=step, detail=detail[:500])


def _reason(findings: tuple[Finding, ...]) -> str:
    """The gravest finding as a sentence, and how many more there are."""
    failing = [one for one in findings if one.kind not in NOTES]
    first = failing[0]
    more = f"; and {len(failing) - 1} more" if len(failing) > 1 else ""
    return _SENTENCE[first.kind].format(name=first.name[:200], detail=first.detail[:300]) + more


NOTES = frozenset({"superfluous_arguments", "failed"})
"""Findings that a score can pass with."""

_SENTENCE = {
    "forbidden": "{name} must never happen, and did",
    "missing": "expected {name}: missing",
    "wrong_arguments": "expected {name}: wrong arguments ({detail})",
    "out_of_order": "expected {name}: happened out of order",
    "unexpected": "{name}: not expected",
}
