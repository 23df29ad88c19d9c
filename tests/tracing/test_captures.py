"""Recordings of real frameworks against what they really did, stated by hand."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from evalkit.suite import Price, RouteSource
from evalkit.tracing.normalizer import to_trajectory
from evalkit.tracing.otlp import read_otlp_json
from evalkit.trajectory import Trajectory
from tests.captures import CAPTURES, spans_of

POLICY_QUERY = {"query": "vendor exception approval policy"}
COMPLIANCE = {"vendor": "Acme GmbH", "amount": 25000, "flags": {"pep": False}}
CONDITIONAL = {
    "vendor": "Acme GmbH",
    "amount": 25000.0,
    "decision": "conditional",
    "policy": "POL-7",
}
ALL_POLICIES = ["POL-7", "POL-2", "POL-9"]


def recorded(name: str, **options: object) -> Trajectory:
    return to_trajectory(spans_of(name), **options)


def outline(trajectory: Trajectory) -> list[str]:
    """The steps as an indented list; ``!`` marks failed ones."""
    return [
        "  " * visit.depth + visit.step.label + (" !" if visit.step.status == "error" else "")
        for visit in trajectory.walk()
    ]


def steps_of(trajectory: Trajectory, kind: str) -> list:
    return [visit.step for visit in trajectory.walk() if visit.step.kind == kind]


def models(trajectory: Trajectory) -> list[tuple[str | None, str | None]]:
    return [(step.model_requested, step.model_served) for step in steps_of(trajectory, "llm")]


MINI = ("gpt-4o-mini", "gpt-4o-mini-2025-01-01")
DOWN = ("gpt-4o-primary", None)
OUTER_GRAPH = ["workflow outer_graph", "  node sub", "    node inner_step"]


def test_langgraph_openinference_good() -> None:
    found = recorded("langgraph__openinference__good")
    assert outline(found) == [
        "workflow knowledge_assistant",
        "  node classify",
        "    llm ChatOpenAI",
        "  node retrieve_history",
        "    retriever KB",
        "  node retrieve_policy",
        "    retriever KB",
        "  node rerank",
        "  node reason",
        "    llm ChatOpenAI",
        "  tool compliance_tool",
        "  node reason",
        "    llm ChatOpenAI",
        "  node final",
        *OUTER_GRAPH,
    ]
    assert models(found) == [MINI] * 3
    [tool] = steps_of(found, "tool")
    assert (tool.arguments, tool.output) == (COMPLIANCE, CONDITIONAL)
    assert tool.call_id == "call_00_compliance_tool"
    queries = [step.arguments for step in steps_of(found, "retriever")]
    assert queries == [{"query": "past vendor exceptions"}, POLICY_QUERY]
    policies = steps_of(found, "retriever")[1].output
    assert [document["id"] for document in policies] == ALL_POLICIES
    assert policies[0]["score"] == 0.91
    assert policies[0]["content"] == "Vendor exceptions above $10,000 need compliance review."
    reasons = [step.stop_reason for step in steps_of(found, "llm")]
    assert reasons == ["stop", "tool_calls", "stop"]
    tokens = [(step.tokens_in, step.tokens_out) for step in steps_of(found, "llm")]
    assert tokens == [(39, 4), (53, 47), (158, 24)]
    assert (found.tokens_in, found.tokens_out) == (250, 75)
    assert steps_of(found, "llm")[0].tokens_cached == 16
    assert steps_of(found, "llm")[0].tokens_reasoning == 3
    assert found.stop_reason == "stop"
    assert found.coverage.spans == 23
    assert found.coverage.wrappers == 5
    assert found.coverage.not_understood == 0
    assert found.coverage.conventions == {"openinference": 23}
    assert found.coverage.scopes == {"openinference.instrumentation.langchain": "0.1.80"}


def test_langgraph_openinference_bad() -> None:
    found = recorded("langgraph__openinference__bad")
    assert outline(found) == [
        "workflow knowledge_assistant",
        "  node classify",
        "    llm ChatOpenAI",
        "  node retrieve_history",
        "    retriever KB",
        "  node retrieve_policy",
        "    retriever KB",
        "  node rerank",
        "  node retrieve_policy",
        "    retriever KB",
        "  node rerank",
        "  node reason",
        "    llm ChatOpenAI !",
        "    llm ChatOpenAI",
        "  tool compliance_tool !",
        "  tool compliance_tool !",
        "  tool compliance_tool",
        "  node reason",
        "    llm ChatOpenAI !",
        "    llm ChatOpenAI",
        "  node final",
        *OUTER_GRAPH,
    ]
    assert models(found) == [MINI, DOWN, MINI, DOWN, MINI]
    tools = steps_of(found, "tool")
    assert [tool.arguments for tool in tools] == [COMPLIANCE] * 3
    assert [tool.error for tool in tools] == [
        "compliance backend timed out after 50ms (attempt 1)",
        "compliance backend timed out after 50ms (attempt 2)",
        None,
    ]
    assert steps_of(found, "llm")[1].error == "Error code: 503 - model overloaded"
    assert (found.tokens_in, found.tokens_out) == (276, 75)


def test_langgraph_genai_good_has_no_nodes() -> None:
    found = recorded("langgraph__otel-genai__good")
    assert outline(found) == [
        "workflow knowledge_assistant",
        "  llm gpt-4o-mini",
        "  retriever retrieval",
        "  retriever retrieval",
        "  llm gpt-4o-mini",
        "  tool compliance_tool",
        "  llm gpt-4o-mini",
        "workflow outer_graph",
    ]
    [tool] = steps_of(found, "tool")
    assert (tool.arguments, tool.output) == (COMPLIANCE, CONDITIONAL)
    assert models(found) == [MINI] * 3
    assert (found.tokens_in, found.tokens_out) == (250, 75)
    assert steps_of(found, "llm")[0].output == "vendor_exception"
    assert steps_of(found, "llm")[1].output == {
        "content": None,
        "tool_calls": [
            {"id": "call_00_compliance_tool", "name": "compliance_tool", "arguments": COMPLIANCE}
        ],
    }
    assert found.output == "Decision: approve with conditions."


def test_langgraph_genai_bad() -> None:
    found = recorded("langgraph__otel-genai__bad")
    assert outline(found) == [
        "workflow knowledge_assistant",
        "  llm gpt-4o-mini",
        "  retriever retrieval",
        "  retriever retrieval",
        "  retriever retrieval",
        "  llm gpt-4o-primary !",
        "  llm gpt-4o-mini",
        "  tool compliance_tool !",
        "  tool compliance_tool !",
        "  tool compliance_tool",
        "  llm gpt-4o-primary !",
        "  llm gpt-4o-mini",
        "workflow outer_graph",
    ]
    assert models(found) == [MINI, DOWN, MINI, DOWN, MINI]
    tools = steps_of(found, "tool")
    assert [tool.call_id for tool in tools] == ["call_00_compliance_tool"] * 3
    assert tools[0].error == "compliance backend timed out after 50ms (attempt 1)"
    assert [step.arguments for step in steps_of(found, "retriever")][1:] == [POLICY_QUERY] * 2


def test_langchain_openinference_good() -> None:
    found = recorded("langchain__openinference__good")
    assert outline(found) == [
        "workflow knowledge_assistant",
        "  node parallel_pre",
        "    llm ChatOpenAI",
        "    retriever KB",
        "  node to_msg",
        "  agent policy_agent",
        "    llm ChatOpenAI",
        "    tool retrieve_policy",
        "      retriever KB",
        "    llm ChatOpenAI",
        "    tool rerank",
        "    llm ChatOpenAI",
        "    tool compliance_tool",
        "    llm ChatOpenAI",
        "llm ChatOpenAI",
    ]
    tools = steps_of(found, "tool")
    # The first one's argument was recorded without its name: taken from the model's call.
    assert [tool.arguments for tool in tools] == [
        POLICY_QUERY,
        {**POLICY_QUERY, "doc_ids": ALL_POLICIES},
        COMPLIANCE,
    ]
    assert [tool.output for tool in tools] == [ALL_POLICIES, ["POL-9", "POL-7"], CONDITIONAL]
    assert [tool.call_id for tool in tools] == [
        "call_00_retrieve_policy",
        "call_01_rerank",
        "call_02_compliance_tool",
    ]
    assert (found.tokens_in, found.tokens_out) == (822, 187)


def test_agents_openinference_good() -> None:
    found = recorded("agents__openinference__good")
    assert outline(found) == [
        "workflow knowledge_assistant",
        "  agent triage_agent",
        "    guardrail topic_guardrail",
        "    llm response",
        "    tool classify",
        "    llm response",
        "    tool retrieve_policy",
        "    llm response",
        "    tool rerank",
        "    llm response",
        "    handoff compliance_agent",
        "  agent compliance_agent",
        "    llm generation",
        "    tool compliance_tool",
        "      node compliance_backend",
        "    llm generation",
        "    guardrail pii_guardrail",
        "workflow Agent workflow",
        "  agent summary_agent",
        "    llm generation",
        "workflow parallel_pair",
        "  agent par_agent",
        "    llm response",
        "  agent par_agent",
        "    llm response",
    ]
    [handoff] = steps_of(found, "handoff")
    assert handoff.arguments == {"from": "triage_agent", "to": "compliance_agent"}
    tools = steps_of(found, "tool")
    assert tools[0].arguments == {"question": "Can I approve this vendor exception?"}
    assert tools[0].output == "vendor_exception"
    assert tools[3].arguments == COMPLIANCE
    assert tools[3].output == CONDITIONAL
    assert models(found)[0] == (None, "gpt-4o-mini-2025-01-01")
    assert models(found)[4] == ("gpt-4o-mini", None)


def test_agents_genai_good() -> None:
    found = recorded("agents__otel-genai+openai__good")
    assert outline(found) == [
        "workflow knowledge_assistant",
        "  agent triage_agent",
        "    llm gpt-4o-mini",
        "    tool classify",
        "    llm gpt-4o-mini",
        "    tool retrieve_policy",
        "    llm gpt-4o-mini",
        "    tool rerank",
        "    llm gpt-4o-mini",
        "    handoff compliance_agent",
        "  agent compliance_agent",
        "    llm gpt-4o-mini",
        "    tool compliance_tool",
        "    llm gpt-4o-mini",
        "workflow Agent workflow",
        "  agent summary_agent",
        "    llm gpt-4o-mini",
        "workflow parallel_pair",
        "  agent par_agent",
        "    llm gpt-4o-mini",
        "  agent par_agent",
        "    llm gpt-4o-mini",
    ]
    assert models(found)[:6] == [MINI] * 6
    tools = steps_of(found, "tool")
    assert tools[2].arguments == {**POLICY_QUERY, "doc_ids": ALL_POLICIES}
    assert tools[3].output == CONDITIONAL


def test_instrumentation_of_framework_and_sdk_gives_each_model_call_once() -> None:
    found = recorded("crewai__openinference+openai__good")
    assert (found.tokens_in, found.tokens_out) == (1091, 183)


def test_route_from_a_steps_output() -> None:
    source = RouteSource(step="classify", path="label")
    found = recorded("langgraph__openinference__good", route_from=source)
    assert found.route == "vendor_exception"


def test_prices_give_costs() -> None:
    prices = {"gpt-4o-mini": Price(input=1.0, output=10.0, cached=0.5)}
    found = recorded("langgraph__openinference__good", prices=prices)
    first = steps_of(found, "llm")[0]
    assert first.cost_usd == pytest.approx(((39 - 16) * 1.0 + 16 * 0.5 + 4 * 10.0) / 1e6)


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(CAPTURES.glob("*.otlp.json.gz")) if path.name.count(".") == 3],
    ids=lambda path: path.name.partition(".")[0],
)
def test_every_recording_is_accounted_for(path: Path) -> None:
    spans = read_otlp_json(gzip.decompress(path.read_bytes()))
    found = to_trajectory(spans)
    counted = found.coverage
    assert counted.spans == len(spans)
    left = counted.spans - counted.wrappers - counted.not_understood - counted.quarantined
    recorded = [visit for visit in found.walk() if visit.step.inferred != "call"]
    assert 0 <= len(recorded) <= left
