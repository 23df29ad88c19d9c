"""Promotion: a recorded failure becomes a draft of a golden case, redacted, for a person to judge.

The expected path is proposed from what went well: the nearest golden case of the route, else the
nearest traces of it without any signal. What the failed trace did is never expected.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from evalkit.dataset import GROUP_KEYS, Case, Expected, ExpectedStep, Origin, OutcomeCheck
from evalkit.errors import InputError
from evalkit.golden import Duplicate, Golden, input_of
from evalkit.redaction import NOT_CHECKED, Redactor, Replaced
from evalkit.results import Trial
from evalkit.similarity import overlap, scalars, words
from evalkit.trajectory import Trajectory
from evalkit.triage import signals_in
from evalkit.triaging.norms import demands
from evalkit.triaging.signals import Signal, shape_of

NEAREST = 5
MAX_SHOWN = 200
_KINDS = ("node", "tool", "retriever", "reranker", "guardrail", "handoff")


class Draft(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A case that nobody has reviewed yet: it gates nothing. All of it is redacted.

    ``proposal`` says where the expected steps come from; ``path`` is what the trace did, a line
    a step; ``conflicts`` where accepted cases say otherwise; ``second_pass`` what looked for
    secrets once more; ``not_checked`` what redaction cannot find.
    """

    id: str
    case: Case
    dataset: str
    proposal: str
    signals: tuple[Signal, ...] = ()
    path: tuple[str, ...] = ()
    replaced: tuple[Replaced, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    conflicts: tuple[str, ...] = ()
    created: float = 0.0
    second_pass: str | None = None
    not_checked: str = NOT_CHECKED


class Promoting(NamedTuple):
    """What all drafts of one promotion share. ``run`` is the label of the traces' run."""

    golden: Golden
    redactor: Redactor
    dataset: str
    by: str
    run: str = ""
    input_path: str | None = None


class Proposal(msgspec.Struct, frozen=True):
    """What a case might expect, and in words where that comes from."""

    expect: Expected
    source: str


def draft(
    trial: Trial,
    promoting: Promoting,
    *,
    others: Iterable[Trial] = (),
    feedback: Sequence[Signal] = (),
) -> Draft:
    """A draft of a case from one trace. ``others`` are traces of which nobody complained, to find
    successful ones among.

    Raises InputError where the trace does not tell its input or route, and where an original
    value would be left in the draft.
    """
    golden, input_path = promoting.golden, promoting.input_path
    trajectory = trial.trajectory or Trajectory()
    route = trajectory.route or trial.route
    asked = input_of(trajectory, input_path)
    if asked is None:
        where = f" at {input_path}" if input_path else ""
        raise InputError(
            f"trace {trial.case[:MAX_SHOWN]} does not tell its input{where}: no step has "
            f"arguments there; record inputs, or say where they are with --input PATH"
        )
    if not route or route == "unknown":
        raise InputError(f"trace {trial.case[:MAX_SHOWN]} tells no route: see route_from")
    signals = (*signals_in(trial, golden), *feedback)
    rest = (one for one in others if one.case != trial.case)
    proposal = propose(asked, route, golden, rest, input_path)
    proposed = Case(
        id=_name(route, signals, trial.case),
        input=asked,
        route=route,
        expect=proposal.expect,
        owner=_owner(golden.of(route)),
        tags=tuple(
            dict.fromkeys(["production", *(one.kind for one in signals if not one.recovered)])
        ),
        source=Origin(
            kind="production",
            trace_id=trajectory.trace_id or trial.case,
            captured=_moment(trial.started),
            version=trajectory.coverage.service_version,
            promoted_by=promoting.by,
            notes=f"run {promoting.run}; expected steps proposed from {proposal.source}",
        ),
    )
    return _redacted(proposed, signals, trajectory, promoting, proposal.source)


def propose(
    asked: Any,
    route: str,
    golden: Golden,
    others: Iterable[Trial],
    input_path: str | None = None,
) -> Proposal:
    """What to expect of a route for an input: as its nearest golden cases, else as good traces.

    A golden case that asks the same is the nearest alone.

    Of a golden case, arguments and outcome checks that repeat something of its own input are
    left out: they are about that input. Without either nothing is proposed.
    """
    wanted = words(asked)
    ranked = [pair for pair in golden.ranked(wanted, route) if pair[1].expect.references]
    if ranked:
        same = [case for alike, case in ranked if alike == 1.0]
        return _from_golden(same[:1] or [case for _, case in ranked[:NEAREST]])
    good = [
        (overlap(wanted, words(input_of(trial.trajectory, input_path))), trial)
        for trial in others
        if trial.trajectory
        and (trial.trajectory.route or trial.route) == route
        and trial.status == "completed"
        and not signals_in(trial, golden)
    ]
    if not good:
        return Proposal(Expected(), "nothing: no golden case and no good trace of this route")
    nearest_traces = sorted(good, key=lambda pair: -pair[0])[:NEAREST]
    shapes = Counter(
        tuple(
            label
            for label in shape_of((trial.trajectory or Trajectory()).walk())
            if _is_step(label)
        )
        for _, trial in nearest_traces
    )
    shape, count = shapes.most_common(1)[0]
    steps = tuple(_step(label) for label in shape)
    return Proposal(Expected(steps=steps), f"{count} of the {len(nearest_traces)} nearest traces")


def _from_golden(ranked: Sequence[Case]) -> Proposal:
    """The commonest path among the nearest golden cases, as the nearest of these states it.

    Of the outcome, what most of those that take that path agree on.
    """
    paths = [demands(case) for case in ranked]
    commonest = Counter(paths).most_common(1)[0][0]
    alike = [case for case, path in zip(ranked, paths, strict=True) if path == commonest]
    agreed = [
        check
        for check in _borrowed(alike[0]).outcome
        if 2 * sum(check in case.expect.outcome for case in alike) > len(alike)
    ]
    expect = msgspec.structs.replace(_borrowed(alike[0]), outcome=tuple(agreed))
    more = f" and {len(alike) - 1} more of the nearest" if len(alike) > 1 else ""
    return Proposal(expect, f"golden case {alike[0].id}{more}")


def _redacted(
    case: Case,
    signals: Sequence[Signal],
    trajectory: Trajectory,
    promoting: Promoting,
    source: str,
) -> Draft:
    """The draft with everything replaced; the whole trace is looked at, for what it gives away.

    Route and owner stay: they are names of the project's own.
    """
    redactor = promoting.redactor
    redactor.redact(msgspec.to_builtins([trajectory, case.input]))
    told = redactor.redact(msgspec.to_builtins([case, list(signals), _path(trajectory)]))
    clean = msgspec.convert(told.value[0], Case)
    clean = msgspec.structs.replace(
        clean, id=_slug(clean.id), route=case.route, owner=case.owner, tags=case.tags
    )
    found = Draft(
        id=clean.id,
        case=clean,
        dataset=promoting.dataset,
        proposal=source,
        signals=msgspec.convert(told.value[1], tuple[Signal, ...]),
        path=tuple(told.value[2]),
        replaced=told.replaced,
        duplicates=promoting.golden.duplicates(clean),
        conflicts=promoting.golden.conflicts(clean),
        created=time.time(),
        second_pass=redactor.second.said if redactor.second else None,
    )
    leaked = redactor.leaks(msgspec.json.encode(found))
    if leaked:
        kinds = ", ".join(sorted(set(leaked)))
        raise InputError(f"draft {found.id}: {kinds} could not be redacted; nothing is written")
    return found


def _borrowed(case: Case) -> Expected:
    """A golden case's expectation without what is about its own input."""
    own = scalars(case.input)
    expect = case.expect
    return Expected(
        outcome=tuple(check for check in expect.outcome if _is_general(check, own)),
        steps=None if expect.steps is None else tuple(_general(one, own) for one in expect.steps),
        paths=None
        if expect.paths is None
        else tuple(tuple(_general(one, own) for one in path) for path in expect.paths),
        match=expect.match,
        args=expect.args,
        never=expect.never,
        limits=expect.limits,
        ignore=expect.ignore,
    )


def _is_general(check: OutcomeCheck, own: frozenset[Any]) -> bool:
    stated = scalars(msgspec.to_builtins(check))
    return not any(_repeats(one, own) for one in stated)


def _general(step: ExpectedStep, own: frozenset[Any]) -> ExpectedStep:
    """A step without arguments that repeat the input, in groups as well."""
    groups = {
        name: tuple(
            _general(one, own)
            if isinstance(one, ExpectedStep)
            else tuple(_general(inner, own) for inner in one)
            for one in listed
        )
        for name in GROUP_KEYS
        if (listed := getattr(step, name)) is not None
    }
    kept = {
        key: value
        for key, value in (step.args or {}).items()
        if not any(_repeats(one, own) for one in scalars(value))
    }
    return msgspec.structs.replace(step, args=kept or None, **groups)


def _repeats(stated: Any, own: frozenset[Any]) -> bool:
    """Whether a value is one of the input's, or a text of it is found in one."""
    if stated in own:
        return True
    return isinstance(stated, str) and any(
        isinstance(one, str) and len(one) > 3 and one.lower() in stated.lower() for one in own
    )


def _is_step(label: str) -> bool:
    return label.partition(" ")[0] in _KINDS


def _step(label: str) -> ExpectedStep:
    kind, _, name = label.partition(" ")
    return msgspec.convert({kind: name or "unnamed"}, ExpectedStep)


def _owner(cases: Sequence[Case]) -> str | None:
    owners = Counter(case.owner for case in cases if case.owner)
    return owners.most_common(1)[0][0] if owners else None


def _path(trajectory: Trajectory) -> list[str]:
    """What the trace did, a line a step, with how failed steps failed."""
    lines = []
    for visit in trajectory.walk():
        step = visit.step
        failed = f": {step.error or 'failed'}"[:MAX_SHOWN] if step.status == "error" else ""
        lines.append(f"{'  ' * min(visit.depth, 10)}{step.label[:MAX_SHOWN]}{failed}")
    return lines[:500]


def _name(route: str, signals: Sequence[Signal], trace: str) -> str:
    problem = signals[0].kind if signals else "reported"
    return f"{route} {problem} {trace[:12]}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:120] or "case"


def _moment(started: float) -> str | None:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)) if started else None
