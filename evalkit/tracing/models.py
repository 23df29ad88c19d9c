"""Whether the model that answered is the one that was asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

Evidence = Literal["match", "mismatch", "unknown"]

_DATE = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|latest)$")


def served_evidence(
    requested: str | None, served: str | None, aliases: Mapping[str, str] | None = None
) -> Evidence:
    """``match`` or ``mismatch`` by exact identity, ``unknown`` where either is not recorded.

    A provider's prefix (``openai/``) and a version's date are no difference, a longer name is:
    ``gpt-4o-mini`` starts with ``gpt-4o`` and is another model. ``aliases`` maps names of one's
    own, such as a gateway's, to the models that they stand for.
    """
    if requested is None or served is None:
        return "unknown"
    known = aliases or {}
    same = identity(known.get(requested, requested)) == identity(known.get(served, served))
    return "match" if same else "mismatch"


def identity(model: str) -> str:
    """The model's name without its provider and its version's date, in lower case."""
    return _DATE.sub("", model.rpartition("/")[2].strip().lower())
