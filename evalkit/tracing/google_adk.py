"""Google's Agent Development Kit: what its own tracer writes, in its first versions and now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.answers import ModelAnswer, model_answer
from evalkit.tracing.attributes import as_map, count, label, model_output, plain, stop_reason
from evalkit.tracing.readings import tool_call
from evalkit.trajectory import Step

NO_CALL_ID = "<not specified>"
"""What stands for the id of a call that failed."""

_RESPONSE = "gcp.vertex.agent.llm_response"


def read_older_adk(span: Span) -> Reading | None:
    """A span of the versions that name no operation; None where its attributes tell enough.

    A ``call_llm`` without a model is around the span that has it, or its call failed.
    """
    found = span.attributes
    if span.name.startswith("agent_run ["):
        name = _bracketed(span)
        return Reading(role="step", step=Step(kind="agent", name=name, agent=name))
    if span.name == "call_llm" and "gen_ai.request.model" not in found:
        failed = Step(kind="llm", name=span.name)
        return Reading(role="step", step=failed) if span.error else Reading(role="wrapper")
    if span.name.startswith("tool_call ["):
        return Reading(role="step", step=tool_call(span, _bracketed(span)))
    return Reading(role="wrapper") if span.name.startswith("tool_response") else None


def _bracketed(span: Span) -> str:
    name = span.name.partition("[")[2].removesuffix("]")
    return label(name) or span.name


def mended_adk(step: Step, span: Span) -> Step:
    """The step with what the response tells, and without what stands in for what is unknown."""
    response = as_map(span.attributes.get(_RESPONSE)) if step.kind == "llm" else {}
    said = model_answer(response) if response else ModelAnswer(None, [])
    output = plain(model_output(said.text, said.calls)) if step.output is None else step.output
    stopped = stop_reason(step.stop_reason, said.stop_reason, calls=said.calls)
    return replace(
        step,
        output=output,
        # Of calls it says "stop", too: without what was said, nobody knows.
        stop_reason=None if stopped == "stop" and output is None else stopped,
        model_served=step.model_served or label(said.model),
        call_id=None if step.call_id == NO_CALL_ID else step.call_id,
        **_tokens(step, as_map(response.get("usage_metadata"))),
    )


def _tokens(step: Step, used: Mapping[str, Any]) -> dict[str, int | None]:
    """The tokens, with Gemini's thoughts, which it counts beside what it said."""
    names = ("prompt_token_count", "candidates_token_count", "thoughts_token_count")
    given, said, thought = (count(used.get(name)) for name in names)
    parts = [tokens for tokens in (given, said, thought) if tokens is not None]
    apart = thought and said is not None and sum(parts) == count(used.get("total_token_count"))
    return {
        "tokens_in": count(step.tokens_in, given),
        "tokens_out": (said or 0) + (thought or 0) if apart else count(step.tokens_out, said),
        "tokens_cached": count(step.tokens_cached, used.get("cached_content_token_count")),
        "tokens_reasoning": count(step.tokens_reasoning, thought),
    }
