"""A suite and its dataset checked together, before anything runs: all problems at once."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import UNSET

from evalkit import end_states, json_schemas, limits, matching, plugins, scoring
from evalkit.dataset import OutcomeCheck
from evalkit.errors import FileError, InputError, PluginError, Problem
from evalkit.expectation import leaves
from evalkit.files import (
    CaseLine,
    LoadedSuite,
    SuiteFile,
    dataset_of,
    read_dataset,
    read_lines,
    read_suite,
)
from evalkit.phrasing import plural
from evalkit.strict_yaml import Path as Key
from evalkit.strict_yaml import show_path
from evalkit.suite import GatePolicy, Pipeline, RoutePolicy, Suite, score_name
from evalkit.values import regex_problem

COMPLETION = "task_completion"
LIMITS = "limits"
MOST_NOTED = 20
"""So many notes of one kind."""
JUDGE = "judge"


def load_suite(path: str | Path) -> LoadedSuite:
    """The suite and its dataset, ready to run; FileError with every problem found."""
    loaded, problems = inspect(Path(path))
    if problems or loaded is None:
        raise FileError(*problems)
    return loaded


def inspect(path: Path) -> tuple[LoadedSuite | None, list[Problem]]:
    """The suite and dataset as far as they could be read, and everything that is wrong.

    What is wrong in one place hides nothing of another: of a suite or case with bad keys, the
    rest is looked at.
    """
    file = read_suite(path)
    suite = file.suite
    if suite is None:
        return None, [*file.problems, *_problems_of_named(file, path)]
    dataset_path = path.parent / suite.dataset
    problems = [*file.problems, *_suite_problems(suite, file, path)]
    try:
        lines = list(read_lines(dataset_path))
    except FileError as error:
        return None, [*problems, *error.problems]
    dataset, wrong = dataset_of(dataset_path, lines)
    problems += [*wrong, *_dataset_problems(suite, file, lines, dataset_path, path.parent)]
    return LoadedSuite(suite, dataset, path), problems


def _problems_of_named(file: SuiteFile, path: Path) -> list[Problem]:
    """What is wrong with the dataset that a suite names which is itself past reading."""
    stated = file.document.value if file.document else None
    named = stated.get("dataset") if isinstance(stated, dict) else None
    return read_dataset(path.parent / named)[1] if isinstance(named, str) else []


def unjudged(loaded: LoadedSuite) -> list[str]:
    """What the cases state and nothing looks at, or not as it seems to be meant."""
    return [*_unjudged_limits(loaded), *_literal_tolerances(loaded), *_misspelt_steps(loaded)]


def _unjudged_limits(loaded: LoadedSuite) -> list[str]:
    names = [use.name for use in loaded.suite.scorer_uses]
    stating = [case.id for case in loaded.dataset if case.expect.limits is not None]
    if not stating or LIMITS in names or any(":" in name for name in names):
        return []
    return [
        f"`limits` of {plural(len(stating), 'case')} ({stating[0]}) are judged by nothing: "
        "list `limits` as scorer"
    ]


def _literal_tolerances(loaded: LoadedSuite) -> list[str]:
    found = [
        f"case {case.id}: {step.kind} {step.name}: argument {name!r} must be the object "
        '{"value": ..., "tolerance": ...} itself. For a number or date near a value, write '
        '{"approx": {"value": ..., "tolerance": ...}}'
        for case in loaded.dataset
        for step in leaves(case.expect)
        for name, stated in (step.args or {}).items()
        if isinstance(stated, dict) and set(stated) == {"value", "tolerance"}
    ]
    return found[:MOST_NOTED]


def _misspelt_steps(loaded: LoadedSuite) -> Iterator[str]:
    """Limits on a step that no case expects, though one has a name like it."""
    expected = {
        one.name
        for case in loaded.dataset
        for step in leaves(case.expect)
        for one in step.alternatives
        if one.name
    }
    for limit in map(limits.read_limit, dict.fromkeys(loaded.suite.gate.all_limits)):
        if limit.of_step and limit.of not in expected:
            close = difflib.get_close_matches(limit.of, expected, n=1)
            if close:
                yield (
                    f"`{limit.text}`: no case expects a step {limit.of!r}. Did you mean "
                    f"{close[0]!r}?"
                )


def guesses(loaded: LoadedSuite) -> list[str]:
    """What a suite leaves open: an end state that it does not read, and a guess, which of the
    expected tools change state."""
    return [*_unread(loaded), *_guessed_effects(loaded)]


def _unread(loaded: LoadedSuite) -> list[str]:
    stating = [case.id for case in loaded.dataset if case.expect.state is not UNSET]
    if not stating or loaded.suite.state is not None:
        return []
    return [
        f"{len(stating)} cases state an end state ({stating[0]}), and the suite names no `state` "
        "function that reads it: they can be judged only where a recording holds it"
    ]


def _guessed_effects(loaded: LoadedSuite) -> list[str]:
    effects, cases = loaded.suite.effects, loaded.dataset
    if effects.write is not None or all(case.expect.match != "effects" for case in cases):
        return []
    stated = (one for case in cases for one in matching.leaves(case.expect))
    tools = sorted({one.tool for step in stated for one in step.alternatives if one.tool})
    changing = [tool for tool in tools if effects.changes_state(tool)]
    reading = [tool for tool in tools if not effects.changes_state(tool)]
    return [
        "`effects` does not state which tools change state. Guessed by their names, where the "
        f"trace does not tell, of the expected ones: {', '.join(changing) or 'none'}; "
        f"only read, and are not looked at: {', '.join(reading) or 'none'}"
    ]


def _suite_problems(suite: Suite, file: SuiteFile, path: Path) -> Iterator[Problem]:
    def at(key: Key, message: str) -> Problem:
        line, column = file.document.mark(key) if file.document else (None, None)
        return Problem(str(path), message, line, column, key=show_path(key))

    listed = not _within(file.bad, "scorers")
    for position, use in enumerate(suite.scorer_uses if listed else ()):
        try:
            scoring.bind([use], suite.effects, path.parent)
        except PluginError as error:
            yield at(("scorers", position), str(error))
    names = _scores(suite, path.parent)
    for position, use in enumerate(suite.scorer_uses if listed else ()):
        counted = use.arguments.get("passed") if use.name == COMPLETION else None
        for name in counted if isinstance(counted, list) else ():
            if message := _no_check(name, names):
                yield at(("scorers", position, use.name, "passed"), message)
    for key, name in _named_by_the_gate(suite):
        if listed and name not in names:
            yield at(key, _unknown("scorer", name, names))
    if not _within(file.bad, "gate"):
        yield from (at(key, message) for key, message in _both_ways(suite.gate, file))
    if suite.state is not None:
        try:
            end_states.load(suite.state, path.parent)
        except PluginError as error:
            yield at(("state",), str(error))
    try:
        check_pipeline(suite.pipeline, path.parent)
    except InputError as error:
        yield at(("pipeline", suite.pipeline.target), str(error))


def _scores(suite: Suite, folder: Path) -> list[str]:
    """The names of the scores that the suite's scorers give."""
    found: list[str] = []
    for use in suite.scorer_uses:
        try:
            (scorer,) = scoring.bind([use], suite.effects, folder)
        except PluginError:  # told beside the scorer itself
            found.append(score_name(use.name))
        else:
            found += scorer.names
    return found


