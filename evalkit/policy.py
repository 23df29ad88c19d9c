"""What a team's policy adds to the gate's decision: quarantine, advice, limits, margins, owners.

:func:`set_apart` takes quarantined cases out of a run before it is judged; :func:`apply_policy`
completes the report of :func:`evalkit.gating.decide`. Both are pure: the day is an argument.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from evalkit import limits
from evalkit.comparison import common_cases, pair
from evalkit.confirming import Rerun
from evalkit.gating import decide, exit_code, judge_routes, read_sides
from evalkit.observations import codes, observations, score_rows, taken
from evalkit.phrasing import measured
from evalkit.reports import GateReport, GateRow, Verdict
from evalkit.results import Recorded
from evalkit.suite import GatePolicy, Quarantine

if TYPE_CHECKING:
    import pyarrow as pa


def gate(
    candidate: Recorded,
    baseline: Recorded | None,
    policy: GatePolicy,
    *,
    today: datetime.date,
    rerun: Rerun | None = None,
) -> GateReport:
    """The whole decision on two stored runs: quarantine, :func:`decide`, and the policy.

    ``rerun`` tries cases again in both arms, to confirm what the stored trials suggest.
    """
    kept = set_apart(candidate, policy, today)
    before = set_apart(baseline, policy, today) if baseline else None
    report = decide(kept, before, policy, rerun)
    return apply_policy(report, candidate, baseline, policy, today=today)


def set_apart(recorded: Recorded, policy: GatePolicy, today: datetime.date) -> Recorded:
    """The run as if the cases that are in quarantine today had never been planned."""
    apart = policy.quarantined(today)
    if not apart:
        return recorded
    kept = tuple(case for case in recorded.run.planned if case.id not in apart)
    return dataclasses.replace(
        recorded,
        run=msgspec.structs.replace(recorded.run, planned=kept),
        trials=_without(recorded.trials, apart),
        scores=_without(recorded.scores, apart),
    )


def _without(table: pa.Table, cases: frozenset[str]) -> pa.Table:
    kept = np.flatnonzero(codes(table["case"], tuple(cases)) < 0)
    return taken(table, kept)


def needs_steps(policy: GatePolicy) -> bool:
    """Whether a limit of the policy looks at recorded steps."""
    return any(limits.read_limit(text).of_steps for text in policy.all_limits)


def compares_steps(policy: GatePolicy) -> bool:
    """Whether a limit of the policy looks at the baseline's steps too: whether one is gone."""
    return any(limits.read_limit(text).of_step for text in policy.all_limits)


def has_limits(policy: GatePolicy) -> bool:
    """Whether the policy has a floor or ceiling, which needs no baseline to be judged."""
    return bool(policy.all_limits)


def only(policy: GatePolicy, on: Iterable[str]) -> GatePolicy:
    """The policy with these scorers in place of all that it names; the rest stays."""
    routes = {
        route: msgspec.structs.replace(own, on=None, advise=None)
        for route, own in policy.routes.items()
    }
    return msgspec.structs.replace(policy, on=tuple(on), advise=(), routes=routes)


def apply_policy(
    report: GateReport,
    candidate: Recorded,
    baseline: Recorded | None,
    policy: GatePolicy,
    *,
    today: datetime.date,
) -> GateReport:
    """The report with everything that the policy adds, and the exit code that then holds.

    Margins turn an ``ok`` into ``unproven`` where the drop may still be larger. Scorers that
    advise and limits get rows of their own. Quarantined cases are told in notes. ``candidate``
    and ``baseline`` are the runs with all of their cases.
    """
    kept = set_apart(candidate, policy, today)
    before = set_apart(baseline, policy, today) if baseline else None
    rows = [_with_margin(row, policy.of(row.route).margin) for row in report.rows]
    rows += _advice(kept, before, policy)
    notes = [*report.notes, *_prices(candidate, baseline), *_unknown(candidate, policy)]
    for found in _limits(kept, before, policy):
        if isinstance(found, str):
            notes.append(found)
        else:
            rows.append(found)
    notes += _quarantined(candidate, baseline, policy, today)
    rows = _by_route(_owned(row, policy) for row in rows)
    blocking = [row.verdict for row in rows if row.blocking]
    return msgspec.structs.replace(
        report,
        rows=tuple(rows),
        notes=tuple(notes),
        exit=int(exit_code(blocking)) if blocking else report.exit,
    )


