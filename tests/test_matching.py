"""Alignment of expected and actual steps, in every mode."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.assignment import TooLargeError
from evalkit.dataset import ArgumentsMode, Expected, ExpectedStep, MatchMode, Times
from evalkit.matching import Alignment, align, problems
from evalkit.suite import Effects
from evalkit.trajectory import Step, Trajectory

MODES: tuple[MatchMode, ...] = get_args(MatchMode)
READS = Effects(write=("a", "b", "c"))


def tool(name: str, steps: tuple[Step, ...] = (), **arguments: Any) -> Step:
    return Step(kind="tool", name=name, arguments=arguments, steps=steps)


def want(name: str, args: dict[str, Any] | None = None, **more: Any) -> ExpectedStep:
    return ExpectedStep(tool=name, args=args, **more)


def aligned(
    expected: str | list[ExpectedStep], actual: str | list[Step], mode: MatchMode = "in_order"
) -> Alignment:
    steps = tuple(want(one) if isinstance(one, str) else one for one in expected)
    done = tuple(tool(one) if isinstance(one, str) else one for one in actual)
    return align(Expected(steps=steps, match=mode), Trajectory(steps=done), Effects())


@pytest.mark.parametrize(
    ("expected", "actual", "passing"),
    [
        ("abc", "abc", set(MODES)),
        ("aa", "aa", set(MODES)),
        ("abc", "axbc", {"in_order", "any_order", "superset"}),
        ("abc", "cba", {"any_order", "superset", "unordered", "subset", "effects"}),
        ("abc", "ab", {"subset"}),
        ("a", "aa", {"in_order", "any_order", "superset"}),
        ("aa", "a", {"subset"}),
        ("", "", set(MODES)),
        ("", "a", set()),
        ("a", "", {"subset"}),
    ],
)
def test_modes_pass_by_their_definition(expected: str, actual: str, passing: set[str]) -> None:
    assert {mode for mode in MODES if aligned(expected, actual, mode).passed} == passing


def test_values_are_graded() -> None:
    assert aligned("abcd", "abc", "exact").f1 == pytest.approx(6 / 7)
    assert aligned("ab", "ba", "exact").f1 == 0.5
    assert aligned("", "a").f1 == 0
    assert aligned("a", "").f1 == 0
    assert aligned("", "").f1 == 1
    wrong = aligned([want("a", {"x": 1})], [tool("a", x=2)])
    assert wrong.f1 == 0.5
    assert str(wrong.wrong[0].mismatches[0]) == "x: expected 1, found 2"


def test_assignment_is_not_greedy() -> None:
    expected = [want("t", {}), want("t", {"x": 1})]
    found = aligned(expected, [tool("t", x=1), tool("t", y=2)], "unordered")
    assert found.passed
    assert [superfluous.paths for superfluous in found.superfluous] == [("y",)]


def test_out_of_order_is_told_from_missing() -> None:
    found = aligned("abc", "acb")
    assert [pair.expected for pair in found.out_of_order] in ([1], [2])
    assert not found.missing
    assert not found.passed


def test_optional_steps_may_be_absent_but_not_elsewhere() -> None:
    expected = [want("a"), want("b", optional=True), want("c")]
    assert aligned(expected, "abc", "exact").passed
    assert aligned(expected, "ac", "exact").f1 == 1
    assert not aligned(expected, "acb", "exact").passed
    assert aligned([want("b", {"x": 1}, optional=True)], [tool("b", x=2)]).passed


def test_a_required_step_is_served_before_an_optional_one() -> None:
    expected = [want("x", optional=True), want("x", {"k": 1})]
    assert aligned(expected, [tool("x", k=1)], "unordered").passed


@pytest.mark.parametrize("mode", ["in_order", "any_order", "superset"])
def test_allowing_more_fails_nothing_that_passed(mode: MatchMode) -> None:
    after = ("c",) if mode != "in_order" else ()
    found = aligned([want("c"), want("b", optional=True, after=after)], "bc", mode)
    assert found.passed
    assert not found.out_of_order
    several = want("s", times=Times(ge=1, le=3))
    assert aligned([want("l"), several], "sls", mode).passed


def test_nothing_beyond_is_told_of_any_way_in_which_the_steps_fit() -> None:
    several = want("s", id="S", times=Times(ge=1, le=3))
    expected = [several, want("s", {"x": 1}, after=("S",))]
    assert aligned(expected, [tool("s", x=2), tool("s", x=1), tool("s", x=2)], "subset").passed


def test_the_value_is_that_of_the_best_alignment() -> None:
    expected = [want("a", {"x": number}) for number in (9, 8, 7, 1)]
    one_right, none_right = ([tool("a", x=number), *map(tool, "aaa")] for number in (1, 5))
    assert aligned(expected, one_right).f1 == aligned(expected, none_right).f1 == 0.5
    held = [want("x", {"k": 1}), want("x", {"k": 1}, optional=True), want("z")]
    assert aligned(held, [tool("x", k=1), tool("x", k=2)], "unordered").f1 == 0.6


@pytest.mark.parametrize("mode", ["exact", "unordered", "subset"])
@pytest.mark.parametrize("listed", [False, True])
def test_alternatives_take_turns_as_often_as_they_like(mode: MatchMode, listed: bool) -> None:
    every: Any = ((want("s"), want("o")), want("b")) if listed else (want("s"), want("b"))
    for least in (1, 2):
        either = ExpectedStep(any_of=every, times=Times(ge=least))
        assert aligned([either], "sob" if listed else "sb", mode).passed
        assert aligned([either], "bsobso" if listed else "bsbss", mode).passed


def test_ways_and_pairs_are_bounded_together() -> None:
    every = [ExpectedStep(any_of=((want("p"), want("q")), (want("r"),))) for _ in range(9)]
    steps = [want(f"t{number}") for number in range(1_000)]
    with pytest.raises(TooLargeError, match="512 ways to satisfy the expected steps are too many"):
        aligned([*every, *steps], [tool("z")] * 60, "exact")


def test_a_step_may_come_again_thousands_of_times() -> None:
    often = want("s", times=Times(ge=1))
    found = aligned([often, want("a")], "s" * 1_000, "exact")
    assert (len(found.pairs), found.missing) == (1_000, (1,))
    assert aligned([often, want("a")], "s" * 1_000 + "a", "exact").passed


def test_alternatives() -> None:
    either = ExpectedStep(any_of=(want("b", {"x": 1}), want("c")))
    assert aligned([want("a"), either], [tool("a"), tool("c")], "exact").passed
    assert aligned([want("a"), either], [tool("a"), tool("b", x=1)], "exact").passed
    assert aligned([want("a"), either], [tool("a"), tool("b", x=2)], "exact").f1 == 0.75


def test_after_is_the_order_in_place_of_the_list() -> None:
    expected = [want("a"), want("b", after=("a",)), want("c")]
    assert aligned(expected, "cab").passed
    assert aligned(expected, "acb", "exact").passed
    for mode in ("in_order", "unordered", "effects", "superset"):
        found = aligned(expected, "bac", mode)
        assert not found.passed
        assert found.out_of_order


def test_after_goes_through_a_missing_step() -> None:
    expected = [want("a"), want("b", after=("a",), optional=True), want("c", after=("b",))]
    assert aligned(expected, "ac").passed
    assert not aligned(expected, "ca").passed


def test_effects_look_at_successful_state_changes_only() -> None:
    expect = Expected(steps=(want("a"), want("look")), match="effects")
    failed = Step(kind="tool", name="a", arguments={}, status="error")
    done = Trajectory(steps=(failed, tool("look"), tool("a"), tool("other")))
    assert align(expect, done, READS).passed
    assert not align(expect, Trajectory(steps=(failed,)), READS).passed
    assert not align(expect, Trajectory(steps=(tool("a"), tool("a"))), READS).passed


def effects_of(expected: list[ExpectedStep], actual: list[Step] | str) -> Alignment:
    done = tuple(tool(one) if isinstance(one, str) else one for one in actual)
    expect = Expected(steps=tuple(expected), match="effects")
    return align(expect, Trajectory(steps=done), READS)


def test_what_a_change_comes_after_must_have_happened_under_effects() -> None:
    expected = [want("policy"), want("look"), want("a", after=("policy",))]

    def did(order: str) -> Alignment:
        return effects_of(expected, [*map(tool, order.split())])

    assert did("policy a").passed
    assert did("policy policy a look policy").passed
    assert did("policy a").f1 == 1
    assert not did("a policy").passed
    assert not did("a").passed
    assert did("a").f1 == pytest.approx(2 / 3)
    assert did("look").missing == (0, 2)
    failed = Step(kind="tool", name="policy", arguments={}, status="error")
    assert not effects_of(expected, [failed, tool("a")]).passed
    free = [want("a"), want("look", after=("a",))]
    assert effects_of(free, "a").passed


def test_a_change_comes_after_what_is_no_call_too_under_effects() -> None:
    expected = [ExpectedStep(retriever="rules"), want("a", after=("rules",))]
    rules = Step(kind="retriever", name="rules")
    assert effects_of(expected, [rules, tool("a"), rules]).passed
    assert not effects_of(expected, [tool("a"), rules]).passed
    either = ExpectedStep(any_of=(want("b"), want("look")), id="first")
    expected = [either, want("a", after=("first",))]
    assert effects_of(expected, [tool("look"), tool("a")]).passed
    assert effects_of(expected, [tool("b"), tool("a")]).passed
    assert not effects_of(expected, [tool("a")]).passed


@given(st.text("abc", max_size=5), st.text("abc", max_size=5), st.integers(0, 5))
def test_reading_is_free_under_effects(expected: str, actual: str, place: int) -> None:
    expect = Expected(steps=tuple(map(want, expected)), match="effects")
    done = [tool(one) for one in actual]
    before = align(expect, Trajectory(steps=tuple(done)), READS)
    done.insert(place, tool("look"))
    after = align(expect, Trajectory(steps=tuple(done)), READS)
    assert (after.f1, after.passed) == (before.f1, before.passed)


def test_kinds_that_are_not_named_are_detail_and_parents_are_containers() -> None:
    inner = tool("t")
    graph = Step(
        kind="workflow", name="graph", steps=(Step(kind="node", name="n", steps=(inner,)),)
    )
    done = Trajectory(steps=(graph,))
    nodes = Expected(steps=(ExpectedStep(node="n"),), match="exact")
    assert align(nodes, done, Effects()).passed
    anything = Expected(steps=(ExpectedStep(step="t"),), match="exact")
    assert align(anything, done, Effects()).passed
    assert not align(Expected(steps=(), match="exact"), done, Effects()).passed
    agent = tool("outer", steps=(tool("x"),))
    assert align(
        Expected(steps=(want("x"),), match="exact"), Trajectory(steps=(agent,)), Effects()
    ).passed


def test_what_the_user_did_is_never_unexpected() -> None:
    mine = Step(kind="tool", name="a", arguments={}, actor="user")
    assert aligned([], [mine], "exact").passed
    assert not aligned("a", [mine]).passed
    assert aligned([want("a", actor="user")], [mine], "exact").passed


@pytest.mark.parametrize("mode", MODES)
def test_what_must_never_happen_fails_every_mode(mode: MatchMode) -> None:
    expect = Expected(steps=(want("a"),), match=mode, never=(want("b", {"n": {"ge": 5}}),))
    assert align(expect, Trajectory(steps=(tool("a"),)), Effects()).passed
    bad = align(expect, Trajectory(steps=(tool("a"), tool("b", n=9))), Effects())
    assert not bad.passed
    assert bad.f1 < 1
    every: tuple[ArgumentsMode, ...] = get_args(ArgumentsMode)
    for args in every:
        strict = msgspec.structs.replace(expect, args=args)
        assert (
            align(strict, Trajectory(steps=(tool("a"), tool("b", n=4))), Effects()).forbidden == ()
        )
        more = align(strict, Trajectory(steps=(tool("a"), tool("b", n=9, m=1))), Effects())
        assert len(more.forbidden) == 1
    alone = Expected(never=(want("b"),), match=mode)
    assert align(alone, Trajectory(steps=(tool("b"),)), Effects()).f1 == 0
    assert align(alone, Trajectory(steps=(tool("a"),)), Effects()).passed


@given(st.text("abc", max_size=7), st.sampled_from(MODES))
def test_identity_is_perfect(names: str, mode: MatchMode) -> None:
    found = aligned(names, names, mode)
    assert found.passed
    assert found.f1 == found.precision == found.recall == 1


@given(st.text("abc", max_size=6), st.text("abcx", max_size=6), st.sampled_from(MODES), st.data())
def test_values_are_shares_and_order_matters_only_where_it_is_stated(
    expected: str, actual: str, mode: MatchMode, data: st.DataObject
) -> None:
    found = aligned(expected, actual, mode)
    assert 0 <= found.f1 <= 1
    assert 0 <= found.precision <= 1
    assert 0 <= found.recall <= 1
    if mode not in {"exact", "in_order"}:
        other = "".join(data.draw(st.permutations(actual)))
        assert aligned(expected, other, mode).f1 == found.f1


pattern = st.sampled_from([None, {}, {"x": 1}, {"x": {"ge": 1}}, {"x": 2}])
calls = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=5)


@given(st.lists(st.tuples(st.sampled_from("ab"), pattern), max_size=5), calls)
def test_optimal_is_never_below_greedy(
    expected: list[tuple[str, Any]], actual: list[tuple[str, int]]
) -> None:
    stated = [want(name, args) for name, args in expected]
    done = [tool(name, x=number) for name, number in actual]
    left, greedy = list(done), 0.0
    for one in stated:
        same = [step for step in left if step.name == one.tool]
        if same:
            left.remove(same[0])
            alone = aligned([one], [same[0]], "unordered")
            greedy += 1 if alone.passed else 0.5
    total = len(stated) + len(done)
    assert aligned(stated, done, "unordered").f1 >= (2 * greedy / total if total else 1) - 1e-12


beside = st.tuples(st.sampled_from("aab"), pattern, st.booleans(), st.sampled_from("aab"))


@given(
    st.lists(st.tuples(beside, st.integers(0, 3)), max_size=5),
    st.sampled_from(["exact", "in_order"]),
)
def test_a_further_step_of_another_name_changes_no_pair(
    steps: list[tuple[tuple[str, Any, bool, str], int]], mode: MatchMode
) -> None:
    stated = [want(name, args, optional=optional) for (name, args, optional, _), _ in steps]
    done = [tool(name, x=number) for (*_, name), number in steps]
    alone, further = aligned(stated, done, mode), aligned(stated, [*done, tool("z")], mode)
    assert (alone.pairs, alone.wrong, alone.missing, alone.out_of_order) == (
        further.pairs,
        further.wrong,
        further.missing,
        further.out_of_order,
    )


def test_problems_are_named_with_their_place() -> None:
    expect = Expected(
        steps=(
            want("a", id="one", after=("two",)),
            want("b", id="two", after=("one",)),
            want("b", after=("nowhere",)),
            want("c", {"x": {"regex": "("}}, after=("b",)),
            ExpectedStep(any_of=(want("d", optional=True),)),
        ),
        never=(want("e", {"x": {"ge": "1"}}),),
    )
    said = "\n".join(problems(expect))
    for part in ("'nowhere'", "circle", "names 2", "steps[3].args", "any_of[0]", "never[0].args"):
        assert part in said
    assert problems(Expected(steps=(want("a"), want("b", after=("a",))))) == []
    assert problems(Expected()) == []
