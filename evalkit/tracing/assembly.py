"""The parts of one trace become what was recorded of it: a trajectory, and when it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from evalkit.spans import Span
from evalkit.suite import Price, RouteSource
from evalkit.tracing.normalizer import to_trajectory
from evalkit.tracing.parts import (
    LogEvent,
    Part,
    parts_of_logs,
    unpack_logs,
    unpack_spans,
    unpack_trajectory,
    with_logs,
)
from evalkit.tracing.reasons import UNJOINED, Reasons
from evalkit.tracing.secrecy import redacted, redacted_logs
from evalkit.trajectory import Trajectory


class Recorded(NamedTuple):
    """One trace as it was read. Times are nanoseconds since the epoch, 0 where unknown."""

    trace_id: str
    trajectory: Trajectory
    start_ns: int
    end_ns: int


class Reading(NamedTuple):
    """How traces are read, and what is counted on the way: refusals, and secrets by kind."""

    refused: Reasons
    secrets: Counter[str]
    route_from: RouteSource | None = None
    prices: Mapping[str, Price] | None = None


def scrubbed(part: Part) -> tuple[Part, dict[str, int]]:
    """The part with its secrets replaced by marks, and how many of each kind were."""
    if part.codec == "logs":
        clean_logs, counts = redacted_logs(unpack_logs(part.data))
        [clean] = parts_of_logs(clean_logs) if counts else [part]
        return clean, counts
    clean_spans, counts = redacted(unpack_spans(part.data))
    return (part._replace(data=clean_spans) if counts else part), counts


def assemble(trace_id: str, parts: Sequence[Part], reading: Reading) -> Recorded | None:
    """What the parts of a trace tell; None where every span of it was refused."""
    spans: list[Span] = []
    logs: list[LogEvent] = []
    told: Trajectory | None = None
    for part in parts:
        if part.codec == "trajectory":
            told = unpack_trajectory(part.data)
        elif part.codec == "logs":
            logs += unpack_logs(part.data)
        else:
            spans += unpack_spans(part.data)
    if logs:
        spans, unjoined = with_logs(spans, logs)
        reading.refused[UNJOINED] += unjoined
    if not spans:
        return _told(trace_id, told, reading)
    clean, secrets = redacted(spans)
    if secrets:
        reading.secrets.update(secrets)
    trajectory = to_trajectory(clean, route_from=reading.route_from, prices=reading.prices)
    starts = [span.start_ns for span in spans if span.start_ns]
    ends = max([span.end_ns for span in spans])
    return Recorded(trace_id, trajectory, min(starts, default=0), ends)


def _told(trace_id: str, told: Trajectory | None, reading: Reading) -> Recorded | None:
    """A trace that came as a trajectory: only a chat's, which has no spans."""
    if told is None:
        return None
    from evalkit.redaction import redact_secrets

    clean, secrets = redact_secrets(msgspec.to_builtins(told))
    reading.secrets.update(secrets)
    if secrets:
        told = msgspec.convert(clean, Trajectory)
    return Recorded(trace_id, told, 0, 0)
