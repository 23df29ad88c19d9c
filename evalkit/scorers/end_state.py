"""Is the pipeline's real state, read after the trial, what the case expects?"""

from __future__ import annotations

import msgspec

from evalkit.dataset import Case
from evalkit.outcomes import CannotTellError, unlike
from evalkit.results import Finding, Score, could_not_judge, nothing_to_judge
from evalkit.trajectory import Trajectory

NAME = "end_state"


def end_state(case: Case, trajectory: Trajectory, /) -> Score:
    """1 and passed if the state holds what ``expect.state`` states, else 0.

    The same check as in task_completion, as a scorer of its own. As arguments are compared: an
    object may have further keys, a list is in any order, predicates are allowed. Could not judge:
    no state was read (the suite names no ``state``), or reading failed.
    """
    if case.expect.state is msgspec.UNSET:
        return nothing_to_judge(NAME, "the case states no end state")
    try:
        listed = unlike(case.expect.state, trajectory.state)
    except CannotTellError as error:
        return could_not_judge(NAME, str(error))
    if not listed:
        return Score(NAME, 1.0, True, "the state is as expected")
    more = f"; and {len(listed) - 1} more" if len(listed) > 1 else ""
    findings = tuple(Finding("outcome", "end state", detail=one[:500]) for one in listed)
    return Score(NAME, 0.0, False, f"{listed[0][:500]}{more}", findings)
