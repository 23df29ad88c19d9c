"""An instrumentor that was upgraded is not mistaken for a regression, nor the other way round."""

from __future__ import annotations

import json
import sys

import msgspec
import pytest

from evalkit.cli import main
from evalkit.tracing.normalizer import to_trajectory
from tests.captures import spans_of

PIPELINE = """
import json
from opentelemetry import trace

def span(tracer, kind, name, **attributes):
    attributes = {"openinference.span.kind": kind, **attributes}
    return tracer.start_as_current_span(name, attributes=attributes)

def answer(request, settings):
    # As an instrumentor does: its scope has the version of its package.
    tracer = trace.get_tracer_provider().get_tracer("acme.agents", settings["version"])
    topic = request["topic"]
    calls = topic != "hello" and topic not in settings["without_tool"].split()
    with span(tracer, "AGENT", "agent"):
        counted = {"llm.token_count.prompt": 10, "llm.token_count.completion": 2}
        tokens = counted if settings["tokens"] else {}
        said = {"output.value": "a text"} if settings["text"] else {}
        with span(tracer, "LLM", "model", **{"llm.model_name": "m", **tokens, **said}):
            pass
        if calls and settings["records"] != "no tools":
            given = {"input.value": json.dumps({"topic": topic}), "output.value": "found"}
            if settings["records"] == "no arguments":
                del given["input.value"]
            with span(tracer, "TOOL", "look_up", **given):
                pass
    return "hello" if topic == "hello" else "a good answer"
"""
SUITE = """
name: desk
pipeline:
  call: PIPELINE:answer
  retries: 0
  settings: {version: v1, records: all, without_tool: "", tokens: true, text: true}
dataset: cases.jsonl
trials: 3
scorers: [task_completion, tool_selection, trajectory_match, {forbidden: {steps: [tool wipe]}}]
gate:
  on: [task_completion, tool_selection, trajectory_match, forbidden]
"""


