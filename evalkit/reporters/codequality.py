"""Code Climate JSON, which GitLab shows beside the changed lines of a merge request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from evalkit import phrasing
from evalkit.escaping import line
from evalkit.reports import GateRow, Report


def render(report: Report, /, *, lines: Mapping[str, int] | None = None) -> str:
    """One issue a failed row and worse case, at the case's line of the dataset.

    A row without worse cases is at the suite's first line. An empty list where nothing failed.
    """
    failed = phrasing.blocking_rows(report.gate) if report.gate else []
    issues = [issue for row in failed for issue in _issues(row, report, lines or {})]
    return json.dumps(issues, indent=2) + "\n"


def _issues(row: GateRow, report: Report, lines: Mapping[str, int]) -> list[dict[str, Any]]:
    dataset = report.run.dataset_path
    worse = [one for one in phrasing.worse_cases(row) if dataset and one.case in lines]
    if not worse or dataset is None:
        return [_issue(row, line(row.reason, 600), report.run.suite_path or "", 1, "")]
    return [
        _issue(
            row,
            f"{line(one.case, 80)}: trials passed {phrasing.passes(one)}",
            dataset,
            lines[one.case],
            one.case,
        )
        for one in worse
    ]


def _issue(row: GateRow, message: str, file: str, number: int, case: str) -> dict[str, Any]:
    key = "\n".join((row.route, row.scorer, row.verdict, case))
    return {
        "description": f"{line(row.route)} {row.verdict} on {line(row.scorer)}: {message}",
        "check_name": f"evalkit/{line(row.scorer)}",
        "fingerprint": hashlib.sha256(key.encode()).hexdigest()[:32],
        "severity": "major",
        "location": {"path": file, "lines": {"begin": number}},
    }
