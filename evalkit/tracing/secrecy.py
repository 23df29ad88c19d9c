"""Secrets out of spans before anything is made of them: two instrumentors record API keys.

A fast look over the texts of a trace tells whether it may hold any; only then it is walked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from evalkit.redacting.naming import key_kind
from evalkit.redacting.secrets import NAMES, SECRETS
from evalkit.redaction import redact_secrets
from evalkit.spans import Span, SpanEvent
from evalkit.tracing.parts import LogEvent
from evalkit.tracing.shapes import shape_of

if TYPE_CHECKING:
    import re2

# Names of keys, for the forms in which a key does not stand right before its value.
_NAMES = rf"(?i)(?:{NAMES}|\bpin|\botp|\bcvv|\bcvc|\b_?auth|cookie)[^a-z0-9 ]"

_ENCODED = re.compile(rb"(?:(?<!\\)\\++(?:u00|x)|%(?:25)*)([2-7][0-9A-Fa-f])")
"""Signs and letters of ASCII, escaped or percent-encoded."""


def redacted(spans: Sequence[Span]) -> tuple[Sequence[Span], dict[str, int]]:
    """The spans with every secret replaced by a mark, and how many of each kind were."""
    if not _may_hold_secrets(spans):
        return spans, {}
    clean, counts = redact_secrets([_told(span) for span in spans])
    return ([_with(*one) for one in zip(spans, clean, strict=True)] if counts else spans), counts


def _may_hold_secrets(spans: Sequence[Span]) -> bool:
    """Whether the spans may hold a secret: True for some that hold none."""
    texts: list[Any] = []
    resource: Mapping[str, Any] | None = None
    scope: str | None = None
    for span in spans:
        attributes = span.attributes
        if shape_of(attributes).tells(_names_secret):
            return True
        texts += (span.name, *attributes.values())
        held: list[Mapping[str, Any]] = []
        if span.resource is not resource:  # mostly the same for all
            resource = span.resource
            held.append(resource)
        if span.scope is not scope:  # as is this
            scope = span.scope
            texts += (scope, span.scope_version)
        if span.events or span.status_message:
            texts += (span.status_message, *(event.name for event in span.events))
            held += [event.attributes for event in span.events]
        for attributes in held:
            if shape_of(attributes).tells(_names_secret):
                return True
            texts += attributes.values()
    return _match(_bytes(texts))


def _bytes(texts: list[Any]) -> bytes:
    """The texts, each in a line: what stands beside a secret then never hides where it begins."""
    try:
        lines = "\n".join([one if isinstance(one, str) else str(one) for one in texts])
        return lines.encode()
    except (TypeError, ValueError, RecursionError):  # odd values of an SDK's spans
        return str(texts).encode("utf-8", "replace")


def _names_secret(keys: tuple[str, ...]) -> bool:
    """Whether one of the keys says that its value is a secret, or may itself hold one."""
    return any(key_kind(key) is not None for key in keys) or _match(_bytes(list(keys)))


def _match(texts: bytes) -> bool:
    patterns, encoded = _patterns()
    found = patterns.Match(texts)
    if found == [encoded]:
        found = patterns.Match(_ENCODED.sub(_decoded, texts))
    return bool(found)


def _decoded(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[1].decode())


def redacted_logs(logs: list[LogEvent]) -> tuple[list[LogEvent], dict[str, int]]:
    """The log records with every secret replaced by a mark, and how many of each kind were."""
    clean, counts = redact_secrets([[[log.event.name], log.event.attributes] for log in logs])
    if not counts:
        return logs, {}
    return [
        replace(log, event=replace(log.event, name=name, attributes=attributes))
        for log, ([name], attributes) in zip(logs, clean, strict=True)
    ], counts


def _told(span: Span) -> list[Any]:
    """What of a span an instrumentation fills with content."""
    # Each text in a list of its own: in one, a text may be the name of what stands after it.
    events = [[[event.name], event.attributes] for event in span.events]
    texts = [[span.name], [span.status_message], [span.scope], [span.scope_version]]
    return [texts, span.attributes, span.resource, events]


def _with(span: Span, told: list[Any]) -> Span:
    ([name], [status_message], [scope], [version]), attributes, resource, events = told
    return replace(
        span,
        name=name,
        status_message=status_message,
        attributes=attributes,
        scope=scope,
        scope_version=version,
        resource=resource,
        events=tuple(
            SpanEvent(said[0][0], event.time_ns, said[1])
            for event, said in zip(span.events, events, strict=True)
        ),
    )


@cache
def _patterns() -> tuple[re2.Set, int]:
    """What may tell of a secret, and which of it only says that the texts read otherwise."""
    import re2

    options = re2.Options()
    options.max_mem = 256 << 20
    options.log_errors = False
    patterns = re2.Set.SearchSet(options)
    for kind in SECRETS:
        patterns.Add(kind.pattern)
    patterns.Add(_NAMES)
    encoded = patterns.Add(r"\\(?:u00|x)[2-7][0-9A-Fa-f]|%[2-7][0-9A-Fa-f]")
    patterns.Compile()
    return patterns, encoded
