"""The rows of a query as a table; what they hold is shown as text, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evalkit.console import to_text
from evalkit.escaping import line

if TYPE_CHECKING:
    from rich.console import RenderableType

MAX_CELL = 120
WORD = 22
"""A column of a table has room for a word of so many characters, as a run's id has."""


def render(
    names: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    /,
    *,
    width: int = 100,
    color: bool = False,
) -> str:
    """A table with a header; NULL is a dash, and long cells are cut.

    Where that would break words in the middle, each row is a list of its own.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = [[line(name) for name in names]]
    shown += ([_cell(row[name]) for name in names] for row in rows)
    count = Text(f"{len(rows):,} rows", "dim")
    widths = (max(len(cell) for cell in column) for column in zip(*shown, strict=True))
    if rows and sum(2 + min(widest, WORD) for widest in widths) > width:
        lists = (part for row in shown[1:] for part in (_listed(shown[0], row), ""))
        return to_text(*lists, count, width=width, color=color)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in shown[0]:
        table.add_column(Text(name), overflow="fold")
    for cells in shown[1:]:
        table.add_row(*map(Text, cells))
    return to_text(table, count, width=width, color=color)


def _listed(names: Sequence[str], cells: Sequence[str]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, cell in zip(names, cells, strict=True):
        made.add_row(Text(name, "dim"), Text(cell))
    return made


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return line(f"{value:.6g}" if isinstance(value, float) else str(value), MAX_CELL)
