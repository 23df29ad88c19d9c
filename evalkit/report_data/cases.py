"""The list of cases: each one's standing against the baseline, and what there is to find it by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from evalkit.report_data.text import visible
from evalkit.reports import CaseScore, CaseSummary, GateReport
from evalkit.results import Recorded

Standing = str
STANDINGS: Mapping[Standing, str] = {
    "broken": "broken: passes less often than before",
    "worse": "worse than in the baseline",
    "lost": "not measured: no trial was scored",
    "failing": "fails, no worse than before",
    "changed": "not compared: new or changed",
    "better": "better than in the baseline",
    "passing": "passes",
}
"""How a case stands, the most urgent first; without a baseline only lost, failing, passing."""

_NAME = 200
_TIE = 1e-9


class Listed(NamedTuple):
    """A case in the list. ``rank`` orders it: urgency first, then the size of the drop."""

    summary: CaseSummary
    before: CaseSummary | None
    standing: Standing
    drop: float

    @property
    def rank(self) -> tuple[int, float, str]:
        """What comes first is what a reader should see first."""
        return (list(STANDINGS).index(self.standing), self.drop, self.summary.case)


def listed(
    cases: Sequence[CaseSummary],
    before: Sequence[CaseSummary] | None,
    same: frozenset[str],
    on: Sequence[str],
    gate: GateReport | None,
) -> list[Listed]:
    """All cases, the most urgent first. ``same`` are comparable; ``on`` are the scorers that gate.

    ``before`` are the baseline's cases, None without a baseline.
    """
    known = {one.case: one for one in before or ()}
    broken = {case for row in gate.rows for case in row.broken} if gate else set()
    found = []
    for case in cases:
        old = known.get(case.case)
        drop = _drop(case, old, on) if old and case.case in same else None
        standing = _standing(case, drop, on, case.case in broken, before is not None)
        found.append(Listed(case, old, standing, drop or 0.0))
    return sorted(found, key=lambda one: one.rank)


def common(candidate: Recorded, baseline: Recorded | None) -> frozenset[str]:
    """The ids of cases that are the same in both runs."""
    if baseline is None:
        return frozenset()
    old = {case.id: (case.route, case.digest) for case in baseline.run.planned}
    return frozenset(
        case.id for case in candidate.run.planned if old.get(case.id) == (case.route, case.digest)
    )


def columns(cases: Sequence[Listed], scorers: Sequence[str]) -> dict[str, Any]:
    """The list as columns, which is small and fast: texts once, and their numbers per case.

    ``means`` and ``before`` hold per scorer a mean per case, null where not scored; ``failed``
    the positions of the scorers that a scored trial did not pass.
    """
    texts: dict[str, int] = {}

    def number(text: str | None) -> int | None:
        return None if text is None else texts.setdefault(visible(text, _NAME), len(texts))

    scores = [{score.scorer: score for score in one.summary.scores} for one in cases]
    earlier = [{s.scorer: s for s in one.before.scores} if one.before else {} for one in cases]
    return {
        "id": [visible(one.summary.case, _NAME) for one in cases],
        "route": [number(one.summary.route) for one in cases],
        "owner": [number(one.summary.owner) for one in cases],
        "tags": [[number(tag) for tag in one.summary.tags] for one in cases],
        "standing": [list(STANDINGS).index(one.standing) for one in cases],
        "reason": [number(_reason(one.summary, scorers)) for one in cases],
        "trials": [one.summary.trials for one in cases],
        "lost": [sum(one.summary.infrastructure.values()) for one in cases],
        "failed": [
            [at for at, s in enumerate(scorers) if _fails(found.get(s))] for found in scores
        ],
        "means": [[_mean(found.get(name)) for found in scores] for name in scorers],
        "passed": [[_passed(found.get(name)) for found in scores] for name in scorers],
        "before": [[_mean(found.get(name)) for found in earlier] for name in scorers],
        "texts": list(texts),
    }


def _standing(
    case: CaseSummary, drop: float | None, on: Sequence[str], broken: bool, compared: bool
) -> Standing:
    judged = [score for score in case.scores if score.scorer in on]
    if not case.trials or sum(case.infrastructure.values()) == case.trials:
        return "lost"
    if not any(score.scored for score in judged):
        return "lost"
    if broken:
        return "broken"
    if drop is not None and drop < -_TIE:
        return "worse"
    if any(_fails(score) for score in judged):
        return "failing"
    if compared and drop is None:
        return "changed"
    return "better" if drop is not None and drop > _TIE else "passing"


def _drop(now: CaseSummary, was: CaseSummary, on: Sequence[str]) -> float | None:
    """The largest fall of a gating scorer's mean (negative), else the largest rise; None if none.

    A rise beside a fall does not make up for it.
    """
    old = {score.scorer: score.mean for score in was.scores}
    moved = [
        score.mean - before
        for score in now.scores
        if score.scorer in on
        and score.mean is not None
        and (before := old.get(score.scorer)) is not None
    ]
    if not moved:
        return None
    return min(moved) if min(moved) < 0 else max(moved)


def _reason(case: CaseSummary, scorers: Sequence[str]) -> str | None:
    """Why it failed, in the words of the first scorer that did, or of the pipeline."""
    said = {score.scorer: score for score in case.scores}
    for name in scorers:
        if (score := said.get(name)) and (_fails(score) or not score.scored):
            return score.reason
    return case.error


def _fails(score: CaseScore | None) -> bool:
    return score is not None and score.passed < score.scored


def _mean(score: CaseScore | None) -> float | None:
    return None if score is None else score.mean


def _passed(score: CaseScore | None) -> list[int] | None:
    return None if score is None else [score.passed, score.scored]
