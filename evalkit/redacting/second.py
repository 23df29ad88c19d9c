"""A second pass over texts: the detectors of detect-secrets, where the extra is installed.

Its detectors look at texts alone: none asks a service whether a secret is valid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from typing import Any, NamedTuple

from evalkit.redacting.naming import MARK, is_secret_value

LEFT_OUT = frozenset({"Base64HighEntropyString", "HexHighEntropyString", "IPPublicDetector"})
"""Detectors that take hashes, ids and version numbers for secrets: each flags 1 to 7 % of clean
texts, and addresses are looked for by the first pass."""

_CHUNK, _OVERLAP = 2000, 200
"""Detectors are made for lines of code: longer lines are looked at in parts."""


class SecondPass(NamedTuple):
    """The detectors by the kind of what they find; ``said`` names them for a person."""

    detectors: tuple[tuple[str, Callable[[str], Iterable[str]]], ...]
    said: str

    def found_in(self, data: bytes) -> Iterator[tuple[int, int, str]]:
        """Start, end and kind of everything that the detectors find in a text."""
        for start, part in _parts(data):
            text = part.decode("utf-8", "replace")
            for kind, analyze in self.detectors:
                for secret in analyze(text):
                    if len(secret) < 4 or MARK in secret or not is_secret_value(secret):
                        continue
                    for match in re.finditer(re.escape(secret.encode()), part):
                        yield start + match.start(), start + match.end(), kind


def second_pass() -> SecondPass | None:
    """The detectors of detect-secrets, or None where the extra ``secrets`` is not installed."""
    try:
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    except ImportError:
        return None
    classes: list[tuple[str, Any]] = sorted(get_mapping_from_secret_type_to_class().items())
    detectors = tuple(
        (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"), made().analyze_string)
        for name, made in classes
        if made.__name__ not in LEFT_OUT
    )
    said = f"detect-secrets {version('detect-secrets')}, {len(detectors)} detectors"
    return SecondPass(detectors, f"{said}; not its {len(LEFT_OUT)} for entropy and IP addresses")


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    for line in re.finditer(rb"[^\r\n]{4,}", data):
        for at in range(line.start(), line.end(), _CHUNK):
            yield at, data[at : min(at + _CHUNK + _OVERLAP, line.end())]
