import msgspec
import numpy as np
import pytest

from evalkit import power
from evalkit.comparison import Paired, summarize
from evalkit.confirming import Comparison, Row, confirm
from evalkit.observations import Observed
from evalkit.results import PlannedCase
from evalkit.suite import Confirm, GatePolicy
from evalkit.verdicts import judge
from tests import recordings

ON = "task_completion"
POLICY = GatePolicy(on=(ON,))


def cases(count, routes=("r",)):
    return [PlannedCase(f"{route}-{n}", route, "d") for route in routes for n in range(count)]


def past(chances, trials, seed=1):
    rng = np.random.default_rng(seed)
    values = {
        f"r-{n}": (rng.random(trials) < chance).astype(float).tolist()
        for n, chance in enumerate(chances)
    }
    return recordings.of_values({"r": values})


def assumed(count):
    return power._moments([], count)  # the documented mix


@pytest.mark.parametrize(("count", "trials"), [(30, 3), (60, 5)])
def test_a_planned_drop_is_found_about_four_times_in_five(count, trials):
    means, variances = assumed(count)
    drop = power.detectable_drop(means, variances, power.Design(trials, 0.05, 1))
    rng = np.random.default_rng(7)
    found = 0
    for _ in range(150):
        family = arms(rng, means, means * (1 - drop / means.mean()), trials)
        found += judge([family], 0.05)[0].verdict in ("regressed", "broken")
    assert 0.66 <= found / 150 <= 0.92


def arms(rng, before, after, trials):
    def seen(chances):
        draws = rng.random((len(chances), trials)) < chances[:, None]
        return tuple(Observed(tuple(map(float, row)), tuple(map(float, row))) for row in draws)

    return Paired(tuple(map(str, range(len(before)))), seen(before), seen(after))


@pytest.mark.slow
def test_a_planned_drop_is_found_with_confirmation():
    means, variances = assumed(30)
    drop = power.detectable_drop(means, variances, power.Design(3, 0.05, 1, 32))
    after = means * (1 - drop / means.mean())
    rng = np.random.default_rng(8)

    def rows(chances, wanted):
        return [
            Row("r", case, number, ON, float(ok), bool(ok))
            for case, count in wanted.items()
            for number, ok in enumerate(rng.random(count) < chances[int(case)])
        ]

    def rerun(wanted):
        return rows(means, wanted), rows(after, wanted)

    found = 0
    for _ in range(60):
        stored = [Comparison("r", ON, arms(rng, means, after, 3))]
        found += confirm(stored, rerun).found[0].verdict in ("regressed", "broken")
    assert found / 60 >= 0.65


def test_more_cases_trials_and_certain_cases_see_more():
    def sees(count, trials, **given):
        (row,) = power.plan(cases(count), trials, POLICY, **given).rows
        return row

    few, many, often = sees(30, 3), sees(120, 3), sees(30, 9)
    assert many.one_stage < few.one_stage and often.one_stage < few.one_stage
    assert few.confirmed < few.one_stage
    sure = sees(30, 3, past=past([1.0] * 30, 5))
    assert sure.measured and not few.measured
    assert sure.one_stage < few.one_stage and 0 < sure.variance < few.variance
    one, two = few.needed["0.1"]
    assert two < 30 < one
    assert power.plan(cases(one), 3, POLICY).rows[0].one_stage <= 0.103


def test_more_routes_share_alpha_and_a_family_of_one_case_sees_nothing():
    alone = power.plan(cases(30), 3, POLICY).rows[0]
    routes = tuple(f"route-{n}" for n in range(10))
    among = power.plan(cases(30, routes), 3, POLICY).rows
    assert len(among) == 10 and among[0].one_stage > alone.one_stage
    (single,) = power.plan(cases(1), 1, POLICY).rows
    assert single.one_stage is None
    unseen = power.plan(cases(1), 1, GatePolicy(on=(ON,), confirm=Confirm(trials=1))).rows[0]
    assert unseen.confirmed is None


def test_cases_in_quarantine_are_paid_for_and_not_counted_on():
    apart = [f"r-{n}" for n in range(25)]
    made = power.plan(cases(30), 3, POLICY, apart=apart)
    (row,), cost = made.rows, made.cost
    assert (row.cases, cost.trials, cost.confirm_trials) == (5, 90, 2 * 32 * 5)
    (five,) = power.plan(cases(5), 3, POLICY).rows
    assert (row.one_stage, row.confirmed) == (five.one_stage, five.confirmed)
    assert power.plan(cases(30), 3, POLICY, apart=[one.id for one in cases(30)]).rows == ()


def test_nothing_is_planned_with_re_runs_that_are_switched_off():
    off = GatePolicy(on=(ON,), confirm=Confirm(enabled=False))
    made = power.plan(cases(30), 3, off)
    (row,) = made.rows
    assert row.confirmed is None and row.one_stage
    assert all(confirmed is None for _, confirmed in row.needed.values())
    assert (made.cost.confirm_trials, made.cost.confirm_seconds) == (0, None)
    assert not any("confirm" in said for said in made.advice)


def test_constant_scores_and_single_trials_have_a_variance():
    for recorded in (past([0.0] * 20, 3), past([0.5] * 20, 1), past([1.0] * 20, 1)):
        (row,) = power.plan(cases(20), 3, POLICY, past=recorded).rows
        assert row.variance > 0 and np.isfinite(row.mean)


def test_what_it_costs_in_trials_seconds_and_dollars():
    recorded = past([1.0] * 10, 2)
    unknown = power.plan(cases(10), 3, POLICY, past=recorded, summaries=summarize(recorded)).cost
    assert (unknown.trials, unknown.seconds, unknown.cost_usd) == (30, None, None)
    (summary,) = summarize(recorded)
    known = msgspec.structs.replace(summary, latency_p50=2.0, cost_usd=0.01)
    cost = power.plan(cases(10), 3, POLICY, concurrency=4, summaries=[known]).cost
    assert cost.seconds == pytest.approx(15.0) and cost.cost_usd == pytest.approx(0.3)
    assert cost.confirm_trials == 640 and cost.confirm_usd == pytest.approx(6.4)


def test_advice_says_one_thing_a_route_what_it_lacks():
    recorded = past([1.0, 0.5, 0.5, 0.0] * 3, 4)
    for confirm_policy in (Confirm(), Confirm(enabled=False)):
        policy = GatePolicy(on=(ON,), confirm=confirm_policy)
        made = power.plan(cases(12), 4, policy, past=recorded)
        alone, confirmed = made.rows[0].needed["0.1"]
        needed, how = (alone, "in one stage") if confirmed is None else (confirmed, "with confirm")
        assert needed > 13
        said = f"r: {needed - 12} more cases would show a drop of 10 points {how}"
        assert list(made.advice) == [said]
    many = power.plan(cases(400), 4, POLICY)
    assert many.rows[0].needed["0.1"][1] <= 400 and not many.advice
