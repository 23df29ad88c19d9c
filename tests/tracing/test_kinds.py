"""What kind of step a call is, by the instrumentation's own word for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evalkit.spans import Span
from evalkit.tracing.normalizer import to_trajectory
from evalkit.trajectory import Trajectory


def read(*spans: tuple[str, dict[str, Any]], scope: str, failed: bool = False) -> Trajectory:
    """Each span within the one before."""
    return to_trajectory(
        [
            Span(
                trace_id="a" * 32,
                span_id=f"{number:016x}",
                parent_id=None if number == 1 else f"{number - 1:016x}",
                name=name,
                start_ns=10**18 + number,
                end_ns=10**18 + 1000 - number,
                attributes=attributes,
                scope=scope,
                error=failed and number == 1,
            )
            for number, (name, attributes) in enumerate(spans, 1)
        ]
    )


def outline(trajectory: Trajectory) -> list[str]:
    return ["  " * visit.depth + visit.step.label for visit in trajectory.walk()]


@pytest.mark.parametrize(
    ("call_type", "kind"),
    [
        ("completion", "llm"),
        ("acompletion", "llm"),
        ("atext_completion", "llm"),
        ("aresponses", "llm"),
        ("anthropic_messages", "llm"),
        ("agenerate_content_stream", "llm"),
        ("_arealtime", "llm"),
        ("aembedding", "embedding"),
        ("arerank", "reranker"),
        ("avector_store_search", "retriever"),
        ("aimage_generation", "other"),
    ],
)
def test_litellms_types_of_calls(call_type: str, kind: str) -> None:
    told = {"llm.request.type": call_type, "gen_ai.request.model": "m"}
    [step] = read(("litellm_request", told), scope="litellm").steps
    assert (step.kind, step.model_requested) == (kind, "m")
    named = {"gen_ai.operation.name": call_type, "gen_ai.request.model": "m"}
    [step] = read((f"{call_type} m", named), scope="litellm").steps
    assert step.kind == kind


def test_litellms_other_spans() -> None:
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find"}
    assert outline(read(("execute_tool find", tool), scope="litellm")) == ["tool find"]
    guard = {"guardrail_name": "pii", "guardrail_response": '{"action": "NONE"}'}
    found = read(("guardrail", guard), scope="litellm")
    assert outline(found) == ["guardrail pii"]
    assert found.steps[0].output == {"action": "NONE"}
    counted = read(("what is this", {"a": 1}), scope="litellm").coverage
    assert (counted.not_understood, counted.unknown_keys) == (1, {"a": 1})
    service = {"service": "redis", "call_type": "async_set_cache"}
    assert read(("redis", service), ("router", {}), scope="litellm").coverage.wrappers == 2


REQUEST = (
    "litellm_request",
    {"llm.request.type": "acompletion", "gen_ai.request.model": "gpt-4.1"},
)


@pytest.mark.parametrize(
    ("raw", "served"),
    [
        ({"llm.openai.model": "gpt-4.1-mini", "llm.openai.choices": "[]"}, "gpt-4.1-mini"),
        ({"llm.gemini.modelVersion": "g-002", "llm.gemini.candidates": "[]"}, "g-002"),
        ({"llm.openai.model": "gpt-4.1-mini"}, "gpt-4.1-mini"),
        # The request alone: what was asked for is not what answered.
        ({"llm.openai.model": "gpt-4.1", "llm.openai.messages": "[]"}, None),
    ],
)
def test_only_a_providers_response_tells_which_model_answered(
    raw: dict[str, str], served: str | None
) -> None:
    [step] = read(REQUEST, ("raw_gen_ai_request", raw), scope="litellm").steps
    assert (step.status, step.model_served) == ("ok", served)
    [failed] = read(REQUEST, ("raw_gen_ai_request", raw), scope="litellm", failed=True).steps
    assert (failed.status, failed.model_served) == ("error", None)


def vercel(operation: str, **attributes: Any) -> tuple[str, dict[str, Any]]:
    stated = {key.replace("_", "."): value for key, value in attributes.items()}
    return operation, {"ai.operationId": operation, "ai.model.id": "m-1", **stated}


def test_vercels_rerankers_and_embeddings() -> None:
    documents = [json.dumps("refunds"), json.dumps({"title": "returns"})]
    ranking = ['{"index": 1, "relevanceScore": 0.9}', '{"index": 0, "relevanceScore": 0.2}']
    found = read(
        vercel("ai.rerank", ai_documents=documents),
        vercel("ai.rerank.doRerank", ai_documents=documents, ai_ranking=ranking),
        scope="ai",
    )
    assert outline(found) == ["reranker m-1"]
    assert found.steps[0].output == [
        {"content": {"title": "returns"}, "score": 0.9},
        {"content": "refunds", "score": 0.2},
    ]
    assert found.coverage.not_understood == 0
    used = {"ai_usage_tokens": 42}
    found = read(vercel("ai.embed", **used), vercel("ai.embed.doEmbed", **used), scope="ai")
    assert outline(found) == ["embedding m-1"]
    assert found.steps[0].tokens_in == 42
    found = read(vercel("ai.embedMany"), vercel("ai.embedMany.doEmbed", **used), scope="ai")
    assert outline(found) == ["embedding m-1"]
    assert (found.steps[0].tokens_in, found.tokens_in) == (42, 42)


@pytest.mark.parametrize(("batches", "tokens"), [((30, 12), 42), ((30, None), None)])
def test_an_embedding_of_many_texts_in_batches_is_one(
    batches: tuple[int | None, ...], tokens: int | None
) -> None:
    told = [
        vercel("ai.embedMany"),
        *(vercel("ai.embedMany.doEmbed", ai_usage_tokens=used) for used in batches),
    ]
    spans = [
        Span(
            trace_id="a" * 32,
            span_id=f"{number:016x}",
            parent_id=f"{1:016x}" if number > 1 else None,
            name=name,
            start_ns=number,
            end_ns=90 - number,
            attributes=attributes,
        )
        for number, (name, attributes) in enumerate(told, 1)
    ]
    found = to_trajectory(spans)
    assert outline(found) == ["embedding m-1"]
    assert (found.steps[0].tokens_in, found.tokens_in) == (tokens, tokens)


def test_vercels_older_names_of_tokens() -> None:
    used = {"ai_usage_promptTokens": 42, "ai_usage_completionTokens": 7}
    [step] = read(vercel("ai.generateText.doGenerate", **used), scope="ai").steps
    assert (step.kind, step.tokens_in, step.tokens_out) == ("llm", 42, 7)


def test_vercels_operations_of_versions_to_come_are_counted() -> None:
    operations = ("ai.generateVideo", "ai.generateVideo.doGenerate", "ai.generateText.doCheck")
    found = read(*map(vercel, operations), scope="ai")
    assert (found.steps, found.coverage.not_understood) == ((), 3)


@pytest.mark.parametrize(
    ("told", "label", "arguments", "output"),
    [
        ({"gen_ai.operation.name": "plan"}, "other plan", None, None),
        (
            {
                "gen_ai.operation.name": "search_memory",
                "gen_ai.memory.store.id": "profile",
                "gen_ai.memory.query.text": "seat",
                "gen_ai.memory.records": '[{"id": "m1", "content": "aisle", "score": 0.9}]',
            },
            "retriever profile",
            {"query": "seat"},
            [{"id": "m1", "content": "aisle", "score": 0.9}],
        ),
        ({"gen_ai.operation.name": "search_memory"}, "retriever search_memory", None, None),
        (
            {
                "gen_ai.operation.name": "upsert_memory",
                "gen_ai.memory.records": '[{"content": "aisle"}]',
            },
            "other upsert_memory",
            {"records": [{"content": "aisle"}]},
            None,
        ),
        ({"gen_ai.operation.name": "delete_memory_store"}, "other delete_memory_store", None, None),
    ],
)
def test_plans_and_memories(told: dict[str, str], label: str, arguments: Any, output: Any) -> None:
    [step] = read(("span", told), scope="any").steps
    assert (step.label, step.arguments, step.output) == (label, arguments, output)