def _by_route(rows: Iterable[GateRow]) -> list[GateRow]:
    """Rows of one route together, routes by first appearance."""
    groups: dict[str, list[GateRow]] = {}
    for row in rows:
        groups.setdefault(row.route, []).append(row)
    return [row for group in groups.values() for row in group]


def _owned(row: GateRow, policy: GatePolicy) -> GateRow:
    owners = policy.of(row.route).owners
    return msgspec.structs.replace(row, owners=owners) if owners else row


def _with_margin(row: GateRow, margin: float | None) -> GateRow:
    if margin is None or row.verdict != "ok" or row.low is None or row.low >= -margin:
        return row
    reason = (
        f"not proven safe: the drop may be as large as {-row.low:.2f} (95 % interval), and only "
        f"{margin:.2f} is acceptable; {row.reason}"
    )
    return msgspec.structs.replace(row, verdict="unproven", reason=reason)


def _advice(kept: Recorded, before: Recorded | None, policy: GatePolicy) -> list[GateRow]:
    """The scorers that advise, as a family of their own: never blocking."""
    planned = (*kept.run.planned, *(before.run.planned if before else ()))
    advisers = {route: policy.of(route) for route in dict.fromkeys(case.route for case in planned)}
    every = tuple(dict.fromkeys(name for own in advisers.values() for name in own.advise or ()))
    if not every:
        return []
    routes = {
        route: msgspec.structs.replace(own, on=own.advise, advise=())
        for route, own in advisers.items()
    }
    policy = msgspec.structs.replace(policy, on=every, advise=(), routes=routes)
    common = common_cases(kept, before) if before else {}
    judged = judge_routes(*read_sides(kept, before, policy), common, policy)
    return [msgspec.structs.replace(row, blocking=False) for row in judged.rows]


def _limits(kept: Recorded, before: Recorded | None, policy: GatePolicy) -> Iterator[GateRow | str]:
    """A row per route and limit, or a note where it has nothing to look at on a route."""
    routes = list(dict.fromkeys(case.route for case in kept.run.planned))
    if not any(policy.of(route).limits for route in routes):
        return
    tables = limits.read_tables(kept)
    earlier, common = None, {}
    if before and before.steps is not None and compares_steps(policy):
        earlier, common = limits.read_tables(before), common_cases(kept, before)
    nowhere: dict[str, str] = {}
    lost: dict[str, dict[str, str]] = {}
    owners: dict[str, set[str]] = {route: set() for route in routes}
    for case in kept.run.planned:
        if case.owner:
            owners[case.route].add(case.owner)
    for route in routes:
        for limit in map(limits.read_limit, policy.of(route).limits or ()):
            found = limits.measure(limit, tables, route)
            if found.value is None and limit.of_step and earlier and limit.text not in lost:
                lost[limit.text] = limits.lost_steps(limit, tables, earlier, common)
            why = lost.get(limit.text, {}).get(route, "") if found.value is None else ""
            why = why or _untold(limit, found, policy.max_infrastructure)
            if found.value is not None or why or not _is_absent(limit, tables, route):
                yield _limit_row(limit, found, route, tuple(sorted(owners[route])), why)
            elif limit.of_step and not any(
                limits.takes(limit, side) for side in (tables, earlier) if side
            ):
                nowhere[limit.text] = _say_nowhere(limit, tables, earlier)
            else:
                yield f"route {route}: nothing for {limit.text} to judge"
    yield from nowhere.values()


def _say_nowhere(limit: limits.Limit, tables: limits.Tables, earlier: limits.Tables | None) -> str:
    close = limits.alike(limit, tables)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return (
        f"{limit.text} looks at nothing: no trial of this run{' or the baseline' * bool(earlier)} "
        f"took a step named {limit.of!r}, on any route; a misspelt name would pass.{hint}"
    )


def _is_absent(limit: limits.Limit, tables: limits.Tables, route: str) -> bool:
    """Whether it is about a scorer or step that the run knows, only not on this route."""
    if limit.of_scorer:
        scored = observations(tables.scores, limit.of)
        here = any(tables.scores.cases[at] in scored for at in tables.routes[route].tolist())
        return limit.of in tables.scores.scorers and not here
    return limit.of_step and tables.recorded.steps is not None


