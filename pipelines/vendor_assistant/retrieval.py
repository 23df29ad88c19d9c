"""Policies and past cases as text, ranked by BM25, with a span for each retrieval and rerank."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from openinference.instrumentation.langchain import get_current_span
from opentelemetry import trace

DATA = Path(__file__).parent / "data"
EVERYWHERE = "all"

STOPWORDS = frozenset(
    re.findall(
        r"\w+",
        "a about again also an and any are as at be been by can could did do does for from get has "
        "have he how i if in is it its long many may me my much need of on or our policy rule she "
        "should so say says than that the their them there they this to was we what when where "
        "which who why will with would you your",
    )
)


class Document(TypedDict):
    """A retrieved text: ``score`` is its BM25 score for the query, higher is nearer."""

    id: str
    text: str
    score: float


def retrieve_policy(query: str, domain: str, top_k: int = 5) -> list[Document]:
    """The policies of a domain (or of all) that are nearest to the query."""
    return _retrieve("retrieve_policy", policies(), query, domain, top_k)


def retrieve_history(query: str, domain: str, top_k: int = 3) -> list[Document]:
    """Past cases of a domain (or of all) that are nearest to the query."""
    return _retrieve("retrieve_history", history(), query, domain, top_k)


def rerank(query: str, documents: Sequence[Document], top_k: int = 5) -> list[Document]:
    """The documents whose words cover most of the query, the best first."""
    asked = set(words(query))
    with _span("RERANKER", "rerank", {"query": query, "top_k": top_k}) as span:
        _record(span, "reranker.input_documents", documents)
        best = sorted(
            documents, key=lambda one: (-len(asked & set(words(one["text"]))), -one["score"])
        )[:top_k]
        _record(span, "reranker.output_documents", best)
        span.set_attribute("output.value", json.dumps([one["id"] for one in best]))
        span.set_attribute("output.mime_type", "application/json")
    return best


@cache
def policies() -> tuple[dict[str, str], ...]:
    """Every policy: a header of ``key: value`` lines, an empty line, then the text."""
    return tuple(_read_policy(path) for path in sorted((DATA / "policies").glob("*.txt")))


@cache
def history() -> tuple[dict[str, str], ...]:
    """Every past case."""
    lines = (DATA / "history.jsonl").read_text("utf-8").splitlines()
    return tuple(json.loads(line) for line in lines)


def words(text: str) -> list[str]:
    """The telling words of a text, in lower case, without a plural's s."""
    found = re.findall(r"[a-z][a-z-]+", text.lower())
    return [word.removesuffix("s") for word in found if word not in STOPWORDS]


def bm25(query: str, texts: Sequence[str], k1: float = 1.5, b: float = 0.75) -> list[float]:
    """The BM25 score of each text for the query, in the order of the texts."""
    bags = [Counter(words(text)) for text in texts]
    mean = sum(bag.total() for bag in bags) / max(len(bags), 1)
    scores = [0.0] * len(bags)
    for word in set(words(query)):
        holding = sum(word in bag for bag in bags)
        rarity = math.log(1 + (len(bags) - holding + 0.5) / (holding + 0.5))
        for number, bag in enumerate(bags):
            norm = k1 * (1 - b + b * bag.total() / mean)
            scores[number] += rarity * bag[word] * (k1 + 1) / (bag[word] + norm)
    return scores


def _retrieve(
    name: str, source: Sequence[dict[str, str]], query: str, domain: str, top_k: int
) -> list[Document]:
    with _span("RETRIEVER", name, {"query": query, "domain": domain}) as span:
        chosen = [one for one in source if domain in (EVERYWHERE, one["domain"])]
        scores = bm25(query, [one["text"] for one in chosen])
        ranked = sorted(zip(scores, chosen, strict=True), key=lambda pair: -pair[0])
        found: list[Document] = [
            {"id": one["id"], "text": one["text"], "score": round(score, 3)}
            for score, one in ranked[:top_k]
            if score > 0
        ]
        _record(span, "retrieval.documents", found)
        span.set_attribute("output.value", json.dumps([one["id"] for one in found]))
        span.set_attribute("output.mime_type", "application/json")
    return found


def _read_policy(path: Path) -> dict[str, str]:
    header, _, text = path.read_text("utf-8").partition("\n\n")
    fields = dict(line.split(": ", 1) for line in header.splitlines())
    return {**fields, "text": f"{fields['title']}. {text.strip()}"}


@contextmanager
def _span(kind: str, name: str, arguments: dict[str, Any]) -> Iterator[trace.Span]:
    """An OpenInference span with its arguments.

    LangChain's own retriever spans hold the query alone; opening the span here keeps the domain.
    Its parent is the LangGraph node's span, which is not OpenTelemetry's current one.
    """
    parent = get_current_span()
    context = trace.set_span_in_context(parent) if parent else None
    tracer = trace.get_tracer(__name__)
    with tracer.start_as_current_span(name, context=context) as span:
        span.set_attribute("openinference.span.kind", kind)
        span.set_attribute("input.value", json.dumps(arguments))
        span.set_attribute("input.mime_type", "application/json")
        yield span


def _record(span: trace.Span, prefix: str, documents: Sequence[Document]) -> None:
    for number, one in enumerate(documents):
        span.set_attribute(f"{prefix}.{number}.document.id", one["id"])
        span.set_attribute(f"{prefix}.{number}.document.content", one["text"])
        span.set_attribute(f"{prefix}.{number}.document.score", one["score"])
