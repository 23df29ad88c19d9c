"""The public surface: pinned, and cheap to import."""

import subprocess
import sys

import evalkit

PUBLIC = {
    "Case",
    "Dataset",
    "EvalkitError",
    "Expected",
    "ExpectedStep",
    "Finding",
    "Run",
    "Score",
    "Step",
    "Store",
    "Suite",
    "Trajectory",
    "Trial",
    "decide",
    "load_suite",
    "match",
    "matches",
    "run",
    "step",
    "summarize",
}

HEAVY = "pandas duckdb sklearn matplotlib opentelemetry ruamel typer numpy scipy pyarrow rich"


def test_the_public_names_are_these() -> None:
    assert set(evalkit.__all__) == PUBLIC
    assert set(dir(evalkit)) == PUBLIC
    for name in PUBLIC:
        assert getattr(evalkit, name).__module__.startswith("evalkit.")


def test_importing_evalkit_loads_nothing_heavy() -> None:
    code = (
        f"import sys, evalkit\nprint([name for name in {HEAVY.split()!r} if name in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "[]"
