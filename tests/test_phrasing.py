import msgspec
from hypothesis import given
from hypothesis import strategies as st

from evalkit import phrasing
from evalkit.reports import CaseChange
from tests.reporters import samples


def test_numbers():
    assert [phrasing.seconds(x) for x in (None, 0.0384, 0.9997, 1.24, 99.96, 125.2)] == [
        "–", "38 ms", "1.0 s", "1.2 s", "1 min 40 s", "2 min 5 s",
    ]  # fmt: skip
    dollars = [phrasing.dollars(x) for x in (None, 0, 1234.5, 0.0413, 0.00413, 4e-7)]
    assert dollars == ["–", "$0.00", "$1,234.50", "$0.041", "$0.0041", "< $0.000001"]
    assert [phrasing.signed(x) for x in (None, -0.3149, -0.001, 0.2)] == [
        "–", "−0.31", "−0.00", "+0.20",
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
    told = samples.gate(msgspec.structs.replace(better.rows[0], blocking=False), exit_code=0)
    assert phrasing.headline(told) == "passed: nothing blocks here"
    nothing = samples.gate(exit_code=3, notes=("one.", "two."))
    assert phrasing.headline(nothing) == "NOT DECIDED: nothing was judged; see the notes"


def test_means_of_trials_made_again_are_marked_and_their_trials_told():
    row = next(row for row in samples.failed_gate().rows if row.spent_trials)
    again = msgspec.structs.replace(row, trials=0, stored=(1.0, 0.2))
    assert phrasing.before_after(again).endswith(" ↻")
    assert not phrasing.before_after(row).endswith("↻")
    assert phrasing.fired(again).endswith(
        f"{row.cases} cases · {row.spent_trials} trials made again"
    )


def test_a_p_of_trials_made_again_is_marked_beside_an_interval_of_stored_ones():
    row = samples.row("a", "x", spent_trials=24)
    assert phrasing.p_adjusted(row) == "1.000 ↻"
    assert phrasing.p_adjusted(msgspec.structs.replace(row, spent_trials=0)) == "1.000"
    assert phrasing.p_adjusted(msgspec.structs.replace(row, p_adjusted=None)) == "–"
    assert "p adjusted = 1.000 of the trials made again" in phrasing.fired(row)


def test_a_case_whose_score_alone_fell_says_by_how_much():
    change = CaseChange(
        case="c",
        owner=None,
        baseline_passed=2,
        baseline_trials=2,
        candidate_passed=3,
        candidate_trials=3,
        difference=-0.27,
    )
    assert phrasing.passes(change) == "2/2 → 3/3, score −0.27"
    worse = msgspec.structs.replace(change, candidate_passed=0)
    assert phrasing.passes(worse) == "2/2 → 0/3"


def test_only_what_could_be_taken_for_blocking_says_that_it_advises():
    row = msgspec.structs.replace(samples.failed_gate().rows[0], blocking=False)
    for verdict, said in (("regressed", "regressed (advice)"), ("improved", "improved")):
        assert phrasing.verdict(msgspec.structs.replace(row, verdict=verdict)) == said
