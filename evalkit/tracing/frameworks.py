"""Frameworks' own inner parts by name, whichever instrumentation recorded them.

An instrumentation records a framework's classes as they call one another; most of them are how
the framework works and not what the pipeline does.
"""

from __future__ import annotations

import re
from functools import lru_cache

from evalkit.spans import Span
from evalkit.trajectory import StepKind

_DSPY = re.compile(r"(Predict|ChatAdapter|JSONAdapter|XMLAdapter|TwoStepAdapter)\b")
_SMOL = re.compile(r"Step \d+")
LLAMA_CLASSES = frozenset(
    {"BaseWorkflowAgent", "AgentWorkflow", "SentenceSplitter", "TokenTextSplitter"}
)
"""LlamaIndex's own parts, which are no steps of a pipeline."""

_LLAMA_METHODS = re.compile(
    r"_?a?(query|synthesize|get_response|predict|predict_and_call|chat_with_tools|stream_chat|"
    r"prepare_chat_with_tools|call|chat|complete)|__call__|_?parse_nodes|split_text.*|"
    r"_?postprocess_nodes|_?get_(text|query)_embedding.*"
)
_LLAMA_RERANK = re.compile(r"_?a?postprocess_nodes")


@lru_cache(maxsize=1024)
def framework(scope: str) -> str:
    """The framework that an instrumentation's scope names at its end, as ``dspy``."""
    if scope == "gcp.vertex.agent":
        return "google_adk"  # its own
    name = scope.rpartition(".")[2].rpartition("openinference-instrumentation-")[2]
    return name.removeprefix("traceai_").replace("-", "_")


def of_ai_sdk(span: Span) -> bool:
    """Whether the AI SDK recorded the span; OpenInference's processor may have added to it."""
    is_named = span.scope in ("ai", "gen_ai") and "gen_ai.operation.name" in span.attributes
    return is_named or "ai.operationId" in span.attributes


def inner_chain(span: Span) -> bool:
    """Whether a chain is one of its framework's inner parts."""
    named = framework(span.scope)
    if named == "dspy":
        return _DSPY.match(span.name) is not None
    if named in ("strands", "tracer"):
        return span.name.startswith("execute_event_loop_cycle")
    if named == "smolagents":
        return _SMOL.fullmatch(span.name) is not None
    if named in ("llama_index", "llamaindex"):
        return llama_chain(span.name)[0] is None
    return False


def llama_chain(name: str) -> tuple[StepKind | None, str]:
    """What a LlamaIndex span ``Class.method`` is, None for an inner part, and its name."""
    owner, _, method = name.rpartition(".")
    class_name = owner.rpartition(".")[2]
    if _LLAMA_RERANK.fullmatch(method):
        return "reranker", class_name
    if class_name in LLAMA_CLASSES or _LLAMA_METHODS.fullmatch(method) or not owner:
        return None, name
    if method == "run":
        return ("agent" if class_name.endswith("Agent") else "workflow"), class_name
    return "node", method
