"""Cases, and the digest that tells whether two cases are the same."""

import msgspec
import pytest

from evalkit.dataset import Case, Dataset, Expected, ExpectedStep, Origin, OutcomeCheck


def test_the_digest_ignores_where_a_case_came_from() -> None:
    case = Case("a", {"x": 1, "y": 2}, "r")
    promoted = msgspec.structs.replace(case, source=Origin("production", trace_id="ab"))
    assert case.digest == promoted.digest
    assert case.digest == Case("a", {"y": 2, "x": 1}, "r").digest
    assert case.digest != Case("a", {"x": 1, "y": 3}, "r").digest
    assert case.digest != Case("a", {"x": 1, "y": 2}, "r", Expected(steps=())).digest


def test_the_digest_of_a_dataset_ignores_the_order_of_its_cases() -> None:
    one, two = Case("a", 1, "r"), Case("b", 2, "r")
    assert Dataset((one, two)).digest == Dataset((two, one)).digest
    assert Dataset((one,)).digest != Dataset((one, two)).digest


def test_alternatives_are_flattened() -> None:
    inner = ExpectedStep(any_of=(ExpectedStep(tool="b"), ExpectedStep(node="c")))
    step = ExpectedStep(any_of=(ExpectedStep(tool="a"), inner))
    assert [one.label for one in step.alternatives] == ["tool a", "tool b", "node c"]
    assert step.label == "tool a or tool b or node c"


@pytest.mark.parametrize("fields", [{}, {"tool": "a", "node": "b"}])
def test_a_step_is_named_by_exactly_one_key(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="exactly one of"):
        ExpectedStep(**fields)


def test_a_check_of_null_is_a_check() -> None:
    check = msgspec.json.decode(b'{"path": "a", "equals": null}', type=OutcomeCheck)
    assert check.checks == ("equals",)
    with pytest.raises(ValueError, match="two checks"):
        OutcomeCheck(contains="a", regex="b")
