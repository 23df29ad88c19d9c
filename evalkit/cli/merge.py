"""`evalkit merge`: the shards of a CI matrix become one run."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, StoreOption


def merge(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Run ids or labels.")],
    label: Annotated[str | None, typer.Option(help="The new run's label; default: theirs.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Make one run of runs of parts of a dataset (`run --shard`)."""
    from evalkit.merging import merge as join
    from evalkit.store import Store

    made = join(Store(store), runs, label)
    typer.echo(f"{made.label} ({made.id}): {len(made.planned)} cases x {made.trials} trials")
