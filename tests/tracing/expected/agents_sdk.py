"""OpenAI's Agents SDK: a handoff, guardrails, a parallel pair; the bad run starts over once."""

from __future__ import annotations

from dataclasses import replace

from tests.tracing.expected import ANY, Call, Run
from tests.tracing.expected.langchain import CHECK, COMPLIANCE, POLICY, RERANK

DOCUMENTS = [
    {
        "id": "POL-7",
        "text": "Vendor exceptions above $10,000 need compliance review.",
        "score": 0.91,
    },
    {
        "id": "POL-2",
        "text": "Exceptions below $10,000 may be approved by a manager.",
        "score": 0.77,
    },
    {"id": "POL-9", "text": "Travel policy.", "score": 0.12},
]
CLASSIFY = Call(
    "classify", {"question": "Can I approve this vendor exception?"}, "vendor_exception"
)
RETRIEVE = Call("retrieve_policy", POLICY, DOCUMENTS)
HANDOFF = Call("compliance_agent", ANY, ANY, kind="handoff")
REBUILT_HANDOFF = replace(HANDOFF, rebuilt=True)
LATE = Call("compliance_tool", COMPLIANCE, failed=True)
GOOD = (CLASSIFY, RETRIEVE, RERANK, HANDOFF, CHECK)
BAD = (CLASSIFY, RETRIEVE, RETRIEVE, RERANK, HANDOFF, LATE, LATE, CHECK)

SERVED = (None, "gpt-4o-mini-2025-01-01")
CHAT = ("gpt-4o-mini", None)
FULL = ("gpt-4o-mini", "gpt-4o-mini-2025-01-01")
START = "workflow knowledge_assistant"
PAIR = ("workflow parallel_pair", "agent par_agent", "agent par_agent")
SUMMARY = ("workflow Agent workflow", "agent summary_agent")
TRIPPED = ("workflow Agent workflow", "agent guarded_agent")


def frame(guards: str, bad: bool = False) -> tuple[str, ...]:
    """With guardrails recorded as ``guards``, and the backend below each compliance_tool."""
    triage = ("agent triage_agent", f"{guards} topic_guardrail")
    backend = ("node compliance_backend",) * (3 if bad else 1)
    return (
        START,
        *triage * (2 if bad else 1),
        "agent compliance_agent",
        *backend,
        f"{guards} pii_guardrail",
        *SUMMARY,
        *PAIR,
        *((*TRIPPED, f"{guards} blocker") if bad else ()),
    )


def rebuilt(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    return tuple(REBUILT_HANDOFF if call is HANDOFF else call for call in calls)


def bare(bad: bool = False) -> tuple[str, ...]:
    triage = ("agent triage_agent",) * (2 if bad else 1)
    return (START, *triage, "agent compliance_agent", *SUMMARY, *PAIR, *(TRIPPED if bad else ()))


CALLED = (*(SERVED,) * 4, *(CHAT,) * 3, *(SERVED,) * 2)
STARTED_OVER = ((None, None), *(SERVED,) * 5, *(CHAT,) * 5, *(SERVED,) * 2)
UNTOLD = ("tokens", "served model")
NO_MODELS = ("model calls", "tokens")
LATE_SAYS = "Error running tool"

EXPECTED: dict[str, Run] = {}
for way, guards in (("openinference", "guardrail"), ("langfuse", "guardrail"), ("traceai", "node")):
    # One call is streamed: its tokens are not recorded, so that the totals are of the others.
    EXPECTED[f"agents__{way}__good"] = Run(
        GOOD, frame(guards), CALLED, tokens=(1652, 396), missing=UNTOLD
    )
    EXPECTED[f"agents__{way}__bad"] = Run(
        BAD, frame(guards, True), STARTED_OVER, 1, (4093, 538), says=LATE_SAYS, missing=UNTOLD
    )
# The contrib package records no handoff: the model's call of it tells.
REBUILT = ("tool spans", "tokens")
EXPECTED["agents__otel-genai+openai__good"] = Run(
    rebuilt(GOOD), bare(), (FULL,) * 9, tokens=(1652, 396), missing=REBUILT
)
EXPECTED["agents__otel-genai+openai__bad"] = Run(
    rebuilt(BAD),
    bare(True),
    (("gpt-4o-primary", None), *(FULL,) * 12),
    1,
    (4093, 538),
    says=LATE_SAYS,
    missing=REBUILT,
)
# Without the SDK's instrumentation there are no model calls, thus no handoff either.
TOOLS = tuple(call for call in GOOD if call.kind == "tool")
EXPECTED["agents__otel-genai__good"] = Run(TOOLS, bare(), missing=NO_MODELS)
EXPECTED["agents__otel-genai__bad"] = Run(
    tuple(call for call in BAD if call.kind == "tool"),
    bare(True),
    says=LATE_SAYS,
    missing=NO_MODELS,
)
# With content in events this instrumentation emits none at all. (The bad run is an older one.)
BLIND = ("model calls", "arguments", "outputs", "tokens")
EXPECTED["agents__otel-genai-events__good"] = Run(
    TOOLS, bare(), arguments=False, outputs=False, missing=BLIND
)
EXPECTED["agents__otel-genai-events__bad"] = Run(
    (CLASSIFY, RETRIEVE, RETRIEVE, RERANK, LATE),
    bare(True),
    arguments=False,
    outputs=False,
    says="",
    missing=BLIND,
)
