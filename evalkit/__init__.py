"""evalkit: tells whether an LLM pipeline got worse, on which route, at which step.

Everything here loads when it is first used: ``import evalkit`` is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.check import load_suite as load_suite
    from evalkit.comparison import summarize as summarize
    from evalkit.dataset import Case as Case
    from evalkit.dataset import Dataset as Dataset
    from evalkit.dataset import Expected as Expected
    from evalkit.dataset import ExpectedStep as ExpectedStep
    from evalkit.errors import EvalkitError as EvalkitError
    from evalkit.gating import decide as decide
    from evalkit.plain_calls import matches as matches
    from evalkit.results import Finding as Finding
    from evalkit.results import Run as Run
    from evalkit.results import Score as Score
    from evalkit.results import Trial as Trial
    from evalkit.runner import run as run
    from evalkit.scorers.trajectory_match import match as match
    from evalkit.store import Store as Store
    from evalkit.suite import Suite as Suite
    from evalkit.tracing.steps import step as step
    from evalkit.trajectory import Step as Step
    from evalkit.trajectory import Trajectory as Trajectory

_HOMES = {
    "Case": "evalkit.dataset",
    "Dataset": "evalkit.dataset",
    "EvalkitError": "evalkit.errors",
    "Expected": "evalkit.dataset",
    "ExpectedStep": "evalkit.dataset",
    "Finding": "evalkit.results",
    "Run": "evalkit.results",
    "Score": "evalkit.results",
    "Step": "evalkit.trajectory",
    "Store": "evalkit.store",
    "Suite": "evalkit.suite",
    "Trajectory": "evalkit.trajectory",
    "Trial": "evalkit.results",
    "decide": "evalkit.gating",
    "load_suite": "evalkit.check",
    "match": "evalkit.scorers.trajectory_match",
    "matches": "evalkit.plain_calls",
    "run": "evalkit.runner",
    "step": "evalkit.tracing.steps",
    "summarize": "evalkit.comparison",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'evalkit' has no attribute {name!r}")
    import importlib

    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return list(__all__)
