"""The suite file as a record: it joins a pipeline, a dataset, scorers and a gate."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

import msgspec

from evalkit.effects import reads_by_name

Positive = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]

Setting = str | int | float | bool | None

DEFAULT_SCORERS = (
    "task_completion",
    "tool_selection",
    "trajectory_match",
    "step_efficiency",
    "trajectory_score",
    "routing",
)

ROUTE_SOURCES = ("step", "attribute", "after", "rules")

TARGETS = ("call", "command", "http", "traces")


class Pipeline(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the pipeline under test is reached; exactly one of the four targets.

    ``call``: ``package.module:function``; ``command``: a program and its arguments, JSON on its
    stdin and stdout; ``http``: a URL that takes POSTed JSON; ``traces``: a file of recorded
    trajectories. ``timeout`` is in seconds per trial. ``retries`` are for infrastructure errors
    only. ``settings`` are passed to the pipeline; ``--set key=value`` changes one of them.
    """

    call: str | None = None
    command: tuple[str, ...] | None = None
    http: str | None = None
    traces: str | None = None
    timeout: Positive = 60.0
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 8
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 1
    settings: dict[str, Setting] = {}
    headers: dict[str, str] = {}

    def __post_init__(self) -> None:
        named = [key for key in TARGETS if getattr(self, key) is not None]
        if len(named) != 1:
            found = " and ".join(f"`{key}`" for key in named) or "none of them"
            raise ValueError(f"a pipeline has exactly one of {', '.join(TARGETS)}: {found}")

    @property
    def target(self) -> str:
        """Which of the targets is used: ``call``, ``command``, ``http`` or ``traces``."""
        return next(key for key in TARGETS if getattr(self, key) is not None)


