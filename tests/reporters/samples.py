"""Hand-built records that the reporters' tests render."""

from __future__ import annotations

from evalkit.reports import (
    CaseChange,
    CaseScore,
    CaseSummary,
    Estimate,
    GateReport,
    GateRow,
    Report,
    RouteSummary,
    ScorerSummary,
    StepChange,
)
from evalkit.results import PlannedCase, Run
from evalkit.suite import Pipeline, Suite

SCORERS = (
    "task_completion",
    "tool_selection",
    "trajectory_match",
    "step_efficiency",
    "trajectory_score",
    "routing",
)
ROUTES = ("access_request", "expense_question", "policy_lookup", "small_talk", "vendor_exception")
HOSTILE = (
    "\x1b[31mred\x1b]8;;http://evil\x07x\x1b]8;;\x07 \u202eevil\u2066 | @team `x` <b> "
    "[a](http://b) \x00\x9b1m"
)


def suite() -> Suite:
    return Suite(name="vendor-assistant", pipeline=Pipeline(call="app:answer"), dataset="d.jsonl")


def run(run_id: str = "20261120-140311-candidate-9f2c", label: str = "candidate") -> Run:
    planned = tuple(PlannedCase(f"case-{n}", ROUTES[n % 5], "d") for n in range(60))
    return Run(
        id=run_id,
        label=label,
        suite=suite(),
        suite_path="pipelines/vendor_assistant/suite.yaml",
        dataset_digest="d",
        planned=planned,
        trials=3,
        settings={"variant": "skip-retrieval"},
        status="complete",
        started=1_795_000_000.0,
    )


def scorer(name: str, mean: float | None, spread: float = 0.05) -> ScorerSummary:
    known = mean is not None
    low = max(mean - spread, 0) if known else None
    high = min(mean + spread, 1) if known else None
    hats = {1: mean, 2: mean**1.5, 3: mean**2} if known else {}
    return ScorerSummary(
        scorer=name, estimate=Estimate(mean, low, high), pass_hat=hats, scored=36 if known else 0
    )


def route(name: str, mean: float, *, lost: int = 0, of: Run | None = None) -> RouteSummary:
    of = of or run()
    return RouteSummary(
        run=of.id,
        label=of.label,
        route=name,
        cases=12,
        trials=36,
        infrastructure=lost,
        scorers=tuple(scorer(one, None if one == "routing" else mean) for one in SCORERS),
        latency_p50=0.0384,
        latency_p99=1.24,
        tokens=1834.3,
        cost_usd=None if name == "small_talk" else 0.00413,
    )


def change(case: str, before: int = 3, after: int = 0) -> CaseChange:
    return CaseChange(
        case=case,
        owner="procurement",
        baseline_passed=before,
        baseline_trials=3,
        candidate_passed=after,
        candidate_trials=3,
        difference=(after - before) / 3,
    )


def row(route: str, scorer: str, verdict: str = "ok", **given: object) -> GateRow:
    found = {
        "baseline": 0.95,
        "candidate": 0.94,
        "difference": -0.01,
        "low": -0.05,
        "high": 0.03,
        "p": 0.4,
        "p_adjusted": 1.0,
        "broken": (),
        "detectable": 0.12,
        "cases": 12,
        "trials": 36,
        "reason": "no drop that this data shows",
    }
    return GateRow(route=route, scorer=scorer, verdict=verdict, **{**found, **given})


def regressed(scorer: str = "trajectory_match", cases: int = 12) -> GateRow:
    names = tuple(f"vendor-exception-over-threshold-{n}" for n in range(cases))
    return row(
        "vendor_exception",
        scorer,
        "regressed",
        candidate=0.02,
        difference=-0.93,
        low=-0.98,
        high=-0.85,
        p=0.00001,
        p_adjusted=0.0002,
        broken=names[:2],
        reason="the mean fell by 0.93 over 12 paired cases",
        owners=("procurement",),
        spent_trials=96,
        changes=tuple(change(name, after=0 if n < 2 else 1) for n, name in enumerate(names)),
        steps=(
            StepChange(
                kind="missing",
                name="retriever retrieve_policy",
                expected=1,
                baseline=1 / 36,
                candidate=1.0,
                cases=names,
            ),
        ),
    )


def gate(*rows: GateRow, exit_code: int = 1, notes: tuple[str, ...] = ()) -> GateReport:
    return GateReport(
        run=run().id,
        label="candidate",
        baseline="20261120-135904-main-77aa",
        baseline_label="main",
        exit=exit_code,
        alpha=0.05,
        rows=rows,
        notes=notes,
    )


def failed_gate() -> GateReport:
    ok = [row(name, on) for name in ROUTES[:4] for on in ("task_completion", "trajectory_match")]
    return gate(*ok, regressed("task_completion"), regressed())


def passed_gate() -> GateReport:
    return gate(row("small_talk", "task_completion"), exit_code=0)


def case(
    name: str,
    route: str = "small_talk",
    *,
    passed: int = 3,
    lost: int = 0,
    scores: bool = True,
) -> CaseSummary:
    score = CaseScore(
        scorer="task_completion", mean=passed / 3, passed=passed, scored=3 - lost, reason="said no"
    )
    return CaseSummary(
        case=name,
        route=route,
        owner=None,
        tags=(),
        trials=3,
        infrastructure={"timeout": lost} if lost else {},
        error="timed out after 30 s" if lost else None,
        latency_s=0.25,
        scores=(score,) if scores else (),
    )


def report(gate: GateReport | None = None, **given: object) -> Report:
    found = {
        "run": run(),
        "routes": tuple(route(name, 0.94 - n / 50) for n, name in enumerate(ROUTES)),
        "cases": (case("fine"), case("wrong", passed=1), case("lost", passed=0, lost=3)),
        "gate": gate,
    }
    return Report(**{**found, **given})
