"""The entry point: ``answer(input, settings)``."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

# LangChain would otherwise send its traces to LangSmith wherever an account is configured.
os.environ.setdefault("LANGSMITH_TRACING", "false")

from openinference.instrumentation.langchain import LangChainInstrumentor

from pipelines.vendor_assistant.graph import Context, build

VARIANTS = {
    "standard": "as it should be",
    "skip-retrieval": "vendor exceptions are judged without retrieve_policy",
    "wrong-tool": "access requests are offered the vendor tools",
    "no-approval": "state is changed without request_approval",
    "looping": "expense questions search until the cap",
    "slow": "each reason step takes a quarter of a second longer",
}
DEFAULTS = Context(mistakes=0.004)

_trials: Counter[str] = Counter()
_trials_lock = threading.Lock()

if not LangChainInstrumentor().is_instrumented_by_opentelemetry:
    LangChainInstrumentor().instrument()


def answer(case: dict[str, Any], settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Answers one question.

    ``case`` holds ``question`` and facts; ``settings`` those of suite.yaml. Returns ``answer``,
    ``decision`` (answer, approve, escalate, refuse), ``route``, ``citations`` (policy ids) and
    ``actions`` (what changed state). Raises ValueError for a setting that does not exist.
    """
    context = read_settings(settings or {}, case)
    state = build().invoke({"input": case, "searches": 0, "turns": 0}, context=context)
    return {**state["outcome"], "route": state["route"], "actions": state.get("actions", [])}


def read_settings(settings: Mapping[str, Any], case: dict[str, Any]) -> Context:
    """The context of one trial; the seed becomes one of its own for every trial of a case."""
    unknown = sorted(set(settings) - set(Context.__dataclass_fields__))
    if unknown:
        known = ", ".join(Context.__dataclass_fields__)
        raise ValueError(f"unknown setting {', '.join(unknown)}; known: {known}")
    given = {key: value for key, value in settings.items() if value is not None}
    variant = given.get("variant", DEFAULTS.variant)
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant {variant!r}; known: {', '.join(VARIANTS)}")
    seed = given.get("seed")
    return Context(
        variant=variant,
        model=str(given.get("model", DEFAULTS.model)),
        fallback_model=str(given.get("fallback_model", DEFAULTS.fallback_model)),
        mistakes=float(given.get("mistakes", DEFAULTS.mistakes)),
        seed=None if seed is None else _trial_seed(int(seed), case),
    )


def _trial_seed(seed: int, case: dict[str, Any]) -> int:
    """A seed from the run's seed, the case, and how often this process has seen the two.

    The trials of a case then differ from one another, and a run's trials are the same as those
    of another run with this seed, whatever the order in which they end.
    """
    key = f"{seed}:{json.dumps(case, sort_keys=True)}"
    with _trials_lock:
        _trials[key] += 1
        number = _trials[key]
    return int.from_bytes(hashlib.sha256(f"{key}:{number}".encode()).digest()[:4])
