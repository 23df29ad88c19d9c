"""The accepted cases of a dataset, as a draft is held against them: duplicates, contradictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from statistics import mean
from typing import Any

import msgspec

from evalkit.dataset import Case, Expected, OutcomeCheck
from evalkit.scorers.task_completion import task_completion
from evalkit.similarity import Words, differ_in_fact, overlap, words
from evalkit.trajectory import Trajectory
from evalkit.triaging.norms import Norm, demanded, demands, golden_norm
from evalkit.values import lookup

NEAR = 0.75
"""From this similarity on, an accepted case of the same route is shown as a near duplicate."""
SAME = 0.8
"""From this similarity on, inputs that differ in no fact ask the same."""
MAX_SHOWN = 10


class Duplicate(msgspec.Struct, frozen=True):
    """An accepted case that a draft resembles; ``similarity`` of the inputs in [0, 1]."""

    case: str
    similarity: float
    exact: bool


def input_of(trajectory: Trajectory, path: str | None = None) -> Any:
    """What the pipeline was asked: the arguments of the first step that has any, or within.

    ``path`` is a dotted path into them; without it ``input`` is taken if there is one. None
    where the trace does not tell.
    """
    for visit in trajectory.walk():
        given = visit.step.arguments
        if given in (None, {}, "", []):
            continue
        if path is not None:
            return lookup(given, path)
        inner = given.get("input", given) if isinstance(given, dict) else given
        if inner not in (None, {}, "", []):
            return inner
    return None


class Golden:
    """Accepted cases. What is asked of each for every draft is worked out once."""

    def __init__(self, cases: Iterable[Case] = ()) -> None:
        self.cases = tuple(cases)
        self._norms: dict[str, Norm] = {}
        self._orders: dict[str, list[str]] = {}

    def of(self, route: str) -> Sequence[Case]:
        """The cases of a route."""
        return self._routes.get(route, ())

    def norm(self, route: str) -> Norm:
        """What the cases of a route agree on."""
        if route not in self._norms:
            self._norms[route] = golden_norm(self.of(route))
        return self._norms[route]

    def missing(self, route: str, path: frozenset[str], trajectory: Trajectory) -> list[str]:
        """The steps that a trace of a route should have taken by the golden cases, and did not.

        What a case demands that asks the same; without one, what nearly all cases of the route
        demand. In the order of the cases' paths: the first is where a trace went astray.
        """
        asked = input_of(trajectory) if self.of(route) else None
        wanted = words(asked)
        same = self._asking.get((route, frozenset(wanted.weights)))
        if asked is not None and same is not None:
            return [label for label in demanded(same) if label not in path]
        lacking = self.norm(route).always - path
        return [label for label in self._order(route) if label in lacking]

    def _order(self, route: str) -> list[str]:
        """The steps that the cases of a route demand, by their mean place."""
        if route not in self._orders:
            places: dict[str, list[int]] = defaultdict(list)
            for case in self.of(route):
                for place, label in enumerate(demanded(case)):
                    places[label].append(place)
            self._orders[route] = sorted(places, key=lambda one: (mean(places[one]), one))
        return self._orders[route]

    def ranked(self, asked: Words, route: str) -> list[tuple[float, Case]]:
        """The cases of a route with how alike their inputs are, most alike first."""
        found = [(overlap(asked, self._words(case)), case) for case in self.of(route)]
        return sorted(found, key=lambda pair: -pair[0])

    def duplicates(self, case: Case) -> tuple[Duplicate, ...]:
        """Cases of the same route and path with the same or a similar input, most similar first.

        ``exact`` are those that ask and expect the very same; where a case comes from, who owns
        it and how it is tagged makes no difference.
        """
        found = []
        content = _content(case)
        for alike, other in self.ranked(words(case.input), case.route):
            if alike < NEAR:
                break
            exact = alike == 1.0 and content == _content(other)
            if other.id != case.id and (exact or demands(case) == demands(other)):
                found.append(Duplicate(other.id, round(alike, 3), exact))
        return tuple(sorted(found, key=lambda one: (-one.exact, -one.similarity))[:MAX_SHOWN])

    def conflicts(self, case: Case) -> tuple[str, ...]:
        """Where a case contradicts accepted ones: a golden set must not be poisoned.

        What asks the same on another route, with other steps or for another outcome; a step
        expected that every case of the route forbids, or forbidden that nearly all expect.
        """
        asked = words(case.input)
        found = []
        for other in self.cases:
            alike = overlap(asked, self._words(other))
            same = alike == 1.0 or (alike >= SAME and not differ_in_fact(asked, self._words(other)))
            if other.id != case.id and same:
                how = "the same input" if alike == 1.0 else f"an input {alike:.0%} like it"
                found += [f"{other.id} {says} for {how}" for says in _otherwise(case, other)]
        agreed = self.norm(case.route)
        never = {one.label for one in case.expect.never if not one.args}
        route = case.route
        found += [f"all of {route} forbid {one}" for one in sorted(demands(case) & agreed.never)]
        found += [f"nearly all of {route} expect {one}" for one in sorted(never & agreed.always)]
        return tuple(found[: 2 * MAX_SHOWN])

    @cached_property
    def _routes(self) -> dict[str, list[Case]]:
        routes = defaultdict(list)
        for case in self.cases:
            routes[case.route].append(case)
        return dict(routes)

    @cached_property
    def _asking(self) -> dict[tuple[str, frozenset[tuple[str, str]]], Case]:
        return {(case.route, frozenset(self._words(case).weights)): case for case in self.cases}

    @cached_property
    def _by_id(self) -> dict[str, Words]:
        return {case.id: words(case.input) for case in self.cases}

    def _words(self, case: Case) -> Words:
        return self._by_id[case.id]


def _otherwise(case: Case, other: Case) -> Iterator[str]:
    """What a case says that does not go with what another says of the same input."""
    if other.route != case.route:
        yield f"takes route {other.route}"
        return
    both = case.expect.references and other.expect.references
    if both and demands(case) != demands(other):
        yield "expects other steps"
    opposed = (
        one.path or "the answer"
        for one in case.expect.outcome
        for that in other.expect.outcome
        if _opposed(one, that)
    )
    where = next(opposed, None)
    if where is not None:
        yield f"expects another outcome at {where}"


def _opposed(one: OutcomeCheck, other: OutcomeCheck) -> bool:
    """Whether no answer meets both checks, as far as their form tells."""
    if one.path != other.path:
        return False
    return _excludes(one, other) or _excludes(other, one)


def _excludes(one: OutcomeCheck, other: OutcomeCheck) -> bool:
    """Whether what one check demands fails the other: a value, or texts that must not be."""
    if one.equals is not msgspec.UNSET and other.checks[0] not in ("function", "said", "finished"):
        check = msgspec.structs.replace(other, path=None)
        judged = Case(id="-", input=None, route="-", expect=Expected(outcome=(check,)))
        return task_completion(judged, Trajectory(output=one.equals)).passed is False
    return any(
        part in text for part in _listed(other.not_contains) for text in _listed(one.contains)
    )


def _listed(stated: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (stated,) if isinstance(stated, str) else stated or ()


def _content(case: Case) -> bytes:
    return msgspec.json.encode([case.route, case.input, case.expect], order="sorted")
