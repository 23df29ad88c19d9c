"""Hostile text made harmless for each medium: terminal and XML, Markdown, shell.

What comes from traces, datasets and models passes through one of these before it is shown. All of
them bound the length and say with ``…`` that something was left out.
"""

from __future__ import annotations

import re
import shlex

LIMIT = 300
"""How many characters of one foreign text are shown unless the caller says otherwise."""

# Whole escape sequences: CSI, then OSC and its kin up to their end, so that no "[31m" stays.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\|\x9c)"
)
_MARKDOWN = re.compile(r"[\\`*_\[\]|~$]|:(?=\S)|(?<=www)\.", re.IGNORECASE)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "@<!-- -->", "#": "#<!-- -->"}
_ENTITY = re.compile("[&<>@#]")


def line(text: object, limit: int = LIMIT) -> str:
    """``text`` on one line of printable characters, at most ``limit`` of them.

    Control characters, escape sequences, format characters (bidirectional overrides, zero-width,
    tags), private, unassigned and surrogate code points are dropped; white space becomes a space.
    The result is also legal in XML 1.0.
    """
    return _bounded(" ".join(_printable(str(text), limit).split()), limit, str(text))


def lines(text: object, limit: int = 4 * LIMIT) -> str:
    """Like :func:`line`, but line breaks stay."""
    kept = [
        " ".join(_printable(one, limit).split(" ")).rstrip()
        for one in str(text)[: limit * 8].splitlines()
    ]
    return _bounded("\n".join(kept), limit, str(text))


def markdown(text: object, limit: int = LIMIT) -> str:
    """``text`` as plain words within GitHub Markdown: no markup, HTML, link, mention or cell end.

    GitHub looks for mentions after Markdown is rendered, so ``@`` and ``#`` are cut off from what
    follows by an empty comment; a backslash would not do.
    """
    plain = line(text, limit)
    start = re.match(r"[-+=]|\d+(?=[.)])", plain)
    head = start.group() if start else ""
    rest = _MARKDOWN.sub(lambda found: "\\" + found.group(), plain[len(head) :])
    if head:
        head = "\\" + head if head in "-+=" else head
        rest = "\\" + rest if rest[:1] in (".", ")") else rest
    return _ENTITY.sub(lambda found: _ENTITIES[found.group()], head + rest)


def code(text: object, limit: int = LIMIT) -> str:
    """``text`` as a Markdown code span that can stand in a table's cell."""
    plain = line(text, limit)
    if not plain:
        return ""
    longest = max((len(run) for run in re.findall("`+", plain)), default=0)
    fence = "`" * (longest + 1)
    space = " " if plain[0] == "`" or plain[-1] == "`" else ""
    # A backslash before a pipe would end up escaping our own escape within a table.
    plain = plain.replace("\\|", "\\ |").replace("|", "\\|")
    return f"{fence}{space}{plain}{space}{fence}"


def shell(text: object) -> str:
    """``text`` as one argument that can be pasted into a POSIX shell."""
    return shlex.quote(line(text, 1000))


def _printable(text: str, limit: int) -> str:
    # Work on what could be shown, not on megabytes; sequences may hide some of it.
    text = _SEQUENCES.sub("", text[: limit * 8 + 4096])
    return "".join(char if char.isprintable() else " " * char.isspace() for char in text)


def _bounded(text: str, limit: int, original: str) -> str:
    if len(text) > limit:
        return text[: max(limit - 1, 0)].rstrip() + "…"
    return text + "…" * (len(original) > limit * 8 + 4096 and len(text) < limit)
