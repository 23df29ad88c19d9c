"""One thing that was recorded as several nested steps, folded into one.

A LangGraph node around the tool that it is; a framework's span around the SDK's for one model
call; an agent's or a tool's span in another of the same name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from evalkit.model_names import served_evidence
from evalkit.tool_names import is_same_tool
from evalkit.tracing.failures import judged
from evalkit.tracing.handoffs import as_handoff
from evalkit.tracing.sameness import apart, called, differ, said, texts_differ
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


def folded(step: Step, repeats: Sequence[str] = ()) -> tuple[Step, ...]:
    """The step, or what takes its place; its children are folded already.

    ``repeats`` are the spans of the children that are the same thing, recorded a second time.
    """
    for child in step.steps if repeats else ():
        if child.span_id in repeats and child.kind == step.kind:
            step = _merged(step, child)
    if step.kind == "tool":
        made = as_handoff(judged(_same(step) if step.steps else step))
        return (_same(made) if made.kind == "handoff" and made.steps else made,)
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
        # A graph that is a node is known by the node, as it is to what repeats it.
        span_id=node.span_id if child.kind == "node" else child.span_id,
        steps=_in_order([*others, *child.steps]) if others else child.steps,
        status="error" if failed else "ok",
        error=error,
    )


def _model_call(outer: Step) -> tuple[Step, ...]:
    """A model call around one other is the same call; around several, they are the calls.

    Unless what it answered and used shows that it is a call of its own, as one that a guard's
    call was made within: then they stand beside each other.
    """
    inner = [child for child in outer.steps if child.kind == "llm"]
    if not inner:
        return (outer,)
    good = [call for call in inner if call.status == "ok"]
    if len(inner) == 1 and not good and outer.status == "ok":
        # An attempt that failed, within a call that another attempt saved.
        return inner[0], replace(outer, steps=_without(outer, inner))
    if good and all(_is_other_call(outer, call) for call in good) and not _is_sum(outer, good):
        return replace(outer, steps=_without(outer, inner)), *inner
    if len(inner) == 1:
        return (_merged(outer, inner[0]),)
    if not good:
        return outer.steps
    answered = good[-1]
    filled = {
        field: getattr(outer, field)
        for field in _ANSWERED
        if getattr(answered, field) is None and getattr(outer, field) is not None
    }
    # What is known of the whole is what is known of the attempt that answered.
    told = replace(answered, **filled) if filled else answered
    return tuple(told if step is answered else step for step in outer.steps)


def _without(outer: Step, inner: Sequence[Step]) -> tuple[Step, ...]:
    return tuple(step for step in outer.steps if not any(step is one for one in inner))


def _is_other_call(outer: Step, inner: Step) -> bool:
    """Whether a model call is not the one around it, as a gateway's or an SDK's is.

    That another model was asked or answered is no sign: a gateway may fail over. Where the same
    model was asked, an equal text tells that they are one, since tokens are counted with or without
    what was cached or thought, and so do equal tokens, since a text may be cut short or stripped.
    """
    asked = served_evidence(outer.model_requested, inner.model_requested)
    is_other_text = texts_differ(outer, inner)
    if asked != "mismatch" and not is_other_text and None not in (said(outer), said(inner)):
        return False
    counts = [(call.tokens_in, call.tokens_out) for call in (outer, inner)]
    if asked == "match" and all(counts[0]) and counts[0] == counts[1]:  # a 0 counts nothing
        return False
    return (
        is_other_text
        or apart(outer.tokens_out, inner.tokens_out)
        or (asked == "mismatch" and apart(outer.tokens_in, inner.tokens_in))
    )


def _is_sum(outer: Step, inner: Sequence[Step]) -> bool:
    """Whether a call has the tokens of those within it together."""
    counts = [call.tokens_out for call in inner if call.tokens_out is not None]
    return len(inner) > 1 and sum(counts) == outer.tokens_out


def _same(outer: Step) -> Step:
    """An agent in an agent, a tool in a tool, and so on, of the same name (and arguments)."""
    inner = [child for child in outer.steps if child.kind == outer.kind and _is_named(outer, child)]
    if len(inner) > 1 and outer.kind == "embedding":
        return _in_batches(outer, inner)
    if len(inner) != 1 or not _is_same_call(outer, inner[0]):
        return outer
    return _merged(outer, inner[0])


def _in_batches(outer: Step, batches: Sequence[Step]) -> Step:
    """An embedding of many texts, with what its calls of the model used together."""
    good = [call for call in batches if call.status == "ok"]
    known: dict[str, Any] = {}
    for field in ("tokens_in", "cost_usd"):
        counts = [getattr(call, field) for call in good]
        if getattr(outer, field) is None and counts and None not in counts:
            known[field] = sum(counts)
    for field in ("model_requested", "model_served", "provider"):
        if (
            getattr(outer, field) is None
            and len(told := {getattr(one, field) for one in good}) == 1
        ):
            known[field] = told.pop()
    return replace(outer, **known, steps=_without(outer, batches))


def _is_named(outer: Step, inner: Step) -> bool:
    """Whether both have one name, or a tool's with its server before it where the id is one.

    Without an id ``delete.user`` around ``user`` may be two tools: of two instrumentations, which
    may name one tool so, the spans tell more (:mod:`evalkit.tracing.twins`).
    """
    if inner.name == outer.name:
        return True
    is_one = inner.call_id is not None and inner.call_id == outer.call_id
    return is_one and outer.kind == "tool" and is_same_tool(inner.name, outer.name)


def _is_same_call(outer: Step, inner: Step) -> bool:
    if outer.kind == "tool":
        return not apart(outer.call_id, inner.call_id) and (
            outer.arguments is None or inner.arguments in (None, outer.arguments)
        )
    return not differ(outer, inner)


def _is_alias(outer: Step, inner: Step) -> bool:
    """Whether what answered has but the name that was asked for, and a gateway asked another."""
    return (
        outer.model_served == outer.model_requested
        and served_evidence(inner.model_requested, outer.model_served) == "mismatch"
    )


def _unsaid(call: Step) -> int:
    """How much is not told of an answer that calls tools, as where no content is captured."""
    calls = called(call)
    if calls is None:
        return 0
    return sum(one.get("arguments") is None for one in calls) + (said(call) is None)


def _merged(outer: Step, inner: Step) -> Step:
    """The outer step with what only the inner one knows, and the inner one's children."""
    known: dict[str, Any] = {
        field: getattr(inner, field) for field in _FILLED if getattr(outer, field) is None
    }
    if "error" in (outer.status, inner.status):
        known["status"] = "error"
    if inner.model_served is not None and outer.kind == "llm":
        known["model_served"] = inner.model_served  # nearer to the model, it knows better
    elif outer.kind == "llm" and _is_alias(outer, inner):
        known["model_served"] = None
    if outer.kind == "llm":  # the higher count leaves nothing out, as what was cached or thought
        for field in ("tokens_in", "tokens_out"):
            counts = [getattr(outer, field), getattr(inner, field)]
            known[field] = max((count for count in counts if count is not None), default=None)
        if inner.end_ns is not None:  # a stream may last longer than the call that began it
            known["end_ns"] = max(outer.end_ns or 0, inner.end_ns)
    if outer.kind == "llm" and called(inner) and _unsaid(inner) < _unsaid(outer):
        known["output"] = inner.output
    if isinstance(outer.arguments, str) and isinstance(inner.arguments, Mapping):
        known["arguments"] = inner.arguments  # by their names
    others = [other for other in outer.steps if other is not inner]
    return replace(
        outer, **known, steps=_in_order([*others, *inner.steps]) if others else inner.steps
    )


def _in_order(steps: list[Step]) -> tuple[Step, ...]:
    return tuple(
        sorted(steps, key=lambda step: (step.start_ns or 0, step.end_ns or 0, step.span_id or ""))
    )
