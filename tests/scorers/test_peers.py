"""Conformance: every peer's mode that has a counterpart here gives what the peer gives."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.scorers.peers import DEFECTS, NO_COUNTERPART, agree, defect, ours

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "peers.jsonl"


@pytest.fixture(scope="module")
def vectors() -> list[dict[str, Any]]:
    if not VECTORS.exists():
        pytest.skip("the peers' vectors are not on this machine")
    return [json.loads(line) for line in VECTORS.read_text().splitlines()]


def test_every_vector_agrees_but_for_the_defects_of_peers(vectors: list[dict[str, Any]]) -> None:
    counts: Counter[str] = Counter()
    apart = []
    for vector in vectors:
        if vector["expected"] is None:
            counts["the peer gave none"] += 1
            continue
        answer = ours(vector)
        if answer is None:
            counts["no counterpart"] += 1
        elif agree(answer, vector["expected"]):
            counts["agrees"] += 1
        elif defect(vector) is not None:
            counts["defect"] += 1
        else:
            apart.append((vector["id"], vector["scorer"], vector["mode"], answer))
    assert not apart
    assert counts["agrees"] > 0.75 * len(vectors)
    assert counts["defect"] < 0.1 * len(vectors)


def test_every_exception_has_its_reason() -> None:
    assert all(one.reason for one in DEFECTS)
    assert all(NO_COUNTERPART.values())


def test_a_disagreement_without_a_defect_would_show() -> None:
    vector = {
        "id": "x",
        "scorer": "agentevals.trajectory_match",
        "mode": "unordered+args:exact",
        "reference": [{"name": "a", "args": {}}],
        "actual": [{"name": "b", "args": {}}],
        "peer_value": True,
        "expected": True,
    }
    assert ours(vector) is False
    assert defect(vector) is None
