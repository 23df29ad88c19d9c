"""Secrets out of spans before anything is made of them: two instrumentors record API keys.

A fast look over the raw bytes of a trace tells whether it may hold any; only then it is walked.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from evalkit.redacting.secrets import SECRETS
from evalkit.redaction import redact_secrets
from evalkit.spans import Span, SpanEvent
from evalkit.tracing.parts import LogEvent

if TYPE_CHECKING:
    import re2

# Names of keys, for the forms in which a key does not stand right before its value.
_NAMES = (
    r"(?i)(?:passw(?:or)?d|passphrase|passcode|\bpwd|\bpin|\botp|\bcvv|\bcvc|secrets?|credentials?"
    r"|authorization|token|(?:api|access|private|signing|encryption|session|account|auth)"
    r"[^a-z0-9]{0,2}key|cookie)[^a-z0-9 ]"
)

_encode = msgspec.msgpack.Encoder().encode


def may_hold_secrets(data: bytes) -> bool:
    """Whether the bytes of a part may hold a secret: True for some that hold none."""
    return bool(_patterns().Match(data))


def redacted(spans: list[Span]) -> tuple[list[Span], dict[str, int]]:
    """The spans with every secret replaced by a mark, and how many of each kind were."""
    told = [_told(span) for span in spans]
    if not may_hold_secrets(_bytes(told)):
        return spans, {}
    clean, counts = redact_secrets(told)
    return ([_with(*one) for one in zip(spans, clean, strict=True)] if counts else spans), counts


def redacted_if(spans: list[Span], parts: Iterable[bytes]) -> tuple[list[Span], dict[str, int]]:
    """As :func:`redacted`, where the raw ``parts`` that the spans came from are at hand."""
    return redacted(spans) if any(map(may_hold_secrets, parts)) else (spans, {})


def redacted_logs(logs: list[LogEvent]) -> tuple[list[LogEvent], dict[str, int]]:
    """The log records with every secret replaced by a mark, and how many of each kind were."""
    clean, counts = redact_secrets([log.event.attributes for log in logs])
    if not counts:
        return logs, {}
    return [
        replace(log, event=replace(log.event, attributes=attributes))
        for log, attributes in zip(logs, clean, strict=True)
    ], counts


def _told(span: Span) -> list[Any]:
    """What of a span an instrumentation fills with content."""
    events = [[event.name, event.attributes] for event in span.events]
    return [span.name, span.status_message, span.attributes, span.resource, events]


def _with(span: Span, told: list[Any]) -> Span:
    name, status_message, attributes, resource, events = told
    return replace(
        span,
        name=name,
        status_message=status_message,
        attributes=attributes,
        resource=resource,
        events=tuple(
            SpanEvent(said[0], event.time_ns, said[1])
            for event, said in zip(span.events, events, strict=True)
        ),
    )


def _bytes(told: list[Any]) -> bytes:
    """All texts of the spans, one after another."""
    try:
        return _encode(told)
    except (TypeError, ValueError, OverflowError, RecursionError):  # odd values of an SDK's spans
        return repr(told).encode("utf-8", "replace")


@cache
def _patterns() -> re2.Set:
    import re2

    options = re2.Options()
    options.max_mem = 256 << 20
    options.log_errors = False
    patterns = re2.Set.SearchSet(options)
    for kind in SECRETS:
        patterns.Add(kind.pattern)
    patterns.Add(_NAMES)
    patterns.Compile()
    return patterns
