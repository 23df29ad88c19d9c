"""The conformance checks pass for every built-in plug-in, and fail for broken ones."""

from typing import Any

import pytest

from evalkit import plugins
from evalkit.dataset import Case
from evalkit.protocols import Answer, Convention, Reading, TrialContext
from evalkit.results import Score
from evalkit.spans import Span
from evalkit.suite import Pipeline
from evalkit.targets.call import CallTarget
from evalkit.testing import check_convention, check_scorer, check_target
from evalkit.trajectory import Trajectory

_calls = iter(range(1000))

SIMPLE = (
    "task_completion",
    "tool_selection",
    "trajectory_match",
    "step_efficiency",
    "trajectory_score",
    "routing",
    "limits",
)


@pytest.mark.parametrize("name", SIMPLE)
def test_built_in_scorers_conform(name: str) -> None:
    check_scorer(name)


@pytest.mark.parametrize("name", sorted(plugins.registered("convention")))
def test_built_in_conventions_conform(name: str) -> None:
    loaded = plugins.load("convention", name)
    check_convention(loaded() if isinstance(loaded, type) else loaded)


def echo(value: Any) -> Any:
    return value


def test_a_target_conforms() -> None:
    assert check_target(CallTarget(Pipeline(call=f"{__name__}:echo"), "."), 7).output == 7


def raises(case: Case, trajectory: Trajectory) -> Score:
    raise KeyError("x")


def random_score(case: Case, trajectory: Trajectory) -> Score:
    return Score("random_score", next(_calls) / 1000, True, "by the clock")


class Careless:
    name = "careless"

    def claims(self, span: Span) -> bool:
        return bool(span.attributes["gen_ai.tool.name"])

    def read(self, span: Span, parent: Span | None) -> Reading:
        return Reading(role="unknown")


class Nowhere:
    spans_from = "somewhere"

    async def __call__(self, case_input: Any, context: TrialContext) -> Answer:
        return Answer(output=None)

    async def close(self) -> None: ...


def test_broken_plug_ins_do_not_conform() -> None:
    with pytest.raises(AssertionError, match="raised"):
        check_scorer(f"{__name__}:raises")
    with pytest.raises(AssertionError, match="not pure"):
        check_scorer(f"{__name__}:random_score")
    careless: Convention = Careless()
    with pytest.raises(KeyError):
        check_convention(careless)
    with pytest.raises(AssertionError, match="spans_from"):
        check_target(Nowhere(), 1)
