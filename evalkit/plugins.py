"""A name, or ``package.module:object``, becomes a plug-in that is checked when it loads."""

from __future__ import annotations

import difflib
import importlib
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from evalkit.errors import PluginError

GROUPS = {
    "scorer": "evalkit.scorers",
    "convention": "evalkit.conventions",
    "target": "evalkit.targets",
    "reporter": "evalkit.reporters",
}


@cache
def registered(kind: str) -> dict[str, EntryPoint]:
    """The installed plug-ins of a kind (``scorer``, ``convention``, ...), by name."""
    return {point.name: point for point in entry_points(group=GROUPS[kind])}


def load(kind: str, name: str, folder: str | Path | None = None) -> Any:
    """The plug-in of that name, or the object at ``package.module:object``.

    Modules are looked for from ``folder`` upwards (see :func:`make_importable`), then among
    installed ones. Raises PluginError with what was wrong and what would be right.
    """
    if ":" in name:
        make_importable(folder, name)
        return load_object(name)
    point = registered(kind).get(name)
    if point is None:
        close = difflib.get_close_matches(name, registered(kind), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        known = ", ".join(sorted(registered(kind)))
        raise PluginError(
            f"unknown {kind} {name!r}.{hint} Known: {known}. Name your own as package.module:object"
        )
    try:
        return point.load()
    except (Exception, SystemExit) as error:  # a third party's import may raise anything
        raise PluginError(
            f"{kind} {name!r} ({point.value}) does not load: {_say(error)}"
        ) from error


def load_object(path: str) -> Any:
    """The object at ``package.module:object``; PluginError says what could not be found."""
    module_name, _, attribute = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise PluginError(f"{path!r} does not import: {_say(error)}") from error
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            close = difflib.get_close_matches(part, dir(found), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise PluginError(f"{path!r}: {module_name} has no {part!r}{hint}") from None
    return found


def make_importable(folder: str | Path | None, path: str) -> None:
    """Makes the module of ``path`` importable from ``folder`` or a folder above it.

    The first folder, going up from ``folder``, that holds the module's top-level package or file
    is put in front of ``sys.path`` and stays there: a pipeline imports its own parts later.
    """
    top = path.partition(":")[0].partition(".")[0]
    for root in _upwards(folder):
        if (root / f"{top}.py").is_file() or (root / top).is_dir():
            if str(root) not in sys.path:
                sys.path.insert(0, str(root))
                importlib.invalidate_caches()
            return


def _upwards(folder: str | Path | None) -> list[Path]:
    start = Path(folder).resolve() if folder else Path.cwd()
    return [start, *start.parents, Path.cwd()]


def _say(error: BaseException) -> str:
    """The error on one line, as a person reads it."""
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text[:500]}"
