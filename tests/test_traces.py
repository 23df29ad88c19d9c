"""Recorded traces as runs: whole, counted, bounded, and readable by everything that reads runs."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from evalkit import traces
from evalkit.cli.ingest import coverage
from evalkit.errors import FileError, InputError
from evalkit.files import suite_alone
from evalkit.folders import tables
from evalkit.reporters import diff
from evalkit.reporters.json import render_show
from evalkit.store import Store
from evalkit.traces import Progress, ingest_traces
from evalkit.tracing import gathering
from evalkit.tracing.reasons import (
    ENDS_EARLY,
    NO_PARENT,
    NO_TIME,
    NO_UNICODE,
    STARTS_EARLY,
    TOO_WIDE,
)

START = 1_760_000_000_000_000_000


def attribute(key: str, value: str | int) -> dict[str, Any]:
    kind = "intValue" if isinstance(value, int) else "stringValue"
    return {"key": key, "value": {kind: value}}


def tool(trace: int, number: int, **fields: Any) -> dict[str, Any]:
    """A tool call; number 1 is the root."""
    return {
        "traceId": f"{trace:032x}",
        "spanId": f"{number:016x}",
        "parentSpanId": "" if number == 1 else f"{1:016x}",
        "name": f"execute_tool t{number}",
        "startTimeUnixNano": str(START + number * 1000),
        "endTimeUnixNano": str(START + number * 1000 + 500),
        "attributes": [
            attribute("gen_ai.operation.name", "execute_tool"),
            attribute("gen_ai.tool.name", f"t{number}"),
        ],
        **fields,
    }


def line(*spans: dict[str, Any]) -> bytes:
    scoped = {"scope": {"name": "lib", "version": "1"}, "spans": list(spans)}
    return json.dumps({"resourceSpans": [{"scopeSpans": [scoped]}]}).encode() + b"\n"


def written(folder: Path, *lines: bytes, name: str = "traces.jsonl") -> Path:
    path = folder / name
    path.write_bytes(b"".join(lines))
    return path


def test_each_trace_is_a_trial_of_its_own_case(tmp_path: Path) -> None:
    file = written(tmp_path, line(tool(7, 1), tool(8, 1)), line(tool(7, 2)))
    report = ingest_traces([file], label="production", store=tmp_path / "store")
    assert (report.traces, report.spans, report.steps) == (2, 3, 3)
    assert (report.quarantined, report.not_understood) == (0, 0)
    assert report.files == {str(file): "otlp-json"}
    store = Store(tmp_path / "store")
    run = store.find("production")
    assert [planned.id for planned in run.planned] == [f"{7:032x}", f"{8:032x}"]
    assert (run.status, run.scopes) == ("complete", {"lib": "1"})
    trial = next(store.trials(run.id, case=f"{7:032x}"))
    assert trial.trajectory is not None
    names = [visit.step.name for visit in trial.trajectory.walk()]
    assert (trial.route, trial.status, names) == ("unknown", "completed", ["t1", "t2"])
    assert trial.started == pytest.approx((START + 1000) / 1e9)
    assert trial.latency_s == pytest.approx(1.5e-6)
    assert store.load(run.id).trials.num_rows == 2


@pytest.mark.parametrize("budget", [0, 3000, traces.BUDGET])
def test_spans_of_a_trace_may_lie_anywhere(tmp_path: Path, budget: int) -> None:
    files = [
        written(tmp_path, *(line(tool(trace, number)) for trace in range(1, 30)), name=f"{number}")
        for number in (2, 1, 3)
    ]
    files.insert(0, written(tmp_path, line(tool(40, 1, spanId="xyz")), name="0"))
    seen: list[Progress] = []
    report = ingest_traces(
        files, label="x", store=tmp_path / "store", budget=budget, on_progress=seen.append
    )
    assert (report.traces, report.spans, report.steps) == (29, 87, 87)
    assert report.reasons == {"'xyz' is no id of 8 bytes": 1}
    store = Store(tmp_path / "store")
    for trial in store.trials(report.run):
        assert trial.trajectory is not None
        assert [visit.step.name for visit in trial.trajectory.walk()] == ["t1", "t2", "t3"]
    folder = tmp_path / "store" / "runs" / report.run
    assert not [path for path in folder.iterdir() if path.is_dir() or path.name == "run.json"]


def test_the_suite_says_how_routes_are_read(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "name: shop\npipeline: {traces: t.jsonl}\ndataset: d.jsonl\n"
        "route_from: {attribute: app.route}\n"
    )
    routed = tool(7, 1)
    routed["attributes"].append(attribute("app.route", "refund"))
    file = written(tmp_path, line(routed), line(tool(8, 1)))
    report = ingest_traces([file], label="x", store=tmp_path / "store", suite=suite_alone(suite))
    assert report.routes_from == {"attribute app.route": 1, "nothing": 1}
    assert "routes read from: attribute app.route 1, nothing 1" in coverage(report)
    store = Store(tmp_path / "store")
    run = store.find("x", suite="shop")
    assert sorted(planned.route for planned in run.planned) == ["refund", "unknown"]
    assert run.suite.route_from is not None
    first, _ = trials = sorted(store.trials(run.id), key=lambda trial: trial.route)
    assert "route refund (attribute app.route)" in diff.render_show(run, trials, {})
    assert json.loads(render_show(run, [first]))["trials"][0]["route_from"] == "attribute app.route"


def test_what_is_wrong_is_counted_and_the_rest_goes_in(tmp_path: Path) -> None:
    deep = [tool(1, number) for number in range(1, 3000)]
    for number, span in enumerate(deep[1:], 1):
        span["parentSpanId"] = f"{number:016x}"
    cycle = [tool(2, 1, parentSpanId=f"{2:016x}"), tool(2, 2), tool(2, 3)]
    odd = [
        tool(3, 1, endTimeUnixNano="5"),  # ends before it starts
        tool(3, 2, parentSpanId="f" * 16),  # an orphan
        tool(3, 2),  # its id again
        tool(3, 4, startTimeUnixNano="9" * 40, endTimeUnixNano=-1),  # skewed
        tool(3, 5, attributes=[attribute("n", 10**40)], name="\ud800"),
        tool(3, 6, name=7),
        tool(3, 7, spanId="nonsense"),
        tool(3, 8, startTimeUnixNano="5"),  # before its parent
        {"traceId": "nonsense"},
    ]
    file = written(tmp_path, line(*deep), b'{"resourceSpans": [{]\n', line(*cycle), line(*odd))
    report = ingest_traces([file], label="x", store=tmp_path / "store")
    assert report.traces == 3
    assert report.spans == 2999 + 3 + 6  # those with an id, the repeated one too
    assert report.quarantined == 1 + 2 + 1 + 3
    assert report.quarantined == sum(report.reasons.values())
    text = " ".join(report.reasons)
    for said in ("document: no OTLP JSON", "is no id of 8 bytes", "repeated", "without a trace id"):
        assert said in text
    assert report.mended == {
        ENDS_EARLY: 1,
        NO_TIME: 1,
        NO_PARENT: 1,
        TOO_WIDE: 1,
        NO_UNICODE: 1,
        STARTS_EARLY: 1,
    }
    assert f"1 × {ENDS_EARLY}" in coverage(report)
    [odd_trial] = Store(tmp_path / "store").trials(report.run, case=f"{3:032x}")
    assert odd_trial.trajectory is not None
    assert odd_trial.trajectory.coverage.quarantined == 1


def test_a_trace_of_too_many_spans_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MAX_TRACE_SPANS", 50)
    lines = [line(*(tool(1, 10 * group + one) for one in range(1, 11))) for group in range(20)]
    report = ingest_traces([written(tmp_path, *lines)], label="x", store=tmp_path / "store")
    assert (report.spans, report.quarantined) == (50, 150)


def test_traces_in_which_nothing_is_understood_are_said(tmp_path: Path) -> None:
    plain = tool(4, 1, attributes=[attribute("http.method", "GET")])
    file = written(tmp_path, line(plain), line(tool(5, 1)))
    report = ingest_traces([file], label="x", store=tmp_path / "store")
    assert (report.traces, report.no_steps, report.not_understood) == (2, 1, 1)
    assert report.unknown_keys == {"http.method": 1}
    [trial] = Store(tmp_path / "store").trials(report.run, case=f"{4:032x}")
    assert trial.status == "no_trace"


def test_log_records_join_their_spans_from_another_file(tmp_path: Path) -> None:
    record = {
        "traceId": f"{7:032x}",
        "spanId": f"{1:016x}",
        "timeUnixNano": str(START),
        "eventName": "exception",
        "attributes": [attribute("exception.message", "no such order")],
    }
    records = [record, {**record, "spanId": "f" * 16}, {"body": {"stringValue": "free"}}]
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    files = [
        written(tmp_path, json.dumps(logs).encode(), name="logs.json"),
        written(tmp_path, line(tool(7, 1))),
    ]
    report = ingest_traces(files, label="x", store=tmp_path / "store")
    assert (report.traces, report.unjoined_logs, report.quarantined) == (1, 2, 0)
    [trial] = Store(tmp_path / "store").trials(report.run)
    assert trial.trajectory is not None
    assert trial.trajectory.steps[0].error == "no such order"


def test_secrets_never_reach_the_store(tmp_path: Path) -> None:
    secret = "sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12"
    arguments = json.dumps({"api_key": "hunter2hunter2", "note": f"use {secret}"})
    span = tool(7, 1)
    span["attributes"].append(attribute("gen_ai.tool.call.arguments", arguments))
    file = written(tmp_path, line(span))
    report = ingest_traces([file], label="x", store=tmp_path / "store")
    assert report.secrets
    [trial] = Store(tmp_path / "store").trials(report.run)
    assert "REDACTED" in str(trial)
    for stored in (tmp_path / "store").rglob("*"):
        if stored.is_file():
            assert secret.encode() not in stored.read_bytes()
    assert secret not in str(trial)
    assert "hunter2hunter2" not in str(trial)


def test_chats_become_runs_too(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello."}]
    file = written(tmp_path, gzip.compress(json.dumps(chat).encode()), name="chat.json.gz")
    report = ingest_traces([file], label="chats", store=tmp_path / "store")
    [trial] = Store(tmp_path / "store").trials(report.run)
    assert (report.traces, report.steps) == (1, 1)
    assert trial.trajectory is not None
    assert trial.trajectory.output == "Hello."


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        (b"", FileError, "is empty"),
        (b"hello", FileError, "neither JSON nor"),
        (b'{"resourceSpans": []}', InputError, "no trace in"),
        (b'{"resourceSpans": [{"x', InputError, "no trace in .* 1 × document: no OTLP JSON"),
        (b'[{"task_id": 1, "reward": 1, "traj": []}]', InputError, "read alone"),
    ],
)
def test_nothing_is_left_behind_by_files_without_a_trace(
    tmp_path: Path, content: bytes, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        ingest_traces([written(tmp_path, content)], label="x", store=tmp_path / "store")
    runs = tmp_path / "store" / "runs"
    assert not runs.exists() or not list(runs.iterdir())


def test_a_trace_that_does_not_read_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = traces.assemble

    def broken(trace_id: str, *rest: Any) -> Any:
        if trace_id == f"{2:032x}":
            raise KeyError("a convention's defect")
        return real(trace_id, *rest)

    monkeypatch.setattr(traces, "assemble", broken)
    file = written(tmp_path, *(line(tool(trace, 1), tool(trace, 2)) for trace in (1, 2, 3)))
    report = ingest_traces([file], label="x", store=tmp_path / "store")
    assert (report.traces, report.quarantined) == (2, 2)
    assert "a convention's defect" in next(iter(report.reasons))


def test_a_label_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="label"):
        ingest_traces([tmp_path / "x"], label=" ", store=tmp_path)


def test_of_each_trace_hardly_anything_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BATCH_TRIALS", 100)
    lines = [line(*(tool(at + one, 1) for one in range(100))) for at in range(1, 10_001, 100)]
    blocks: list[int] = []  # of Python's memory: one for each object
    ingest_traces(
        [written(tmp_path, *lines)],
        label="x",
        store=tmp_path / "store",
        budget=50_000,
        on_progress=lambda now: blocks.append(sys.getallocatedblocks()),
    )
    assert len(blocks) == 5
    assert (blocks[-1] - blocks[1]) / 6_000 < 2
    store = Store(tmp_path / "store")
    run = store.find("x")
    assert len(run.planned) == 10_000
    manifest = tmp_path / "store" / "runs" / run.id / "manifest.json"
    assert manifest.stat().st_size < 5_000
    asked = "SELECT count(DISTINCT c.case), any_value(c.route), any_value(r.cases) "
    found = store.query(asked + "FROM cases c JOIN runs r USING (run)")
    assert [*found.to_pylist()[0].values()] == [10_000, "unknown", 10_000]


def test_a_secret_anywhere_in_a_file_reaches_neither_store_nor_report(tmp_path: Path) -> None:
    secret = "sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12"
    nested = {"kvlistValue": {"values": [attribute("inner", f"use {secret}")]}}
    event = {"name": f"sent {secret}", "attributes": [attribute("body", secret)]}
    held = tool(7, 1, name=f"call {secret}", events=[event], status={"message": f"bad {secret}"})
    held["attributes"] += [attribute(secret, "x"), {"key": "map", "value": nested}]
    spans = [held, tool(7, 2, spanId=secret), tool(7, 3, name=7, parentSpanId=secret)]
    scoped = {"scope": {"name": f"lib {secret}", "version": secret}, "spans": spans}
    resource = {"attributes": [attribute("service.version", secret)]}
    record = {"traceId": f"{7:032x}", "spanId": f"{1:016x}", "eventName": f"log {secret}",
              "body": {"stringValue": secret}}  # fmt: skip
    document = {
        "resourceSpans": [{"resource": resource, "scopeSpans": [scoped]}],
        "resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}],
    }
    file = written(tmp_path, json.dumps(document).encode())
    report = ingest_traces([file], label="x", store=tmp_path / "store")
    assert (report.spans, report.quarantined) == (1, 2)
    assert secret not in coverage(report) + str(report)
    assert secret not in str(list(Store(tmp_path / "store").trials(report.run)))
    for stored in (tmp_path / "store").rglob("*"):
        if stored.is_file():
            assert secret.encode() not in stored.read_bytes()
