"""What git says of a folder."""

import subprocess
from pathlib import Path

from evalkit import git


def ask(folder: Path, *arguments: str) -> None:
    named = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *named, *arguments], check=True, capture_output=True)


def test_outside_a_checkout_nothing_is_known(tmp_path: Path) -> None:
    assert git.root(tmp_path) is None
    assert git.commit(tmp_path) is None
    assert git.uncommitted(tmp_path) is None


def test_changes_since_the_commit_are_told_apart(tmp_path: Path) -> None:
    ask(tmp_path, "init", "-q")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "code.py").write_text("one = 1\n")
    assert git.commit(tmp_path) is None
    ask(tmp_path, "add", "-A")
    ask(tmp_path, "commit", "-q", "-m", "one")
    assert git.root(inner) == tmp_path.resolve()
    assert len(git.commit(inner) or "") == 12
    assert git.uncommitted(inner) is None
    (tmp_path / "results.txt").write_text("not tracked")
    assert git.uncommitted(inner) is None
    (inner / "code.py").write_text("one = 2\n")
    first = git.uncommitted(inner)
    (inner / "code.py").write_text("one = 3\n")
    assert None is not first != git.uncommitted(inner) is not None
