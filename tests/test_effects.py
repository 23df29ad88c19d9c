"""What a tool's name tells of its effect."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from evalkit import match
from evalkit.check import guesses
from evalkit.cli import main
from evalkit.dataset import Case, Dataset, Expected, ExpectedStep
from evalkit.effects import reads_by_name, sets_by_name, verb
from evalkit.files import LoadedSuite
from evalkit.runner import run
from evalkit.suite import Effects, Pipeline, Suite
from tests.project import CASES, load_project


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("get_user", "get"),
        ("getUser", "get"),
        ("GetUser", "get"),
        ("crm.get-user", "get"),
        ("mcp__crm__get_user", "get"),
        ("HTTPGet", "http"),
        ("", ""),
        ("__", ""),
        ("ü", "ü"),
    ],
)
def test_verb(name: str, first: str) -> None:
    assert verb(name) == first


def test_reading_and_setting() -> None:
    reading = "get_order search_flights think lookup_vendor transfer_to_human_agents run_speed_test"
    assert all(reads_by_name(name) for name in reading.split())
    reading = (
        "look_up_order search_in_files list_in_progress is_in_stock check_order checkInventory"
    )
    assert all(reads_by_name(name) for name in reading.split())
    changing = "send_email transfer_funds run_payroll getaway_book book target_set cancel_order"
    assert not any(reads_by_name(name) for name in changing.split())
    changing = (
        "check_in_guest hotel.checkOut check_off_item sign_off load_funds select_seat recall_car"
    )
    assert not any(reads_by_name(name) for name in changing.split())
    assert sets_by_name("update_user")
    assert not sets_by_name("send_certificate")


@pytest.mark.parametrize("name", ["check_in_guest", "load_funds"])
def test_doing_nothing_is_no_effect_that_was_expected(name: str) -> None:
    call = {"name": name, "args": {"room": 5}}
    assert match([call], [], mode="effects").passed is False
    assert match([call], [call], mode="effects").passed


def test_check_names_what_it_guesses() -> None:
    case = Case(
        id="c",
        input="?",
        route="r",
        expect=Expected(
            steps=(ExpectedStep(tool="get_it"), ExpectedStep(tool="send_it")), match="effects"
        ),
    )
    suite = Suite(name="s", pipeline=Pipeline(traces="t.jsonl"), dataset="d.jsonl")
    (said,) = guesses(LoadedSuite(suite, Dataset((case,)), Path("suite.yaml")))
    assert said.endswith("of the expected ones: send_it; only read, and are not looked at: get_it")
    stated = replace(suite, effects=Effects(write=("send_it",)))
    assert guesses(LoadedSuite(stated, Dataset((case,)), Path("suite.yaml"))) == []


def test_a_run_and_its_reports_name_what_is_guessed(tmp_path: Path) -> None:
    case = {**CASES[0], "expect": {**CASES[0]["expect"], "match": "effects"}}
    loaded = load_project(tmp_path, cases=[case], trials=1)
    finished = run(loaded, label="x", store=tmp_path / "s")
    (said,) = finished.notes
    assert "Guessed by their names" in said
    page = tmp_path / "x.html"
    assert main(["report", "x", "--store", str(tmp_path / "s"), "-o", str(page)]) == 0
    assert "Guessed by their names" in page.read_text("utf-8")
