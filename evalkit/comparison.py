"""A stored run as numbers: per route and scorer, per case, and two runs paired by case."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, NamedTuple

import numpy as np

from evalkit.observations import (
    Floats,
    Observed,
    ScoreRows,
    TrialRows,
    cases_by_route,
    column,
    grouped,
    observations,
    score_rows,
    taken,
    trial_rows,
    trials_by_route,
)
from evalkit.reliability import passes_of_k
from evalkit.results import (
    CaseScore,
    CaseSummary,
    Estimate,
    Recorded,
    RouteSummary,
    ScorerSummary,
)
from evalkit.stats import mean_interval, percentile


class Paired(NamedTuple):
    """One scorer on the cases that two runs have in common, in the candidate's order."""

    cases: tuple[str, ...]
    baseline: tuple[Observed, ...]
    candidate: tuple[Observed, ...]

    @property
    def differences(self) -> Floats:
        """Candidate's mean minus baseline's, per case."""
        means = [
            after.mean - before.mean
            for before, after in zip(self.baseline, self.candidate, strict=True)
        ]
        return np.array(means, dtype=float)

    @property
    def trials(self) -> int:
        """The scored trials in both arms."""
        return sum(len(seen.values) for seen in (*self.baseline, *self.candidate))


def summarize(recorded: Recorded) -> tuple[RouteSummary, ...]:
    """Every route of the run, by first appearance among its planned cases."""
    scores, trials = score_rows(recorded), trial_rows(recorded)
    shape = (len(scores.scorers), len(scores.cases))
    flat = scores.scorer * shape[1] + scores.case

    def table(weights: Any) -> Floats:
        counted = np.bincount(
            flat, weights=np.asarray(weights, float), minlength=shape[0] * shape[1]
        )
        return counted.reshape(shape).astype(float)

    scored, failed = table(scores.judged), table(scores.failed)
    known = np.where(scores.judged, scores.value, 0.0)
    total, squares = table(known), table(known * known)
    passed = table(np.where(scores.judged, scores.passed, 0.0))
    routes = cases_by_route(recorded)
    tried = trials_by_route(trials, routes)
    summaries = []
    for route, cases in routes.items():
        mine = tried[route]
        done = mine[trials.completed[mine]]
        summaries.append(
            RouteSummary(
                run=recorded.run.id,
                label=recorded.run.label,
                route=route,
                cases=len(cases),
                trials=len(mine),
                infrastructure=len(mine) - len(done),
                scorers=tuple(
                    _scorer_summary(
                        name,
                        *(part[at][cases] for part in (scored, failed, total, squares, passed)),
                    )
                    for at, name in enumerate(scores.scorers)
                    if scored[at][cases].any() or failed[at][cases].any()
                ),
                latency_p50=percentile(_known(trials.latency_s[done]), 50),
                latency_p99=percentile(_known(trials.latency_s[done]), 99),
                tokens=_mean(trials.tokens[done]),
                cost_usd=_mean(trials.cost_usd[done]),
            )
        )
    return tuple(summaries)


def _scorer_summary(
    name: str, scored: Floats, failed: Floats, total: Floats, squares: Floats, passed: Floats
) -> ScorerSummary:
    some = scored > 0
    counts, passes = scored[some], passed[some]
    means = total[some] / counts
    found = mean_interval(means)
    hats, ats = passes_of_k(passes, counts)
    several = counts > 1
    spread = (squares[some] - counts * means * means)[several] / (counts[several] - 1)
    return ScorerSummary(
        scorer=name,
        estimate=Estimate(*found) if found else Estimate(None, None, None),
        pass_hat=hats.means,
        pass_hat_interval=hats.intervals,
        pass_at=ats.means,
        pass_at_interval=ats.intervals,
        variance=float(np.maximum(0.0, spread).mean()) if several.any() else None,
        flaky=int(((passes > 0) & (passes < counts)).sum()),
        scored=int(scored.sum()),
        not_judged=int(failed.sum()),
    )


