"""One thing that was recorded as several nested steps, folded into one.

A LangGraph node around the tool that it is; a framework's span around the SDK's for one model
call; an agent's or a tool's span in another of the same name.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from evalkit.tracing.failures import judged
from evalkit.tracing.handoffs import as_handoff
from evalkit.tracing.sameness import is_same_tool
from evalkit.trajectory import Step

_FILLED = (
    "arguments",
    "output",
    "error",
    "model_requested",
    "model_served",
    "provider",
    "stop_reason",
    "tokens_in",
    "tokens_out",
    "tokens_cached",
    "tokens_reasoning",
    "cost_usd",
    "agent",
    "call_id",
    "ttft_s",
    "read_only",
    "offered",
)


_ANSWERED = tuple(field for field in _FILLED if field not in ("arguments", "error", "call_id"))


def folded(step: Step) -> tuple[Step, ...]:
    """The step, or what takes its place; its children are folded already."""
    if step.kind == "tool":
        return (as_handoff(judged(_same(step) if step.steps else step)),)
    if not step.steps:
        return (step,)
    if step.kind == "node":
        return (_node(step),)
    if step.kind == "llm":
        return _model_call(step)
    if step.kind in ("agent", "workflow", "retriever", "reranker", "embedding"):
        return (_same(step),)
    return (step,)


def _node(node: Step) -> Step:
    """A node around a single step of its own name is that step."""
    named = [child for child in node.steps if child.name == node.name]
    if len(named) != 1:
        return node
    child = named[0]
    others = [other for other in node.steps if other is not child]
    error = child.error or node.error
    failed = "error" in (child.status, node.status)
    return replace(
        child,
        steps=_in_order([*others, *child.steps]) if others else child.steps,
        status="error" if failed else "ok",
        error=error,
    )


def _model_call(outer: Step) -> tuple[Step, ...]:
    """A model call around one other is the same call; around several, they are the calls."""
    inner = [child for child in outer.steps if child.kind == "llm"]
    if not inner:
        return (outer,)
    if len(inner) == 1 and (inner[0].status == "ok" or outer.status == "error"):
        return (_merged(outer, inner[0]),)
    if len(inner) == 1:  # an attempt that failed, within a call that another attempt saved
        failed = inner[0]
        others = tuple(step for step in outer.steps if step is not failed)
        return failed, replace(outer, steps=others)
    answered = next((call for call in reversed(inner) if call.status == "ok"), None)
    if answered is None:
        return outer.steps
    filled = {
        field: getattr(outer, field)
        for field in _ANSWERED
        if getattr(answered, field) is None and getattr(outer, field) is not None
    }
    # What is known of the whole is what is known of the attempt that answered.
    told = replace(answered, **filled) if filled else answered
    return tuple(told if step is answered else step for step in outer.steps)


def _same(outer: Step) -> Step:
    """An agent in an agent, a tool in a tool, and so on, of the same name (and arguments)."""
    is_named = is_same_tool if outer.kind == "tool" else str.__eq__
    inner = [
        child
        for child in outer.steps
        if child.kind == outer.kind and is_named(child.name, outer.name)
    ]
    if len(inner) != 1 or (outer.kind == "tool" and not _same_call(outer, inner[0])):
        return outer
    return _merged(outer, inner[0])


def _same_call(outer: Step, inner: Step) -> bool:
    return outer.arguments is None or inner.arguments in (None, outer.arguments)


def _merged(outer: Step, inner: Step) -> Step:
    """The outer step with what only the inner one knows, and the inner one's children."""
    known: dict[str, Any] = {
        field: getattr(inner, field) for field in _FILLED if getattr(outer, field) is None
    }
    if "error" in (outer.status, inner.status):
        known["status"] = "error"
    if inner.model_served is not None and outer.kind == "llm":
        known["model_served"] = inner.model_served  # nearer to the model, it knows better
    others = [other for other in outer.steps if other is not inner]
    return replace(
        outer, **known, steps=_in_order([*others, *inner.steps]) if others else inner.steps
    )


def _in_order(steps: list[Step]) -> tuple[Step, ...]:
    return tuple(
        sorted(steps, key=lambda step: (step.start_ns or 0, step.end_ns or 0, step.span_id or ""))
    )
