"""What should happen: golden cases, the steps they expect, and where each one came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec

STEP_KEYS = (
    "step",
    "node",
    "tool",
    "retriever",
    "reranker",
    "llm",
    "agent",
    "guardrail",
    "handoff",
)
"""The keys that name an expected step: one of them, or a group. ``step`` is of any kind."""

GROUP_KEYS = ("any_of", "parallel")
"""The keys of a group of steps: alternatives, or steps in any order."""

PREDICATES = frozenset(
    {"any", "one_of", "ge", "le", "regex", "contains", "approx", "absent", "equals", "ordered"}
)
"""An object whose keys are all of these is a predicate on an argument, not a plain value."""

MatchMode = Literal["exact", "in_order", "any_order", "superset", "unordered", "subset", "effects"]
ArgumentsMode = Literal["stated", "exact", "ignore"]

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Rubric = Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]


_named = attrgetter(*STEP_KEYS, *GROUP_KEYS)
_UNNAMED = len(STEP_KEYS) + len(GROUP_KEYS) - 1


class Times(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How often: at least ``ge`` times, at most ``le`` times (None: without limit)."""

    ge: Annotated[int, msgspec.Meta(ge=0)] = 0
    le: Annotated[int, msgspec.Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        if self.le is not None and self.le < max(self.ge, 1):
            raise ValueError(f"`times`: no count is both >= {self.ge} and <= {self.le}, and not 0")


# Here and below, ``gc=False``: what a file holds is in no cycle, so the collector need not look.
class ExpectedStep(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """A step that should happen: its kind and name, and what its arguments hold; or a group.

    Exactly one of ``step``, ``node``, ``tool``, ``retriever``, ``reranker``, ``llm``, ``agent``,
    ``guardrail``, ``handoff`` names it, or it is a group: ``any_of`` lists alternatives,
    ``parallel`` what happens in any order at this place. A list within a group is a sequence of
    steps. ``times`` says how often, one number or a range. ``after`` names expected steps (by
    ``id``, else by name) that must come before it. ``status`` is how the actual step must have
    ended; without it any will do, but a state change must have succeeded where effects are
    compared.
    """

    step: Name | None = None
    node: Name | None = None
    tool: Name | None = None
    retriever: Name | None = None
    reranker: Name | None = None
    llm: Name | None = None
    agent: Name | None = None
    guardrail: Name | None = None
    handoff: Name | None = None
    any_of: (
        Annotated[tuple[ExpectedStep | tuple[ExpectedStep, ...], ...], msgspec.Meta(min_length=1)]
        | None
    ) = None
    parallel: (
        Annotated[tuple[ExpectedStep | tuple[ExpectedStep, ...], ...], msgspec.Meta(min_length=1)]
        | None
    ) = None
    args: dict[str, Any] | None = None
    optional: bool = False
    after: tuple[Name, ...] = ()
    id: Name | None = None
    actor: Literal["agent", "user"] = "agent"
    times: Annotated[int, msgspec.Meta(ge=1)] | Times | None = None
    status: Literal["ok", "error", "any"] | None = None

    def __post_init__(self) -> None:
        if _named(self).count(None) != _UNNAMED:
            keys = (*STEP_KEYS, *GROUP_KEYS)
            named = [key for key in keys if getattr(self, key) is not None]
            found = " and ".join(f"`{key}`" for key in named) or "none of them"
            raise ValueError(f"a step has exactly one of {', '.join(keys)}: {found}")

    @property
    def kind(self) -> str | None:
        """``tool``, ``node``, ...; ``step`` for a step of any kind; None for a group."""
        if self.tool is not None:  # by far the most frequent
            return "tool"
        return next((key for key in STEP_KEYS if getattr(self, key) is not None), None)

    @property
    def name(self) -> str | None:
        """The name that the step must have; None for a group."""
        return self.tool or (getattr(self, self.kind) if self.kind else None)

    @property
    def members(self) -> tuple[tuple[ExpectedStep, ...], ...]:
        """What a group lists, a single step as a sequence of one; of a step, nothing."""
        listed = self.any_of or self.parallel or ()
        return tuple((one,) if isinstance(one, ExpectedStep) else one for one in listed)

    @property
    def is_single(self) -> bool:
        """Whether one actual step satisfies it: a named step, or a choice of such."""
        return self.parallel is None and all(
            len(listed) == 1 and listed[0].is_single and listed[0].times is None
            for listed in self.members
        )

    @property
    def alternatives(self) -> tuple[ExpectedStep, ...]:
        """All named steps in it: itself, or those of its members, flattened."""
        if self.kind is not None:
            return (self,)
        return tuple(one for listed in self.members for step in listed for one in step.alternatives)

    @property
    def label(self) -> str:
        """How a person names this step, for instance ``tool compliance_review``."""
        if self.kind is not None:
            return f"{self.kind} {self.name}"
        parts = [" then ".join(one.label for one in listed) for listed in self.members]
        return (" or " if self.any_of else " and ").join(parts)


class OutcomeCheck(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """One check of the answer; exactly one of the checks below, on the value at ``path``.

    ``path`` is a dotted path into the answer (``decision``, ``items[0].sku``); without it the
    whole answer is checked. ``said`` looks at everything that was said to the user, ignoring case
    and thousands separators. ``finished`` asks that nothing cut the trial off, as far as its stop
    reason tells. ``function`` is ``package.module:object``, called with the answer. ``passed``
    names another scorer of the suite, whose score must be a pass. ``judge`` is a rubric of this
    case: the suite's judge model must find that it is met.
    ``unrecorded`` says what success rests on besides, where no recording tells: it can never be
    judged.
    """

    equals: Any = msgspec.UNSET
    contains: str | tuple[str, ...] | None = None
    not_contains: str | tuple[str, ...] | None = None
    regex: str | None = None
    one_of: tuple[Any, ...] | None = None
    ge: float | None = None
    le: float | None = None
    approx: float | None = None
    tolerance: NonNegative | None = None
    json_schema: dict[str, Any] | None = None
    said: Name | None = None
    finished: Literal[True] | None = None
    function: str | None = None
    passed: Name | None = None
    judge: Rubric | None = None
    unrecorded: Name | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if not self.checks:
            raise ValueError("an outcome check needs one of " + ", ".join(OUTCOME_CHECKS))
        if len(self.checks) > 1:
            found = " and ".join(f"`{check}`" for check in self.checks)
            raise ValueError(f"an outcome check has one check, found {found}: write two checks")
        if self.tolerance is not None and self.approx is None:
            raise ValueError("`tolerance` goes with `approx`")
        if self.path is not None and self.checks[0] in WITHOUT_PATH:
            raise ValueError(f"`path` is a path into the answer: `{self.checks[0]}` has none")

    @property
    def checks(self) -> tuple[str, ...]:
        """The names of the checks that are stated."""
        stated = [key for key in OUTCOME_CHECKS[1:] if getattr(self, key) is not None]
        return (*(["equals"] if self.equals is not msgspec.UNSET else []), *stated)


OUTCOME_CHECKS = (
    "equals",
    "contains",
    "not_contains",
    "regex",
    "one_of",
    "ge",
    "le",
    "approx",
    "json_schema",
    "said",
    "finished",
    "function",
    "passed",
    "judge",
    "unrecorded",
)
WITHOUT_PATH = frozenset({"finished", "passed", "judge", "unrecorded"})
"""The checks that do not look at the answer."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The most that one trial may take."""

    steps: Annotated[int, msgspec.Meta(ge=0)] | None = None
    tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    cost_usd: NonNegative | None = None
    seconds: NonNegative | None = None


class Expected(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, dict=True
):
    """What a case expects of the answer, of the path, and of what it takes.

    ``steps=()`` means that no tool may be called; ``steps=None`` says nothing about the path.
    ``paths`` are several acceptable lists of steps in place of ``steps``: the best one counts.
    ``ignore`` names arguments that are never compared, by tool (``*`` is every tool): paths into
    the arguments, such as ``meta.trace`` and ``items[0].at``.
    """

    outcome: tuple[OutcomeCheck, ...] = ()
    steps: tuple[ExpectedStep, ...] | None = None
    match: MatchMode = "in_order"
    args: ArgumentsMode = "stated"
    never: tuple[ExpectedStep, ...] = ()
    limits: Limits | None = None
    # What the pipeline's real state must hold afterwards: one more outcome check.
    state: Any = msgspec.UNSET
    paths: Annotated[tuple[tuple[ExpectedStep, ...], ...], msgspec.Meta(min_length=1)] | None = None
    ignore: dict[Name, tuple[Name, ...]] = {}

    def __post_init__(self) -> None:
        if self.paths is not None and self.steps is not None:
            raise ValueError("state `steps`, or several `paths`, not both")

    @property
    def references(self) -> tuple[tuple[ExpectedStep, ...], ...]:
        """The acceptable lists of steps: none if the case says nothing about the path."""
        if self.paths is not None:
            return self.paths
        return () if self.steps is None else (self.steps,)

    @property
    def calls_nothing(self) -> bool:
        """Whether every acceptable list is empty: no tool may be called."""
        return bool(self.references) and not any(self.references)


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a case came from. It is no part of the case's digest."""

    kind: Literal["authored", "production", "benchmark"] = "authored"
    added: str | None = None
    trace_id: str | None = None
    captured: str | None = None
    version: str | None = None
    promoted_by: str | None = None
    reviewed_by: str | None = None
    name: str | None = None
    notes: str | None = None


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One golden example."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    input: Any
    route: Name
    expect: Expected = Expected()
    owner: str | None = None
    tags: tuple[Name, ...] = ()
    source: Origin | None = None

    @property
    def digest(self) -> str:
        """SHA-256 (first 16 hex digits) of what the case asks and expects, without its origin."""
        content = msgspec.structs.replace(self, source=None)
        return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()[:16]

    @property
    def input_digest(self) -> str:
        """SHA-256 (first 16 hex digits) of what the case asks alone."""
        return hashlib.sha256(msgspec.json.encode(self.input, order="sorted")).hexdigest()[:16]


class Dataset(msgspec.Struct, frozen=True):
    """Golden cases, in file order, with unique ids."""

    cases: tuple[Case, ...]
    path: str | None = None

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def digest(self) -> str:
        """SHA-256 (first 16 hex digits) over the cases' digests, whatever their order."""
        digests = sorted(case.id + case.digest for case in self.cases)
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]
