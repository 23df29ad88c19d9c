"""The assistant as a LangGraph graph; README.md draws it."""

from __future__ import annotations

import json
import operator
import time
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from pipelines.vendor_assistant import models, prompts, retrieval, tools
from pipelines.vendor_assistant.model_server import MISTAKES_HEADER
from pipelines.vendor_assistant.retrieval import Document

MAX_SEARCHES = 2
MAX_TURNS = 6
TOOL_ATTEMPTS = 2
DOMAINS = ("vendor", "expense", "access", "security", "people", "legal")


@dataclass(frozen=True)
class Context:
    """What one call of the graph is run with: the settings, and the seed of its trial."""

    variant: str = "standard"
    model: str = "vendor-large"
    fallback_model: str = "vendor-small"
    mistakes: float = 0.0
    seed: int | None = None


class State(TypedDict, total=False):
    """What the nodes pass on. ``actions`` is the ledger: the records that writes left behind."""

    input: dict[str, Any]
    route: str
    domain: str
    query: str
    searches: Annotated[int, operator.add]
    turns: Annotated[int, operator.add]
    policies: list[Document]
    history: list[Document]
    context: list[Document]
    messages: Annotated[list[BaseMessage], operator.add]
    fell_back: bool
    approval: dict[str, Any]
    actions: Annotated[list[dict[str, Any]], operator.add]
    outcome: dict[str, Any]


def classify(state: State, runtime: Runtime[Context]) -> State:
    """Asks the model for the route; what it answers must be one, else it is small talk."""
    message = _ask(prompts.classify(state["input"]), state, runtime.context)
    found = _json_object(message.text)
    route = found.get("route") if found.get("route") in tools.TOOLS else "small_talk"
    domain = found.get("domain") if found.get("domain") in DOMAINS else retrieval.EVERYWHERE
    question = str(state["input"].get("question", ""))
    return {
        "route": str(route),
        "domain": str(domain),
        "query": f"{question} {state['input'].get('vendor', '')}".strip(),
        "fell_back": _fell_back(message, runtime.context),
    }


def after_classify(state: State, runtime: Runtime[Context]) -> list[str]:
    """Small talk needs no documents; everything else retrieves from two sources at once."""
    if state["route"] == "small_talk":
        return ["reason"]
    skip = runtime.context.variant == "skip-retrieval" and state["route"] == "vendor_exception"
    return ["retrieve_history"] if skip else ["retrieve_policy", "retrieve_history"]


def retrieve_policy(state: State) -> State:
    """Policies near the query, of the question's domain."""
    return {"policies": retrieval.retrieve_policy(state["query"], state["domain"]), "searches": 1}


def retrieve_history(state: State) -> State:
    """Past cases near the query, of the question's domain."""
    return {"history": retrieval.retrieve_history(state["query"], state["domain"])}


def rerank(state: State) -> State:
    """The best of both sources: all kept policies before past cases."""
    found = [*state.get("policies", []), *state.get("history", [])]
    return {"context": retrieval.rerank(state["query"], found, top_k=8)}


def after_rerank(state: State, runtime: Runtime[Context]) -> list[str]:
    """On to reasoning; the variant ``looping`` searches for expenses up to the cap."""
    loops = runtime.context.variant == "looping" and state["route"] == "expense_question"
    if loops and state["searches"] <= MAX_SEARCHES:
        return ["retrieve_policy", "retrieve_history"]
    return ["reason"]


def reason(state: State, runtime: Runtime[Context]) -> State:
    """Asks the model for a tool call, another search, or the decision."""
    if runtime.context.variant == "slow":
        time.sleep(0.25)
    asked = prompts.reason(
        state["input"],
        state["route"],
        state.get("context", []),
        state.get("searches", 0),
        state.get("messages", []),
    )
    message = _ask(asked, state, runtime.context, _offer(state, runtime.context))
    update: State = {"turns": 1, "fell_back": _fell_back(message, runtime.context)}
    search = next((one for one in message.tool_calls if one["name"] == "search_again"), None)
    if state.get("turns", 0) >= MAX_TURNS or (search and state.get("searches", 0) >= MAX_SEARCHES):
        return {**update, "outcome": _outcome("escalate", "I could not settle this.")}
    if search:
        query = str(search["args"].get("query") or state["query"])
        return {**update, "query": query, "domain": retrieval.EVERYWHERE}
    if message.tool_calls:
        return {**update, "messages": [message]}
    return {**update, "outcome": _decision(message.text)}


def after_reason(state: State, runtime: Runtime[Context]) -> list[str]:
    """To the decision's end, to the tools (by way of a person for writes), or back to search."""
    if "outcome" in state:
        return ["escalate" if state["outcome"]["decision"] == "escalate" else "answer"]
    calls = _pending(state)
    if not calls:
        return ["retrieve_policy", "retrieve_history"]
    waits = any(one["name"] in tools.NEEDS_APPROVAL for one in calls)
    return ["request_approval" if waits and runtime.context.variant != "no-approval" else "tool"]


def request_approval(state: State) -> State:
    """Whether a person other than the requester has agreed to the change of state."""
    given = state["input"].get("approval")
    given = given if isinstance(given, dict) else {}
    approver = given.get("by")
    if not approver:
        return {"approval": {"granted": False, "why": "nobody has approved it yet"}}
    if approver == state["input"].get("user"):
        return {"approval": {"granted": False, "why": "nobody approves their own request"}}
    if given.get("granted") is not True:
        return {"approval": {"granted": False, "why": f"{approver} has declined"}}
    return {"approval": {"granted": True, "by": approver}}


