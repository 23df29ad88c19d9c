"""docs/path-policies.md and docs/judge.md are true: their arguments are those of the scorers."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import msgspec
import pytest

from evalkit import plugins, strict_yaml
from evalkit.dataset import Expected
from evalkit.judging.verdicts import normalise
from evalkit.scoring import GIVEN, bind
from evalkit.suite import Effects, Pipeline, Suite

DOCS = Path(__file__).parents[1] / "docs"
POLICIES, JUDGE = ((DOCS / name).read_text() for name in ("path-policies.md", "judge.md"))
ROWS = re.findall(r"^\| `(\w+)` \| (.*?) \|", POLICIES, re.MULTILINE)


def suites(text: str) -> list[Suite]:
    needed = {"name": "s", "pipeline": Pipeline(traces="t"), "dataset": "d"}
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [msgspec.convert({**strict_yaml.read(b, "docs").value, **needed}, Suite) for b in blocks]


@pytest.mark.parametrize("suite", [*suites(POLICIES), *suites(JUDGE)])
def test_the_suites_bind(suite: Suite) -> None:
    assert bind(suite.scorer_uses, Effects(), None)


@pytest.mark.parametrize(("name", "documented"), ROWS)
def test_every_argument_is_in_the_table(name: str, documented: str) -> None:
    parameters = inspect.signature(plugins.load("scorer", name)).parameters.values()
    settable = {
        one.name
        for one in parameters
        if one.kind is inspect.Parameter.KEYWORD_ONLY and one.name not in GIVEN
    }
    assert {one for one in settable if f"`{one}" in documented} == settable


def test_every_policy_is_in_the_table() -> None:
    policies = {
        name for name, point in plugins.registered("scorer").items() if ".policies." in point.value
    }
    assert policies <= {name for name, _ in ROWS}


def test_every_argument_of_the_judge_is_told() -> None:
    for one in inspect.signature(plugins.load("scorer", "judge")).parameters:
        assert one in {"case", "trajectory", "store"} or f"`{one}`" in JUDGE


def test_the_state_of_the_example_is_an_expectation() -> None:
    (example,) = re.findall(r"^```json\n(.*?)^```", POLICIES, re.DOTALL | re.MULTILINE)
    assert msgspec.json.decode(example, type=dict[str, Expected])["expect"].state
    assert normalise("partially satisfied") == "partial"
