"""Peers' match scorers in evalkit's terms: what each of their modes is here, and their defects.

A vector is one call of a peer's scorer with what it returned. :func:`ours` gives what evalkit says
to the same, in the peer's terms (a verdict or a number); None where it has no counterpart.
:data:`DEFECTS` are the peers' own, each with its reason: rules about a vector, not lists of them.
"""

from __future__ import annotations

import copy
import fnmatch
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from evalkit.dataset import ArgumentsMode, Case, Expected, ExpectedStep, Limits, MatchMode, Times
from evalkit.results import Score
from evalkit.scorers.limits import limits
from evalkit.scorers.trajectory_match import judge
from evalkit.suite import Effects
from evalkit.trajectory import Step, Trajectory

Vector = Mapping[str, Any]
Answer = bool | float | None

NO_COUNTERPART = {
    "fi.": "weighted heuristics that reward doing nothing or go below 0; no match of steps",
    "adk.tool_parameter_match": "unreleased; grades the share of a call's arguments",
    "deepeval.ToolCorrectnessMetric ordering+OUTPUT": "compares what tools returned",
}


class Defect(NamedTuple):
    """Where a peer's answer is not to be agreed with."""

    scorer: str
    reason: str
    applies: Callable[[Vector], bool]


def ours(vector: Vector) -> Answer:
    """What evalkit says to a vector, in the peer's terms."""
    scorer, mode = vector["scorer"], vector["mode"]
    if any(f"{scorer} {mode}".startswith(name) for name in NO_COUNTERPART):
        return None
    return _ANSWERS[scorer.split(".")[0]](vector, mode)


def defect(vector: Vector) -> Defect | None:
    """The first defect of the peer that shows in a vector."""
    named = (one for one in DEFECTS if vector["scorer"].startswith(one.scorer))
    return next((one for one in named if one.applies(vector)), None)


def agree(one: Answer, other: Any) -> bool:
    """Whether two answers are the same, numbers to four places."""
    return one is not None and abs(float(one) - float(other)) < 1e-4


# --- calls --------------------------------------------------------------------------------------


def literal(args: Any) -> dict[str, Any]:
    """Arguments that must be exactly these."""
    return {key: {"equals": value} for key, value in (args or {}).items()}


def partly(args: Any) -> dict[str, Any]:
    """Arguments of which each may be left out, but is this one if it is there."""
    return {
        key: {"one_of": [{"equals": value}, {"absent": True}]}
        for key, value in (args or {}).items()
    }


def stated(calls: Any, args: Callable[[Any], dict[str, Any]] = literal) -> list[ExpectedStep]:
    """Expected tool calls."""
    return [ExpectedStep(tool=one["name"], args=args(one.get("args"))) for one in calls]


def done(calls: Any) -> list[Step]:
    """Actual tool calls."""
    return [Step(kind="tool", name=one["name"], arguments=one.get("args") or {}) for one in calls]


def match(
    expected: Sequence[ExpectedStep],
    actual: Sequence[Step],
    mode: MatchMode,
    args: ArgumentsMode = "exact",
    **more: Any,
) -> Score:
    """The score that a suite would give."""
    expect = Expected(steps=tuple(expected), match=mode, args=args, **more)
    return judge(expect, Trajectory(steps=tuple(actual)), Effects())


def passed(score: Score) -> bool:
    """The verdict, which these vectors always allow."""
    assert score.passed is not None
    return score.passed


def right(score: Score, of: int) -> float:
    """The share of so many steps that are right in full; of none, whether it passed."""
    return float(score.data["right"]) / of if of else float(passed(score))


# --- peers --------------------------------------------------------------------------------------


def _agentevals(vector: Vector, mode: str) -> Answer:
    name, _, args = mode.partition("+args:")
    overrides = vector.get("arg_overrides") or {}
    if any(isinstance(one, str) and one.startswith("callable") for one in overrides.values()):
        return None  # a function of the test's own
    if name == "strict":
        return _agentevals_strict(vector, args, overrides)
    forth = _agentevals_half(vector, "superset", args, overrides)
    back = _agentevals_half(vector, "subset", args, overrides)
    return {"superset": forth, "subset": back, "unordered": forth and back}[name]


def _agentevals_half(
    vector: Vector, mode: MatchMode, args: str, overrides: Mapping[str, Any]
) -> bool:
    """In its mode ``subset`` the two sides change places, those of the arguments too."""
    flipped = {"subset": "superset", "superset": "subset"}.get(args, args)
    read, how = _BY_ARGS[flipped if mode == "subset" else args]
    expected, ignore = _overridden(vector["reference"], vector, read, overrides)
    return passed(match(expected, done(vector["actual"]), mode, how, ignore=ignore))


