"""The published JSON Schemas are those of the records, and agree with the reader."""

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from evalkit.dataset import Case
from evalkit.schemas import case_schema, suite_schema
from evalkit.suite import Suite
from evalkit.validation import convert

PUBLISHED = Path(__file__).parents[1] / "schemas"

CASES = [
    {},
    {"steps": [{"tool": "a", "node": "b"}]},
    {"steps": [{"any_of": [{"tool": "a"}]}], "match": "effects"},
    {"steps": [{"tool": "a", "args": {"x": {"ge": 1}}, "optional": True, "after": ["b"]}]},
    {"match": "sideways"},
    {"limits": {"steps": -1}},
    {"unknown": 1},
]


@pytest.mark.parametrize(("name", "schema"), [("suite", suite_schema()), ("case", case_schema())])
def test_published_schemas_are_in_step(name: str, schema: dict[str, object]) -> None:
    published = json.loads((PUBLISHED / f"{name}.schema.json").read_text())
    assert published == json.loads(json.dumps(schema)), "run: python -m evalkit.schemas schemas"
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("expect", CASES)
def test_schema_and_reader_accept_the_same_cases(expect: dict[str, object]) -> None:
    value = {"id": "a", "input": 1, "route": "r", "expect": expect}
    accepted = jsonschema.Draft202012Validator(case_schema()).is_valid(value)
    assert accepted == (not convert(value, Case)[1])


@pytest.mark.parametrize("pipeline", [{}, {"call": "a:b"}, {"call": "a:b", "http": "http://x"}])
def test_schema_and_reader_accept_the_same_suites(pipeline: dict[str, object]) -> None:
    value = {"name": "s", "dataset": "d", "pipeline": pipeline}
    accepted = jsonschema.Draft202012Validator(suite_schema()).is_valid(value)
    assert accepted == (not convert(value, Suite)[1])


def test_the_template_dataset_fits_the_schema() -> None:
    text = (files("evalkit") / "templates" / "cases.jsonl").read_text()
    for line in text.splitlines():
        jsonschema.validate(json.loads(line), case_schema())
