"""One agent with four tools, in frameworks that run their own loop: the second scenario.

The bad run retrieves twice, times out twice in compliance_tool, and its model is overloaded; then
another model finishes, in the same run (``BAD``) or by running all of it again (``TWICE``).
"""

from __future__ import annotations

from typing import Any

from tests.tracing.expected import ANY, Call, Run

QUESTION = {"question": "Can I approve this vendor exception?"}
QUERY = {"query": "vendor exception approval threshold", "top_k": 3}
RERANK = {"query": QUERY["query"], "doc_ids": ["VP-07", "VP-12", "VP-03"]}
VENDOR = {"vendor": "Acme Ltd", "amount": 75000}
ONBOARD = {"id": "VP-07", "text": "Vendors must be onboarded before payment.", "score": 0.71}
DIRECTOR = {"id": "VP-12", "text": "Exceptions above 50000 need director approval.", "score": 0.93}
QUOTES = {"id": "VP-03", "text": "Two quotes are required.", "score": 0.42}
NEEDS = {**VENDOR, "needs": "director_approval"}

CLASSIFY = Call("classify_request", QUESTION, {"route": "vendor_exception", "confidence": 0.97})
RETRIEVE = Call("retrieve_policy", QUERY, [ONBOARD, DIRECTOR, QUOTES])
RANKED = Call("rerank", RERANK, [DIRECTOR, ONBOARD, QUOTES])
COMPLIANCE = Call("compliance_tool", VENDOR, NEEDS)
TIMED_OUT = Call("compliance_tool", VENDOR, failed=True)

GOOD = (CLASSIFY, RETRIEVE, RANKED, COMPLIANCE)
BAD = (CLASSIFY, RETRIEVE, RETRIEVE, RANKED, TIMED_OUT, TIMED_OUT)
TWICE = BAD + BAD

# The TypeScript applications' tools say less.
SHORT = [{"id": "VP-07", "score": 0.71}, {"id": "VP-12", "score": 0.93}]
TS_CLASSIFY = Call("classify_request", QUESTION, {"route": "vendor_exception"})
TS_RETRIEVE = Call("retrieve_policy", QUERY, SHORT)
TS_RANKED = Call("rerank", RERANK, SHORT)
TS_COMPLIANCE = Call("compliance_tool", VENDOR, {"needs": "director_approval"})
TS_GOOD = (TS_CLASSIFY, TS_RETRIEVE, TS_RANKED, TS_COMPLIANCE)
TS_BAD = (TS_CLASSIFY, TS_RETRIEVE, TS_RETRIEVE, TS_RANKED, TIMED_OUT, TIMED_OUT)

# Google ADK hands lists to the model as {"result": ..}.
ADK_LISTS = (
    CLASSIFY,
    Call("retrieve_policy", QUERY, {"result": RETRIEVE.output}),
    Call("rerank", RERANK, {"result": RANKED.output}),
)
ADK_GOOD = (*ADK_LISTS, COMPLIANCE)
ADK_BAD = (*ADK_LISTS[:2], *ADK_LISTS[1:], TIMED_OUT, TIMED_OUT)

AGENT = "agent knowledge_assistant"
FLOW = "workflow knowledge_assistant"
BIG = ("gpt-4o", "gpt-4o-2024-08-06")
SMALL = ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
DOWN = ("gpt-4o", None)
FELL_BACK = (*(BIG,) * 6, DOWN, SMALL)
RAN_AGAIN = (*(BIG,) * 6, DOWN, *(SMALL,) * 7)


