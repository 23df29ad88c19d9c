"""The tables and views of results.duckdb, and the rows that do not come from Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from evalkit.folders import SCHEMA_VERSION
from evalkit.folders.rows import COLUMNS
from evalkit.reports import GateReport
from evalkit.results import Run

RUNS: Mapping[str, str] = {
    "run": "VARCHAR",
    "label": "VARCHAR",
    "suite": "VARCHAR",
    "suite_path": "VARCHAR",
    "dataset_path": "VARCHAR",
    "dataset_digest": "VARCHAR",
    "cases": "BIGINT",
    "trials": "BIGINT",
    "status": "VARCHAR",
    "started": "DOUBLE",
    "finished": "DOUBLE",
    "commit": "VARCHAR",
    "evalkit_version": "VARCHAR",
    "settings": "VARCHAR",
    "selection": "VARCHAR",
    "scopes": "VARCHAR",
    "stray_spans": "BIGINT",
}
CASES: Mapping[str, str] = {
    "run": "VARCHAR",
    "case": "VARCHAR",
    "route": "VARCHAR",
    "owner": "VARCHAR",
    "tags": "VARCHAR",
    "digest": "VARCHAR",
}
VERDICTS: Mapping[str, str] = {
    "run": "VARCHAR",
    "label": "VARCHAR",
    "baseline_run": "VARCHAR",
    "baseline_label": "VARCHAR",
    "decided": "DOUBLE",
    "exit": "BIGINT",
    "alpha": "DOUBLE",
    "route": "VARCHAR",
    "scorer": "VARCHAR",
    "verdict": "VARCHAR",
    "baseline": "DOUBLE",
    "candidate": "DOUBLE",
    "difference": "DOUBLE",
    "low": "DOUBLE",
    "high": "DOUBLE",
    "p": "DOUBLE",
    "p_adjusted": "DOUBLE",
    "detectable": "DOUBLE",
    "cases": "BIGINT",
    "trials": "BIGINT",
    "broken": "VARCHAR",
    "owners": "VARCHAR",
    "reason": "VARCHAR",
    "changes": "VARCHAR",
    "steps": "VARCHAR",
}

DATABASE: Mapping[str, Mapping[str, str]] = {
    "runs": RUNS,
    "cases": CASES,
    **{table: {"run": "VARCHAR", **columns} for table, columns in COLUMNS.items()},
    "verdicts": VERDICTS,
}
"""Every table but ``meta``, with its columns and SQL types."""

VIEWS = {
    "route_scores": """
        SELECT run, label, suite, route, scorer,
               count(*) AS cases, sum(scored)::BIGINT AS trials, avg(mean) AS mean,
               avg(passed) AS passed, sum(not_judged)::BIGINT AS not_judged
        FROM (
            SELECT s.run, r.label, r.suite, s.route, s.scorer, s."case",
                   count(s.value) AS scored, avg(s.value) AS mean,
                   avg(s.passed::DOUBLE) AS passed,
                   count(*) FILTER (s.status = 'could_not_judge') AS not_judged
            FROM scores s JOIN runs r USING (run)
            WHERE s.status <> 'nothing_to_judge'
            GROUP BY ALL)
        GROUP BY ALL ORDER BY run, route, scorer""",
    "failed_steps": """
        SELECT s.run, r.label, t.route, s.kind, s.name, count(*) AS failures,
               count(DISTINCT s."case") AS cases, any_value(s.error) AS example
        FROM steps s JOIN runs r USING (run) JOIN trials t USING (run, "case", trial)
        WHERE s.status = 'error'
        GROUP BY ALL ORDER BY failures DESC""",
}
"""``route_scores``: means over cases of each case's mean. ``failed_steps``: where errors are."""


class Decision(msgspec.Struct, frozen=True):
    """A gate's report on a run, and when it was given (seconds since the epoch)."""

    decided: float
    report: GateReport


class Outcome(msgspec.Struct, frozen=True):
    """Of a gate's report what it came to, read without its rows."""

    baseline: str | None
    exit: int
    confirmed: bool = False


def statements() -> list[str]:
    """The SQL that makes an empty database."""
    made = ["CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR)"]
    made.append(f"INSERT INTO meta VALUES ('schema_version', '{SCHEMA_VERSION}')")  # noqa: S608 - ours
    for table, columns in DATABASE.items():
        listed = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        made.append(f"CREATE TABLE {table} ({listed})")
    made += [f"CREATE VIEW {name} AS {query}" for name, query in VIEWS.items()]
    return made


def run_rows(run: Run, cases: int) -> list[dict[str, Any]]:
    """The run, of so many cases, as its one row of ``runs``."""
    row = {name: getattr(run, name) for name in RUNS if hasattr(run, name)}
    return [
        row
        | {
            "run": run.id,
            "suite": run.suite.name,
            "cases": cases,
            "settings": _json(run.settings),
            "selection": _json(run.selection),
            "scopes": _json(run.scopes),
        }
    ]


def case_rows(run: Run, first: int, most: int) -> list[dict[str, Any]]:
    """The planned cases, at most so many from the first, as rows of ``cases``."""
    return [
        {
            "run": run.id,
            "case": case.id,
            "route": case.route,
            "owner": case.owner,
            "tags": _json(case.tags),
            "digest": case.digest,
        }
        for case in run.planned[first : first + most]
    ]


def verdict_rows(decision: Decision) -> list[dict[str, Any]]:
    """A gate's decision as rows of ``verdicts``, one per route and scorer."""
    return [
        {name: getattr(row, name) for name in VERDICTS if hasattr(row, name)}
        | {name: _json(getattr(row, name)) for name in ("broken", "owners", "changes", "steps")}
        | {
            "run": decision.report.run,
            "label": decision.report.label,
            "baseline_run": decision.report.baseline,
            "baseline_label": decision.report.baseline_label,
            "decided": decision.decided,
            "exit": int(decision.report.exit),
            "alpha": decision.report.alpha,
        }
        for row in decision.report.rows
    ]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
