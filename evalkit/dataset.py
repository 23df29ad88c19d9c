"""What should happen: golden cases, the steps they expect, and where each one came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
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
"""The keys that name an expected step: one of them, or ``any_of``. ``step`` is of any kind."""

PREDICATES = frozenset(
    {"any", "one_of", "ge", "le", "regex", "contains", "approx", "absent", "equals", "ordered"}
)
"""An object whose keys are all of these is a predicate on an argument, not a plain value."""

MatchMode = Literal["exact", "in_order", "any_order", "superset", "unordered", "subset", "effects"]
ArgumentsMode = Literal["stated", "exact", "ignore"]

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]


class ExpectedStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A step that should happen: its kind and name, or alternatives, and what its arguments hold.

    Exactly one of ``step``, ``node``, ``tool``, ``retriever``, ``reranker``, ``llm``, ``agent``,
    ``guardrail``, ``handoff`` names it, or ``any_of`` lists alternatives. ``after`` names expected
    steps (by ``id``, else by name) that must come before it.
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
    any_of: Annotated[tuple[ExpectedStep, ...], msgspec.Meta(min_length=1)] | None = None
    args: dict[str, Any] | None = None
    optional: bool = False
    after: tuple[Name, ...] = ()
    id: Name | None = None
    actor: Literal["agent", "user"] = "agent"

    def __post_init__(self) -> None:
        named = [key for key in (*STEP_KEYS, "any_of") if getattr(self, key) is not None]
        if len(named) != 1:
            found = " and ".join(f"`{key}`" for key in named) or "none of them"
            raise ValueError(f"a step has exactly one of {', '.join(STEP_KEYS)}, any_of: {found}")

    @property
    def kind(self) -> str | None:
        """``tool``, ``node``, ...; ``step`` for a step of any kind; None for alternatives."""
        return next((key for key in STEP_KEYS if getattr(self, key) is not None), None)

    @property
    def name(self) -> str | None:
        """The name that the step must have; None for alternatives."""
        return getattr(self, self.kind) if self.kind else None

    @property
    def alternatives(self) -> tuple[ExpectedStep, ...]:
        """The single steps that satisfy this one: itself, or what ``any_of`` lists, flattened."""
        if self.any_of is None:
            return (self,)
        return tuple(one for listed in self.any_of for one in listed.alternatives)

    @property
    def label(self) -> str:
        """How a person names this step, for instance ``tool compliance_review``."""
        if self.any_of is not None:
            return " or ".join(one.label for one in self.any_of)
        return f"{self.kind} {self.name}"


class OutcomeCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One check of the answer; exactly one of the checks below, on the value at ``path``.

    ``path`` is a dotted path into the answer (``decision``, ``items[0].sku``); without it the
    whole answer is checked. ``said`` looks at everything that was said to the user, ignoring case
    and thousands separators. ``function`` is ``package.module:object``, called with the answer.
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
    function: str | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if not self.checks:
            raise ValueError("an outcome check needs one of " + ", ".join(OUTCOME_CHECKS))
        if len(self.checks) > 1:
            found = " and ".join(f"`{check}`" for check in self.checks)
            raise ValueError(f"an outcome check has one check, found {found}: write two checks")
        if self.tolerance is not None and self.approx is None:
            raise ValueError("`tolerance` goes with `approx`")

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
    "function",
)


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The most that one trial may take."""

    steps: Annotated[int, msgspec.Meta(ge=0)] | None = None
    tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    cost_usd: NonNegative | None = None
    seconds: NonNegative | None = None


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a case expects of the answer, of the path, and of what it takes.

    ``steps=()`` means that nothing may be called; ``steps=None`` says nothing about the path.
    """

    outcome: tuple[OutcomeCheck, ...] = ()
    steps: tuple[ExpectedStep, ...] | None = None
    match: MatchMode = "in_order"
    args: ArgumentsMode = "stated"
    never: tuple[ExpectedStep, ...] = ()
    limits: Limits | None = None


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a case came from. It is no part of the case's digest."""

    kind: Literal["authored", "production", "benchmark"] = "authored"
    added: str | None = None
    trace_id: str | None = None
    captured: str | None = None
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
