import json
import math

import msgspec

from evalkit.reporters import json as reporter
from evalkit.results import Finding, Score, Trial
from evalkit.trajectory import Step, Trajectory
from tests.reporters import samples


def test_the_gate_object():
    found = json.loads(reporter.render_gate(samples.failed_gate()))
    assert found["run"] == samples.run().id
    assert found["baseline"] == "20261120-135904-main-77aa"
    assert found["exit"] == 1
    last = found["routes"][-1]
    wanted = "route scorer verdict baseline candidate difference low high p p_adjusted broken spent"
    assert set(wanted.split()) <= set(last)
    assert last["verdict"] == "regressed"
    assert last["broken"] == [
        "vendor-exception-over-threshold-0", "vendor-exception-over-threshold-1",
    ]  # fmt: skip
    assert last["spent"] == {"trials": 36 + 96}


def test_run_gives_the_gate_object_and_a_summary():
    found = json.loads(reporter.render(samples.report(samples.failed_gate())))
    assert found["exit"] == 1 and len(found["routes"]) == 10
    assert len(found["summary"]) == 30
    alone = json.loads(reporter.render(samples.report()))
    assert (alone["baseline"], alone["routes"]) == (None, [])


def test_runs_and_compare():
    runs = [samples.run("r2", "new"), samples.run("r1", "old")]
    found = json.loads(reporter.render_runs(runs))["runs"]
    assert [run["run"] for run in found] == ["r2", "r1"]
    assert found[0]["started"] == "2026-11-18T11:06:40Z"
    assert (found[0]["cases"], found[0]["trials"], found[0]["status"]) == (60, 180, "complete")
    routes = [samples.route("small_talk", 0.81, of=run) for run in runs]
    rows = json.loads(reporter.render_compare(runs, routes))["routes"]
    assert [row["run"] for row in rows[::6]] == ["r2", "r1"]
    assert rows[0]["pass_hat"] == {"1": 0.81, "2": 0.81**1.5, "3": 0.81**2}
    assert rows[0]["cost_usd"] is None and rows[5]["mean"] is None


def test_show_nests_steps_and_says_null_for_unknown():
    tool = Step(kind="tool", name="pay", arguments={"x": math.nan, "y": [math.inf]}, status="error")
    trial = Trial(
        case="a",
        trial=0,
        route="refund",
        trajectory=Trajectory(steps=(Step(kind="node", name="n", steps=(tool,)),), route="other"),
        scores=(Score("s", 0.5, False, "no", (Finding("missing", "tool x"),)),),
    )
    out = reporter.render_show(samples.run(), [trial])
    (shown,) = json.loads(out, parse_constant=lambda _: 1 / 0)["trials"]
    assert shown["route"] == "refund" and shown["route_taken"] == "other"
    step = shown["steps"][0]["steps"][0]
    assert step["arguments"] == {"x": None, "y": [None]}
    assert step["cost_usd"] is None and step["model_served"] is None and step["steps"] == []
    assert shown["scores"][0]["steps"][0]["kind"] == "missing"


def test_one_ascii_object_whatever_is_in_it():
    out = reporter.to_json({"a": samples.HOSTILE + "\ud800", "b": float("-inf"), 3: {1}})
    assert out.isascii() and "\x1b" not in out
    assert json.loads(out) == {"a": samples.HOSTILE + "\ud800", "b": None, "3": [1]}


def test_records_are_written_like_plain_values():
    gate = msgspec.structs.replace(samples.failed_gate(), notes=("é − 😀 \x1b", samples.HOSTILE))
    gate = msgspec.structs.replace(
        gate, rows=(msgspec.structs.replace(gate.rows[0], p=math.nan, low=1e-7), *gate.rows[1:])
    )
    out = reporter.render_gate(gate)
    assert out.isascii() and "\x1b" not in out
    found = json.loads(out, parse_constant=lambda _: 1 / 0)
    assert found["notes"] == list(gate.notes)
    assert found["routes"][0]["p"] is None and found["routes"][0]["low"] == 1e-7
    assert out == reporter.to_json({**reporter.gate_object(gate), "notes": gate.notes})


def test_values_nested_beyond_reason_are_cut_off():
    value = []
    for _ in range(100_000):
        value = [value]
    assert "\\u2026" in reporter.to_json({"a": value})
