"""One self-contained HTML file: the page's data as JSON islands, and a script that shows them.

Nothing from data becomes markup: islands are JSON with ``<`` escaped, the script sets text only,
and the policy in the page forbids everything but this script and this style sheet.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from evalkit.reporters.html.islands import LARGE, dump, island, pack

__all__ = ["LARGE", "render"]

SCRIPTS = ("text.js", "charts.js", "routes.js", "cases.js", "case.js", "page.js")


def render(overview: Mapping[str, Any], details: Sequence[Mapping[str, Any]], /) -> str:
    """The page. ``details`` are those of the first cases of the overview's list, in its order.

    Above 1 MB the islands are compressed; those of the cases are read when a case is opened.
    """
    script, style = _script(), _read("style.css")
    packs = pack(details)
    first = {**overview, "packs": [start for start, _ in packs], "detailed": len(details)}
    texts = [("overview", dump(first))]
    texts += [(f"pack-{at}", text) for at, (_, text) in enumerate(packs)]
    compressed = sum(len(text) for _, text in texts) > LARGE
    values = {
        "TITLE": html.escape(f"{overview['headline']} · {overview['suite']}"),
        "POLICY": policy(script, style),
        "STYLE": style,
        "SCRIPT": script,
        "ISLANDS": "\n".join(island(name, text, compressed) for name, text in texts),
    }
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda found: values[found[1]], _read("template.html"))


def policy(script: str, style: str) -> str:
    """The Content-Security-Policy of the page: this script, this style, and nothing else."""
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _script() -> str:
    parts = "\n".join(_read(name) for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();\n'


def _read(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
