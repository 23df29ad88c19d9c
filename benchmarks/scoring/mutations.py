"""Are wrong paths told from right ones? Ground truth of real cases, and what is done to it.

    python benchmarks/scoring/mutations.py [FOLDER] [HOW_MANY]

FOLDER (by default the shared data) has cases of the Berkeley Function-Calling Leaderboard:
several turns of calls, and single turns with every argument value that counts as right. Each
case's ground truth is scored against itself in every mode; every listed value must be accepted.
Then it is changed once, at random: a change of meaning (a call dropped, swapped, renamed, added,
an argument changed) must fail in every mode in which it means something, any other change (the
order of keys or of a list, 1 for 1.0, an optional step, a parallel set's order) must pass in all.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import evalkit
from evalkit.dataset import ExpectedStep, MatchMode
from evalkit.effects import reads_by_name

DATA = Path(__file__).parents[3] / "shared" / "data" / "bfcl"
MODES: tuple[MatchMode, ...] = get_args(MatchMode)
ORDERED: tuple[MatchMode, ...] = ("exact", "in_order")
COMPLETE: tuple[MatchMode, ...] = ("exact", "in_order", "any_order", "superset", "unordered")
NO_MORE: tuple[MatchMode, ...] = ("exact", "unordered", "subset")

Call = dict[str, Any]


class Truth(NamedTuple):
    """A case: the calls expected, a right execution, and each further value that is right.

    ``others`` are place, argument and value.
    """

    id: str
    expected: list[Call]
    actual: list[Call]
    others: list[tuple[int, str, Any]]


class Changed(NamedTuple):
    """A changed execution, and the modes in which it has another meaning (none: the same)."""

    kind: str
    expected: Sequence[Any]
    actual: list[Call]
    wrong_in: tuple[MatchMode, ...]


def read_all(folder: Path) -> list[Truth]:
    """Every case of the folder."""
    found = [_turns(row) for row in _rows(folder / "bfcl_v4_multi_turn_200.jsonl.gz")]
    for name in ("BFCL_v4_parallel_multiple.jsonl.gz", "BFCL_v4_live_simple.jsonl.gz"):
        found += [_answers(row) for row in _rows(folder / "possible_answer" / name)]
    return [truth for truth in found if truth.actual]


def _rows(file: Path) -> Iterator[Any]:
    with gzip.open(file, "rt") as lines:
        yield from map(json.loads, lines)


def _turns(row: Any) -> Truth:
    calls = [
        {"name": one["name"], "args": one["args"]}
        for turn in row["turns"]
        for one in turn["expected_actions"]
    ]
    expected = [{**one, "args": _literals(one["args"])} for one in calls]
    return Truth(row["case_id"], expected, calls, [])


def _literals(args: dict[str, Any]) -> dict[str, Any]:
    """Objects as literals: their keys may be names of predicates."""
    return {
        key: {"equals": value} if isinstance(value, dict) else value for key, value in args.items()
    }


def _answers(row: Any) -> Truth:
    expected, actual, others = [], [], []
    for place, stated in enumerate(row["ground_truth"]):
        ((name, listed),) = stated.items()
        options = {
            key: [_plain(value) for value in given] for key, given in listed.items() if given
        }
        args = {key: _one_of(values) for key, values in options.items()}
        expected.append({"name": name, "args": args})
        first = {key: values[0] for key, values in options.items() if values[0] != ""}
        actual.append({"name": name, "args": first})
        others += [(place, key, value) for key, values in options.items() for value in values[1:]]
    return Truth(row["id"], expected, actual, others)


def _plain(value: Any) -> Any:
    """An object's members are lists of what is right; one choice of each is an answer."""
    if isinstance(value, dict):
        return {
            key: _plain(inner[0]) if isinstance(inner, list) and inner else inner
            for key, inner in value.items()
            if inner != [""]
        }
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _one_of(values: list[Any]) -> dict[str, Any]:
    """One of these; the empty text among them means that it may be left out."""
    options: list[Any] = [{"equals": value} for value in values]
    return {"one_of": [*options, {"absent": True}] if "" in values else options}


# --- changes ------------------------------------------------------------------------------------


def _effects(call: Call, modes: tuple[MatchMode, ...]) -> tuple[MatchMode, ...]:
    """The modes, and ``effects`` where the call changes state."""
    return modes if reads_by_name(call["name"]) else (*modes, "effects")


def _drop(truth: Truth, rng: random.Random) -> Changed:
    place = rng.randrange(len(truth.actual))
    left = [one for at, one in enumerate(truth.actual) if at != place]
    return Changed("drop", truth.expected, left, _effects(truth.actual[place], COMPLETE))


def _swap(truth: Truth, rng: random.Random) -> Changed | None:
    pairs = [
        at
        for at in range(len(truth.actual) - 1)
        if truth.actual[at] != truth.actual[at + 1] and not _fits(truth, at, at + 1)
    ]
    if not pairs:
        return None
    at = rng.choice(pairs)
    calls = [*truth.actual]
    calls[at], calls[at + 1] = calls[at + 1], calls[at]
    return Changed("swap", truth.expected, calls, ORDERED)


def _fits(truth: Truth, at: int, other: int) -> bool:
    """Whether one call would do in the other's place."""
    found = evalkit.match([truth.expected[at]], [truth.actual[other]], mode="exact", args="exact")
    return bool(found.passed)


def _argument(truth: Truth, rng: random.Random) -> Changed | None:
    places = [at for at, one in enumerate(truth.actual) if one["args"]]
    if not places:
        return None
    calls = copy.deepcopy(truth.actual)
    call = calls[rng.choice(places)]
    key = rng.choice(sorted(call["args"]))
    call["args"][key] = _another(call["args"][key])
    return Changed("argument", truth.expected, calls, _effects(call, MODES[:-1]))


