"""Rich's tables and text as a plain string: fixed width, no markup, colour only when asked."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table


def to_text(*parts: RenderableType, width: int, color: bool = False) -> str:
    """``parts`` one below the other, at most ``width`` columns wide, without trailing blanks."""
    console = _console(width, color)
    console.print(*parts, sep="\n")
    file = console.file
    assert isinstance(file, StringIO)
    return "\n".join(row.rstrip() for row in file.getvalue().splitlines()) + "\n"


def fits(part: RenderableType, width: int) -> bool:
    """Whether ``part`` can be shown in ``width`` columns without being squeezed."""
    from rich.measure import Measurement

    console = _console(10_000, False)
    return Measurement.get(console, console.options, part).maximum <= width


def table(*columns: str, right: frozenset[str] | set[str] = frozenset()) -> Table:
    """An empty table with these headings; those in ``right`` hold numbers and align right.

    Numbers and runs are never broken over two lines: a run's id is there to be copied.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for column in columns:
        number = column in right
        justify: Literal["left", "right"] = "right" if number else "left"
        made.add_column(
            Text(column), justify=justify, overflow="fold", no_wrap=number or column == "run"
        )
    return made


def _console(width: int, color: bool) -> Console:
    from rich.console import Console

    return Console(
        file=StringIO(),
        width=max(width, 20),
        force_terminal=color,
        color_system="standard" if color else None,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )
