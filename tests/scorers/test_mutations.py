"""Ground truth of real cases passes in every mode; what changes its meaning does not."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CASES = ROOT.parent / "shared" / "data" / "bfcl"


@pytest.fixture(scope="module")
def mutations() -> Any:
    if not CASES.exists():
        pytest.skip("the leaderboard's cases are not on this machine")
    return runpy.run_path(str(ROOT / "benchmarks" / "scoring" / "mutations.py"))


def wrongly_judged(mutations: Any, truths: Any, count: int, kinds: str) -> list[str]:
    found = mutations["mutate"](truths, count, mutations[kinds], seed=11)
    return [changed.kind for changed in found if mutations["judge"](changed)]


def test_a_part_of_the_cases(mutations: Any) -> None:
    truths = mutations["read_all"](CASES)[::7]
    assert mutations["identities"](truths)[2] == []
    assert mutations["alternatives"](truths)[1] == []
    assert wrongly_judged(mutations, truths, 150, "WRONG") == []
    assert wrongly_judged(mutations, truths, 150, "SAME") == []


@pytest.mark.slow
def test_all_of_the_cases(mutations: Any) -> None:
    truths = mutations["read_all"](CASES)
    assert mutations["identities"](truths)[2] == []
    assert mutations["alternatives"](truths)[1] == []
    assert len(wrongly_judged(mutations, truths, 5_000, "WRONG")) <= 50
    assert wrongly_judged(mutations, truths, 5_000, "SAME") == []
