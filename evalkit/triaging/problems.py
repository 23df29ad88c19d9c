"""Flagged traces grouped into problems, so that 500 failures read as 7."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from evalkit.dataset import Case
from evalkit.triaging.signals import Signal

if TYPE_CHECKING:
    import numpy as np

MAX_KINDS = 2000
"""Flagged traces are clustered by kind of failure; of more kinds, the rarest join the commonest
of their route, step and signal."""
APART = 0.5
"""Cosine distance from which two kinds of failures are different problems."""


class Flagged(msgspec.Struct, frozen=True):
    """A trace with at least one signal, what tells most first; their texts are templates.

    ``started`` is in seconds since the epoch.
    """

    trace: str
    route: str
    signals: tuple[Signal, ...]
    started: float


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Failures that belong together. ``traces`` are in order of time; ``covered`` golden cases."""

    name: str
    route: str
    signal: str
    step: str
    size: int
    representative: str
    first_seen: float
    last_seen: float
    traces: tuple[str, ...]
    covered: tuple[str, ...] = ()
    example: str = ""


def problems(flagged: Sequence[Flagged], cases: Sequence[Case] = ()) -> tuple[Problem, ...]:
    """The problems that flagged traces make up, largest first, with the cases that cover each."""
    alike: dict[tuple[Any, ...], list[Flagged]] = defaultdict(list)
    for one in flagged:
        alike[_kind(one)].append(one)
    kinds = sorted(alike, key=lambda kind: -len(alike[kind]))
    labels = _clustered([alike[kind][0] for kind in kinds[:MAX_KINDS]])
    named: dict[tuple[str, ...], int] = {}
    for kind, label in zip(kinds, labels, strict=False):
        named.setdefault(_heading(alike[kind][0]), label)
    for kind in kinds[MAX_KINDS:]:
        labels.append(named.setdefault(_heading(alike[kind][0]), len(kinds) + len(named)))
    groups: dict[int, list[Flagged]] = defaultdict(list)
    for kind, label in zip(kinds, labels, strict=True):
        groups[label] += alike[kind]
    covering = _by_trace(cases)
    found = [_problem(group, cases, covering) for group in groups.values()]
    return tuple(sorted(found, key=lambda one: (-one.size, one.name)))


def _kind(one: Flagged) -> tuple[Any, ...]:
    """What makes two traces fail in the same way: route, signals with steps, text's template."""
    signals = tuple((signal.kind, signal.step) for signal in one.signals)
    return one.route, signals, one.signals[0].text


def _heading(one: Flagged) -> tuple[str, ...]:
    """What a problem is named by: route, signal and step."""
    main = one.signals[0]
    return one.route, main.kind, main.step


def _clustered(kinds: Sequence[Flagged]) -> list[int]:
    """A cluster's number for each kind of failure, by average linkage over their features."""
    if len(kinds) < 2:
        return [0] * len(kinds)
    from sklearn.cluster import AgglomerativeClustering

    model = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=APART
    )
    return [int(label) for label in model.fit_predict(_distances(kinds))]


def _distances(kinds: Sequence[Flagged]) -> np.ndarray[Any, Any]:
    """Cosine distances over route, main signal and its step, other signals, and words."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.metrics.pairwise import cosine_distances

    matrix = DictVectorizer().fit_transform([_features(one) for one in kinds])
    distances: np.ndarray[Any, Any] = cosine_distances(matrix)
    return distances


def _features(one: Flagged) -> dict[str, float]:
    main = one.signals[0]
    features = {f"problem {one.route} {main.kind} {main.step}": 2.0, f"route {one.route}": 0.5}
    for signal in one.signals:
        features.setdefault(f"signal {signal.kind} {signal.step}", 0.4)
    words = set(re.findall(r"[a-z_]{3,}", main.text.lower()))
    for word in words:
        features[f"word {word}"] = 0.8 / len(words) ** 0.5
    return features


def _by_trace(cases: Sequence[Case]) -> Mapping[str, str]:
    return {case.source.trace_id: case.id for case in cases if case.source and case.source.trace_id}


def _problem(
    group: Sequence[Flagged], cases: Sequence[Case], covering: Mapping[str, str]
) -> Problem:
    """One group as a problem; its commonest kind of failure names and represents it."""
    kinds: dict[tuple[Any, ...], list[Flagged]] = defaultdict(list)
    for one in group:
        kinds[_kind(one)].append(one)
    commonest = max(kinds.values(), key=_size)
    typical = min(commonest, key=lambda one: (one.started, one.trace))
    main = typical.signals[0]
    ordered = sorted(group, key=lambda one: (one.started, one.trace))
    named = [covering[one.trace] for one in ordered if one.trace in covering]
    tagged = [
        case.id
        for case in cases
        if case.route == typical.route and main.kind in case.tags and _names(case, main.step)
    ]
    where = f" at {main.step}" if main.step else ""
    return Problem(
        name=f"{typical.route}: {main.kind.replace('_', ' ')}{where}",
        route=typical.route,
        signal=main.kind,
        step=main.step,
        size=len(group),
        representative=typical.trace,
        first_seen=ordered[0].started,
        last_seen=ordered[-1].started,
        traces=tuple(one.trace for one in ordered),
        covered=tuple(dict.fromkeys([*named, *tagged])),
        example=main.text,
    )


def _names(case: Case, step: str) -> bool:
    """Whether a case's expectation has the step, or none is named."""
    stated = [one.label for path in case.expect.references for one in path]
    return not step or not stated or step in stated or " " not in step


def _size(alike: Sequence[Flagged]) -> int:
    return len(alike)
