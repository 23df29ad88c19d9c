"""Secrets out of spans before anything is made of them: two instrumentors record API keys.

A fast look over the texts of a trace tells whether it may hold any; only then it is walked.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
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
_NAMES = rf"(?i)(?:{NAMES}|\bpin|\botp|\bcvv|\bcvc|\b_?auth|cookie)[^a-z0-9_ ]"

_ENCODED = re.compile(rb"(?:(?<!\\)\\++(?:u00|x)|%(?:25)*)([02-7][0-9A-Fa-f])")
"""Signs and letters of ASCII, escaped or percent-encoded, and line breaks."""

_BASE64 = r"[A-Za-z0-9+/]{24,}"


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
        if shape_of(attributes).tells(_names_secret) and _holds_named(attributes):
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
            if shape_of(attributes).tells(_names_secret) and _holds_named(attributes):
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


def _holds_named(attributes: Mapping[str, Any]) -> bool:
    """Whether one of those keys has a value that can be one: ``used_token: false`` has none."""
    return any(
        value is not None and not isinstance(value, bool | float) and _names_secret((key,))
        for key, value in attributes.items()
    )


def _match(texts: bytes) -> bool:
    patterns, escaped, base64_run = _patterns()
    found = set(patterns.Match(texts) or ())
    if found and found <= {escaped, base64_run}:  # the texts may read otherwise
        read = []
        if escaped in found:
            texts = _ENCODED.sub(_decoded, texts)
            read += [texts, texts.replace(b"+", b" ")]
        read += _in_base64(texts)
        found = set(patterns.Match(b"\n".join(read)) or ()) if read else set()
    return not found <= {escaped, base64_run}


def _in_base64(texts: bytes) -> Iterator[bytes]:
    """What is text in base64, decoded: an id or an identifier decodes to none."""
    for body in _base64_runs().findall(texts):
        if base64.b64decode(body[:8]).isascii():  # mostly not, and then no more is decoded
            whole = body[:-1] if len(body) % 4 == 1 else body
            decoded = base64.b64decode(whole + b"=" * (-len(whole) % 4))
            if decoded.isascii():
                yield decoded


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
def _patterns() -> tuple[re2.Set, int, int]:
    """What may tell of a secret; which of it only says that the texts may read otherwise, being
    escaped, or base64."""
    import re2

    options = re2.Options()
    options.max_mem = 256 << 20
    options.log_errors = False
    patterns = re2.Set.SearchSet(options)
    for kind in SECRETS:
        patterns.Add(kind.pattern)
    patterns.Add(_NAMES)
    escaped = patterns.Add(r"\\(?:u00|x)[2-7][0-9A-Fa-f]|%[02-7][0-9A-Fa-f]")
    base64_run = patterns.Add(_BASE64)
    patterns.Compile()
    return patterns, escaped, base64_run


@cache
def _base64_runs() -> re2._Regexp[bytes]:
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes, of which none is decoded
    return re2.compile(_BASE64.encode(), options)
