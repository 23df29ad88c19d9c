"""What evalkit costs, beside its limits and beside a peer, measured in one process family.

    python benchmarks/speed.py

prints a table: imports against bare typer, the runner's overhead a trial against pydantic-evals
on the same no-op dataset, memory over a long run, and storing and gating after the last trial.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

CASES = 2000
CONCURRENCY = 64

PIPELINE = """
import asyncio
from opentelemetry import trace

tracer = trace.get_tracer("noop")

def spans(question):
    with tracer.start_as_current_span("agent", attributes={"gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "agent"}):
        with tracer.start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat",
                "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 10,
                "gen_ai.usage.output_tokens": 3}):
            pass
        with tracer.start_as_current_span("execute_tool look_up", attributes={
                "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look_up",
                "gen_ai.tool.call.arguments": '{"q": "x"}', "gen_ai.tool.call.result": "42"}):
            pass
        with tracer.start_as_current_span("execute_tool answer", attributes={
                "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "answer",
                "gen_ai.tool.call.arguments": '{"text": "42"}'}):
            pass
    return {"answer": "42"}

async def noop(question):
    return spans(question)

async def sleeping(question):
    await asyncio.sleep(0.05)
    return spans(question)
"""

SUITE = """
name: noop
pipeline: {{call: "bench_pipeline:{function}", concurrency: {concurrency}}}
dataset: cases.jsonl
trials: {trials}
"""


def write_project(folder: Path, function: str, cases: int, trials: int = 1) -> Path:
    """A suite over a no-op pipeline with four spans a trial."""
    (folder / "bench_pipeline.py").write_text(PIPELINE)
    case = {
        "input": {"q": "x"},
        "expect": {
            "outcome": [{"path": "answer", "contains": "42"}],
            "steps": [{"tool": "look_up", "args": {"q": "x"}}, {"tool": "answer"}],
        },
    }
    with (folder / "cases.jsonl").open("w") as file:
        for number in range(cases):
            named = {"id": f"case-{number}", "route": f"route-{number % 8}", **case}
            file.write(json.dumps(named) + "\n")
    suite = folder / "suite.yaml"
    suite.write_text(SUITE.format(function=function, concurrency=CONCURRENCY, trials=trials))
    return suite


def run_suite(function: str, cases: int, trials: int = 1) -> tuple[float, float]:
    """Seconds from the first trial to the last one journalled, and to the end of storing."""
    from evalkit.check import load_suite
    from evalkit.runner import run

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loaded = load_suite(write_project(folder, function, cases, trials))
        moments: list[float] = []
        run(
            loaded,
            label="bench",
            store=folder / "store",
            on_progress=lambda now: moments.append(time.perf_counter()),
        )
        end = time.perf_counter()
        return moments[-1] - moments[0], end - moments[-1]


def store_and_gate(cases: int, trials: int) -> float:
    """Seconds from the last trial to the gate's decision against an equal baseline."""
    from evalkit.check import load_suite
    from evalkit.gating import decide
    from evalkit.runner import run
    from evalkit.store import Store

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loaded = load_suite(write_project(folder, "noop", cases, trials))
        store = Store(folder / "store")
        baseline = run(loaded, label="main", store=store.path)
        moments: list[float] = []
        candidate = run(
            loaded,
            label="candidate",
            store=store.path,
            on_progress=lambda now: moments.append(time.perf_counter()),
        )
        report = decide(store.load(candidate.id), store.load(baseline.id), loaded.suite.gate)
        store.save_verdicts(report)
        return time.perf_counter() - moments[-1]


def pydantic_evals_seconds(cases: int) -> float:
    """The peer on the same no-op dataset: no tracing, no storing, one equality check."""
    from pydantic_evals import Case, Dataset
    from pydantic_evals.evaluators import EqualsExpected

    dataset: Dataset[dict[str, str], dict[str, str], None] = Dataset(
        name="noop",
        cases=[
            Case(name=f"case-{n}", inputs={"q": "x"}, expected_output={"answer": "42"})
            for n in range(cases)
        ],
        evaluators=[EqualsExpected()],
    )

    async def noop(question: dict[str, str]) -> dict[str, str]:
        return {"answer": "42"}

    began = time.perf_counter()
    asyncio.run(dataset.evaluate(noop, max_concurrency=CONCURRENCY, progress=False))
    return time.perf_counter() - began


def command_seconds(*arguments: str, repeats: int = 7) -> float:
    """The median wall time of a Python command."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def resident_megabytes() -> float:
    """The memory that this process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def memory_growth(cases: int) -> tuple[float, float]:
    """Resident megabytes after the first tenth of a run's trials, and after the last."""
    from evalkit.check import load_suite
    from evalkit.runner import Progress, run

    held: dict[int, float] = {}

    def follow(now: Progress) -> None:
        if now.done in {cases // 10, cases}:
            held[now.done] = resident_megabytes()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loaded = load_suite(write_project(folder, "noop", cases))
        run(loaded, label="bench", store=folder / "store", on_progress=follow)
    return held[cases // 10], held[cases]


def main() -> None:
    """Measures and prints."""
    table = Table("measure", "measured", "limit", "beside it", "holds")

    def row(name: str, measured: float, limit: float, unit: str, beside: str = "") -> None:
        holds = "yes" if measured <= limit else "NO"
        table.add_row(name, f"{measured:.3g} {unit}", f"{limit:.3g} {unit}", beside, holds)

    typer = command_seconds("-c", "import typer")
    row(
        "evalkit --help",
        command_seconds("-m", "evalkit", "--help") / typer,
        3,
        "x typer",
        f"import typer: {typer * 1000:.0f} ms",
    )
    row("import evalkit", command_seconds("-c", "import evalkit") / typer, 2, "x typer")
    peer = min(measure(lambda: pydantic_evals_seconds(CASES), 3))
    overhead = min(measure(lambda: run_suite("noop", CASES)[0], 3))
    row(
        "overhead a trial, 4 spans",
        overhead / CASES * 1000,
        2,
        "ms",
        f"pydantic-evals: {peer / CASES * 1000:.3g} ms a case, without tracing or storing",
    )
    ideal = CASES / CONCURRENCY * 0.05
    sleeping = min(measure(lambda: run_suite("sleeping", CASES)[0], 3))
    row(f"{CASES} trials of 50 ms", sleeping / ideal, 1.25, "x ideal", f"ideal: {ideal:.2f} s")
    early, late = memory_growth(10 * CASES)
    row("memory, trial 2,000 to 20,000", late / early, 1.1, "x", f"{early:.0f} -> {late:.0f} MB")
    row("store and gate 2,000 cases x 5", store_and_gate(CASES, 5), 5, "s")
    Console(width=120).print(table)


def measure(function: Callable[[], float], times: int) -> list[float]:
    """What ``function`` returns, several times."""
    return [function() for _ in range(times)]


if __name__ == "__main__":
    main()