def after_approval(state: State) -> str:
    """To the tools if approved, else to a person."""
    return "tool" if state["approval"]["granted"] else "escalate"


def tool(state: State) -> State:
    """Runs the calls that the model made; a tool that timed out is tried once more."""
    done = [_run_tool(call) for call in _pending(state)]
    return {
        "messages": [message for message, _ in done],
        "actions": [record for _, record in done if record],
    }


def answer(state: State) -> State:
    """The end where the assistant answers, approves or refuses itself."""
    return {"outcome": state["outcome"]}


def escalate(state: State) -> State:
    """The end where a person takes over."""
    if "outcome" in state:
        return {"outcome": state["outcome"]}
    why = state["approval"]["why"]
    return {"outcome": _outcome("escalate", f"This needs approval before it is done: {why}.")}


@cache
def build() -> CompiledStateGraph[State, Context, State, State]:
    """The compiled graph, built once."""
    graph = StateGraph(State, context_schema=Context)
    retrievers = ["retrieve_policy", "retrieve_history"]
    for node in (classify, retrieve_policy, retrieve_history, rerank, reason):
        graph.add_node(node.__name__, node)
    for node in (request_approval, tool, answer, escalate):
        graph.add_node(node.__name__, node)
    graph.add_edge(START, "classify")
    graph.add_conditional_edges("classify", after_classify, [*retrievers, "reason"])
    for retriever in retrievers:
        graph.add_edge(retriever, "rerank")
    graph.add_conditional_edges("rerank", after_rerank, [*retrievers, "reason"])
    ends = ["answer", "escalate"]
    graph.add_conditional_edges(
        "reason", after_reason, [*retrievers, "request_approval", "tool", *ends]
    )
    graph.add_conditional_edges("request_approval", after_approval, ["tool", "escalate"])
    graph.add_edge("tool", "reason")
    for end in ends:
        graph.add_edge(end, END)
    return graph.compile(name="vendor_assistant")


def _ask(
    messages: list[BaseMessage], state: State, context: Context, offer: models.Offer | None = None
) -> AIMessage:
    """One model call. Once a trial has fallen back it stays with the second model."""
    where = models.endpoint()
    if state.get("fell_back"):
        model = models.model(context.fallback_model, where, offer)
    else:
        model = models.model_with_fallback(context.model, context.fallback_model, where, offer)
    extra: dict[str, Any] = {} if context.seed is None else {"seed": context.seed}
    if where.local:
        extra["extra_headers"] = {MISTAKES_HEADER: str(context.mistakes)}
    message: AIMessage = model.invoke(messages, **extra)
    return message


def _fell_back(message: AIMessage, context: Context) -> bool:
    served = str(message.response_metadata.get("model_name", ""))
    return served.startswith(context.fallback_model) and context.fallback_model != context.model


def _offer(state: State, context: Context) -> models.Offer:
    """The route's tools, and another search until the cap."""
    route = state["route"]
    wrong = context.variant == "wrong-tool" and route == "access_request"
    search = route != "small_talk" and state.get("searches", 0) < MAX_SEARCHES
    return models.Offer("vendor_exception" if wrong else route, search)


def _pending(state: State) -> list[Any]:
    """The calls of the last message, if it is the model's."""
    messages = state.get("messages", [])
    return messages[-1].tool_calls if messages and isinstance(messages[-1], AIMessage) else []


def _run_tool(call: Any) -> tuple[ToolMessage, dict[str, Any] | None]:
    chosen = tools.BY_NAME.get(call["name"])
    if chosen is None:
        return _failed(call, f"there is no tool {call['name']!r}"), None
    for attempt in range(1, TOOL_ATTEMPTS + 1):
        try:
            message = chosen.invoke(call, {"metadata": {"attempt": attempt}})
            break
        except tools.BackendTimeoutError as error:
            if attempt == TOOL_ATTEMPTS:
                return _failed(call, str(error)), None
        except (tools.BackendError, ValueError) as error:  # ValueError: arguments of a wrong shape
            return _failed(call, str(error)), None
    return message, json.loads(message.content) if call["name"] in tools.WRITES else None


def _failed(call: Any, why: str) -> ToolMessage:
    return ToolMessage(
        json.dumps({"error": why}), tool_call_id=call["id"], name=call["name"], status="error"
    )


def _decision(text: str) -> dict[str, Any]:
    """The model's decision; what cannot be read goes to a person."""
    found = _json_object(text)
    decision, citations = found.get("decision"), found.get("citations")
    if decision not in ("answer", "approve", "escalate", "refuse"):
        return _outcome("escalate", "The model gave no decision that could be read.")
    listed = [str(one) for one in citations] if isinstance(citations, list) else []
    return _outcome(str(decision), str(found.get("answer", "")), listed)


def _outcome(decision: str, text: str, citations: list[str] | None = None) -> dict[str, Any]:
    return {"decision": decision, "answer": text, "citations": citations or []}


def _json_object(text: str) -> dict[str, Any]:
    """The JSON object in a model's text, which may stand in a code fence."""
    start, end = text.find("{"), text.rfind("}")
    try:
        value = json.loads(text[start : end + 1])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
