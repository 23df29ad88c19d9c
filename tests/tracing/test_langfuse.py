"""Langfuse: tokens, cost and results by each of the names that its SDK and its exports use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.spans import Span
from evalkit.tracing import formats
from evalkit.tracing.normalizer import to_trajectory
from evalkit.tracing.parts import unpack_spans
from evalkit.tracing.reasons import Reasons
from evalkit.trajectory import Step, Trajectory

CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "get-weather", "arguments": '{"city": "Oslo"}'},
}


def generation(number: int, **told: Any) -> Span:
    observed = {"type": "generation", "model.name": "gpt-4.1", **told}
    return Span(
        trace_id="a" * 32,
        span_id=f"{number:016x}",
        parent_id=None,
        name="OpenAI-generation",
        start_ns=10**18 + number * 1000,
        end_ns=10**18 + number * 1000 + 500,
        attributes={f"langfuse.observation.{key}": value for key, value in observed.items()},
        scope="langfuse-sdk",
    )


def tokens(step: Step) -> tuple[int | None, ...]:
    return step.tokens_in, step.tokens_out, step.tokens_cached, step.tokens_reasoning


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input": 26, "output": 3, "total": 49, "input_cache_read": 16, "output_reasoning": 4},
         (42, 7, 16, 4)),
        ({"prompt_tokens": 42, "completion_tokens": 7, "total_tokens": 49,
          "prompt_tokens_details": {"cached_tokens": 16},
          "completion_tokens_details": {"reasoning_tokens": 4}}, (42, 7, 16, 4)),
        ({"input_tokens": 42, "output_tokens": 7, "total_tokens": 49,
          "input_tokens_details": {"cached_tokens": 16},
          "output_tokens_details": {"reasoning_tokens": 4}}, (42, 7, 16, 4)),
        ({"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 30,
          "cache_creation_input_tokens": 7}, (42, 7, 30, None)),
        ({"input": 5, "output": 7, "cache_read_input_tokens": 37}, (42, 7, 37, None)),
        ({"prompt_tokens": 42, "completion_tokens": 7}, (42, 7, None, None)),
        ({"prompt_tokens": 42, "prompt_tokens_details": None}, (42, None, None, None)),
        ({"images": 3}, (None, None, None, None)),
    ],
)  # fmt: skip
def test_tokens_by_langfuses_names_and_by_the_apis(
    usage: dict[str, Any], expected: tuple[int | None, ...]
) -> None:
    [step] = to_trajectory([generation(1, usage_details=json.dumps(usage))]).steps
    assert tokens(step) == expected


def test_a_tools_result_is_read_from_the_next_calls_messages() -> None:
    asked = [{"role": "user", "content": "How is the weather?"}]
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    answered = {"role": "tool", "tool_call_id": "c1", "content": '{"t": 3}'}
    given = {"tools": [], "messages": [*asked, called, answered]}
    found = to_trajectory(
        [
            generation(1, input=json.dumps(asked), output=json.dumps(called)),
            generation(2, input=json.dumps(given), output='{"role": "assistant", "content": "3°"}'),
        ]
    )
    [tool] = [step for step in found.steps if step.kind == "tool"]
    assert (tool.name, tool.output, tool.inferred) == ("get-weather", {"t": 3}, "call")


def exported(tmp_path: Path, **observed: Any) -> Trajectory:
    times = {"startTime": "2026-04-01T10:00:00Z", "endTime": "2026-04-01T10:00:01Z"}
    base = {"id": "b" * 16, "traceId": "a" * 32, "type": "GENERATION", "name": "answer", **times}
    path = tmp_path / "export.json"
    path.write_text(json.dumps([{**base, "parentObservationId": None, **observed}]))
    parts = formats.read_parts(path, formats.detect(path), Reasons())
    return to_trajectory([span for part in parts for span in unpack_spans(part.data)])


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        ({"usage": {"input": 42, "output": 7, "unit": "TOKENS"}, "calculatedTotalCost": 0.25},
         (42, 7, 0.25)),
        ({"usage": {"input": 42, "output": 7, "totalCost": 0.25}}, (42, 7, 0.25)),
        ({"usage": {"promptTokens": 42, "completionTokens": 7}, "totalCost": 0.25},
         (42, 7, 0.25)),
        ({"promptTokens": 42, "completionTokens": 7}, (42, 7, None)),
        ({"usage": {"input": 0, "output": 0, "unit": "TOKENS"}, "promptTokens": 0,
          "calculatedTotalCost": 0}, (None, None, None)),
        ({"usage": {"input": 420, "output": 70, "unit": "CHARACTERS"}}, (None, None, None)),
        ({"usageDetails": {"input": 42, "output": 7}, "usage": {"input": 1, "output": 1},
          "costDetails": {"total": 0.25}, "totalCost": 0.5}, (42, 7, 0.25)),
    ],
)  # fmt: skip
def test_exports_tell_tokens_and_cost_in_detail_or_as_they_used_to(
    tmp_path: Path, observed: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    [step] = exported(tmp_path, **observed).steps
    assert (step.tokens_in, step.tokens_out, step.cost_usd) == expected
