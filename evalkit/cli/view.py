"""`evalkit view`: the store's runs and reports in a browser of this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, StoreOption


def view(
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="0: any free one.")
    ] = 0,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show runs and reports in a browser, on this machine only; Ctrl-C ends it."""
    from evalkit.cli.report import page
    from evalkit.store import Store
    from evalkit.viewing import open_view

    opened = Store(store)
    shown = open_view(opened, lambda run, baseline: page(opened, run, baseline), port)
    typer.echo(f"open {shown.url}\nCtrl-C ends it")
    try:
        shown.server.serve_forever()
    except KeyboardInterrupt:
        typer.echo("")
    finally:
        shown.server.server_close()
