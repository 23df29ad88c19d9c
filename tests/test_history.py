"""History: points as the summaries have them, and changes only where there is one."""

from __future__ import annotations

import random

import msgspec
import pytest

from evalkit.comparison import summarize
from evalkit.history import histories
from tests.recordings import of_values


def runs(*rates, cases=12, trials=4, seed=1):
    """One run per rate, each trial passing with that chance."""
    draw = random.Random(seed)
    made = []
    for at, rate in enumerate(rates):
        values = {
            "r": {
                f"c{n}": [float(draw.random() < rate) for _ in range(trials)] for n in range(cases)
            }
        }
        found = of_values(values, name=f"run{at}", started=float(at), commit=f"commit{at}")
        made.append(found)
    return made


def only(found):
    (one,) = found
    return one


def test_points_are_the_summaries_numbers():
    made = runs(0.9, 0.5)
    history = only(histories(made, ["task_completion"]))
    seen = [summarize(one)[0].scorers[0].estimate for one in made]
    assert [(p.mean, p.low, p.high) for p in history.points] == [
        (e.mean, e.low, e.high) for e in seen
    ]
    assert [p.commit for p in history.points] == ["commit0", "commit1"]
    assert {(p.cases, p.trials) for p in history.points} == {(12, 48)}


def test_finds_the_run_at_which_it_fell():
    history = only(histories(runs(0.95, 0.95, 0.95, 0.4, 0.4, 0.4), ["task_completion"]))
    change = only(history.changes)
    assert change.run == "run3"
    assert change.earliest <= "run3" <= change.latest
    assert change.difference < -0.3
    assert change.p_adjusted < 0.001
    assert change.probability > 0.9


def test_finds_a_fall_and_a_recovery():
    history = only(histories(runs(0.95, 0.95, 0.3, 0.3, 0.95, 0.95), ["task_completion"]))
    assert [change.run for change in history.changes] == ["run2", "run4"]
    assert [change.difference < 0 for change in history.changes] == [True, False]


def test_a_small_drift_in_noise_has_a_wide_place():
    made = runs(0.8, 0.8, 0.8, 0.8, 0.55, 0.55, 0.55, 0.55, cases=10, trials=3, seed=3)
    changes = only(histories(made, ["task_completion"])).changes
    assert all(change.earliest <= "run4" <= change.latest for change in changes)


def test_no_change_is_rarely_called_one():
    called = sum(
        bool(
            only(
                histories(runs(*[0.8] * 5, cases=8, trials=3, seed=seed), ["task_completion"])
            ).changes
        )
        for seed in range(60)
    )
    assert called <= 6  # at most 5 % of 60 expected; 7 or more has a chance of 3 %


def test_equal_runs_have_no_change():
    history = only(histories(runs(1.0, 1.0, 1.0), ["task_completion"]))
    assert history.changes == ()


def test_cases_that_changed_are_not_taken_for_a_change():
    before, after = runs(1.0, 0.0)
    planned = tuple(msgspec.structs.replace(c, digest="other") for c in after.run.planned)
    changed = after.__class__(
        msgspec.structs.replace(after.run, planned=planned), after.trials, after.scores
    )
    history = only(histories([before, changed], ["task_completion"]))
    assert len(history.points) == 2
    assert (history.changes, history.compared) == ((), 0)


@pytest.mark.parametrize("asked", ["nothing"])
def test_what_nobody_scored_has_no_history(asked):
    assert histories(runs(1.0), [asked]) == ()
    assert histories(runs(1.0), ["task_completion"], route=asked) == ()
    assert len(only(histories(runs(1.0), ["task_completion"], route="r")).points) == 1
