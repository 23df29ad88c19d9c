"""docs/datasets.md and docs/scorers.md are true: their examples are read, and pass as they say."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from evalkit.dataset import (
    OUTCOME_CHECKS,
    PREDICATES,
    STEP_KEYS,
    Case,
    Expected,
    ExpectedStep,
    Limits,
)
from evalkit.matching import align, problems
from evalkit.suite import Effects
from evalkit.trajectory import Step, Trajectory

DOCS = Path(__file__).parents[1] / "docs"
DATASETS = (DOCS / "datasets.md").read_text()


def passes(expect: Expected, calls: str) -> bool:
    done = tuple(Step(kind="tool", name=name, arguments={}) for name in calls.split())
    return align(expect, Trajectory(steps=done), Effects()).passed


def test_the_documented_expectations_pass_and_fail_as_they_say() -> None:
    found = re.findall(
        r"^```json expect passes:([^\n]*)\n(.*?)^```", DATASETS, re.DOTALL | re.MULTILINE
    )
    assert len(found) >= 8
    for said, text in found:
        expect = msgspec.json.decode(text, type=Expected)
        assert problems(expect) == []
        right, _, wrong = said.partition("/ fails:")
        for calls in right.split("/"):
            assert passes(expect, calls), (text, calls)
        assert not passes(expect, wrong or "something else"), text


def test_the_documented_case_is_a_case_and_every_key_is_documented() -> None:
    (text,) = re.findall(r"^```json\n(.*?)^```", DATASETS, re.DOTALL | re.MULTILINE)
    assert problems(msgspec.json.decode(text, type=Case).expect) == []
    keys = {*STEP_KEYS, *PREDICATES, *OUTCOME_CHECKS}
    for record in (Case, Expected, ExpectedStep, Limits):
        keys |= set(record.__struct_fields__)
    for key in keys:
        assert re.search(rf"[`\"]{key}[`\"]", DATASETS), key


def test_the_documented_match_runs() -> None:
    (source,) = re.findall(
        r"^```python\n(.*?)^```", (DOCS / "scorers.md").read_text(), re.DOTALL | re.MULTILINE
    )
    exec(compile(source, "scorers.md", "exec"), {})
