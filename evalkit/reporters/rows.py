"""The rows of a query as a table; what they hold is shown as text, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.console import to_text
from evalkit.escaping import line

MAX_CELL = 120


def render(
    names: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    /,
    *,
    width: int = 100,
    color: bool = False,
) -> str:
    """A table with a header; NULL is a dash, and long cells are cut."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in names:
        table.add_column(Text(line(name)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[name])) for name in names))
    return to_text(table, Text(f"{len(rows):,} rows", "dim"), width=width, color=color)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return line(f"{value:.6g}" if isinstance(value, float) else str(value), MAX_CELL)