def _named_by_the_gate(suite: Suite) -> Iterator[tuple[Key, str]]:
    """Every scorer that the gate's policy names, with its place."""
    gate = suite.gate
    yield from ((("gate", "on", at), name) for at, name in enumerate(gate.on))
    yield from ((("gate", "advise", at), name) for at, name in enumerate(gate.advise))
    named: list[tuple[Key, Sequence[str]]] = [(("gate", "limits"), gate.limits)]
    for route, own in gate.routes.items():
        place: Key = ("gate", "routes", route)
        for key, scorers in (("on", own.on), ("advise", own.advise)):
            yield from (((*place, key, at), name) for at, name in enumerate(scorers or ()))
        named.append(((*place, "limits"), own.limits or ()))
    for place, texts in named:
        for at, text in enumerate(texts):
            limit = limits.read_limit(text)
            if limit.of_scorer:
                yield (*place, at), limit.of


def _both_ways(gate: GatePolicy, file: SuiteFile) -> Iterator[tuple[Key, str]]:
    """Scorers of which one place of the policy says both that they block and that they advise."""
    policies: list[tuple[Key, RoutePolicy | GatePolicy]] = [(("gate",), gate)]
    policies += [(("gate", "routes", route), own) for route, own in gate.routes.items()]
    for place, policy in policies:
        stated = file.document is not None and (*place, "on") in file.document.marks
        default = "" if stated else " by default: state `on` without it"
        for at, name in enumerate(policy.advise or ()):
            if name in (policy.on or ()):
                message = f"{name!r} cannot both advise and block, and it is in `on`{default}"
                yield (*place, "advise", at), message


