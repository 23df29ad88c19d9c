import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from evalkit.choosing import benjamini_hochberg, choose
from evalkit.comparison import paired, summarize
from evalkit.permutation import permutation_drop
from evalkit.versions import line_up, read_cells
from tests import recordings

ON = "task_completion"


def run(name, passes, *, trials=4, cost=None, latency=None, routes=("r",)):
    values = {
        route: {f"{route}-c{n}": [1.0] * k + [0.0] * (trials - k) for n, k in enumerate(passes)}
        for route in routes
    }
    made = recordings.of_values(values, name=name)
    columns = {"cost_usd": cost, "latency_s": latency}
    trials_table = made.trials
    for column, value in columns.items():
        if value is not None:
            place = trials_table.schema.get_field_index(column)
            field = trials_table.schema.field(column)
            filled = recordings.pa.array([value] * trials_table.num_rows, field.type)
            trials_table = trials_table.set_column(place, field, filled)
    return dataclasses.replace(made, trials=trials_table)


def chosen(*runs, **options):
    lineup = line_up([one.run for one in runs])
    cells = [read_cells(one, summarize(one), lineup, (ON,)) for one in runs]
    return choose(cells, (ON,), **options)


@given(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=20))
def test_benjamini_hochberg_is_scipys(ps):
    assert benjamini_hochberg(ps) == pytest.approx(false_discovery_control(ps))


def test_pairs_against_the_first_are_those_of_the_permutation_test():
    a, b = run("a", [4, 4, 3, 2, 4]), run("b", [4, 0, 3, 1, 2])
    (pair,) = chosen(a, b).pairs
    both = paired(b, a, "r", ON)
    found = permutation_drop(
        [one.values for one in both.baseline], [one.values for one in both.candidate]
    )
    assert pair.p == pytest.approx(min(1.0, 2 * min(found.p, found.p_rise)))
    assert pair.difference == pytest.approx(both.differences.mean())
    assert pair.broken == ("r-c1",) and pair.fixed == ()
    (back,) = chosen(b, a).pairs
    assert back.fixed == ("r-c1",) and back.p == pytest.approx(pair.p)


def test_a_route_that_the_reference_lacks_has_a_choice_too():
    a = run("a", [4] * 10, cost=0.01)
    b = run("b", [1] * 10, routes=("r", "more"), cost=0.01, latency=1.0)
    c = run("c", [4] * 10, routes=("more", "r"), cost=0.02, latency=1.0)
    found = chosen(a, b, c)
    best = {one.route: one.run for one in found.standings if one.chosen}
    assert best == {"r": "a", "more": "c"}
    (more,) = [one for one in found.standings if one.route == "more" and one.chosen]
    assert (more.quality, more.cases) == (1.0, 10)
    assert {one.route for one in found.pairs} == {"r"}
    assert found.notes == (
        "routes that run a lacks, so that nothing is compared with it, and the choice is among the "
        "others: more",
    )
    (alone,) = [one for one in chosen(a, b).standings if one.route == "more"]
    assert (alone.run, alone.chosen) == ("b", True)
    # A case that the reference has on another route is not the same one.
    moved = recordings.of_values({"more": {"r-c0": [1.0] * 4}}, name="m")
    assert chosen(a, moved).notes[0].startswith("10 cases are not the same in run m")


def test_the_normal_limit_is_near_the_exact_p_of_a_large_family():
    rng = np.random.default_rng(5)
    routes = tuple(f"route-{n}" for n in range(70))
    a = run("a", rng.binomial(4, 0.6, 60), routes=routes)
    others = [run(f"b{n}", rng.binomial(4, 0.6 - n / 25, 60), routes=routes) for n in range(3)]
    found = {pair.run: pair for pair in chosen(a, *others).pairs if pair.route == "route-3"}
    for other in others:
        both = paired(other, a, "route-3", ON)
        exact = permutation_drop(
            [one.values for one in both.baseline], [one.values for one in both.candidate]
        )
        wanted = min(1.0, 2 * min(exact.mid_p, 1 - exact.mid_p))
        assert found[other.run.id].p == pytest.approx(wanted, rel=0.25, abs=0.02)


def test_holm_by_default_and_benjamini_hochberg_to_explore():
    a = run("a", [4] * 12)
    others = [run(f"b{n}", [4] * (12 - n) + [0] * n) for n in (1, 2, 3)]
    strict, open_minded = chosen(a, *others), chosen(a, *others, explore=True)
    assert (strict.correction, open_minded.correction) == ("holm", "bh")
    pairs = zip(strict.pairs, open_minded.pairs, strict=True)
    assert all(one.p_adjusted >= other.p_adjusted for one, other in pairs)
    assert [pair.change for pair in strict.pairs][-1] == "worse"


def test_the_cheapest_of_the_good_is_chosen_and_dominated_runs_are_not_efficient():
    best = run("best", [4] * 20, cost=0.010, latency=1.0)
    cheap = run("cheap", [4] * 19 + [3], cost=0.002, latency=1.0)
    bad = run("bad", [1] * 20, cost=0.001, latency=0.5)
    waste = run("waste", [4] * 18 + [3] * 2, cost=0.011, latency=2.0)
    found = {one.run: one for one in chosen(best, cheap, bad, waste).standings}
    assert [name for name, one in found.items() if one.chosen] == ["cheap"]
    assert [name for name, one in found.items() if one.efficient] == ["best", "cheap", "bad"]
    assert "not shown worse" in found["cheap"].reason


