"""Functions that SDKs record by a decorator: what they were given, and what they gave."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evalkit.spans import Span
from evalkit.suite import RouteSource
from evalkit.tracing.normalizer import to_trajectory
from evalkit.trajectory import Trajectory


def recorded(*spans: tuple[str, dict[str, Any]], scope: str, **options: Any) -> Trajectory:
    """Spans one after another below the first."""
    return to_trajectory(
        [
            Span(
                trace_id="a" * 32,
                span_id=f"{number:016x}",
                parent_id=None if number == 1 else f"{1:016x}",
                name=name,
                start_ns=10**18 + number * 1000,
                end_ns=10**18 + (10**6 if number == 1 else number * 1000 + 500),
                attributes=attributes,
                scope=scope,
            )
            for number, (name, attributes) in enumerate(spans, 1)
        ],
        **options,
    )


def traceloop(kind: str, name: str, output: Any, *args: Any, **kwargs: Any) -> Any:
    """As Traceloop's SDK writes it: both sides as JSON."""
    given = {"args": args, "kwargs": kwargs}
    return f"{name}.{kind}", {
        "traceloop.span.kind": kind,
        "traceloop.entity.name": name,
        "traceloop.entity.input": json.dumps(given),
        "traceloop.entity.output": json.dumps(output),
    }


def test_traceloops_outputs_are_what_the_functions_gave() -> None:
    found = recorded(
        traceloop("workflow", "assistant", "Refunded.", "my order"),
        traceloop("task", "classify", "refund", "my order"),
        traceloop("tool", "search", ["d1"], q="refund"),
        traceloop("tool", "status", "shipped", order=7),
        traceloop("tool", "rates", '{"vat": 19}'),
        scope="traceloop.tracer",
        route_from=RouteSource(step="classify"),
    )
    workflow, *inner = [visit.step for visit in found.walk()]
    assert (found.output, found.route, workflow.label) == (
        "Refunded.",
        "refund",
        "workflow assistant",
    )
    assert [step.output for step in inner] == ["refund", ["d1"], "shipped", {"vat": 19}]


def langfuse(given: dict[str, Any]) -> dict[str, Any]:
    told = {"type": "tool", "input": json.dumps(given), "output": "[]"}
    return {f"langfuse.observation.{key}": value for key, value in told.items()}


def openinference(given: dict[str, Any]) -> dict[str, Any]:
    stated = {"input.value": json.dumps(given), "input.mime_type": "application/json"}
    return {"openinference.span.kind": "TOOL", "tool.name": "search", **stated}


def entity(given: dict[str, Any]) -> dict[str, Any]:
    return {"traceloop.span.kind": "tool", "traceloop.entity.input": json.dumps(given)}


def traceai(given: dict[str, Any]) -> dict[str, Any]:
    return {"gen_ai.span.kind": "TOOL", "input.value": json.dumps(given)}


@pytest.mark.parametrize("written", [langfuse, openinference, entity, traceai])
@pytest.mark.parametrize(
    ("args", "kwargs", "arguments"),
    [
        ([], {"q": "refund", "k": 3}, {"q": "refund", "k": 3}),
        ([], {}, {}),
        (["refund"], {}, "refund"),  # as of a tool of one argument, whose name is lost
        ([7], {}, 7),
        (["refund", 3], {}, None),  # which is which cannot be told
        (["refund"], {"k": 3}, None),
        ([{"q": "refund"}], {}, None),
    ],
)
def test_arguments_given_by_place_are_not_none_at_all(
    written: Any, args: list[Any], kwargs: dict[str, Any], arguments: Any
) -> None:
    found = recorded(("search", written({"args": args, "kwargs": kwargs})), scope="sdk")
    [step] = found.steps
    assert (step.label, step.arguments) == ("tool search", arguments)
    assert ("arguments" in found.coverage.missing) == (arguments is None)


def test_a_retriever_is_asked_by_the_query_it_was_given() -> None:
    given = json.dumps({"args": ["refund policy"], "kwargs": {}})
    told = {"langfuse.observation.type": "retriever", "langfuse.observation.input": given}
    [step] = recorded(("retrieve", told), scope="langfuse-sdk").steps
    assert step.arguments == {"query": "refund policy"}
