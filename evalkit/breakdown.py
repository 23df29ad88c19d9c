"""Why a route stands where it stands: its path step by step, tools, surplus steps, durations.

Pure: a stored run's tables and the cases' expectations in, records that add up the findings out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from evalkit.confusion import ToolScores, confusion
from evalkit.dataset import Case
from evalkit.observations import Judged, cases_by_route, judged, trial_rows, trials_by_route
from evalkit.results import Recorded
from evalkit.step_failures import StepFailures, step_failures

PATH_SCORER = "trajectory_match"


class RouteBreakdown(msgspec.Struct, frozen=True, kw_only=True):
    """One route of one run.

    ``path`` is empty where the expectations are not at hand or nothing scored them. ``beside``
    counts trials with a step that no case expects, by what is wrong and its name. ``confusion``
    counts decisions as (expected, chosen), None for no counterpart. ``causes`` counts surplus
    steps; ``steps_taken`` all steps that were judged for it. Latency in seconds, tokens per trial.
    ``tools`` has precision, recall and F1 of each; of ``decisions`` made, ``acceptable`` were so
    when they were made. ``efficiency`` is the mean step efficiency, in [0, 1], over all trials,
    ``efficiency_of_success`` that of the ``successes``, which completed their task.
    """

    route: str
    path: tuple[StepFailures, ...]
    beside: tuple[tuple[str, str, int], ...]
    path_trials: int
    confusion: tuple[tuple[str | None, str | None, int], ...]
    causes: dict[str, int]
    steps_taken: int
    latency_s: tuple[float, ...]
    tokens: tuple[float, ...]
    tools: tuple[ToolScores, ...] = ()
    decisions: int = 0
    acceptable: int = 0
    efficiency: float | None = None
    successes: int = 0
    efficiency_of_success: float | None = None


def breakdown(recorded: Recorded, cases: Mapping[str, Case]) -> dict[str, RouteBreakdown]:
    """Every route of the run. ``cases`` are the expectations by id, as they were in the run."""
    trials = trial_rows(recorded)
    paths = judged(recorded, PATH_SCORER)
    tools = judged(recorded, "tool_selection")
    surplus = judged(recorded, "step_efficiency")
    steps = step_failures(recorded, cases)
    completed = {
        (one.case, one.trial)
        for listed in judged(recorded, "task_completion").values()
        for one in listed
        if one.passed
    }
    found = {}
    routes = cases_by_route(recorded)
    tried = trials_by_route(trials, routes)
    for route, places in routes.items():
        ids = [recorded.run.planned[at].id for at in places]
        mine = tried[route][trials.completed[tried[route]]]
        matches = [one for case in ids for one in paths.get(case, ())]
        chosen = [one.data for case in ids for one in tools.get(case, ())]
        economy = [one for case in ids for one in surplus.get(case, ())]
        of_success = [one.value for one in economy if (one.case, one.trial) in completed]
        pairs = _pairs(chosen)
        found[route] = RouteBreakdown(
            route=route,
            path=steps[route] if matches else (),
            beside=_beside(matches),
            path_trials=len(matches),
            confusion=tuple((*pair, count) for pair, count in pairs.most_common()),
            causes=_causes(one.data for one in economy),
            steps_taken=sum(_whole(one.data.get("taken")) for one in economy),
            latency_s=_finite(trials.latency_s[mine]),
            tokens=_finite(trials.tokens[mine]),
            tools=confusion(pairs.elements()).tools,
            decisions=_decisions(chosen, "made"),
            acceptable=_decisions(chosen, "acceptable"),
            efficiency=_mean([one.value for one in economy]),
            successes=len(of_success),
            efficiency_of_success=_mean(of_success),
        )
    return found


_BESIDE = frozenset({"unexpected", "forbidden"})


def _beside(judged: Iterable[Judged]) -> tuple[tuple[str, str, int], ...]:
    """What was done and no case expects, by what is wrong and its name: the ten most frequent."""
    counts = Counter[tuple[str, str]]()
    for one in judged:
        counts.update({(note.kind, note.name) for note in one.findings if note.kind in _BESIDE})
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10]
    return tuple((kind, name, count) for (kind, name), count in most)


# --- tools and surplus steps --------------------------------------------------------------


def _pairs(counted: Iterable[Mapping[str, Any]]) -> Counter[tuple[str | None, str | None]]:
    pairs = Counter[tuple[str | None, str | None]]()
    for data in counted:
        listed = data.get("confusion")
        for pair in listed if isinstance(listed, list) else ():
            if isinstance(pair, list) and len(pair) == 2:
                wanted, chosen = (None if name is None else str(name) for name in pair)
                pairs[wanted, chosen] += 1
    return pairs


def _decisions(counted: Iterable[Mapping[str, Any]], what: str) -> int:
    listed = (data.get("decisions") for data in counted)
    return sum(_whole(one.get(what)) for one in listed if isinstance(one, dict))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _causes(counted: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    causes = Counter[str]()
    for data in counted:
        listed = data.get("causes")
        for cause, count in listed.items() if isinstance(listed, dict) else ():
            causes[str(cause)] += _whole(count)
    return dict(causes.most_common())


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _finite(values: Any) -> tuple[float, ...]:
    return tuple(values[np.isfinite(values)].tolist())
