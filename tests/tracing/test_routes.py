"""Which route a trace took, and what said so."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from evalkit.spans import Span
from evalkit.suite import RouteRule, RouteSource
from evalkit.tracing.routes import route_taken
from evalkit.trajectory import Step, Trajectory


def node(name: str, *steps: Step, output: Any = None, kind: Any = "node") -> Step:
    return Step(kind=kind, name=name, output=output, steps=steps)


def taken(*steps: Step, source: RouteSource | None, spans: tuple[Span, ...] = ()) -> Any:
    return route_taken(None, Trajectory(steps=steps), spans, source)


def span(**attributes: Any) -> Span:
    return Span(
        trace_id="a" * 32, span_id="b" * 16, name="s", start_ns=1, end_ns=2, attributes=attributes
    )


AFTER = RouteSource(after="classify")
LLM = node("gpt", kind="llm")


@pytest.mark.parametrize(
    ("steps", "route"),
    [
        ((node("classify", LLM), node("refund", LLM), node("end")), "refund"),
        ((node("classify"), LLM, node("pii", kind="guardrail"), node("refund")), "refund"),
        ((node("graph", node("classify"), node("refund", kind="tool")),), "refund"),
        # The router is all of its sub-graph: what follows that is where it sent to.
        ((node("routing", LLM, node("classify"), LLM), node("refund")), "refund"),
        # A supervisor comes back: its last word with a place to go counts.
        (tuple(map(node, ("classify", "search", "classify", "answer", "classify"))), "answer"),
        ((node("refund"), node("classify")), None),
        ((node("refund"),), None),
        ((), None),
    ],
)
def test_the_first_step_after_the_router(steps: tuple[Step, ...], route: str | None) -> None:
    why = "first step after classify" if route else None
    assert taken(*steps, source=AFTER) == (route, why)


@pytest.mark.parametrize(
    ("output", "path", "route"),
    [
        ({"route": "refund"}, "route", "refund"),
        ('{"route": "refund"}', "route", "refund"),  # a model in JSON mode
        (' {"routes": ["refund"]}\n', "routes[0]", "refund"),
        ({"result": '{"route": "refund"}'}, "result.route", "refund"),
        ('["refund"]', None, "refund"),
        ('{"route": "refund"}', "label", None),
        ('{"route": "refund"}', None, None),  # no path into it
        # An output of one key, recorded as its bare value.
        ("refund", "route", "refund"),
        ("vendor exception", "route", "vendor exception"),
        ("billing/refund", "route", "billing/refund"),
        # A text that tells no route, but talks.
        ("I think that this is a refund", "route", None),
        ("Refund.", "route", None),
        ("I can't help", "route", None),
        ("refund\nbecause it was asked for", "route", None),
        ("", "route", None),
        ("I cannot help", "route", None),
        ("It is refund", "route", None),
        # Without a path the text itself is what was asked for, if it can be a route.
        ("refund", None, "refund"),
        ("out of scope", None, "out of scope"),
        (" Refund & returns (EU)\n", None, "Refund & returns (EU)"),
        ("Refund.", None, "Refund."),
        ("order: refund", None, "order: refund"),
        ("IT support", None, "IT support"),
        ("IT support", "route", "IT support"),
        ("human in the loop", None, "human in the loop"),
        ("human in the loop", "route", "human in the loop"),
        ('"Billing & Payments"', None, "Billing & Payments"),
        ("refund, since the order was never sent", None, None),
        ("refund\nbecause of the order", None, None),
        ("I think that this is a refund", None, None),
        ("This is refund", None, None),
        # A value that was put in its place is the route, whatever it reads like.
        ({"route": "ask: what is it?"}, "route", "ask: what is it?"),
        # JSON between fences, if there is one.
        ('```json\n{"route": "refund"}\n```', "route", "refund"),
        ('Sure!\n```\n{"route": "refund"}\n```\nAnything else?', "route", "refund"),
        ('```json\n["refund"]\n```', None, "refund"),
        ('```json\n{"route": "refund"}\n```', "label", None),
        ('```json\n{"route": "refund"}\n```', None, None),
        ('```\n{"route": "a"}\n```\nor\n```\n{"route": "b"}\n```', "route", None),
        ('```json\n{"route": "ref\n```', "route", None),
        ("```\nrefund\n```", "route", None),
    ],
)
def test_the_output_of_the_router(output: Any, path: str | None, route: str | None) -> None:
    found, _ = taken(
        node("classify", output=output), source=RouteSource(step="classify", path=path)
    )
    assert found == route


def test_a_rule_reads_json_text_too() -> None:
    rule = RouteRule("refund", step="classify", path="label", equals=2)
    steps = node("classify", output='{"label": 2}')
    found = taken(steps, source=RouteSource(rules=(rule,)))
    assert found == ("refund", "rule 1: output of classify at label is 2")


RULES = RouteSource(
    rules=(
        RouteRule("vendor", step="classify", path="label", equals="vendor"),
        RouteRule("refund", step="issue_refund"),
        RouteRule("internal", attribute="app.tenant", equals=7),
        RouteRule("traced", attribute="app.trace"),
    )
)


@pytest.mark.parametrize(
    ("steps", "attributes", "expected"),
    [
        (
            (node("classify", output={"label": "vendor"}), node("issue_refund")),
            {},
            ("vendor", "rule 1: output of classify at label is vendor"),
        ),
        (
            (node("classify", output={"label": "other"}), node("issue_refund", kind="tool")),
            {},
            ("refund", "rule 2: step issue_refund"),
        ),
        ((), {"app.tenant": 7}, ("internal", "rule 3: attribute app.tenant is 7")),
        ((), {"app.tenant": 8}, (None, None)),
        ((), {"app.trace": ""}, ("traced", "rule 4: attribute app.trace")),
        ((), {}, (None, None)),
    ],
)
def test_the_first_rule_that_holds(
    steps: tuple[Step, ...], attributes: dict[str, Any], expected: tuple[str | None, str | None]
) -> None:
    assert taken(*steps, source=RULES, spans=(span(**attributes),)) == expected


def test_one_is_not_true() -> None:
    source = RouteSource(rules=(RouteRule("x", attribute="a", equals=1),))
    assert taken(source=source, spans=(span(a=True),)) == (None, None)
    assert taken(source=source, spans=(span(a=1),))[0] == "x"


def test_a_rule_without_a_condition_takes_the_rest() -> None:
    source = RouteSource(rules=(RouteRule("refund", step="pay"), RouteRule("other")))
    assert taken(node("pay"), source=source) == ("refund", "rule 1: step pay")
    assert taken(source=source) == ("other", "rule 2: any trace")


def test_what_a_span_tells_counts_where_the_source_finds_nothing() -> None:
    found = route_taken("told", Trajectory(), (), AFTER)
    assert found == ("told", "attribute evalkit.route")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "exactly one of step, attribute, after, rules: none"),
        ({"after": "a", "attribute": "b"}, "`attribute` and `after`"),
        ({"after": "a", "path": "b"}, "a path only beside a step"),
        ({"rules": []}, "length >= 1"),
        ({"rules": [{"route": "a", "step": "b", "attribute": "c"}]}, "not both"),
        ({"rules": [{"route": "a", "step": "b", "path": "c"}]}, "needs equals"),
        ({"rules": [{"route": "a", "equals": "c"}]}, "needs a step or an attribute"),
    ],
)
def test_a_source_that_says_too_much_or_too_little(given: dict[str, Any], why: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.convert(given, RouteSource)
