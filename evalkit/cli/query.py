"""`evalkit query`: a question to the database, read-only and locked down."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption
from evalkit.cli.output import say, screen


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="A query; tables: docs/store.md.")],
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = Format.TABLE,
) -> None:
    """Ask the database; it can write nothing and reach no file."""
    from evalkit.reporters.json import to_json
    from evalkit.store import Store

    table = Store(store).query(sql)
    if form is Format.JSON:
        say(to_json({"rows": table.to_pylist()}))
    else:
        from evalkit.reporters.rows import render

        say(render(table.column_names, table.to_pylist(), **screen()))
