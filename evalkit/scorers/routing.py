"""Did the pipeline take the route that the case expects?"""

from __future__ import annotations

from evalkit.dataset import Case
from evalkit.results import Finding, Score, nothing_to_judge
from evalkit.trajectory import Trajectory

NAME = "routing"


def routing(case: Case, trajectory: Trajectory, /) -> Score:
    """1 and passed if the route taken is the case's, else 0."""
    taken = trajectory.route
    if taken is None:
        return nothing_to_judge(
            NAME,
            "the trace does not tell the route taken: set `route_from` in the suite, "
            "or the attribute `evalkit.route` on a span",
        )
    data = {"expected": case.route, "taken": taken}
    if taken == case.route:
        return Score(NAME, 1.0, True, f"took route {taken[:200]}", data=data)
    detail = f"expected route {case.route}, took {taken[:200]}"
    return Score(
        NAME, 0.0, False, detail, (Finding("wrong_route", taken, detail=detail),), data=data
    )
