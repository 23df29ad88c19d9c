"""The route taken against the case's."""

from __future__ import annotations

from evalkit.dataset import Case
from evalkit.scorers.routing import routing
from evalkit.trajectory import Trajectory

CASE = Case(id="c", input="?", route="refund")


def test_right_wrong_and_untold() -> None:
    assert routing(CASE, Trajectory(route="refund")).passed
    wrong = routing(CASE, Trajectory(route="policy"))
    assert (wrong.value, wrong.passed) == (0, False)
    assert wrong.steps[0].kind == "wrong_route"
    assert "refund" in wrong.reason
    assert "policy" in wrong.reason
    untold = routing(CASE, Trajectory())
    assert untold.status == "nothing_to_judge"
    assert "route_from" in untold.reason