class Effects(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which tools change state (``write``); all others only read.

    Without it, what the trace says of a tool counts (:attr:`evalkit.trajectory.Step.read_only`),
    and else its name: see :mod:`evalkit.effects`. Steps of every other kind only read.
    """

    write: tuple[str, ...] | None = None

    def changes_state(self, tool: str) -> bool:
        """Whether a call of this tool changes state: as stated, else as its name tells."""
        return not reads_by_name(tool) if self.write is None else tool in self.write


class RouteRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A route, and what a trace has that took it; without a condition, every trace took it.

    ``step`` is the name of a step that took place, ``attribute`` one that a span has; ``equals``
    is the value of that attribute, or of that step's output at ``path``.
    """

    route: Annotated[str, msgspec.Meta(min_length=1)]
    step: str | None = None
    attribute: str | None = None
    path: str | None = None
    equals: Setting = None

    def __post_init__(self) -> None:
        if self.step is not None and self.attribute is not None:
            raise ValueError("a rule has a step or an attribute, not both")
        if self.path is not None and (self.step is None or self.equals is None):
            raise ValueError("a rule's path is into its step's output, and needs equals")
        if self.equals is not None and self.step is None and self.attribute is None:
            raise ValueError("a rule's equals needs a step or an attribute")


class RouteSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the route taken is read from; exactly one of four.

    ``step``: the output of the step of that name, ``path`` a dotted path into it. ``attribute``:
    a span attribute. ``after``: the name of the first step after the one of that name.
    ``rules``: the route of the first rule that holds.
    """

    step: str | None = None
    path: str | None = None
    attribute: str | None = None
    after: str | None = None
    rules: Annotated[tuple[RouteRule, ...], msgspec.Meta(min_length=1)] | None = None

    def __post_init__(self) -> None:
        named = [key for key in ROUTE_SOURCES if getattr(self, key) is not None]
        if len(named) != 1:
            found = " and ".join(f"`{key}`" for key in named) or "none of them"
            raise ValueError(f"route_from has exactly one of {', '.join(ROUTE_SOURCES)}: {found}")
        if self.path is not None and self.step is None:
            raise ValueError("route_from has a path only beside a step, into its output")


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """US dollars per million tokens; ``cached`` defaults to ``input``."""

    input: Annotated[float, msgspec.Meta(ge=0)]
    output: Annotated[float, msgspec.Meta(ge=0)]
    cached: Annotated[float, msgspec.Meta(ge=0)] | None = None


Limit = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^ *(((mean|pass_rate|pass\^[1-9][0-9]*|pass@[1-9][0-9]*|fail_rate)\([^()]+\))"
        r"|p[1-9][0-9]?_latency_s|tokens|cost_usd|retries) *(<=|>=) *[0-9]+(\.[0-9]+)? *$",
        description="An absolute floor or ceiling, such as `pass_rate(task_completion) >= 0.9`.",
    ),
]
"""A floor or ceiling as text: a measure, ``>=`` or ``<=``, and a number (see docs/policies.md)."""


class Quarantine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A case that is reported and never blocks, through the day ``until`` (UTC); then it does."""

    case: str
    until: datetime.date
    reason: str = ""


def score_name(scorer: str) -> str:
    """What the scores of a scorer are called: of ``module:function``, the function's name."""
    return scorer.rpartition(":")[2]


def _name_scores(policy: RoutePolicy | GatePolicy) -> None:
    """Scorers that a policy names as ``module:function`` by the name of their scores."""
    for key in ("on", "advise"):
        named = getattr(policy, key)
        if any(":" in name for name in named or ()):
            msgspec.structs.force_setattr(policy, key, tuple(map(score_name, named)))


class RoutePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is different for one route; what is not stated is as in the rest of the gate.

    With ``on`` empty nothing that is compared blocks there.
    """

    on: tuple[str, ...] | None = None
    advise: tuple[str, ...] | None = None
    alpha: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    limits: tuple[Limit, ...] | None = None
    margin: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    owners: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _name_scores(self)


class Confirm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How far a suspicion is followed up by trying cases again, in baseline and candidate.

    ``trials`` is the most of one case in each arm; the budgets are for all re-runs of one gate,
    in trials of both arms, seconds and US dollars. A budget that is spent before a suspicion is
    settled makes the route ``inconclusive``.
    """

    enabled: bool = True
    trials: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 32
    max_trials: Annotated[int, msgspec.Meta(ge=0)] | None = None
    max_seconds: Positive | None = None
    max_usd: Positive | None = None


class GatePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What blocks a release, and how sure the gate must be.

    ``alpha`` is the chance, per gate, of any false alarm over all routes and scorers.
    ``max_infrastructure`` is the share of a route's trials, in either run, that may fail for
    infrastructure reasons, chance aside, before the route is unmeasurable; of trials made again,
    the share that one version may lose beyond the other.
    """

    baseline: str | None = None
    on: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = (
        "task_completion",
        "trajectory_match",
    )
    alpha: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05
    max_infrastructure: Share = 0.05
    # Scorers that are judged and shown, and never block.
    advise: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    # A drop that would still be acceptable: a scorer whose drop may be larger is `unproven`.
    margin: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    quarantine: tuple[Quarantine, ...] = ()
    routes: dict[str, RoutePolicy] = {}
    confirm: Confirm = Confirm()

    def __post_init__(self) -> None:
        _name_scores(self)

    @property
    def all_on(self) -> tuple[str, ...]:
        """Every scorer that blocks on some route."""
        own = (scorer for route in self.routes.values() for scorer in route.on or ())
        return tuple(dict.fromkeys((*self.on, *own)))

    @property
    def all_limits(self) -> tuple[Limit, ...]:
        """Every floor and ceiling, of all routes and of single ones."""
        own = (limit for route in self.routes.values() for limit in route.limits or ())
        return (*self.limits, *own)

    def quarantined(self, today: datetime.date) -> frozenset[str]:
        """The cases that are in quarantine on this day."""
        return frozenset(one.case for one in self.quarantine if one.until >= today)

    def of(self, route: str) -> RoutePolicy:
        """The policy of one route, everything stated; ``alpha`` only where it has its own.

        A scorer blocks or advises, never both: what the route itself says of it counts, before
        the rest of the gate; where both are said in one place, it blocks.
        """
        own = self.routes.get(route, RoutePolicy())
        on = own.on
        if on is None:
            on = tuple(name for name in self.on if name not in (own.advise or ()))
        advise = self.advise if own.advise is None else own.advise
        return RoutePolicy(
            on=on,
            advise=tuple(name for name in advise if name not in on),
            alpha=own.alpha,
            limits=self.limits if own.limits is None else own.limits,
            margin=self.margin if own.margin is None else own.margin,
            owners=own.owners,
        )


class ScorerUse(msgspec.Struct, frozen=True):
    """A scorer as a suite uses it: its name and its arguments."""

    name: str
    arguments: dict[str, Any] = {}


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A suite. ``dataset`` is relative to the suite's folder."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    pipeline: Pipeline
    dataset: str
    trials: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    routes: tuple[str, ...] | None = None
    route_from: RouteSource | None = None
    effects: Effects = Effects()
    scorers: Annotated[tuple[str | dict[str, dict[str, Any]], ...], msgspec.Meta(min_length=1)] = (
        DEFAULT_SCORERS
    )
    prices: dict[str, Price] = {}
    # `package.module:function`, called after each trial as (input, context, answer): the
    # pipeline's real state, as JSON.
    state: str | None = None
    gate: GatePolicy = GatePolicy()
    # A reference to the JSON Schema, for editors.
    schema: str | None = msgspec.field(default=None, name="$schema")

    def __post_init__(self) -> None:
        for listed in self.scorers:
            if isinstance(listed, dict) and len(listed) != 1:
                raise ValueError("a scorer is `name` or `{name: {argument: value}}`")

    @property
    def scorer_uses(self) -> tuple[ScorerUse, ...]:
        """The scorers with their arguments, in the order in which the suite lists them."""
        return tuple(
            ScorerUse(listed) if isinstance(listed, str) else ScorerUse(*next(iter(listed.items())))
            for listed in self.scorers
        )
