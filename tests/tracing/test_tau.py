"""tau-bench's and tau2-bench's result files: what becomes of every wart that they have."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.dataset import PREDICATES
from evalkit.errors import EvalkitError, FileError
from evalkit.results import Score
from evalkit.scoring import bind, score_trial
from evalkit.suite import ScorerUse
from evalkit.tracing.tau import Recording, read_tau
from evalkit.tracing.tau.cases import MAX_ID, case_id, literal

DATA = Path(__file__).parents[3] / "shared" / "data"
KEY = "sk-not-to-be-kept"


def call(name: str, call_id: str, **arguments: Any) -> dict[str, Any]:
    return {"id": call_id, "name": name, "arguments": arguments, "requestor": "assistant"}


def result(call_id: str, content: str, *, error: bool = False) -> dict[str, Any]:
    return {"role": "tool", "id": call_id, "content": content, "error": error}


def action(task: str, place: int, name: str, **arguments: Any) -> dict[str, Any]:
    return {"action_id": f"{task}_{place}", "name": name, "arguments": arguments}


def task(task_id: str, *actions: dict[str, Any], said: list[str] | None = None) -> dict[str, Any]:
    return {
        "id": task_id,
        "user_scenario": {"instructions": {"domain": "airline", "reason_for_call": task_id}},
        "evaluation_criteria": {
            "actions": list(actions),
            "communicate_info": said or [],
            "reward_basis": ["DB", "COMMUNICATE"],
            "nl_assertions": ["is polite"],
        },
    }


def simulation(task_id: str | None, trial: int = 0, **changes: Any) -> dict[str, Any]:
    """One that asks, cancels, is refused once, and says so."""
    return {
        "id": f"0000000000000000000000000000{task_id}{trial}".rjust(32, "0")[-32:],
        "task_id": task_id,
        "trial": trial,
        "start_time": "2025-10-31T07:34:59",
        "duration": 42.5,
        "termination_reason": "user_stop",
        "reward_info": {"reward": 1.0, "action_checks": []},
        "messages": [
            {
                "role": "assistant",
                "content": "Hi!",
                "cost": 0.0,
                "timestamp": "2025-10-31T07:35:00",
            },
            {"role": "user", "content": "Cancel A1", "timestamp": "2025-10-31T07:35:01"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    call("get_user_details", "c1", user_id="u"),
                    call("cancel_reservation", "c2", reservation_id="A1"),
                ],
                "timestamp": "2025-10-31T07:35:03.500000",
                "cost": 0.25,
                "usage": {"prompt_tokens": 100, "completion_tokens": 7},
                "raw_data": {"model": "m-2025", "stop_reason": "tool_use"},
            },
            result("c2", "Error: no such reservation", error=True),
            result("c1", '{"name": "U"}'),
            {
                "role": "assistant",
                "content": "It cannot be found, 1,628 miles.",
                "cost": 0.5,
                "usage": {"prompt_tokens": 150, "completion_tokens": 9},
            },
        ],
        **changes,
    }


def results(*simulations: Any, tasks: list[Any] | None = None, **info: Any) -> dict[str, Any]:
    known = {one["task_id"] for one in simulations if isinstance(one, dict) and one.get("task_id")}
    return {
        "info": {
            "environment_info": {"domain_name": "airline", "policy": "secret policy"},
            "agent_info": {"llm": "some-model", "llm_args": {"api_key": KEY}},
            **info,
        },
        "tasks": tasks if tasks is not None else [task(name) for name in sorted(known)],
        "simulations": list(simulations),
    }


def read(content: Any) -> Recording:
    return read_tau(json.dumps(content).encode(), "runs.json")


def refused(content: Any) -> str:
    with pytest.raises(FileError) as error:
        read_tau(
            content if isinstance(content, bytes) else json.dumps(content).encode(), "runs.json"
        )
    assert str(error.value).startswith("runs.json")
    return str(error.value)


def old(task_id: Any = 0, trial: Any = 0, reward: Any = 1.0, **changes: Any) -> dict[str, Any]:
    function = {"name": "cancel_reservation", "arguments": '{"reservation_id": "A1"}'}
    return {
        "task_id": task_id,
        "trial": trial,
        "reward": reward,
        "info": {
            "source": KEY,
            "task": {
                "user_id": "u",
                "instruction": "You want A1 cancelled",
                "actions": [{"name": "cancel_reservation", "kwargs": {"reservation_id": "A1"}}],
                "outputs": ["327"],
            },
        },
        "traj": [
            {"role": "system", "content": "policy"},
            {"role": "user", "content": "Cancel it"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "x", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "x", "name": "cancel_reservation", "content": "done"},
            {"role": "assistant", "content": "Done: 327"},
            {"role": "user", "content": "###STOP###"},
        ],
        **changes,
    }


# --- tasks ---------------------------------------------------------------------------------


def test_a_task_becomes_a_case_that_judges_effects_and_words() -> None:
    asked = task("7", action("7", 0, "cancel_reservation", reservation_id="A1"), said=["1628"])
    [case] = read(results(simulation("7"), tasks=[asked])).cases
    assert (case.id, case.route, case.expect.match) == ("airline-7", "airline", "effects")
    assert case.input == asked["user_scenario"]
    assert case.expect.steps is not None
    assert [(step.tool, step.args) for step in case.expect.steps] == [
        ("cancel_reservation", {"reservation_id": "A1"})
    ]
    assert [check.checks[0] for check in case.expect.outcome] == ["said", "finished", "unrecorded"]
    assert case.expect.outcome[0].said == "1628"
    assert case.source is not None
    assert (case.source.kind, case.source.name) == ("benchmark", "tau2-bench")
    assert "1 natural-language assertions not held here" in (case.source.notes or "")


def test_a_task_without_actions_expects_that_nothing_changes() -> None:
    [case] = read(results(simulation("1"), tasks=[task("1")])).cases
    assert (case.expect.steps, case.expect.match) == ((), "effects")


def test_a_task_without_criteria_says_nothing_of_the_path() -> None:
    [case] = read(results(simulation("1"), tasks=[{"id": 1, "ticket": "help"}])).cases
    assert case.expect.steps is None
    assert case.input == "help"


def test_only_compared_arguments_are_expected_and_users_calls_are_theirs() -> None:
    some = {**action("1", 0, "f", a=1, b=2), "compare_args": ["b"], "requestor": "user"}
    none = {**action("1", 1, "g", a=1), "compare_args": []}
    [case] = read(results(simulation("1"), tasks=[task("1", some, none)])).cases
    assert case.expect.steps is not None
    assert [(step.args, step.actor) for step in case.expect.steps] == [
        ({"b": 2}, "user"),
        (None, "agent"),
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*sorted(PREDICATES), "x"]), inner, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_a_literal_is_never_read_as_a_predicate(value: Any) -> None:
    from evalkit import predicates
    from evalkit.argument_problems import argument_problems

    quoted = literal(value)
    assert predicates.holds(quoted, value)
    assert not argument_problems({"argument": quoted})


def test_long_task_ids_stay_apart_and_short_enough() -> None:
    ids = {case_id("telecom", "x" * 300 + end) for end in ("a", "b")}
    assert len(ids) == 2
    assert all(len(one) <= MAX_ID for one in ids)


def test_state_changing_tools_are_declared_for_known_and_judged_for_other_domains() -> None:
    known = read(results(simulation("1")))
    assert known.effects.write is not None
    assert "send_certificate" in known.effects.write
    assert "get_user_details" not in known.effects.write
    asked = task("1", action("1", 0, "toggle_airplane_mode"))
    other = read(
        results(simulation("1"), tasks=[asked], environment_info={"domain_name": "telecom"})
    )
    assert other.domain == "telecom"
    assert other.effects.write == ("cancel_reservation", "toggle_airplane_mode")
    assert "judged by their names" in other.notes[0]


def test_tool_types_that_the_file_tells_go_before_names() -> None:
    types = [("get_and_book", "write"), ("update_view", "read"), ("apply", "generic")]
    checks = [
        {"action": action("1", place, name), "tool_type": kind}
        for place, (name, kind) in enumerate(types)
    ]
    asked = task("1", *(check["action"] for check in checks))
    one = simulation("1", messages=[], reward_info={"reward": 1.0, "action_checks": checks})
    found = read(results(one, tasks=[asked], environment_info={"domain_name": "banking"}))
    assert (found.effects.write, found.notes) == (("get_and_book",), ())


# --- what the reward rests on -----------------------------------------------------------------

ON, SPEED = "toggle_data", "run_speed_test"


def by_user(name: str, call_id: str, **arguments: Any) -> list[dict[str, Any]]:
    """The user calls a tool of their own."""
    made = {**call(name, call_id, **arguments), "requestor": "user"}
    answered = {**result(call_id, "done"), "requestor": "user"}
    return [{"role": "user", "content": None, "tool_calls": [made]}, answered]


def by_agent(name: str, call_id: str, **arguments: Any) -> list[dict[str, Any]]:
    made = call(name, call_id, **arguments)
    return [{"role": "assistant", "content": None, "tool_calls": [made]}, result(call_id, "ok")]


def telecom(messages: list[dict[str, Any]], **criteria: Any) -> tuple[Recording, dict[str, Score]]:
    """A file of a domain in which the user has tools too, and the scores of its one trial."""
    asked = task("1")
    asked["evaluation_criteria"] = {
        "actions": [
            {**action("1", 0, ON), "requestor": "user", "compare_args": None},
            {**action("1", 1, "refuel_data", line_id="L1", gb=2.0), "requestor": "assistant"},
        ],
        "env_assertions": [
            {"env_type": "user", "func_name": "assert_speed", "arguments": {"expected": 200}}
        ],
        "communicate_info": None,
        "nl_assertions": None,
        "reward_basis": ["DB", "ENV_ASSERTION"],
        **criteria,
    }
    said = {"role": "assistant", "content": "Your bill is $1,200. Done."}
    one = simulation("1", messages=[*messages, said])
    found = read(results(one, tasks=[asked], environment_info={"domain_name": "telecom"}))
    scorers = bind(
        [ScorerUse("trajectory_match"), ScorerUse("task_completion")], found.effects, None
    )
    [trial] = found.trials
    assert trial.trajectory is not None
    scores = score_trial(found.cases[0], trial.trajectory, scorers)
    return found, {score.scorer: score for score in scores}


FIXED = [*by_user(ON, "u1"), *by_agent("refuel_data", "a1", line_id="L1", gb=2)]
CHECKED = [*by_user(SPEED, "u2"), *by_agent("get_data_usage", "a2", line_id="L1")]


def test_what_the_user_has_to_do_is_expected_and_anything_else_that_they_do_is_free() -> None:
    for messages in (FIXED, FIXED[::1] + CHECKED, FIXED[2:] + FIXED[:2] + by_user("reboot", "u3")):
        found, scores = telecom(messages)
        assert scores["trajectory_match"].passed, scores["trajectory_match"].reason
    assert found.effects.write == ("reboot", "refuel_data", ON)
    _, scores = telecom(FIXED[2:])
    assert scores["trajectory_match"].reason == f"expected tool {ON}: missing"
    _, scores = telecom([*by_agent(ON, "u1"), *FIXED[2:]])
    assert not scores["trajectory_match"].passed, "the agent's call is not the user's"
    _, scores = telecom([*FIXED, *by_agent("suspend_line", "a3", line_id="L1")])
    assert scores["trajectory_match"].reason == "tool suspend_line: not expected"


def test_completion_is_not_judged_where_an_end_state_decides_that_is_not_recorded() -> None:
    _, scores = telecom(FIXED)
    completion = scores["task_completion"]
    assert (completion.status, completion.value) == ("could_not_judge", None)
    assert "end state (DB)" in completion.reason
    _, scores = telecom(FIXED, communicate_info=["1200"], reward_basis=["DB", "COMMUNICATE"])
    assert scores["task_completion"].status == "could_not_judge"
    _, scores = telecom(FIXED, communicate_info=["77"], reward_basis=["DB", "COMMUNICATE"])
    assert scores["task_completion"].passed is False


def test_what_the_reward_does_not_rest_on_is_not_asked() -> None:
    _, scores = telecom(FIXED, communicate_info=["77"])
    assert scores["task_completion"].status == "could_not_judge"
    _, scores = telecom(FIXED, communicate_info=["1200"], reward_basis=["COMMUNICATE"])
    assert scores["task_completion"].passed
    found, scores = telecom(FIXED, nl_assertions=["is kind"], reward_basis=["NL_ASSERTION"])
    assert scores["task_completion"].status == "could_not_judge"
    source = found.cases[0].source
    assert source is not None
    assert "1 natural-language assertions" in (source.notes or "")


def test_where_the_calls_themselves_are_judged_all_of_them_are_expected() -> None:
    actions = [action("1", 0, "get_line", line_id="L1")]
    found, scores = telecom(FIXED, actions=actions, reward_basis=["ACTION"])
    assert found.cases[0].expect.match == "superset"
    assert not scores["trajectory_match"].passed
    read_first = by_agent("get_line", "a9", line_id="L1")
    _, scores = telecom([*read_first, *FIXED], actions=actions, reward_basis=["ACTION"])
    assert scores["trajectory_match"].passed
    assert scores["task_completion"].passed


def test_a_task_without_criteria_is_solved_by_coming_to_an_end() -> None:
    [case] = read(results(simulation("1"), tasks=[{"id": 1, "ticket": "help"}])).cases
    assert [check.checks for check in case.expect.outcome] == [("finished",)]
    without = {"actions": None, "env_assertions": None}
    found, _ = telecom(FIXED, **without)
    assert found.cases[0].expect.steps is None


# --- trials --------------------------------------------------------------------------------


def test_a_simulation_becomes_steps_joined_by_call_id() -> None:
    [trial] = read(results(simulation("1"))).trials
    found = trial.trajectory
    assert found is not None
    assert [(step.kind, step.name, step.status) for step in found.steps] == [
        ("llm", "some-model", "ok"),
        ("llm", "some-model", "ok"),
        ("tool", "get_user_details", "ok"),
        ("tool", "cancel_reservation", "error"),
        ("llm", "some-model", "ok"),
    ]
    assert found.steps[2].output == '{"name": "U"}'
    assert found.steps[3].error == "Error: no such reservation"
    assert found.said == ("Hi!", "It cannot be found, 1,628 miles.")
    assert found.output == found.said[-1]
    assert (found.tokens_in, found.tokens_out, found.cost_usd) == (250, 16, 0.75)
    assert found.steps[0].cost_usd is None, "a greeting is no free model call"
    model = found.steps[1]
    assert (model.model_requested, model.model_served) == ("some-model", "m-2025")
    assert model.start_ns is not None
    assert model.end_ns is not None
    assert model.end_ns - model.start_ns == 2_500_000_000
    assert (found.stop_reason, trial.latency_s) == ("user_stop", 42.5)
    assert found.coverage.spans == 6
    assert (found.coverage.wrappers, found.coverage.not_understood) == (1, 0)


def test_a_call_without_result_never_ran_and_a_result_without_call_is_counted() -> None:
    lost = simulation("1")
    lost["messages"] = [
        {"role": "assistant", "tool_calls": [call("cancel_reservation", "c1", reservation_id="A")]},
        result("other", "ok"),
        {"role": "narrator", "content": "meanwhile"},
    ]
    [trial] = read(results(lost)).trials
    assert trial.trajectory is not None
    [_, step] = trial.trajectory.steps
    assert step.status == "error"
    assert "never ran" in (step.error or "")
    assert trial.trajectory.coverage.not_understood == 2


def test_users_calls_are_steps_of_the_user() -> None:
    acted = simulation("1")
    acted["messages"].append(
        {"role": "user", "tool_calls": [{**call("reboot_device", "u1"), "requestor": "user"}]}
    )
    [trial] = read(results(acted)).trials
    assert trial.trajectory is not None
    assert trial.trajectory.steps[-1].actor == "user"


@pytest.mark.parametrize("arguments", ['{"a": ', "[" * 5000, [1, 2], "\udc80"[:0]])
def test_odd_arguments_are_the_models_and_are_kept(arguments: Any) -> None:
    odd = simulation("1")
    odd["messages"][2]["tool_calls"][0]["arguments"] = arguments
    [trial] = read(results(odd)).trials
    assert trial.trajectory is not None
    assert trial.trajectory.steps[2].arguments == arguments


@pytest.mark.parametrize(
    ("reward", "value", "passed"),
    [(1.0, 1.0, True), (0.5, 0.5, False), (0.9999999, 0.9999999, True), (1.0000001, 1.0, True)],
)
def test_reward_is_a_score_of_its_own(reward: float, value: float, passed: bool) -> None:
    [trial] = read(results(simulation("1", reward_info={"reward": reward}))).trials
    [score] = trial.scores
    assert (score.scorer, score.value, score.passed) == ("reward", value, passed)


@pytest.mark.parametrize("info", [None, {"reward": None}, {"reward": -3}, {"reward": 12.5}])
def test_a_reward_that_is_none_is_not_zero(info: Any) -> None:
    [trial] = read(results(simulation("1", reward_info=info))).trials
    assert (trial.scores[0].value, trial.scores[0].status) == (None, "could_not_judge")


def test_a_simulation_that_never_ran_is_no_wrong_answer() -> None:
    [trial] = read(results(simulation("1", messages=[], termination_reason="agent_error"))).trials
    assert (trial.status, trial.scores) == ("no_trace", ())
    assert "agent_error" in (trial.error or "")


def test_nothing_of_info_is_kept() -> None:
    for content in (results(simulation("1")), [old()]):
        kept = msgspec.json.encode(read(content)).decode()
        assert KEY not in kept
        assert "secret policy" not in kept


def test_a_model_name_that_looks_like_no_name_is_not_kept() -> None:
    odd = results(simulation("1"), agent_info={"llm": f"model key={KEY}"})
    assert read(odd).model is None


# --- tau-bench's list ----------------------------------------------------------------------


def test_the_list_of_tau_bench_is_read_and_its_domain_told_by_its_tools() -> None:
    found = read([old(trial=0), old(trial=1, reward=0.0)])
    assert (found.source, found.domain) == ("tau-bench", "airline")
    [case] = found.cases
    assert (case.id, case.input) == ("airline-0", "You want A1 cancelled")
    assert [check.said for check in case.expect.outcome] == ["327", None, None]
    assert "end state (DB)" in (case.expect.outcome[-1].unrecorded or "")
    first, second = found.trials
    assert (first.trial, second.trial) == (0, 1)
    assert first.trajectory is not None
    assert [step.name for step in first.trajectory.steps] == [
        "assistant", "cancel_reservation", "assistant",
    ]  # fmt: skip
    assert first.trajectory.steps[1].arguments == {"reservation_id": "A1"}
    assert first.trajectory.steps[1].output == "done"


def test_a_trial_that_crashed_in_tau_bench_has_no_task_of_its_own() -> None:
    crashed = old(trial=1, reward=0.0, traj=[], info={"error": "boom", "traceback": KEY})
    _, second = read([old(), crashed]).trials
    assert (second.status, second.case) == ("no_trace", "airline-0")


def test_a_task_that_changes_between_trials_is_set_aside() -> None:
    other = old(trial=1)
    other["info"]["task"]["instruction"] = "something else"
    found = read([old(), other])
    assert len(found.trials) == 1
    assert "not the one that an earlier trial had" in found.asides[0].reason


# --- task ids ------------------------------------------------------------------------------


def checked(task_id: str, *told: str, **changes: Any) -> dict[str, Any]:
    checks = [{"action": action(one, 0, "cancel_reservation")} for one in told]
    return simulation(task_id, reward_info={"reward": 1.0, "action_checks": checks}, **changes)


NUMBERED = [task(name, action(name, 0, "cancel_reservation")) for name in ("1", "2", "3")]


def test_wrong_task_ids_are_corrected_from_the_checked_actions() -> None:
    found = read(results(checked("1", "2"), checked("2", "1"), checked("3", "3"), tasks=NUMBERED))
    assert [trial.case for trial in found.trials] == ["airline-2", "airline-1", "airline-3"]
    assert "2 task ids were wrong" in found.notes[0]


def test_where_ids_are_wrong_one_that_nothing_confirms_is_set_aside() -> None:
    found = read(results(checked("1", "2"), checked("2", "1"), checked("3"), tasks=NUMBERED))
    assert [trial.case for trial in found.trials] == ["airline-2", "airline-1"]
    assert "nothing tells the right one" in found.asides[0].reason


def test_checked_actions_of_several_tasks_contradict_the_file() -> None:
    message = refused(results(checked("3", "1", "2"), tasks=NUMBERED))
    assert "contradicts itself" in message
    assert "simulation 1" in message


def test_action_ids_that_tasks_share_confirm_a_task_id() -> None:
    shared = {**action("x", 0, "toggle_data"), "action_id": "toggle_data_0"}
    ran = simulation("1", reward_info={"reward": 1, "action_checks": [{"action": shared}]})
    found = read(results(ran, tasks=[task("1", shared), task("2", shared)]))
    assert [trial.case for trial in found.trials] == ["airline-1"]
    assert not found.asides


def test_without_any_task_id_the_file_is_refused_by_name() -> None:
    nameless = [{**simulation("1"), "id": "abc", "task_id": None}] * 2
    message = refused(results(*nameless, tasks=[task("1")]))
    assert "simulation 1 (id abc) has no task_id" in message


def test_a_second_one_of_the_same_trial_is_set_aside() -> None:
    found = read(results(simulation("1"), simulation("1"), simulation("2")))
    assert len(found.trials) == 2
    assert "is trial 0 of task 1 already" in found.asides[0].reason


def test_simulations_without_trial_numbers_are_numbered_by_occurrence() -> None:
    found = read(results(*[{**simulation("1"), "trial": None} for _ in range(3)]))
    assert [trial.trial for trial in found.trials] == [0, 1, 2]


# --- broken files --------------------------------------------------------------------------


def test_one_broken_simulation_is_set_aside_and_counts_as_not_run() -> None:
    broken = simulation("2")
    broken["messages"][2]["tool_calls"] = {"id": "an object"}
    found = read(results([1, 2], broken, *[simulation("1", trial) for trial in range(4)]))
    assert [aside.label.split(" (")[0] for aside in found.asides] == [
        "simulation 1",
        "simulation 2",
    ]
    assert "messages[2].tool_calls" in found.asides[1].reason
    last = found.trials[-1]
    assert (last.case, last.status) == ("airline-2", "unserializable")


def test_a_simulation_that_is_not_utf8_is_set_aside() -> None:
    content = json.dumps(results(*[simulation("1", trial) for trial in range(3)])).encode()
    found = read_tau(content.replace(b"Cancel A1", b"Cancel \xff", 1), "runs.json")
    assert [trial.status for trial in found.trials] == [
        "completed",
        "completed",
        "unserializable",
    ]
    assert "utf-8" in found.asides[0].reason


def test_mostly_broken_is_refused() -> None:
    assert "2 of 3 simulations cannot be used" in refused(results([], "x", simulation("1")))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "begins with nothing"),
        (b'"text"', "not a result file"),
        (b"[]", "no simulations"),
        (b"{}", "missing required field `tasks`"),
        (b'{"tasks": [], "simulations": []}', "no simulations"),
        (b'{"tasks": [],\n "simulations": [', "cut off"),
        (b'{"tasks": [],\n "simulations": }', "runs.json:2:17"),
        (b'{"tasks": [NaN], "simulations": []}', "NaN is not a JSON value"),
        (b"[" * 100_000, "runs.json: "),
        (b'{"tasks": {}, "simulations": []}', "Expected `array`, got `object`"),
        (b'["\\ud800"]', "surrogate"),
    ],
)
def test_what_is_no_result_file_is_refused_with_its_place(content: bytes, said: str) -> None:
    assert said in refused(content)


def test_what_nests_too_deep_for_a_dataset_is_refused_by_task() -> None:
    deep: Any = "x"
    for _ in range(60):
        deep = [deep]
    message = refused(results(simulation("1"), tasks=[task("1", action("1", 0, "f", a=deep))]))
    assert "nests deeper" in message
    assert "'1'" in message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.sampled_from(["", "1"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=3,
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_value_anywhere_gives_a_recording_or_a_clear_error(data: st.DataObject) -> None:
    content: Any = results(simulation("1"), checked("2", "2"), simulation("3"))
    if data.draw(st.booleans()):
        content = [old(), old(trial=1), old(trial=2)]
    place: Any = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not (isinstance(place[key], dict | list) and place[key]) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(VALUES)
    try:
        found = read(content)
    except EvalkitError as error:
        assert str(error).startswith("runs.json")
    else:
        msgspec.json.decode(msgspec.json.encode(found), type=Recording)


# --- the real files ------------------------------------------------------------------------


def raw(name: str) -> bytes:
    path = DATA / "raw" / f"{name}.json.gz"
    if not path.exists():
        pytest.skip("the recorded agent runs are not on this machine")
    return gzip.decompress(path.read_bytes())


GPT_4O = "tau-bench__airline__gpt-4o__4trials"
SONNET = "tau2-bench__airline__claude-sonnet-4-5"
GPT_OSS = "tau2-bench__airline__gpt-oss-120b"


def mean(found: Recording) -> float:
    return sum(trial.scores[0].value or 0 for trial in found.trials) / len(found.trials)


def test_rewards_of_the_real_files_are_the_published_ones() -> None:
    assert mean(read_tau(raw(GPT_4O), GPT_4O)) == 0.42
    assert mean(read_tau(raw(SONNET), SONNET)) == 0.72
    assert mean(read_tau(raw(GPT_OSS), GPT_OSS)) == 0.38


def test_models_compared_share_the_cases() -> None:
    ours = {case.id: case.digest for case in read_tau(raw(SONNET), SONNET).cases}
    theirs = {case.id: case.digest for case in read_tau(raw(GPT_OSS), GPT_OSS).cases}
    assert ours == theirs
    assert len(ours) == 50


@pytest.mark.parametrize(
    ("name", "form", "run"),
    [
        (GPT_4O, "tau1_gpt-4o_airline_50x4", "tau1 gpt-4o/airline"),
        (SONNET, "tau2_airline50_sonnet45_gptoss120b", "tau2 claude-sonnet-4-5/airline"),
        (GPT_OSS, "tau2_airline50_sonnet45_gptoss120b", "tau2 gpt-oss-120b/airline"),
    ],
)
def test_calls_and_words_are_those_that_others_read(name: str, form: str, run: str) -> None:
    """The same runs in another form, read by another program."""
    found = {trial.key: trial for trial in read_tau(raw(name), name).trials}
    path = DATA / "trajectories" / f"{form}.jsonl.gz"
    records = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    records = [record for record in records if record["run"] == run]
    assert len(records) == len(found)
    for record in records:
        trial = found[f"airline-{record['task_id']}", record["trial"]]
        assert trial.trajectory is not None
        calls = [step for step in trial.trajectory.steps if step.kind == "tool"]
        others = [step for step in record["steps"] if step["kind"] == "tool_call"]
        assert [(step.name, step.arguments) for step in calls] == [
            (step["name"], step["args"]) for step in others
        ]
        assert [step.output for step in calls] == [step["output"] for step in others]
        assert [step.status == "error" for step in calls] == [step["error"] for step in others]
        assert trial.scores[0].value == record["reward"]


def test_the_real_file_without_task_ids_is_refused() -> None:
    name = "tau2-bench__airline__toolorchestra__no-task-ids"
    with pytest.raises(FileError, match=r"b2edae74-ba1e-49d6-a5e4-192fc17c0718\) has no task_id"):
        read_tau(raw(name), name)


def test_a_real_file_numbered_by_position_is_set_right() -> None:
    content = json.loads(raw(SONNET))
    truth = read(content)
    wrong = copy.deepcopy(content)
    for number, one in enumerate(wrong["simulations"]):
        one["task_id"] = str(number)
    found = read(wrong)
    right = {trial.case: trial.scores[0].value for trial in truth.trials}
    assert all(trial.scores[0].value == right[trial.case] for trial in found.trials)
    assert len(found.trials) == 43
    assert len(found.asides) == 7
