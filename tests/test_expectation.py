"""Groups, counts and paths: what satisfies an expectation, and in which ways."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.assignment import TooLargeError
from evalkit.dataset import Expected, ExpectedStep
from evalkit.matching import Alignment, align
from evalkit.soundness import problems
from evalkit.suite import Effects
from evalkit.trajectory import Step, Trajectory


def aligned(steps: Any, actual: str, mode: str = "exact", paths: Any = ()) -> Alignment:
    """``steps`` as a dataset writes them, a letter for a tool; ``actual`` tools by letters."""
    stated = {"steps": _written(steps), "match": mode}
    if paths:
        stated = {"paths": [_written(list(path)) for path in paths], "match": mode}
    expect = msgspec.json.decode(msgspec.json.encode(stated), type=Expected)
    done = tuple(Step(kind="tool", name=name, arguments={}) for name in actual)
    return align(expect, Trajectory(steps=done), Effects())


def _written(steps: Any) -> Any:
    if isinstance(steps, str) and len(steps) == 1:
        return {"tool": steps}
    if isinstance(steps, str | list):
        return [_written(one) for one in steps]
    groups = {key: _written(steps[key]) for key in ("parallel", "any_of") if key in steps}
    return {**steps, **groups}


def passing(steps: Any, *actual: str, mode: str = "exact") -> list[str]:
    return [one for one in actual if aligned(steps, one, mode).passed]


def test_a_parallel_set_is_in_any_order_at_its_place() -> None:
    steps = ["a", {"parallel": ["b", "c"]}, "d"]
    assert passing(steps, "abcd", "acbd", "bacd", "abdc", "abd") == ["abcd", "acbd"]
    assert passing(steps, "axbycd", "dabc", mode="in_order") == ["axbycd"]
    assert passing(steps, "dcba", mode="unordered") == ["dcba"]


def test_branches_of_a_parallel_set_are_sequences() -> None:
    steps = [{"parallel": [["a", "b"], ["c", "d"]]}, "e"]
    assert passing(steps, "abcde", "acbde", "cadbe", "bacde", "abdce", "abced") == [
        "abcde",
        "acbde",
        "cadbe",
    ]
    found = aligned(steps, "bacde")
    assert len(found.out_of_order) == 1
    assert not found.missing


def test_alternatives_may_be_whole_sequences() -> None:
    steps = ["a", {"any_of": [["b", "c"], "d", ["e", {"parallel": ["f", "g"]}]]}, "h"]
    right = ["abch", "adh", "aefgh", "aegfh"]
    assert passing(steps, *right, "abh", "acbh", "ah", "abcdh") == right
    near = aligned(steps, "abh")
    assert [near.expected_step(place).label for place in near.missing] == ["tool c"]


def test_counts() -> None:
    assert passing([{"tool": "a", "times": 2}, "b"], "aab", "ab", "aaab") == ["aab"]
    some = [{"tool": "a", "times": {"ge": 1, "le": 3}}, "b"]
    assert passing(some, "ab", "aab", "aaab", "aaaab", "b") == ["ab", "aab", "aaab"]
    open_end = [{"tool": "a", "times": {"ge": 2}}]
    assert passing(open_end, "a", "aa", "aaaaaaaa") == ["aa", "aaaaaaaa"]
    group = [{"parallel": ["a", "b"], "times": 2}]
    assert passing(group, "abba", "aabb", "ab") == ["abba"]
    optional = ["x", {"any_of": [["a", "b"]], "optional": True}, "y"]
    assert passing(optional, "xy", "xaby", "xay") == ["xy", "xaby"]


def test_the_best_of_several_paths_counts() -> None:
    paths = ["ab", "cde", []]
    for actual in ("ab", "cde", ""):
        assert aligned("", actual, paths=paths).passed
    near = aligned("", "ce", paths=paths)
    assert near.plan.path == 1
    assert [near.expected_step(place).name for place in near.missing] == ["d"]
    assert near.f1 == pytest.approx(4 / 5)
    with pytest.raises(ValueError, match="not both"):
        Expected(steps=(), paths=((),))


def test_after_within_a_group_adds_to_the_order_and_a_group_may_be_named() -> None:
    steps = [
        "a",
        {"parallel": ["b", "c"], "id": "both"},
        {"tool": "d", "after": ["both"]},
        {"tool": "e"},
    ]
    assert passing(steps, "abcde", "eabcd", "cbdae", "bdcae") == ["abcde", "eabcd", "cbdae"]
    inner = ["a", {"parallel": [["b", "c", {"tool": "d", "after": ["b"]}]]}]
    assert passing(inner, "acbd", "abdc", "adbc", "bacd") == ["acbd", "abdc"]


@pytest.mark.parametrize(
    ("ignored", "stated", "found", "right"),
    [
        ("items[0].at", {"items": [{"n": 1, "at": 5}]}, {"items": [{"n": 1, "at": 6}]}, True),
        ("items[0].at", {"items": [{"n": 1, "at": 5}]}, {"items": [{"n": 2, "at": 5}]}, False),
        ("items[0].at", {"items": [{"at": 1}, {"at": 2}]}, {"items": [{}, {"at": 3}]}, False),
        ("items[-1].at", {"items": [{}, {"at": 2}]}, {"items": [{}, {"at": 3}]}, True),
        ("items[0]", {"items[1].n": 2}, {"items": [{"n": 1}, {"n": 2}]}, True),
        ("items[0]", {"items": [1, 2]}, {"items": [3, 2]}, True),
        ("m", {"m.at": 5}, {"m": {"at": 6}}, True),
        ("m", {"m.at": 5}, {}, True),
        ("m", {"more": 5}, {"more": 6}, False),
        ("m.at", {"m.at": 5, "m.n": 1}, {"m": {"at": 6, "n": 1}}, True),
        ("m.at", {"m.at": 5, "m.n": 1}, {"m": {"at": 6, "n": 2}}, False),
        ("m.at.day", {"m.at": {"day": 1, "n": 1}}, {"m": {"at": {"day": 2, "n": 1}}}, True),
        ("m.at", {"m": 5}, {"m": 6}, False),
    ],
)
def test_ignored_arguments_are_paths(
    ignored: str, stated: dict[str, Any], found: dict[str, Any], right: bool
) -> None:
    expect = Expected(steps=(ExpectedStep(tool="a", args=stated),), ignore={"a": (ignored,)})
    assert problems(expect) == []
    done = Trajectory(steps=(Step(kind="tool", name="a", arguments=found),))
    assert align(expect, done, Effects()).passed is right


def test_what_is_no_path_cannot_be_ignored() -> None:
    (said,) = problems(Expected(steps=(ExpectedStep(tool="a"),), ignore={"a": ("items[*].at",)}))
    assert said == "ignore.a: 'items[*].at' is no path: write `a.b` or `items[0].b`"


def test_status_and_ignored_arguments() -> None:
    failed = Step(
        kind="tool", name="a", arguments={"id": 1, "meta": {"trace": 5, "x": 1}}, status="error"
    )
    one = ExpectedStep(tool="a", args={"id": 2, "meta": {"trace": 6, "x": 1}})
    done = Trajectory(steps=(failed,))
    ignoring = Expected(steps=(one,), args="exact", ignore={"a": ("id",), "*": ("meta.trace",)})
    assert align(ignoring, done, Effects()).passed
    assert not align(Expected(steps=(one,), ignore={"a": ("id",)}), done, Effects()).passed
    for status, right in (("ok", False), ("error", True), ("any", True)):
        expect = Expected(steps=(ExpectedStep(tool="a", status=status),))
        assert align(expect, done, Effects()).passed is right
        effects = msgspec.structs.replace(expect, match="effects")
        assert align(effects, done, Effects()).passed is right


def test_a_state_that_is_set_twice_is_set_once() -> None:
    expect = Expected(steps=(ExpectedStep(tool="update_x"),), match="effects")
    call = Step(kind="tool", name="update_x", arguments={"v": 1}, output="x is 1")
    other = Step(kind="tool", name="update_x", arguments={"v": 2}, output="x is 2")
    assert align(expect, Trajectory(steps=(call, call)), Effects()).passed
    assert not align(expect, Trajectory(steps=(call, other, call)), Effects()).passed
    silent = msgspec.structs.replace(call, output=None)
    assert not align(expect, Trajectory(steps=(silent, silent)), Effects()).passed
    paid = msgspec.structs.replace(call, name="send_payment")
    twice = Expected(steps=(ExpectedStep(tool="send_payment"),), match="effects")
    assert not align(twice, Trajectory(steps=(paid, paid)), Effects()).passed


def test_what_changes_state_is_stated_else_told_else_guessed() -> None:
    expect = Expected(steps=(), match="effects")
    done = Trajectory(steps=(Step(kind="tool", name="get_it", arguments={}),))
    assert align(expect, done, Effects()).passed
    assert not align(expect, done, Effects(write=("get_it",))).passed
    told = Trajectory(steps=(Step(kind="tool", name="get_it", arguments={}, read_only=False),))
    assert not align(expect, told, Effects()).passed
    assert align(expect, told, Effects(write=())).passed


# --- agreement with a definition by enumeration ---------------------------------------------

letters = st.sampled_from("abc")
groups = st.recursive(
    letters,
    lambda inner: st.builds(
        lambda kind, listed: {kind: listed},
        st.sampled_from(["parallel", "any_of"]),
        st.lists(st.lists(inner, min_size=1, max_size=2), min_size=1, max_size=2),
    ),
    max_leaves=5,
)


def words(steps: Any) -> set[str]:
    """Every sequence that satisfies the steps in full."""
    if isinstance(steps, str):
        return {steps}
    if isinstance(steps, list):
        return {"".join(one) for one in itertools.product(*map(words, steps))}
    if "any_of" in steps:
        return set().union(*map(words, steps["any_of"]))
    found: set[str] = set()
    for branches in itertools.product(*map(words, steps["parallel"])):
        found |= set(interleaved(branches))
    return found


def interleaved(branches: tuple[str, ...]) -> Iterator[str]:
    if not any(branches):
        yield ""
    for place, branch in enumerate(branches):
        if branch:
            rest = (*branches[:place], branch[1:], *branches[place + 1 :])
            yield from (branch[0] + more for more in interleaved(rest))


@settings(max_examples=150, deadline=None)
@given(st.lists(groups, max_size=3), st.text("abc", max_size=5))
def test_exact_agrees_with_enumerating_every_sequence(steps: list[Any], actual: str) -> None:
    every = words(steps)
    assert aligned(steps, actual).passed == (actual in every)
    chosen = sorted(every)[0]
    assert aligned(steps, chosen).passed
    assert aligned(steps, chosen).f1 == 1


# --- bounds and problems --------------------------------------------------------------------


def test_too_many_ways_are_an_error_and_no_hang() -> None:
    choice = {"any_of": [["a", "b"], ["c", "d"]]}
    for steps in (
        [choice] * 40,
        [{**choice, "times": {"le": 90}}],
        [{"tool": "a", "times": 10**6}],
    ):
        with pytest.raises(TooLargeError):
            aligned(steps, "ab")
    stated = msgspec.json.decode(
        msgspec.json.encode({"steps": _written([choice] * 40)}), type=Expected
    )
    assert "1,000 ways" in problems(stated)[0]


def test_a_long_list_with_a_parallel_set_in_it_is_aligned() -> None:
    names = [chr(97 + number % 26) for number in range(300)]
    steps = [*names[:150], {"parallel": ["b", ["a", "c"], "b"]}, *names[150:]]
    assert aligned(steps, "".join([*names[:150], "abcb", *names[150:]])).passed
    assert not aligned(steps, "".join(reversed(names))).passed


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"steps": [{"parallel": [{"tool": "a"}], "args": {"x": 1}}]}, "steps[0].args"),
        ({"steps": [{"parallel": [[{"tool": "a"}, {"tool": "b", "after": ["z"]}]]}]}, "'z'"),
        (
            {"steps": [{"any_of": [[{"tool": "a", "args": {"x": {"regex": "("}}}] * 2]}]},
            "any_of[0]",
        ),
        ({"paths": [[], [{"tool": "a", "after": ["b"]}]]}, "paths[1][0].after"),
        ({"never": [{"parallel": [{"tool": "a"}]}]}, "never[0]"),
        ({"never": [{"tool": "a", "times": 2}]}, "never[0].times"),
    ],
)
def test_problems_say_where(stated: dict[str, Any], said: str) -> None:
    found = problems(msgspec.json.decode(msgspec.json.encode(stated), type=Expected))
    assert any(said in one for one in found), found


def test_a_count_that_cannot_be_is_refused() -> None:
    for times in ({"ge": 3, "le": 2}, {"le": 0}, 0, {"gt": 1}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(
                msgspec.json.encode({"tool": "a", "times": times}), type=ExpectedStep
            )


def test_hostile_trajectories_are_judged_and_no_hang() -> None:
    large = {"text": "x" * 10_000_000, "number": float("nan")}
    expect = Expected(steps=(ExpectedStep(tool="a", args={"text": "y", "number": 1}),))
    for arguments in (large, "{not json", 10**400, ["a"] * 1000, None):
        done = Trajectory(steps=(Step(kind="tool", name="a", arguments=arguments),))
        assert not align(expect, done, Effects()).passed
    many = Trajectory(
        steps=tuple(Step(kind="tool", name=f"t{n % 5}", arguments={"n": n}) for n in range(100_000))
    )
    few = tuple(ExpectedStep(tool=f"t{n}", args={"n": 99_000 + n}) for n in range(5))
    assert align(Expected(steps=few), many, Effects()).passed
