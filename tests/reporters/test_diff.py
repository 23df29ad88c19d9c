import re

from evalkit.dataset import Case, Expected, ExpectedStep
from evalkit.reporters import diff
from evalkit.results import Score, Trial
from evalkit.suite import Effects
from evalkit.trajectory import Step, Trajectory
from tests.reporters import samples

EXPECT = Expected(
    steps=(
        ExpectedStep(node="classify"),
        ExpectedStep(retriever="retrieve_policy", args={"domain": "vendor"}),
        ExpectedStep(tool="review", args={"amount": {"ge": 5000}}),
        ExpectedStep(tool="notify"),
    ),
    never=(ExpectedStep(tool="approve"),),
    match="exact",
)
CASE = Case(id="a", input={"q": "?"}, route="vendor", expect=EXPECT, owner="procurement")
LLM = Step(
    kind="llm",
    name="chat",
    model_requested="big",
    model_served="small",
    tokens_in=1200,
    tokens_out=34,
    stop_reason="stop",
)
TRAJECTORY = Trajectory(
    steps=(
        Step(kind="node", name="classify", steps=(LLM,)),
        Step(kind="tool", name="review", arguments={"amount": 100, "by": "me"}),
        Step(kind="tool", name="approve", status="error", error="denied"),
    ),
    route="expense",
    output="no",
)


def rows(trajectory=TRAJECTORY, case=CASE):
    return diff.diff(trajectory, case, Effects())[0]


def by_name(found):
    return {(row.actual or row.expected).partition("\n")[0]: row for row in found}


def test_every_step_has_its_mark_and_what_is_missing_stands_at_its_place():
    found = rows()
    assert [(row.mark, row.depth) for row in found] == [
        ("✓", 0), ("·", 1), ("−", 0), ("≠", 0), ("!", 0), ("−", 0),
    ]  # fmt: skip
    names = by_name(found)
    assert "amount: expected" in names["tool review"].notes[1]
    assert "superfluous: by" in names["tool review"].notes
    assert names["tool approve"].error and "error: denied" in names["tool approve"].notes
    assert names["llm chat"].notes == ("small (asked for big), 1,200 → 34 tokens, stopped: stop",)
    assert found[2].expected == 'retriever retrieve_policy\n{"domain": "vendor"}'


def test_out_of_order_and_unexpected_steps():
    steps = tuple(Step(kind="tool", name=name) for name in "bac")
    expect = Expected(steps=(ExpectedStep(tool="a"), ExpectedStep(tool="b")), match="exact")
    case = Case(id="a", input=None, route="r", expect=expect)
    assert sorted(row.mark for row in rows(Trajectory(steps=steps), case)) == ["+", "↕", "✓"]


def test_without_expectations_the_trajectory_is_shown_alone():
    found, why = diff.diff(TRAJECTORY, None, Effects())
    assert {row.mark for row in found} == {"·"} and "not at hand" in why
    silent = Case(id="a", input=None, route="r")
    assert diff.diff(TRAJECTORY, silent, Effects())[1] == ""


def render(trajectory=TRAJECTORY, width=80, case=CASE, **given):
    scores = (Score("task_completion", 0.5, False, "said no"),)
    trial = Trial(case="a", trial=0, route="vendor", trajectory=trajectory, scores=scores, **given)
    return diff.render_show(samples.run(), [trial], {"a": case}, width=width)


def test_a_person_reads_case_route_scores_and_diff():
    for width in (80, 140):
        text = render(width=width)
        assert "a · trial 0 · completed" in text and "owner procurement" in text
        assert "route vendor, taken: expense" in text
        assert re.search(r"✗ task_completion 0\.50 said no", text)
        assert re.search(r"✓ +node classify +node classify", text)
        assert re.search(r"≠ +tool review +tool review", text)
        assert "− missing" in text.splitlines()[-1]
        assert max(map(len, text.splitlines())) <= width


def test_a_trial_without_a_trajectory_says_why():
    text = render(None, status="timeout", error="timed out after 30 s")
    assert "timed out after 30 s" in text and "no trajectory" in text


def test_hostile_steps_reach_no_terminal():
    step = Step(
        kind="tool",
        name=samples.HOSTILE,
        arguments={samples.HOSTILE: samples.HOSTILE},
        status="error",
        error=samples.HOSTILE,
        model_served=samples.HOSTILE,
    )
    text = render(Trajectory(steps=(step,), output=samples.HOSTILE, route=samples.HOSTILE))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_a_huge_trajectory_is_cut_off_and_counted():
    steps = tuple(Step(kind="tool", name="t") for _ in range(1000))
    silent = Case(id="a", input=None, route="r")
    assert "and 700 more steps" in render(Trajectory(steps=steps), case=silent)
