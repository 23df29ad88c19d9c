"""Trajectories are walked without recursion and add up without counting twice."""

from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.folders.rows import COLUMNS, table_rows
from evalkit.results import Trial
from evalkit.trajectory import Step, Trajectory


def test_the_walk_is_in_pre_order_with_parents() -> None:
    trajectory = Trajectory(
        steps=(
            Step(kind="agent", name="a", steps=(Step(kind="llm", name="b"),)),
            Step(kind="tool", name="c"),
        )
    )
    walked = [(v.number, v.depth, v.parent, v.step.name) for v in trajectory.walk()]
    assert walked == [(0, 0, None, "a"), (1, 1, 0, "b"), (2, 0, None, "c")]


def test_tokens_reported_by_a_parent_and_its_children_count_once() -> None:
    inner = Step(kind="llm", name="m", tokens_in=10, tokens_out=3, cost_usd=0.5)
    agent = Step(kind="agent", name="a", tokens_in=20, tokens_out=6, steps=(inner, inner))
    assert Trajectory(steps=(agent,)).tokens_in == 20
    only_agent = Step(kind="agent", name="a", tokens_in=20)
    assert Trajectory(steps=(only_agent, inner)).tokens_in == 30
    assert Trajectory(steps=(agent,)).cost_usd == 1.0


def test_unknown_is_not_zero() -> None:
    assert Trajectory(steps=(Step(kind="tool", name="t"),)).tokens_in is None


@given(st.lists(st.integers(0, 5), max_size=30))
def test_numbers_of_the_walk_are_consecutive(shape: list[int]) -> None:
    steps: tuple[Step, ...] = ()
    for width in shape:
        steps = tuple(
            Step(kind="node", name="n", steps=steps if i == 0 else ()) for i in range(width)
        )
    walked = list(Trajectory(steps=steps).walk())
    assert [v.number for v in walked] == list(range(len(walked)))
    assert all(v.parent is None or v.parent < v.number for v in walked)


def summed(step: Step) -> tuple[int | None, bool]:
    """What a step and those below it used, as far as it is known, and whether that is all of it:
    told by recursion."""
    below = [summed(one) for one in step.steps]
    told = [known for known, _ in below if known is not None]
    known, is_all = sum(told) if told else None, all(whole for _, whole in below)
    if step.kind == "llm":
        return step.tokens_in, step.tokens_in is not None or step.status == "error"
    if step.tokens_in is not None and (known is None or (not is_all and step.tokens_in > known)):
        return step.tokens_in, True
    return known, is_all


TREES = st.recursive(
    st.builds(
        Step,
        kind=st.just("llm"),
        name=st.just("m"),
        status=st.sampled_from(["ok", "error"]),
        tokens_in=st.none() | st.integers(0, 9),
    ),
    lambda below: st.builds(
        Step,
        kind=st.just("agent"),
        name=st.just("a"),
        tokens_in=st.none() | st.integers(0, 30),
        steps=st.lists(below, max_size=3).map(tuple),
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.lists(TREES, max_size=3).map(tuple))
def test_tokens_count_once(steps: tuple[Step, ...]) -> None:
    known, is_all = summed(Step(kind="node", name="all", steps=steps))
    assert Trajectory(steps=steps).tokens_in == known
    assert Trajectory(steps=steps).total("tokens_in") == (known, is_all)
    trial = Trial(
        case="c", trial=0, route="r", status="completed", trajectory=Trajectory(steps=steps)
    )
    [row] = table_rows(trial)["trials"]
    assert row[list(COLUMNS["trials"]).index("tokens_in")] == (known if is_all else None)


def test_what_a_models_tools_used_comes_on_top_of_its_own() -> None:
    """As where an agent is a tool, recorded below the call of the model that called it."""
    inner = Step(kind="llm", name="m", tokens_in=5)
    agent = Step(kind="agent", name="a", tokens_in=5, steps=(inner,))
    tool = Step(kind="tool", name="ask", steps=(agent,))
    assert (
        Trajectory(steps=(Step(kind="llm", name="m", tokens_in=9, steps=(tool,)),)).tokens_in == 14
    )
    # A call directly around another one is the same, as of a gateway.
    assert (
        Trajectory(steps=(Step(kind="llm", name="m", tokens_in=5, steps=(inner,)),)).tokens_in == 5
    )
