"""YAML that means one thing: no duplicate keys, anchors, tags or surprises, with line numbers.

Scalars follow YAML 1.2: ``no`` is text and ``12:30:45`` is text. Times and dates stay text.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from evalkit.errors import FileError, Problem

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_DIGITS = 100

Path = tuple[str | int, ...]


class Mark(NamedTuple):
    """A place in a file, both counted from 1."""

    line: int
    column: int


class Document(NamedTuple):
    """Plain values, and where each key or item stands, by its path from the top."""

    value: Any
    marks: dict[Path, Mark]

    def mark(self, path: Path) -> Mark:
        """Where ``path`` stands, or the nearest thing around it that the file has."""
        for length in range(len(path), -1, -1):
            if found := self.marks.get(path[:length]):
                return found
        return Mark(1, 1)


def read(text: str, file: str) -> Document:
    """The document in ``text``; FileError with line and column where it is not strict YAML."""
    if len(text) > MAX_BYTES:
        raise FileError(Problem(file, f"{len(text):,} characters; at most {MAX_BYTES:,}"))
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        _refuse_indirection(YAML(typ="safe", pure=True).parse(text), file)
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(str(error.problem or error.context or "not YAML").split())
        at = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise FileError(Problem(file, what, *at)) from None
    except YAMLError as error:
        raise FileError(Problem(file, " ".join(str(error).split())[:300])) from None
    if root is None:
        raise FileError(Problem(file, "the file is empty"))
    marks: dict[Path, Mark] = {(): Mark(1, 1)}
    return Document(_value(root, (), marks, file), marks)


def _refuse_indirection(events: Any, file: str) -> None:
    """Anchors, aliases, tags and deep nesting are refused before anything is built from them."""
    depth = 0
    for event in events:
        name = type(event).__name__
        depth += name.endswith("StartEvent") - name.endswith("EndEvent")
        at = (event.start_mark.line + 1, event.start_mark.column + 1)
        if name == "AliasEvent" or getattr(event, "anchor", None):
            raise FileError(Problem(file, "anchors and aliases are not allowed", *at))
        tag = getattr(event, "ctag", None) or getattr(event, "tag", None)
        if tag and str(tag) not in {"!", "None"}:
            raise FileError(Problem(file, f"tags are not allowed, found {tag}", *at))
        if depth > MAX_DEPTH:
            raise FileError(Problem(file, f"nested deeper than {MAX_DEPTH} levels", *at))


def _value(node: Node, path: Path, marks: dict[Path, Mark], file: str) -> Any:
    from ruamel.yaml.nodes import MappingNode, SequenceNode

    if isinstance(node, MappingNode):
        return _mapping(node, path, marks, file)
    if isinstance(node, SequenceNode):
        items = []
        for position, item in enumerate(node.value):
            marks[*path, position] = Mark(item.start_mark.line + 1, item.start_mark.column + 1)
            items.append(_value(item, (*path, position), marks, file))
        return items
    return _scalar(node, file)


def _mapping(node: Any, path: Path, marks: dict[Path, Mark], file: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        at = Mark(key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        key = key_node.value
        if not isinstance(key, str):
            raise FileError(Problem(file, "a key must be plain text", *at))
        if key in found:
            raise FileError(Problem(file, f"duplicate key `{key}`", *at, key=show_path(path)))
        marks[*path, key] = at
        found[key] = _value(value_node, (*path, key), marks, file)
    return found


def _scalar(node: Any, file: str) -> Any:
    text: str = node.value
    match str(node.tag).rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            digits = text.replace("_", "")
            if len(digits) > MAX_DIGITS:
                at = (node.start_mark.line + 1, node.start_mark.column + 1)
                raise FileError(Problem(file, f"a number of {len(digits):,} digits", *at))
            return int(digits, 0) if digits[:2].lower() in {"0o", "0x", "0b"} else int(digits)
        case "float":
            number = float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
            if not math.isfinite(number):
                at = (node.start_mark.line + 1, node.start_mark.column + 1)
                raise FileError(Problem(file, f"{text} is not a finite number", *at))
            return number
    return text


def show_path(path: Path) -> str:
    """A path as people write it: ``$.gate.on[0]``."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
