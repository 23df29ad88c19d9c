import dataclasses
import datetime
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from evalkit import policy, strict_yaml
from evalkit.confirming import Row
from evalkit.suite import GatePolicy, Quarantine, RoutePolicy
from evalkit.trajectory import Coverage, Unseen
from tests import recordings

TODAY = datetime.date(2026, 11, 21)
ON = "task_completion"


def run(passes, *, trials=4, route="r", **more):
    """A run of one route: per case how many of its trials passed."""
    values = {f"c{n}": [1.0] * k + [0.0] * (trials - k) for n, k in enumerate(passes)}
    return recordings.of_values({route: values}, **more)


def judged(candidate, baseline=None, **stated):
    return policy.gate(candidate, baseline, GatePolicy(on=(ON,), **stated), today=TODAY)


def rows(report):
    return {row.scorer: row for row in report.rows}


@pytest.mark.parametrize(
    ("passes", "verdict", "exit_code"),
    [([4] * 20, "ok", 0), ([4] * 18 + [0] * 2, "ok", 0), ([2] * 20, "breached", 1)],
)
def test_a_floor_is_breached_only_by_the_whole_interval(passes, verdict, exit_code):
    report = judged(run(passes), limits=(f"pass_rate({ON}) >= 0.8",))
    row = rows(report)[f"pass_rate({ON}) >= 0.8"]
    assert (row.verdict, report.exit) == (verdict, exit_code)
    assert row.limit == 0.8 and row.low <= row.candidate <= row.high


def test_a_floor_that_chance_may_have_missed_is_told_and_does_not_block():
    report = judged(run([4] * 15 + [0] * 5), limits=(f"pass^4({ON}) >= 0.8",))
    row = rows(report)[f"pass^4({ON}) >= 0.8"]
    assert (row.verdict, row.blocking, report.exit) == ("unproven", False, 0)
    assert row.candidate == 0.75 and "chance" in row.reason


def with_numbers(recorded, **columns):
    trials = recorded.trials
    for name, values in columns.items():
        place = trials.schema.get_field_index(name)
        trials = trials.set_column(place, name, pa.array(values, trials.schema.field(name).type))
    return dataclasses.replace(recorded, trials=trials)


def test_a_latency_ceiling_counts_trials_of_one_case_as_little_evidence():
    many = with_numbers(run([4] * 50), latency_s=[0.1 + n / 1000 for n in range(200)])
    slow = with_numbers(run([4] * 50), latency_s=[9.0 if n % 5 == 0 else 0.1 for n in range(200)])
    one = with_numbers(run([4] * 50), latency_s=[9.0 if n < 4 else 0.1 for n in range(200)])
    limit = "p99_latency_s <= 3"
    assert rows(judged(many, limits=(limit,)))[limit].verdict == "ok"
    assert rows(judged(slow, limits=(limit,)))[limit].verdict == "breached"
    assert rows(judged(one, limits=(limit,)))[limit].verdict == "unproven"


def test_a_clock_that_jumped_back_is_no_latency():
    jumped = with_numbers(run([4] * 5), latency_s=[-5.0] * 19 + [0.2])
    row = rows(judged(jumped, limits=("p50_latency_s <= 3",)))["p50_latency_s <= 3"]
    assert (row.candidate, row.trials) == (0.2, 1)


def test_ceilings_on_tokens_and_dollars_and_what_is_not_recorded():
    limits = ("tokens <= 100", "cost_usd <= 0.01")
    counted = with_numbers(run([4] * 10), tokens_in=[150 + n for n in range(40)])
    report = judged(counted, limits=limits)
    assert rows(report)["tokens <= 100"].verdict == "breached"
    assert rows(report)["cost_usd <= 0.01"].verdict == "unmeasurable"
    assert report.exit == 1
    assert judged(run([4] * 10), limits=("cost_usd <= 0.01",)).exit == 3


