"""JSON Schemas of the two files that people write, made from the records themselves."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from evalkit.dataset import GROUP_KEYS, STEP_KEYS, Case, ExpectedStep
from evalkit.suite import TARGETS, Pipeline, Suite

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def suite_schema() -> dict[str, Any]:
    """The schema of a suite file."""
    return _schema(Suite, "An evalkit suite")


def case_schema() -> dict[str, Any]:
    """The schema of one line of a dataset."""
    return _schema(Case, "One line of an evalkit dataset: a golden case")


def _schema(record: type, title: str) -> dict[str, Any]:
    schema = msgspec.json.schema(record)
    definitions = schema["$defs"]
    for definition in definitions.values():
        # Every "exactly one of" that the records check when they are built.
        alternatives = _EXACTLY_ONE.get(definition.get("title", ""))
        if alternatives:
            definition["oneOf"] = [_stated(key) for key in alternatives]
        _tidy(definition)
    return {"$schema": DIALECT, "title": title, **schema}


def _stated(key: str) -> dict[str, Any]:
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}


def _tidy(definition: dict[str, Any]) -> None:
    """One line of description is what an editor shows."""
    if "description" in definition:
        definition["description"] = " ".join(definition["description"].split()).replace("``", "`")


_EXACTLY_ONE: dict[str, tuple[str, ...]] = {
    ExpectedStep.__name__: (*STEP_KEYS, *GROUP_KEYS),
    Pipeline.__name__: TARGETS,
}


def write(folder: Path) -> None:
    """Writes both schemas into ``folder``; ``python -m evalkit.schemas schemas`` calls this."""
    for name, schema in (("suite", suite_schema()), ("case", case_schema())):
        text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        (folder / f"{name}.schema.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
