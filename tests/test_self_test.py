import pytest

from evalkit.errors import InputError
from evalkit.self_test import self_test
from evalkit.suite import GatePolicy
from tests import recordings

ON = GatePolicy(on=("task_completion",))


def stored(passes, trials=6, routes=("a", "b"), **more):
    values = {
        route: {f"{route}-{n}": [1.0] * k + [0.0] * (trials - k) for n, k in enumerate(passes)}
        for route in routes
    }
    return recordings.of_values(values, planned_trials=3, **more)


def rows(found):
    return {row.effect: row for row in found.rows}


def test_nothing_is_seldom_an_alarm_and_a_broken_case_is_found_with_confirmation():
    recorded = stored([6] * 8 + [4] * 3 + [1])
    found = self_test([recorded], ON, repeats=8, seconds=60)
    by_effect = rows(found)
    assert by_effect["nothing"].repeats == 8
    assert by_effect["nothing"].confirmed <= 0.25
    assert by_effect["one case broken"].confirmed >= 0.75
    assert 0 < by_effect["nothing"].one_stage_error < 0.2
    again = self_test([recorded], ON, repeats=8, seconds=60)
    assert again.rows == found.rows  # seeds are fixed


def test_it_ends_in_time_with_at_least_one_repeat_of_each():
    found = self_test([stored([3] * 5)], ON, seconds=0.01)
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
    found = self_test([recorded], ON, repeats=1)
    assert all(0 <= row.one_stage <= 1 and 0 <= row.confirmed <= 1 for row in found.rows)


def test_runs_are_pooled_over_cases_that_are_the_same():
    one, two = stored([2] * 4, trials=2), stored([0] * 4, trials=2)
    found = self_test([one, two], ON, repeats=1)
    assert found.runs == ("run", "run")
    assert not any("fewer than 3" in note for note in found.notes)
    assert any("fewer than 3" in note for note in self_test([one], ON, repeats=1).notes)


def test_nothing_scored_is_an_error():
    with pytest.raises(InputError, match="no trial has scores of routing"):
        self_test([stored([1])], GatePolicy(on=("routing",)))
