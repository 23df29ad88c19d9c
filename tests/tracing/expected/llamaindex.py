"""LlamaIndex: a workflow with an agent in it, then an agent workflow with a handoff."""

from __future__ import annotations

from tests.tracing.expected import ANY, Call, Run
from tests.tracing.expected.langchain import COMPLIANCE, POLICY

CONDITIONAL = {"vendor": "Acme GmbH", "amount": 25000, "decision": "conditional", "policy": "POL-7"}
RETRIEVE = Call("retrieve_policy", POLICY, ANY)
ENGINE = Call("policy_query_engine", {"input": POLICY["query"]}, ANY)
CHECK = Call("compliance_tool", COMPLIANCE, ANY)
LATE = Call("compliance_tool", COMPLIANCE, failed=True)
HANDOFF = Call("compliance_agent", ANY, ANY, kind="handoff")
HANDED = (RETRIEVE, HANDOFF, CHECK)
GOOD = (RETRIEVE, ENGINE, CHECK, *HANDED)
BAD = (RETRIEVE, RETRIEVE, ENGINE, ENGINE, LATE, LATE, CHECK, *HANDED)

FOUND = "retriever VectorIndexRetriever"
STEP = ("node retrieve_policy", FOUND, "node rerank")


def frame(bad: bool = False) -> tuple[str, ...]:
    twice = 2 if bad else 1
    return (
        "workflow KA",
        "node classify",
        "node fan_out",
        *STEP,
        *STEP,
        *("node compliance_check",) * (3 if bad else 1),
        "node reason",
        "agent FunctionAgent",
        *(FOUND,) * twice,
        *(FOUND, "reranker Rerank") * twice,
        FOUND,
    )


ASKED = ("gpt-4o-mini", None)
MINI = ("gpt-4o-mini", "gpt-4o-mini-2025-01-01")
DOWN = ("gpt-4o-primary", None)
REBUILT = ("tool spans", "tokens")
# Five answers are streamed, and the SDK was not asked for their usage: the totals lack them.
UNTOLD = ("tokens", "served model")

EXPECTED: dict[str, Run] = {
    "llamaindex__openinference__good": Run(
        GOOD, frame(), (ASKED,) * 11, tokens=(982, 181), missing=UNTOLD
    ),
    "llamaindex__openinference__bad": Run(
        BAD, frame(True), (ASKED, DOWN, *(ASKED,) * 15), 1, (3372, 381), missing=UNTOLD
    ),
    # Names, arguments and ids are in the event given to a tool's step; streamed answers are not.
    "llamaindex__native__good": Run(
        GOOD,
        frame(),
        (*(MINI,) * 6, *(ASKED,) * 5),
        tokens=(982, 181),
        outputs=False,
        missing=("outputs", "text", *UNTOLD),
    ),
    "llamaindex__native__bad": Run(
        BAD,
        frame(True),
        (MINI, DOWN, *(MINI,) * 10, *(ASKED,) * 5),
        1,
        (3372, 381),
        outputs=False,
        missing=("outputs", "text", *UNTOLD),
    ),
    # The SDK's spans alone. A tool's failure is told in words that could be any result.
    "llamaindex__otel-openai__good": Run(
        GOOD, (), (MINI,) * 11, tokens=(982, 181), inferred="call", missing=REBUILT
    ),
    "llamaindex__otel-openai__bad": Run(
        BAD,
        (),
        (MINI, DOWN, *(MINI,) * 15),
        1,
        (3372, 381),
        failures=False,
        inferred="call",
        missing=REBUILT,
    ),
}
