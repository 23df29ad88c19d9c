"""LangChain and LangGraph: the first scenario, with retries and fallbacks of their own.

LangGraph's steps are nodes, and only compliance_tool is a tool; LangChain's agent calls all three.
"""

from __future__ import annotations

from tests.tracing.expected import Call, Run

POLICY = {"query": "vendor exception approval policy"}
IDS = ["POL-7", "POL-2", "POL-9"]
COMPLIANCE = {"vendor": "Acme GmbH", "amount": 25000, "flags": {"pep": False}}
CONDITIONAL = {
    "vendor": "Acme GmbH",
    "amount": 25000.0,
    "decision": "conditional",
    "policy": "POL-7",
}
RETRIEVE = Call("retrieve_policy", POLICY, IDS)
RERANK = Call("rerank", {**POLICY, "doc_ids": IDS}, ["POL-9", "POL-7"])
CHECK = Call("compliance_tool", COMPLIANCE, CONDITIONAL)
LATE = Call("compliance_tool", COMPLIANCE, failed=True)

GOOD = (RETRIEVE, RERANK, CHECK)
BAD = (RETRIEVE, RETRIEVE, RERANK, LATE, LATE, CHECK)

MINI = ("gpt-4o-mini", "gpt-4o-mini-2025-01-01")
DOWN = ("gpt-4o-primary", None)
STREAMED = ("gpt-4o-mini", None)
CALLED = (MINI,) * 6
FELL_BACK = (MINI, *(DOWN, MINI) * 5, MINI, DOWN, MINI)
# Of the streamed call it tells only the model asked for, as the one that answered.
CALLED_BLIND = (*(MINI,) * 5, STREAMED)
FELL_BACK_BLIND = (MINI, *(DOWN, MINI) * 5, STREAMED, DOWN, MINI)
BLIND = ("traceloop",)
GRAPH_CALLED = (MINI,) * 3
GRAPH_FELL_BACK = (MINI, DOWN, MINI, DOWN, MINI)


def chain(retriever: str = "retriever KB", retrievals: int = 1) -> tuple[str, ...]:
    return (
        "workflow knowledge_assistant",
        "node parallel_pre",
        retriever,
        "node to_msg",
        "agent policy_agent",
        *(retriever,) * retrievals,
    )


def bare_chain(retrievals: int = 1) -> tuple[str, ...]:
    """The contrib package records no nodes."""
    retriever = "retriever retrieval"
    return ("workflow knowledge_assistant", retriever, "agent policy_agent") + (
        retriever,
    ) * retrievals


KB = "retriever KB"
ONE_LOOKUP = ("node retrieve_policy", KB, "node rerank")
GRAPH = (
    "workflow knowledge_assistant",
    "node classify",
    "node retrieve_history",
    KB,
    *ONE_LOOKUP,
)
ENDED = (
    "node reason",
    "node reason",
    "node final",
    "workflow outer_graph",
    "node sub",
    "node inner_step",
)
GRAPH_GOOD = (*GRAPH, *ENDED)
GRAPH_BAD = (*GRAPH, *ONE_LOOKUP, *ENDED)
BARE_GRAPH = "workflow knowledge_assistant", "workflow outer_graph"
LCEL = "workflow lcel_retry"


EXPECTED: dict[str, Run] = {}
for way in ("openinference", "openinference+openai", "langsmith", "traceai", "traceloop"):
    unserved = ("served model",) if way in BLIND else ()
    EXPECTED[f"langchain__{way}__good"] = Run(
        GOOD,
        chain(),
        CALLED_BLIND if way in BLIND else CALLED,
        tokens=(822, 187),
        missing=unserved,
    )
    EXPECTED[f"langchain__{way}__bad"] = Run(
        BAD,
        (*chain(retrievals=2), LCEL),
        FELL_BACK_BLIND if way in BLIND else FELL_BACK,
        6,
        (1262, 231),
        missing=unserved,
    )
for way in ("otel-genai", "otel-genai+openai"):
    EXPECTED[f"langchain__{way}__good"] = Run(GOOD, bare_chain(), CALLED, tokens=(822, 187))
    EXPECTED[f"langchain__{way}__bad"] = Run(BAD, (*bare_chain(2), LCEL), FELL_BACK, 6, (1262, 231))
# The instrumentation itself broke this run: it ended at the recursion limit.
EXPECTED["langchain__traceloop-recursionlimit25__bad"] = Run(
    (RETRIEVE, RETRIEVE, RERANK), chain(retrievals=2), (MINI, *(DOWN, MINI) * 4), 4, (799, 179)
)
for way in ("openinference", "langfuse", "traceloop"):
    EXPECTED[f"langgraph__{way}__good"] = Run((CHECK,), GRAPH_GOOD, GRAPH_CALLED, tokens=(250, 75))
    EXPECTED[f"langgraph__{way}__bad"] = Run(
        (LATE, LATE, CHECK), GRAPH_BAD, GRAPH_FELL_BACK, 2, (276, 75)
    )
FOUND = ("retriever retrieval",)
EXPECTED["langgraph__otel-genai__good"] = Run(
    (CHECK,), (BARE_GRAPH[0], *FOUND * 2, BARE_GRAPH[1]), GRAPH_CALLED, tokens=(250, 75)
)
EXPECTED["langgraph__otel-genai__bad"] = Run(
    (LATE, LATE, CHECK), (BARE_GRAPH[0], *FOUND * 3, BARE_GRAPH[1]), GRAPH_FELL_BACK, 2, (276, 75)
)