def summarize_cases(recorded: Recorded) -> tuple[CaseSummary, ...]:
    """Every planned case over its trials, in the order in which they were planned."""
    scores, trials = score_rows(recorded), trial_rows(recorded)
    planned = recorded.run.planned
    by_case = _case_scores(recorded, scores)
    failures = _failures(recorded, trials)
    tried = np.bincount(trials.case, minlength=len(planned)).tolist()
    latency = _medians(trials, len(planned))
    return tuple(
        CaseSummary(
            case=case.id,
            route=case.route,
            owner=case.owner,
            tags=case.tags,
            trials=tried[at],
            infrastructure=dict(Counter(status for status, _ in failures.get(at, ()))),
            error=next((error for _, error in failures.get(at, ()) if error), None),
            latency_s=latency[at],
            scores=tuple(by_case.get(at, ())),
        )
        for at, case in enumerate(planned)
    )


def _failures(recorded: Recorded, trials: TrialRows) -> dict[int, list[tuple[str, str | None]]]:
    """Per case the status and error of the trials that did not complete."""
    lost = np.flatnonzero(~trials.completed)
    rows = taken(recorded.trials.select(["status", "error"]), trials.row[lost])
    found: dict[int, list[tuple[str, str | None]]] = defaultdict(list)
    for case, status, error in zip(
        trials.case[lost].tolist(), column(rows, "status"), column(rows, "error"), strict=True
    ):
        found[case].append((status, error))
    return found


def _medians(trials: TrialRows, cases: int) -> list[float | None]:
    """The median latency of each case's completed trials, seconds; None where none is known."""
    known = np.flatnonzero(trials.completed & np.isfinite(trials.latency_s))
    known = known[np.argsort(trials.latency_s[known])]
    order, starts = grouped(trials.case[known], cases)
    counts = np.diff(starts)
    seconds = np.append(trials.latency_s[known[order]], np.nan)
    low, high = (
        seconds[starts[:-1] + np.where(counts > 0, place, 0)]
        for place in ((counts - 1) // 2, counts // 2)
    )
    middle = ((low + high) / 2).tolist()
    return [value if count else None for value, count in zip(middle, counts.tolist(), strict=True)]


def _case_scores(recorded: Recorded, scores: ScoreRows) -> dict[int, list[CaseScore]]:
    """Per case its scores, worst trial first: what could not be judged, then the lowest value."""
    rank = np.where(scores.judged, scores.value, np.where(scores.failed, -1.0, 2.0))
    order = np.lexsort((rank, scores.scorer, scores.case))
    key = scores.case[order] * max(1, len(scores.scorers)) + scores.scorer[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    if not len(starts):
        return {}
    judged = scores.judged[order]
    scored, total, passed = (
        np.add.reduceat(np.where(judged, part[order], 0.0), starts)
        for part in (scores.judged.astype(float), scores.value, scores.passed)
    )
    worst = order[starts]
    by_case: dict[int, list[CaseScore]] = defaultdict(list)
    for case, scorer, count, value, passes, reason in zip(
        scores.case[worst].tolist(),
        scores.scorer[worst].tolist(),
        scored.astype(int).tolist(),
        total.tolist(),
        passed.astype(int).tolist(),
        column(taken(recorded.scores.select(["reason"]), scores.row[worst]), "reason"),
        strict=True,
    ):
        by_case[case].append(
            CaseScore(
                scorer=scores.scorers[scorer],
                mean=value / count if count else None,
                passed=passes,
                scored=count,
                reason=reason or "",
            )
        )
    return by_case


def paired(candidate: Recorded, baseline: Recorded, route: str, scorer: str) -> Paired:
    """One route and scorer of two runs, over the cases whose content is the same in both."""
    return pair(
        common_cases(candidate, baseline).get(route, ()),
        observations(score_rows(candidate), scorer),
        observations(score_rows(baseline), scorer),
    )


def pair(
    cases: tuple[str, ...], candidate: dict[str, Observed], baseline: dict[str, Observed]
) -> Paired:
    """Those of the cases that have scored trials in both arms."""
    both = tuple(case for case in cases if case in candidate and case in baseline)
    return Paired(
        both, tuple(baseline[case] for case in both), tuple(candidate[case] for case in both)
    )


def common_cases(candidate: Recorded, baseline: Recorded) -> dict[str, tuple[str, ...]]:
    """Per route the cases planned in both runs with the same digest, in the candidate's order."""
    known = {case.id: (case.route, case.digest) for case in baseline.run.planned}
    common: dict[str, list[str]] = defaultdict(list)
    for case in candidate.run.planned:
        if known.get(case.id) == (case.route, case.digest):
            common[case.route].append(case.id)
    return {route: tuple(cases) for route, cases in common.items()}


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _mean(values: Floats) -> float | None:
    known = _known(values)
    return float(known.mean()) if len(known) else None