def test_retries_and_failing_steps():
    steps = []
    for case in range(10):
        for trial in range(4):
            calls = (
                ("error", '{"q":1,"n":2}'),
                ("ok", '{"n":2.0,"q":1}'),  # the retry
                ("ok", '{"q":1,"n":2}'),
                ("ok", '{"q":3}'),
                ("ok", None),
                ("ok", "no JSON"),
            )
            for number, (status, arguments) in enumerate(calls):
                one = {"case": f"c{case}", "trial": trial, "number": number, "kind": "tool"}
                more = {"name": "look_up", "status": status, "arguments": arguments}
                steps.append(one | more)
    recorded = recordings.with_steps(run([4] * 10), steps)
    limits = (
        "retries <= 0.6",
        "retries <= 0.9",
        "fail_rate(look_up) <= 0.1",
        "fail_rate(other) <= 0.1",
    )
    report = judged(recorded, limits=limits)
    found = rows(report)
    assert found["retries <= 0.6"].candidate == 1.0
    assert found["retries <= 0.6"].verdict == "breached"
    # That all cases did the same is no proof that they always do: Poisson's of 40 in 40 trials.
    assert found["retries <= 0.9"].verdict == "unproven"
    assert found["retries <= 0.9"].low == pytest.approx(0.714, abs=0.001)
    assert found["retries <= 0.9"].high == pytest.approx(1.362, abs=0.001)
    assert found["fail_rate(look_up) <= 0.1"].candidate == pytest.approx(1 / 6)
    assert "fail_rate(other) <= 0.1" not in found
    (note,) = [note for note in report.notes if "fail_rate(other)" in note]
    assert "looks at nothing" in note and "Did you mean" not in note
    near = judged(recorded, limits=("fail_rate(lookup) <= 0.1",)).notes
    assert any("Did you mean 'look_up'?" in note for note in near)
    assert policy.needs_steps(GatePolicy(limits=limits))
    assert not policy.needs_steps(GatePolicy(limits=("tokens <= 1",)))


def called(name="look_up", *, failed=False, told=None, of=None, inferred=None, trials=4):
    """Ten cases that each called a tool, once in each trial; what ``of`` those traces tell."""
    made = run([trials] * 10, trials=trials)
    keys = [(f"c{case}", trial) for case in range(10) for trial in range(trials)]
    steps = [
        {"case": case, "trial": trial, "number": 0, "kind": "tool", "name": name}
        | {"status": "error" if failed else "ok", "arguments": None, "inferred": inferred}
        for case, trial in keys
    ]
    coverage = dict.fromkeys(keys[: of or len(keys)], told) if told else None
    return recordings.with_steps(made, steps, coverage)


NO_CALLS = Coverage(missing=("tool calls",))
ASKED = Coverage(missing=("tool spans",), unseen=(Unseen("tool", "srv__look_up"),))
REBUILT = Coverage(missing=("tool spans", "outputs"))
ANSWERED = Coverage(missing=("tool spans",))


@pytest.mark.parametrize(
    ("recorded", "verdicts"),
    [
        (called(), ("ok", "ok")),
        (called("other", told=NO_CALLS), ("unmeasurable", "unmeasurable")),
        (called(told=ASKED), ("unmeasurable", "unmeasurable")),
        (called(told=REBUILT, inferred="call"), ("unmeasurable", "unmeasurable")),
        (called(told=ANSWERED, inferred="call"), ("unmeasurable", "ok")),
        (called(told=ASKED, of=2), ("ok", "ok")),  # 5 % may be lost, as of all else
        (called(told=ASKED, of=3), ("unmeasurable", "unmeasurable")),
        # What is recorded breaks it all the same.
        (called(told=ASKED, of=3, failed=True), ("unmeasurable", "breached")),
    ],
)
def test_a_ceiling_on_calls_that_traces_do_not_tell_is_unmeasurable(recorded, verdicts):
    limits = ("retries <= 1", "fail_rate(look_up) <= 0.5")
    report = judged(recorded, limits=limits)
    assert tuple(rows(report)[limit].verdict for limit in limits) == verdicts
    for limit, verdict in zip(limits, verdicts, strict=True):
        if verdict == "unmeasurable":
            assert "does not record all calls" in rows(report)[limit].reason
            assert report.exit in (1, 3)


