"""JUnit XML: a suite per route with a test per case, and a suite for the gate's rows.

A case is a *failure* when the gate blames it (it got worse on a route that regressed or broke);
without a gate, when a scorer that the suite gates on failed in most of its trials. It is an
*error* when none of its trials gave an answer, and *skipped* when no gating scorer judged it. A
gate row is a failure when regressed, broken or missing, and an error when unmeasurable or
inconclusive: like the gate, it does not pass.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET  # written here, never parsed
from collections.abc import Iterable

from evalkit import phrasing
from evalkit.escaping import line, lines
from evalkit.reports import FAILED, UNDECIDED, CaseSummary, GateReport, GateRow, Report


def render(report: Report, /) -> str:
    """The report as one JUnit XML document."""
    root = ET.Element("testsuites", name=line(f"{report.run.suite.name} {report.run.label}"))
    blamed = _blamed(report.gate)
    for route in dict.fromkeys(case.route for case in report.cases):
        suite = ET.SubElement(root, "testsuite", name=line(route))
        for case in report.cases:
            if case.route == route:
                _case(suite, case, report, blamed)
    if report.gate is not None:
        suite = ET.SubElement(root, "testsuite", name="gate")
        for row in report.gate.rows:
            _gate_row(suite, row)
    for suite in root:
        _count(suite, suite.iter("testcase"))
    _count(root, root.iter("testcase"))
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _case(suite: ET.Element, case: CaseSummary, report: Report, blamed: dict[str, str]) -> None:
    test = ET.SubElement(
        suite,
        "testcase",
        classname=line(f"{report.run.suite.name}.{case.route}"),
        name=line(case.case),
    )
    if case.latency_s is not None:
        test.set("time", f"{case.latency_s:.3f}")
    lost = sum(case.infrastructure.values())
    on = report.run.suite.gate.of(case.route).on or ()
    if lost and lost >= case.trials:
        kinds = ", ".join(f"{kind} {many}" for kind, many in sorted(case.infrastructure.items()))
        _outcome(test, "error", f"no trial gave an answer: {kinds}", case.error or "")
    elif report.gate is not None and case.case in blamed:
        _outcome(test, "failure", blamed[case.case], _scores(case))
    elif report.gate is None and (wrong := _mostly_failed(case, on)):
        _outcome(test, "failure", f"failed in most trials: {', '.join(wrong)}", _scores(case))
    elif not any(score.scored for score in case.scores):
        ET.SubElement(test, "skipped", message="nothing to judge")
    if case.scores or lost:
        said = _scores(case) + (f"\ninfrastructure failures: {lost}" if lost else "")
        ET.SubElement(test, "system-out").text = lines(said)


def _gate_row(suite: ET.Element, row: GateRow) -> None:
    test = ET.SubElement(
        suite, "testcase", classname="gate", name=line(f"{row.route}: {row.scorer}")
    )
    said = [row.reason, phrasing.fired(row)]
    said += [phrasing.step_change(step, line) for step in row.steps]
    said += [
        f"{line(one.case)}: trials passed {phrasing.passes(one)}"
        for one in phrasing.worse_cases(row)
    ]
    said += ["owners: " + ", ".join(line(owner) for owner in row.owners)] if row.owners else []
    text = "\n".join(filter(None, said))
    if row.blocking and row.verdict in (*FAILED, *UNDECIDED):
        kind = "failure" if row.verdict in FAILED else "error"
        _outcome(test, kind, f"{row.verdict}: {row.reason}", text)
    else:
        ET.SubElement(test, "system-out").text = lines(f"{row.verdict}\n{text}", 4000)


def _outcome(test: ET.Element, kind: str, message: str, text: str) -> None:
    ET.SubElement(test, kind, message=line(message, 600), type=kind).text = lines(text, 4000)


def _blamed(gate: GateReport | None) -> dict[str, str]:
    """The cases behind the rows that failed, with what to say about each."""
    blamed: dict[str, list[str]] = {}
    for row in gate.rows if gate else ():
        if row.blocking and row.verdict in ("regressed", "broken"):
            for one in phrasing.worse_cases(row):
                said = f"{row.scorer} {row.verdict}: trials passed {phrasing.passes(one)}"
                blamed.setdefault(one.case, []).append(said)
            changed = {one.case for one in row.changes}
            for case in row.broken:
                if case not in changed:
                    blamed.setdefault(case, []).append(f"{row.scorer} broken")
    return {case: "; ".join(said) for case, said in blamed.items()}


def _mostly_failed(case: CaseSummary, on: Iterable[str]) -> list[str]:
    gating = [score for score in case.scores if score.scorer in on and score.scored]
    return [score.scorer for score in gating if 2 * score.passed < score.scored]


def _scores(case: CaseSummary) -> str:
    return "\n".join(
        f"{line(one.scorer)}: passed {one.passed}/{one.scored}, "
        f"mean {phrasing.number(one.mean)}: {line(one.reason)}"
        for one in case.scores
    )


def _count(element: ET.Element, tests: Iterable[ET.Element]) -> None:
    found = list(tests)
    element.set("tests", str(len(found)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(sum(test.find(tag) is not None for test in found)))
    element.set("time", f"{sum(float(test.get('time', 0)) for test in found):.3f}")
