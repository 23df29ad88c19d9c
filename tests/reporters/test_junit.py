import xml.etree.ElementTree as ET

import msgspec

from evalkit.reporters import junit
from evalkit.suite import RoutePolicy
from tests.reporters import samples


def read(report):
    return ET.fromstring(junit.render(report))


def outcome(root, name):
    test = next(test for test in root.iter("testcase") if test.get("name") == name)
    return next((child.tag for child in test if child.tag != "system-out"), "passed")


def test_without_a_gate_a_case_fails_when_most_of_its_trials_failed():
    root = read(samples.report())
    assert outcome(root, "fine") == "passed"
    assert outcome(root, "wrong") == "failure"
    assert outcome(root, "lost") == "error"
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "1")


def test_without_a_gate_a_case_fails_by_what_blocks_on_its_own_route():
    def of_wrong(**own):
        suite = samples.run().suite
        gate = msgspec.structs.replace(suite.gate, routes={"small_talk": RoutePolicy(**own)})
        run = msgspec.structs.replace(
            samples.run(), suite=msgspec.structs.replace(suite, gate=gate)
        )
        return outcome(read(samples.report(run=run)), "wrong")

    assert of_wrong(on=()) == of_wrong(advise=("task_completion",)) == "passed"
    assert of_wrong(on=("task_completion",)) == "failure"


def test_with_a_gate_the_cases_behind_it_fail_and_its_rows_are_tests():
    cases = (
        samples.case("vendor-exception-over-threshold-1", "vendor_exception", passed=0),
        samples.case("wrong", passed=1),
    )
    root = read(samples.report(samples.failed_gate(), cases=cases))
    assert outcome(root, "vendor-exception-over-threshold-1") == "failure"
    assert outcome(root, "wrong") == "passed"  # as wrong as it was in the baseline
    assert outcome(root, "vendor_exception: trajectory_match") == "failure"
    assert outcome(root, "small_talk: trajectory_match") == "passed"
    gate = next(suite for suite in root if suite.get("name") == "gate")
    assert (gate.get("tests"), gate.get("failures")) == ("10", "2")
    failure = next(gate.iter("failure"))
    assert "retriever retrieve_policy: missing in 100 % of trials" in failure.text


def test_what_the_gate_could_not_decide_is_an_error_and_what_is_missing_fails():
    rows = [samples.row("a", verdict, verdict) for verdict in ("unmeasurable", "inconclusive")]
    root = read(samples.report(samples.gate(*rows, samples.row("a", "missing", "missing"))))
    assert outcome(root, "a: unmeasurable") == "error"
    assert outcome(root, "a: inconclusive") == "error"
    assert outcome(root, "a: missing") == "failure"


def test_a_case_that_nothing_judged_is_skipped():
    assert outcome(read(samples.report(cases=(samples.case("a", scores=False),))), "a") == "skipped"


def test_hostile_text_stays_text():
    row = samples.row(samples.HOSTILE, "x", "broken", reason=samples.HOSTILE + "]]>\ud800\ufffe")
    cases = (samples.case(samples.HOSTILE, samples.HOSTILE),)
    root = read(samples.report(samples.gate(row), cases=cases))
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "testcase", "failure", "error", "skipped", "system-out",
    }  # fmt: skip