def test_a_ceiling_on_what_is_no_call_is_measured_though_calls_are_not_told():
    steps = [
        {"case": f"c{case}", "trial": trial, "number": 0, "kind": "node", "name": "plan"}
        | {"status": "ok", "arguments": None}
        for case in range(10)
        for trial in range(4)
        if trial
    ]
    recorded = recordings.with_steps(run([4] * 10), steps, {("c0", 0): NO_CALLS, ("c1", 0): ASKED})
    told = judged(recorded, limits=("fail_rate(plan) <= 0.5",))
    assert rows(told)["fail_rate(plan) <= 0.5"].verdict == "ok"


def stepping(took, *, routes=("r", "s")):
    """A run of two routes, each of ten cases of three trials; per route the steps of each trial."""
    values = {route: {f"{route}{n}": [1.0] * 3 for n in range(10)} for route in routes}
    made = recordings.of_values(values)
    steps = [
        {"case": f"{route}{n}", "trial": trial, "number": 0, "kind": "tool", "name": name}
        | {"status": "ok", "arguments": None}
        for route in routes
        for n in range(10)
        for trial in range(3)
        for name in took(route, n, trial)
    ]
    return recordings.with_steps(made, steps)


def test_a_ceiling_on_a_step_that_the_baseline_took_and_nobody_does_now_is_unmeasurable():
    limit = "fail_rate(search) <= 0.1"
    before = stepping(lambda route, *_: ["plan", "search"] if route == "r" else ["plan"])
    renamed = stepping(lambda route, *_: ["plan", "look_up"] if route == "r" else ["plan"])
    report = judged(renamed, before, limits=(limit,))
    (row,) = [row for row in report.rows if row.scorer == limit]
    assert (row.route, row.verdict, row.blocking, report.exit) == ("r", "unmeasurable", True, 3)
    assert "took in 30 of 30" in row.reason and row.reason.endswith("not have: look_up")
    assert any(f"route s: nothing for {limit}" in note for note in report.notes)  # as ever
    assert judged(before, before, limits=(limit,)).exit == 0
    moved = stepping(lambda route, *_: ["plan", "search"] if route == "s" else ["plan"])
    assert judged(moved, before, limits=(limit,)).exit == 3
    # One trial of 60 may go to the fallback, or not: no alarm in either case.
    seldom = stepping(
        lambda route, n, trial: ["search"] if (route, n, trial) == ("r", 0, 0) else []
    )
    never = stepping(lambda *_: ["plan"])
    for pair in ((never, seldom), (seldom, never), (never, never)):
        report = judged(*pair, limits=(limit,))
        assert report.exit == 0
        assert any("fail_rate(search)" in note for note in report.notes)


def test_a_step_that_is_gone_everywhere_is_so_of_all_routes_together():
    names = tuple(f"r{n}" for n in range(8))
    few = recordings.of_values({route: {route: [1.0]} for route in names})
    step = {"trial": 0, "number": 0, "kind": "tool", "status": "ok", "arguments": None}

    def named(name):
        steps = [step | {"case": route, "name": name} for route in names]
        return recordings.with_steps(few, steps)

    limit = "fail_rate(search) <= 0.1"
    report = judged(named("look_up"), named("search"), limits=(limit,))
    assert report.exit == 3  # a route alone, of one case and trial, could not tell
    changed = named("look_up")
    cases = tuple(msgspec.structs.replace(case, digest="new") for case in changed.run.planned)
    changed = dataclasses.replace(changed, run=msgspec.structs.replace(changed.run, planned=cases))
    other = judged(changed, named("search"), limits=(limit,))
    assert limit not in rows(other) and any(limit in note for note in other.notes)


def test_a_margin_asks_for_proof_and_is_off_by_default():
    same = run([4] * 10)
    assert judged(same, run([4] * 10)).exit == 0
    report = judged(same, run([4] * 10), margin=0.01)
    (row,) = report.rows
    assert (row.verdict, report.exit) == ("unproven", 3)
    assert "not proven safe" in row.reason
    assert judged(same, run([4] * 10), margin=0.9).exit == 0


