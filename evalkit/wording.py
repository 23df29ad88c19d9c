"""What a person reads beside a verdict: the sentence of a row, and the notes of a report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from evalkit.comparison import Paired
from evalkit.confirming import Confirmation, Confirmed
from evalkit.measurement import Side, name_some
from evalkit.observations import score_rows
from evalkit.phrasing import plural, signed
from evalkit.reports import GateRow
from evalkit.results import Recorded
from evalkit.settling import Settled
from evalkit.verdicts import Judgement

_MOST_FLAKY = 3


def say_verdict(settled: Settled, judged: int) -> str:
    """The decision in one sentence, with the case means before and after.

    The means are those of some or all of the ``judged`` cases.
    """
    found, paired, moved, confirmed = settled
    was, now = paired.means
    went = "fell" if now < was else "rose" if now > was else "stayed"
    change = f"from {was:.2f} to {now:.2f}" if went != "stayed" else f"at {now:.2f}"
    count = plural(len(paired.cases), "case")
    over = count if len(paired.cases) >= judged else f"{len(paired.cases)} of {judged} cases"
    size, low, high = found.interval
    again = confirmed is not None and confirmed.trials and not settled.fresh
    of = " of the trials made again" if again else ""
    p = "" if went == "rose" else f"; p {found.p_adjusted:.2g}{of}"  # p is for a drop
    mean = (
        f"mean {went} {change} over {over} "
        f"({signed(size)}, 95 % interval {signed(low)} to {signed(high)}{p})"
    )
    if found.verdict == "broken":
        return f"{_say_broken(moved, found.broken)}; {mean}"
    if found.verdict == "inconclusive" and found.attainable > found.level:
        return (
            f"too little data to tell: even if all of {count} had gone from always passing to "
            f"always failing, p would be {found.attainable:.2g}; {_needed(paired, found)}"
        )
    if found.verdict == "ok" and found.detectable is not None:
        return f"{mean}; a drop of {found.detectable:.2f} would show with 80 % power in one stage"
    return mean


def say_unjudged(recorded: Recorded) -> Iterator[str]:
    """A note for each scorer that could not judge some trials of a run, with its commonest reason.

    In a table these trials are marked with ``*``.
    """
    rows = score_rows(recorded)
    for number, scorer in enumerate(rows.scorers):
        mine = rows.scorer == number
        failed = rows.row[mine & rows.failed]
        if not len(failed):
            continue
        counted = recorded.scores["reason"].take(failed).value_counts().to_pylist()
        most = max(counted, key=lambda one: one["counts"])
        why = most["values"] or "its score is not sound"
        others = "" if len(counted) == 1 else f" ({most['counts']} times; and other reasons)"
        yield f"* {scorer} could not judge {len(failed)} of {int(mine.sum())} trials: {why}{others}"


def _say_broken(paired: Paired, broken: tuple[str, ...]) -> str:
    """Which cases broke, wholly or in part."""
    rows = zip(paired.cases, paired.baseline, paired.candidate, strict=True)
    mine = [(was, now) for case, was, now in rows if case in broken]
    whole = all(all(was.passed) and not any(now.passed) for was, now in mine)
    one = len(broken) == 1
    if whole:
        what = f"that always passed now always {'fails' if one else 'fail'}"
    else:
        what = f"{'passes' if one else 'pass'} less often than before"
    return f"{len(broken)} {'case' if one else 'cases'} {what}: {name_some(broken)}"


def say_confirmed(reason: str, found: Confirmed, stored: tuple[float, float] | None) -> str:
    """The sentence of a verdict with what the re-runs had to do with it.

    ``stored`` are the means of the stored trials, where fresh ones took their place.
    """
    why = found.why
    if found.contradiction and why != found.contradiction.said:
        reason = f"{reason}; {found.contradiction.said}"
    elif why and found.unmeasured and not found.contradiction:
        why = f"{why}: {name_some(found.unmeasured)}"
    if why:
        return f"{why}; it rests on {found.trials} trials made again; {reason}"
    if not found.trials:
        return f"{reason}; nothing to confirm"
    said = "confirmed by" if found.verdict in ("regressed", "broken") else "not confirmed by"
    said = f"{said} {found.trials} trials made again in both versions"
    if stored is not None:
        return f"{reason}; {said}, in place of the stored ones ({_moved(*stored)})"
    if found.fresh is None:
        return f"{reason}; {said}"
    return (
        f"{reason}; {said} ({plural(len(found.fresh.cases), 'case')}: {_moved(*found.fresh.means)})"
    )


def say_unpaid(made: Sequence[Confirmation], most: int | None) -> Iterator[str]:
    """A note where re-runs ended since ``max_trials``, ``most``, has no room for the next round."""
    unpaid = sum(one.unpaid for one in made)
    if unpaid:
        yield (
            f"the re-runs ended after {sum(one.spent for one in made)} trials of both versions: "
            f"the next round takes {unpaid}, and at most {most} are allowed in all (max_trials). "
            "What they had not settled is inconclusive"
        )


def _moved(before: float, after: float) -> str:
    return f"{before:.2f} → {after:.2f}"


def _needed(paired: Paired, found: Judgement) -> str:
    """What it takes for the worst outcome to show, at the correction that applied here."""
    per_case = found.attainable ** (1 / len(paired.cases))
    cases = max(len(paired.cases) + 1, int(np.ceil(np.log(found.level) / np.log(per_case))))
    trials = paired.trials / len(paired.cases) / 2
    return f"it takes at least {cases} cases of {trials:.3g} trials in each run, or more trials"


def report_notes(after: Side, before: Side | None) -> list[str]:
    """What a reader must know beside the verdicts."""
    notes = [note for side in (before, after) if side for note in _run_notes(side, side is after)]
    if before is None:
        return notes
    old, new = before.recorded.run, after.recorded.run
    if old.id == new.id:
        notes.append("this is one run compared with itself: no difference can show")
    if old.suite.name != new.suite.name:
        notes.append(f"the baseline is of suite {old.suite.name}, this run of {new.suite.name}")
    tried = {case.id for case in new.planned}
    absent = [case.id for case in old.planned if case.id not in tried]
    if new.selection and absent:
        judged = (
            f"{plural(len(absent), 'case')} of the baseline {'is' if len(absent) == 1 else 'are'}"
        )
        notes.append(f"only a selection was run: {judged} not judged ({new.selection})")
    if old.selection:
        notes.append(
            f"the baseline {old.id} is of a selection ({old.selection}), not of the whole dataset:"
            f" {plural(len(old.planned), 'case')}, {name_some(case.id for case in old.planned)}"
        )
    digests = {case.id: case.digest for case in old.planned}
    added = [case.id for case in new.planned if case.id not in digests]
    changed = [case.id for case in new.planned if digests.get(case.id, case.digest) != case.digest]
    if added:
        notes.append(f"cases that the baseline does not have, not compared: {name_some(added)}")
    if changed:
        notes.append(f"cases that changed since the baseline, not compared: {name_some(changed)}")
    if old.dataset_digest != new.dataset_digest:
        notes.append("the dataset changed since the baseline: cases that are the same are compared")
    if old.settings != new.settings:
        notes.append(f"the settings changed: {_differences(old.settings, new.settings)}")
    if old.scopes != new.scopes:
        notes.append(
            f"the instrumentation changed: {_differences(old.scopes, new.scopes)}; "
            "steps may be recorded differently"
        )
    return notes


def without_reruns(why: str) -> str:
    """The note of a gate that decides on the stored trials alone."""
    return (
        f"no re-runs: {why}. Decided on the stored trials alone: the false-alarm rate holds only if"
        " nothing but the pipeline differed while the two runs were made, and small drops or single"
        " broken cases are found less often (docs/gate.md)"
    )


def _run_notes(side: Side, is_candidate: bool) -> list[str]:
    run, trials = side.recorded.run, side.trials
    name = "candidate" if is_candidate else "baseline"
    notes = []
    failed = int((~trials.completed).sum())
    if failed:
        notes.append(
            f"{name}: {failed} of {len(trials.case)} trials failed for infrastructure reasons "
            "and are not counted as wrong answers"
        )
    done = np.bincount(trials.case[trials.completed], minlength=len(run.planned))
    none = [case.id for case, count in zip(run.planned, done, strict=True) if not count]
    if none:
        notes.append(f"{name}: cases without a completed trial: {name_some(none)}")
    if run.status != "complete":
        notes.append(f"{name}: the run is {run.status}, not complete")
    if run.stray_spans:
        notes.append(f"{name}: {run.stray_spans} spans belong to no trial")
    strays = side.recorded.trials.num_rows - len(trials.case)
    if strays:
        notes.append(f"{name}: {strays} trials are of cases that were not planned, and ignored")
    return notes


def _differences(old: Mapping[str, object], new: Mapping[str, object]) -> str:
    keys = [
        key for key in {**old, **new} if (key in old, old.get(key)) != (key in new, new.get(key))
    ]
    return ", ".join(f"{key} {_value(old, key)} → {_value(new, key)}" for key in keys)


def _value(values: Mapping[str, object], key: str) -> object:
    if key not in values:
        return "not set"
    return "no version" if values[key] == "" else values[key]


def say_missing(missing: tuple[str, ...]) -> str:
    """Which cases of the baseline this run did not plan."""
    if not missing:
        return "this run has no case on this route"
    return f"{plural(len(missing), 'case')} of the baseline not in this run: {name_some(missing)}"


def say_unmeasured(cases: tuple[str, ...]) -> str:
    """Which cases of the baseline have no scores now, though they were tried."""
    count, one = plural(len(cases), "case"), len(cases) == 1
    return (
        f"{count} with scores in the baseline {'has' if one else 'have'} none now, in "
        f"any trial: {name_some(cases)}"
    )


def say_flaky(rows: Iterable[GateRow]) -> list[str]:
    """The cases whose trials disagree within a version, the flakiest by name; none, no note."""
    known = [(one, row) for row in rows for one in row.flaky]
    if not known:
        return []
    known.sort(key=lambda pair: -pair[0].probability)
    named = "; ".join(
        f"{one.case} ({row.route}, {row.scorer}): {one.probability:.0%}, 95 % interval "
        f"{one.low:.0%} to {one.high:.0%}"
        for one, row in known[:_MOST_FLAKY]
    )
    return [f"flaky, two trials of one version disagree with a probability of: {named}"]
