"""What the documentation shows is true: its examples parse and run, its commands exist."""

import re
import sys
from pathlib import Path

import pytest

from evalkit import strict_yaml
from evalkit.dataset import Case
from evalkit.files import read_json
from evalkit.suite import Suite
from evalkit.testing import check_scorer
from evalkit.validation import convert

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_readmes_case_is_a_case() -> None:
    (example,) = blocks(README, "json")
    case, problems = convert(read_json(example), Case)
    assert problems == []
    assert case is not None


def test_the_suite_of_the_documentation_is_a_suite() -> None:
    example = blocks((ROOT / "docs" / "suites.md").read_text(), "yaml")[0]
    _, problems = convert(strict_yaml.read(example, "suites.md").value, Suite)
    assert problems == []


def test_every_key_of_a_suite_is_documented() -> None:
    text = (ROOT / "docs" / "suites.md").read_text()
    for key in {*Suite.__struct_fields__, *Suite.__annotations__} - {"schema", "gate"}:
        assert f"`{key}" in text, key


def test_the_documented_scorer_conforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = blocks((ROOT / "docs" / "plugins.md").read_text(), "python")[0]
    (tmp_path / "documented_scorer.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    check_scorer("documented_scorer:cites_a_source", {"at_least": 2})
    del sys.modules["documented_scorer"]


def test_every_command_is_in_the_readme_and_the_other_way_round() -> None:
    from typer.main import get_command

    from evalkit.cli.app import app

    group = get_command(app)
    commands = set(group.commands)  # type: ignore[attr-defined]
    table = README.partition("## Commands")[2].partition("## Documentation")[0]
    documented = set(re.findall(r"`evalkit ([a-z]+)", table))
    assert documented == commands


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"
