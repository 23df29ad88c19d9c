"""Did it do what was asked? Every check of the outcome together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from evalkit.dataset import Case
from evalkit.outcomes import CannotTellError, unlike, unmet
from evalkit.results import Finding, Score, nothing_to_judge
from evalkit.trajectory import Trajectory

NAME = "task_completion"


class _Checked(NamedTuple):
    """One check: what it is called, why it is not met (None: it is), and whether one can tell.

    ``by`` is the scorer that said why.
    """

    name: str
    why: str | None = None
    can_tell: bool = True
    by: str | None = None

    def said(self) -> str:
        """Why, with the scorer that said so."""
        return f"{self.by}: {self.why}" if self.by is not None else self.why or ""

    def detail(self) -> str:
        """Why, as it is told beside the name, which may be the scorer's already."""
        named = self.by is not None and self.name.endswith(self.by)
        return self.why or "" if named else self.said()


_MET = _Checked("met")


def task_completion(
    case: Case,
    trajectory: Trajectory,
    /,
    *,
    passed: tuple[str, ...] = (),
    folder: str | None = None,
    judged: Mapping[str, Score] | None = None,
) -> Score:
    """The share of the outcome checks that are met, of those that could be made; passed: all are.

    The checks are the case's ``outcome``, its ``state``, and for each scorer of ``passed`` that had
    something to judge, that it passed. Success is all of them together, so one that is not met
    decides, whatever the others would say; else, where a check could not be made (no end state
    was read, a function raised, the judge gave no verdict), it could not judge.

    ``folder`` is where the modules of functions are looked for first: the suite's. ``judged`` are
    the scores of the suite's other scorers.
    """
    checks = [*_stated(case, trajectory, folder, judged or {}), *_also(passed, judged or {})]
    if not checks:
        return nothing_to_judge(NAME, "the case states no outcome checks")
    failed = [check for check in checks if check.can_tell and check.why is not None]
    doubtful = [check for check in checks if not check.can_tell]
    told = len(checks) - len(doubtful)
    data = {"checks": len(checks), "met": told - len(failed), "not_judged": len(doubtful)}
    if doubtful and not failed:
        reason = f"{doubtful[0].name}: {doubtful[0].detail()}{_more(doubtful)}"
        return Score(NAME, None, None, reason, status="could_not_judge", data=data)
    reason = f"{failed[0].said()}{_more(failed)}" if failed else f"all {told} outcome checks met"
    return Score(
        NAME,
        1 - len(failed) / told,
        not failed,
        reason,
        tuple(Finding("outcome", one.name, detail=one.detail()) for one in failed),
        data=data,
    )


def _stated(
    case: Case, trajectory: Trajectory, folder: str | None, judged: Mapping[str, Score]
) -> Iterator[_Checked]:
    for place, check in enumerate(case.expect.outcome, start=1):
        can_tell = True
        by = check.passed if check.judge is None else "judge"
        try:
            if check.passed is not None:
                why = _not_passed(check.passed, judged)
            elif check.judge is not None:
                why = _not_met(check.judge, judged)
            else:
                why = unmet(check, trajectory, folder)
        except CannotTellError as error:
            why, can_tell = str(error), False
        yield (
            _MET
            if why is None
            else _Checked(f"outcome check {place}: {check.checks[0]}", why, can_tell, by)
        )
    if case.expect.state is not msgspec.UNSET:
        try:
            listed = unlike(case.expect.state, trajectory.state)
            why = f"{listed[0][:500]}{_more(listed)}" if listed else None
            yield _Checked("end state", why)
        except CannotTellError as error:
            yield _Checked("end state", str(error), can_tell=False)


def _also(passed: tuple[str, ...], judged: Mapping[str, Score]) -> Iterator[_Checked]:
    """The suite's scorers that count as checks, where they had something to judge."""
    for scorer in passed:
        if scorer in judged and judged[scorer].status == "nothing_to_judge":
            continue
        try:
            yield _Checked(scorer, _not_passed(scorer, judged), by=scorer)
        except CannotTellError as error:
            yield _Checked(scorer, str(error), can_tell=False, by=scorer)


def _not_passed(scorer: str, judged: Mapping[str, Score]) -> str | None:
    """Why another scorer did not pass; None if it did."""
    score = judged.get(scorer)
    if score is None:
        raise CannotTellError(f"the suite gives no score of {scorer} before this one: list it")
    if score.passed is None:
        raise CannotTellError(score.reason)
    return None if score.passed else score.reason


def _not_met(rubric: str, judged: Mapping[str, Score]) -> str | None:
    """Why the suite's judge finds that a rubric of the case is not met; None if it is."""
    score = judged.get("judge")
    if score is None:
        raise CannotTellError("the suite lists no `judge` that could be asked")
    told = score.data.get("rubrics", {}).get(rubric)
    if told is None or told["passed"] is None:
        raise CannotTellError(told["reason"] if told else score.reason)
    return None if told["passed"] else str(told["reason"])


def _more(listed: list[_Checked] | tuple[str, ...]) -> str:
    return f"; and {len(listed) - 1} more" if len(listed) > 1 else ""
