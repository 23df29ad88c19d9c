"""Which steps make up the rise of an efficiency row."""

import msgspec
import pyarrow as pa
import pytest

from evalkit.costly_steps import COLUMNS, costly_steps, spent
from evalkit.folders.tables import as_tables
from evalkit.results import Trial
from evalkit.trajectory import Step, Trajectory
from tests.reporters import samples


def table(*trees: Step) -> pa.Table:
    """The steps of a trial for each tree."""
    trials = [
        Trial(case="c", trial=number, route="r", trajectory=Trajectory(steps=(tree,)))
        for number, tree in enumerate(trees)
    ]
    return as_tables(trials)["steps"].select(COLUMNS)


def step(name: str, seconds: float | None, *inner: Step, **more: object) -> Step:
    end = None if seconds is None else 1_795_254_768_158_092_032 + round(seconds * 1e9)
    start = None if end is None else 1_795_254_768_158_092_032
    return Step(kind="node", name=name, start_ns=start, end_ns=end, steps=inner, **more)


ROW = msgspec.structs.replace(samples.failed_gate().rows[0], scorer="latency_s")


def test_a_step_is_charged_for_what_the_steps_within_it_did_not_take():
    found = spent(
        table(step("graph", 5, step("plan", 1), step("act", 3, step("tool", 2)))), "latency_s"
    )
    assert found.trials == 1
    assert found.by_label == pytest.approx(
        {"node graph": 1, "node plan": 1, "node act": 1, "node tool": 2}
    )


def test_a_step_without_times_passes_on_what_is_within_it():
    found = spent(table(step("graph", 5, step("plan", None, step("tool", 4)))), "latency_s")
    assert found.by_label == pytest.approx({"node graph": 1, "node plan": 0, "node tool": 4})


def test_the_slower_step_is_named_with_its_time_before_and_after():
    before = table(*(step("graph", 1.1, step("reason", 0.1), step("look", 0.9)) for _ in range(3)))
    after = table(*(step("graph", 1.6, step("reason", 0.6), step("look", 0.9)) for _ in range(2)))
    (found,) = costly_steps(ROW, ["c"], after, before)
    assert (found.kind, found.name) == ("took_more", "node reason")
    assert (found.baseline, found.candidate) == pytest.approx((0.1, 0.6))


def test_tokens_are_counted_where_they_were_spent_and_steps_as_often_as_they_happened():
    one = step("agent", 1, step("ask", 1, tokens_in=10, tokens_out=5), tokens_in=10, tokens_out=5)
    twice = step("agent", 1, *[step("ask", 1, tokens_in=10, tokens_out=5)] * 2)
    assert spent(table(one), "tokens").by_label == {"node agent": 0, "node ask": 15}
    for measure, was, now in (("tokens", 15, 30), ("steps", 1, 2)):
        row = msgspec.structs.replace(ROW, scorer=measure)
        (found,) = costly_steps(row, ["c"], table(twice), table(one))
        assert (found.name, found.baseline, found.candidate) == ("node ask", was, now)


def test_nothing_recorded_names_nothing():
    empty = table(step("graph", 1)).slice(0, 0)
    assert costly_steps(ROW, ["c"], empty, table(step("graph", 1))) == ()
