"""LiteLLM as a library and as a gateway, and MCP servers: model calls without a framework."""

from __future__ import annotations

from tests.tracing.expected import Call, Run
from tests.tracing.expected.assistants import BAD, BIG, DOWN, GOOD, NEEDS, SMALL, VENDOR

FOUND = {"id": "VP-07", "text": "Vendors must be onboarded before payment.", "score": 0.71}
LOOKUP = Call("retrieve_policy", {"query": "vendor exception", "top_k": 2}, FOUND)
CHECK = Call("compliance_tool", VENDOR, NEEDS)
LATE = Call("compliance_tool", VENDOR, failed=True)
REBUILT = ("tool spans",)
OI = ("openai/gpt-4o", None)
OI_CALLING = ("openai/gpt-4o", BIG[1])
TRACEAI = ("openai/gpt-4o", BIG[1])
OI_SMALL = ("openai/gpt-4o-mini", None)
BARE = ("arguments", "outputs")

EXPECTED: dict[str, Run] = {
    # The tools are the application's own functions: only the messages show them.
    "litellm__native__good": Run(
        GOOD, (), (BIG,) * 5, tokens=(1330, 126), inferred="call", missing=REBUILT
    ),
    "litellm__native__bad": Run(
        BAD, (), (*(BIG,) * 6, DOWN, SMALL), 1, (2781, 166), inferred="call", missing=REBUILT
    ),
    # Failing over without a word: the alias was asked for, another model answered.
    "litellm__native__silent": Run(
        GOOD,
        (),
        (("gpt-4o-silent", SMALL[1]),) * 5,
        tokens=(1330, 126),
        inferred="call",
        missing=REBUILT,
    ),
    # What answered stands in the response, which is recorded whole where it calls a tool.
    "litellm__openinference__good": Run(
        GOOD,
        (),
        (*(OI_CALLING,) * 4, OI),
        tokens=(1330, 126),
        inferred="call",
        missing=("tool spans", "served model"),
    ),
    # The library's span and the router's are both recorded for the failing call.
    "litellm__openinference__bad": Run(
        BAD,
        (),
        (*(OI_CALLING,) * 6, *(OI,) * 2, OI_SMALL),
        2,
        (2781, 166),
        inferred="call",
        missing=("tool spans", "served model"),
    ),
    "litellm__openinference__silent": Run(
        GOOD,
        (),
        (*(("openai/gpt-4o-silent", SMALL[1]),) * 4, ("openai/gpt-4o-silent", None)),
        tokens=(1330, 126),
        inferred="call",
        missing=("tool spans", "served model"),
    ),
    # Requests through the proxy: one model call each, as the provider itself was asked.
    "litellm_proxy__native__silent": Run(
        (), (), (("gpt-4o-silent", SMALL[1]),) * 3, tokens=(75, 138)
    ),
    "litellm_proxy__native__goodbad": Run((), (), (*(BIG,) * 4, *(DOWN, SMALL) * 4), 4, (204, 368)),
    # The client sees the fallback in the answer, but not the silent one.
    "litellm_proxy_client__openinference__good": Run(
        (), (), (("gpt-4o", "gpt-4o"),), tokens=(25, 46)
    ),
    "litellm_proxy_client__openinference__bad": Run(
        (), (), (("gpt-4o", SMALL[1]),), tokens=(26, 46)
    ),
    "litellm_proxy_client__openinference__silent": Run(
        (), (), (("gpt-4o-silent", "gpt-4o-silent"),), tokens=(25, 46)
    ),
    # The results in the messages have no call to belong to. The last answer is bare text.
    "litellm__traceai__good": Run(
        GOOD,
        (),
        (*(TRACEAI,) * 4, OI),
        tokens=(1330, 126),
        outputs=False,
        inferred="call",
        missing=("tool spans", "outputs", "served model"),
    ),
    "litellm__traceai__silent": Run(
        GOOD,
        (),
        (*(("openai/gpt-4o-silent", SMALL[1]),) * 4, ("openai/gpt-4o-silent", None)),
        tokens=(1330, 126),
        outputs=False,
        inferred="call",
        missing=("tool spans", "outputs", "served model"),
    ),
    # This instrumentation breaks the application's own fallback: its error is recorded as well.
    "litellm__traceai__bad": Run(
        BAD,
        (),
        (*(TRACEAI,) * 6, OI, OI, OI_SMALL, OI_SMALL),
        4,
        (2039, 120),
        outputs=False,
        failures=False,
        inferred="call",
        missing=("tool spans", "outputs"),
    ),
    "litellm_proxy_client__raw__good": Run(()),
    "litellm_proxy_client__raw__bad": Run(()),
    "mcp1__traceloop__good": Run((LOOKUP, CHECK)),
    "mcp1__traceloop__bad": Run((LOOKUP, LOOKUP, LATE, LATE)),
    "mcp__native__good": Run((LOOKUP, CHECK), arguments=False, outputs=False, missing=BARE),
    "mcp__native__bad": Run(
        (LOOKUP, LOOKUP, LATE, LATE),
        arguments=False,
        outputs=False,
        says="tool_error",
        missing=BARE,
    ),
    "mcp__openinference__good": Run((LOOKUP, CHECK), arguments=False, outputs=False, missing=BARE),
    "mcp__openinference__bad": Run(
        (LOOKUP, LOOKUP, LATE, LATE),
        arguments=False,
        outputs=False,
        says="tool_error",
        missing=BARE,
    ),
    # Version 1 of the SDK emits nothing by itself.
    "mcp1__native__good": Run(()),
    "mcp1__native__bad": Run(()),
}
