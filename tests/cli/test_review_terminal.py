"""`evalkit review` as a person uses it: the real program in a real terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evalkit.dataset import Case
from evalkit.promotion import Draft
from evalkit.reviewing import accept, pending, reject, save
from tests.terminal import Terminal

ROOT = Path(__file__).parents[2]
ASK = "[q]uit [s]:"


def case(name: str) -> Case:
    content = {
        "id": name,
        "input": {"q": f"{name} {name}"},
        "route": "refund",
        "owner": "money",
        "expect": {"steps": [{"tool": "pay"}]},
        "source": {"kind": "production", "trace_id": f"trace-{name}"},
    }
    return msgspec.convert(content, Case)


class Desk:
    """A dataset in a git repository, drafts for it, and the terminal program."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, folder / "store"
        self.dataset = folder / "golden.jsonl"
        self.dataset.write_bytes(msgspec.json.encode(case("first")) + b"\n")
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@x.example", "-C", str(folder)]
        for command in (["init", "-q"], ["add", "golden.jsonl"], ["commit", "-qm", "golden"]):
            subprocess.run([*git, *command], check=True)

    def draft(self, *names: str) -> None:
        for at, name in enumerate(names):
            found = Draft(
                id=name, case=case(name), dataset=str(self.dataset), proposal="a test",
                created=float(at),
            )  # fmt: skip
            save(self.store, found)

    def review(self, editor: str = "true", by: str = "lena") -> Terminal:
        env = {
            **os.environ, "EDITOR": editor, "PYTHONPATH": str(ROOT), "TERM": "xterm",
            "EVALKIT_STORE": str(self.store),
        }  # fmt: skip
        env.pop("VISUAL", None)
        command = [sys.executable, "-m", "evalkit", "review", "--by", by]
        return Terminal(command, cwd=self.folder, env=env)

    def editor(self, script: str) -> str:
        """An editor that does this to ``file``."""
        path = self.folder / "editor.py"
        path.write_text(f"import sys, pathlib\nfile = pathlib.Path(sys.argv[1])\n{script}\n")
        return f"{sys.executable} {path}"

    @property
    def cases(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.dataset.read_text().splitlines()]

    @property
    def waiting(self) -> list[str]:
        return [one.id for one in pending(self.store)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_accept_reject_skip_and_quit(desk: Desk) -> None:
    desk.draft("a", "b", "c", "d", "e")
    terminal = desk.review()
    shown = terminal.expect(ASK)
    assert "1 of 5" in shown
    for part in (
        "draft a",
        "what happened:",
        "expected steps (proposal): from a test",
        '"q": "a a"',
    ):
        assert part in shown
    terminal.type("a")
    shown = terminal.expect(ASK)
    assert f"accepted a: {desk.dataset}:2" in shown
    assert '+{"id":"a"' in shown, "the git diff"
    terminal.type("r")
    terminal.expect("reason:")
    terminal.type("")
    terminal.expect("reason:")
    terminal.type("not a failure")
    assert "draft c" in terminal.expect(ASK)
    terminal.type("what?")
    assert "draft c" in terminal.expect(ASK), "asked again"
    terminal.type("")
    assert "draft d" in terminal.expect(ASK), "skipped"
    terminal.type("q")
    assert terminal.exit_code() == 0
    assert [one["id"] for one in desk.cases] == ["first", "a"]
    source = desk.cases[1]["source"]
    assert (source["trace_id"], source["reviewed_by"]) == ("trace-a", "lena")
    kept = json.loads((desk.store / "drafts" / "rejected" / "b.json").read_bytes())
    assert (kept["by"], kept["reason"]) == ("lena", "not a failure")
    assert desk.waiting == ["c", "d", "e"]


def test_an_edit_is_taken_and_shown_again(desk: Desk) -> None:
    desk.draft("a")
    script = "file.write_text(file.read_text().replace('money', 'treasury'))"
    terminal = desk.review(desk.editor(script))
    terminal.expect(ASK)
    terminal.type("e")
    assert "owner treasury" in terminal.expect(ASK)
    terminal.type("a")
    assert terminal.exit_code() == 0
    assert desk.cases[1]["owner"] == "treasury"


def test_an_invalid_edit_goes_back_to_the_editor_with_what_was_typed(desk: Desk) -> None:
    desk.draft("a")
    script = (
        "text = file.read_text()\n"
        "bad = text.replace('owner', 'ownr').replace('money', 'treasury')\n"
        "file.write_text(text.replace('ownr', 'owner') if 'ownr' in text else bad)"
    )
    terminal = desk.review(desk.editor(script))
    terminal.expect(ASK)
    terminal.type("e")
    said = terminal.expect("edit it again? [Y/n]:")
    assert "unknown key `ownr`" in said
    terminal.type("")
    assert "owner treasury" in terminal.expect(ASK)
    terminal.type("e")
    terminal.expect("edit it again? [Y/n]:")
    terminal.type("n")
    assert "owner treasury" in terminal.expect(ASK), "unchanged"
    terminal.type("q")
    assert terminal.exit_code() == 0
    assert len(desk.cases) == 1


def test_an_editor_that_fails_changes_nothing(desk: Desk) -> None:
    desk.draft("a")
    before = (desk.store / "drafts" / "a.json").read_bytes()
    terminal = desk.review(desk.editor("sys.exit(3)"))
    terminal.expect(ASK)
    terminal.type("e")
    terminal.expect("ended with code 3")
    terminal.expect("edit it again? [Y/n]:")
    terminal.type("n")
    terminal.expect(ASK)
    terminal.type("q")
    assert terminal.exit_code() == 0
    assert (desk.store / "drafts" / "a.json").read_bytes() == before


@pytest.mark.parametrize("at_reason", [False, True])
def test_ctrl_c_ends_the_review_and_loses_nothing(desk: Desk, at_reason: bool) -> None:
    desk.draft("a", "b")
    terminal = desk.review()
    terminal.expect(ASK)
    terminal.type("a")
    terminal.expect(ASK)
    if at_reason:
        terminal.type("r")
        terminal.expect("reason:")
    assert terminal.interrupt() == 130
    assert "Traceback" not in terminal.said
    assert [one["id"] for one in desk.cases] == ["first", "a"]
    assert desk.waiting == ["b"]


def test_a_dataset_edited_and_broken_by_hand_meanwhile(desk: Desk) -> None:
    desk.draft("a")
    terminal = desk.review()
    terminal.expect(ASK)
    whole = desk.dataset.read_bytes() + msgspec.json.encode(case("by-hand")) + b"\n"
    desk.dataset.write_bytes(whole + b'{"id": "half')
    terminal.type("a")
    said = terminal.expect(ASK)
    assert "golden.jsonl:3" in said
    assert "not JSON" in said
    assert desk.dataset.read_bytes() == whole + b'{"id": "half'
    desk.dataset.write_bytes(whole)
    terminal.type("a")
    assert terminal.exit_code() == 0
    assert [one["id"] for one in desk.cases] == ["first", "by-hand", "a"]


def test_what_another_reviewer_decided_is_told_and_passed_over(desk: Desk) -> None:
    desk.draft("a", "b", "c")
    terminal = desk.review()
    terminal.expect(ASK)
    accept(desk.store, "a", by="omar")
    reject(desk.store, "b", by="omar", reason="known")
    terminal.type("a")
    said = terminal.expect(ASK)
    assert "draft a was accepted already" in said
    assert "draft b was rejected already" in said
    terminal.type("a")
    assert terminal.exit_code() == 0
    assert [one["id"] for one in desk.cases] == ["first", "a", "c"]


def test_two_reviewers_at_once_lose_nothing(desk: Desk) -> None:
    names = [f"d{number}" for number in range(6)]
    desk.draft(*names)
    both = [desk.review(by=who) for who in ("lena", "omar")]
    for terminal in both:
        terminal.expect(ASK)
    waiting: Callable[[], list[str]] = lambda: desk.waiting  # noqa: E731 - read anew every time
    for turn in range(2 * len(names)):
        if not waiting():
            break
        both[turn % 2].type("a")
        if waiting():
            both[turn % 2].expect("accepted")
    for terminal in both:
        terminal.press(b"\x04")
        terminal.exit_code()
        assert "Traceback" not in terminal.said
    assert sorted(one["id"] for one in desk.cases) == sorted(["first", *names])
