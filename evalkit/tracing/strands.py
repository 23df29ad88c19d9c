"""Strands Agents: what it writes apart, and 0.1, where a span's name and keys tell its kind."""

from __future__ import annotations

from msgspec.structs import replace

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.attributes import first, label, parsed, plain, structured
from evalkit.tracing.readings import model_call, only_text, tool_call, whole
from evalkit.trajectory import Step

_STATUS = ("gen_ai.tool.status", "tool.status")  # as it is since 1.11, and was before


def read_older_strands(span: Span) -> Reading:
    """A model call, a tool or an agent; a cycle of the agent's loop is a wrapper."""
    found = span.attributes
    if "event_loop.cycle_id" in found and "tool.name" not in found:
        return Reading(role="wrapper")
    step = _step(span)
    if step is None:
        return Reading(role="unknown")
    return Reading(role="step", step=mended_strands(step, span))


def _step(span: Span) -> Step | None:
    found = span.attributes
    if "tool.name" in found:
        return _tool(span)
    if span.name == "Model invoke":
        return model_call(span)
    name = label(first(found, ("gen_ai.agent.name", "agent.name")))
    return None if name is None else whole("agent", name, span)


def _tool(span: Span) -> Step:
    found = span.attributes
    result = only_text(structured(first(found, ("tool.result", "gen_ai.completion"))))
    arguments = plain(parsed(found.get("tool.parameters")))
    return replace(tool_call(span), arguments=arguments, output=plain(result))


def mended_strands(step: Step, span: Span) -> Step:
    """The step; a failed tool's result is its error."""
    if step.kind == "tool" and "error" in map(span.attributes.get, _STATUS):
        return replace(step, status="error", error=label(step.output))
    return step
