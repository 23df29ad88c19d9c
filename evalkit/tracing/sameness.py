"""Whether two recordings are of one thing: by what both know, and never by what one leaves out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from evalkit.model_names import served_evidence
from evalkit.tool_names import is_same_tool
from evalkit.tracing.readings import documents
from evalkit.trajectory import Step

_COMPARED = 256
"""So many texts are kept as they are compared: each is beside all that are near it."""

_BEGINNING, _BEGINS_WITHIN = 200, 1_000
"""Characters by which a document is known, and within which it begins where it is wrapped."""

_CHATS = ("llm", "embedding")
_SEARCHES = ("retriever", "reranker")

_SHOWN = re.compile(r"<\w+\(")


def apart(one: Any, other: Any) -> bool:
    """Whether both are known and are not the same."""
    return one is not None and other is not None and bool(one != other)


def includes(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether one of two calls' arguments are all among the other's, which may add defaults."""
    fewer, more = (one, other) if len(one) < len(other) else (other, one)
    return all(key in more and more[key] == value for key, value in fewer.items())


def differ(first: Step, second: Step) -> bool:
    """Whether something that both know speaks against their being one."""
    return (
        first.kind != second.kind
        or apart(first.call_id, second.call_id)
        or _are_other_counts(first, second)
        or _are_other_models(first, second)
        or texts_differ(first, second)
        or _are_other_calls(first, second)
    )


def agree(first: Step, second: Step, *, by_model: bool = False, is_within: bool = False) -> bool:
    """Whether something that both know, and that does not :func:`differ`, shows that they are one.

    Agents, nodes and tools go by their names. Calls of models have none: what they answered or
    called, or their tokens, must be known to both; where that cannot be, since they failed or one
    lost its place in the trace (``by_model``), the model that both asked for. Several searches may
    ask one thing at once, so they go by their names or by all that they found, and by the question
    only where one was recorded within the other (``is_within``). So does a tool by a name that
    lacks its server's.
    """
    if first.call_id is not None and first.call_id == second.call_id:
        return True
    if first.kind in _CHATS:
        pairs = [(said(one), called(one), one.tokens_in, one.tokens_out) for one in (first, second)]
        return any(None not in pair for pair in zip(*pairs, strict=True)) or (
            by_model and None not in (first.model_requested, second.model_requested)
        )
    if first.name == second.name or (first.output is not None and first.output == second.output):
        return True
    if is_within and first.kind == "tool" and is_same_tool(first.name, second.name):
        return True
    if first.kind in _SEARCHES and not is_within:
        found, also = _found(first), _found(second)
        return None not in (found, also) and found == also
    one, other = _given(first), _given(second)
    return first.kind in ("tool", *_SEARCHES) and any(
        key in other and other[key] == value for key, value in one.items()
    )


def said(step: Step) -> str | None:
    """The text of a step's output, or of a model's answer beside its calls; None without any."""
    output = step.output
    if isinstance(output, Mapping) and step.kind == "llm":
        output = output.get("content")
    return _words(output) or None if isinstance(output, str) else None


@lru_cache(_COMPARED)
def _words(text: str) -> str:
    return " ".join(text.split())


@lru_cache(_COMPARED)
def _value(text: str) -> Any:
    """What JSON text holds; None for what is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):  # a text that begins like JSON, or nests too deep
        return None


def forget() -> None:
    """Lets go of the texts that were compared last."""
    _words.cache_clear()
    _value.cache_clear()


def called(step: Step) -> list[Mapping[str, Any]] | None:
    """The calls of tools that a model answered with, by the tools' names; None without any."""
    output = step.output if step.kind == "llm" else None
    listed = output.get("tool_calls") if isinstance(output, Mapping) else None
    calls = (
        [call for call in listed if isinstance(call, Mapping)] if isinstance(listed, list) else []
    )
    return sorted(calls, key=lambda call: str(call.get("name"))) or None


