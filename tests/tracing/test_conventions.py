"""Every recording of a real framework against what happened, stated by hand in ``expected``."""

from __future__ import annotations

import gzip
from collections import Counter

import pytest

from evalkit.model_names import served_evidence
from evalkit.spans import Span
from evalkit.tracing.normalizer import to_trajectory
from evalkit.tracing.otlp import read_parts
from evalkit.tracing.parts import unpack_logs, with_logs
from evalkit.trajectory import Trajectory
from tests.captures import CAPTURES, needs_captures, spans_of
from tests.tracing.expected import (
    ANY,
    Call,
    Run,
    agents_sdk,
    assistants,
    crewai,
    gateway,
    langchain,
    llamaindex,
)

FAMILIES = (assistants, gateway, langchain, agents_sdk, llamaindex, crewai)
EXPECTED: dict[str, Run] = {name: run for one in FAMILIES for name, run in one.EXPECTED.items()}
FRAME = ("workflow", "agent", "node", "guardrail", "retriever", "reranker")


def with_its_logs(name: str) -> list[Span]:
    spans = spans_of(name)
    records = gzip.decompress((CAPTURES / f"{name}.logs.otlp.json.gz").read_bytes())
    parts = read_parts(records, Counter())
    return with_logs(spans, [log for part in parts for log in unpack_logs(part.data)])[0]


def read(name: str) -> Trajectory:
    recording = name.removesuffix("+logs")
    return to_trajectory((with_its_logs if EXPECTED[name].logs else spans_of)(recording))


def failures(name: str, found: Trajectory) -> list[str]:
    """What differs from what happened, one line each."""
    run = EXPECTED[name]
    steps = [visit.step for visit in found.walk()]
    calls = [step for step in steps if step.kind in ("tool", "handoff")]
    wrong = []
    if [step.label for step in calls] != [f"{call.kind} {call.name}" for call in run.calls]:
        return [f"calls: {[step.label for step in calls]}"]
    for number, (step, call) in enumerate(zip(calls, run.calls, strict=True)):
        said = f"call {number} {step.label}"
        failed = call.failed and run.failures
        if (step.status == "error") != failed:
            wrong.append(f"{said}: {step.status}")
        if failed and run.says not in (step.error or ""):
            wrong.append(f"{said}: fails with {step.error}")
        wanted = call.arguments if run.arguments else None
        if step.kind == "tool" and wanted is not ANY and step.arguments != wanted:
            wrong.append(f"{said}: arguments {step.arguments!r}")
        wrong += _output(said, step.output, call, run)
        marked = "call" if call.rebuilt or run.inferred == "call" else None
        if marked is None and failed:
            marked = run.inferred
        if step.inferred != marked:
            wrong.append(f"{said}: inferred {step.inferred}")
    frame = tuple(step.label for step in steps if step.kind in FRAME)
    models = [step for step in steps if step.kind == "llm"]
    facts = (
        ("frame", frame, run.frame),
        ("models", tuple((s.model_requested, s.model_served) for s in models), run.models),
        ("failed models", sum(s.status == "error" for s in models), run.failed_models),
        ("tokens", (found.tokens_in, found.tokens_out), run.tokens),
        ("missing", found.coverage.missing, run.missing),
    )
    return wrong + [f"{fact}: {is_} not {must}" for fact, is_, must in facts if is_ != must]


def _output(said: str, output: object, call: Call, run: Run) -> list[str]:
    if call.failed or call.kind == "handoff":
        return []
    wanted = call.output if run.outputs else None
    if wanted is ANY:
        return [f"{said}: no output"] if output is None else []
    return [f"{said}: output {output!r}"] if output != wanted else []


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_recording_reads_as_what_happened(name: str) -> None:
    assert failures(name, read(name)) == []


@needs_captures
def test_every_recording_has_its_expectation() -> None:
    files = CAPTURES.glob("*.otlp.json.gz")
    names = {path.name.partition(".")[0] for path in files if path.name.count(".") == 3}
    assert names == {name.removesuffix("+logs") for name in EXPECTED}


def test_a_gateway_in_the_same_trace_shows_the_silent_failover() -> None:
    client = spans_of("litellm_proxy_client__openinference__silent")
    gateway = spans_of("litellm_proxy__native__silent")
    trace = client[0].trace_id
    assert any(span.trace_id == trace for span in gateway)
    found = to_trajectory(client + [span for span in gateway if span.trace_id == trace])
    [call] = [visit.step for visit in found.walk() if visit.step.kind == "llm"]
    assert (call.model_requested, call.model_served) == ("gpt-4o-silent", "gpt-4o-mini-2024-07-18")
    assert served_evidence(call.model_requested, call.model_served) == "mismatch"
    assert (found.tokens_in, found.tokens_out) == (25, 46)


def test_the_good_run_is_the_same_steps_whatever_recorded_it() -> None:
    """What each tool was asked and gave, where nothing is missing from the recording."""
    for family in (assistants.GOOD, langchain.GOOD):
        whole = [
            name
            for name, run in EXPECTED.items()
            if run.calls == family and run.arguments and run.outputs
        ]
        assert len(whole) >= 7
        told = {
            name: [
                (step.kind, step.name, step.arguments, step.output, step.status)
                for visit in read(name).walk()
                if (step := visit.step).kind == "tool"
            ]
            for name in whole
        }
        assert all(steps == told[whole[0]] for steps in told.values())


def test_sessions_and_users_are_found_in_each_dialect() -> None:
    good = [name for name in EXPECTED if name.endswith("good") and "claude" not in name]
    named = {name: read(name) for name in good}
    known = ("sess-42", "conv-42")
    assert sum(found.session in known for found in named.values()) >= 25
    assert {found.session for found in named.values()} - {None, *known} == set()
