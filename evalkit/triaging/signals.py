"""Signals: what in one trace's path says that something went wrong. Pure functions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from evalkit.model_names import served_evidence
from evalkit.trajectory import Step, Trajectory, Visit
from evalkit.values import canonical

if TYPE_CHECKING:
    import re2

SignalKind = Literal[
    "timeout",
    "error",
    "policy_breach",
    "missing_step",
    "loop",
    "silent_fallback",
    "injection",
    "cut_off",
    "no_stop_reason",
    "no_answer",
    "over_budget",
    "retry",
    "duplicate_retrieval",
    "thumbs_down",
    "escalated",
    "reopened",
    "overridden",
]
SIGNALS: tuple[str, ...] = get_args(SignalKind)
"""Every signal, those that tell most first: the first that a trace has names its problem."""

MAX_TEXT = 400
MAX_SCANNED = 20_000
MAX_INJECTIONS = 5
LOOP_TIMES = 3
"""A step with the same arguments this often, or a sequence of steps, is a loop."""

_STEPS = frozenset({"tool", "retriever", "reranker", "llm", "guardrail", "handoff", "embedding"})
_TIMEOUT = re.compile(r"(?i)time[sd]?[ -]?out|deadline exceeded|no (?:answer|response) (?:with)?in")
_CUT = frozenset({"length", "max_tokens", "max_output_tokens", "MAX_TOKENS", "content_filter"})
_INJECTION = (
    r"(?i)\b(?:ignore|disregard|forget|override)\b[^.\n]{0,40}\b(?:instructions?|prompts?|rules"
    r"|polic(?:y|ies)|guidelines)\b|\bto any (?:ai|assistant|llm|language model)\b"
    r"|<!--\s*(?:assistant|ai|system)\b|\bdo not (?:tell|inform) the (?:user|customer)\b"
    r"|\byou are now (?:in )?(?:a|an|dan|developer|admin)\b|<\|im_start\|>|\[/?INST\]"
)
_VARYING = re.compile(r"0x[0-9a-fA-F]+|[0-9a-fA-F]{8,}|\d[\d.,:]*|'[^']*'|\"[^\"]*\"")


class Signal(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong: at which step (its label, its number in the walk), and what.

    ``recovered`` says of a failure that the step was done again, or by another model, and went
    well: any other signal of the trace tells more.
    """

    kind: SignalKind
    step: str = ""
    number: int | None = None
    text: str = ""
    recovered: bool = False


def by_weight(signals: Iterable[Signal]) -> tuple[Signal, ...]:
    """Signals, the one that tells most first: in the order of SIGNALS, recovered ones last."""
    return tuple(sorted(signals, key=lambda one: (one.recovered, SIGNALS.index(one.kind))))


def signals_of(trajectory: Trajectory, visits: Sequence[Visit] | None = None) -> tuple[Signal, ...]:
    """What one trace shows by itself, each kind once per step, what tells most first.

    Of injections, each that reads differently.

    ``visits`` are its walk, where the caller has made it already.
    """
    walked = list(trajectory.walk()) if visits is None else visits
    found = [
        *_failures(walked),
        *_repetitions(walked),
        *_models(walked),
        *_injections(walked),
        *_endings(trajectory, walked),
    ]
    first: dict[tuple[str, ...], Signal] = {}
    for one in by_weight(found):
        what = one.text if one.kind == "injection" else ""
        first.setdefault((one.kind, one.step, what), one)
    return tuple(first.values())


def shape_of(visits: Iterable[Visit]) -> tuple[str, ...]:
    """The labels of the steps in order, models' calls left out: which path was taken."""
    return tuple(visit.step.label for visit in visits if visit.step.kind != "llm")


def tool_timeouts(visits: Iterable[Visit]) -> float | None:
    """The share of a trace's tool calls that timed out, in [0, 1]; None without tool calls."""
    tools = [visit.step for visit in visits if visit.step.kind == "tool"]
    return sum(map(_timed_out, tools)) / len(tools) if tools else None


def template(text: str) -> str:
    """A text without what varies from case to case: numbers, ids and what is quoted."""
    return _VARYING.sub("#", text[:MAX_TEXT])[:200]


def injections_in(value: Any) -> list[str]:
    """The words in the texts of a value that speak to the model, at most five that differ."""
    text = "\n".join(_texts(value)).encode("utf-8", "replace")
    found = (
        match[0].decode("utf-8", "replace")[:MAX_TEXT] for match in _injection().finditer(text)
    )
    return list(islice(dict.fromkeys(found), MAX_INJECTIONS))


