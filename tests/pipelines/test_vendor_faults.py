"""The gate on the example pipeline: each of its seeded faults, by its route and its step."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langgraph", reason="needs the `examples` extra")
pytest.importorskip("langchain_openai", reason="needs the `examples` extra")
pytest.importorskip("openinference.instrumentation.langchain", reason="needs the `examples` extra")

from evalkit.cli import main

pytestmark = [pytest.mark.examples, pytest.mark.slow]

SUITE = Path(__file__).parents[2] / "pipelines/vendor_assistant/suite.yaml"
ROUTES = ("vendor_exception", "expense_question", "access_request", "small_talk")
CALM = ("--concurrency", "1", "--trials", "1", "--no-confirm")


def run(store: Path, label: str, routes: tuple[str, ...], *options: str) -> tuple[int, Any]:
    """A run without the model's random mistakes: whatever the gate finds is the fault."""
    chosen = [one for route in routes for one in ("--route", route)]
    command = ["run", str(SUITE), "--store", str(store), "--label", label, "--set", "mistakes=0"]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = main([*command, *chosen, "--format", "json", *options])
    return code, json.loads(out.getvalue())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vendor")
    assert run(folder, "main", ROUTES)[0] == 0
    return folder


@pytest.mark.parametrize(
    ("variant", "route", "step"),
    [
        ("skip-retrieval", "vendor_exception", ("missing", "retriever retrieve_policy")),
        ("wrong-tool", "access_request", ("missing", "tool lookup_access")),
        ("no-approval", "expense_question", ("missing", "node request_approval")),
        ("looping", "expense_question", ("loop", "retriever retrieve_policy")),
    ],
)
def test_a_fault_is_found_on_its_route_at_its_step(
    store: Path, variant: str, route: str, step: tuple[str, str]
) -> None:
    routes = (route, "small_talk")
    options = ("--baseline", "main", "--set", f"variant={variant}")
    code, found = run(store, variant, routes, *options)
    assert code == 1
    rows = [row for row in found["routes"] if row["blocking"]]
    failed = [row for row in rows if row["verdict"] in ("regressed", "broken")]
    assert {row["route"] for row in failed} == {route}
    assert {row["verdict"] for row in rows if row["route"] == "small_talk"} == {"ok"}
    assert all(row["spent_trials"] for row in failed)
    named = [(one["kind"], one["name"]) for one in failed[0]["steps"][:3]]
    assert step in named if variant == "looping" else step == named[0]


def test_a_loop_is_named_as_efficiency_too(store: Path) -> None:
    options = ("--baseline", "main", "--set", "variant=looping", "--no-confirm")
    _, found = run(store, "looping", ("expense_question",), *options)
    row = next(row for row in found["routes"] if row["scorer"] == "steps")
    assert (row["verdict"], row["blocking"]) == ("regressed", False)
    assert "retriever retrieve_policy" in [one["name"] for one in row["steps"]]


def test_a_slow_step_is_named(store: Path) -> None:
    """Trial by trial: side by side on a busy machine, a quarter of a second is nothing."""
    routes = ("small_talk",)
    assert run(store, "calm", routes, *CALM)[0] == 0
    code, found = run(store, "slow", routes, "--baseline", "calm", "--set", "variant=slow", *CALM)
    assert code == 0
    row = next(row for row in found["routes"] if row["scorer"] == "latency_s")
    assert (row["verdict"], row["blocking"]) == ("regressed", False)
    assert row["steps"][0]["name"] == "node reason"


def test_the_same_again_passes(store: Path) -> None:
    options = ("--baseline", "main", "--set", "fallback_model=vendor-nano")
    code, found = run(store, "again", ("expense_question", "small_talk"), *options)
    assert code == 0
    assert {row["verdict"] for row in found["routes"] if row["blocking"]} == {"ok"}