def untold(models: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same calls where the model that answered is not recorded."""
    return tuple((asked, None) for asked, _ in models)


def served_only(models: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple((None, served) for _, served in models)


NO_MODEL = ("served model",)
ADK_BIG = ("openai/gpt-4o", None)
ADK_SMALL = ("openai/gpt-4o-mini", None)
ADK_MODELS = tuple((f"openai/{asked}", served) for asked, served in ((BIG,) * 5))
SWITCHED = ("openai/gpt-4o", SMALL[1])
CLAUDE = ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929")
HAYSTACK = ("workflow pipeline", "retriever retriever", "reranker ranker", "node to_msg")
HAYSTACK_OI = (
    "workflow Pipeline",
    "retriever InMemoryBM25Retriever",
    "reranker MetaFieldRanker",
    "node ToMsg",
    "agent Agent",
    "node ChatPromptBuilder",
)
PAR = (RETRIEVE, Call("lookup_vendor", ANY, ANY))
TO_COMPLIANCE = Call("compliance_agent", ANY, ANY, kind="handoff")
FANOUT = tuple(
    f"agent {name}" for name in ("pipeline", "fanout", "policy_agent", "risk_agent", "writer")
)

EXPECTED: dict[str, Run] = {
    "pydantic_ai__native__good": Run(GOOD, (AGENT,), (BIG,) * 5, tokens=(1319, 126)),
    "pydantic_ai__native-v2__good": Run(GOOD, (AGENT,), (BIG,) * 5, tokens=(1319, 126)),
    "pydantic_ai__native__bad": Run(BAD, (AGENT,), FELL_BACK, 1, (2688, 166)),
    "pydantic_ai__native__par": Run(PAR, (AGENT,), (BIG,) * 2, tokens=(284, 66)),
    "pydantic_ai__native__handoff": Run(
        (TO_COMPLIANCE, COMPLIANCE),
        (AGENT, "agent compliance_agent"),
        (BIG, SMALL, SMALL, BIG),
        tokens=(271, 132),
    ),
    "pydantic_ai__openinference__good": Run(GOOD, (AGENT,), (BIG,) * 5, tokens=(1319, 126)),
    "pydantic_ai__openinference__bad": Run(BAD, (AGENT,), FELL_BACK, 1, (2688, 166)),
    # One span for the whole run, twice: neither model calls nor tools are recorded.
    "pydantic_ai__traceai__good": Run(
        (),
        ("agent pydantic_ai.agent.run",),
        tokens=(1319, 126),
        missing=("model calls", "tool calls", "tokens per call"),
    ),
    "pydantic_ai__traceai__bad": Run(
        (),
        ("agent pydantic_ai.agent.run",),
        tokens=(2688, 166),
        missing=("model calls", "tool calls", "tokens per call"),
    ),
    "strands__native__good": Run(GOOD, (AGENT,), (DOWN,) * 5, tokens=(1345, 126), missing=NO_MODEL),
    "strands__native__bad": Run(
        BAD, (AGENT,) * 2, untold(FELL_BACK), 1, (2721, 166), missing=NO_MODEL
    ),
    "strands__native__par": Run(PAR, (AGENT,), (DOWN,) * 2, tokens=(299, 66), missing=NO_MODEL),
    "strands__native__handoff": Run(
        (TO_COMPLIANCE, COMPLIANCE),
        ("workflow swarm", AGENT, "agent compliance_agent"),
        untold((BIG, BIG, SMALL, SMALL)),
        tokens=(663, 132),
        missing=NO_MODEL,
    ),
    "strands__openinference__good": Run(
        GOOD, (AGENT,), (DOWN,) * 5, tokens=(1345, 126), missing=NO_MODEL
    ),
    "strands__openinference__bad": Run(
        BAD, (AGENT,) * 2, untold(FELL_BACK), 1, (2721, 166), missing=NO_MODEL
    ),
    # ADK adds what was thought to LiteLLM's counts, which have it in them: it counts once.
    # ADK by default: no arguments, no results, no text, and a failed tool looks like a good one.
    "adk__native__good": Run(
        ADK_GOOD,
        (FLOW, AGENT),
        (ADK_BIG,) * 5,
        tokens=(1412, 126),
        arguments=False,
        outputs=False,
        missing=("arguments", "outputs", "text", "served model"),
    ),
    "adk__native__bad": Run(
        ADK_BAD,
        (FLOW, AGENT),
        (ADK_BIG,) * 7,
        tokens=(3849, 166),
        arguments=False,
        outputs=False,
        failures=False,
        missing=("arguments", "outputs", "text", "served model"),
    ),
    "adk__native__handoff": Run(
        (Call("transfer_to_agent", kind="handoff"), COMPLIANCE),
        (FLOW, AGENT, "agent compliance_agent"),
        (ADK_BIG, ADK_SMALL, ADK_SMALL),
        tokens=(1076, 86),
        arguments=False,
        outputs=False,
        missing=("arguments", "outputs", "text", "served model"),
    ),
    "adk__native__par": Run(
        PAR,
        ("workflow pipeline", *FANOUT),
        (*(ADK_BIG,) * 3, ADK_SMALL),
        tokens=(1223, 158),
        arguments=False,
        outputs=False,
        missing=("arguments", "outputs", "text", "served model"),
    ),
    # With the log records beside them everything is there; the plug-in's retries are inferred.
    "adk__native__good+logs": Run(
        ADK_GOOD, (FLOW, AGENT), (ADK_BIG,) * 5, tokens=(1412, 126), missing=NO_MODEL, logs=True
    ),
    "adk__native__bad+logs": Run(
        ADK_BAD,
        (FLOW, AGENT),
        (ADK_BIG,) * 7,
        tokens=(3849, 166),
        inferred="status",
        missing=NO_MODEL,
        logs=True,
    ),
    "adk__native__handoff+logs": Run(
        (TO_COMPLIANCE, COMPLIANCE),
        (FLOW, AGENT, "agent compliance_agent"),
        (ADK_BIG, ADK_SMALL, ADK_SMALL),
        tokens=(1076, 86),
        missing=NO_MODEL,
        logs=True,
    ),
    "adk__traceai__good": Run(ADK_GOOD, ("workflow ka", AGENT), ADK_MODELS, tokens=(1412, 126)),
    "adk__traceai__bad": Run(
        ADK_BAD,
        ("workflow ka", AGENT),
        (*(ADK_MODELS[0],) * 6, SWITCHED),
        tokens=(3849, 166),
        inferred="status",
    ),
    "haystack__native__good": Run(
        GOOD, (*HAYSTACK, "agent assistant"), served_only((BIG,) * 5), tokens=(1310, 126)
    ),
    "haystack__native__bad": Run(
        BAD, (*HAYSTACK, "agent assistant"), served_only(FELL_BACK), 1, (2733, 166)
    ),
    # No tool spans; the tools' results are not in the messages either.
    "haystack__openinference__good": Run(
        GOOD,
        HAYSTACK_OI,
        served_only((BIG,) * 5),
        tokens=(1310, 126),
        outputs=False,
        inferred="call",
        missing=("tool spans", "outputs"),
    ),
    "haystack__openinference__bad": Run(
        BAD,
        HAYSTACK_OI,
        served_only(FELL_BACK),
        1,
        (2733, 166),
        outputs=False,
        failures=False,
        inferred="call",
        missing=("tool spans", "outputs"),
    ),
    "dspy__openinference__good": Run(
        GOOD,
        ("workflow R.forward", "node ReAct.forward", "node ChainOfThought.forward"),
        (DOWN,) * 6,
        missing=("tokens", "served model"),
    ),
    "dspy__openinference__bad": Run(
        TWICE,
        (
            "workflow R.forward",
            "node ReAct.forward",
            "node ReAct.forward",
            "node ChainOfThought.forward",
        ),
        (*(DOWN,) * 7, *(("gpt-4o-mini", None),) * 8),
        1,
        missing=("tokens", "served model"),
    ),
    "maf__native__good": Run(GOOD, (AGENT,), (BIG,) * 5, tokens=(1310, 126)),
    "maf__native__bad": Run(TWICE, (AGENT,) * 2, RAN_AGAIN, 1, (4612, 286)),
    "maf__openinference__good": Run(GOOD, (AGENT,), (BIG,) * 5, tokens=(1310, 126)),
    "maf__openinference__bad": Run(TWICE, (AGENT,) * 2, RAN_AGAIN, 1, (4612, 286)),
    "sk__native__good": Run(
        GOOD, (AGENT,), (DOWN,) * 5, tokens=(1352, 126), missing=("text", "served model")
    ),
    "sk__native__bad": Run(
        TWICE, (AGENT,) * 2, untold(RAN_AGAIN), 1, (4816, 286), missing=("text", "served model")
    ),
    "sk__native__good+logs": Run(
        GOOD, (AGENT,), (DOWN,) * 5, tokens=(1352, 126), missing=NO_MODEL, logs=True
    ),
    "sk__openinference-openai__good": Run(GOOD, (), (BIG,) * 5, tokens=(1352, 126)),
    "sk__openinference-openai__bad": Run(TWICE, (), RAN_AGAIN, 1, (4816, 286)),
    "mastra__native__good": Run(
        TS_GOOD, (AGENT,), (BIG,) * 5, tokens=(1054, 126), missing=("text",)
    ),
    # The 503s are swallowed; only the model served shows that another one took over.
    "mastra__native__bad": Run(
        TS_BAD,
        (AGENT,),
        (*(BIG,) * 6, ("gpt-4o", SMALL[1])),
        tokens=(2085, 166),
        missing=("text",),
    ),
    "vercel_ai__native__good": Run(TS_GOOD, (AGENT,), (BIG,) * 5, tokens=(1054, 126)),
    # The SDK's own retry of the overloaded model is a call of its own.
    "vercel_ai__native__bad": Run(
        TS_BAD + TS_BAD, (AGENT,) * 2, (*(BIG,) * 6, DOWN, DOWN, *(SMALL,) * 7), 2, (3625, 286)
    ),
    "vercel_ai7__native-legacy__bad": Run(TS_BAD + TS_BAD, (AGENT,) * 2, RAN_AGAIN, 1, (3632, 286)),
    "claude_cli__native__good": Run(
        GOOD,
        ("agent claude_code",),
        ((CLAUDE[0], None),) * 5,
        tokens=(3501, 125),
        arguments=False,
        missing=("arguments", "text", "served model"),
    ),
    "claude_cli__native__good+logs": Run(
        GOOD,
        ("agent claude_code",),
        (CLAUDE,) * 5,
        tokens=(3501, 125),
        missing=("text",),
        logs=True,
    ),
    # Only the tool server's own spans: neither arguments nor results.
    "claude_sdk__cli__good": Run(
        GOOD, arguments=False, outputs=False, missing=("arguments", "outputs")
    ),
}