@pytest.fixture
def gated(tmp_path, monkeypatch, request, capsys):
    """Runs the baseline, then gates a run with other settings: exit code, verdicts, the object."""
    name = f"pipeline_{abs(hash(request.node.nodeid)):x}"
    (tmp_path / f"{name}.py").write_text(PIPELINE)
    (tmp_path / "suite.yaml").write_text(SUITE.replace("PIPELINE", name))
    with (tmp_path / "cases.jsonl").open("w") as file:
        for topic in ("refund", "status", "hello"):
            tool = {"tool": "look_up", "args": {"topic": topic}}
            steps = [] if topic == "hello" else [tool]
            outcome = [{"contains": "hello" if topic == "hello" else "good"}]
            for n in range(6):
                expect = {"outcome": outcome, "steps": steps}
                case = {"id": f"{topic}-{n}", "input": {"topic": topic}, "route": topic}
                file.write(json.dumps({**case, "expect": expect}) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def command(*settings):
        assert main(["run", "suite.yaml", "--label", "main"]) == 0
        capsys.readouterr()
        options = [one for setting in settings for one in ("--set", setting)]
        command = ["run", "suite.yaml", "--label", "new", "--baseline", "main", "--no-confirm"]
        code = main([*command, "--format", "json", *options])
        found = json.loads(capsys.readouterr().out)
        rows = {(row["route"], row["scorer"]): row for row in found["routes"] if row["blocking"]}
        return code, rows, found["notes"]

    yield command
    sys.modules.pop(name, None)


def verdicts(rows, route):
    return {scorer: row["verdict"] for (at, scorer), row in rows.items() if at == route}


def test_an_upgrade_that_records_no_tools_is_unmeasurable(gated):
    code, rows, _ = gated("version=v2", "records=no tools")
    assert code == 3
    for route in ("refund", "status"):
        found = verdicts(rows, route)
        assert found["task_completion"] == "ok"
        assert found["tool_selection"] == found["trajectory_match"] == "unmeasurable"
    reason = rows["refund", "tool_selection"]["reason"]
    assert "the instrumentation changed (acme.agents v1 → v2)" in reason
    assert "no tool steps" in reason
    # Nothing was ever called there, so that nothing is lost.
    assert set(verdicts(rows, "hello").values()) == {"ok"}


def test_a_scorer_that_finds_faults_does_not_pass_for_want_of_steps(gated):
    _, rows, _ = gated("version=v2", "records=no tools")
    assert rows["refund", "forbidden"]["verdict"] == "unmeasurable"


def test_the_same_instrumentation_without_tools_is_a_regression(gated):
    code, rows, _ = gated("records=no tools")
    assert code == 1
    assert verdicts(rows, "refund")["trajectory_match"] == "regressed"


def test_calls_that_could_not_be_recorded_are_no_regression_whatever_changed(gated):
    code, rows, notes = gated("records=no tools", "text=false")
    assert code == 3
    for route in ("refund", "status", "hello"):
        found = verdicts(rows, route)
        assert found.pop("task_completion") == "ok"
        assert set(found.values()) == {"unmeasurable"}
    why = "does not record tool calls: its instrumentation (acme.agents v1) has neither spans of"
    assert any("tool_selection could not judge 54 of 54" in one and why in one for one in notes)
    _, rows, _ = gated("version=v2", "records=no tools", "text=false")
    reason = rows["refund", "tool_selection"]["reason"]
    assert "18 of 18 completed trials could not be judged" in reason
    assert "the instrumentation changed (acme.agents v1 → v2) and records no tool steps" in reason


def test_an_upgrade_that_still_shows_tools_elsewhere_can_tell(gated):
    code, rows, _ = gated("version=v2", "without_tool=refund")
    assert code == 1
    assert verdicts(rows, "refund")["trajectory_match"] == "regressed"
    assert set(verdicts(rows, "status").values()) == {"ok"}


def test_an_upgrade_that_records_no_arguments_is_unmeasurable(gated):
    code, rows, notes = gated("version=v2", "records=no arguments")
    assert code == 3
    assert verdicts(rows, "refund") == {
        "task_completion": "ok",
        "tool_selection": "ok",
        "trajectory_match": "unmeasurable",
        "forbidden": "ok",
    }
    told = "the instrumentation no longer tells the arguments of tools on refund, status"
    assert told in notes


def test_an_upgrade_that_tells_as_much_passes_and_is_told(gated):
    code, _, notes = gated("version=v2")
    assert code == 0
    assert any("acme.agents v1 → v2" in note for note in notes)


def test_a_run_whose_tools_are_never_recorded_says_so(gated):
    _, _, notes = gated("version=v2", "records=no tools", "text=false")
    assert any(note.startswith("no trajectory tells of tool calls") for note in notes)
    _, _, notes = gated("version=v2", "records=no arguments")
    assert not any(note.startswith("no trajectory tells of tool calls") for note in notes)


def test_tokens_that_are_no_longer_recorded_are_told(gated):
    code, _, notes = gated("version=v2", "tokens=false")
    assert code == 0
    assert "the instrumentation no longer tells tokens on refund, status, hello" in notes


# --- recordings of real instrumentations ---------------------------------------------------

RECORDED = """
name: recorded
pipeline: {traces: FILE}
dataset: cases.jsonl
trials: 3
scorers: [tool_selection, trajectory_match]
gate: {on: [tool_selection, trajectory_match]}
"""


def trajectory_of(name):
    return to_trajectory(spans_of(f"{name}__good"), output="done")


@pytest.mark.parametrize(
    ("before", "after", "kinds", "verdict"),
    [
        ("crewai__openinference", "crewai__traceloop", {"tool"}, "unmeasurable"),
        ("crewai__openinference", "crewai__traceai", {"tool"}, "unmeasurable"),
        ("pydantic_ai__native", "pydantic_ai__traceai", {"tool"}, "unmeasurable"),
        ("langgraph__openinference", "langgraph__otel-genai", {"node"}, "unmeasurable"),
        ("llamaindex__openinference", "llamaindex__otel-openai", {"retriever"}, "unmeasurable"),
        ("langchain__openinference", "langchain__traceai", {"tool", "retriever"}, "ok"),
        ("langgraph__openinference", "langgraph__otel-genai", {"tool"}, "ok"),
    ],
)
def test_another_instrumentation_of_the_same_run(
    tmp_path, monkeypatch, capsys, before, after, kinds, verdict
):
    """The good run of one framework, as two instrumentations tell it."""
    monkeypatch.chdir(tmp_path)
    was = trajectory_of(before)
    steps = [{one.step.kind: one.step.name} for one in was.walk() if one.step.kind in kinds]
    assert steps
    expect = {"steps": steps[:4], "match": "any_order"}
    cases = [{"id": f"c{n}", "input": n, "route": "policy", "expect": expect} for n in range(8)]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(one) + "\n" for one in cases))
    codes = []
    for label, name in (("main", before), ("new", after)):
        told = msgspec.to_builtins(trajectory_of(name))
        lines = [
            json.dumps({"case": case["id"], "trial": trial, "trajectory": told}) + "\n"
            for case in cases
            for trial in range(3)
        ]
        (tmp_path / f"{label}.jsonl").write_text("".join(lines))
        (tmp_path / "suite.yaml").write_text(RECORDED.replace("FILE", f"{label}.jsonl"))
        against = ["--baseline", "main"] if label == "new" else []
        command = ["run", "suite.yaml", "--label", label, *against, "--format", "json"]
        codes.append(main(command))
        found = json.loads(capsys.readouterr().out)
    rows = {row["scorer"]: row for row in found["routes"] if row["blocking"]}
    assert rows["trajectory_match"]["verdict"] == verdict
    assert codes[-1] == (3 if verdict == "unmeasurable" else 0)
