"""Traces that public projects recorded, against what their spans say, stated by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evalkit.tracing import formats
from evalkit.tracing.assembly import Reading, assemble
from evalkit.tracing.parts import Part
from evalkit.tracing.reasons import Reasons
from evalkit.trajectory import Step, Trajectory

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "otel"


@dataclass(frozen=True)
class Told:
    """What a file says: steps in order, tool calls, models, tokens, and what it leaves out."""

    outline: tuple[str, ...]
    tools: tuple[tuple[Any, Any], ...] = ()
    models: tuple[tuple[str | None, str | None], ...] = ()
    tokens: tuple[int | None, int | None] = (None, None)
    missing: tuple[str, ...] = ()
    output: str | None = None
    session: str | None = None
    wrappers: int = 0
    not_understood: int = 0


MINI = ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
MAF = ("gpt-5-mini", "gpt-5-mini-2025-08-07")
MISTRAL = ("mistral/mistral-small-latest", None)
JOKE = "Why do programmers hate nature?"
TOKYO = "The weather in Tokyo, Japan is stormy with a high of 23°C."
WEB = [{"url": "https://example.com", "title": "Example Result", "q": "example"}]
TOPIC = {"topic": "programming"}
ANY = object()
"""Recorded, but too long to state."""

NEW_YORK = ({"timezone": "America/New_York"}, ANY)
YEAR = {"text": "2025"}
LATEST = "llm mistral/mistral-small-latest"
ASKED = ("agent any_agent", f"  {LATEST}", "  tool get_current_time", f"  {LATEST}")

TOLD: dict[str, Told] = {
    "langfuse_export/autogen-2025-06-06.trace.json": Told(
        ("workflow autogen-chat-trace", "  llm chat gpt-4o"),
        models=((None, "gpt-4o"),),
        tokens=(41, 3),
        output="Hello World!",
        session="session_abc",
    ),
    "langfuse_export/claude-agent-2025-12-22.trace.json": Told(
        (
            "workflow claude.conversation",
            *("  llm claude.assistant.turn",) * 3,
            *("  tool mcp__weather__get_weather",) * 2,
            "  llm claude.assistant.turn",
        ),
        tools=(
            ({"city": "Berlin"}, "Weather in Berlin: Cloudy, 59°F"),
            ({"city": "New York"}, "Weather in New York: Sunny, 75°F"),
        ),
        models=(("claude-sonnet-4-5-20250929", None),) * 4,
        tokens=(34, 232),
        missing=("served model",),
        output="Great! Here's the current weather for both cities:",
        session="6fb9b4b8-dd4d-4d41-8d4f-c0c0799a6559",
    ),
    "langfuse_export/crewai-2025-07-11.trace.json": Told(
        (
            "workflow crewai-index-trace",
            "  workflow Crew",
            "    agent Task",
            "      llm completion",
        ),
        models=(("gpt-4o-mini", None),),
        tokens=(190, 164),
        missing=("served model",),
        wrappers=2,  # CrewAI's usage data: a crew was created, a task was
    ),
    "langfuse_export/google-adk-2025-08-28.trace.json": Told(
        (
            "workflow invocation [hello_app]",
            "  agent agent_run [hello_agent]",
            "    llm call_llm",
            "      tool say_hello",
            "    llm call_llm",
        ),
        tools=(({}, {"greeting": "Hello Langfuse 👋"}),),
        models=(("gemini-2.0-flash", None),) * 2,
        tokens=(67, 9),
        missing=("served model",),
        output="Hello Langfuse 👋!",
        session="demo-session",
    ),
    "langfuse_export/langgraph-python-2025-08-22.trace.json": Told(
        (
            "workflow LangGraph",
            "  node agent",
            "    llm ChatOpenAI",
            "  node tools",
            "    tool Web-Search",
            "  node agent",
            "    llm ChatOpenAI",
        ),
        tools=(({"query": "example"}, WEB),),
        models=(("gpt-4o", "gpt-4o-2024-08-06"),) * 2,
        tokens=(168, 66),
        wrappers=2,  # the edge that decides where the graph goes on
    ),
    "langfuse_export/llamaindex-2025-06-05.trace.json": Told(
        ("workflow llama-index-trace", "  llm OpenAI.complete"),
        models=(("gpt-4o", None),),
        tokens=(13, 81),
        missing=("served model",),
        output="Langfuse is a tool designed to help developers monitor and debug",
        session="session_abc",
    ),
    "langfuse_export/microsoft-agent-2025-12-17.trace.json": Told(
        (
            "agent 171105b7-59dd-49c0-9677-0b95395aa46a",
            "  llm gpt-5-mini",
            "  tool get_weather",
            "  llm gpt-5-mini",
        ),
        tools=(({"location": "Tokyo, Japan"}, TOKYO),),
        models=(MAF, MAF),
        tokens=(293, 106),
        output="Current conditions in Tokyo, Japan: stormy, high around 23°C.",
        session="resp_0e32bda5b6259ecd00694279e271348194a818447145cd1763",
    ),
    "langfuse_export/openai-agents-2025-09-30.trace.json": Told(
        (
            "workflow Agent workflow",
            "  agent Hello world",
            "    llm response",
            "    tool get_weather",
            "    llm response",
        ),
        tools=(({"city": "Tokyo"}, "The weather in Tokyo is sunny."),),
        models=((None, "gpt-4.1-2025-04-14"),) * 2,
        tokens=(140, 44),
        output="The weather in Tokyo is currently sunny.",
    ),
    "langfuse_export/pydantic-ai-tools-2025-12-04.trace.json": Told(
        (
            "workflow run_joke_generator",
            "  agent joke_agent",
            "    llm gpt-4o-mini",
            "    tool get_pun_suggestion",
            "    tool get_dad_joke_suggestion",
            "    tool get_one_liner_suggestion",
            "    llm gpt-4o-mini",
            "  agent joke_agent",
            "    llm gpt-4o-mini",
            "  agent evaluator_agent",
            "    llm gpt-4o-mini",
        ),
        tools=((TOPIC, ANY),) * 3,
        models=(MINI,) * 4,
        tokens=(1315, 209),  # the agents repeat them: 682, 502 and 131
        output=JOKE,
        wrappers=1,  # "running 3 tools"
    ),
    "langfuse_export/vercel-aisdk-2025-11-17.trace.json": Told(
        ("agent ai.generateText", "  llm gpt-5", "  tool getWeather"),
        tools=(({"location": "San Francisco"}, {"location": "San Francisco", "temperature": 64}),),
        models=(("gpt-5", "gpt-5-2025-08-07"),),
        tokens=(62, 85),
    ),
    "any-agent/AGNO_trace.json": Told(
        (*ASKED, "  tool write_file", f"  {LATEST}"),
        tools=(NEW_YORK, (YEAR, {})),
        models=(MISTRAL,) * 3,
        tokens=(1396, 74),
        missing=("served model",),
        output='{"steps": [{"number": 1, "description": "Get current time in',
    ),
    "any-agent/GOOGLE_trace.json": Told(  # every span is a root
        (
            *(line.strip() for line in ASKED),
            "tool write_file",
            LATEST,
            "tool final_output",
        ),
        tools=(NEW_YORK, (YEAR, {}), (ANY, ANY)),
        models=(MISTRAL,) * 3,
        tokens=(2251, 86),
        missing=("served model",),
        output="{'success': True, 'result': {'steps': [{'number': 1",
    ),
    "any-agent/LANGCHAIN_trace.json": Told(
        (*ASKED, "  tool write_file", f"  {LATEST}", f"  {LATEST}"),
        tools=(NEW_YORK, (YEAR, "null")),
        models=(MISTRAL,) * 4,
        tokens=(1262, 125),
        missing=("served model",),
        output='{\n  "steps": [\n    {\n      "number": 1,',
    ),
    "any-agent/LLAMA_INDEX_trace.json": Told(
        (
            *ASKED,
            "  tool write_file",
            f"  {LATEST}",
            "  tool final_output",
            f"  {LATEST}",
            f"  {LATEST}",
        ),
        tools=(NEW_YORK, (YEAR, ANY), (ANY, ANY)),
        models=(MISTRAL,) * 5,
        tokens=(1308, 255),
        missing=("served model",),
        output='{\n  "steps": [\n    {\n      "number": 1,',
    ),
    "any-agent/OPENAI_trace.json": Told(
        (*ASKED, "  tool write_file", f"  {LATEST}"),
        tools=(NEW_YORK, (YEAR, {})),
        models=(MISTRAL,) * 3,
        tokens=(1020, 76),
        missing=("served model",),
        output='{"steps": [{"number": 1, "description": "Get current time in',
    ),
    "any-agent/SMOLAGENTS_trace.json": Told(
        (*ASKED, "  tool write_file", f"  {LATEST}", "  tool final_answer"),
        tools=(NEW_YORK, (YEAR, {}), (ANY, ANY)),
        models=(MISTRAL,) * 3,
        tokens=(2294, 87),
        missing=("served model",),
    ),
    "any-agent/TINYAGENT_trace.json": Told(
        (*ASKED, "  tool write_file", f"  {LATEST}", "  tool final_answer", f"  {LATEST}"),
        tools=(NEW_YORK, (YEAR, ANY), (ANY, ANY)),
        models=(MISTRAL,) * 4,
        tokens=(1369, 156),
        missing=("served model",),
        output='{\n  "steps": [\n    {\n      "number": 1,',
    ),
    # Kubernetes agents behind HTTP: nearly all spans are the web's, which say nothing of steps.
    "agentevals/helm_2.json": Told(
        ("agent helm_agent", "  llm gpt-4.1-mini"),
        models=(("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),),
        tokens=(1822, 43),
        output="To help you effectively, could you please specify the namespace",
        session="ctx-3b29a420-6082-478a-af27-404b9a588c9e",
        wrappers=1,  # `call_llm` is the model's call, seen twice
        not_understood=68,
    ),
    "agentevals/k8s.json": Told(
        ("agent k8s_agent", "  llm gpt-4.1-mini"),
        models=(("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),),
        tokens=(2203, 139),
        output="To list all Helm releases, I would typically use Helm CLI",
        session=ANY,  # type: ignore[arg-type]  # any is as good
        wrappers=1,  # `call_llm` is the model's call, seen twice
        not_understood=69,
    ),
    "agentevals/tempo_export_with_batches.json": Told(
        (
            "agent helm-agent",
            "agent helm_agent",
            "  llm gpt-4.1-mini",
            "    tool helm_list_releases",
            "  llm gpt-4.1-mini",
        ),
        tools=(({}, ANY),),
        models=(("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),) * 2,
        tokens=(4648, 129),
        output="There are two Helm releases currently deployed:",
        session="ctx-eff35888-55ab-4eb0-b90d-7b21f711f91f",
        not_understood=77,
    ),
    "langfuse_otlp_unit/l563_openlit-otel-tracing.json": Told(
        ("llm gpt-3.5-turbo",),
        models=(("gpt-3.5-turbo", None),),
        tokens=(14, 96),
        missing=("served model",),
        output="LLM Observability stands for",
    ),
    "langfuse_otlp_unit/l751_opentelemetry-instrumentation-openai-v1.json": Told(
        ("llm gpt-3.5-turbo",),
        models=(("gpt-3.5-turbo", "gpt-3.5-turbo-0125"),),
        tokens=(14, 173),
        output="LLM Observability (Logs, Metrics",
    ),
    "langfuse_otlp_unit/l5917_ai.json": Told(
        ("agent chat",),
        missing=("model calls", "tool calls", "tokens"),
        output="hello",
        session="session-1",
    ),
    "langwatch_otlp/openInferenceOpenAIRequest.json": Told(
        ("llm ChatCompletion",),
        models=(("gpt-5", "gpt-5"),),
        missing=("tokens",),
        output="Hey there! 😊👋 What's up? 🌟",
        session="my-test-session",
    ),
    "langwatch_otlp/openllmetryOpenAIRequest.json": Told(
        ("llm gpt-5",),
        models=(("gpt-5", "gpt-5"),),
        missing=("tokens",),
        output="Hey there! 😊 What's on your mind?",
    ),
    "langwatch_otlp/springAITrace.json": Told(
        ("llm gpt-5",),
        models=(("gpt-5", "gpt-5"),),
        tokens=(11, 13),
        missing=("text",),  # it stopped for its answer, so that it called nothing
    ),
    "langwatch_otlp/strandsTrace.json": Told(
        ("llm openai/gpt-4.1-nano",),
        models=(("openai/gpt-4.1-nano", None),),
        tokens=(24, 10),
        missing=("served model",),
        output="Hello! What would you like to look at or explore today?",
    ),
    # Nothing of a pipeline is in these: a web server's spans, and a building block alone.
    "langwatch_otlp/fastApiOpenTelemetryRequest.json": Told((), not_understood=2),
    "langwatch_otlp/traceWithException.json": Told((), not_understood=1),
    "langwatch_otlp/openllmetryLangChainRequest.json": Told((), wrappers=1),
}
SAME = {
    "autogen-2025-06-06": ("tokens", "models", "session"),
    "claude-agent-2025-12-22": ("tokens",),
    "crewai-2025-07-11": (),
    "google-adk-2025-08-28": (),
    "llamaindex-2025-06-05": ("session",),
    "microsoft-agent-2025-12-17": (),
    "openai-agents-2025-09-30": (),
    "pydantic-ai-tools-2025-12-04": (),
    "vercel-aisdk-2025-11-17": (),
}
"""The same traces turned into OTLP, and the facts that were lost on the way."""


def read(name: str) -> Trajectory:
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"{name} is not on this machine")
    reading = Reading(Reasons(), Counter())
    parts: dict[str, list[Part]] = {}
    for part in formats.read_parts(path, formats.detect(path), reading.refused):
        parts.setdefault(part.trace_id, []).append(part)
    [(trace_id, found)] = parts.items()
    recorded = assemble(trace_id, found, reading)
    assert recorded is not None
    assert not reading.refused.refused()
    return recorded.trajectory


def of_kind(found: Trajectory, kind: str) -> list[Step]:
    return [visit.step for visit in found.walk() if visit.step.kind == kind]


def differences(found: Trajectory, told: Told, but: tuple[str, ...] = ()) -> list[str]:
    outline = tuple("  " * visit.depth + visit.step.label for visit in found.walk())
    tools = [(step.arguments, step.output) for step in of_kind(found, "tool")]
    wanted = [
        tuple(
            is_ if must is ANY and is_ is not None else must
            for is_, must in zip(*pair, strict=True)
        )
        for pair in zip(tools, told.tools, strict=False)
    ]
    models = tuple((step.model_requested, step.model_served) for step in of_kind(found, "llm"))
    facts = {
        "outline": (outline, told.outline),
        "tools": (tools, wanted + list(told.tools[len(tools) :])),
        "models": (models, told.models),
        "tokens": ((found.tokens_in, found.tokens_out), told.tokens),
        "missing": (found.coverage.missing, told.missing),
        "session": (found.session, found.session if told.session is ANY else told.session),
        "wrappers": (found.coverage.wrappers, told.wrappers),
        "not understood": (found.coverage.not_understood, told.not_understood),
        "failed": ([v.step.label for v in found.walk() if v.step.status == "error"], []),
    }
    wrong = [f"{fact}: {is_} not {must}" for fact, (is_, must) in facts.items() if is_ != must]
    if told.output is not None and told.output not in str(found.output):
        wrong.append(f"output: {found.output!r:.200}")
    return [one for one in wrong if one.partition(":")[0] not in but]


@pytest.mark.parametrize("name", TOLD)
def test_a_public_trace_reads_as_its_spans_say(name: str) -> None:
    assert differences(read(name), TOLD[name]) == []


@pytest.mark.parametrize("name", SAME)
def test_a_trace_is_the_same_as_otlp(name: str) -> None:
    found = read(f"derived_otlp_from_langfuse/{name}.otlp.json")
    told = TOLD[f"langfuse_export/{name}.trace.json"]
    assert differences(found, told, but=("missing", *SAME[name])) == []


def test_every_public_trace_is_stated() -> None:
    if not FOLDER.is_dir():
        pytest.skip("the traces are not on this machine")
    found = {str(path.relative_to(FOLDER)) for path in FOLDER.glob("*/*.json")}
    derived = {name for name in found if name.startswith("derived_otlp_from_langfuse/")}
    # An evaluation set, which is no trace; LangGraph's OTLP lost the metadata that tells nodes.
    assert found - derived - set(TOLD) == {"agentevals/evalset_k8s_2026-02-20.json"}
    assert len(derived) == len(SAME) + 1
