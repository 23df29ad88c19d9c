"""Two stages: what raises a suspicion, what confirms it, and what a budget leaves open."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.confirming import ROUNDS, TRIALS, Row, confirm_tables, goals
from evalkit.permutation import fewer_passes

SCORER = "task_completion"


def rows(chances, trials, rng, route="r"):
    return [
        Row(route, f"{route}{at}", number, SCORER, float(ok), bool(ok))
        for at, chance in enumerate(chances)
        for number, ok in enumerate(rng.random(trials) < chance)
    ]


class Pipeline:
    """Both versions, tried on demand; counts what it was asked for."""

    def __init__(self, before, after, seed=0, lost=0.0, stop_after=None):
        self.rng = np.random.default_rng(seed)
        self.arms, self.lost, self.stop_after = (before, after), lost, stop_after
        self.asked, self.calls = {}, 0

    def __call__(self, wanted):
        if self.calls == self.stop_after:
            return None
        self.calls += 1
        for case, trials in wanted.items():
            self.asked[case] = self.asked.get(case, 0) + trials
        return tuple(
            [
                Row("r", case, number, SCORER, float(ok), bool(ok))
                for case, trials in wanted.items()
                for number, ok in enumerate(self.rng.random(trials) < arm[int(case[1:])])
                if self.rng.random() >= self.lost
            ]
            for arm in self.arms
        )


def decide(before, after, *, seed=0, stored_after=None, lost=0.0, stop_after=None, **more):
    rng = np.random.default_rng(seed + 1000)
    pipeline = Pipeline(before, after, seed, lost, stop_after)
    now = after if stored_after is None else stored_after
    found = confirm_tables(rows(before, 3, rng), rows(now, 3, rng), pipeline, **more)
    return found["r", SCORER], pipeline


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_one_case_is_fishers_exact_test(before, after, data):
    from scipy.stats import fisher_exact

    was, now = data.draw(st.integers(0, before)), data.draw(st.integers(0, after))
    table = [[now, after - now], [was, before - was]]
    theirs = fisher_exact(table, alternative="less").pvalue
    assert fewer_passes(was, before, now, after) == pytest.approx(theirs)


def test_nothing_suspicious_costs_nothing():
    found, pipeline = decide([1.0] * 20, [1.0] * 20)
    assert (found.verdict, found.p, found.trials, pipeline.calls) == ("ok", 1.0, 0, 0)
    assert found.fresh is None


def test_a_drop_of_all_cases_is_confirmed_on_fresh_trials_and_not_tried_further():
    found, pipeline = decide([0.95] * 30, [0.4] * 30)
    assert (found.verdict, pipeline.calls) == ("regressed", 1)
    assert found.interval.low < -0.55 < found.interval.high < 0
    assert found.p_adjusted <= 0.05
    assert set(found.fresh.cases) == {f"r{at}" for at in range(30)}


def test_one_broken_case_is_named_and_the_others_are_left_alone():
    chances = [1.0] * 25
    found, pipeline = decide(chances, [*chances[:-1], 0.0])
    assert (found.verdict, found.cases) == ("broken", ("r24",))
    assert pipeline.asked["r24"] <= 9 + 8
    assert sum(pipeline.asked.values()) <= 6 * 25


def test_an_outage_while_the_candidate_ran_is_no_alarm():
    chances = [0.95] * 20
    found, pipeline = decide(chances, chances, stored_after=[0.2] * 20)
    assert found.verdict == "ok"
    assert pipeline.calls > 0


@pytest.mark.parametrize("budget", [{"max_trials": 10}, {"stop_after": 0}])
def test_a_spent_budget_is_inconclusive_and_never_ok(budget):
    found, pipeline = decide([1.0] * 10, [0.0] * 10, **budget)
    assert (found.verdict, found.trials, pipeline.calls) == ("inconclusive", 0, 0)
    assert "budget" in found.why


def test_a_budget_that_suffices_is_not_exceeded():
    found, pipeline = decide([0.6] * 20, [0.45] * 20, max_trials=300)
    assert 2 * sum(pipeline.asked.values()) <= 300
    assert found.verdict in ("inconclusive", "ok", "regressed")


def test_reruns_that_fail_decide_nothing():
    found, _ = decide([1.0] * 10, [0.0] * 10, lost=1.0)
    assert found.verdict == "inconclusive"
    assert "gave no score" in found.why


def test_some_lost_trials_are_borne():
    found, _ = decide([0.95] * 30, [0.4] * 30, lost=0.05)
    assert found.verdict == "regressed"


def test_too_few_trials_to_tell_is_inconclusive():
    found, _ = decide([1.0], [0.0], trials=1)
    assert found.verdict == "inconclusive"
    assert "too few" in found.why


def test_all_that_is_tried_again_has_as_many_trials():
    # r0 always fails now, and its trials count as those of any other case for the route's mean
    found, pipeline = decide([0.5] * 12, [0.45] * 12, seed=3)
    assert set(pipeline.asked.values()) <= set(ROUNDS)
    assert {len(arm.values) for arm in found.fresh.baseline} <= set(ROUNDS)


def test_two_broken_cases_are_both_named():
    chances = [1.0] * 25
    found, _ = decide(chances, [*chances[:-2], 0.0, 0.2], seed=1)
    assert (found.verdict, found.cases) == ("broken", ("r23", "r24"))


@pytest.mark.parametrize("trials", [1, 2, 5, TRIALS, 100])
def test_rounds_grow_to_what_was_asked_for(trials):
    listed = list(goals(trials))
    assert listed == sorted(set(listed))
    assert listed[-1] == trials


def test_reruns_may_number_their_trials_as_they_like():
    pipeline = Pipeline([0.95] * 20, [0.4] * 20)

    def rerun(wanted):
        return tuple([row._replace(trial=7) for row in arm] for arm in pipeline(wanted))

    rng = np.random.default_rng(0)
    stored = rows([0.95] * 20, 3, rng), rows([0.4] * 20, 3, rng)
    assert confirm_tables(*stored, rerun)["r", SCORER].verdict == "regressed"


def test_more_trials_than_were_asked_for_count_no_more():
    pipeline = Pipeline([0.95] * 20, [0.4] * 20)

    def rerun(wanted):
        return pipeline({case: 5 * trials for case, trials in wanted.items()})

    rng = np.random.default_rng(0)
    stored = rows([0.95] * 20, 3, rng), rows([0.4] * 20, 3, rng)
    found = confirm_tables(*stored, rerun)["r", SCORER]
    assert {len(arm.values) for arm in found.fresh.baseline} <= set(ROUNDS)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.05, 0.3])
@pytest.mark.parametrize("lost", [0.0, 0.1])
def test_stored_trials_that_look_bad_make_no_alarm_more_often_than_alpha(alpha, lost):
    rng = np.random.default_rng(12)
    chances = [0.9, 0.7, 0.7, 0.5, 0.5, 0.3, 0.95, 0.8]
    alarms = [
        decide(chances, chances, seed=seed, stored_after=[0.2] * 8, lost=lost, alpha=alpha)[0]
        for seed in rng.integers(1 << 30, size=300).tolist()
    ]
    share = np.mean([one.verdict in ("regressed", "broken") for one in alarms])
    assert share <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / 300)
    assert all(one.trials > 0 for one in alarms)


def test_values_outside_of_the_scale_are_refused():
    bad = [Row("r", "a", 0, SCORER, 1.5, True)]
    with pytest.raises(ValueError, match=r"case 'a', trial 0: 1\.5 is not in \[0, 1\]"):
        confirm_tables(bad, bad, lambda _: ((), ()))


def test_false_alarms_are_rare_and_half_a_route_lost_is_found():
    rng = np.random.default_rng(5)
    alarms = found = 0
    for seed in range(60):
        chances = rng.choice([0.98, 0.6, 0.05], 20, p=[0.7, 0.2, 0.1])
        alarms += decide(chances, chances, seed=seed)[0].verdict != "ok"
        found += decide(chances, chances * 0.75, seed=seed)[0].verdict == "regressed"
    assert alarms <= 5
    assert found >= 54


def losing(pipeline, is_lost):
    """The re-run without the rows for which ``is_lost(arm, row)``; 0 is the baseline's arm."""

    def rerun(wanted):
        made = pipeline(wanted)
        return tuple(
            [row for row in rows_of if not is_lost(arm, row)] for arm, rows_of in enumerate(made)
        )

    return rerun