def _call_others(first: Step, second: Step) -> bool:
    """Whether both models called tools, and others or with other arguments."""
    calls, others = called(first), called(second)
    if calls is None or others is None:
        return False
    return len(calls) != len(others) or any(
        str(one.get("name")) != str(other.get("name")) or apart(_arguments(one), _arguments(other))
        for one, other in zip(calls, others, strict=True)
    )


def _call_by_other_ids(first: Step, second: Step) -> bool:
    pairs = zip(called(first) or (), called(second) or (), strict=False)
    return any(apart(one.get("id"), other.get("id")) for one, other in pairs)


def _arguments(call: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A call's arguments; None for what may be the same written otherwise, or cut short."""
    found = call.get("arguments")
    return found if isinstance(found, Mapping) else None


def texts_differ(first: Step, second: Step) -> bool:
    """Whether both tell a text, and another one.

    What is no model's may be wrapped in the other; what nodes and workflows hold is written down
    in any form.
    """
    if first.kind not in ("llm", "agent", "tool"):
        return False
    one, other = said(first), said(second)
    if first.kind == "llm":
        is_other = one is not None and other is not None and not is_same_text(one, other)
        return is_other or _call_others(first, second)
    return one is not None and other is not None and one not in other and other not in one


def is_same_text(one: str, other: str) -> bool:
    """Whether two texts are equal, or the same JSON written with other spaces."""
    if one == other:
        return True
    if one[:1] not in ("{", "[") or one[:1] != other[:1]:
        return False
    value = _value(one)
    return value is not None and bool(value == _value(other))


def _are_other_counts(first: Step, second: Step) -> bool:
    """Whether tokens differ; an agent's total is not the same thing to all who tell it."""
    return first.kind in _CHATS and (
        apart(first.tokens_in, second.tokens_in) or apart(first.tokens_out, second.tokens_out)
    )


def _are_other_models(first: Step, second: Step) -> bool:
    served = served_evidence(first.model_served, second.model_served)
    if served != "unknown":
        return served == "mismatch"
    return served_evidence(first.model_requested, second.model_requested) == "mismatch"


def _are_other_calls(first: Step, second: Step) -> bool:
    """Whether names, arguments or a model's calls tell that something else was done."""
    if first.kind in _CHATS:
        return _call_by_other_ids(first, second)
    one, other = _given(first), _given(second)
    if first.kind in _SEARCHES:  # named after their class or index, given documents in any form
        texts = [(one[key], other[key]) for key in one.keys() & other.keys()]
        if any(isinstance(a, str) and isinstance(b, str) and a != b for a, b in texts):
            return True
        found, also = _found(first), _found(second)
        return found is not None and also is not None and not _share(found, also)
    if first.kind == "tool":
        return not is_same_tool(first.name, second.name) or not includes(one, other)
    return first.name != second.name


def _found(step: Step) -> frozenset[str] | None:
    """The texts of the documents that a search found; None where not all of them tell one.

    LlamaIndex's inner searches give their nodes as Python shows them.
    """
    listed = documents(step.output) if isinstance(step.output, list) else []
    texts = [one.get("content") if isinstance(one, Mapping) else one for one in listed]
    told = [text for text in texts if isinstance(text, str) and not _SHOWN.match(text)]
    return frozenset(told) if told and len(told) == len(texts) else None


def _share(found: frozenset[str], also: frozenset[str]) -> bool:
    """Whether a document is in both, perhaps with more around it, as its source or its score.

    They are known by how they begin.
    """
    if not found.isdisjoint(also):
        return True
    one, other = ("\n".join([text[:_BEGINS_WITHIN] for text in texts]) for texts in (found, also))
    return any(text[:_BEGINNING] in other for text in found) or any(
        text[:_BEGINNING] in one for text in also
    )


def _given(step: Step) -> Mapping[str, Any]:
    return step.arguments if isinstance(step.arguments, Mapping) else {}
