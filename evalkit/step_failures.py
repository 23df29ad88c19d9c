"""eval-fail-rate-by-step: per route and expected step, how often it failed, and in which way."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, get_args

import msgspec

from evalkit.dataset import Case, Expected, ExpectedStep
from evalkit.expectation import leaves, same_name
from evalkit.results import Score, Trial
from evalkit.trajectory import Step

Failure = Literal["missing", "wrong", "out_of_order", "bad_arguments", "error"]
FAILURES: tuple[Failure, ...] = get_args(Failure)

_OF_FINDING: dict[str, Failure] = {
    "missing": "missing",
    "out_of_order": "out_of_order",
    "wrong_arguments": "bad_arguments",
}


class StepFailures(msgspec.Struct, frozen=True, kw_only=True):
    """One expected step of one route.

    ``expected`` is how often judged trials expected it (a case may list it twice), ``failed`` how
    often it failed, ``rate`` the share; ``by`` counts by how; ``cases`` are those it failed in.
    """

    route: str
    step: str
    expected: int
    failed: int
    rate: float
    by: dict[str, int]
    cases: tuple[str, ...]


class _Step(NamedTuple):
    route: str
    label: str


def step_failures(trials: Iterable[Trial], cases: Mapping[str, Case]) -> tuple[StepFailures, ...]:
    """How often each expected step failed, over cases and trials; the highest rate first.

    From the stored findings of trajectory_match and tool_selection, per expected step one way, the
    first that applies: ``wrong`` (another tool in its stead), ``missing``, ``bad_arguments``,
    ``out_of_order``, ``error`` (it happened as expected, and its last try ended in an error).
    ``cases`` are those that are still what the run tried; trials of others, that did not complete,
    or that trajectory_match could not judge do not count.
    """
    expected: Counter[_Step] = Counter()
    failed: defaultdict[_Step, Counter[str]] = defaultdict(Counter)
    where: defaultdict[_Step, dict[str, None]] = defaultdict(dict)
    for trial in trials:
        case = cases.get(trial.case)
        if case is None or trial.status != "completed":
            continue
        for step, how in _outcomes(case, trial):
            expected[step] += 1
            if how is not None:
                failed[step][how] += 1
                where[step][case.id] = None
    rows = [
        StepFailures(
            route=step.route,
            step=step.label,
            expected=total,
            failed=failed[step].total(),
            rate=failed[step].total() / total,
            by={how: failed[step][how] for how in FAILURES},
            cases=tuple(where[step]),
        )
        for step, total in expected.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.rate, row.route, row.step)))


def _outcomes(case: Case, trial: Trial) -> Iterator[tuple[_Step, Failure | None]]:
    """Each expected step of a trial, and how it failed, if it did."""
    scores = {score.scorer: score for score in trial.scores}
    match = scores.get("trajectory_match")
    if match is None or match.status != "scored":
        return
    found: dict[int | None, Failure] = {
        one.expected: _OF_FINDING[one.kind]
        for one in reversed(match.steps)
        if one.expected is not None and one.kind in _OF_FINDING
    }
    selection = scores.get("tool_selection")
    for one in selection.steps if selection and case.expect.paths is None else ():
        replaced = one.kind == "missing" and one.step is not None and one.expected is not None
        if replaced and found.get(one.expected) == "missing":
            found[one.expected] = "wrong"
    for place, stated, certain in _expected(case, match):
        tries = _tries(stated, trial)
        how = found.get(place)
        if how is None and tries and tries[-1].status == "error" and stated.status is None:
            how = "error"
        if certain or how is not None or tries:
            yield _Step(case.route, stated.label), how


def _expected(case: Case, match: Score) -> Iterator[tuple[int, ExpectedStep, bool]]:
    """Each single step with the place that findings call it by, and whether it had to happen.

    Of several paths, those of the one that was judged. An optional step, or one of alternative
    sequences, counts where it happened.
    """
    chosen = match.data.get("path", 0)
    place = 0
    for number, reference in enumerate(case.expect.references):
        for stated in reference:
            is_choice = stated.any_of is not None and not stated.is_single
            for one in leaves(Expected(steps=(stated,))):
                if number == chosen:
                    yield place, one, not (is_choice or stated.optional or one.optional)
                place += 1


def _tries(stated: ExpectedStep, trial: Trial) -> list[Step]:
    if trial.trajectory is None:
        return []
    return [
        visit.step
        for visit in trial.trajectory.walk()
        if any(same_name(one, visit.step) for one in stated.alternatives)
    ]