_BY_ARGS: dict[str, tuple[Callable[[Any], dict[str, Any]], ArgumentsMode]] = {
    "exact": (literal, "exact"),
    "ignore": (literal, "ignore"),
    "superset": (literal, "stated"),
    "subset": (partly, "exact"),
}


def _overridden(
    calls: Any,
    vector: Vector,
    read: Callable[[Any], dict[str, Any]],
    overrides: Mapping[str, Any],
) -> tuple[list[ExpectedStep], dict[str, tuple[str, ...]]]:
    """Expected calls, of some tools only by some of their arguments (or by none)."""
    steps, ignore = [], {}
    for one in calls:
        override = overrides.get(one["name"])
        if override is None:
            steps.append(ExpectedStep(tool=one["name"], args=read(one.get("args"))))
        elif override == "ignore":
            steps.append(ExpectedStep(tool=one["name"]))
        else:
            steps.append(ExpectedStep(tool=one["name"], args=literal(one.get("args"))))
            every = {
                path
                for call in (*vector["reference"], *vector["actual"])
                if call["name"] == one["name"]
                for path in _paths(call.get("args") or {})
            }
            ignore[one["name"]] = tuple(sorted(every - set(override)))
    return [_without(step, ignore.get(step.name or "", ())) for step in steps], ignore


def _without(step: ExpectedStep, paths: Sequence[str]) -> ExpectedStep:
    """The step without the arguments at these paths, that are not compared either."""
    if not paths or step.args is None:
        return step
    plain = copy.deepcopy({key: value["equals"] for key, value in step.args.items()})
    for path in paths:
        inner: Any = plain
        *above, last = path.split(".")
        for key in above:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner.pop(last, None)
    return msgspec.structs.replace(step, args=literal(plain))


