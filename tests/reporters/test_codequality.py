import json

import msgspec

from evalkit.reporters import codequality, github
from tests.reporters import samples


def failed_report():
    run = msgspec.structs.replace(samples.run(), dataset_path="datasets/d.jsonl")
    report = samples.report(samples.gate(samples.regressed()))
    return msgspec.structs.replace(report, run=run)


def test_an_issue_for_each_worse_case_at_its_line():
    report = failed_report()
    worse = report.gate.rows[0].changes[0].case
    issues = json.loads(codequality.render(report, lines={worse: 7}))
    assert {issue["location"]["lines"]["begin"] for issue in issues} == {7}
    assert issues[0]["location"]["path"] == report.run.dataset_path
    assert worse in issues[0]["description"]
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)


def test_without_known_lines_the_suite_is_pointed_at_and_a_pass_is_empty():
    issues = json.loads(codequality.render(samples.report(samples.failed_gate())))
    assert {issue["location"]["path"] for issue in issues} == {
        "pipelines/vendor_assistant/suite.yaml"
    }
    assert json.loads(codequality.render(samples.report(samples.passed_gate()))) == []


def test_annotations_point_at_the_worst_case_too():
    report = failed_report()
    worse = report.gate.rows[0].changes[0].case
    first = github.render(report, lines={worse: 7}).splitlines()[0]
    assert f"file={report.run.dataset_path},line=7," in first
