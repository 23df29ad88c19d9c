"""What a dataset holds, how two versions of it differ, and how to split it."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from evalkit.dataset import Case
from evalkit.errors import InputError
from evalkit.results import Trial
from evalkit.triaging.norms import demands
from evalkit.triaging.signals import shape_of

_PATH = ("tool", "node", "retriever", "reranker", "guardrail", "handoff")


class RouteStats(msgspec.Struct, frozen=True, kw_only=True):
    """The cases of one route. ``ages`` in days: of the oldest and the newest, None if not known.

    ``seen`` are traces of the route in production; ``uncovered`` steps that these have and that
    no case of the route demands, with the share of the traces that have each, most first.
    """

    route: str
    cases: int
    owners: tuple[str, ...]
    tags: dict[str, int]
    oldest_days: float | None
    newest_days: float | None
    seen: int = 0
    uncovered: tuple[tuple[str, float], ...] = ()


class DatasetStats(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset per route; a route with no case is one that production takes and nobody tests."""

    cases: int
    routes: tuple[RouteStats, ...]
    without_cases: tuple[str, ...]
    without_owner: tuple[str, ...]


class DatasetDiff(msgspec.Struct, frozen=True, kw_only=True):
    """Case ids that only one of two datasets has, and the keys in which common ones differ."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: dict[str, tuple[str, ...]]
    same: int


def stats(
    cases: Sequence[Case], traces: Iterable[Trial] = (), now: float | None = None
) -> DatasetStats:
    """The dataset per route, beside what production did. ``now`` is seconds since the epoch."""
    moment = time.time() if now is None else now
    seen: Counter[str] = Counter()
    steps: dict[str, Counter[str]] = {}
    for trial in traces:
        taken = (trial.trajectory.route if trial.trajectory else None) or trial.route
        seen[taken] += 1
        labels = set(shape_of(trial.trajectory.walk())) if trial.trajectory else set()
        steps.setdefault(taken, Counter()).update(labels)
    routes = sorted({case.route for case in cases} | set(seen))
    found = [
        _route([one for one in cases if one.route == route], route, seen, steps, moment)
        for route in routes
    ]
    return DatasetStats(
        cases=len(cases),
        routes=tuple(found),
        without_cases=tuple(one.route for one in found if not one.cases),
        without_owner=tuple(one.route for one in found if one.cases and not one.owners),
    )


def diff(before: Sequence[Case], after: Sequence[Case]) -> DatasetDiff:
    """What changed from one version to another; where a case came from is no change."""
    old, new = {one.id: one for one in before}, {one.id: one for one in after}
    both = [name for name in new if name in old]
    changed = {name: _differing(old[name], new[name]) for name in both}
    changed = {name: keys for name, keys in changed.items() if keys}
    return DatasetDiff(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=changed,
        same=len(both) - len(changed),
    )


def split(cases: Sequence[Case], share: float, seed: str = "") -> tuple[list[Case], list[Case]]:
    """Two parts, the first with about this share of each route, told by the cases' ids alone.

    A case stays in its part when others are added. Raises InputError for a share not in (0, 1).
    """
    if not 0 < share < 1:
        raise InputError(f"a share is above 0 and below 1, found {share:g}")
    parts: tuple[list[Case], list[Case]] = ([], [])
    for case in cases:
        drawn = hashlib.sha256(f"{seed}\0{case.id}".encode()).digest()[:8]
        parts[int.from_bytes(drawn) / 2**64 >= share].append(case)
    return parts


def _route(
    cases: Sequence[Case],
    route: str,
    seen: Counter[str],
    steps: dict[str, Counter[str]],
    now: float,
) -> RouteStats:
    days = sorted(age for case in cases if (age := _age(case, now)) is not None)
    demanded = {label for case in cases for label in demands(case)}
    common = steps.get(route, Counter[str]()).most_common()
    uncovered = [
        (label, count / seen[route])
        for label, count in common
        if label not in demanded and label.partition(" ")[0] in _PATH
    ]
    return RouteStats(
        route=route,
        cases=len(cases),
        owners=tuple(sorted({case.owner for case in cases if case.owner})),
        tags=dict(Counter(tag for case in cases for tag in case.tags).most_common()),
        oldest_days=days[-1] if days else None,
        newest_days=days[0] if days else None,
        seen=seen[route],
        uncovered=tuple(uncovered[:20]),
    )


def _age(case: Case, now: float) -> float | None:
    """How many days ago a case was added; None where its source does not tell a date."""
    added = case.source.added if case.source else None
    try:
        when = time.strptime((added or "")[:10], "%Y-%m-%d")
    except ValueError:
        return None
    import calendar

    return max(0.0, (now - calendar.timegm(when)) / 86400)


def _differing(one: Case, other: Case) -> tuple[str, ...]:
    keys = ("input", "route", "owner", "tags", "expect")
    return tuple(key for key in keys if getattr(one, key) != getattr(other, key))