@pytest.mark.parametrize("arm", [0, 1])
def test_a_broken_case_that_cannot_be_tried_again_is_named_and_no_ok(arm):
    before, after = [1.0] * 30, [0.0] + [1.0] * 29
    rng, pipeline = np.random.default_rng(0), Pipeline(before, after)
    rerun = losing(pipeline, lambda at, row: (at, row.case) == (arm, "r0"))
    found = confirm_tables(rows(before, 3, rng), rows(after, 3, rng), rerun)["r", SCORER]
    assert (found.verdict, found.unmeasured) == ("inconclusive", ("r0",))
    assert "gave no score" in found.why
    assert pipeline.calls <= 3


@pytest.mark.parametrize("arm", [0, 1])
def test_an_arm_that_loses_everything_is_not_tried_on(arm):
    rng, pipeline = np.random.default_rng(0), Pipeline([0.9] * 30, [0.7] * 30)
    rerun = losing(pipeline, lambda at, _: at == arm)
    stored = rows([0.9] * 30, 3, rng), rows([0.6] * 30, 3, rng)
    found = confirm_tables(*stored, rerun)["r", SCORER]
    assert found.verdict == "inconclusive"
    assert sum(pipeline.asked.values()) <= 3 * 30


def test_an_arm_that_loses_what_fails_is_not_ok():
    verdicts = []
    for seed in range(20):
        rng, pipeline = np.random.default_rng(seed), Pipeline([0.95] * 30, [0.5] * 30, seed)
        rerun = losing(pipeline, lambda arm, row: arm == 1 and not row.passed)
        stored = rows([0.95] * 30, 3, rng), rows([0.5] * 30, 3, rng)
        verdicts.append(confirm_tables(*stored, rerun)["r", SCORER].verdict)
    assert set(verdicts) == {"inconclusive"}