def _paths(args: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in args.items():
        if isinstance(value, dict) and value:
            yield from _paths(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def _agentevals_strict(vector: Vector, args: str, overrides: Mapping[str, Any]) -> bool:
    """Message by message: a message's role is a step, and its calls a parallel set after it."""
    read, how = _BY_ARGS[args]
    expected: list[ExpectedStep] = []
    actual: list[Step] = []
    ignore: dict[str, tuple[str, ...]] = {}
    for message in vector["reference_messages"]:
        expected.append(ExpectedStep(llm=message if isinstance(message, str) else "assistant"))
        if not isinstance(message, str) and message:
            calls, more = _overridden(message, vector, read, overrides)
            expected.append(ExpectedStep(parallel=tuple(calls)))
            ignore |= more
    for message in vector["actual_messages"]:
        actual.append(Step(kind="llm", name=message if isinstance(message, str) else "assistant"))
        actual += [] if isinstance(message, str) else done(message)
    if not any(one.parallel for one in expected):  # tools are compared, called or not
        expected.append(ExpectedStep(tool="never called", times=Times(ge=0, le=1)))
    return passed(match(expected, actual, "exact", how, ignore=ignore))


def _adk(vector: Vector, mode: str) -> Answer:
    name, _, ignored = mode.partition("+")
    how = OTHERS_ALLOWED[name.lower()]
    turns = list(zip(vector["reference"], vector["actual"], strict=True))
    verdicts = [
        passed(match(stated(one), done(other), how, "ignore" if ignored else "exact"))
        for one, other in turns
    ]
    return sum(verdicts) / len(verdicts)


def _azure(vector: Vector, mode: str) -> Answer:
    name, _, params = mode.partition("+")
    calls = [[{**one, "name": one["name"].strip()} for one in vector[key]] for key in SIDES]
    args: ArgumentsMode = "exact" if params else "ignore"
    if name.endswith("_score"):
        score = match(stated(calls[0]), done(calls[1]), "unordered", "ignore")
        measure = name.removesuffix("_score")
        return score.value if measure == "f1" else float(score.data[measure])
    how = OTHERS_ALLOWED[name.removesuffix("_match")]
    return passed(match(stated(calls[0]), done(calls[1]), how, args))


SIDES = ("reference", "actual")
OTHERS_ALLOWED: dict[str, MatchMode] = {
    "exact": "exact",
    "in_order": "in_order",
    "any_order": "superset",
}
NO_OTHERS: dict[str, MatchMode] = {**OTHERS_ALLOWED, "any_order": "unordered"}
DEEPEVAL: dict[str, MatchMode] = {
    "exact": "exact",
    "non_exact": "superset",
    "ordering": "in_order",
}


def _deepeval(vector: Vector, mode: str) -> Answer:
    if vector["scorer"] == "deepeval.ToolPermissionMetric":
        allowed = [
            ExpectedStep(tool=name, times=Times()) for name in vector["policy"]["allowed_tools"]
        ]
        return float(match(allowed, done(vector["actual"]), "subset").data["precision"])
    name, _, more = mode.partition("+")
    typed = [
        [{**one, "name": f"{one.get('type', '')} {one['name']}"} for one in vector[key]]
        for key in SIDES
    ]
    args: ArgumentsMode = "exact" if more == "INPUT_PARAMETERS" else "ignore"
    how = DEEPEVAL[name]
    score = match(stated(typed[0]), done(typed[1]), how, args)
    if name == "exact" or more == "strict_mode":
        return passed(score)
    return right(score, len(typed[0]))


def _fi(vector: Vector, mode: str) -> Answer:
    return None


def _mlflow(vector: Vector, mode: str) -> Answer:
    lacking = any(one.get("args") is None for one in vector["reference"])
    how: MatchMode = "exact" if mode == "exact_ordered" else "unordered"
    args: ArgumentsMode = "ignore" if lacking else "exact"
    return passed(match(stated(vector["reference"]), done(vector["actual"]), how, args))


def _promptfoo(vector: Vector, mode: str) -> Answer:
    asked, actual = vector["reference"], vector["actual"]
    kind = vector["scorer"].partition(":")[2]
    called = done([{**one, "name": one["name"].lower()} for one in actual])
    names = [step.name for step in called]
    if kind == "tool-sequence":
        steps = [_globbed(name, names) for name in asked["steps"]]
        return passed(match(steps, called, mode, "ignore"))
    if kind.startswith("tool-used"):
        return _promptfoo_used(asked, called, negated="not" in kind)
    if kind == "step-count":
        least = ExpectedStep(step=names[0] if names else "x", times=Times(ge=asked.get("min", 0)))
        return passed(match([least], called, "superset", "ignore"))
    wanted = {**asked, "name": asked["name"].lower()}
    return _promptfoo_args(wanted, called, exact=mode == "exact", negated="not" in kind)


def _globbed(pattern: str, names: Sequence[str], **more: Any) -> ExpectedStep:
    """A name that may be a pattern: any of the tools that were called and fit it."""
    fits = [one for one in dict.fromkeys(names) if fnmatch.fnmatch(one, pattern.lower())]
    one = [ExpectedStep(tool=name) for name in fits or [pattern.lower()]]
    return ExpectedStep(any_of=tuple(one), **more)


def _promptfoo_used(asked: Any, called: Sequence[Step], *, negated: bool) -> bool:
    names = [step.name for step in called]
    if isinstance(asked, list):
        if negated:
            never = tuple(_globbed(name, names) for name in asked)
            return passed(judge(Expected(never=never), Trajectory(steps=tuple(called)), Effects()))
        steps = [_globbed(name, names) for name in dict.fromkeys(asked)]
        return passed(match(steps, called, "superset", "ignore"))
    times = Times(ge=asked.get("min", 1), le=asked.get("max"))
    step = _globbed(asked["name"], names, times=times)
    only = [one for one in called if fnmatch.fnmatch(one.name, asked["name"].lower())]
    return passed(match([step], only, "unordered", "ignore")) != negated


def _promptfoo_args(
    asked: Mapping[str, Any], called: Sequence[Step], *, exact: bool, negated: bool
) -> bool:
    globs = asked.get("ignore") or []
    globs = [globs] if isinstance(globs, str) else globs
    keys = {key for step in called for key in step.arguments}
    ignored = {key for key in keys if any(fnmatch.fnmatch(key, glob) for glob in globs)}
    defaults = asked.get("defaults") or {}
    args = {
        key: value
        for key, value in asked["args"].items()
        if key not in ignored and defaults.get(key, ...) != value
    }
    plain = [
        msgspec.structs.replace(
            step,
            arguments={
                key: value
                for key, value in step.arguments.items()
                if defaults.get(key, ...) != value
            },
        )
        for step in called
    ]
    step = ExpectedStep(tool=asked["name"], args=literal(args) if exact else _in_place(args))
    ignore = {"*": tuple(ignored)} if ignored else {}
    found = match([step], plain, "superset", "exact" if exact else "stated", ignore=ignore)
    return passed(found) != negated


def _in_place(value: Any) -> Any:
    """Objects may have further keys; lists are compared place by place."""
    if isinstance(value, dict):
        return {key: _in_place(inner) for key, inner in value.items()}
    return {"ordered": [_in_place(one) for one in value]} if isinstance(value, list) else value


def _pydantic_evals(vector: Vector, mode: str) -> Answer:
    kind = vector["scorer"].partition(".")[2]
    name, _, option = mode.partition("+")
    if "actual" not in vector:
        return None  # no spans: nothing happened that could be judged
    if kind == "MaxModelRequests":
        chats = sum(one.get("span") == "chat" for one in vector["actual"])
        made = vector.get("metrics", {}).get("requests", chats)
        return _at_most(json.loads(mode)["max_requests"], [Step(kind="llm", name="m")] * made)
    limited = json.loads(mode) if kind == "MaxToolCalls" else {}
    failed_too = option == "include_failed" or limited.get("include_failed", bool(limited))
    calls = [
        one
        for one in vector["actual"]
        if one.get("span_name", "running tool").startswith(("running tool", "execute_tool"))
        and "name" in one
        and not one.get("deferred")
        and not one.get("output_function")
        and (failed_too or one.get("status") != "error")
    ]
    if limited:
        return _at_most(limited["max_calls"], done(calls))
    if kind == "ArgumentCorrectness":
        return _pydantic_arguments(vector["reference"], calls, name, option)
    steps = stated(vector["reference"])
    if kind == "ToolCorrectness":
        return passed(match(steps, done(calls), "superset" if option else "unordered", "ignore"))
    how = NO_OTHERS[name]
    score = match(steps, done(calls), how, "ignore")
    if how == "exact":
        return passed(score)
    return right(score, 1) * 2 / (len(steps) + len(calls)) if steps or calls else 1.0


def _at_most(most: int, steps: Sequence[Step]) -> bool:
    case = Case(id="c", input=None, route="r", expect=Expected(limits=Limits(steps=most)))
    return passed(limits(case, Trajectory(steps=tuple(steps))))


def _pydantic_arguments(reference: Any, calls: Any, mode: str, option: str) -> Answer:
    place = option.removeprefix("occurrence:")
    if place not in {"first", "last"} and not place.isdigit():
        return None  # it refuses the configuration
    only = [one for one in calls if one["name"] == reference[0]["name"]]
    at = {"first": 0, "last": -1}.get(place, int(place) if place.isdigit() else 0)
    chosen = only[at:][:1] if at >= 0 else only[-1:]
    args: ArgumentsMode = "exact" if mode == "exact" else "stated"
    return passed(match(stated(reference), done(chosen), "superset", args))


def _ragas(vector: Vector, mode: str) -> Answer:
    if vector["scorer"] == "ragas.ToolCallF1":
        score = match(stated(vector["reference"]), done(vector["actual"]), "unordered")
        total = len(vector["reference"]) + len(vector["actual"])
        return 2 * right(score, 1) / total if total else 1.0
    how: MatchMode = "exact" if mode == "strict_order" else "unordered"
    return passed(match(stated(vector["reference"]), done(vector["actual"]), how, "stated"))


def _strands_evals(vector: Vector, mode: str) -> Answer:
    how = OTHERS_ALLOWED[mode]
    score = match(stated(vector["reference"]), done(vector["actual"]), how, "ignore")
    if how == "exact":
        return passed(score)
    return right(score, len(vector["reference"]))


_ANSWERS: dict[str, Callable[[Vector, str], Answer]] = {
    "agentevals": _agentevals,
    "adk": _adk,
    "azure": _azure,
    "deepeval": _deepeval,
    "fi": _fi,
    "mlflow": _mlflow,
    "promptfoo": _promptfoo,
    "pydantic_evals": _pydantic_evals,
    "ragas": _ragas,
    "strands_evals": _strands_evals,
}


# --- defects ------------------------------------------------------------------------------------


def _calls(vector: Vector, key: str) -> list[Any]:
    found = vector[key]
    if not isinstance(found, list):
        return []
    return [one for turn in found for one in turn] if vector.get("turns") else found


def _names(vector: Vector, key: str) -> list[str]:
    return [one["name"] for one in _calls(vector, key)]


def _repeats(vector: Vector) -> bool:
    return any(len(set(_names(vector, key))) < len(_names(vector, key)) for key in SIDES)


def _asks_for_nothing(vector: Vector) -> bool:
    turns = vector["reference"] if vector.get("turns") else [vector["reference"]]
    return any(not turn for turn in turns)


def _by_text(vector: Vector) -> bool:
    """Whether how an argument is written, not what it is, makes a difference."""
    values = [
        [value for one in _calls(vector, key) for value in (one.get("args") or {}).values()]
        for key in SIDES
    ]
    flat = [json.dumps(value, sort_keys=True) for side in values for value in side]
    texts = [str(value) for side in values for value in side]
    return len(set(flat)) != len(set(texts)) or any(
        (isinstance(value, float) and value.is_integer()) or isinstance(value, dict)
        for side in values
        for value in side
    )


def _graded_arguments(vector: Vector) -> bool:
    """Whether some call has some of the expected arguments, but not all and no others."""
    for one in _calls(vector, "reference"):
        for other in _calls(vector, "actual"):
            wanted, found = one.get("args") or {}, other.get("args") or {}
            if one["name"] == other["name"] and wanted != found and (wanted or found):
                return True
    return False


def _true_for_one(vector: Vector) -> bool:
    """Whether Python's ``==`` may take a truth value for a number."""
    leaves = list(_leaves([vector["reference"], vector["actual"]]))
    return any(isinstance(one, bool) for one in leaves) and any(
        isinstance(one, int | float) and not isinstance(one, bool) and one in (0, 1)
        for one in leaves
    )


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


DEFECTS = (
    Defect("agentevals.", "arguments are compared by Python's ==: true is 1", _true_for_one),
    Defect(
        "agentevals.",
        "where only some arguments are compared, one that is missing is null",
        lambda v: bool(v.get("arg_overrides")) and None in _leaves(v["actual"] + v["reference"]),
    ),
    Defect("adk.", "arguments are compared by Python's ==: true is 1", _true_for_one),
    Defect("deepeval.", "arguments are compared by Python's ==: true is 1", _true_for_one),
    Defect("ragas.ToolCallF1", "arguments are compared by Python's ==: true is 1", _true_for_one),
    Defect(
        "agentevals.",
        "in the mode superset an empty reference is met by any calls: it cannot say `call nothing`",
        lambda v: v["mode"].startswith("superset") and not v["reference"],
    ),
    Defect(
        "agentevals.",
        "calls are paired greedily where one fits several: a valid pairing is missed",
        lambda v: (
            v["peer_value"] is False
            and (bool(v.get("arg_overrides")) or not v["mode"].endswith(("exact", "ignore")))
            and _repeats(v)
        ),
    ),
    Defect(
        "adk.",
        "IN_ORDER and ANY_ORDER: an empty reference is met by any calls",
        lambda v: not v["mode"].startswith("EXACT") and _asks_for_nothing(v),
    ),
    Defect("azure.", "arguments are compared as texts: 1 is '1', and 1 is not 1.0", _by_text),
    Defect(
        "azure.",
        "parameters are given per tool: two calls of one tool cannot differ",
        lambda v: "+params" in v["mode"] and _repeats(v),
    ),
    Defect(
        "deepeval.",
        "non_exact: calls that are alike are kept in a set, so that repeats count once",
        lambda v: v["mode"].startswith("non_exact") and _repeats(v),
    ),
    Defect(
        "deepeval.",
        "a call with some of the expected arguments counts as a part of a call",
        lambda v: v["mode"].endswith("INPUT_PARAMETERS") and _graded_arguments(v),
    ),
    Defect(
        "mlflow.",
        "exact_unordered: calls are a set, so that a a b is a b b",
        lambda v: v["mode"] == "exact_unordered" and _repeats(v),
    ),
    Defect("mlflow.", "arguments are compared as JSON texts: 1 is not 1.0", _by_text),
    Defect(
        "ragas.ToolCallAccuracy",
        "arguments are compared as texts: 1 is '1', and 1 is not 1.0, nor {a, b} {b, a}",
        _by_text,
    ),
    Defect(
        "ragas.ToolCallAccuracy",
        "arguments beyond the expected ones are ignored, but for calls that expect none; a call "
        "with some of the expected arguments counts as a part of a call",
        _graded_arguments,
    ),
    Defect(
        "ragas.ToolCallF1",
        "calls are a set: repeats count once, and nothing expected and nothing called gives 0",
        lambda v: _repeats(v) or not (v["reference"] or v["actual"]),
    ),
    Defect(
        "strands_evals.",
        "exact: hits by position, a longer tail is ignored",
        lambda v: v["mode"] == "exact",
    ),
    Defect(
        "strands_evals.",
        "in_order: stops at the first step that is missing, so that the first one missing gives 0",
        lambda v: v["mode"] == "in_order" and v["peer_value"] != 1,
    ),
    Defect(
        "strands_evals.",
        "any_order: names are a set, so that a repeated one counts once",
        lambda v: v["mode"] == "any_order" and _repeats(v),
    ),
    Defect(
        "strands_evals.",
        "an empty reference is met by any calls",
        lambda v: not v["reference"],
    ),
)
