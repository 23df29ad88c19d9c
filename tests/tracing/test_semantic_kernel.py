"""Semantic Kernel's functions by name: ``Plugin-function``, and where the plugin is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evalkit.spans import Span
from evalkit.tracing.normalizer import to_trajectory
from evalkit.trajectory import Step
from tests.tracing.test_dialects import labels, span, steps

AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk"}
LOOP = "AutoFunctionInvocationLoop"


def kernel(number: int, name: str, **attributes: Any) -> Span:
    return span(number, name, scope="semantic_kernel.functions", attributes=attributes)


def function(number: int, name: str) -> Span:
    named = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}
    return kernel(number, f"execute_tool {name}", **named)


def agent(*offers: str) -> Span:
    listed = [{"type": "function", "function": {"name": name}} for name in offers]
    return kernel(1, "invoke_agent clerk", **AGENT, **{"gen_ai.tool.definitions": listed})


def offers(step: Step) -> set[str]:
    return set(step.offered or ())


def test_a_function_is_named_without_its_plugin() -> None:
    found = to_trajectory([agent("orders-get", "mail-send"), function(2, "orders-get")])
    assert labels(found) == ["agent clerk", "  tool get"]
    assert {"get", "send"} <= offers(steps(found)[0])


def test_functions_of_two_plugins_that_share_a_name_keep_their_plugins() -> None:
    spans = [agent(), function(2, "orders-get"), function(3, "users-get"), function(4, "mail-send")]
    names = [step.name for step in steps(to_trajectory(spans))[1:]]
    assert names == ["orders-get", "users-get", "send"]


@pytest.mark.parametrize("told", ["agent", "loop", "model"])
def test_a_function_has_one_name_in_all_traces_that_offer_the_same(told: str) -> None:
    listed = ("orders-get", "users-get", "mail-send")
    around = agent(*(listed if told == "agent" else ()))
    loop = kernel(
        2, LOOP, **({"sk.available_functions": ",".join(listed)} if told == "loop" else {})
    )
    asked: dict[str, Any] = {"openinference.span.kind": "LLM", "llm.model_name": "m"}
    if told == "model":
        asked |= {
            f"llm.tools.{at}.tool.json_schema": json.dumps({"function": {"name": name}})
            for at, name in enumerate(listed)
        }
    model = span(3, "ChatCompletion", 2, scope="openinference.openai", attributes=asked)
    for called in (["orders-get"], ["orders-get", "users-get"], ["mail-send", "orders-get"]):
        spans = [around, loop, model, *(function(4 + at, name) for at, name in enumerate(called))]
        found = [step.name for step in steps(to_trajectory(spans)) if step.kind == "tool"]
        assert found == [name.removeprefix("mail-") for name in called]


def test_what_other_frameworks_call_keeps_its_name() -> None:
    named = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get-order"}
    other = span(3, "execute_tool get-order", scope="other", attributes=named)
    found = to_trajectory([agent(), function(2, "kb-find"), other])
    assert labels(found) == ["agent clerk", "  tool find", "  tool get-order"]