def test_a_quarantined_case_is_told_and_blocks_again_when_its_time_is_up():
    before, after = run([4] * 10), run([0] + [4] * 9)
    assert judged(after, before).exit == 1
    kept = Quarantine("c0", datetime.date(2026, 11, 21), "flaky model")
    report = judged(after, before, quarantine=(kept,))
    assert report.exit == 0
    (note,) = [note for note in report.notes if "quarantine" in note]
    assert "c0 is in quarantine until 2026-11-21 (flaky model)" in note and "4/4 → 0/4" in note
    over = msgspec.structs.replace(kept, until=datetime.date(2026, 11, 20))
    report = judged(after, before, quarantine=(over,))
    assert report.exit == 1
    assert any("blocks again" in note for note in report.notes)


def two_scorers(values):
    """One route; per scorer the passes of ten cases."""
    cases, trials, scores = [], [], []
    for n in range(10):
        cases.append(recordings.PlannedCase(f"c{n}", "r", "d", owner="team"))
        for number in range(4):
            trials.append(recordings.trial(f"c{n}", number))
            for scorer, passes in values.items():
                passed = float(number < passes)
                scores.append(recordings.score(f"c{n}", number, scorer, passed))
    return recordings.recorded(cases, trials, scores, scorers=tuple(values))


def test_scorers_that_advise_are_judged_and_never_block():
    before = two_scorers({ON: 4, "step_efficiency": 4})
    after = two_scorers({ON: 4, "step_efficiency": 0})
    report = judged(after, before, advise=("step_efficiency",))
    found = rows(report)
    assert report.exit == 0
    assert found["step_efficiency"].verdict == "regressed" and not found["step_efficiency"].blocking
    assert found[ON].verdict == "ok"


def test_a_route_has_scorers_alpha_limits_and_owners_of_its_own():
    before = two_scorers({ON: 4, "step_efficiency": 4})
    after = two_scorers({ON: 4, "step_efficiency": 0})
    own = RoutePolicy(on=("step_efficiency",), owners=("me",), limits=())
    report = judged(after, before, limits=("tokens <= 1",), routes={"r": own})
    (row,) = report.rows
    assert (row.scorer, row.verdict, row.owners) == ("step_efficiency", "regressed", ("me",))
    one = run([2] * 2 + [4] * 8), run([4] * 10)
    assert judged(*one).rows[0].p == judged(*one, routes={"r": RoutePolicy(alpha=1e-9)}).rows[0].p
    strict = judged(after, before, routes={"r": msgspec.structs.replace(own, alpha=1e-40)})
    assert strict.rows[0].verdict == "inconclusive"


def test_a_route_may_let_nothing_block_and_is_judged_all_the_same():
    before = two_scorers({ON: 4, "step_efficiency": 4})
    after = two_scorers({ON: 0, "step_efficiency": 4})
    stated = msgspec.convert({"r": {"on": [], "advise": [ON]}}, dict[str, RoutePolicy])
    report = judged(after, before, routes=stated)
    (row,) = report.rows
    assert (row.verdict, row.blocking, report.exit) == ("regressed", False, 0)
    assert any("nothing that is compared blocks" in note for note in report.notes)
    assert judged(after, before, routes=stated, limits=(f"pass_rate({ON}) >= 0.5",)).exit == 1
    gone = recordings.of_values({"r": {"c0": [1.0]}}), recordings.of_values({"other": {"c": [1.0]}})
    every = {row.route: row for row in judged(gone[1], gone[0], routes=stated).rows}
    assert (every["r"].verdict, every["r"].blocking) == ("missing", False)


