"""What instrumentations write at the end of 2026, each as the few spans that show it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evalkit.spans import Span, SpanEvent
from evalkit.tracing.normalizer import to_trajectory
from evalkit.trajectory import Step, Trajectory

MS = 1_000_000
START = 10**18
OI_LANGCHAIN = "openinference.instrumentation.langchain"
OI_OPENAI = "openinference.instrumentation.openai"
OI_AGENTS = "openinference.instrumentation.openai_agents"
TL_LANGCHAIN = "opentelemetry.instrumentation.langchain"
TL_OPENAI = "opentelemetry.instrumentation.openai.v1"
TL_AGENTS = "opentelemetry.instrumentation.openai_agents"
ROOMS = {"city": "Porto", "beds": 2}


def span(number: int, name: str, scope: str, attributes: dict[str, Any], /, **fields: Any) -> Span:
    """A span below the first one, ten milliseconds after the one before it."""
    at = fields.pop("at", (10 * number, 10 * number + 8) if number > 1 else (0, 1000))
    parent = fields.pop("parent", None if number == 1 else 1)
    return Span(
        trace_id="c" * 32,
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        start_ns=START + round(at[0] * MS),
        end_ns=START + round(at[1] * MS),
        scope=scope,
        attributes=attributes,
        **fields,
    )


def of_kind(trajectory: Trajectory, kind: str) -> list[Step]:
    return [visit.step for visit in trajectory.walk() if visit.step.kind == kind]


def outline(trajectory: Trajectory) -> list[str]:
    return [
        "  " * visit.depth + visit.step.label + (" !" if visit.step.status == "error" else "")
        for visit in trajectory.walk()
    ]


def chat(**attributes: Any) -> dict[str, Any]:
    return {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", **attributes}


def answered(*parts: dict[str, Any]) -> str:
    return json.dumps([{"role": "assistant", "parts": parts}])


def raised(kind: str, message: str) -> tuple[SpanEvent, ...]:
    told = {"exception.type": kind, "exception.message": message}
    return (SpanEvent("exception", START, told),)


# Content that was left out.


def test_what_openinference_hides_is_unknown() -> None:
    hidden = {"input.value": "__REDACTED__", "output.value": "__REDACTED__"}
    documents = {"retrieval.documents.0.document.content": "__REDACTED__"}
    found = to_trajectory(
        [
            span(1, "desk", OI_LANGCHAIN, {"openinference.span.kind": "AGENT", **hidden}),
            span(2, "KB", OI_LANGCHAIN, {"openinference.span.kind": "RETRIEVER", **documents}),
            span(
                3,
                "find_rooms",
                OI_LANGCHAIN,
                {"openinference.span.kind": "TOOL", "tool.name": "find_rooms", **hidden},
            ),
            span(
                4,
                "ChatOpenAI",
                OI_LANGCHAIN,
                {
                    "openinference.span.kind": "LLM",
                    "llm.model_name": "gpt-4o",
                    "llm.token_count.prompt": 12,
                    "llm.token_count.completion": 3,
                    "llm.output_messages.0.message.role": "assistant",
                    "llm.output_messages.0.message.content": "__REDACTED__",
                    "llm.input_messages.0.message.role": "tool",
                    "llm.input_messages.0.message.tool_call_id": "c1",
                    "llm.input_messages.0.message.content": "__REDACTED__",
                },
            ),
        ]
    )
    for step in (visit.step for visit in found.walk()):
        assert (step.output, step.arguments) == (None, None), step.label
    assert found.output is None
    assert {"arguments", "outputs", "text"} <= set(found.coverage.missing)


@pytest.mark.parametrize(
    ("scope", "attributes"),
    [
        (
            OI_AGENTS,
            {
                "openinference.span.kind": "LLM",
                "llm.model_name": "gpt-4o-2024-08-06",
                "llm.finish_reason": "stop",
                "output.value": "__REDACTED__",
            },
        ),
        (TL_AGENTS, chat(**{"gen_ai.response.finish_reasons": ["stop"]})),
    ],
)
def test_a_response_that_is_done_does_not_say_that_it_called_nothing(
    scope: str, attributes: dict[str, Any]
) -> None:
    found = to_trajectory([span(1, "response", scope, attributes)])
    assert of_kind(found, "llm")[0].stop_reason is None
    assert "tool calls" in found.coverage.missing


@pytest.mark.parametrize(
    ("integration", "completion", "arguments"),
    [
        (None, "{}", None),
        ("openai-agents-sdk", "{}", None),
        ("openai-agents-sdk", '{"output": "room 7"}', {}),
    ],
)
def test_what_langsmith_hides_is_unknown(
    integration: str | None, completion: str, arguments: Any
) -> None:
    attributes = {
        "langsmith.span.kind": "tool",
        "langsmith.metadata.ls_integration": integration,
        "gen_ai.prompt": "{}",
        "gen_ai.completion": completion,
    }
    [tool] = of_kind(to_trajectory([span(1, "find_rooms", "langsmith", attributes)]), "tool")
    assert tool.arguments == arguments
    assert tool.output == (None if completion == "{}" else "room 7")


def test_tokens_that_are_all_0_were_not_told() -> None:
    none = {"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}
    found = to_trajectory([span(1, "chat gpt-4o", "app", chat(**none))])
    [call] = of_kind(found, "llm")
    assert (call.tokens_in, call.tokens_out) == (None, None)
    assert found.tokens_in is None
    assert "tokens" in found.coverage.missing


def test_an_answer_that_nothing_tells_is_not_what_was_found_before_it() -> None:
    search = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "find_rooms",
        "gen_ai.tool.call.result": "room 7",
    }
    spans = [
        span(2, "execute_tool find_rooms", "app", search, parent=None),
        span(3, "chat gpt-4o", "app", chat(), parent=None),
    ]
    assert to_trajectory(spans).output is None


# What older releases write otherwise.


def test_arguments_as_python_shows_them() -> None:
    attributes = {
        "openinference.span.kind": "TOOL",
        "tool.name": "find_rooms",
        "input.value": "{'city': 'Porto', 'beds': 2}",
    }
    [tool] = of_kind(to_trajectory([span(1, "find_rooms", OI_LANGCHAIN, attributes)]), "tool")
    assert tool.arguments == ROOMS


def test_langsmith_wrote_its_json_as_bytes() -> None:
    attributes = {
        "langsmith.span.kind": "tool",
        "gen_ai.prompt": b"{\"input\": \"{'city': 'Porto', 'beds': 2}\"}",
        "gen_ai.completion": b'{"output": "room 7"}',
    }
    [tool] = of_kind(to_trajectory([span(1, "find_rooms", "langsmith", attributes)]), "tool")
    assert (tool.arguments, tool.output) == (ROOMS, "room 7")


def test_openllmetry_before_it_named_operations() -> None:
    """The model asked for in the place of the one that answered, and no text as JSON."""
    attributes = {
        "llm.request.type": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": '""',
        "gen_ai.completion.0.tool_calls.0.id": "call_9",
        "gen_ai.completion.0.tool_calls.0.name": "find_rooms",
        "gen_ai.completion.0.tool_calls.0.arguments": json.dumps(ROOMS),
    }
    [call] = of_kind(to_trajectory([span(1, "ChatOpenAI.chat", TL_LANGCHAIN, attributes)]), "llm")
    assert call.output["content"] is None
    assert (call.model_requested, call.model_served) == ("gpt-4o", None)


def test_openllmetrys_thoughts_have_a_role_of_their_own() -> None:
    attributes = {
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.completion.0.role": "thinking",
        "gen_ai.completion.0.content": "Let me think.",
        "gen_ai.completion.1.role": "assistant",
        "gen_ai.completion.1.content": "Room 7.",
    }
    scope = "opentelemetry.instrumentation.anthropic"
    [call] = of_kind(to_trajectory([span(1, "anthropic.chat", scope, attributes)]), "llm")
    assert call.output == "Room 7."


def logfire(template: str, **attributes: Any) -> dict[str, Any]:
    return {"logfire.span_type": "span", "logfire.msg_template": template, **attributes}


def test_logfires_messages_of_anthropic() -> None:
    arguments = json.dumps({"input": ROOMS})
    called = {"function": {"name": "find_rooms", "arguments": arguments}}
    usage = {"input_tokens": 81, "cache_read_input_tokens": 32, "output_tokens": 23}
    response = {"message": {"role": "assistant", "tool_calls": [called]}, "usage": usage}
    attributes = logfire(
        "Message with {request_data[model]!r}",
        request_data=json.dumps({"model": "claude-sonnet-4-5", "messages": []}),
        response_data=json.dumps(response),
    )
    found = to_trajectory([span(1, "Message with", "logfire.anthropic", attributes)])
    [call] = of_kind(found, "llm")
    assert call.output["tool_calls"] == [{"id": None, "name": "find_rooms", "arguments": ROOMS}]
    assert (call.model_requested, call.model_served) == ("claude-sonnet-4-5", None)
    assert (call.tokens_in, call.tokens_out, call.tokens_cached) == (113, 23, 32)


def test_logfires_responses_end_with_what_was_said() -> None:
    asked = {"event.name": "gen_ai.user.message", "role": "user", "content": "A room?"}
    said = {"event.name": "gen_ai.assistant.message", "role": "assistant", "content": "Room 7."}
    for events, output in (([asked, said], "Room 7."), ([said, asked], None)):
        attributes = logfire(
            "Responses API with {gen_ai.request.model!r}",
            **{
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.input_tokens": 12,
                "events": json.dumps(events),
            },
        )
        found = to_trajectory([span(1, "Responses API with", "logfire.openai", attributes)])
        assert of_kind(found, "llm")[0].output == output


def test_logfires_embeddings_before_it_named_operations() -> None:
    attributes = logfire(
        "Embedding Creation with {request_data[model]!r}",
        **{"gen_ai.request.model": "text-embedding-3-small", "gen_ai.usage.input_tokens": 7},
    )
    found = to_trajectory([span(1, "Embedding Creation", "logfire.openai", attributes)])
    assert outline(found) == ["embedding text-embedding-3-small"]


def test_parsers_of_outputs_have_no_kind() -> None:
    spans = [
        span(1, "answer", OI_LANGCHAIN, {"openinference.span.kind": "CHAIN"}),
        span(2, "PydanticToolsParser", OI_LANGCHAIN, {"openinference.span.kind": "UNKNOWN"}),
        span(3, "Odd", OI_LANGCHAIN, {"openinference.span.kind": "UNKNOWN"}),
    ]
    found = to_trajectory(spans)
    assert (found.coverage.wrappers, found.coverage.not_understood) == (1, 1)


def test_embeddings_that_only_their_request_tells() -> None:
    attributes = {
        "llm.request.type": "embedding",
        "gen_ai.request.model": "text-embedding-3-small",
        "gen_ai.usage.prompt_tokens": 7,
    }
    found = to_trajectory([span(1, "openai.embeddings", TL_OPENAI, attributes)])
    assert [step.tokens_in for step in of_kind(found, "embedding")] == [7]


# Which model answered.


def test_an_error_for_a_reason_of_a_good_answer_is_no_reason() -> None:
    text = {"type": "text", "content": "Done."}
    attributes = chat(
        **{"gen_ai.response.finish_reasons": ["error"], "gen_ai.output.messages": answered(text)}
    )
    scope = "opentelemetry.instrumentation.genai.langchain"
    [call] = of_kind(to_trajectory([span(1, "chat gpt-4o", scope, attributes)]), "llm")
    assert (call.status, call.stop_reason) == ("ok", None)


@pytest.mark.parametrize(
    ("told", "served"),
    [({}, None), ({"gen_ai.response.id": "chatcmpl_1"}, "gpt-4o")],
    ids=["no response", "a response"],
)
def test_traceloop_writes_the_model_asked_for_where_langchain_told_no_response(
    told: dict[str, Any], served: str | None
) -> None:
    attributes = chat(**{"gen_ai.response.model": "gpt-4o", **told})
    [call] = of_kind(to_trajectory([span(1, "ChatOpenAI.chat", TL_LANGCHAIN, attributes)]), "llm")
    assert (call.model_requested, call.model_served) == ("gpt-4o", served)


def test_langsmith_knows_the_response_of_the_agents_sdk_alone() -> None:
    attributes = {
        "langsmith.span.kind": "llm",
        "langsmith.metadata.ls_integration": "openai-agents-sdk",
        "gen_ai.request.model": "gpt-4o-2024-08-06",
    }
    [call] = of_kind(to_trajectory([span(1, "Span Response", "langsmith", attributes)]), "llm")
    assert (call.model_requested, call.model_served) == (None, "gpt-4o-2024-08-06")


def test_a_response_that_the_agents_sdk_made_up_tells_no_model() -> None:
    response = {"id": "__fake_id__", "model": "gpt-4o", "output": [], "usage": None}
    attributes = {
        "langsmith.span.kind": "llm",
        "langsmith.metadata.ls_integration": "openai-agents-sdk",
        "gen_ai.completion": json.dumps(response),
    }
    [call] = of_kind(to_trajectory([span(1, "Generation", "langsmith", attributes)]), "llm")
    assert call.model_served is None


def test_a_stream_that_python_shows_as_an_object_says_nothing() -> None:
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o",
        "output.value": "<coroutine object AsyncAPIResponse.parse at 0x7fc3017f8040>",
    }
    found = to_trajectory([span(1, "Response", OI_OPENAI, attributes)])
    [call] = of_kind(found, "llm")
    assert (call.model_requested, call.model_served, call.output) == ("gpt-4o", None, None)
    assert found.output is None


@pytest.mark.parametrize("told", [{"llm.is_streaming": "True"}, {"gen_ai.request.stream": True}])
def test_litellm_makes_chunks_with_the_model_asked_for(told: dict[str, Any]) -> None:
    attributes = chat(**{"gen_ai.response.model": "gpt-4o", **told})
    [call] = of_kind(to_trajectory([span(1, "litellm_request", "litellm", attributes)]), "llm")
    assert (call.model_requested, call.model_served) == ("gpt-4o", None)


# Calls in a model's answer.

CALL = {"type": "function_call", "call_id": "call_9", "id": "fc_1", "name": "find_rooms"}
LISTED = {"name": "find_rooms", "args": ROOMS, "id": "call_9", "type": "tool_call"}


def test_a_call_among_the_parts_of_an_answer_and_beside_them_is_one() -> None:
    message = {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "Looking."},
            {**CALL, "arguments": json.dumps(ROOMS)},
        ],
        "tool_calls": [LISTED],
    }
    attributes = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.output": json.dumps(message),
    }
    found = to_trajectory([span(1, "ChatOpenAI", "langfuse-sdk", attributes)])
    assert of_kind(found, "llm")[0].output == {
        "content": "Looking.",
        "tool_calls": [{"id": "call_9", "name": "find_rooms", "arguments": ROOMS}],
    }
    assert len(of_kind(found, "tool")) == 1


def test_a_call_that_stands_beside_its_own_json_is_no_text() -> None:
    dumped = json.dumps({"id": "toolu_1", "input": ROOMS, "name": "find_rooms", "type": "tool_use"})
    parts = (
        {"type": "text", "content": dumped},
        {"type": "tool_call", "id": "toolu_1", "name": "find_rooms", "arguments": ROOMS},
    )
    attributes = chat(**{"gen_ai.output.messages": answered(*parts)})
    [call] = of_kind(
        to_trajectory([span(1, "ChatAnthropic.chat", TL_LANGCHAIN, attributes)]), "llm"
    )
    assert call.output == {
        "content": None,
        "tool_calls": [{"id": "toolu_1", "name": "find_rooms", "arguments": ROOMS}],
    }


def test_the_id_of_an_item_is_not_that_of_the_call_in_it() -> None:
    part = {"type": "tool_call", "id": "fc_68a1", "name": "find_rooms", "arguments": ROOMS}
    result = {"type": "tool_call_response", "id": "call_9", "response": "room 7"}
    history = [
        {"role": "assistant", "parts": [part]},
        {"role": "tool", "parts": [result]},
    ]
    spans = [
        span(1, "desk", "app", {"gen_ai.operation.name": "invoke_agent"}),
        span(2, "openai.response", TL_OPENAI, chat(**{"gen_ai.output.messages": answered(part)})),
        span(
            3, "openai.response", TL_OPENAI, chat(**{"gen_ai.input.messages": json.dumps(history)})
        ),
    ]
    [tool] = of_kind(to_trajectory(spans), "tool")
    assert (tool.call_id, tool.arguments, tool.output) == ("call_9", ROOMS, "room 7")


def test_a_text_does_not_hide_the_call_in_litellms_older_words() -> None:
    attributes = chat(
        **{
            "gen_ai.output.messages": answered({"type": "text", "content": "Looking."}),
            "gen_ai.completion.0.function_call.name": "find_rooms",
            "gen_ai.completion.0.function_call.arguments": json.dumps(ROOMS),
        }
    )
    [call] = of_kind(to_trajectory([span(1, "litellm_request", "litellm", attributes)]), "llm")
    assert call.output == {
        "content": "Looking.",
        "tool_calls": [{"id": None, "name": "find_rooms", "arguments": ROOMS}],
    }


@pytest.mark.parametrize("kind", ["reasoning", "thinking"])
def test_what_a_model_thought_is_not_what_it_said(kind: str) -> None:
    first = "llm.output_messages.0.message.contents.0.message_content"
    second = "llm.output_messages.0.message.contents.1.message_content"
    attributes = {
        "openinference.span.kind": "LLM",
        f"{first}.type": kind,
        f"{first}.text": "Let me think.",
        f"{second}.type": "text",
        f"{second}.text": "Room 7.",
    }
    [call] = of_kind(to_trajectory([span(1, "messages.create", OI_OPENAI, attributes)]), "llm")
    assert call.output == "Room 7."
    parts = [{"type": kind, "text": "Let me think."}, {"type": "text", "text": "Room 7."}]
    attributes = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.output": json.dumps({"role": "assistant", "content": parts}),
    }
    [call] = of_kind(to_trajectory([span(1, "Chat", "langfuse-sdk", attributes)]), "llm")
    assert call.output == "Room 7."


def test_a_thought_written_as_json_before_a_call_is_no_text() -> None:
    thought = json.dumps({"type": "thinking", "thinking": "Let me see.", "signature": "x="})
    parts = (
        {"type": "text", "content": thought},
        {"type": "tool_call", "id": "toolu_1", "name": "find_rooms", "arguments": ROOMS},
    )
    attributes = chat(**{"gen_ai.output.messages": answered(*parts)})
    [call] = of_kind(
        to_trajectory([span(1, "ChatAnthropic.chat", TL_LANGCHAIN, attributes)]), "llm"
    )
    assert call.output["content"] is None


def test_langchain_counts_what_was_cached_with_the_prompt() -> None:
    usage = {
        "input_tokens": 113,
        "output_tokens": 23,
        "input_token_details": {"cache_read": 32},
        "output_token_details": {"reasoning": 8},
    }
    message = {"content": "Done.", "usage_metadata": usage, "type": "ai"}
    output = json.dumps({"generations": [[{"message": {"lc": 1, "kwargs": message}}]]})
    traceai = {
        "gen_ai.span.kind": "LLM",
        "gen_ai.usage.input_tokens": 81,
        "gen_ai.usage.output_tokens": 23,
        "output.value": output,
    }
    openinference = {
        "openinference.span.kind": "LLM",
        "llm.token_count.prompt": 81,
        "llm.token_count.completion": 23,
        "llm.token_count.prompt_details.cache_read": 32,
        "llm.token_count.completion_details.reasoning": 8,
        "output.value": output,
    }
    for scope, attributes in (("traceai_langchain", traceai), (OI_LANGCHAIN, openinference)):
        [call] = of_kind(to_trajectory([span(1, "ChatAnthropic", scope, attributes)]), "llm")
        assert (call.tokens_in, call.tokens_out) == (113, 23), scope
        assert (call.tokens_cached, call.tokens_reasoning) == (32, 8), scope


def test_a_tool_that_openai_ran_did_not_stop_the_model() -> None:
    message = "llm.output_messages.0.message"
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.finish_reason": "stop",
        f"{message}.content": "It is sunny.",
        f"{message}.tool_calls.0.tool_call.id": "ws_1",
        f"{message}.tool_calls.0.tool_call.function.name": "web_search_call",
        f"{message}.tool_calls.0.tool_call.function.arguments": '{"query": "weather"}',
    }
    found = to_trajectory([span(1, "response", OI_AGENTS, attributes)])
    assert outline(found) == ["llm response", "tool web_search"]
    assert of_kind(found, "tool")[0].arguments == {"query": "weather"}
    assert (found.stop_reason, found.output) == ("stop", "It is sunny.")


# Agents, handoffs and graphs.


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("langgraph.errors.ParentCommand", "Command(graph='__parent__', goto='flights')"),
        ("Exception", "ParentCommand(Command(graph='__parent__', goto='flights'))"),
        ("GraphInterrupt", "(Interrupt(value='May I?'),)"),
    ],
)
def test_a_graph_that_goes_on_elsewhere_did_not_fail(kind: str, message: str) -> None:
    metadata = json.dumps({"langgraph_node": "boss"})
    node = {"openinference.span.kind": "CHAIN", "metadata": metadata}
    root = {"openinference.span.kind": "CHAIN"}
    events = raised(kind, message)
    spans = [
        span(1, "bureau", OI_LANGCHAIN, root),
        span(2, "boss", OI_LANGCHAIN, node, events=events, error=True, status_message=message),
    ]
    assert outline(to_trajectory(spans)) == ["workflow bureau", "  node boss"]


def test_a_handoff_that_names_no_target_is_the_call_that_led_to_it() -> None:
    call = {"type": "tool_call", "id": "call_1", "name": "transfer_to_lodging", "arguments": {}}
    handoff = {"traceloop.span.kind": "handoff", "gen_ai.operation.name": "handoff"}

    def agent(name: str) -> dict[str, Any]:
        return {
            "traceloop.span.kind": "agent",
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": name,
        }

    spans = [
        span(1, "Agent Workflow", TL_AGENTS, {"traceloop.span.kind": "workflow"}),
        span(2, "Front Desk.agent", TL_AGENTS, agent("Front Desk"), at=(10, 40)),
        span(
            3,
            "openai.response",
            TL_AGENTS,
            chat(**{"gen_ai.output.messages": answered(call)}),
            parent=2,
            at=(11, 20),
        ),
        span(4, "Front Desk → unknown.handoff", TL_AGENTS, handoff, parent=2, at=(21, 22)),
        span(5, "lodging.agent", TL_AGENTS, agent("lodging"), at=(41, 60)),
    ]
    found = to_trajectory(spans)
    [handed] = of_kind(found, "handoff")
    assert (handed.name, handed.call_id) == ("lodging", "call_1")
    assert handed.arguments == {"from": "Front Desk", "to": "lodging"}


def test_who_asked_another_agent_answers_after_it() -> None:
    def agent(name: str) -> dict[str, Any]:
        return {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}

    def said(text: str) -> dict[str, Any]:
        return chat(**{"gen_ai.output.messages": answered({"type": "text", "content": text})})

    spans = [
        span(1, "Agent Workflow", TL_AGENTS, {"traceloop.span.kind": "workflow"}),
        span(2, "Boss.agent", TL_AGENTS, agent("Boss"), at=(10, 90)),
        span(3, "openai.response", TL_AGENTS, said("Take it."), parent=2, at=(70, 80)),
        span(4, "Flights.agent", TL_AGENTS, agent("Flights"), at=(30, 60)),
        span(5, "openai.response", TL_AGENTS, said("One is found."), parent=4, at=(40, 50)),
    ]
    assert to_trajectory(spans).output == "Take it."


def test_langsmith_calls_every_span_of_the_agents_sdk_an_agents() -> None:
    def chain(span_id: str | None = None, parent_id: str | None = None) -> dict[str, Any]:
        told = {"openai_span_id": span_id, "openai_parent_id": parent_id}
        told |= {"ls_integration": "openai-agents-sdk", "ls_agent_type": "root"}
        stated = {f"langsmith.metadata.{key}": value for key, value in told.items() if value}
        return {"langsmith.span.kind": "chain", **stated}

    spans = [
        span(1, "Night shift", "langsmith", chain()),
        span(2, "Agent workflow", "langsmith", chain("s2"), at=(5, 900)),
        span(3, "Concierge", "langsmith", chain("s3", "s2"), parent=2, at=(6, 800)),
        span(4, "Span", "langsmith", chain("s4", "s3"), parent=3, at=(7, 700)),
        span(
            5,
            "Span Response",
            "langsmith",
            {**chain("s5", "s4"), "langsmith.span.kind": "llm"},
            parent=4,
            at=(8, 600),
        ),
    ]
    found = to_trajectory(spans)
    assert outline(found) == ["workflow Night shift", "  agent Concierge", "    llm Span Response"]


def test_what_calls_a_supervisors_agent_is_no_agent() -> None:
    def agent(name: str) -> dict[str, Any]:
        return {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}

    scope = "opentelemetry.instrumentation.genai.langchain"
    spans = [
        span(1, "invoke_workflow bureau", scope, {"gen_ai.operation.name": "invoke_workflow"}),
        span(2, "invoke_agent call_agent", scope, agent("call_agent"), at=(10, 90)),
        span(3, "invoke_agent flights", scope, agent("flights"), parent=2, at=(11, 89)),
    ]
    assert outline(to_trajectory(spans)) == ["workflow bureau", "  agent flights"]


@pytest.mark.parametrize(
    ("last", "answer"),
    [
        ({"type": "ai", "content": "Room 7."}, "Room 7."),
        ({"type": "ai", "content": [{"type": "text", "text": "Room 7."}]}, "Room 7."),
        ({"type": "human", "content": "A room?"}, None),
        ({"type": "ai", "content": "Wait.", "tool_calls": [LISTED]}, None),
    ],
)
def test_a_langgraph_agent_answers_with_its_last_message(last: Any, answer: str | None) -> None:
    asked = {"type": "human", "content": "A room?"}
    state = {"messages": [{"type": one["type"], "data": one} for one in (asked, last)]}
    attributes = {
        "openinference.span.kind": "CHAIN",
        "output.value": json.dumps(state),
        "output.mime_type": "application/json",
    }
    found = to_trajectory([span(1, "desk", OI_LANGCHAIN, attributes)])
    assert found.output == (found.steps[0].output if answer is None else answer)
    more = {**attributes, "output.value": json.dumps({**state, "total": 3})}
    found = to_trajectory([span(1, "desk", OI_LANGCHAIN, more)])
    assert found.output["total"] == 3


def test_traceai_writes_a_states_messages_as_python_shows_them() -> None:
    listed = [{"name": "find_rooms", "args": ROOMS, "id": "call_9", "type": "tool_call"}]
    state = {
        "messages": [
            "content='A room?' additional_kwargs={} response_metadata={} id='1'",
            f"content='' additional_kwargs={{}} tool_calls={listed} invalid_tool_calls=[]",
            "content='room 7' name='find_rooms' id='2' tool_call_id='call_9'",
            'content="It\'s room 7." additional_kwargs={} tool_calls=[] invalid_tool_calls=[]',
        ]
    }
    attributes = {
        "gen_ai.span.kind": "CHAIN",
        "output.value": json.dumps(state),
        "output.mime_type": "application/json",
    }
    found = to_trajectory([span(1, "desk", "traceai_langchain", attributes)])
    assert found.steps[0].output["messages"] == [
        {"role": "human", "content": "A room?"},
        {"role": "ai", "content": "", "tool_calls": listed},
        {"role": "tool", "content": "room 7"},
        {"role": "ai", "content": "It's room 7."},
    ]
    assert found.output == "It's room 7."


def test_langsmith_writes_empty_objects_where_it_knows_nothing() -> None:
    nothing = {"langsmith.span.kind": "chain", "gen_ai.prompt": "{}", "gen_ai.completion": "{}"}
    said = {
        "langsmith.span.kind": "llm",
        "gen_ai.completion": json.dumps({"output": [{"type": "message", "content": "Done."}]}),
    }
    spans = [
        span(1, "Agent workflow", "langsmith", nothing),
        span(2, "Span Response", "langsmith", said),
    ]
    assert to_trajectory(spans).output == "Done."


# One thing recorded twice.


def test_one_id_of_a_response_is_one_call_however_its_tokens_were_counted() -> None:
    both = {"gen_ai.response.id": "msg_1", "gen_ai.usage.input_tokens": 90}
    text = answered({"type": "text", "content": "Done."})
    spans = [
        span(1, "desk", "app", {"gen_ai.operation.name": "invoke_agent"}),
        span(
            2,
            "anthropic.chat",
            "opentelemetry.instrumentation.anthropic",
            chat(**both, **{"gen_ai.usage.output_tokens": 21, "gen_ai.output.messages": text}),
            at=(10, 80),
        ),
        span(
            3,
            "anthropic.messages.create",
            "com.anthropic.sdk.python",
            chat(
                **both,
                **{"gen_ai.usage.output_tokens": 20, "anthropic.message.stop_reason": "end_turn"},
            ),
            at=(12, 78),
        ),
    ]
    found = to_trajectory(spans)
    [call] = of_kind(found, "llm")
    assert (call.output, call.tokens_in, call.stop_reason) == ("Done.", 90, "stop")


def test_responses_of_two_ids_are_two_calls_though_they_say_the_same() -> None:
    text = answered({"type": "text", "content": "Done."})

    def told(number: int) -> dict[str, Any]:
        return chat(**{"gen_ai.response.id": f"msg_{number}", "gen_ai.output.messages": text})

    spans = [
        span(1, "desk", "app", {"gen_ai.operation.name": "invoke_agent"}),
        span(2, "one", "opentelemetry.instrumentation.anthropic", told(1), at=(10, 80)),
        span(3, "two", "com.anthropic.sdk.python", told(2), at=(12, 78)),
    ]
    assert len(of_kind(to_trajectory(spans), "llm")) == 2


def test_a_stand_in_of_a_provider_may_give_one_id_to_all_answers() -> None:
    """Two scopes that say other things are two calls, whatever their ids are."""

    def told(said: str) -> dict[str, Any]:
        text = answered({"type": "text", "content": said})
        return chat(**{"gen_ai.response.id": "chatcmpl-123", "gen_ai.output.messages": text})

    spans = [
        span(1, "desk", "app", {"gen_ai.operation.name": "invoke_agent"}),
        span(2, "one", "opentelemetry.instrumentation.anthropic", told("Refunded."), at=(10, 80)),
        span(3, "two", "com.anthropic.sdk.python", told("No risk found."), at=(12, 78)),
    ]
    outputs = [call.output for call in of_kind(to_trajectory(spans), "llm")]
    assert outputs == ["Refunded.", "No risk found."]


def test_a_stream_through_a_gateway_is_one_call_by_a_model_that_nobody_told() -> None:
    said = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "chat",
        "llm.invocation_parameters": '{"model": "chat", "stream": true}',
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "Done.",
    }
    passed_on = chat(
        **{
            "litellm.model_group": "chat",
            "gen_ai.response.model": "chat",
            "llm.is_streaming": "True",
            "gen_ai.output.messages": answered({"type": "text", "content": "Done."}),
        }
    )
    spans = [
        span(1, "desk", "app", {"gen_ai.operation.name": "invoke_agent"}),
        span(2, "ChatCompletion", OI_OPENAI, said, at=(10, 80)),
        span(3, "litellm_request", "litellm", passed_on, at=(12, 78)),
    ]
    [call] = of_kind(to_trajectory(spans), "llm")
    assert (call.model_requested, call.model_served) == ("chat", None)
    [alone] = of_kind(to_trajectory([spans[0], spans[2]]), "llm")
    assert (alone.model_requested, alone.model_served) == ("gpt-4o", None)


def test_the_call_that_ended_last_says_why_the_run_stopped() -> None:
    good = chat(**{"gen_ai.response.finish_reasons": ["stop"]})
    spans = [
        span(1, "desk", "app", {"gen_ai.operation.name": "invoke_agent"}),
        span(2, "client", "app", good, at=(10, 80)),
        span(3, "attempt", "gateway", chat(**{"error.type": "503"}), at=(12, 20)),
    ]
    assert to_trajectory(spans).stop_reason == "stop"


def test_two_recordings_of_a_call_may_be_kept_waiting_by_a_busy_machine() -> None:
    text = answered({"type": "text", "content": "Done."})
    spans = [
        span(1, "desk", "app", {"gen_ai.operation.name": "invoke_agent"}),
        span(2, "one", TL_LANGCHAIN, chat(**{"gen_ai.output.messages": text}), at=(10, 480)),
        span(3, "two", TL_OPENAI, chat(**{"gen_ai.output.messages": text}), at=(45, 501)),
    ]
    assert len(of_kind(to_trajectory(spans), "llm")) == 1


def test_an_argument_without_its_name_takes_the_name_that_another_recording_has() -> None:
    bare = {"openinference.span.kind": "TOOL", "tool.name": "find_rooms", "input.value": "Porto"}
    named = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "find_rooms",
        "gen_ai.tool.call.arguments": '{"city": "Porto"}',
    }
    spans = [
        span(1, "find_rooms", OI_LANGCHAIN, bare, at=(0, 20)),
        span(2, "execute_tool find_rooms", "app", named, at=(1, 19)),
    ]
    [tool] = of_kind(to_trajectory(spans), "tool")
    assert tool.arguments == {"city": "Porto"}


def test_of_two_recordings_of_an_answer_the_one_that_tells_its_calls_counts() -> None:
    bare = [{"type": "tool_call", "id": "call_9", "name": "find_rooms"}]
    whole = [{"type": "text", "content": "Looking."}, {**bare[0], "arguments": ROOMS}]

    def told(parts: list[dict[str, Any]]) -> dict[str, Any]:
        return chat(**{"gen_ai.output.messages": answered(*parts)})

    spans = [
        span(1, "chat gpt-4o", "opentelemetry.instrumentation.openai_v2", told(bare), at=(0, 20)),
        span(2, "ChatCompletion", TL_OPENAI, told(whole), at=(1, 19)),
    ]
    [call] = of_kind(to_trajectory(spans), "llm")
    assert call.output == {
        "content": "Looking.",
        "tool_calls": [{"id": "call_9", "name": "find_rooms", "arguments": ROOMS}],
    }


def test_a_graph_that_is_a_node_and_is_recorded_twice() -> None:
    """As an agent of a supervisor's is, in a node of its own name."""
    ours = {"openinference.span.kind": "CHAIN", "metadata": '{"langgraph_node": "flights"}'}
    theirs = {
        "traceloop.span.kind": "task",
        "traceloop.entity.name": "flights",
        "traceloop.association.properties.langgraph_node": "flights",
    }
    root = {"openinference.span.kind": "CHAIN"}
    spans = [
        span(1, "bureau", OI_LANGCHAIN, root),
        span(2, "execute_task flights", TL_LANGCHAIN, theirs, at=(10, 90)),
        span(3, "flights", OI_LANGCHAIN, ours, at=(10.1, 94)),
        span(4, "execute_task flights", TL_LANGCHAIN, theirs, parent=2, at=(12, 84)),
        span(5, "flights", OI_LANGCHAIN, ours, parent=3, at=(12.1, 88)),
        span(6, "ChatOpenAI.chat", TL_LANGCHAIN, chat(), parent=4, at=(20, 30)),
    ]
    found = outline(to_trajectory(spans))
    assert found == ["workflow bureau", "  node flights", "    llm gpt-4o"]


