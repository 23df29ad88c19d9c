"""The suite file as a record: it joins a pipeline, a dataset, scorers and a gate."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
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

    Without it, every tool is taken to change state and every other kind of step to read.
    """

    write: tuple[str, ...] | None = None

    def changes_state(self, tool: str) -> bool:
        """Whether a call of this tool changes state."""
        return self.write is None or tool in self.write


class RouteSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the route taken is read from: a step's output, or a span attribute.

    ``step`` is a step's name; ``path`` a dotted path into its output.
    """

    step: str | None = None
    path: str | None = None
    attribute: str | None = None

    def __post_init__(self) -> None:
        if (self.step is None) == (self.attribute is None):
            raise ValueError("route_from has exactly one of step, attribute")


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """US dollars per million tokens; ``cached`` defaults to ``input``."""

    input: Annotated[float, msgspec.Meta(ge=0)]
    output: Annotated[float, msgspec.Meta(ge=0)]
    cached: Annotated[float, msgspec.Meta(ge=0)] | None = None


class GatePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What blocks a release, and how sure the gate must be.

    ``alpha`` is the chance, per gate, of any false alarm over all routes and scorers.
    ``max_infrastructure`` is the share of a route's trials that may fail for infrastructure
    reasons before the route is unmeasurable.
    """

    baseline: str | None = None
    on: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = (
        "task_completion",
        "trajectory_match",
    )
    alpha: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05
    max_infrastructure: Share = 0.05


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