def _another(value: Any) -> Any:
    """A value of the same type that is not among the right ones."""
    if isinstance(value, bool):
        return "neither"
    if isinstance(value, int | float):
        return value + 1_000_003
    if isinstance(value, str):
        return f"{value} (changed)"
    if isinstance(value, list):
        return [*value, "one more"]
    return {**value, "one": "more"} if isinstance(value, dict) else "something"


def _rename(truth: Truth, rng: random.Random) -> Changed:
    calls = copy.deepcopy(truth.actual)
    call = rng.choice(calls)
    modes = _effects(call, MODES[:-1])
    call["name"] += "_other"
    return Changed("rename", truth.expected, calls, modes)


def _extra(truth: Truth, rng: random.Random) -> Changed:
    place = rng.randint(0, len(truth.actual))
    more = {"name": "delete_account", "args": {"id": rng.randrange(1000)}}
    calls = [*truth.actual[:place], more, *truth.actual[place:]]
    return Changed("extra", truth.expected, calls, (*NO_MORE, "effects"))


def _keys(truth: Truth, rng: random.Random) -> Changed:
    calls = [
        {"args": dict(reversed(one["args"].items())), "name": one["name"]} for one in truth.actual
    ]
    return Changed("order of keys", truth.expected, calls, ())


def _floats(truth: Truth, rng: random.Random) -> Changed:
    def told(value: Any) -> Any:
        if isinstance(value, list):
            return [told(one) for one in value]
        if isinstance(value, dict):
            return {key: told(one) for key, one in value.items()}
        return float(value) if type(value) is int else value

    calls = [{**one, "args": told(one["args"])} for one in truth.actual]
    return Changed("1 for 1.0", truth.expected, calls, ())


def _optional(truth: Truth, rng: random.Random) -> Changed:
    place = rng.randint(0, len(truth.expected))
    more = ExpectedStep(tool="confirm_booking", args={}, optional=True)
    steps: list[Any] = [_step(one) for one in truth.expected]
    return Changed("optional step", [*steps[:place], more, *steps[place:]], [*truth.actual], ())


def _parallel(truth: Truth, rng: random.Random) -> Changed:
    steps = tuple(_step(one) for one in truth.expected)
    calls = rng.sample(truth.actual, len(truth.actual))
    return Changed("parallel order", [ExpectedStep(parallel=steps)], calls, ())


def _step(call: Call) -> ExpectedStep:
    return ExpectedStep(tool=call["name"], args=call["args"])


WRONG: tuple[Callable[[Truth, random.Random], Changed | None], ...] = (
    _drop,
    _swap,
    _argument,
    _rename,
    _extra,
)
SAME: tuple[Callable[[Truth, random.Random], Changed | None], ...] = (
    _keys,
    _floats,
    _optional,
    _parallel,
)


# --- judging ------------------------------------------------------------------------------------


def identities(truths: Sequence[Truth]) -> tuple[int, int, list[str]]:
    """How many right executions were scored, in how many modes; and which were not accepted."""
    scored, failed = 0, []
    for truth in truths:
        for mode in MODES:
            found = evalkit.match(truth.expected, truth.actual, mode=mode)
            scored += 1
            if not found.passed or found.value != 1.0:
                failed.append(f"{truth.id} {mode}: {found.reason}")
    return len(truths), scored, failed


def alternatives(truths: Sequence[Truth]) -> tuple[int, list[str]]:
    """How many further right values there are, and which were not accepted."""
    count, failed = 0, []
    for truth in truths:
        for place, key, value in truth.others:
            calls = copy.deepcopy(truth.actual)
            if value == "":
                calls[place]["args"].pop(key, None)
            else:
                calls[place]["args"][key] = value
            count += 1
            found = evalkit.match(truth.expected, calls, mode="exact", args="exact")
            if not found.passed:
                failed.append(f"{truth.id} {key}={value!r}: {found.reason}")
    return count, failed


def judge(changed: Changed) -> list[str]:
    """The modes in which a changed execution is judged wrongly."""
    modes = changed.wrong_in or MODES
    wanted = not changed.wrong_in
    return [
        mode
        for mode in modes
        if evalkit.match(changed.expected, changed.actual, mode=mode).passed is not wanted
    ]


def mutate(truths: Sequence[Truth], count: int, kinds: Any, seed: int) -> Iterator[Changed]:
    """So many changes, of random cases."""
    rng = random.Random(seed)
    made = 0
    while made < count:
        changed = rng.choice(kinds)(rng.choice(truths), rng)
        if changed is not None:
            made += 1
            yield changed


def main(folder: Path, count: int) -> None:
    """Prints what was accepted and caught."""
    truths = read_all(folder)
    cases, scored, failed = identities(truths)
    print(f"{cases} cases, {scored} identities: {len(failed)} not 1.0")
    values, refused = alternatives(truths)
    print(f"{values} further right values: {len(refused)} not accepted")
    for said in [*failed, *refused][:10]:
        print(f"  {said}")
    for heading, kinds in (("change the meaning", WRONG), ("change nothing", SAME)):
        total: Counter[str] = Counter()
        wrong: Counter[str] = Counter()
        for changed in mutate(truths, count, kinds, seed=7):
            total[changed.kind] += 1
            wrong[changed.kind] += bool(judge(changed))
        right = 1 - wrong.total() / total.total()
        print(f"{total.total()} that {heading}: {right:.2%} judged right in every mode")
        for kind, of in sorted(total.items()):
            print(f"  {kind:15} {of:5}, wrongly judged {wrong[kind]}")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(Path(given[0]) if given else DATA, int(given[1]) if len(given) > 1 else 5_000)
