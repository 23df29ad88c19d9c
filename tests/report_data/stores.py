"""Stores of two runs, written as a run writes them, for what reads and shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from evalkit.dataset import Case, Expected, ExpectedStep
from evalkit.journal import Journal
from evalkit.results import Finding, PlannedCase, Run, Score, Trial
from evalkit.store import Store
from evalkit.suite import GatePolicy, Pipeline, Suite
from evalkit.trajectory import Step, Trajectory

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)> javascript:alert(3) "
    "\x1b[31mred\x1b[0m \u202egnp.exe \ud800 $x^2$"
)
SCORERS = ("task_completion", "trajectory_match")


def two_runs(
    folder: Path,
    cases: int = 8,
    *,
    spans: int = 3,
    trials: int = 2,
    text: str = "fine",
    **more: Any,
) -> Store:
    """Runs `base` and `cand`; in `cand` the first route of two lost its step ``retrieve``.

    ``text`` is put wherever a pipeline may put text; ``more`` changes the candidate's run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dataset = folder / "cases.jsonl"
    made = [a_case(at, text) for at in range(cases)]
    dataset.write_bytes(b"".join(msgspec.json.encode(case) + b"\n" for case in made))
    for at, label in enumerate(("base", "cand")):
        run = Run(
            id=f"2026112{at}-000000-{label}",
            label=label,
            suite=Suite(
                name="desk",
                pipeline=Pipeline(call="a:b"),
                dataset=str(dataset),
                scorers=SCORERS,
                gate=GatePolicy(on=SCORERS),
            ),
            dataset_path=str(dataset),
            dataset_digest="d",
            planned=tuple(
                PlannedCase(case.id, case.route, case.digest, "desk", case.tags) for case in made
            ),
            trials=trials,
            started=1_790_000_000.0 + at,
        )
        if label == "cand":
            run = msgspec.structs.replace(run, **more)
        with Journal.start(folder, run) as journal:
            journal.extend(
                a_trial(case, number, spans, text, broken=label == "cand")
                for case in made
                for number in range(trials)
            )
            journal.finish()
    return Store(folder)


def a_case(at: int, text: str) -> Case:
    shown = text.encode("utf-8", "replace").decode()
    return Case(
        id=f"case-{at}",
        input={"question": shown},
        route=("refund", "status")[at % 2],
        owner="desk",
        tags=("even" if at % 4 < 2 else "odd",),
        expect=Expected(
            steps=(ExpectedStep(node="classify"), ExpectedStep(retriever="retrieve")),
        ),
    )


def a_trial(case: Case, number: int, spans: int, text: str, *, broken: bool) -> Trial:
    lost = broken and case.route == "refund"
    names = ["classify", *(() if lost else ("retrieve",))]
    names += [f"step {n}" for n in range(spans - len(names))]
    steps = tuple(
        Step(
            kind={"classify": "node", "retrieve": "retriever"}.get(name, "tool"),
            name=name,
            arguments={"text": text, "n": at},
            output=text,
            start_ns=10**18 + at * 10**6,
            end_ns=10**18 + (at + 1) * 10**6,
            tokens_in=10,
            tokens_out=2,
            cost_usd=0.001,
        )
        for at, name in enumerate(names)
    )
    missing = (Finding("missing", "retriever retrieve", expected=1),) if lost else ()
    return Trial(
        case=case.id,
        trial=number,
        route=case.route,
        started=1.0,
        latency_s=0.1 + 0.01 * number,
        trajectory=Trajectory(steps=steps, output=text, route=case.route),
        scores=(
            Score("task_completion", 1.0 - lost, not lost, text[:50] or "ok"),
            Score("trajectory_match", 0.5 if lost else 1.0, not lost, "why", missing),
        ),
    )