def test_what_a_route_says_of_a_scorer_goes_before_what_the_gate_says():
    before = two_scorers({ON: 4, "step_efficiency": 4})
    after = two_scorers({ON: 0, "step_efficiency": 0})
    advising = {"r": RoutePolicy(advise=(ON,))}
    report = judged(after, before, routes=advising)
    assert [(row.scorer, row.blocking) for row in report.rows] == [(ON, False)]
    assert report.exit == 0
    blocking = {"r": RoutePolicy(on=("step_efficiency", ON))}
    report = judged(after, before, advise=("step_efficiency",), routes=blocking)
    assert [(row.scorer, row.blocking) for row in report.rows] == [
        ("step_efficiency", True),
        (ON, True),
    ]
    assert [row.blocking for row in judged(after, before, advise=(ON,)).rows] == [True]


def test_only_replaces_every_scorer_that_is_named():
    stated = GatePolicy(on=(ON,), advise=("b",), routes={"r": RoutePolicy(on=("c",), margin=0.1)})
    chosen = policy.only(stated, ["routing"])
    assert chosen.of("r").on == ("routing",) and chosen.of("r").margin == 0.1
    assert chosen.advise == () and chosen.all_on == ("routing",)


def test_a_route_that_no_run_has_and_other_prices_are_told():
    report = judged(run([4] * 5), routes={"refunds": RoutePolicy()})
    assert any("no route 'refunds'" in note for note in report.notes)
    before = run([4] * 5)
    priced = msgspec.structs.replace(before.run.suite, prices={"m": {"input": 1.0, "output": 2.0}})
    other = dataclasses.replace(before, run=msgspec.structs.replace(before.run, suite=priced))
    assert any("price tables differ" in note for note in judged(run([4] * 5), other).notes)


def test_a_limit_without_sense_is_refused_when_the_suite_is_read():
    for text in ("p99_latency <= 3", "pass_rate >= 0.9", "tokens < 3", "p0_latency_s <= 1"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"limits": [text]}, GatePolicy)
    read = msgspec.convert({"limits": ["pass@2(a) >= 0.9", "p99_latency_s<=3"]}, GatePolicy)
    assert policy.has_limits(read)


def test_the_documented_policy_is_one():
    page = (Path(__file__).parents[1] / "docs" / "policies.md").read_text()
    example = page.split("```yaml\n")[1].split("```")[0]
    read = msgspec.convert(strict_yaml.read(example, "docs").value["gate"], GatePolicy)
    assert read.of("small_talk").on == ("routing",) and read.of("refund").margin == 0.1
    assert [one.until for one in read.quarantine] == [datetime.date(2026, 12, 31)]


def test_a_floor_on_more_trials_than_there_are_is_unmeasurable():
    limit = f"pass^9({ON}) >= 0.5"
    report = judged(run([4, 4]), limits=(limit,))
    row = rows(report)[limit]
    assert (report.exit, row.verdict) == (3, "unmeasurable")
    assert row.reason.endswith("no case has 9 scored trials")


def test_a_quarantine_of_no_case_is_told():
    report = judged(run([4, 4]), quarantine=(Quarantine(case="typo", until=TODAY),))
    assert "gate.quarantine: this run has no case 'typo'" in report.notes


@pytest.mark.parametrize("trials", [1, 3])
def test_a_drop_as_large_as_the_margin_is_seldom_called_safe_also_where_cases_are_tried_again(
    trials,
):
    rng = np.random.default_rng(trials)
    before = {f"c{n}": 1.0 if n % 2 else 0.55 for n in range(30)}
    after = {case: chance * (1 - 0.1 / 0.775) for case, chance in before.items()}

    def stored(arm):
        values = {case: (rng.random(trials) < p).astype(float) for case, p in arm.items()}
        return recordings.of_values({"r": values})

    def rerun(wanted):
        return tuple(
            [
                Row("r", case, number, ON, float(passed), bool(passed))
                for case, tries in wanted.items()
                for number, passed in enumerate(rng.random(tries) < arm[case])
            ]
            for arm in (before, after)
        )

    stated = GatePolicy(on=(ON,), margin=0.1)
    safe = [
        policy.gate(stored(after), stored(before), stated, today=TODAY, rerun=rerun).exit == 0
        for _ in range(100)
    ]
    assert sum(safe) <= 8