@pytest.mark.parametrize("trials", [1, 2, 3, 4])
def test_too_few_fresh_trials_to_prove_a_broken_case_are_no_ok(trials):
    chances = [1.0] * 25
    found, _ = decide(chances, [*chances[:-1], 0.0], trials=trials)
    assert found.verdict == "inconclusive"
    assert "too few" in found.why


def test_a_case_that_looks_sound_again_needs_no_proof():
    stored = rows([1.0] * 25, 3, np.random.default_rng(0))
    once = [stored[0]._replace(value=0.0, passed=False), *stored[1:]]
    rerun = Pipeline([1.0] * 25, [1.0] * 25)
    assert confirm_tables(stored, once, rerun, trials=4)["r", SCORER].verdict == "ok"
    assert rerun.asked["r0"] > 0


@pytest.mark.parametrize("bad", [{"trials": 0}, {"alpha": float("nan")}, {"alpha": 1.0}])
def test_a_design_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} is "):
        decide([1.0], [0.0], **bad)


def test_what_a_table_lacks_is_missing_and_never_ok():
    rng = np.random.default_rng(0)
    table = rows([1.0] * 5, 3, rng)
    less = [row for row in table if row.case != "r3"]
    gone = losing(Pipeline([1.0] * 5, [1.0] * 5), lambda arm, row: arm and row.case == "r3")
    found = confirm_tables(table, less, gone)["r", SCORER]
    assert (found.verdict, found.unmeasured) == ("missing", ("r3",))
    for arms in ((table, []), ([], table)):
        assert confirm_tables(*arms, gone)["r", SCORER].verdict == "missing"
    with pytest.raises(ValueError, match="neither table has a row"):
        confirm_tables([], [], gone)
    assert confirm_tables(less, table, gone)["r", SCORER].verdict == "ok"


