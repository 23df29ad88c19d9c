"""What was found: scores of trials, and the runs that they belong to."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from evalkit.dataset import Case
from evalkit.suite import Setting, Suite
from evalkit.trajectory import Trajectory

if TYPE_CHECKING:
    import pyarrow as pa

InfrastructureStatus = Literal["timeout", "unreachable", "crashed", "no_trace", "unserializable"]
TrialStatus = Literal[
    "completed", "timeout", "unreachable", "crashed", "no_trace", "unserializable"
]
ScoreStatus = Literal["scored", "nothing_to_judge", "could_not_judge"]
RunStatus = Literal["running", "interrupted", "complete"]
FindingKind = Literal[
    "missing",
    "unexpected",
    "out_of_order",
    "wrong_arguments",
    "superfluous_arguments",
    "forbidden",
    "failed",
    "duplicate",
    "retry",
    "loop",
    "fallback",
    "detour",
    "wrong_route",
    "outcome",
]


class Finding(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a score is about: an expected step, an actual one, or both.

    ``expected`` is the position in the case's expected steps; ``step`` the number of the actual
    step in the trajectory's pre-order walk; ``name`` says which step for a person.
    """

    kind: FindingKind
    name: str
    expected: int | None = None
    step: int | None = None
    detail: str = ""


class Score(msgspec.Struct, frozen=True, omit_defaults=True):
    """A judgement of one trial: a value in [0, 1], passed or not, and why.

    ``value`` and ``passed`` are None together: either there was nothing to judge, or the scorer
    could not judge; ``status`` says which and ``reason`` why. ``data`` holds counts and pairs
    that a report adds up (JSON values only).
    """

    scorer: str
    value: float | None
    passed: bool | None
    reason: str
    steps: tuple[Finding, ...] = ()
    status: ScoreStatus = "scored"
    data: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if self.status != "scored":
            if self.value is not None or self.passed is not None:
                raise ValueError(f"score {self.scorer}: a value needs status 'scored'")
            return
        if self.value is None or self.passed is None:
            raise ValueError(f"score {self.scorer}: no value; say why with nothing_to_judge()")
        if not (math.isfinite(self.value) and 0 <= self.value <= 1):
            raise ValueError(f"score {self.scorer}: {self.value!r} is not in [0, 1]")


def nothing_to_judge(scorer: str, reason: str) -> Score:
    """No score: the case states nothing that this scorer could look at."""
    return Score(scorer, None, None, reason, status="nothing_to_judge")


def could_not_judge(scorer: str, reason: str) -> Score:
    """No score: the scorer failed, or the recording lacks what it needs. Gates fail closed."""
    return Score(scorer, None, None, reason, status="could_not_judge")


class Trial(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One execution of one case. ``route`` is the case's; the trajectory holds the one taken.

    A status other than ``completed`` is an infrastructure failure: not a wrong answer.
    ``started`` is seconds since the epoch; ``latency_s`` is wall time of the last attempt, of a
    recording what its own steps tell.
    """

    case: str
    trial: int
    route: str
    status: TrialStatus = "completed"
    error: str | None = None
    attempts: int = 1
    started: float = 0.0
    latency_s: float | None = None
    trajectory: Trajectory | None = None
    scores: tuple[Score, ...] = ()

    @property
    def key(self) -> tuple[str, int]:
        """What identifies a trial within its run."""
        return (self.case, self.trial)


_SHOWN = 3
"""So many names of one kind a selection shows as text."""


class Selection(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which cases of the dataset a run was asked for; empty means all. ``shard`` is ``k/n``."""

    routes: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    limit: int | None = None
    shard: str | None = None

    def __bool__(self) -> bool:
        return any((self.routes, self.cases, self.tags, self.shard, self.limit is not None))

    def __str__(self) -> str:
        named = (("route", self.routes), ("case", self.cases), ("tag", self.tags))
        said = [f"--{option} {value}" for option, values in named for value in values[:_SHOWN]]
        said += [f"and {len(many) - _SHOWN} more" for _, many in named if len(many) > _SHOWN]
        said += [f"--limit {self.limit}"] * (self.limit is not None)
        return " ".join([*said, *([f"--shard {self.shard}"] * bool(self.shard))])

    def asks_for(self, case: PlannedCase) -> bool:
        """Whether a run so asked would have tried the case, as far as the case alone tells.

        Which cases a limit or a shard leaves depends on the others: none is surely asked for.
        """
        return (
            self.limit is None
            and self.shard is None
            and (not self.routes or case.route in self.routes)
            and (not self.cases or case.id in self.cases)
            and (not self.tags or bool(set(self.tags) & set(case.tags)))
        )


class PlannedCase(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A case that a run set out to try, as it was then."""

    id: str
    route: str
    digest: str
    owner: str | None = None
    tags: tuple[str, ...] = ()
    input_digest: str | None = None

    @classmethod
    def of(cls, case: Case) -> PlannedCase:
        """The case, as a run keeps it."""
        return cls(case.id, case.route, case.digest, case.owner, case.tags, case.input_digest)


CONFIRMING = " (confirm)"
"""How the labels of runs end that only confirmed another run's verdict: they are no versions."""


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One execution of a suite for one version of the pipeline.

    ``planned`` are the cases it set out to try, each ``trials`` times, or of recorded traces those
    that they are; ``settings`` are those
    that the pipeline was given; ``notes`` say what the suite leaves to a guess and what the
    capture warns of. ``started`` and ``finished`` are seconds since the epoch.
    """

    id: str
    label: str
    suite: Suite
    suite_path: str | None = None
    dataset_path: str | None = None
    dataset_digest: str
    planned: tuple[PlannedCase, ...]
    trials: int
    settings: dict[str, Setting] = {}
    selection: Selection = Selection()
    status: RunStatus = "running"
    started: float
    finished: float | None = None
    commit: str | None = None
    # A digest of what was changed since that commit; None where nothing was.
    uncommitted: str | None = None
    evalkit_version: str = ""
    scopes: dict[str, str] = {}
    stray_spans: int = 0
    # The run whose trajectories were scored again; nothing was executed.
    rescored_from: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Told:
    """What the trajectories of one route hold, all together.

    ``scopes`` are names and versions of what instrumented them, ``kinds`` those of their steps;
    ``missing`` counts trajectories per word of :attr:`evalkit.trajectory.Coverage.missing`.
    """

    trials: int
    scopes: frozenset[tuple[str, str]]
    kinds: frozenset[str]
    missing: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Recorded:
    """A stored run with its tables, as comparison and gate read it.

    ``trials``: case, route, trial, status, error, latency_s, tokens_in, tokens_out, cost_usd,
    route_taken, attempts, started. ``scores``: case, route, trial, scorer, value, passed,
    status, reason, findings (JSON text), one row per score of a completed trial. ``steps``, only
    where they were asked for: case, trial, number, kind, name, status, arguments (JSON text),
    inferred, in the order of a walk; ``trials`` then have their coverage, too.
    ``told``, by route, only where two runs were instrumented in different ways.
    """

    run: Run
    trials: pa.Table
    scores: pa.Table
    steps: pa.Table | None = None
    told: Mapping[str, Told] | None = None
    # How many steps each trial took: case, trial, steps.
    taken: pa.Table | None = None


def new_run_id(now: float) -> str:
    """An id for a run that starts at ``now`` (seconds since the epoch): sorts by time, unique."""
    moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    return f"{moment}-{secrets.token_hex(3)}"
