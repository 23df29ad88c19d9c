"""Recordings of real frameworks, which stand beside the repository and not in it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from evalkit.spans import Span
from evalkit.tracing.otlp import read_otlp_json

CAPTURES = Path(__file__).parents[2] / "shared" / "captures"

ABSENT = "the recordings are not part of the repository, and not on this machine"
needs_captures = pytest.mark.skipif(not CAPTURES.is_dir(), reason=ABSENT)


def spans_of(name: str) -> list[Span]:
    """The spans of one recording. Skips where there are none; fails where this one is gone."""
    if not CAPTURES.is_dir():
        pytest.skip(ABSENT)
    return read_otlp_json(gzip.decompress((CAPTURES / f"{name}.otlp.json.gz").read_bytes()))
