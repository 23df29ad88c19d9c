"""The assistant's tools: real functions on the tables in ``data/``.

``lookup_vendor``, ``check_expense`` and ``lookup_access`` read; ``compliance_review``,
``approve_exception``, ``file_expense`` and ``grant_access`` change state: each returns the record
that it wrote, and the graph keeps these records in the ledger of the call. A row may say that the
system behind it is ``down``, ``slow`` or ``flaky``; then the tool fails as a real one does.
"""

from __future__ import annotations

import hashlib
import time
from functools import cache
from typing import Any

import duckdb
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, tool

from pipelines.vendor_assistant.retrieval import DATA

BACKEND_TIMEOUT_S = 0.15
TABLES = ("vendors", "expense_limits", "people", "systems", "grants")


class BackendError(Exception):
    """The system behind a tool answers with an error."""


class BackendTimeoutError(Exception):
    """The system behind a tool does not answer in time."""


@tool
def lookup_vendor(vendor: str) -> dict[str, Any]:
    """Look up a vendor's status (approved, blocked, new) and risk in the vendor register."""
    row = one_row("SELECT vendor, status, risk, country FROM vendors WHERE vendor ILIKE ?", vendor)
    return {"found": True, **row} if row else {"found": False, "vendor": vendor}


@tool
def compliance_review(vendor: str, amount: float, config: RunnableConfig) -> dict[str, Any]:
    """Open a compliance review of an exception for a vendor over an amount in US dollars."""
    row = one_row("SELECT compliance_backend FROM vendors WHERE vendor ILIKE ?", vendor)
    reach("compliance", row["compliance_backend"] if row else "up", config)
    return _record("compliance_review", "CR", vendor=vendor, amount=amount, status="open")


@tool
def approve_exception(vendor: str, amount: float) -> dict[str, Any]:
    """Record an approved exception for a vendor over an amount in US dollars."""
    return _record("approve_exception", "EX", vendor=vendor, amount=amount, status="approved")


@tool
def check_expense(
    category: str, amount: float, age_days: int, receipt: bool, config: RunnableConfig
) -> dict[str, Any]:
    """Check an expense in US dollars against the limit, receipt and age rules of its category."""
    row = one_row("SELECT * FROM expense_limits WHERE category ILIKE ?", category)
    if row is None:
        return {"found": False, "category": category}
    reach("expense rates", row["rates"], config)
    return {
        "found": True,
        "category": category,
        "limit_usd": row["limit_usd"],
        "reimbursable": row["reimbursable"],
        "within_limit": amount <= row["limit_usd"],
        "too_old": age_days > 60,
        "receipt_missing": not receipt and amount > row["receipt_above_usd"],
    }


@tool
def file_expense(category: str, amount: float) -> dict[str, Any]:
    """File an approved expense in US dollars for reimbursement."""
    return _record("file_expense", "EXP", category=category, amount=amount, status="filed")


@tool
def lookup_access(person: str, system: str, config: RunnableConfig) -> dict[str, Any]:
    """Look up a person's role on a system, their training, and the system's sensitivity."""
    target = one_row("SELECT * FROM systems WHERE system ILIKE ?", system)
    who = one_row("SELECT * FROM people WHERE person ILIKE ?", person)
    if target is None or who is None:
        return {"found": False, "person": person, "system": system}
    reach("access directory", target["directory"], config)
    query = "SELECT role FROM grants WHERE person ILIKE ? AND system ILIKE ?"
    return {
        "found": True,
        "person": who["person"],
        "system": target["system"],
        "role": (one_row(query, person, system) or {}).get("role"),
        "owner": target["owner"],
        "sensitivity": target["sensitivity"],
        "employment": who["employment"],
        "training_valid": who["training_valid"],
    }


@tool
def grant_access(person: str, system: str, role: str) -> dict[str, Any]:
    """Grant a person a role (viewer, editor, admin) on a system."""
    return _record("grant_access", "GR", person=person, system=system, role=role, status="granted")


TOOLS: dict[str, tuple[BaseTool, ...]] = {
    "vendor_exception": (lookup_vendor, compliance_review, approve_exception),
    "expense_question": (check_expense, file_expense),
    "access_request": (lookup_access, grant_access),
    "policy_lookup": (),
    "small_talk": (),
}
"""Which tools the model is offered, by route."""

BY_NAME = {one.name: one for offered in TOOLS.values() for one in offered}
WRITES = frozenset({"compliance_review", "approve_exception", "file_expense", "grant_access"})
NEEDS_APPROVAL = WRITES - {"compliance_review"}
"""Opening a review commits the company to nothing; the other writes wait for a person."""


def one_row(query: str, *parameters: Any) -> dict[str, Any] | None:
    """The first row of a query as a record, or None. Safe to call from several threads."""
    cursor = _database().cursor()
    try:
        cursor.execute(query, parameters)
        row = cursor.fetchone()
        names = [column[0] for column in cursor.description or ()]
    finally:
        cursor.close()
    return dict(zip(names, row, strict=True)) if row else None


def reach(system: str, state: str, config: RunnableConfig) -> None:
    """Waits for the system behind a tool: ``up``, ``down``, ``slow``, or ``flaky`` (first try)."""
    attempt = config.get("metadata", {}).get("attempt", 1)
    if state == "down":
        raise BackendError(f"{system} system: 502 bad gateway")
    if state == "slow" or (state == "flaky" and attempt == 1):
        time.sleep(BACKEND_TIMEOUT_S)
        raise BackendTimeoutError(f"{system} system: no answer within {BACKEND_TIMEOUT_S} s")


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """The tables of ``data/``, in memory, closed to files and further settings once loaded."""
    connection = duckdb.connect(":memory:")
    for table in TABLES:
        path = str(DATA / f"{table}.csv")
        connection.execute(f"CREATE TABLE {table} AS FROM read_csv(?)", [path])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _record(name: str, prefix: str, **fields: Any) -> dict[str, Any]:
    """What a write leaves behind; the same write gets the same number."""
    number = hashlib.sha256(repr(sorted(fields.items())).encode()).hexdigest()[:6]
    return {"action": name, "id": f"{prefix}-{number}", **fields}
