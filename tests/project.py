"""A small project on disk that tests run: a plain Python pipeline, a suite and a dataset."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from evalkit.check import load_suite
from evalkit.files import LoadedSuite

_names = itertools.count()

GOOD = """
import evalkit

@evalkit.step("tool")
def look_up(q):
    return q * 2

def answer(request):
    return {"answer": look_up(request["q"])}
"""

CASES = [
    {
        "id": f"case-{n}",
        "input": {"q": n},
        "route": "even" if n % 2 == 0 else "odd",
        "tags": ["small"] if n < 2 else [],
        "expect": {
            "outcome": [{"path": "answer", "equals": n * 2}],
            "steps": [{"tool": "look_up", "args": {"q": n}}],
        },
    }
    for n in range(6)
]


def write_project(
    folder: Path,
    source: str = GOOD,
    *,
    cases: list[dict[str, Any]] = CASES,
    pipeline: dict[str, Any] | None = None,
    **suite: Any,
) -> Path:
    """Writes the project and gives the suite's path. ``source`` defines ``answer``."""
    # Every project's module has a name of its own: Python imports a name once a process.
    module = f"pipeline_{next(_names)}"
    (folder / f"{module}.py").write_text(source)
    (folder / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases))
    reached = {"call": f"{module}:answer"} if not _has_target(pipeline) else {}
    content = {
        "name": "small",
        "pipeline": {**reached, "retries": 0, **(pipeline or {})},
        "dataset": "cases.jsonl",
        "trials": 2,
        **suite,
    }
    path = folder / "suite.yaml"
    path.write_text(json.dumps(content))
    return path


def load_project(folder: Path, source: str = GOOD, **options: Any) -> LoadedSuite:
    """The project, written and loaded."""
    return load_suite(write_project(folder, source, **options))


def _has_target(pipeline: dict[str, Any] | None) -> bool:
    return bool(pipeline and {"command", "http", "traces", "call"} & set(pipeline))
