"""The run that a command's argument names."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.results import Run
    from evalkit.store import Store


def named_run(store: Store, ref: str) -> Run:
    """The run of this id or label; a note on stderr tells whose, where several suites have one.

    Raises as :meth:`evalkit.store.Store.find`.
    """
    found = store.find(ref)
    note_suites(store, ref, found)
    return found


def note_suites(store: Store, ref: str, found: Run) -> None:
    """Says on stderr which suite's run was taken, where runs of several bear the label."""
    from evalkit.escaping import line

    others = [name for name in store.suites(ref) if name != found.suite.name]
    if found.id == ref or not others:
        return
    print(
        f"note: runs of {len(others) + 1} suites bear the label {line(ref, 100)}: "
        f"{found.id} of {line(found.suite.name, 100)} is the newest. For one of "
        f"{', '.join(line(name, 100) for name in others[:5])}, name its id (`evalkit runs`)",
        file=sys.stderr,
    )