def test_a_run_shown_worse_is_not_chosen_though_it_is_near_and_cheap():
    best = run("best", [8] * 200, trials=8, cost=0.01)
    near = run("near", [8] * 190 + [0] * 10, trials=8, cost=0.001)
    found = {one.run: one.chosen for one in chosen(best, near, margin=0.1).standings}
    assert found == {"best": True, "near": False}


def test_routes_scorers_and_cases_in_one_run_only_are_left_out():
    a, b = run("a", [4] * 3), run("b", [4] * 3, routes=("r", "new"))
    other = msgspec.structs.replace(
        b.run,
        planned=tuple(
            msgspec.structs.replace(case, digest="changed") if case.id == "r-c0" else case
            for case in b.run.planned
        ),
    )
    found = chosen(a, dataclasses.replace(b, run=other))
    assert [(pair.route, pair.cases) for pair in found.pairs] == [("r", 2)]
    note, lacking, common = found.notes
    assert note.startswith("1 case is not the same in run b and in run a")
    assert note.endswith(": r-c0") and lacking.endswith(": new")
    assert common.endswith("of the cases that all ranked runs have scores of: r: 2 of 3")
    assert chosen(a, a).notes == ()
    empty = run("c", [])
    assert chosen(a, empty).pairs == ()
    single = chosen(run("x", [1], trials=1), run("y", [0], trials=1))
    assert single.pairs[0].broken == () and single.pairs[0].p == 1.0


def without(made, *lost):
    """The run with these cases' trials lost to the infrastructure."""
    status = ["crashed" if case in lost else "completed" for case in column(made.trials, "case")]
    place = made.trials.schema.get_field_index("status")
    field = made.trials.schema.field("status")
    trials = made.trials.set_column(place, field, recordings.pa.array(status, field.type))
    kept = [case not in lost for case in column(made.scores, "case")]
    return dataclasses.replace(made, trials=trials, scores=made.scores.filter(kept))


def column(table, name):
    return table[name].to_pylist()


def ranked(found):
    return {one.run: one for one in found.standings}


def test_a_run_that_lost_its_hard_cases_is_not_ranked_by_the_easy_ones():
    easy, hard = [4] * 15, [1] * 15
    a = run("a", easy + hard, cost=0.01)
    b = without(run("b", [3] * 15 + [0] * 15, cost=0.001), *(f"r-c{n}" for n in range(15, 30)))
    c = run("c", easy + [0] * 15, cost=0.02)
    found = chosen(a, b, c)
    by_run = ranked(found)
    assert by_run["a"].chosen and by_run["b"].quality is None and by_run["b"].cases == 0
    assert by_run["a"].quality == pytest.approx(0.625)
    assert "run b is not ranked: r: it lacks 15 of 30 scores" in found.notes


def test_quality_and_prices_are_of_the_cases_that_all_have():
    a = run("a", [4] * 38 + [0] * 2, latency=1.0)
    costs = [0.01] * 38 * 4 + [0.5] * 2 * 4
    place = a.trials.schema.get_field_index("cost_usd")
    field = a.trials.schema.field("cost_usd")
    costly = a.trials.set_column(place, field, recordings.pa.array(costs, field.type))
    a = dataclasses.replace(a, trials=costly)
    b = without(run("b", [4] * 37 + [3, 0, 0], cost=0.02, latency=1.0), "r-c38", "r-c39")
    found = chosen(a, b)
    by_run = ranked(found)
    assert (by_run["a"].quality, by_run["a"].cases) == (1.0, 38)
    assert by_run["b"].quality == pytest.approx(1 - 1 / (4 * 38))
    assert by_run["a"].cost_usd == pytest.approx(0.01)
    assert by_run["a"].chosen
    assert found.notes[-1].endswith("r: 38 of 40")


def test_a_scorer_in_one_run_only_has_no_say_in_the_choice():
    def two(name, passes, other):
        made = run(name, passes)
        rows = made.scores.to_pylist()
        more = [{**row, "scorer": "other", "value": other} for row in rows if other is not None]
        scores = recordings.pa.Table.from_pylist(rows + more, made.scores.schema)
        return dataclasses.replace(made, scores=scores)

    a, b = two("a", [4] * 18 + [0] * 2, 0.1), two("b", [4] * 14 + [0] * 6, None)
    cells = [
        read_cells(one, summarize(one), line_up([a.run, b.run]), (ON, "other")) for one in (a, b)
    ]
    found = choose(cells, (ON, "other"))
    by_run = ranked(found)
    assert by_run["a"].chosen and by_run["a"].quality == 0.9 and by_run["b"].quality == 0.7
    assert "other is not in all runs, and has no say in which to choose: r" in found.notes


def test_a_run_of_few_of_the_cases_and_one_without_scores_spoil_no_choice():
    a, b = run("a", [4] * 10), run("b", [3] * 10)
    few = run("few", [4] * 2)
    none = without(run("none", [4] * 10), *(f"r-c{n}" for n in range(10)))
    found = chosen(a, b, few, none)
    by_run = ranked(found)
    assert by_run["a"].chosen and by_run["a"].cases == 10
    assert by_run["few"].quality is None and by_run["none"].quality is None
    assert any("run few is not ranked: r: it has 2 of 10 cases" in note for note in found.notes)
    assert not any(one.chosen for one in chosen(none, none).standings)
