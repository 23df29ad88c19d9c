"""Why a route stands where it stands: its path step by step, tools, surplus steps, durations.

Pure: a stored run's tables and the cases' expectations in, records that add up the findings out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np

from evalkit.dataset import Case
from evalkit.expectation import leaves
from evalkit.observations import cases_by_route, column, score_rows, trial_rows, trials_of
from evalkit.results import Finding, Recorded

PATH_SCORER = "trajectory_match"
FAILS = frozenset({"missing", "wrong_arguments", "out_of_order"})
_decode_findings = msgspec.json.Decoder(list[Finding]).decode
_decode_data = msgspec.json.Decoder(dict[str, Any]).decode


class PathStep(msgspec.Struct, frozen=True, kw_only=True):
    """One expected step of a route, the ``nth`` (from 0) of its name in a case.

    ``trials`` are those scored of the cases that expect it.

    ``failed`` counts those where it is missing, out of order or has wrong arguments; ``kinds``
    says how often each. ``cases`` expect it; ``optional`` if none of them requires it.
    """

    name: str
    nth: int
    optional: bool
    cases: int
    trials: int
    failed: int
    kinds: dict[str, int]
    failing_cases: tuple[str, ...]

    @property
    def rate(self) -> float | None:
        """The share of trials that fail at this step; None without trials."""
        return self.failed / self.trials if self.trials else None


class RouteBreakdown(msgspec.Struct, frozen=True, kw_only=True):
    """One route of one run.

    ``path`` is empty where the expectations are not at hand or nothing scored them. ``beside``
    counts trials with a step that no case expects, by what is wrong and its name. ``confusion``
    counts decisions as (expected, chosen), None for no counterpart. ``causes`` counts surplus
    steps; ``steps_taken`` all steps that were judged for it. Latency in seconds, tokens per trial.
    """

    route: str
    path: tuple[PathStep, ...]
    beside: tuple[tuple[str, str, int], ...]
    path_trials: int
    confusion: tuple[tuple[str | None, str | None, int], ...]
    causes: dict[str, int]
    steps_taken: int
    latency_s: tuple[float, ...]
    tokens: tuple[float, ...]


class _Place(NamedTuple):
    """An expected step as routes share it: its label, and which one of that label in its case."""

    label: str
    nth: int


class _Judged(NamedTuple):
    """A scored trial: its case, its findings and what the scorer counted."""

    case: str
    findings: tuple[Finding, ...]
    data: Mapping[str, Any]


def breakdown(recorded: Recorded, cases: Mapping[str, Case]) -> dict[str, RouteBreakdown]:
    """Every route of the run. ``cases`` are the expectations by id, as they were in the run."""
    trials = trial_rows(recorded)
    paths = _judged(recorded, PATH_SCORER)
    tools = _judged(recorded, "tool_selection")
    surplus = _judged(recorded, "step_efficiency")
    found = {}
    for route, places in cases_by_route(recorded).items():
        ids = [recorded.run.planned[at].id for at in places]
        mine = trials_of(trials, places) & trials.completed
        judged = [one for case in ids for one in paths.get(case, ())]
        path, beside = _path([cases[case] for case in ids if case in cases], judged)
        efficiency = [one.data for case in ids for one in surplus.get(case, ())]
        found[route] = RouteBreakdown(
            route=route,
            path=path,
            beside=beside,
            path_trials=len(judged),
            confusion=_confusion(one.data for case in ids for one in tools.get(case, ())),
            causes=_causes(efficiency),
            steps_taken=sum(_whole(data.get("taken")) for data in efficiency),
            latency_s=_finite(trials.latency_s[mine]),
            tokens=_finite(trials.tokens[mine]),
        )
    return found


def _judged(recorded: Recorded, scorer: str) -> dict[str, list[_Judged]]:
    """The trials that a scorer scored, per planned case."""
    rows = score_rows(recorded)
    found: dict[str, list[_Judged]] = defaultdict(list)
    if scorer not in rows.scorers:
        return found
    mine = np.flatnonzero((rows.scorer == rows.scorers.index(scorer)) & rows.judged)
    table = recorded.scores.take(rows.row[mine])
    data = column(table, "data") if "data" in table.column_names else [None] * len(mine)
    findings = column(table, "findings")
    for case, text, counted in zip(rows.case[mine].tolist(), findings, data, strict=True):
        name = rows.cases[case]
        found[name].append(_Judged(name, _read_findings(text), _read_data(counted)))
    return found


@lru_cache(maxsize=4096)
def _read_findings(text: str | None) -> tuple[Finding, ...]:
    """Stored findings; none where the text is not a list of them."""
    try:
        return tuple(_decode_findings(text)) if text else ()
    except (msgspec.DecodeError, RecursionError):
        return ()


@lru_cache(maxsize=4096)
def _read_data(text: str | None) -> Mapping[str, Any]:
    """Stored counts; none where the text is not an object."""
    try:
        return _decode_data(text) if text else {}
    except (msgspec.DecodeError, RecursionError):
        return {}


# --- the golden path ----------------------------------------------------------------------


def _path(
    cases: Iterable[Case], judged: Iterable[_Judged]
) -> tuple[tuple[PathStep, ...], tuple[tuple[str, str, int], ...]]:
    """The steps that the route's cases expect, in their usual order; and what no case expects."""
    expected = {case.id: _places(case) for case in cases if case.expect.references}
    ranks: dict[_Place, list[float]] = defaultdict(list)
    optional: dict[_Place, bool] = {}
    for places in expected.values():
        for at, (place, free) in enumerate(places):
            ranks[place].append(at / max(1, len(places) - 1))
            optional[place] = optional.get(place, True) and free
    trials, kinds = Counter[_Place](), defaultdict[_Place, Counter[str]](Counter)
    failing: dict[_Place, dict[str, None]] = defaultdict(dict)
    beside = Counter[tuple[str, str]]()
    for one in judged:
        places = expected.get(one.case, ())
        trials.update(place for place, _ in places)
        hit: dict[_Place, str] = {}
        for finding in one.findings:
            position = finding.expected
            if position is None or finding.kind not in FAILS:
                continue
            if 0 <= position < len(places):
                hit.setdefault(places[position][0], finding.kind)
        for place, kind in hit.items():
            kinds[place][kind] += 1
            failing[place][one.case] = None
        beside.update({(note.kind, note.name) for note in one.findings if note.kind in _BESIDE})
    order = sorted(ranks, key=lambda place: (sum(ranks[place]) / len(ranks[place]), place))
    steps = tuple(
        PathStep(
            name=place.label,
            nth=place.nth,
            optional=optional[place],
            cases=len(ranks[place]),
            trials=trials[place],
            failed=kinds[place].total(),
            kinds=dict(kinds[place]),
            failing_cases=tuple(failing[place]),
        )
        for place in order
    )
    most = sorted(beside.items(), key=lambda item: (-item[1], item[0]))[:10]
    return steps, tuple((kind, name, count) for (kind, name), count in most)


_BESIDE = frozenset({"unexpected", "forbidden"})


def _places(case: Case) -> tuple[tuple[_Place, bool], ...]:
    seen = Counter[str]()
    found = []
    for step in leaves(case.expect):
        found.append((_Place(step.label, seen[step.label]), step.optional))
        seen[step.label] += 1
    return tuple(found)


# --- tools and surplus steps --------------------------------------------------------------


def _confusion(
    counted: Iterable[Mapping[str, Any]],
) -> tuple[tuple[str | None, str | None, int], ...]:
    pairs = Counter[tuple[str | None, str | None]]()
    for data in counted:
        listed = data.get("confusion")
        for pair in listed if isinstance(listed, list) else ():
            if isinstance(pair, list) and len(pair) == 2:
                wanted, chosen = (None if name is None else str(name) for name in pair)
                pairs[wanted, chosen] += 1
    return tuple((wanted, chosen, count) for (wanted, chosen), count in pairs.most_common())


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
