"""What the pipeline answered, as its steps tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from evalkit.tracing.answers import model_answer
from evalkit.tracing.attributes import as_map
from evalkit.tracing.genai_messages import own_calls
from evalkit.trajectory import Step

_PARTS = frozenset({"llm", "tool", "handoff", "retriever", "reranker", "embedding", "guardrail"})
"""Kinds of steps whose output is not yet an answer."""

_STATE = frozenset({"messages"})


def final_output(steps: Sequence[Step]) -> Any:
    """What the first workflow at the root gave, else what the last node or agent there did.

    What failed gave no answer, unless it is all that could: a tool beside a failed agent did not
    answer for it. An agent whose span keeps its answer to itself said what its last call to a
    model gave, if that is a text: with a tool call in it, it was not the last word. Where neither
    tells, it is the output of the last call at the root, if that did not fail. Of the messages
    that a LangGraph agent leaves it is the last one's text.
    """
    units = [step for step in steps if step.kind not in _PARTS]
    if units:
        is_failed = all(step.status != "ok" for step in units)
        steps = units if is_failed else [step for step in steps if step.status == "ok"]
    ended = _by_end(steps)
    units = [step for step in reversed(ended) if step.kind not in _PARTS]
    if units and units[0].kind == "agent":
        units = []
    wholes = (step for step in steps if step.kind == "workflow")
    given = (step.output for step in chain(wholes, units) if step.output is not None)
    whole = next(given, None)
    said = _last_word(steps) if whole is None else whole
    return _out_of_state(_last_told(ended) if said is None else said)


def _last_told(ended: Sequence[Step]) -> Any:
    """The last output, but for agents and the like that have none; a failed step's is no answer."""
    told = (step for step in reversed(ended) if step.output is not None or step.kind in _PARTS)
    last = next(told, None)
    return last.output if last is not None and last.status == "ok" else None


def _out_of_state(output: Any) -> Any:
    """The answer in a LangGraph state of messages alone: what the model said in the last one."""
    listed = output["messages"] if isinstance(output, Mapping) and set(output) == _STATE else None
    last = as_map(listed[-1]) if isinstance(listed, list) and listed else {}
    if last.get("role") not in ("ai", "assistant"):
        return output
    said = model_answer(last)
    return output if said.text is None or own_calls(said.calls) else said.text


def _last_word(steps: Sequence[Step]) -> Any:
    for step in reversed(_by_end(steps)):
        if step.kind in ("agent", "workflow"):
            said = _last_word(step.steps) if step.output is None else step.output
            if said is not None:
                return said
        if step.kind == "llm" and (said := _last_word(step.steps)) is not None:
            return said  # by an agent that took over; it may be recorded within the call
        if step.kind == "llm" and step.status == "ok":
            return _answer(step.output)
        if step.kind == "node":  # one that only runs an agent tells what that said
            inside = _by_end(step.steps)[-1:]
            return _last_word([one for one in inside if one.kind in ("agent", "workflow")])
        # A rebuilt call stands behind its model's answer, which says whether it was the last word.
        if step.kind in ("tool", "handoff") and step.inferred != "call":
            return None
    return None


def _by_end(steps: Sequence[Step]) -> Sequence[Step]:
    """The steps in the order in which they ended: who asked another agent answers after it."""
    return sorted(steps, key=lambda step: step.end_ns or 0)


def _answer(output: Any) -> str | None:
    """What a model's answer says, where it left no call to the pipeline."""
    if isinstance(output, Mapping) and isinstance(calls := output.get("tool_calls"), list):
        output = None if own_calls([as_map(call) for call in calls]) else output.get("content")
    return output if isinstance(output, str) else None
