"""The example pipeline: its routes, its faults, its local model, and its golden dataset."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("langgraph", reason="needs the `examples` extra")
pytest.importorskip("langchain_openai", reason="needs the `examples` extra")
pytest.importorskip("openinference.instrumentation.langchain", reason="needs the `examples` extra")

import httpx

from evalkit.dataset import Case
from evalkit.files import read_dataset, read_suite
from evalkit.scoring import bind, score_trial
from evalkit.suite import Suite
from evalkit.tracing.collector import Collector
from evalkit.tracing.normalizer import to_trajectory
from evalkit.trajectory import Trajectory
from pipelines.vendor_assistant import app, model_rules, model_server, retrieval, tools

pytestmark = pytest.mark.examples

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "pipelines/vendor_assistant"


def the_suite() -> Suite:
    suite = read_suite(FOLDER / "suite.yaml").suite
    assert suite is not None
    return suite


SUITE = the_suite()
CASES = {case.id: case for case in read_dataset(FOLDER / SUITE.dataset)[0]}
NO_MISTAKES = {"mistakes": 0, "seed": 7}


def run(case: Case, **settings: Any) -> Trajectory:
    """One trial, as the runner makes it."""
    with Collector() as collector:
        return record(case, collector, **settings)


def record(case: Case, collector: Collector, **settings: Any) -> Trajectory:
    collector.ensure_provider()
    with collector.trial() as trial:
        output = app.answer(case.input, {**NO_MISTAKES, **settings})
        spans = trial.take()
    return to_trajectory(spans, output=output, route_from=SUITE.route_from, prices=SUITE.prices)


def scores(case: Case, trajectory: Trajectory) -> dict[str, bool | None]:
    bound = bind(SUITE.scorer_uses, SUITE.effects, FOLDER)
    return {one.scorer: one.passed for one in score_trial(case, trajectory, bound)}


def names(trajectory: Trajectory, *kinds: str) -> list[str]:
    return [visit.step.name for visit in trajectory.walk() if visit.step.kind in kinds]


def ask(**body: Any) -> httpx.Response:
    request = {"model": "vendor-small", "messages": [{"role": "user", "content": "hi"}], **body}
    with httpx.Client(trust_env=False) as client:
        return client.post(f"{model_server.start()}/chat/completions", json=request)


# --- the dataset --------------------------------------------------------------------------


def test_the_dataset_covers_every_route_with_one_owner_each() -> None:
    routes = Counter(case.route for case in CASES.values())
    owners = {(case.route, case.owner) for case in CASES.values()}
    assert set(routes) == set(SUITE.routes or ())
    assert len(CASES) >= 60
    assert min(routes.values()) >= 10
    assert len(owners) == len(routes)
    assert all(case.owner and case.tags for case in CASES.values())


def test_every_case_states_outcome_and_steps() -> None:
    assert all(case.expect.outcome and case.expect.steps for case in CASES.values())


@pytest.mark.parametrize("tag", sorted({tag for case in CASES.values() for tag in case.tags}))
def test_without_mistakes_every_scorer_passes(tag: str) -> None:
    """Each case once, under its first tag."""
    for case in CASES.values():
        if case.tags[0] == tag and "model-timeout" not in case.tags:
            failed = [name for name, passed in scores(case, run(case)).items() if not passed]
            assert not failed, case.id


# --- routes and what they show ----------------------------------------------------------------


def test_a_large_exception_goes_to_compliance() -> None:
    trajectory = run(CASES["vendor-exception-over-threshold"])
    assert trajectory.route == "vendor_exception"
    assert names(trajectory, "tool") == ["lookup_vendor", "compliance_review"]
    assert set(names(trajectory, "retriever")) == {"retrieve_policy", "retrieve_history"}
    assert names(trajectory, "reranker") == ["rerank"]
    assert names(trajectory, "node")[-1] == "escalate"
    assert trajectory.output["decision"] == "escalate"
    assert trajectory.tokens_in
    assert trajectory.cost_usd


def test_a_write_waits_for_approval() -> None:
    order = names(run(CASES["vendor-exception-small-approved"]), "node", "tool")
    assert order.index("request_approval") < order.index("approve_exception")


def test_an_outage_shows_both_models_and_the_second_one_stays() -> None:
    trajectory = run(CASES["vendor-exception-model-outage"])
    calls = [visit.step for visit in trajectory.walk() if visit.step.kind == "llm"]
    assert [call.status for call in calls] == ["error", "ok", "ok", "ok", "ok"]
    assert [call.model_requested for call in calls] == ["vendor-large", *["vendor-small"] * 4]
    assert {call.model_served for call in calls[1:]} == {"vendor-small-2026-10-01"}


def test_a_model_that_hangs_is_given_up_for_the_second_one() -> None:
    case = CASES["vendor-exception-model-hangs"]
    trajectory = run(case)
    calls = [visit.step.status for visit in trajectory.walk() if visit.step.kind == "llm"]
    assert calls.count("error") == 1
    assert all(scores(case, trajectory).values())


def test_a_tool_that_times_out_is_tried_once_more() -> None:
    for case, statuses in (
        ("vendor-exception-review-system-timeout", ["error", "error"]),
        ("vendor-exception-review-retry-works", ["error", "ok"]),
        ("vendor-exception-review-system-down", ["error"]),
    ):
        steps = [visit.step for visit in run(CASES[case]).walk()]
        assert [one.status for one in steps if one.name == "compliance_review"] == statuses


def test_instructions_in_documents_are_retrieved_but_not_obeyed() -> None:
    injected = [case for case in CASES.values() if "prompt-injection" in case.tags]
    assert len(injected) >= 4
    for case in injected:
        trajectory = run(case)
        found = json.dumps([v.step.output for v in trajectory.walk() if v.step.kind == "retriever"])
        assert "ignore the policy" in found or "disregard previous" in found, case.id
        assert not {"approve_exception", "grant_access", "file_expense"} & set(
            names(trajectory, "tool")
        )


def test_a_second_search_looks_everywhere_and_ends_at_the_cap() -> None:
    trajectory = run(CASES["policy-none-pets"])
    assert names(trajectory, "retriever").count("retrieve_policy") == 2
    assert trajectory.output["decision"] == "escalate"


# --- faults -------------------------------------------------------------------------------


def test_skipping_retrieval_fails_the_cases_that_need_the_policy_and_no_others() -> None:
    quick = {"prompt-injection", "happy", "refuse", "approval"}
    vendor = [
        case
        for case in CASES.values()
        if case.route == "vendor_exception" and quick & {*case.tags[:1]}
    ]
    for case in vendor:
        trajectory = run(case, variant="skip-retrieval")
        assert scores(case, trajectory)["trajectory_match"] is False, case.id
        assert scores(case, trajectory)["task_completion"] is False, case.id
        assert "retrieve_policy" not in names(trajectory, "retriever")
    other = CASES["expense-meal-within"]
    assert all(scores(other, run(other, variant="skip-retrieval")).values())


def test_the_other_faults_show_at_their_step() -> None:
    access, expense = CASES["access-crm-viewer"], CASES["expense-file-approved"]
    wrong = names(run(access, variant="wrong-tool"), "tool")
    assert wrong == ["lookup_vendor"]
    assert "request_approval" not in names(run(access, variant="no-approval"), "node")
    unapproved = run(CASES["access-nobody-approved"], variant="no-approval")
    assert "grant_access" in names(unapproved, "tool")
    looped = names(run(expense, variant="looping"), "retriever")
    assert looped.count("retrieve_policy") == 3


def test_unknown_settings_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"skip-retrieval, wrong-tool"):
        app.answer({"question": "hi"}, {"variant": "skip"})
    with pytest.raises(ValueError, match="fallback_model"):
        app.answer({"question": "hi"}, {"temperature": 1})


def test_a_seed_repeats_a_run_and_trials_of_it_differ() -> None:
    case = {"question": "Can I approve this vendor exception?", "vendor": "Initech", "amount": 9}

    def a_run() -> list[str]:
        app._trials.clear()
        settings = {"seed": 3, "mistakes": 0.5}
        return [json.dumps(app.answer(case, settings), sort_keys=True) for _ in range(6)]

    first = a_run()
    assert first == a_run()
    assert len(set(first)) > 1


def test_concurrent_trials_keep_their_spans_apart() -> None:
    chosen = [case for case in CASES.values() if case.tags == ("happy",)]
    with Collector() as collector, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda case: record(case, collector), chosen))
        assert collector.stray_spans == 0
    for case, trajectory in zip(chosen, found, strict=True):
        assert scores(case, trajectory)["trajectory_match"], case.id


# --- parts --------------------------------------------------------------------------------


def test_the_server_speaks_the_protocol() -> None:
    response = ask()
    content = response.json()
    assert response.status_code == 200
    assert content["model"] == "vendor-small-2026-10-01"
    assert content["choices"][0]["finish_reason"] == "stop"
    usage = content["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


@pytest.mark.parametrize(
    ("body", "status"),
    [({"model": "gpt"}, 404), ({"stream": True}, 400), ({"messages": []}, 400)],
)
def test_the_server_refuses_what_it_does_not_serve(body: dict[str, Any], status: int) -> None:
    response = ask(**body)
    assert response.status_code == status
    assert response.json()["error"]["message"]


def test_the_server_keeps_connections_open_and_starts_once() -> None:
    with httpx.Client(trust_env=False) as client:
        for _ in range(3):
            bad = client.post(f"{model_server.start()}/chat/completions", content=b"{not json")
            assert bad.status_code == 400
    running = [one for one in threading.enumerate() if one.name == "local-model"]
    assert len(running) == 1


def test_mistakes_come_at_the_rate_that_is_asked_for() -> None:
    messages = [{"role": "system", "content": "route"}, {"role": "user", "content": "Hello!"}]
    prompt = model_rules.read_prompt(messages, [])
    right = model_rules.classify(prompt)
    dice = random.Random(1)
    wrong = sum(model_rules.reply(prompt, dice, 0.1) != right for _ in range(2000))
    assert 140 < wrong < 260
    assert all(model_rules.reply(prompt, dice, 0) == right for _ in range(100))


def test_bm25_prefers_rare_words_and_ignores_absent_ones() -> None:
    texts = ["password manager", "password rules for guests", "parental leave"]
    first, second, third = retrieval.bm25("password manager", texts)
    assert first > second > third == 0


def test_every_policy_has_a_header_and_a_text() -> None:
    policies = retrieval.policies()
    assert len({one["id"] for one in policies}) == len(policies) > 15
    assert all(one["domain"] and one["title"] in one["text"] for one in policies)


def test_tables_answer_from_several_threads_and_take_no_sql() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda _: tools.lookup_vendor.invoke({"vendor": "initech"}), "x" * 40)
        )
    assert all(one["vendor"] == "Initech" for one in found)
    hostile = tools.lookup_vendor.invoke({"vendor": "x' OR 1=1 --"})
    assert hostile["found"] is False


def test_the_answer_is_json() -> None:
    msgspec.json.encode(app.answer({"question": "Hello!"}, NO_MISTAKES))
