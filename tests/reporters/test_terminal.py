import re

import pytest

from evalkit.reporters import terminal
from evalkit.reports import StepChange
from tests.reporters import samples


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_nothing_is_wider_than_the_screen(width):
    report = samples.report(samples.failed_gate())
    runs = [samples.run("r1", "main"), samples.run()]
    for text in (
        terminal.render(report, width=width),
        terminal.render_runs(runs, width=width),
        terminal.render_cases(report.run, report.cases, width=width),
    ):
        assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_the_verdicts_keep_every_name_and_interval_in_one_piece(width):
    text = terminal.render_gate(samples.failed_gate(), width=width)
    shown = text.split("\n\n")[1]
    for name in (*samples.ROUTES, "✗ task_completion", "✗ trajectory_match", "0.95 → 0.02"):
        assert name in shown
    assert ("−0.93 [−0.98, −0.85]" in shown) == (width >= 80)
    assert ("< 0.001" in shown) == (width >= 80)
    assert ("vendor_exception  procurement" in shown) == (width >= 100)


@pytest.mark.parametrize("width", [80, 140])
def test_every_scorer_of_every_route_is_shown_with_its_interval(width):
    text = terminal.render(samples.report(), width=width)
    assert len(re.findall(r"0\.89(?:–|, )0\.99", text)) == 5
    for name in samples.ROUTES:
        assert name in text
    assert "$0.0041" in text and "1,834" in text and "38 ms" in text and "1.2 s" in text


def test_unknown_is_a_dash_and_infrastructure_failures_show_only_when_there_are_any():
    plain = terminal.render(samples.report(routes=(samples.route("small_talk", 0.9),)))
    assert re.search(r"1,834 +–", plain)
    assert "infra" not in plain
    lost = terminal.render(samples.report(routes=(samples.route("small_talk", 0.9, lost=7),)))
    assert re.search(r"12 +36 +7", lost) and "infra" in lost


def test_a_regression_says_what_fired_where_and_who_and_ends_with_the_decision():
    text = terminal.render(samples.report(samples.failed_gate()), width=160)
    assert "✗ vendor_exception · trajectory_match: regressed" in text
    assert "the mean fell by 0.93 over 12 paired cases" in text
    assert "−0.93" in text and "[−0.98, −0.85]" in text and "< 0.001" in text
    assert "expected retriever retrieve_policy: missing in 100 % of trials, 3 % before" in text
    assert re.search(r"vendor-exception-over-threshold-0 +trials passed 3/3 → 0/3 +broken", text)
    assert "and 4 more" in text
    assert "procurement" in text
    assert f"evalkit show {samples.run().id} vendor-exception-over-threshold-0" in text
    assert text.splitlines()[-1] == (
        "FAILED: vendor_exception regressed on task_completion, trajectory_match"
    )


def test_what_is_of_trials_made_again_is_marked_and_explained():
    stored = {"difference": -0.19, "low": -0.36, "high": -0.04}
    unproven = samples.row("refund", "routing", **stored)
    again = samples.row("refund", "routing", **stored, spent_trials=24)
    text = terminal.render_gate(samples.gate(again, exit_code=0), width=120)
    assert re.search(r"−0.19 \[−0.36, −0.04\] +1.000 ↻", text) and "↻ of trials made" in text
    assert "↻" not in terminal.render_gate(samples.gate(unproven, exit_code=0), width=120)


def test_the_same_cases_are_not_listed_twice():
    text = terminal.render_gate(samples.failed_gate(), width=120)
    assert "the same 12 cases as above" in text
    assert text.count("vendor-exception-over-threshold-2 ") == 1


def test_of_very_many_failed_rows_the_first_are_told_in_full():
    rows = [samples.row(f"route{n:02}", "routing", "regressed", reason="fell") for n in range(53)]
    text = terminal.render_gate(samples.gate(*rows, exit_code=1), width=120)
    assert "route49 · routing: regressed" in text and "route50 · routing: regressed" not in text
    assert "and 3 more: `--format json` has them in full" in text


def test_a_pass_and_an_undecided_gate_say_so_last():
    assert terminal.render_gate(samples.passed_gate()).splitlines()[-1] == (
        "Passed: no route got worse"
    )
    lost = samples.row("refund", "routing", "unmeasurable", reason="9 of 36 trials failed")
    unsure = samples.row("small_talk", "routing", "inconclusive", reason="too little data")
    text = terminal.render_gate(samples.gate(lost, unsure, exit_code=3), width=120)
    assert "9 of 36 trials failed" in text and "too little data" in text
    assert text.splitlines()[-1] == (
        "NOT DECIDED: refund is unmeasurable on routing; small_talk is inconclusive on routing"
    )


def test_colour_only_when_asked():
    report = samples.report(samples.failed_gate())
    assert "\x1b" not in terminal.render(report)
    assert "\x1b[" in terminal.render(report, color=True)


def test_hostile_names_reach_no_terminal():
    step = StepChange(
        kind="missing", name=samples.HOSTILE, expected=0, baseline=0.0, candidate=0.5, cases=()
    )
    row = samples.row(
        samples.HOSTILE,
        samples.HOSTILE,
        "regressed",
        reason=samples.HOSTILE,
        owners=(samples.HOSTILE,),
        changes=(samples.change(samples.HOSTILE),),
        steps=(step,),
    )
    report = samples.report(
        samples.gate(row, notes=(samples.HOSTILE,)),
        routes=(samples.route(samples.HOSTILE, 0.5),),
        notes=(samples.HOSTILE,),
    )
    text = terminal.render(report, width=300)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert "[a](http://b)" in text  # no rich markup either: brackets stay as they are


def test_no_runs_says_how_to_make_one():
    assert "evalkit run" in terminal.render_runs([])
