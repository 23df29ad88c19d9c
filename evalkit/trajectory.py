"""What happened: a trace read as an ordered, nested list of steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

import msgspec

StepKind = Literal[
    "workflow",
    "agent",
    "node",
    "llm",
    "tool",
    "retriever",
    "reranker",
    "embedding",
    "guardrail",
    "handoff",
    "other",
]
STEP_KINDS: tuple[str, ...] = get_args(StepKind)

MAX_DEPTH = 100
"""Steps nest at most this deep; the normalizer lifts deeper ones to this level."""

MAX_NS = 2**63 - 1
"""The last moment, in nanoseconds since the epoch, that is stored: in the year 2262."""


# A step is no part of what it holds: the cyclic collector need not look at it.
class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One thing that the pipeline did. ``None`` means unknown, never zero and never wrong.

    ``tokens_in`` is the whole prompt, cached tokens included; ``tokens_out`` includes reasoning.
    ``read_only`` is what the trace says of a tool (MCP's annotations), never a guess; ``offered``
    are the names of the tools that a model was offered, where the trace tells.
    ``ttft_s`` is the time to the first token in seconds. ``inferred`` says what was concluded
    from other evidence than the step's own span: ``call`` (only the model's messages show that
    the tool was called) or ``status`` (its result says that it failed).
    """

    kind: StepKind
    name: str
    arguments: Any = None
    output: Any = None
    status: Literal["ok", "error"] = "ok"
    error: str | None = None
    model_requested: str | None = None
    model_served: str | None = None
    provider: str | None = None
    stop_reason: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    tokens_reasoning: int | None = None
    cost_usd: float | None = None
    actor: Literal["agent", "user"] = "agent"
    read_only: bool | None = None
    offered: tuple[str, ...] | None = None
    ttft_s: float | None = None
    inferred: str | None = None
    agent: str | None = None
    call_id: str | None = None
    span_id: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    steps: tuple[Step, ...] = ()

    @property
    def label(self) -> str:
        """How a person names this step, for instance ``tool compliance_review``."""
        return f"{self.kind} {self.name}"

    @property
    def outcome_known(self) -> bool:
        """Whether anything tells how it ended: of a call that only the model's messages show, its
        result does."""
        return self.inferred != "call" or self.output is not None or self.status == "error"


class Visit(NamedTuple):
    """A step met on a walk: its number in pre-order, its depth, and its parent's number."""

    number: int
    depth: int
    parent: int | None
    step: Step


class Flat(NamedTuple):
    """All steps in pre-order, and the number of each one's parent; no parents where none nest."""

    steps: Sequence[Step]
    parents: Sequence[int | None]


class Unseen(msgspec.Struct, frozen=True, gc=False):
    """A call that a model asked for, of which nothing shows whether it took place."""

    kind: Literal["tool", "handoff"]
    name: str

    @property
    def label(self) -> str:
        """As :attr:`Step.label`."""
        return f"{self.kind} {self.name}"


