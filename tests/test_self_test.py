import datetime

import msgspec
import pytest

from evalkit.errors import InputError
from evalkit.self_test import self_test
from evalkit.suite import Confirm, GatePolicy, Quarantine, RoutePolicy
from tests import recordings

ON = GatePolicy(on=("task_completion",))
TODAY = datetime.date(2026, 11, 21)


def stored(passes, trials=6, routes=("a", "b"), **more):
    values = {
        route: {f"{route}-{n}": [1.0] * k + [0.0] * (trials - k) for n, k in enumerate(passes)}
        for route in routes
    }
    return recordings.of_values(values, planned_trials=3, **more)


def judged(runs, policy=ON, **more):
    return self_test(runs, policy, today=TODAY, **more)


def rows(found):
    return {row.effect: row for row in found.rows}


def test_nothing_is_seldom_an_alarm_and_a_broken_case_is_found_with_confirmation():
    recorded = stored([6] * 8 + [4] * 3 + [1])
    found = judged([recorded], ON, repeats=8, seconds=60)
    by_effect = rows(found)
    assert by_effect["nothing"].repeats == 8
    assert by_effect["nothing"].confirmed <= 0.25
    assert by_effect["one case broken"].confirmed >= 0.75
    assert 0 < by_effect["nothing"].one_stage_error < 0.2
    again = judged([recorded], ON, repeats=8, seconds=60)
    assert again.rows == found.rows  # seeds are fixed


def test_it_ends_in_time_with_at_least_one_repeat_of_each():
    found = judged([stored([6] + [3] * 4)], ON, seconds=0.01)
    assert [row.repeats for row in found.rows] == [1, 1, 1, 1]
    assert found.seconds < 10


@pytest.mark.parametrize(
    "recorded",
    [
        stored([1], trials=1, routes=("a",)),
        stored([0] * 4),
        stored([6] * 4),
        stored([1, 0, 1], trials=1),
    ],
)
def test_one_case_one_trial_all_pass_and_all_fail_are_measured(recorded):
    found = judged([recorded], ON, repeats=1)
    able = [row for row in found.rows if row.repeats]
    assert all(0 <= row.one_stage <= 1 and 0 <= row.confirmed <= 1 for row in able)


def test_runs_are_pooled_over_cases_that_are_the_same():
    one, two = stored([2] * 4, trials=2), stored([0] * 4, trials=2)
    found = judged([one, two], ON, repeats=1)
    assert found.runs == ("run", "run")
    assert not any("fewer than 3" in note for note in found.notes)
    assert any("fewer than 3" in note for note in judged([one], ON, repeats=1).notes)


def test_nothing_scored_is_an_error():
    with pytest.raises(InputError, match="no trial has scores of routing"):
        judged([stored([1])], GatePolicy(on=("routing",)))


def test_a_fault_that_no_route_can_have_is_told_and_not_counted():
    found = judged([stored([1] + [0] * 9)], repeats=2)
    by_effect = rows(found)
    assert by_effect["nothing"].repeats == 2
    for effect in ("10 points spread over a route", "one case broken"):
        row = by_effect[effect]
        assert (row.repeats, row.one_stage, row.confirmed, row.undecided) == (0, None, None, None)
        assert any(note.startswith(f"{effect}: of 2 routes only 0 pass") for note in found.notes)


def test_the_policy_is_that_of_every_gate():
    recorded = stored([6] * 4 + [3], routes=("a",))
    off = msgspec.structs.replace(ON, confirm=Confirm(enabled=False))
    found = judged([recorded], off, repeats=2)
    assert {row.confirmed for row in found.rows} == {None}
    assert any("no re-runs" in note for note in found.notes)
    # A limit is about one run and compares nothing; a margin does.
    limited = msgspec.structs.replace(ON, limits=("tokens <= 1",))
    sure = stored([6] * 8, routes=("a",))
    assert rows(judged([sure], limited, repeats=2))["nothing"].undecided == 0
    margin = msgspec.structs.replace(ON, margin=0.001)
    assert rows(judged([sure], margin, repeats=2))["nothing"].undecided == 1


def test_cases_in_quarantine_have_no_part():
    recorded = stored([6] + [0] * 5, routes=("a",))
    apart = (Quarantine("a-0", TODAY),)
    assert rows(judged([recorded], repeats=1))["one case broken"].repeats == 1
    kept = msgspec.structs.replace(ON, quarantine=apart)
    assert rows(judged([recorded], kept, repeats=1))["one case broken"].repeats == 0
    with pytest.raises(InputError, match="of a case that is not in quarantine"):
        judged([stored([6], routes=("a",))], kept)
    over = msgspec.structs.replace(ON, quarantine=(Quarantine("a-0", datetime.date(2026, 11, 20)),))
    assert rows(judged([recorded], over, repeats=1))["one case broken"].repeats == 1


def test_a_route_that_nothing_blocks_on_has_no_part():
    alone = judged([stored([6] * 5 + [3] * 4)], repeats=2)
    open_route = GatePolicy(on=ON.on, routes={"b": RoutePolicy(advise=ON.on)})
    found = judged([stored([6] * 5 + [3] * 4)], open_route, repeats=2)
    one = judged([stored([6] * 5 + [3] * 4, routes=("a",))], repeats=2)
    assert found.rows == one.rows != alone.rows
    with pytest.raises(InputError, match="`on` is empty for every route"):
        judged([stored([6] * 5)], GatePolicy(routes=dict.fromkeys("ab", RoutePolicy(on=()))))
