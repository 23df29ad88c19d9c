"""What the scorers of a trial share does not change what any of them says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evalkit.dataset import ArgumentsMode, Case, Expected, ExpectedStep, MatchMode
from evalkit.matching import align
from evalkit.scoring import BoundScorer, bind, score_trial
from evalkit.suite import Effects, ScorerUse
from evalkit.trajectory import Step, Trajectory

SCORERS = ("tool_selection", "trajectory_match", "step_efficiency")

calls = st.tuples(st.sampled_from("abc"), st.integers(0, 1))
single = st.builds(
    lambda call, optional, actor: ExpectedStep(
        tool=call[0], args={"x": call[1]}, optional=optional, actor=actor
    ),
    calls,
    st.booleans(),
    st.sampled_from(("agent", "agent", "agent", "user")),
)
group = st.builds(lambda steps: ExpectedStep(any_of=tuple(steps)), st.lists(single, min_size=1))
actual = st.builds(
    lambda call, kind, status, actor: Step(
        kind=kind, name=call[0], arguments={"x": call[1], "y": 0}, status=status, actor=actor
    ),
    calls,
    st.sampled_from(("tool", "tool", "tool", "retriever")),
    st.sampled_from(("ok", "ok", "error")),
    st.sampled_from(("agent", "agent", "agent", "user")),
)


@given(
    st.lists(st.one_of(single, single, single, group), max_size=5),
    st.lists(actual, max_size=6),
    st.sampled_from(get_args(MatchMode)),
    st.sampled_from(get_args(ArgumentsMode)),
    st.permutations(SCORERS),
)
@example(
    [ExpectedStep(tool=name) for name in "ab"],
    [Step(kind="tool", name=name) for name in "ba"],
    "in_order",
    "stated",
    list(SCORERS),
)
def test_scorers_together_say_what_each_says_alone(
    expected: list[ExpectedStep],
    steps: list[Step],
    mode: MatchMode,
    args: ArgumentsMode,
    names: list[str],
) -> None:
    expect = Expected(steps=tuple(expected), match=mode, args=args)
    done = Trajectory(steps=tuple(steps))
    together = score_trial(Case(id="c", input="?", route="r", expect=expect), done, bound(names))
    for name, score in zip(names, together, strict=True):
        fresh = Case(id="c", input="?", route="r", expect=msgspec.structs.replace(expect))
        assert score_trial(fresh, done, bound([name])) == (score,)


@pytest.mark.parametrize("first", [{"args": "ignore"}, {"ignore": {"a": ("x",)}}, {"steps": ()}])
def test_another_expectation_of_the_same_trajectory_is_compared_anew(first: dict[str, Any]) -> None:
    stated = Expected(steps=(ExpectedStep(tool="a", args={"x": 1}),), match="any_order")
    other = msgspec.structs.replace(stated, **first)
    done = Trajectory(steps=(Step(kind="tool", name="a", arguments={"x": 2}),))
    assert align(other, done, Effects()).wrong == ()
    assert len(align(stated, done, Effects()).wrong) == 1
    assert align(other, done, Effects()).wrong == ()


def test_a_trajectory_holds_nothing_of_its_scoring() -> None:
    """Trials that are kept for a report take no more memory for having been scored."""
    done = Trajectory(steps=(Step(kind="tool", name="a"),))
    expect = Expected(steps=(ExpectedStep(tool="a"),))
    score_trial(Case(id="c", input="?", route="r", expect=expect), done, bound(SCORERS))
    assert vars(done) == {}


def bound(names: Sequence[str]) -> tuple[BoundScorer, ...]:
    return bind([ScorerUse(name) for name in names], Effects(write=("a", "b")), None)