class Coverage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of the spans of a trace: nothing is dropped without being counted.

    ``missing`` lists what the instrumentation did not tell, and a scorer thus cannot judge:
    ``model calls``, ``tool calls``, ``tool spans`` (calls known from the model's messages alone),
    ``arguments``, ``outputs``, ``text``, ``tokens`` (of a model's call at least), ``tokens per
    call`` (an agent's total alone is known), ``served model``. ``unseen`` are calls that models
    asked for, of which nothing shows whether they took place. ``mended`` counts spans that were
    odd together, by what was odd: they are in the steps. ``route_from`` says what the route was
    read from; ``service_version`` is what the traced service says its version is.
    """

    spans: int = 0
    wrappers: int = 0
    not_understood: int = 0
    quarantined: int = 0
    mended: dict[str, int] = {}
    unknown_keys: dict[str, int] = {}
    conventions: dict[str, int] = {}
    scopes: dict[str, str] = {}
    missing: tuple[str, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    route_from: str | None = None
    service_version: str | None = None


class EndState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the pipeline's real state was after the trial (JSON), or why it could not be read."""

    value: Any = None
    error: str | None = None


class Trajectory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """One execution of the pipeline: its steps in order of start, and what it answered.

    ``said`` are the messages that the user was sent, in order, where the recording tells.
    ``output`` is the final answer. ``route`` is the route taken, read from the trace. ``state``
    is the pipeline's real state afterwards, where a suite has it read.
    """

    steps: tuple[Step, ...] = ()
    output: Any = None
    said: tuple[str, ...] = ()
    route: str | None = None
    trace_id: str | None = None
    stop_reason: str | None = None
    session: str | None = None
    user: str | None = None
    coverage: Coverage = Coverage()
    state: EndState | None = None

    def walk(self) -> Iterator[Visit]:
        """Every step in pre-order, without recursion."""
        pending: list[tuple[int, int | None, Step]] = [
            (0, None, step) for step in reversed(self.steps)
        ]
        number = 0
        while pending:
            depth, parent, step = pending.pop()
            yield Visit(number, depth, parent, step)
            if step.steps:
                below = depth + 1
                pending += [(below, number, child) for child in reversed(step.steps)]
            number += 1

    def flat(self) -> Flat:
        """Every step in pre-order: the n-th is that of number n on a :meth:`walk`. Kept."""
        kept: Flat | None = vars(self).get("flattened")
        if kept is None:
            kept = vars(self)["flattened"] = self._flattened()
        return kept

    def _flattened(self) -> Flat:
        if not any(step.steps for step in self.steps):
            return Flat(self.steps, ())
        visits = list(self.walk())
        return Flat([visit.step for visit in visits], [visit.parent for visit in visits])

    @property
    def tokens_in(self) -> int | None:
        """Prompt tokens as far as they are recorded (``missing`` has ``tokens`` if not wholly)."""
        known: int | None = self.total("tokens_in").known
        return known

    @property
    def tokens_out(self) -> int | None:
        """Completion tokens as far as they are recorded, as for the prompt's."""
        known: int | None = self.total("tokens_out").known
        return known

    @property
    def cost_usd(self) -> float | None:
        """Cost in US dollars, as far as it is recorded."""
        known: float | None = self.total("cost_usd").known
        return known

    def total(self, field: str) -> Total:
        """The sum of ``tokens_in``, ``tokens_out`` or ``cost_usd``, as :func:`total` forms it."""
        flat = self.flat()
        values = [getattr(step, field) for step in flat.steps]
        calls = [step.status if step.kind == "llm" else None for step in flat.steps]
        return total(values, flat.parents or [None] * len(values), calls)

    @property
    def seconds(self) -> float | None:
        """From the first start to the last end that the steps tell; None where they do not.

        Nor do they where a step starts later than any is known to end, or all in one moment, or
        at what is no time in nanoseconds since the epoch.
        """
        steps = self.flat().steps
        starts = [step.start_ns for step in steps if step.start_ns is not None]
        ends = [step.end_ns for step in steps if step.end_ns is not None]
        if not starts or not ends:
            return None
        first, last = min(starts), max(ends)
        told = 0 <= first < last <= MAX_NS and max(starts) <= last
        return (last - first) / 1e9 if told else None


def in_order(steps: Sequence[Step]) -> list[Step]:
    """The steps and all below them in pre-order, as a walk meets them."""
    found: list[Step] = []
    pending = list(reversed(steps))
    while pending:
        step = pending.pop()
        found.append(step)
        if step.steps:
            pending += reversed(step.steps)
    return found


class Total(NamedTuple):
    """A field's sum over what reports it (None if nothing does), and whether that is all of it."""

    known: Any
    all: bool

    @property
    def sure(self) -> Any:
        """The sum; None where a part of it is not known."""
        return self.known if self.all else None


def total(
    values: Sequence[Any], parents: Sequence[int | None], calls: Sequence[str | None]
) -> Total:
    """A field summed so that nothing counts twice, from the innermost steps that report it.

    ``values`` are the field's, None where a step does not report it; ``parents`` the numbers of
    the steps' parents; ``calls`` the status of each step that is a model's call, None for others;
    all in pre-order. A model's call that succeeded owes a value: where one below a step does not
    report it, the step's own value, an agent's, stands for all below it if it is more than what is
    known there. A model's own value does not hold what the tools that it called used, but
    does hold those of calls directly within it.
    """
    if values.count(None) == len(values):
        return Total(None, "ok" not in calls)
    sums: dict[int | None, Any] = {}
    lacking: set[int | None] = set()
    around: set[int | None] = set()
    for number in range(len(values) - 1, -1, -1):
        value, status = values[number], calls[number]
        found, lacks = sums.get(number), number in lacking
        if value is None:
            if found is None and not lacks and status != "ok":
                continue
            lacks = lacks or (status == "ok" and (found is None or number not in around))
        elif found is None:
            found, lacks = value, lacks and status is not None and number not in around
        elif status is not None and number not in around:
            found += value
        elif lacks and value > found:
            found, lacks = value, False
        parent = parents[number]
        if found is not None:
            sums[parent] = found if parent not in sums else sums[parent] + found
        if lacks:
            lacking.add(parent)
        if status is not None:
            around.add(parent)
    return Total(sums.get(None), None not in lacking)