@pytest.mark.parametrize(("chance", "verdict"), [(1.0, "ok"), (0.0, "broken")])
def test_a_case_without_stored_trials_is_measured_by_trying_it_again(chance, verdict):
    rng, before = np.random.default_rng(0), [1.0] * 30
    after = [1.0] * 3 + [chance] + [1.0] * 26
    kept = [row for row in rows(after, 3, rng) if row.case != "r3"]
    found = confirm_tables(rows(before, 3, rng), kept, Pipeline(before, after))["r", SCORER]
    assert (found.verdict, found.unmeasured) == (verdict, ())
    assert found.cases == (("r3",) if verdict == "broken" else ())


def test_graded_scores_of_a_large_family_can_be_significant():
    rng = np.random.default_rng(0)

    def graded(drop, trials, route):
        return [
            Row(route, f"{route}-{case}", number, SCORER, value, True)
            for case in range(8)
            for number, value in enumerate((rng.uniform(0.5, 0.9, trials) - drop).tolist())
        ]

    def rerun(wanted):
        arms = ([], [])
        for case, trials in wanted.items():
            route, at = case.split("-")
            for arm, made in enumerate(arms):
                values = rng.uniform(0.5, 0.9, trials) - (0.25 if arm and route == "r0" else 0)
                made += [
                    Row(route, f"{route}-{at}", n, SCORER, value, True)
                    for n, value in enumerate(values.tolist())
                ]
        return arms

    # of 110 routes about half look worse by chance, and only the first is
    tables = [
        [row for at in range(110) for row in graded(drop if not at else 0, 2, f"r{at}")]
        for drop in (0.0, 0.25)
    ]
    found = confirm_tables(*tables, rerun, alpha=0.02)
    assert found["r0", SCORER].verdict == "regressed"
    assert found["r0", SCORER].p_adjusted <= 0.02


def stood_in(stored, before, after, seed=0, cases=30):
    """The stored baseline has other chances than the one that is run again, or the same."""
    rng = np.random.default_rng(seed + 1000)
    tables = rows([stored] * cases, 3, rng), rows([after] * cases, 3, rng)
    found = confirm_tables(*tables, Pipeline([before] * cases, [after] * cases, seed))
    return found["r", SCORER]


def test_a_baseline_that_does_worse_than_its_stored_trials_clears_nobody():
    """As where both arms run the candidate's code, or an outage meets both."""
    found = stood_in(1.0, 0.5, 0.5)
    assert found.verdict == "inconclusive"
    assert found.contradiction.is_worse and found.contradiction.p < 1e-5
    assert found.trials <= 2 * 3 * 30  # what it cannot clear is not tried further
    assert "does not stand for the stored one: mean 1.00 stored, 0." in found.why


def test_a_baseline_that_does_better_than_its_stored_trials_is_told_and_decides():
    """As where the stored run met an outage: what fresh trials show is no less true."""
    assert stood_in(0.6, 0.98, 0.98).verdict == "ok"
    found = stood_in(0.6, 0.98, 0.3)
    assert found.verdict == "regressed"
    assert not found.contradiction.is_worse and found.contradiction.again > 0.9


def test_suspects_alone_are_tried_again_and_fall_back_without_contradiction():
    """Cases that always passed by luck are suspicious, and pass less often when tried again."""
    contradicted = suspects = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        better = rows([0.5] * 12, 3, rng), rows([0.75] * 12, 3, rng)
        found = confirm_tables(*better, Pipeline([0.5] * 12, [0.75] * 12, seed))["r", SCORER]
        suspects += found.fresh is not None
        contradicted += found.contradiction is not None
    assert suspects > 50 and contradicted <= 1


def test_the_same_baseline_is_hardly_ever_said_to_be_another():
    contradicted = sum(
        stood_in(0.7, 0.7, 0.7, seed, 8).contradiction is not None for seed in range(300)
    )
    assert contradicted <= 3
