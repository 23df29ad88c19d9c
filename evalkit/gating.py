"""The gate: two stored runs and a policy in, a verdict per route and scorer out.

:func:`decide` reads nothing and runs nothing. What cannot be measured fails closed; what is
measured is judged by :func:`evalkit.verdicts.judge`, all routes and scorers as one family.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from evalkit.attribution import Explained, step_changes
from evalkit.case_changes import changed_cases, lost_cases
from evalkit.comparison import Paired, common_cases, pair
from evalkit.confirming import Comparison, Confirmation, Confirmed, Rerun, confirm
from evalkit.efficiency import Efficiency, compare_efficiency
from evalkit.errors import ExitCode, InputError
from evalkit.instrumentation import Loss, losses, untold
from evalkit.measurement import (
    Counts,
    Side,
    count_trials,
    doubt_of_cases,
    doubt_of_pairs,
    doubt_of_scorer,
    doubt_of_trials,
    lost_for_sure,
    lost_routes,
    missing_cases,
    read_side,
    unmeasured_cases,
)
from evalkit.observations import Observed
from evalkit.reliability import flaky_cases
from evalkit.reports import FAILED, UNDECIDED, GateReport, GateRow, Verdict
from evalkit.results import Recorded
from evalkit.settling import Settled, settle
from evalkit.suite import GatePolicy, score_name
from evalkit.uncompared import only_what_was_run, say_released, uncompared
from evalkit.verdicts import judge
from evalkit.wording import (
    report_notes,
    say_confirmed,
    say_flaky,
    say_missing,
    say_unmeasured,
    say_unpaid,
    say_verdict,
)


class _Open(NamedTuple):
    """A comparison that can be made, of the cases that both runs have scores of.

    ``missing`` are the baseline's cases that this run does not have, ``unmeasured`` those that it
    has no scores of, ``lost`` those of them that are so by more than chance; ``doubt`` says why the
    others do not stand for the route.
    """

    route: str
    scorer: str
    paired: Paired
    missing: tuple[str, ...]
    unmeasured: tuple[str, ...]
    lost: tuple[str, ...]
    doubt: str | None

    def to_confirm(self, before: Side) -> Comparison:
        """With the cases that have no scores yet, for a re-run to measure."""
        paired, nothing = self.paired, (Observed((), ()),) * len(self.unmeasured)
        known = tuple(before.observed[self.scorer][case] for case in self.unmeasured)
        stored = Paired(
            paired.cases + self.unmeasured, paired.baseline + known, paired.candidate + nothing
        )
        return Comparison(self.route, self.scorer, stored)


class Judged(NamedTuple):
    """The rows of all that blocks, what to tell beside them, and :attr:`GateReport.confirmed`."""

    rows: tuple[GateRow, ...]
    notes: list[str]
    confirmed: bool


def decide(
    candidate: Recorded,
    baseline: Recorded | None,
    policy: GatePolicy,
    rerun: Rerun | None = None,
) -> GateReport:
    """Judges a run against its baseline, per route and scorer of ``policy.on``.

    Exit 1 if anything regressed, broke or is missing; else 3 if anything is unmeasurable or
    inconclusive, or nothing at all was judged; else 0, also where the policy lets nothing block.
    Without a baseline every measurable route is ``new``. Raises InputError for a scorer that
    neither run knows.

    With ``rerun`` the stored trials only raise suspicions, which :func:`evalkit.confirming.confirm`
    settles on fresh trials of both arms, within the budget of ``policy.confirm``.

    Last come rows that never block: latency, tokens, cost and steps that clearly changed.
    """
    after, before = read_sides(candidate, baseline, policy)
    common = common_cases(candidate, baseline) if baseline else {}
    rows, told, confirmed = judge_routes(after, before, common, policy, rerun)
    notes = report_notes(after, before)
    if before:
        notes += say_released(after, before, policy)
        rows = uncompared(rows, before, policy)
    notes += told
    gated = any(policy.of(route).on for route in after.routes)
    if not gated:
        notes.append("nothing that is compared blocks: `on` is empty for every route of this run")
    elif not rows:
        notes.append("nothing was judged: no route has scores of " + ", ".join(policy.all_on))
    notes += say_flaky(rows)
    spent = Efficiency((), ())
    if before:
        spent = compare_efficiency(after, before, common, policy.alpha)
    advice = [replace(row, owners=_owners(after, before, row.route)) for row in spent.rows]
    notes += spent.notes
    return GateReport(
        run=candidate.run.id,
        label=candidate.run.label,
        baseline=baseline.run.id if baseline else None,
        baseline_label=baseline.run.label if baseline else None,
        exit=int(exit_code(row.verdict for row in rows) if rows or gated else ExitCode.PASSED),
        alpha=policy.alpha,
        rows=(*rows, *advice),
        notes=tuple(notes),
        confirmed=confirmed,
    )


def read_sides(
    candidate: Recorded, baseline: Recorded | None, policy: GatePolicy
) -> tuple[Side, Side | None]:
    """Both runs, for the scorers that block; InputError for one that neither run knows."""
    after = read_side(candidate, policy.all_on)
    before = read_side(baseline, policy.all_on) if baseline else None
    _check_scorers(policy, after, before)
    return after, before


def judge_routes(
    after: Side,
    before: Side | None,
    common: Mapping[str, tuple[str, ...]],
    policy: GatePolicy,
    rerun: Rerun | None = None,
) -> Judged:
    """A row for each route and scorer of ``policy.on``, and notes where there is nothing to judge.

    ``common`` are the cases that are the same in both runs, by route.
    """
    notes: list[str] = []
    lost: dict[str, Loss] = {}
    if before and after.recorded.told is not None and before.recorded.told is not None:
        lost = losses(after.recorded.told, before.recorded.told)
        notes += untold(after.recorded.told, before.recorded.told)
    places: list[GateRow | _Open] = []
    for route in [*after.routes, *lost_routes(after, before)]:
        for scorer in policy.of(route).on or ():
            place = _place(after, before, common.get(route, ()), route, scorer, policy)
            if before and route in lost and not isinstance(place, str):
                place = _doubted(place, lost[route], after, before)
            if isinstance(place, str):
                notes.append(place)
            else:
                places.append(place)
    compared = [place for place in places if isinstance(place, _Open)]
    found, reruns = _settle_open(compared, before, policy, rerun)
    notes += say_unpaid(reruns, policy.confirm.max_trials)
    tried = any(one.spent for one in reruns) or not any(one.exhausted for one in reruns)
    if before is None:
        rows = tuple(place for place in places if isinstance(place, GateRow))
    else:
        explained = Explained(after), Explained(before)
        every = [
            _row(place, found[place.route, place.scorer], after, before, explained)
            if isinstance(place, _Open)
            else place
            for place in places
        ]
        rows = only_what_was_run(every, after, before)
    return Judged(rows, notes, rerun is not None and tried)


def exit_code(verdicts: Iterable[Verdict]) -> ExitCode:
    """What a gate with these verdicts returns to the shell; no verdict at all is no pass."""
    found = set(verdicts)
    if found.intersection(FAILED):
        return ExitCode.GATE_FAILED
    undecided = found.intersection(UNDECIDED) or not found
    return ExitCode.INCOMPLETE if undecided else ExitCode.PASSED


def _check_scorers(policy: GatePolicy, after: Side, before: Side | None) -> None:
    sides = [side for side in (after, before) if side]
    stored = {name for side in sides for name in side.scores.scorers}
    uses = [use for side in sides for use in side.recorded.run.suite.scorer_uses]
    for scorer in policy.all_on:
        if scorer not in stored | {score_name(use.name) for use in uses}:
            known = ", ".join(sorted(stored)) or "none"
            raise InputError(f"no run has scores of {scorer!r}. Scorers that are stored: {known}")


def _place(
    after: Side,
    before: Side | None,
    common: tuple[str, ...],
    route: str,
    scorer: str,
    policy: GatePolicy,
) -> GateRow | _Open | str:
    """A row that is settled, a comparison to be made, or a note why there is neither."""
    now = count_trials(after, route, scorer)
    was = count_trials(before, route, scorer) if before else Counts(0, 0, 0, 0, 0)
    missing = missing_cases(after, before, route) if before else ()
    silent = doubt_of_scorer(after, now, scorer)
    doubt = silent or doubt_of_trials(now, was, policy.max_infrastructure)
    if before and not doubt:
        doubt = doubt_of_cases(after, before, common, scorer, policy.max_infrastructure)
    if route not in after.routes:
        return _settled(after, before, route, scorer, "missing", say_missing(missing), missing)
    if now.completed and not missing and not silent and not (now.seen or was.seen):
        return f"route {route}: nothing for {scorer} to judge"
    verdict: Verdict
    if doubt:
        verdict = "missing" if missing else "unmeasurable"
        reason = f"{say_missing(missing)}; {doubt}" if missing else doubt
    elif before is None or route not in before.routes:
        verdict = "new"
        reason = "the baseline has no such route" if before else "no baseline was given"
    else:
        shared = pair(common, after.observed[scorer], before.observed[scorer])
        if shared.cases:
            unmeasured = unmeasured_cases(after, before, common, scorer)
            lost = lost_for_sure(after, unmeasured, policy.max_infrastructure)
            few = doubt_of_pairs(after, route, scorer, len(shared.cases))
            return _Open(route, scorer, shared, missing, unmeasured, lost, few)
        verdict, reason = _without_pairs(was, missing, scorer)
    return _settled(after, before, route, scorer, verdict, reason, missing)


def _doubted(one: GateRow | _Open, loss: Loss, after: Side, before: Side) -> GateRow | _Open:
    """The comparison, unless the instrumentation no longer tells what its scorer looks at; a row
    that could not be measured says so, too."""
    was, now = before.mean(one.route, one.scorer), after.mean(one.route, one.scorer)
    doubt = loss.doubt(one.scorer, was, now)
    if doubt is None:
        return one
    if isinstance(one, GateRow):
        told = one.verdict == "unmeasurable"
        return replace(one, reason=f"{one.reason}; {doubt}") if told else one
    verdict: Verdict = "missing" if one.missing else "unmeasurable"
    reason = f"{say_missing(one.missing)}; {doubt}" if one.missing else doubt
    return _settled(after, before, one.route, one.scorer, verdict, reason, one.missing)


def _without_pairs(was: Counts, missing: tuple[str, ...], scorer: str) -> tuple[Verdict, str]:
    """The verdict where both runs have the route but no scored case in common."""
    if missing:
        return "missing", say_missing(missing)
    if not was.scored:
        return "new", f"the baseline has no scores of {scorer} on this route"
    return (
        "inconclusive",
        "no case is the same in both runs: compare runs of one version of the dataset",
    )


def _settle_open(
    open_: Iterable[_Open], before: Side | None, policy: GatePolicy, rerun: Rerun | None
) -> tuple[dict[tuple[str, str], Settled], list[Confirmation]]:
    """The comparisons, judged together as one family, and the re-runs that had a say.

    Routes with an alpha of their own are families apart, one for each such alpha.
    """
    families: dict[float, list[_Open]] = {}
    for one in open_:
        families.setdefault(policy.of(one.route).alpha or policy.alpha, []).append(one)
    found: dict[tuple[str, str], Settled] = {}
    reruns: list[Confirmation] = []
    left = policy.confirm.max_trials
    for alpha, family in families.items():
        judged = judge([one.paired for one in family], alpha)
        made: Iterable[Confirmed | None] = [None] * len(family)
        if rerun is not None and before is not None:
            reruns.append(
                confirm(
                    [one.to_confirm(before) for one in family],
                    rerun,
                    alpha=alpha,
                    trials=policy.confirm.trials,
                    max_trials=left,
                    limit=policy.max_infrastructure,
                )
            )
            made, left = reruns[-1].found, None if left is None else left - reruns[-1].spent
        for one, judgement, confirmed in zip(family, judged, made, strict=True):
            found[one.route, one.scorer] = settle(one.paired, judgement, confirmed)
    return found, reruns


def _row(
    one: _Open,
    settled: Settled,
    after: Side,
    before: Side,
    explained: tuple[Explained, Explained],
) -> GateRow:
    found, shown, moved, confirmed = settled
    was, now = shown.means
    stored = one.paired.means if settled.fresh else None
    verdict: Verdict = found.verdict
    reason = say_verdict(settled, after.judged(one.route, one.scorer))
    if confirmed:
        reason = say_confirmed(reason, confirmed, stored)
    if one.missing and verdict not in FAILED:
        verdict, reason = "missing", f"{say_missing(one.missing)}; of the others, {reason}"
    elif one.missing:
        reason = f"{reason}; {say_missing(one.missing)}"
    elif one.lost and verdict not in FAILED and not confirmed:
        verdict, reason = "unmeasurable", f"{say_unmeasured(one.lost)}; of the others, {reason}"
    elif one.doubt and verdict not in FAILED:
        verdict, reason = "inconclusive", f"{one.doubt}; {reason}"
    told = verdict in FAILED or verdict == "improved"
    changes = changed_cases(moved, after, rising=verdict == "improved") if told else ()
    worse = found.verdict in FAILED
    arms = zip(moved.cases, moved.baseline, moved.candidate, strict=True)
    flaky, many = flaky_cases({case: both for case, *both in arms})
    return GateRow(
        route=one.route,
        scorer=one.scorer,
        verdict=verdict,
        baseline=was,
        candidate=now,
        difference=found.interval.mean,
        low=found.interval.low,
        high=found.interval.high,
        p=found.p,
        p_adjusted=found.p_adjusted,
        broken=found.broken,
        detectable=found.detectable,
        cases=len(shown.cases),
        trials=0 if stored else one.paired.trials,
        spent_trials=confirmed.trials if confirmed else 0,
        stored=stored,
        reason=reason,
        owners=_owners(after, before, one.route),
        changes=(*lost_cases(one.missing, before, one.scorer), *changes),
        steps=step_changes(*explained, one.scorer, one.paired.cases) if worse else (),
        flaky=flaky,
        flaky_cases=many,
    )


def _settled(
    after: Side,
    before: Side | None,
    route: str,
    scorer: str,
    verdict: Verdict,
    reason: str,
    missing: tuple[str, ...] = (),
) -> GateRow:
    """A row that no comparison decides."""
    seen = after.seen(route, scorer)
    return GateRow(
        route=route,
        scorer=scorer,
        verdict=verdict,
        baseline=before.mean(route, scorer) if before else None,
        candidate=after.mean(route, scorer),
        difference=None,
        low=None,
        high=None,
        p=None,
        p_adjusted=None,
        broken=(),
        detectable=None,
        cases=len(seen),
        trials=sum(len(one.values) for one in seen.values()),
        reason=reason,
        owners=_owners(after, before, route),
        changes=lost_cases(missing, before, scorer),
    )


def _owners(after: Side, before: Side | None, route: str) -> tuple[str, ...]:
    planned = after.planned(route) or (before.planned(route) if before else ())
    return tuple(sorted({case.owner for case in planned if case.owner}))
