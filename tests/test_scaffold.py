"""`evalkit init` writes a project that runs at once and overwrites nothing."""

from pathlib import Path

import pytest

from evalkit.check import load_suite
from evalkit.comparison import summarize
from evalkit.errors import InputError
from evalkit.runner import run
from evalkit.scaffold import init
from evalkit.store import Store


def test_the_project_runs_and_passes(tmp_path: Path) -> None:
    written = init(tmp_path / "new")
    assert [path.name for path in written] == ["pipeline.py", "suite.yaml", "cases.jsonl"]
    finished = run(
        load_suite(tmp_path / "new" / "suite.yaml"), label="main", store=tmp_path / "store"
    )
    routes = summarize(Store(tmp_path / "store").load(finished.id))
    assert [route.route for route in routes] == ["order_status", "refund"]
    for route in routes:
        assert {scorer.estimate.mean for scorer in route.scorers} == {1.0}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text("mine")
    with pytest.raises(InputError, match="nothing was written"):
        init(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["suite.yaml"]


def test_a_folder_that_cannot_be_made_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        init(tmp_path / "file" / "below")
