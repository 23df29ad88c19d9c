"""Which model answered: only what an instrumentation takes from the response tells it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evalkit.spans import Span
from evalkit.tracing.normalizer import to_trajectory
from evalkit.trajectory import Trajectory

PYTHON = "openinference.instrumentation."
NPM = "@arizeai/openinference-instrumentation-"
ASKED, ANSWERED = "gpt-4.1", "gpt-4.1-2026-04-14"


def call(scope: str, name: str = "call", **attributes: Any) -> Trajectory:
    """A trace of one span."""
    return to_trajectory(
        [
            Span(
                trace_id="a" * 32,
                span_id="b" * 16,
                parent_id=None,
                name=name,
                start_ns=10**18,
                end_ns=10**18 + 10**6,
                attributes=attributes,
                scope=scope,
            )
        ]
    )


def openinference(scope: str, name: str = "call", **attributes: Any) -> Trajectory:
    stated = {key.replace("__", "."): value for key, value in attributes.items()}
    return call(scope, name, **{"openinference.span.kind": "LLM", **stated})


def models(trajectory: Trajectory) -> tuple[str | None, str | None]:
    [step] = trajectory.steps
    return step.model_requested, step.model_served


@pytest.mark.parametrize(
    "scope",
    [
        *(f"{PYTHON}{name}" for name in ("smolagents", "agno", "crewai", "bedrock", "beeai")),
        f"{PYTHON}autogen_agentchat",
        f"{NPM}langchain",
        "com.arize.instrumentation.springAI",
        "my.own.tracer",
    ],
)
def test_what_is_not_known_to_be_the_responses_is_what_was_asked_for(scope: str) -> None:
    found = openinference(scope, llm__model_name=ASKED, llm__invocation_parameters="{}")
    assert models(found) == (ASKED, None)
    assert "served model" in found.coverage.missing


@pytest.mark.parametrize("scope", [f"{PYTHON}openai", f"{NPM}openai", f"{PYTHON}groq"])
def test_instrumentations_that_write_the_responses_model(scope: str) -> None:
    asked = json.dumps({"model": ASKED})
    pinned = openinference(scope, llm__model_name=ASKED, llm__invocation_parameters=asked)
    assert models(pinned) == (ASKED, ASKED)
    found = openinference(scope, llm__model_name=ANSWERED, llm__invocation_parameters=asked)
    assert models(found) == (ASKED, ANSWERED)
    assert "served model" not in found.coverage.missing


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"llm__invocation_parameters": json.dumps({"model": ASKED})}, (ASKED, ANSWERED)),
        ({"metadata": json.dumps({"ls_model_name": ASKED})}, (ASKED, ANSWERED)),
        ({"llm__request__model_name": ASKED}, (ASKED, ANSWERED)),
        # The provider that is called is no other model.
        ({"llm__invocation_parameters": json.dumps({"model": f"azure/{ANSWERED}"})}, None),
    ],
)
def test_another_model_than_the_calls_parameters_name_is_the_one_that_answered(
    stated: dict[str, str], expected: tuple[str, str] | None
) -> None:
    found = openinference("any.scope", llm__model_name=ANSWERED, **stated)
    assert models(found) == (expected or (f"azure/{ANSWERED}", None))


def test_a_response_recorded_whole_names_its_model() -> None:
    response = {"type": "message", "content": [{"text": "Hi"}], "model": ANSWERED}
    told = {"llm__model_name": ASKED, "output__mime_type": "application/json"}
    found = openinference(f"{PYTHON}anthropic", output__value=json.dumps(response), **told)
    assert models(found) == (ASKED, ANSWERED)


def test_a_model_that_speaks_of_a_model_is_no_response() -> None:
    said = json.dumps({"model": "Golf", "year": 2020})
    found = openinference(f"{PYTHON}litellm", llm__model_name=ASKED, output__value=said)
    assert models(found) == (ASKED, None)


@pytest.mark.parametrize(
    ("name", "expected"), [("response", (None, ANSWERED)), ("generation", (ANSWERED, None))]
)
def test_the_agents_sdk_tells_by_its_kind_of_call(name: str, expected: tuple[Any, Any]) -> None:
    echoed = json.dumps({"model": ANSWERED})
    for scope in (f"{PYTHON}openai_agents", f"{NPM}openai-agents"):
        stated = {"llm__invocation_parameters": echoed} if name == "response" else {}
        assert models(openinference(scope, name, llm__model_name=ANSWERED, **stated)) == expected


@pytest.mark.parametrize("unknown", ["unknown", "None", "", None])
def test_words_for_an_unknown_model_are_no_model(unknown: str | None) -> None:
    stated = {} if unknown is None else {"llm__model_name": unknown}
    assert models(openinference(f"{PYTHON}openai", **stated)) == (None, None)
    told = {"gen_ai.request.model": unknown, "gen_ai.response.model": unknown}
    assert models(call("any", **{"gen_ai.operation.name": "chat"}, **told)) == (None, None)


@pytest.mark.parametrize("asked", [ASKED, f"openai/{ASKED}"])
def test_crewai_repeats_what_was_asked_for(asked: str) -> None:
    told = {"gen_ai.operation.name": "chat", "gen_ai.request.model": asked}
    found = call("crewai.telemetry", **told, **{"gen_ai.response.model": ASKED})
    assert models(found) == (asked, None)
    assert "served model" in found.coverage.missing


def langfuse(name: str, model: str, **attributes: Any) -> Trajectory:
    told = {"langfuse.observation.type": "generation", "langfuse.observation.model.name": model}
    return call("langfuse-sdk", name, **{**told, **attributes})


CHAT_PARAMETERS = {
    "temperature": 1,
    "max_tokens": "Infinity",
    "top_p": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
}


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        ("by hand", {}, (ANSWERED, None)),
        ("by hand", {"model.parameters": '{"temperature": 0.2}'}, (ANSWERED, None)),
        ("OpenAI-generation", {}, (None, ANSWERED)),
        ("renamed", {"model.parameters": json.dumps(CHAT_PARAMETERS)}, (None, ANSWERED)),
        ("ChatOpenAI", {"metadata.ls_model_name": json.dumps(ASKED)}, (ASKED, ANSWERED)),
        ("ChatOpenAI", {"metadata.ls_model_name": json.dumps(ANSWERED)}, (ANSWERED, None)),
        ("OpenAI-generation", {"level": "ERROR"}, (ANSWERED, None)),
    ],
)
def test_langfuse_tells_by_its_integrations(
    name: str, attributes: dict[str, str], expected: tuple[str | None, str | None]
) -> None:
    stated = {f"langfuse.observation.{key}": value for key, value in attributes.items()}
    assert models(langfuse(name, ANSWERED, **stated)) == expected
