"""CrewAI: two agents in sequence; in the bad run the first crew fails and a second one is run."""

from __future__ import annotations

from tests.tracing.expected import Call, Run
from tests.tracing.expected.agents_sdk import RETRIEVE
from tests.tracing.expected.langchain import CHECK, COMPLIANCE, RERANK

LATE = Call("compliance_tool", COMPLIANCE, failed=True)
GOOD = (RETRIEVE, RERANK, CHECK)
BAD = (RETRIEVE, RETRIEVE, RERANK, LATE, LATE, CHECK)
CREW = ("workflow knowledge_assistant", "agent policy_researcher", "agent compliance_officer")
CREWS = (*CREW[:2], *CREW)
MINI = ("gpt-4o-mini", "gpt-4o-mini-2025-01-01")
CALLED = (MINI,) * 5
FELL_BACK = (*(("gpt-4o-primary", None),) * 2, *(MINI,) * 8)
NO_MODELS = ("model calls", "tokens")

EXPECTED: dict[str, Run] = {
    "crewai__openinference+openai__good": Run(GOOD, CREW, CALLED, tokens=(1091, 183)),
    "crewai__openinference+openai__bad": Run(BAD, CREWS, FELL_BACK, 2, (2451, 317)),
    "crewai__openinference__good": Run(GOOD, CREW, missing=NO_MODELS),
    "crewai__openinference__bad": Run(BAD, CREWS, missing=NO_MODELS),
    # The SDK's spans alone: no agents, and the tools are rebuilt from the messages.
    "crewai__otel-openai__good": Run(
        GOOD, (), CALLED, tokens=(1091, 183), inferred="call", missing=("tool spans",)
    ),
    "crewai__otel-openai__bad": Run(
        BAD, (), FELL_BACK, 2, (2451, 317), inferred="call", missing=("tool spans",)
    ),
    "crewai__traceloop__good": Run((), CREW, missing=("model calls", "tool calls", "tokens")),
    "crewai__traceloop__bad": Run((), CREWS, missing=("model calls", "tool calls", "tokens")),
    # This instrumentation crashes the application at its first step.
    "crewai__traceai__good": Run((), ("workflow Crew.kickoff",)),
    "crewai__traceai__bad": Run((), ("workflow Crew.kickoff",) * 2),
}