def check_pipeline(pipeline: Pipeline, folder: Path) -> None:
    """Raises InputError where the pipeline cannot be reached at all."""
    if pipeline.call is not None:
        if ":" not in pipeline.call:
            raise InputError(f"{pipeline.call!r}: expected package.module:function")
        plugins.make_importable(folder, pipeline.call)
        if not callable(plugins.load_object(pipeline.call)):
            raise InputError(f"{pipeline.call!r} is not callable")
    elif pipeline.command is not None:
        program = pipeline.command[0] if pipeline.command else ""
        if not program or not (shutil.which(program) or (folder / program).is_file()):
            raise InputError(f"no program {program!r} on the PATH or beside the suite")
    elif pipeline.http is not None:
        url = urlsplit(pipeline.http)
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise InputError(f"{pipeline.http!r}: expected http://host/path or https://host/path")
    elif pipeline.traces is not None and not (folder / pipeline.traces).is_file():
        raise InputError(f"no such file: {folder / pipeline.traces}")


def _dataset_problems(
    suite: Suite, file: SuiteFile, lines: Sequence[CaseLine], path: Path, folder: Path
) -> Iterator[Problem]:
    uses = [use for use in suite.scorer_uses if use.name == JUDGE and "rubric" not in use.arguments]
    cases = [line.case for line in lines if line.case is not None]
    if uses and not any(check.judge for case in cases for check in case.expect.outcome):
        yield Problem(
            str(path),
            "the suite's judge has nothing to judge by: give it a `rubric`, or state "
            '{"judge": "..."} in the outcome of the cases that it shall judge',
        )
    scores = _scores(suite, folder) if not _within(file.bad, "scorers") else None
    for line in lines:
        for key, message in _case_problems(line, suite, scores, folder):
            case = line.case.id if line.case else None
            yield Problem(str(path), message, line.number, case=case, key=key)


def _within(bad: frozenset[Key], *place: str) -> bool:
    """Whether something was left out at, in or around a place."""
    return any(key[: len(place)] == place[: len(key)] for key in bad)


def _case_problems(
    line: CaseLine, suite: Suite, scores: list[str] | None, folder: Path
) -> Iterator[tuple[str, str]]:
    """Key and message of each thing that is wrong with a case in this suite.

    Without ``scores``, those that there are being unknown, nothing that names one is looked up.
    """
    case = line.case
    if case is None:
        return
    if suite.routes is not None and case.route not in suite.routes:
        yield "$.route", _unknown("route", case.route, list(suite.routes))
    if not any(_within(line.bad, "expect", key) for key in ("steps", "paths", "never")):
        for message in matching.problems(case.expect):
            yield "$.expect.steps", message
    if scores is not None and case.expect.state is not UNSET and not _compares_state(suite):
        yield "$.expect.state", "nothing compares it: list task_completion or end_state as scorer"
    if _within(line.bad, "expect", "outcome"):
        return  # the places of those that are left are not those in the file
    for position, check in enumerate(case.expect.outcome):
        for message in _outcome_problems(check, folder):
            yield f"$.expect.outcome[{position}]", message
        if scores is None:
            continue
        if check.passed is not None and (message := _no_check(check.passed, scores) or ""):
            yield f"$.expect.outcome[{position}].passed", message
        if check.judge is not None and JUDGE not in [use.name for use in suite.scorer_uses]:
            yield f"$.expect.outcome[{position}].judge", "nobody judges it: list `judge` as scorer"


def _compares_state(suite: Suite) -> bool:
    return any(
        use.name in {COMPLETION, "end_state"} or ":" in use.name for use in suite.scorer_uses
    )


def _no_check(scorer: str, names: list[str]) -> str | None:
    """Why a scorer cannot be one of the checks of task_completion; None if it can."""
    if scorer not in names:
        return _unknown("scorer", scorer, names)
    too_late = scorer in {COMPLETION, "trajectory_score"}
    return f"{scorer} itself rests on {COMPLETION}: no check of it" if too_late else None


def _outcome_problems(check: OutcomeCheck, folder: Path) -> Iterator[str]:
    if check.regex is not None and (message := regex_problem(check.regex)):
        yield message
    if check.json_schema is not None and (message := json_schemas.problem(check.json_schema) or ""):
        yield f"the JSON Schema cannot be used: {message}"
    if check.function is not None:
        try:
            plugins.make_importable(folder, check.function)
            plugins.load_object(check.function)
        except PluginError as error:
            yield str(error)


def _unknown(what: str, name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown {what} {name!r}.{hint} The suite has: {', '.join(known)}"
