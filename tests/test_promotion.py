"""Promotion: a draft never expects what failed, holds nothing original, and tells its likes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.dataset import Case, Expected, ExpectedStep
from evalkit.errors import InputError
from evalkit.files import read_dataset, write_dataset
from evalkit.golden import Golden, input_of
from evalkit.promotion import Promoting, draft
from evalkit.redaction import Redactor
from evalkit.results import Trial
from evalkit.reviewing import accept, save
from evalkit.scorers.trajectory_match import trajectory_match
from evalkit.similarity import similarity
from evalkit.trajectory import Coverage, Step, Trajectory
from evalkit.triaging.signals import Signal

ASKED = {"question": "May I have a refund?", "amount": 70, "mail": "maria.lopez@acme.com"}


def trial(name: str, *tools: str, asked: Any = ASKED, failed: str | None = None) -> Trial:
    steps = tuple(
        Step(kind="tool", name=tool, output="fine", status="error" if tool == failed else "ok")
        for tool in tools
    )
    root = Step(kind="workflow", name="app", arguments={"input": asked}, output="ok", steps=steps)
    trajectory = Trajectory(
        steps=(root,), output="ok", route="refund", trace_id=name,
        coverage=Coverage(service_version="v7"),
    )  # fmt: skip
    return Trial(case=name, trial=0, route="refund", trajectory=trajectory, started=1.79e9)


def case(name: str, *tools: str, asked: Any = ASKED, **more: Any) -> Case:
    content = {
        "id": name,
        "input": asked,
        "route": "refund",
        "owner": "money",
        "expect": {"steps": [{"tool": tool} for tool in tools], **more},
    }
    return msgspec.convert(content, Case)


def promoting(*cases: Case) -> Promoting:
    return Promoting(Golden(cases), Redactor(b"key"), "golden.jsonl", by="lena", run="production")


def labels(one: Case) -> list[str]:
    return [step.label for step in one.expect.steps or ()]


def test_the_path_of_good_traces_is_proposed_and_never_the_failing_one() -> None:
    bad = trial("bad", "check", "pay", failed="pay")
    good = [trial(f"g{n}", "check", "approve", "pay") for n in range(3)]
    found = draft(bad, promoting(), others=[bad, *good])
    assert labels(found.case) == ["tool check", "tool approve", "tool pay"]
    assert found.proposal == "3 of the 3 nearest traces"
    nothing = draft(bad, promoting(), others=[bad])
    assert nothing.case.expect == Expected()
    assert nothing.proposal.startswith("nothing")


def test_the_path_of_a_trace_that_only_people_complain_of_is_not_proposed() -> None:
    blamed = trial("blamed", "check", "pay")
    found = draft(blamed, promoting(), others=[blamed], feedback=[Signal("thumbs_down")])
    assert found.case.expect == Expected()
    assert found.proposal.startswith("nothing")


NAMES = ("check", "look_up", "approve", "pay", "notify", "log")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.sampled_from(
        ["maria.lopez@acme.com", "4242 4242 4242 4242", "ghp_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dE3fG6"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip


@given(
    tools=st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True),
    dropped=st.integers(min_value=0),
    asked=st.dictionaries(st.text(min_size=1, max_size=8), VALUES, min_size=1, max_size=4),
    golden=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_an_accepted_case_loads_passes_what_is_right_and_fails_what_was_wrong(
    tools: list[str], dropped: int, asked: dict[str, Any], golden: bool
) -> None:
    at = dropped % len(tools)
    right = trial("right", *tools, asked=asked)
    wrong = trial("wrong", *tools[:at], *tools[at + 1 :], asked=asked)
    known = [case("known", *tools, asked={"q": "another"})] if golden else []
    others = [trial(f"g{n}", *tools, asked={**asked, "n": n}) for n in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder, "golden.jsonl")
        write_dataset(dataset, [case("first", "wait", asked={"q": "something else"})])
        told = msgspec.structs.replace(
            draft(wrong, promoting(*known), others=[wrong, *others]), dataset=str(dataset)
        )
        written = accept(Path(folder), save(Path(folder), told).id, by="lena").case
        loaded, problems = read_dataset(dataset)
        everything = dataset.read_bytes()
    assert not problems
    assert written in loaded.cases
    assert b"maria.lopez" not in everything
    assert b"aB3dE6gH9jK2mN5pQ8sT" not in everything
    assert right.trajectory is not None
    assert wrong.trajectory is not None
    assert trajectory_match(written, right.trajectory).passed
    assert not trajectory_match(written, wrong.trajectory).passed


def test_a_golden_path_comes_first_without_what_is_about_its_own_input() -> None:
    golden = msgspec.convert(
        {
            "id": "g",
            "input": {"question": "May I have a refund?", "amount": 55, "order": "A-17"},
            "route": "refund",
            "expect": {
                "steps": [
                    {"tool": "check", "args": {"order": "A-17", "deep": True}},
                    {"parallel": [{"tool": "pay", "args": {"amount": 55}}, {"tool": "log"}]},
                ],
                "outcome": [{"contains": "order A-17"}, {"path": "decision", "equals": "paid"}],
            },
        },
        Case,
    )
    found = draft(trial("bad", "check"), promoting(golden)).case.expect
    assert json.loads(msgspec.json.encode(found))["steps"] == [
        {"tool": "check", "args": {"deep": True}},
        {"parallel": [{"tool": "pay"}, {"tool": "log"}]},
    ]
    assert [check.equals for check in found.outcome] == ["paid"]


def test_a_golden_case_that_asks_the_same_is_followed_alone() -> None:
    others = [case(f"g{n}", "check", "pay", asked={**ASKED, "n": n}) for n in range(4)]
    found = draft(trial("bad", "pay"), promoting(*others, case("same", "check", "refuse")))
    assert labels(found.case) == ["tool check", "tool refuse"]
    assert found.conflicts == ()


def test_a_draft_says_where_it_comes_from_and_what_is_wrong() -> None:
    golden = case("g", "check", "pay", asked={"question": "another"})
    found = draft(trial("0123456789abcdef", "check"), promoting(golden))
    assert found.case.id == "refund-missing-step-0123456789ab"
    assert found.case.tags == ("production", "missing_step")
    assert found.case.owner == "money"
    origin = found.case.source
    assert origin is not None
    assert (origin.kind, origin.trace_id, origin.version) == (
        "production",
        "0123456789abcdef",
        "v7",
    )
    assert (origin.captured, origin.promoted_by) == ("2026-09-21T14:13:20Z", "lena")
    assert origin.notes == "run production; expected steps proposed from golden case g"
    assert found.path == ("workflow app", "  tool check")


def test_nothing_original_is_in_a_draft() -> None:
    secret = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dE3fG6"
    asked = {**ASKED, "note": f"token {secret}", "card": "4242 4242 4242 4242"}
    bad = trial(f"t-{secret}", "pay", asked=asked, failed="pay")
    written = msgspec.json.encode(draft(bad, promoting()))
    for original in (secret, "maria.lopez", "acme.com", "4242 4242 4242 4242"):
        assert original.encode() not in written
    assert b"REDACTED-github-token" in written


def test_the_same_person_is_the_same_in_all_drafts_of_a_key() -> None:
    one, other = (draft(trial(name, "pay"), promoting()).case.input for name in ("a", "b"))
    assert one == other
    assert one["mail"] != ASKED["mail"]


def test_duplicates_are_exact_or_near_with_how_alike_they_are() -> None:
    new = case("new", "check", "pay")
    accepted = [
        case("same", "check", "pay"),
        case("near", "check", "pay", asked={**ASKED, "amount": 71}),
        case("other-path", "check", asked={**ASKED, "amount": 71}),
        case("far", "check", "pay", asked={"question": "Where is my parcel?"}),
    ]
    found = Golden(accepted).duplicates(new)
    assert [(one.case, one.exact) for one in found] == [("same", True), ("near", False)]
    assert found[0].similarity == 1.0
    assert 0.75 <= found[1].similarity < 1.0


def test_contradictions_of_accepted_cases_are_flagged() -> None:
    accepted = [
        case(f"g{n}", "check", asked={"q": f"question {n}"}, never=[{"tool": "pay"}])
        for n in range(4)
    ]
    assert Golden(accepted).conflicts(case("fine", "check", asked={"q": "new"})) == ()
    assert Golden(accepted).conflicts(case("bad", "pay", asked={"q": "new"})) == (
        "all of refund forbid tool pay",
    )
    same = case("same", "check", "log", asked={"q": "question 1"})
    assert Golden(accepted).conflicts(same) == ("g1 expects other steps for the same input",)
    elsewhere = msgspec.structs.replace(accepted[1], id="x", route="help")
    assert "g1 takes route refund for the same input" in Golden(accepted).conflicts(elsewhere)


REFUND = "May I have a refund for order A-1043, please?"


@pytest.mark.parametrize(
    ("question", "near"),
    [
        ("may i have a REFUND for order A-1043 please", True),
        ("May I have a refund for order B-77, please?", True),  # another id
        ("Please may I have a refund for the order A-1043?", True),
        ("May I not have a refund for order A-1043, please?", True),  # shown; a person decides
        ("I would like my money back for A-1043.", False),  # other words: nothing here sees that
        ("Where is my parcel?", False),
    ],
)
def test_near_duplicates_share_words_and_path(question: str, near: bool) -> None:
    accepted = Golden([case("known", "check", "pay", asked={"question": REFUND})])
    found = accepted.duplicates(case("new", "check", "pay", asked={"question": question}))
    assert [one.case for one in found] == ["known"] * near
    assert accepted.duplicates(case("new", "check", asked={"question": question})) == ()


@pytest.mark.parametrize(
    ("question", "outcome", "contradicts"),
    [
        (REFUND, {"path": "decision", "equals": "refuse"}, True),
        (REFUND, {"path": "decision", "equals": "approve"}, False),
        (REFUND, {"path": "decision", "one_of": ["refuse", "wait"]}, True),
        (REFUND, {"path": "decision", "not_contains": "prove"}, True),
        (REFUND, {"path": "reason", "equals": "late"}, False),
        ("may I have a refund for the order A-1043", {"path": "decision", "equals": "no"}, True),
        (
            "May I have a refund for order B-77, please?",
            {"path": "decision", "equals": "no"},
            False,
        ),
        ("May I not have a refund for order A-1043, please?", {"equals": "no"}, False),
        ("I want my money back for A-1043.", {"path": "decision", "equals": "refuse"}, False),
    ],
)
def test_another_outcome_for_the_same_question_contradicts(
    question: str, outcome: dict[str, Any], contradicts: bool
) -> None:
    asked, agreed = {"question": REFUND}, [{"path": "decision", "equals": "approve"}]
    accepted = Golden([case("known", "pay", asked=asked, outcome=agreed)])
    found = accepted.conflicts(case("new", "pay", asked={"question": question}, outcome=[outcome]))
    assert [one.split(" for ")[0] for one in found] == [
        "known expects another outcome at decision"
    ] * contradicts


def test_a_trace_that_tells_no_input_or_route_is_refused() -> None:
    silent = trial("silent", "pay", asked={})
    with pytest.raises(InputError, match="does not tell its input"):
        draft(silent, promoting())
    lost = msgspec.structs.replace(trial("lost", "pay"), route="", trajectory=Trajectory(
        steps=(Step(kind="tool", name="pay", arguments={"a": 1}),)
    ))  # fmt: skip
    with pytest.raises(InputError, match="tells no route"):
        draft(lost, promoting())


def test_the_input_is_where_the_trace_has_it() -> None:
    root = Step(kind="agent", name="a", arguments={"query": {"text": "hi"}, "k": 1})
    assert input_of(Trajectory(steps=(root,))) == {"query": {"text": "hi"}, "k": 1}
    assert input_of(Trajectory(steps=(root,)), "query.text") == "hi"
    assert input_of(Trajectory()) is None


def test_similarity_is_symmetric_and_within_bounds() -> None:
    values: list[Any] = [None, "a b", {"q": "a b"}, {"q": "a c"}, {"q": 5}, {"q": 6}, [1, 2]]
    for one in values:
        assert similarity(one, one) == 1.0
        for other in values:
            assert 0.0 <= similarity(one, other) == similarity(other, one) <= 1.0
    assert similarity({"q": "a b"}, {"q": "a c"}) > similarity({"q": "a b"}, {"x": "a b"})


def test_an_expected_step_is_of_the_kind_that_happened() -> None:
    step = Step(kind="retriever", name="search", output=["x"])
    root = Step(kind="node", name="plan", arguments={"input": "hi"}, output="ok", steps=(step,))
    good = Trial(
        case="g",
        trial=0,
        route="r",
        trajectory=Trajectory(steps=(root,), output="ok", route="r", trace_id="g"),
    )
    found = draft(msgspec.structs.replace(good, case="bad"), promoting(), others=[good])
    assert found.case.expect.steps == (ExpectedStep(node="plan"), ExpectedStep(retriever="search"))
