"""A stored run as numbers: per route and scorer, per case, and two runs paired by case."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from evalkit.observations import (
    Floats,
    Observed,
    ScoreRows,
    TrialRows,
    Whole,
    cases_by_route,
    column,
    medians,
    observations,
    score_rows,
    taken,
    trial_rows,
    trials_by_route,
)
from evalkit.reliability import passes_of_k
from evalkit.reports import CaseScore, CaseSummary, Estimate, RouteSummary, ScorerSummary
from evalkit.results import Recorded
from evalkit.stats import mean_intervals, percentile


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
    def means(self) -> tuple[float, float]:
        """The means over cases, baseline's and candidate's."""
        before, after = (
            float(np.mean([seen.mean for seen in arm])) for arm in (self.baseline, self.candidate)
        )
        return before, after

    @property
    def trials(self) -> int:
        """The scored trials in both arms."""
        return sum(len(seen.values) for seen in (*self.baseline, *self.candidate))


def summarize(recorded: Recorded) -> tuple[RouteSummary, ...]:
    """Every route of the run, by first appearance among its planned cases."""
    trials = trial_rows(recorded)
    routes = cases_by_route(recorded)
    tried = trials_by_route(trials, routes)
    scorers = _summarize_scorers(score_rows(recorded), [*routes.values()])
    done = {route: mine[trials.completed[mine]] for route, mine in tried.items()}
    return tuple(
        RouteSummary(
            run=recorded.run.id,
            label=recorded.run.label,
            route=route,
            cases=len(cases),
            trials=len(tried[route]),
            infrastructure=len(tried[route]) - len(done[route]),
            scorers=tuple(of_route),
            latency_p50=percentile(_known(trials.latency_s[done[route]]), 50),
            latency_p99=percentile(_known(trials.latency_s[done[route]]), 99),
            tokens=_mean(trials.tokens[done[route]]),
            cost_usd=_mean(trials.cost_usd[done[route]]),
        )
        for (route, cases), of_route in zip(routes.items(), scorers, strict=True)
    )


def _summarize_scorers(scores: ScoreRows, routes: Sequence[Whole]) -> list[list[ScorerSummary]]:
    """Per route its scorers, all that said anything there; all of a run is reckoned at once."""
    route_of = np.zeros(len(scores.cases), dtype=np.intp)
    for place, cases in enumerate(routes):
        route_of[cases] = place
    cells = len(scores.scorers) * len(scores.cases)
    samples = len(scores.scorers) * len(routes)
    of_cell = scores.scorer * len(scores.cases) + scores.case
    sample = np.repeat(np.arange(len(scores.scorers)) * len(routes), len(scores.cases))
    sample += np.tile(route_of, len(scores.scorers))

    def table(weights: Any) -> Floats:
        found: Floats = np.bincount(of_cell, np.asarray(weights, float), cells).astype(float)
        return found

    def summed(weights: Any, of: Whole) -> list[float]:
        found: list[float] = np.bincount(of, np.asarray(weights, float), samples).tolist()
        return found

    counts, failed = table(scores.judged), table(scores.failed)
    known = np.where(scores.judged, scores.value, 0.0)
    total, squares = table(known), table(known * known)
    passes = table(np.where(scores.judged, scores.passed, 0.0))
    scored, not_judged = summed(counts, sample), summed(failed, sample)
    some = counts > 0
    of, counts, passes = sample[some], counts[some], passes[some]
    means = total[some] / counts
    estimates = mean_intervals(means, of, samples).T.tolist()
    reliable = passes_of_k(passes, counts, of, samples)
    flaky = summed((passes > 0) & (passes < counts), of)
    several = counts > 1
    spread = np.maximum(0.0, squares[some] - counts * means * means)[several]
    spreads = summed(spread / (counts[several] - 1), of[several])
    repeated = summed(several, of)
    found: list[list[ScorerSummary]] = [[] for _ in routes]
    for at in range(samples):
        if not (scored[at] or not_judged[at]):
            continue
        scorer, place = divmod(at, len(routes))
        hats, ats = reliable[at]
        found[place].append(
            ScorerSummary(
                scorer=scores.scorers[scorer],
                estimate=Estimate(*(estimates[at] if scored[at] else (None, None, None))),
                pass_hat=hats.means,
                pass_hat_interval=hats.intervals,
                pass_at=ats.means,
                pass_at_interval=ats.intervals,
                variance=spreads[at] / repeated[at] if repeated[at] else None,
                flaky=int(flaky[at]),
                scored=int(scored[at]),
                not_judged=int(not_judged[at]),
            )
        )
    return found


def summarize_cases(recorded: Recorded) -> tuple[CaseSummary, ...]:
    """Every planned case over its trials, in the order in which they were planned."""
    scores, trials = score_rows(recorded), trial_rows(recorded)
    planned = recorded.run.planned
    by_case = _case_scores(recorded, scores)
    failures = _failures(recorded, trials)
    tried = np.bincount(trials.case, minlength=len(planned)).tolist()
    timed = np.flatnonzero(trials.completed & np.isfinite(trials.latency_s))
    latency = medians(trials.latency_s[timed], trials.case[timed], len(planned)).tolist()
    return tuple(
        CaseSummary(
            case=case.id,
            route=case.route,
            owner=case.owner,
            tags=case.tags,
            trials=tried[at],
            infrastructure=dict(Counter(status for status, _ in failures.get(at, ()))),
            error=next((error for _, error in failures.get(at, ()) if error), None),
            latency_s=latency[at] if latency[at] == latency[at] else None,  # NaN: none was timed
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
