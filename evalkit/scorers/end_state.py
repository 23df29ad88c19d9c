"""Is the pipeline's real state, read after the trial, what the case expects?"""

from __future__ import annotations

import msgspec

from evalkit.arguments import mismatches
from evalkit.dataset import Case
from evalkit.predicates import holds
from evalkit.results import Finding, Score, could_not_judge, nothing_to_judge
from evalkit.trajectory import Trajectory
from evalkit.values import show

NAME = "end_state"


def end_state(case: Case, trajectory: Trajectory, /) -> Score:
    """1 and passed if the state holds what ``expect.state`` states, else 0.

    As arguments do: an object may have further keys, a list is in any order, predicates are
    allowed. Could not judge: no state was read (the suite names no ``state``), or reading failed.
    """
    if case.expect.state is msgspec.UNSET:
        return nothing_to_judge(NAME, "the case states no end state")
    found = trajectory.state
    if found is None:
        return could_not_judge(NAME, "no state was read: name a `state` function in the suite")
    if found.error is not None:
        return could_not_judge(NAME, f"the state could not be read: {found.error}")
    if holds(case.expect.state, found.value):
        return Score(NAME, 1.0, True, "the state is as expected")
    wrong = [str(one) for one in mismatches({"state": case.expect.state}, {"state": found.value})]
    listed = wrong or [f"found {show(found.value)}"]
    more = f"; and {len(listed) - 1} more" if len(listed) > 1 else ""
    findings = tuple(Finding("outcome", "end state", detail=one[:500]) for one in listed)
    return Score(NAME, 0.0, False, f"{listed[0][:500]}{more}", findings)
