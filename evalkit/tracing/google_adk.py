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
_ADDED = "gen_ai.usage.reasoning.output_tokens"
"""Versions that write this have added it to what came out, whichever model answered."""

_RESOURCES = ("projects/", "publishers/", "models/")
"""How names of Gemini's own begin that have a slash."""


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
        **_tokens(step, span, as_map(response.get("usage_metadata"))),
    )


def _tokens(step: Step, span: Span, used: Mapping[str, Any]) -> dict[str, int | None]:
    """The tokens, with what the model thought in those that came out, once."""
    names = ("prompt_token_count", "candidates_token_count", "thoughts_token_count")
    given, said, thought = (count(used.get(name)) for name in names)
    thought = count(step.tokens_reasoning, thought)
    out = count(step.tokens_out, said)
    if said is not None and thought and (total := count(used.get("total_token_count"))):
        apart = (given or 0) + said + thought == total  # as Gemini counts them
        out = said + thought if apart else said
    elif thought and _ADDED in span.attributes and _is_litellm(step.model_requested):
        out = None if out is None else max(0, out - thought)
    return {
        "tokens_in": count(step.tokens_in, given),
        "tokens_out": out,
        "tokens_cached": count(step.tokens_cached, used.get("cached_content_token_count")),
        "tokens_reasoning": thought,
    }


def _is_litellm(model: str | None) -> bool:
    """Whether a model is named as LiteLLM does; what comes out has what was thought in it there."""
    return model is not None and "/" in model and not model.startswith(_RESOURCES)