# Calls that are spread over spans.


def test_logfire_says_in_a_message_what_was_streamed() -> None:
    asked = {"logfire.span_type": "span", "logfire.msg_template": "Chat Completion with {x}"}
    usage = {"completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 2}}
    told = {
        "logfire.span_type": "log",
        "logfire.msg_template": "streaming response from {request_data[model]!r} took {d:.2f}s",
        "gen_ai.output.messages": answered({"type": "text", "content": "Done."}),
        "gen_ai.usage.input_tokens": 40,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.raw": json.dumps(usage),
    }
    echoed = chat(**{"gen_ai.response.model": "gpt-4o"})
    spans = [
        span(1, "desk", "app", {"gen_ai.operation.name": "invoke_agent"}),
        span(2, "Chat Completion with", "logfire.openai", {**echoed, **asked}),
        span(3, "streaming response", "logfire.openai", {**echoed, **told}, at=(60, 60)),
    ]
    found = to_trajectory(spans)
    [call] = of_kind(found, "llm")
    assert (call.output, call.tokens_in, call.tokens_out) == ("Done.", 40, 7)
    assert (call.model_requested, call.model_served, call.tokens_reasoning) == ("gpt-4o", None, 2)


def test_logfires_embeddings_are_no_calls_of_a_model_that_talks() -> None:
    attributes = {
        "logfire.span_type": "span",
        "logfire.msg_template": "Embedding Creation with {request_data[model]!r}",
        "gen_ai.operation.name": "embeddings",
        "gen_ai.request.model": "text-embedding-3-small",
        "gen_ai.usage.input_tokens": 7,
    }
    found = to_trajectory([span(1, "Embedding Creation", "logfire.openai", attributes)])
    assert outline(found) == ["embedding text-embedding-3-small"]


@pytest.mark.parametrize("failed", [False, True])
def test_an_attempt_that_failed_within_the_applications_own_span(failed: bool) -> None:
    """LiteLLM writes it onto that span, though another attempt saved the call."""
    own = {"gen_ai.agent.name": "desk", "litellm.call_id": "x", "error.type": "APIError"}
    events = raised("litellm.exceptions.APIError", "The server is busy")
    found = to_trajectory([span(1, "invoke_agent desk", "app", own, events=events, error=failed)])
    assert outline(found) == ["agent desk !" if failed else "agent desk"]


def test_litellm_within_the_applications_own_span() -> None:
    """It writes each call over the one before onto that span; its requests hold all of them."""
    called = {"id": "call_1", "function": {"name": "find_rooms", "arguments": json.dumps(ROOMS)}}

    def raw(number: int, message: dict[str, Any], reason: str) -> Span:
        choice = {"finish_reason": reason, "message": {"role": "assistant", **message}}
        usage = {"prompt_tokens": 40 + number, "completion_tokens": 5, "total_tokens": 45 + number}
        attributes = {
            "llm.openai.messages": "[{'role': 'user', 'content': 'A room?'}]",
            "llm.openai.id": f"chatcmpl_{number}",
            "llm.openai.model": "gpt-4o-2024-08-06",
            "llm.openai.choices": repr([choice]),
            "llm.openai.usage": repr(usage),
        }
        return span(number, "raw_gen_ai_request", "litellm", attributes)

    own = {
        "gen_ai.agent.name": "desk",
        "litellm.call_id": "x",
        "gen_ai.usage.input_tokens": 44,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.output.messages": answered({"type": "text", "content": "Room 7."}),
    }
    spans = [
        span(1, "invoke_agent desk", "app", chat(**own)),
        raw(2, {"content": None, "tool_calls": [called]}, "tool_calls"),
        span(
            3,
            "execute_tool find_rooms",
            "app",
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "find_rooms",
                "gen_ai.tool.call.result": "room 7",
            },
        ),
        raw(4, {"content": "Room 7."}, "stop"),
    ]
    found = to_trajectory(spans)
    name = "gpt-4o-2024-08-06"
    assert outline(found) == ["agent desk", f"  llm {name}", "  tool find_rooms", f"  llm {name}"]
    first, last = of_kind(found, "llm")
    assert first.output == {
        "content": None,
        "tool_calls": [{"id": "call_1", "name": "find_rooms", "arguments": ROOMS}],
    }
    assert (first.model_requested, first.model_served) == ("gpt-4o", name)
    assert (first.stop_reason, last.stop_reason) == ("tool_calls", "stop")
    assert (found.tokens_in, found.tokens_out, found.output) == (86, 10, "Room 7.")
    [tool] = of_kind(found, "tool")
    assert (tool.call_id, tool.arguments) == ("call_1", ROOMS)