def _untold(limit: limits.Limit, found: limits.Measured, most: float) -> str:
    """Why the limit cannot be judged where traces lack calls that it is about, if too many do."""
    if found.untold <= most * found.completed:
        return ""
    what = f"{limit.of} failed" if limit.of_step else "calls were tried again"
    return (
        f"{found.untold} of {found.completed} traces do not tell whether {what}: their "
        "instrumentation does not record all calls"
    )


def _limit_row(
    limit: limits.Limit,
    found: limits.Measured,
    route: str,
    owners: tuple[str, ...],
    lost: str,
) -> GateRow:
    """The row of a limit; ``lost`` says why what it is about is not recorded, if so.

    What is recorded may break it all the same.
    """
    side = "below the floor" if limit.floor else "above the ceiling"
    said = "" if found.value is None else f"measured {measured(found.value)}"
    if found.low is not None and found.high is not None:
        said += f", 95 % interval {measured(found.low)} to {measured(found.high)}"
    said += f", over {found.cases} cases"
    verdict: Verdict
    blocking = True
    broken = limits.breached(limit, found)
    if found.value is None or (lost and (limit.floor or not broken)):
        nothing = f"nothing was recorded that {limit.text} could look at"
        verdict, reason = "unmeasurable", lost or nothing
        if limit.of_scorer and limit.k:
            reason += f": no case has {limit.k} scored trials"
    elif broken:
        verdict, reason = "breached", f"{side} of {limit.bound:g}: {said}"
    elif limits.beyond(limit, found):
        verdict, reason = "unproven", f"{side} of {limit.bound:g}, but it may be chance: {said}"
        blocking = False
    else:
        verdict, reason = "ok", f"keeps {limit.text}: {said}"
    return GateRow(
        route=route,
        scorer=limit.text,
        verdict=verdict,
        baseline=None,
        candidate=found.value,
        difference=None,
        low=found.low,
        high=found.high,
        p=None,
        p_adjusted=None,
        broken=(),
        detectable=None,
        cases=found.cases,
        trials=found.trials,
        reason=reason,
        owners=owners,
        blocking=blocking,
        limit=limit.bound,
    )


def _quarantined(
    candidate: Recorded, baseline: Recorded | None, policy: GatePolicy, today: datetime.date
) -> Iterator[str]:
    """What became of the cases in quarantine, and of those whose time is up."""
    planned = {case.id for case in candidate.run.planned}
    for one in policy.quarantine:
        if one.case not in planned:
            if not candidate.run.selection:
                yield f"gate.quarantine: this run has no case {one.case!r}"
            continue
        why = f" ({one.reason})" if one.reason else ""
        if one.until < today:
            yield f"the quarantine of {one.case}{why} ended on {one.until}: it blocks again"
        else:
            said = "; ".join(_told(one, candidate, baseline, policy)) or "nothing was scored"
            yield f"{one.case} is in quarantine until {one.until}{why}, not judged: {said}"


def _told(
    one: Quarantine, candidate: Recorded, baseline: Recorded | None, policy: GatePolicy
) -> Iterator[str]:
    """The passes of a quarantined case, before and after."""
    if baseline is None:
        after = score_rows(candidate)
        for scorer in policy.all_on:
            now = observations(after, scorer).get(one.case)
            if now is not None:
                yield f"{scorer} passed {sum(now.passed):.0f}/{len(now.passed)}"
    else:
        routes = common_cases(candidate, baseline)
        common = tuple(case for cases in routes.values() for case in cases if case == one.case)
        after, before = score_rows(candidate), score_rows(baseline)
        for scorer in policy.all_on:
            found = pair(common, observations(after, scorer), observations(before, scorer))
            for was, now in zip(found.baseline, found.candidate, strict=True):
                then = f"{sum(was.passed):.0f}/{len(was.passed)}"
                yield f"{scorer} passed {then} → {sum(now.passed):.0f}/{len(now.passed)}"


def _prices(candidate: Recorded, baseline: Recorded | None) -> Iterator[str]:
    if baseline and candidate.run.suite.prices != baseline.run.suite.prices:
        yield "the price tables differ: costs in US dollars cannot be compared"


def _unknown(candidate: Recorded, policy: GatePolicy) -> Iterator[str]:
    """Policies for routes that the run does not have: a typing error would pass in silence."""
    if candidate.run.selection:
        return
    routes = {case.route for case in candidate.run.planned}
    for route in policy.routes:
        if route not in routes:
            yield f"gate.routes: this run has no route {route!r}"
