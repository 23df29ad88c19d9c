"""`evalkit init`: a small project that runs at once, to be replaced piece by piece."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from evalkit.errors import InputError
from evalkit.files import write_atomically

TEMPLATES = ("pipeline.py", "suite.yaml", "cases.jsonl")


def init(folder: Path) -> list[Path]:
    """Writes a pipeline, a suite and a dataset into ``folder``; overwrites nothing.

    Raises InputError, before anything is written, when one of the files is there already.
    """
    targets = [folder / name for name in TEMPLATES]
    if taken := [str(target) for target in targets if target.exists()]:
        raise InputError(f"{', '.join(taken)}: there already; nothing was written")
    try:
        for name, target in zip(TEMPLATES, targets, strict=True):
            write_atomically(target, (files("evalkit") / "templates" / name).read_bytes())
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from None
    return targets
