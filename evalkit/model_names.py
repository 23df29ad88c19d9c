"""Whether the model that answered is the one that was asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

Evidence = Literal["match", "mismatch", "unknown"]
Aliases = Mapping[str, Sequence[str]]
"""Names that are asked for, such as a gateway's, and the models that may answer for each."""

_VERSION = re.compile(r"[-@:](\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|00\d|latest)(?:-v\d+(?::\d+)?)?$")


def served_evidence(
    requested: str | None, served: str | None, aliases: Aliases | None = None
) -> Evidence:
    """``match`` or ``mismatch`` by identity, ``unknown`` where either is not recorded.

    No difference are upper case, a provider's prefix (``openai/``), and a version's date that one
    of them leaves open: ``gpt-4o`` is answered by ``gpt-4o-2024-08-06``, and
    ``gpt-4o-2024-05-13`` is not. A longer name is another model: ``gpt-4o-mini``.
    """
    if requested is None or served is None:
        return "unknown"
    allowed = (requested, *(aliases or {}).get(requested, ()))
    return "match" if any(_is_same(one, served) for one in allowed) else "mismatch"


def _is_same(one: str, other: str) -> bool:
    (name, version), (other_name, other_version) = _parts(one), _parts(other)
    return name == other_name and (version == other_version or not (version and other_version))


def _parts(model: str) -> tuple[str, str]:
    """The model's name without its provider, and the version that it is pinned to, if any."""
    name = model.rpartition("/")[2].strip().lower()
    found = _VERSION.search(name)
    if found is None:
        return name, ""
    return name[: found.start()], found[1] if found[1] != "latest" else ""
