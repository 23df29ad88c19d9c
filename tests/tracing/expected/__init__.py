"""What really happened in each recorded run, stated by hand: one module per family of frameworks.

The scenario is one (classify, retrieve_policy, rerank, reason, compliance_tool, final), so a family
states its calls once, and each recording only what its instrumentation adds or leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ANY = object()
"""Recorded, but not the same in each run, or too long to state."""


@dataclass(frozen=True)
class Call:
    """A call of a tool, or a handoff, that took place."""

    name: str
    arguments: Any = ANY
    output: Any = ANY
    failed: bool = False
    rebuilt: bool = False
    kind: str = "tool"


@dataclass(frozen=True)
class Run:
    """One recording: what must be read from it.

    ``arguments`` and ``outputs`` are False where the instrumentation does not emit them, and
    ``failures`` where a failed call cannot be told from a good one. ``inferred`` says how the
    calls (``call``) or their failures (``status``) are known. ``frame`` are the workflows, agents,
    nodes, guardrails, retrievers and rerankers in order. ``models`` are asked for and served, of
    each model call in order, a served None being a failed call or one that does not tell.
    """

    calls: tuple[Call, ...]
    frame: tuple[str, ...] = ()
    models: tuple[tuple[str | None, str | None], ...] = ()
    failed_models: int = 0
    tokens: tuple[int | None, int | None] = (None, None)
    arguments: bool = True
    outputs: bool = True
    failures: bool = True
    inferred: str | None = None
    says: str = "timed out"
    missing: tuple[str, ...] = ()
    logs: bool = False
