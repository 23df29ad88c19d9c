"""What is told of runs: their routes, scorers and cases in numbers, and the gate's decision."""

from __future__ import annotations

from typing import Literal

import msgspec

from evalkit.results import FindingKind, Run


class Estimate(msgspec.Struct, frozen=True):
    """A mean over cases with its 95 % confidence interval; None where nothing was scored."""

    mean: float | None
    low: float | None
    high: float | None


class ScorerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One scorer on one route of one run.

    ``pass_hat`` maps k to pass^k (the chance that k trials of a case all pass, averaged over
    cases) and ``pass_at`` to pass@k (that at least one does), each with its 95 % interval over
    cases; ``not_judged`` counts trials that the scorer could not judge. ``variance`` is that
    between the trials of one case, averaged over cases, None where each has one; ``flaky`` are
    the cases whose trials disagree on whether it passes.
    """

    scorer: str
    estimate: Estimate
    pass_hat: dict[int, float]
    scored: int
    not_judged: int = 0
    pass_hat_interval: dict[int, tuple[float, float]] = {}
    pass_at: dict[int, float] = {}
    pass_at_interval: dict[int, tuple[float, float]] = {}
    variance: float | None = None
    flaky: int = 0


class RouteSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One route of one run. Latency in seconds; tokens and cost are means per trial."""

    run: str
    label: str
    route: str
    cases: int
    trials: int
    infrastructure: int
    scorers: tuple[ScorerSummary, ...]
    latency_p50: float | None
    latency_p99: float | None
    tokens: float | None
    cost_usd: float | None


Verdict = Literal[
    "regressed",
    "broken",
    "improved",
    "ok",
    "inconclusive",
    "new",
    "missing",
    "unmeasurable",
    "breached",
    "unproven",
]


FAILED: tuple[Verdict, ...] = ("broken", "regressed", "missing", "breached")
UNDECIDED: tuple[Verdict, ...] = ("unmeasurable", "inconclusive", "unproven")
"""The verdicts that keep a gate from passing: it failed, or it could not be decided."""


class CaseChange(msgspec.Struct, frozen=True, kw_only=True):
    """A case whose scores differ between baseline and candidate; ``difference`` of means."""

    case: str
    owner: str | None
    baseline_passed: int
    baseline_trials: int
    candidate_passed: int
    candidate_trials: int
    difference: float


class StepChange(msgspec.Struct, frozen=True, kw_only=True):
    """A finding about one step that became more frequent: shares of the route's scored trials.

    Of kind ``took_more``, in a row about time, tokens, dollars or steps: means per trial of what
    the step itself took.
    """

    kind: FindingKind | Literal["took_more"]
    name: str
    expected: int | None
    baseline: float
    candidate: float
    cases: tuple[str, ...]
    # How many scored trials the shares are of; None where it is not known.
    baseline_trials: int | None = None
    candidate_trials: int | None = None


class FlakyCase(msgspec.Struct, frozen=True, kw_only=True):
    """A case whose trials disagree though nothing changed between them: they are of one version.

    ``probability`` is the chance that two trials of one version disagree on whether it passes,
    at most 1/2, estimated within the versions, with its 95 % interval; ``flips`` the chance that
    the trials of one run, as many as here in an arm (the fewer), are not all alike. ``variance``
    is that of the values of one version's trials. ``arms`` are trials passed and made, per version.
    """

    case: str
    probability: float
    low: float
    high: float
    flips: float
    variance: float
    arms: tuple[tuple[int, int], ...]


class GateRow(msgspec.Struct, frozen=True, kw_only=True):
    """The decision for one route and scorer.

    ``difference`` is candidate minus baseline, paired by case, with its 95 % interval
    [``low``, ``high``]; ``p`` is one-sided for a drop, ``p_adjusted`` after Holm over routes x
    scorers; ``detectable`` is the drop that this much data would show with 80 % power; ``broken``
    are cases that reliably passed and now reliably fail; ``reason`` is one sentence for a person.
    """

    route: str
    scorer: str
    verdict: Verdict
    baseline: float | None
    candidate: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None
    broken: tuple[str, ...]
    detectable: float | None
    cases: int
    trials: int
    reason: str
    owners: tuple[str, ...] = ()
    changes: tuple[CaseChange, ...] = ()
    steps: tuple[StepChange, ...] = ()
    # False: shown, and without a say in the exit code.
    blocking: bool = True
    # Of an absolute limit: what ``candidate`` is held against; low and high are then its interval.
    limit: float | None = None
    # Trials that were made again, in both arms, to confirm or drop a suspicion. Where they prove
    # a drop of the mean, its numbers are theirs and ``trials`` is 0: no stored one has a part.
    spent_trials: int = 0
    # Where that is so, what the stored trials alone gave: both means.
    stored: tuple[float, float] | None = None
    # The flakiest cases, at most five, and how many there are.
    flaky: tuple[FlakyCase, ...] = ()
    flaky_cases: int = 0


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's decision for a run, with the exit code it means and what a reader must know."""

    run: str
    label: str
    baseline: str | None
    baseline_label: str | None
    exit: int
    alpha: float
    rows: tuple[GateRow, ...]
    notes: tuple[str, ...] = ()
    # Whether suspicions were settled by trying both versions again; else stored trials decided, or
    # nothing did: the budget had no room for the first round.
    confirmed: bool = False


class Promotion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run that was given a label on purpose. ``promoted`` is seconds since the epoch.

    ``exit`` is what the run's gates said then, None where there was none; ``forced``
    that it was promoted all the same; ``replaced`` the run that the label meant before.
    """

    label: str
    run: str
    promoted: float
    exit: int | None = None
    forced: bool = False
    replaced: str | None = None


class CaseScore(msgspec.Struct, frozen=True, kw_only=True):
    """One scorer on one case over its trials; ``reason`` is that of the worst trial."""

    scorer: str
    mean: float | None
    passed: int
    scored: int
    reason: str


class CaseSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One case of a run over its trials; ``infrastructure`` counts trials by failure status."""

    case: str
    route: str
    owner: str | None
    tags: tuple[str, ...]
    trials: int
    infrastructure: dict[str, int]
    error: str | None
    latency_s: float | None
    scores: tuple[CaseScore, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What reporters render: a run per route and case, and the gate's decision if there is one."""

    run: Run
    routes: tuple[RouteSummary, ...]
    cases: tuple[CaseSummary, ...]
    gate: GateReport | None = None
    notes: tuple[str, ...] = ()