def _failures(visits: Sequence[Visit]) -> Iterator[Signal]:
    """Failed steps, the innermost ones: what encloses a failed step fails with it."""
    failed = [visit for visit in visits if visit.step.status == "error"]
    if not failed:
        return
    enclosing = {visit.parent for visit in failed}
    good = {_task(visit): visit.number for visit in visits if visit.step.status == "ok"}
    for visit in failed:
        if visit.number in enclosing:
            continue
        kind: SignalKind = "timeout" if _timed_out(visit.step) else "error"
        recovered = good.get(_task(visit), -1) > visit.number
        text = _said(visit.step)
        yield Signal(kind, visit.step.label, visit.number, text, recovered=recovered)


def _task(visit: Visit) -> Hashable:
    """What a step was to do: a call with its arguments; any model may answer in its place."""
    step = visit.step
    name = visit.parent if step.kind == "llm" else step.name
    return step.kind, name, canonical(step.arguments)


def _repetitions(visits: Sequence[Visit]) -> Iterator[Signal]:
    """Steps done again: after a failure a retry, of a retriever a duplicate, thrice a loop."""
    candidates = [
        visit
        for visit in visits
        if visit.step.kind in _STEPS
        and (visit.step.kind != "llm" or visit.step.arguments is not None)
    ]
    often = Counter((visit.step.kind, visit.step.name) for visit in candidates)
    done: dict[Hashable, list[Visit]] = {}
    for visit in candidates:
        step = visit.step
        if often[step.kind, step.name] == 1:
            continue
        earlier = done.setdefault((step.kind, step.name, canonical(step.arguments)), [])
        if earlier:
            failed = earlier[-1].step.status == "error"
            if len(earlier) + 1 >= LOOP_TIMES and not failed:
                yield Signal("loop", step.label, visit.number, f"{len(earlier) + 1} times")
            elif failed:
                yield Signal("retry", step.label, visit.number)
            elif step.kind == "retriever":
                yield Signal("duplicate_retrieval", step.label, visit.number)
        earlier.append(visit)
    yield from _cycle([visit for visit in visits if visit.step.kind in ("tool", "retriever")])


def _cycle(visits: Sequence[Visit]) -> Iterator[Signal]:
    """A sequence of two to eight steps that comes three times in a row, arguments aside."""
    labels = [visit.step.label for visit in visits]
    for period in range(2, 9):
        same = 0
        for at in range(period, len(labels)):
            same = same + 1 if labels[at] == labels[at - period] else 0
            if same == period * (LOOP_TIMES - 1) and len(set(labels[at - period : at])) > 1:
                yield Signal("loop", labels[at], visits[at].number, f"every {period} steps")
                return


def _models(visits: Sequence[Visit]) -> Iterator[Signal]:
    """Another model than the one asked for answered, and no step says that one failed."""
    for number, _, _, step in visits:
        asked, served = step.model_requested, step.model_served
        if step.status != "error" and served_evidence(asked, served) == "mismatch":
            yield Signal("silent_fallback", step.label, number, f"asked for {asked}, got {served}")


def _injections(visits: Sequence[Visit]) -> Iterator[Signal]:
    """Retrieved content that speaks to the model: where each first came in."""
    seen: set[str] = set()
    for number, _, _, step in visits:
        if step.kind not in ("retriever", "tool", "reranker") or step.output is None:
            continue
        for found in injections_in(step.output):
            if found not in seen:
                seen.add(found)
                yield Signal("injection", step.label, number, found)


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value in order, up to a limit of characters."""
    pending, left = [value], MAX_SCANNED
    while pending and left > 0:
        one = pending.pop()
        if isinstance(one, str):
            yield one[:left]
            left -= len(one)
        elif isinstance(one, dict):
            pending.extend(reversed(one.values()))
        elif isinstance(one, list | tuple):
            pending.extend(reversed(one))


@cache
def _injection() -> re2._Regexp[bytes]:
    import re2

    return re2.compile(_INJECTION.encode())


def _endings(trajectory: Trajectory, visits: Sequence[Visit]) -> Iterator[Signal]:
    """How models' calls ended, and whether the trace has an answer at all."""
    for number, _, _, step in visits:
        if step.kind != "llm" or step.status == "error":
            continue
        if step.stop_reason in _CUT:
            yield Signal("cut_off", step.label, number, str(step.stop_reason))
        elif step.stop_reason is None:
            yield Signal("no_stop_reason", step.label, number)
    if not _has_answer(trajectory):
        last = visits[-1] if visits else None
        if last:
            yield Signal("no_answer", last.step.label, last.number, "the trace ends here")
        else:
            yield Signal("no_answer", text="no steps")


def _has_answer(trajectory: Trajectory) -> bool:
    if trajectory.output is not None or trajectory.said:
        return True
    root = trajectory.steps[-1] if trajectory.steps else None
    return root is not None and root.output not in (None, "", {}, [])


def _timed_out(step: Step) -> bool:
    return step.status == "error" and _TIMEOUT.search(_said(step)) is not None


def _said(step: Step) -> str:
    """How a failed step says that it failed."""
    return (step.error or ", ".join(_texts(step.output)))[:MAX_TEXT]
