"""What a dataset holds, how two versions of it differ, and how to split it."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from evalkit.dataset import Case
from evalkit.errors import InputError
from evalkit.results import Trial
from evalkit.triage import NO_ROUTE
from evalkit.triaging.norms import demands
from evalkit.triaging.signals import shape_of

_PATH = ("tool", "node", "retriever", "reranker", "guardrail", "handoff")


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Cases that have a route or a tag in common; None is what nothing tells.

    The ages of the oldest and the newest are in days, as is the time since any of them last
    failed; ``last_failed`` is which.
    """

    cases: int
    oldest_days: float | None
    newest_days: float | None
    last_failure_days: float | None = None
    last_failed: str | None = None


class RouteStats(Held, frozen=True, kw_only=True):
    """The cases of one route, all and by tag.

    ``seen`` are traces of the route in production, ``steps_seen`` the different steps and tools
    that these have; ``uncovered`` those of them that no case of the route demands, with the share
    of the traces that have each, most first.
    """

    route: str
    owners: tuple[str, ...]
    tags: dict[str, Held]
    seen: int = 0
    steps_seen: int = 0
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
    cases: Sequence[Case],
    traces: Iterable[Trial] = (),
    *,
    failures: Mapping[str, float] | None = None,
    now: float | None = None,
) -> DatasetStats:
    """The dataset per route, beside what production did.

    ``failures`` says when cases last failed; this and ``now`` are seconds since the epoch.
    """
    clock = _Clock(time.time() if now is None else now, failures or {})
    seen: Counter[str] = Counter()
    steps: dict[str, Counter[str]] = {}
    for trial in traces:
        taken = (trial.trajectory.route if trial.trajectory else None) or trial.route or NO_ROUTE
        seen[taken] += 1
        labels = set(shape_of(trial.trajectory.walk())) if trial.trajectory else set()
        steps.setdefault(taken, Counter()).update(labels)
    routes = sorted({case.route for case in cases} | set(seen))
    found = [
        _route([one for one in cases if one.route == route], route, seen, steps, clock)
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


class _Clock(NamedTuple):
    """What time it is, and when cases last failed."""

    now: float
    failures: Mapping[str, float]

    def days_since(self, moment: float) -> float:
        return max(0.0, (self.now - moment) / 86400)


def _route(
    cases: Sequence[Case],
    route: str,
    seen: Counter[str],
    steps: dict[str, Counter[str]],
    clock: _Clock,
) -> RouteStats:
    demanded = {label for case in cases for label in demands(case)}
    taken = [
        (label, count / seen[route])
        for label, count in steps.get(route, Counter[str]()).most_common()
        if label.partition(" ")[0] in _PATH
    ]
    tags = Counter(tag for case in cases for tag in case.tags)
    return RouteStats(
        **msgspec.structs.asdict(_held(cases, clock)),
        route=route,
        owners=tuple(sorted({case.owner for case in cases if case.owner})),
        tags={
            tag: _held([case for case in cases if tag in case.tags], clock)
            for tag, _ in tags.most_common()
        },
        seen=seen[route],
        steps_seen=len(taken),
        uncovered=tuple(pair for pair in taken if pair[0] not in demanded),
    )


def _held(cases: Sequence[Case], clock: _Clock) -> Held:
    added = sorted(moment for case in cases if (moment := _added(case)) is not None)
    failed = [(clock.failures[case.id], case.id) for case in cases if case.id in clock.failures]
    last = max(failed, default=None)
    return Held(
        cases=len(cases),
        oldest_days=clock.days_since(added[0]) if added else None,
        newest_days=clock.days_since(added[-1]) if added else None,
        last_failure_days=clock.days_since(last[0]) if last else None,
        last_failed=last[1] if last else None,
    )


def _added(case: Case) -> float | None:
    """When a case was added; None where its source does not tell a date."""
    import calendar

    added = case.source.added if case.source else None
    try:
        return calendar.timegm(time.strptime((added or "")[:10], "%Y-%m-%d"))
    except ValueError:
        return None


def _differing(one: Case, other: Case) -> tuple[str, ...]:
    keys = ("input", "route", "owner", "tags", "expect")
    return tuple(key for key in keys if getattr(one, key) != getattr(other, key))
