"""eval-fail-rate-by-step: per route and expected step, how often it failed, and in which way."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, get_args

import msgspec

from evalkit.dataset import Case
from evalkit.expectation import open_places, references
from evalkit.observations import Judged, cases_by_route, judged
from evalkit.results import Recorded

Failure = Literal["missing", "wrong", "out_of_order", "bad_arguments", "error"]
FAILURES: tuple[Failure, ...] = get_args(Failure)

_OF_FINDING: dict[str, Failure] = {
    "missing": "missing",
    "out_of_order": "out_of_order",
    "wrong_arguments": "bad_arguments",
    "failed": "error",
}


class StepFailures(msgspec.Struct, frozen=True, kw_only=True):
    """One expected step of one route: the ``nth`` (from 0) of its label in a case.

    ``stated`` is how many cases expect it, ``optional`` if none of them requires it; ``expected``
    how many judged trials did, ``failed`` in how many it failed, ``rate`` the share (None without
    trials); ``by`` counts by how it failed, ``cases`` are those in which it did.
    """

    route: str
    step: str
    nth: int
    optional: bool
    stated: int
    expected: int
    failed: int
    rate: float | None
    by: dict[str, int]
    cases: tuple[str, ...]


class _Place(NamedTuple):
    """An expected step as the cases of a route share it: its label, and which one of it."""

    label: str
    nth: int


class _Expected(NamedTuple):
    """One expected step of a case: of which of its paths, and whether it may be left out."""

    place: _Place
    path: int
    is_open: bool


def step_failures(
    recorded: Recorded, cases: Mapping[str, Case]
) -> dict[str, tuple[StepFailures, ...]]:
    """How often each expected step of each route failed, in the order that the steps usually have.

    From the stored findings of trajectory_match and tool_selection; per trial and expected step
    one way, the first that applies: ``wrong`` (another tool in its stead), ``missing``,
    ``bad_arguments``, ``out_of_order``, ``error`` (it happened as expected, and its last try ended
    in an error). ``cases`` are those that are still what the run tried. Trials that did not
    complete, or that trajectory_match could not judge, do not count; of several paths the one that
    was judged does; a step that may be left out counts where it happened.
    """
    matches, selections = judged(recorded, "trajectory_match"), judged(recorded, "tool_selection")
    instead = {(one.case, one.trial): one for listed in selections.values() for one in listed}
    found = {}
    for route, places in cases_by_route(recorded).items():
        ids = [recorded.run.planned[at].id for at in places]
        known = [cases[name] for name in ids if name in cases and cases[name].expect.references]
        trials = [
            (case, match, instead.get((match.case, match.trial)))
            for case in known
            for match in matches.get(case.id, ())
        ]
        found[route] = _of_route(route, known, trials)
    return found


def _of_route(
    route: str, cases: Iterable[Case], trials: Iterable[tuple[Case, Judged, Judged | None]]
) -> tuple[StepFailures, ...]:
    stated = {case.id: _stated(case) for case in cases}
    ranks: defaultdict[_Place, list[float]] = defaultdict(list)
    required: set[_Place] = set()
    for listed in stated.values():
        for at, one in enumerate(listed):
            ranks[one.place].append(at / max(1, len(listed) - 1))
            if not one.is_open:
                required.add(one.place)
    expected: Counter[_Place] = Counter()
    failed: defaultdict[_Place, Counter[str]] = defaultdict(Counter)
    where: defaultdict[_Place, dict[str, None]] = defaultdict(dict)
    for case, match, selection in trials:
        for place, how in _outcomes(stated[case.id], match, selection):
            expected[place] += 1
            if how is not None:
                failed[place][how] += 1
                where[place][case.id] = None
    order = sorted(ranks, key=lambda place: (sum(ranks[place]) / len(ranks[place]), place))
    return tuple(
        StepFailures(
            route=route,
            step=place.label,
            nth=place.nth,
            optional=place not in required,
            stated=len(ranks[place]),
            expected=expected[place],
            failed=failed[place].total(),
            rate=failed[place].total() / expected[place] if expected[place] else None,
            by={how: failed[place][how] for how in FAILURES},
            cases=tuple(where[place]),
        )
        for place in order
    )


def _stated(case: Case) -> tuple[_Expected, ...]:
    """The single steps of a case, in the places that findings call them by."""
    found: list[_Expected] = []
    may_lack = open_places(case.expect)
    for path, reference in enumerate(references(case.expect)):
        seen: Counter[str] = Counter()
        for step in reference.leaves:
            place = _Place(step.label, seen[step.label])
            found.append(_Expected(place, path, len(found) in may_lack))
            seen[step.label] += 1
    return tuple(found)


def _outcomes(
    stated: tuple[_Expected, ...], match: Judged, selection: Judged | None
) -> Iterator[tuple[_Place, Failure | None]]:
    """Each expected step of a trial that counts, and how it failed, if it did."""
    found: dict[int, Failure] = {}
    for one in match.findings:
        if one.expected is not None and one.kind in _OF_FINDING:
            found.setdefault(one.expected, _OF_FINDING[one.kind])
    chosen = match.data.get("path", 0)
    for one in selection.findings if selection is not None and "path" not in match.data else ():
        replaced = one.kind == "missing" and one.step is not None and one.expected is not None
        if replaced and found.get(one.expected or 0) == "missing":
            found[one.expected or 0] = "wrong"
    happened = match.data.get("happened")
    also = set(happened) if isinstance(happened, list) else set()
    for at, step in enumerate(stated):
        if step.path == chosen and (not step.is_open or at in found or at in also):
            yield step.place, found.get(at)
