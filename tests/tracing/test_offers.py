"""Which tools a model was offered, in each of the ways that instrumentations say so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evalkit.tracing.normalizer import to_trajectory
from evalkit.tracing.offers import offered
from tests.captures import spans_of

FUNCTION = {"type": "function", "function": {"name": "find", "parameters": {}}}


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.tool.definitions": json.dumps([{"name": "find", "type": "function"}])},
        {"gen_ai.tool.definitions": json.dumps([FUNCTION])},
        {"gen_ai.tool.definitions.0.tool.json_schema": json.dumps(FUNCTION)},
        {"llm.tools.0.tool.json_schema": json.dumps(FUNCTION)},
        {"llm.tools.0.tool.name": "find", "llm.tools.0.tool.description": "Find."},
        {"llm.request.functions.0.name": "find"},
        {"ai.prompt.tools": [json.dumps({"type": "function", "name": "find"})]},
        {"gen_ai.agent.tools": json.dumps(["find"])},
        {"haystack.agent.tools": json.dumps([{"type": "Tool", "data": {"name": "find"}}])},
        {"model_request_parameters": json.dumps({"function_tools": [{"name": "find"}]})},
    ],
)
def test_an_offer_is_read_however_it_is_told(attributes: dict[str, Any]) -> None:
    assert offered(attributes) == ("find",)


@pytest.mark.parametrize("length", [0, 100_000])
def test_offers_that_repeat_are_told_by_what_each_says(length: int) -> None:
    for name in ("find", "send", "find"):
        said = json.dumps([{"name": name, "description": "x" * length}])
        assert offered({"gen_ai.tool.definitions": said}) == (name,)
        assert offered({"app.tools": said}) is None
        assert offered({"model_request_parameters": said}) is None


def test_a_tool_goes_by_its_own_name_too() -> None:
    assert offered({"gen_ai.agent.tools": ["mcp__kb__find"]}) == ("mcp__kb__find", "find")


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"llm.tools": "x"},
        {"gen_ai.tool.definitions": "{not json"},
        {"gen_ai.tool.definitions": [7, None, {"name": 7}]},
        {"llm.tools.0.tool.json_schema": "[" * 5000},
        {"model_request_parameters": json.dumps({"function_tools": "find"})},
    ],
)
def test_what_tells_no_tool_is_no_offer(attributes: dict[str, Any]) -> None:
    assert offered(attributes) is None


@pytest.mark.parametrize(
    "name",
    [
        "adk__native__good",
        "agents__openinference__good",
        "crewai__otel-openai__good",
        "langchain__openinference__good",
        "langchain__traceloop__good",
        "llamaindex__openinference__good",
        "maf__native__good",
        "pydantic_ai__native__good",
        "strands__native__good",
        "vercel_ai__native__good",
    ],
)
def test_recorded_models_were_offered_what_they_first_called(name: str) -> None:
    steps = [visit.step for visit in to_trajectory(spans_of(name)).walk()]
    told = {tool for step in steps for tool in step.offered or ()}
    first = next(step.name for step in steps if step.kind == "tool")
    assert first in told
