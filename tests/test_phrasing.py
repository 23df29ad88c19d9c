from hypothesis import given
from hypothesis import strategies as st

from evalkit import phrasing
from tests.reporters import samples


def test_numbers():
    assert [phrasing.seconds(x) for x in (None, 0.0384, 0.9997, 1.24, 99.96, 125.2)] == [
        "–", "38 ms", "1.0 s", "1.2 s", "1 min 40 s", "2 min 5 s",
    ]  # fmt: skip
    dollars = [phrasing.dollars(x) for x in (None, 0, 1234.5, 0.0413, 0.00413, 4e-7)]
    assert dollars == ["–", "$0.00", "$1,234.50", "$0.041", "$0.0041", "< $0.000001"]
    assert [phrasing.signed(x) for x in (None, -0.3149, -0.001, 0.2)] == [
        "–", "−0.31", "+0.00", "+0.20",
    ]  # fmt: skip
    assert phrasing.p_value(0.0002) == "< 0.001" and phrasing.p_value(0.0214) == "= 0.021"
    assert phrasing.interval(None, 1.0) == "" and phrasing.interval(0.5, 1.0) == "[0.50, 1.00]"


@given(st.floats(0, 1))
def test_only_none_is_0_percent_and_only_all_is_100(share):
    said = phrasing.percent(share)
    assert (said == "0 %") == (share == 0)
    assert (said == "100 %") == (share == 1)


def test_a_case_that_was_not_run_is_not_said_to_have_failed():
    change = samples.change("a")
    absent = type(change)(
        case="a", owner=None, baseline_passed=3, baseline_trials=3,
        candidate_passed=0, candidate_trials=0, difference=0.0,
    )  # fmt: skip
    assert phrasing.passes(change) == "3/3 → 0/3"
    assert phrasing.passes(absent) == "3/3 → not run"
    row = samples.row("r", "s", "missing", changes=(absent,))
    assert phrasing.worse_cases(row) == [absent]
    assert phrasing.closer_look("run", row, str) is None


def test_the_headline_groups_by_route():
    gate = samples.gate(
        samples.row("a", "x", "broken"), samples.row("a", "y", "regressed"), samples.row("b", "x")
    )
    assert phrasing.headline(gate) == "FAILED: a is broken on x and regressed on y"
    better = samples.gate(samples.row("a", "x", "improved"), exit_code=0)
    assert phrasing.headline(better) == "passed: no route got worse (1 improved)"
    nothing = samples.gate(exit_code=3, notes=("nothing was judged",))
    assert phrasing.headline(nothing) == "NOT DECIDED: nothing was judged"
