"""A stored run as numbers: per route and scorer, per case, and two runs paired by case."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, NamedTuple

import numpy as np

from evalkit.observations import (
    Floats,
    Observed,
    ScoreRows,
    cases_by_route,
    column,
    observations,
    score_rows,
    stretches,
    trial_rows,
    trials_of,
)
from evalkit.results import (
    CaseScore,
    CaseSummary,
    Estimate,
    Recorded,
    RouteSummary,
    ScorerSummary,
)
from evalkit.stats import mean_interval, pass_hat, percentile


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
    total = table(np.where(scores.judged, scores.value, 0.0))
    passed = table(np.where(scores.judged, scores.passed, 0.0))
    summaries = []
    for route, cases in cases_by_route(recorded).items():
        mine = trials_of(trials, cases)
        done = mine & trials.completed
        summaries.append(
            RouteSummary(
                run=recorded.run.id,
                label=recorded.run.label,
                route=route,
                cases=len(cases),
                trials=int(mine.sum()),
                infrastructure=int(mine.sum() - done.sum()),
                scorers=tuple(
                    _scorer_summary(
                        name, *(part[at][cases] for part in (scored, failed, total, passed))
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
    name: str, scored: Floats, failed: Floats, total: Floats, passed: Floats
) -> ScorerSummary:
    some = scored > 0
    counts, passes = scored[some], passed[some]
    found = mean_interval(total[some] / counts)
    return ScorerSummary(
        scorer=name,
        estimate=Estimate(*found) if found else Estimate(None, None, None),
        pass_hat=_pass_hats(passes, counts),
        scored=int(scored.sum()),
        not_judged=int(failed.sum()),
    )


def _pass_hats(passes: Floats, counts: Floats) -> dict[int, float]:
    """pass^k over the cases with at least k scored trials, for every k that half of them have."""
    hats: dict[int, float] = {}
    for k in range(1, int(np.median(counts)) + 1 if len(counts) else 1):
        enough = counts >= k
        hats[k] = float(pass_hat(passes[enough], counts[enough], k).mean())
    return hats


def summarize_cases(recorded: Recorded) -> tuple[CaseSummary, ...]:
    """Every planned case over its trials, in the order in which they were planned."""
    scores, trials = score_rows(recorded), trial_rows(recorded)
    by_case = _case_scores(recorded, scores)
    status = column(recorded.trials, "status")
    errors = column(recorded.trials, "error")
    lines: dict[int, list[int]] = defaultdict(list)
    for line, case in enumerate(trials.case.tolist()):
        lines[case].append(line)
    summaries = []
    for at, planned in enumerate(recorded.run.planned):
        mine = lines[at]
        failures = [int(trials.row[line]) for line in mine if not trials.completed[line]]
        done = [line for line in mine if trials.completed[line]]
        said = (errors[row] for row in failures if errors[row])
        summaries.append(
            CaseSummary(
                case=planned.id,
                route=planned.route,
                owner=planned.owner,
                tags=planned.tags,
                trials=len(mine),
                infrastructure=dict(Counter(status[row] for row in failures)),
                error=next(said, None),
                latency_s=percentile(_known(trials.latency_s[done]), 50),
                scores=tuple(by_case.get(at, ())),
            )
        )
    return tuple(summaries)


def _case_scores(recorded: Recorded, scores: ScoreRows) -> dict[int, list[CaseScore]]:
    """Per case its scores, worst trial first: what could not be judged, then the lowest value."""
    reasons = column(recorded.scores, "reason")
    rank = np.where(scores.judged, scores.value, np.where(scores.failed, -1.0, 2.0))
    order = np.lexsort((rank, scores.scorer, scores.case))
    key = scores.case[order] * max(1, len(scores.scorers)) + scores.scorer[order]
    by_case: dict[int, list[CaseScore]] = defaultdict(list)
    values, passed, judged = (part[order] for part in (scores.value, scores.passed, scores.judged))
    for start, end in stretches(key):
        count = int(judged[start:end].sum())
        mean = float(values[start:end][judged[start:end]].mean()) if count else None
        by_case[int(scores.case[order[start]])].append(
            CaseScore(
                scorer=scores.scorers[scores.scorer[order[start]]],
                mean=mean,
                passed=int(passed[start:end][judged[start:end]].sum()),
                scored=count,
                reason=reasons[int(scores.row[order[start]])] or "",
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
