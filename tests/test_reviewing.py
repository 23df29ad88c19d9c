"""Review: what is accepted joins the dataset as one line, and concurrent reviewers lose nothing."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evalkit.dataset import Case
from evalkit.errors import FileError, InputError, NotFoundError
from evalkit.files import read_dataset
from evalkit.promotion import Draft
from evalkit.reviewing import (
    accept,
    find,
    git_diff,
    pending,
    redaction_key,
    reject,
    replace_case,
    save,
)


def case(name: str, **more: Any) -> Case:
    content = {
        "id": name,
        "input": {"q": name},
        "route": "refund",
        "expect": {"steps": [{"tool": "pay"}]},
        "source": {"kind": "production", "trace_id": f"trace-{name}"},
        **more,
    }
    return msgspec.convert(content, Case)


def make(dataset: Path, name: str, **more: Any) -> Draft:
    return Draft(id=name, case=case(name, **more), dataset=str(dataset), proposal="a test")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "golden.jsonl"
    path.write_bytes(msgspec.json.encode(case("first")) + b"\n")
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def ids(dataset: Path) -> list[str]:
    found, problems = read_dataset(dataset)
    assert not problems
    return [one.id for one in found]


def test_accepting_appends_one_line_with_who_and_when(dataset: Path, store: Path) -> None:
    before = dataset.read_bytes()
    save(store, make(dataset, "new"))
    done = accept(store, "new", by="lena")
    assert dataset.read_bytes().startswith(before)
    assert dataset.read_bytes().count(b"\n") == 2
    assert done.line == 2
    assert done.case.source is not None
    assert done.case.source.reviewed_by == "lena"
    assert done.case.source.added is not None
    assert done.case.source.added.endswith("Z")
    assert pending(store) == []
    with pytest.raises(NotFoundError, match="was accepted already"):
        accept(store, "new", by="omar")


def test_rejecting_needs_a_reason_and_keeps_it(dataset: Path, store: Path) -> None:
    save(store, make(dataset, "new"))
    with pytest.raises(InputError, match="needs a reason"):
        reject(store, "new", by="lena", reason=" ")
    reject(store, "new", by="lena", reason="no failure; password: Tr0ub4dor!")
    kept = json.loads((store / "drafts" / "rejected" / "new.json").read_bytes())
    assert (kept["by"], kept["reason"]) == ("lena", "no failure; password: REDACTED-password")
    assert ids(dataset) == ["first"]
    with pytest.raises(NotFoundError, match="was rejected already"):
        find(store, "new")


def test_what_must_not_join_is_refused_and_stays_pending(dataset: Path, store: Path) -> None:
    refused = {
        "empty": ({"expect": {}}, "expects nothing yet"),
        "secret": ({"input": {"password": "Tr0ub4dor!"}}, "holds password"),
        "same": ({"input": {"q": "first"}}, "is the same as first"),
        "against": (
            {"input": {"q": "first"}, "expect": {"steps": [{"tool": "log"}]}},
            "contradicts",
        ),
    }
    for name, (content, message) in refused.items():
        save(store, make(dataset, name, **content))
        with pytest.raises(InputError, match=message):
            accept(store, name, by="lena")
    assert {one.id for one in pending(store)} == set(refused)
    assert ids(dataset) == ["first"]
    accept(store, "same", by="lena", keep_both=True)
    assert ids(dataset) == ["first", "same"]


def test_the_same_trace_is_drafted_once_and_a_taken_id_gets_a_number(
    dataset: Path, store: Path
) -> None:
    save(store, make(dataset, "new"))
    with pytest.raises(InputError, match="drafted already: new"):
        save(store, make(dataset, "new"))
    other = make(dataset, "new", source={"kind": "production", "trace_id": "other"})
    assert save(store, other).case.id == "new-2"
    accept(store, "new", by="lena")
    dataset.write_bytes(dataset.read_bytes() + msgspec.json.encode(case("new-2")) + b"\n")
    assert accept(store, "new-2", by="lena", keep_both=True).case.id == "new-2-2"


def test_a_dataset_broken_by_hand_is_left_alone_and_the_line_named(
    dataset: Path, store: Path
) -> None:
    save(store, make(dataset, "new"))
    dataset.write_bytes(dataset.read_bytes() + b'{"id": "half\n')
    broken = dataset.read_bytes()
    with pytest.raises(FileError) as refused:
        accept(store, "new", by="lena")
    assert refused.value.problems[0].line == 2
    assert dataset.read_bytes() == broken
    assert [one.id for one in pending(store)] == ["new"]


def test_a_dataset_edited_by_hand_meanwhile_keeps_the_edit(dataset: Path, store: Path) -> None:
    save(store, make(dataset, "new"))
    edited = dataset.with_suffix(".tmp")  # as editors save, and without the last line break
    edited.write_bytes(msgspec.json.encode(case("first", tags=["edited"])))
    edited.replace(dataset)
    accept(store, "new", by="lena")
    assert ids(dataset) == ["first", "new"]
    assert b"edited" in dataset.read_bytes()


def test_an_interrupted_accept_is_finished_and_adds_nothing_twice(
    dataset: Path, store: Path
) -> None:
    save(store, make(dataset, "new"))
    waiting = (store / "drafts" / "new.json").read_bytes()
    accept(store, "new", by="lena")
    (store / "drafts" / "new.json").write_bytes(waiting)  # as if killed before this was removed
    assert accept(store, "new", by="lena").line == 2
    assert ids(dataset) == ["first", "new"]


def test_an_edited_case_is_looked_at_anew(dataset: Path, store: Path) -> None:
    save(store, make(dataset, "new"))
    edited = replace_case(store, "new", case("new", input={"q": "first"}))
    assert [(one.case, one.exact) for one in edited.duplicates] == [("first", True)]
    with pytest.raises(InputError, match="the id stays"):
        replace_case(store, "new", case("other"))
    with pytest.raises(InputError, match="holds"):
        replace_case(store, "new", case("new", input={"api_key": "abcdef0123456789"}))


@pytest.mark.parametrize("name", ["../x", "", "a/b", "nobody", "x" * 300])
def test_no_id_reaches_outside_the_drafts(store: Path, name: str) -> None:
    with pytest.raises(NotFoundError, match="there is no draft"):
        find(store, name)


def _accept_all(store: str, names: list[str]) -> None:
    for name in names:
        accept(Path(store), name, by="lena")


def test_concurrent_reviewers_lose_nothing(dataset: Path, tmp_path: Path) -> None:
    names = [[f"r{reviewer}-{n}" for n in range(8)] for reviewer in range(3)]
    stores = [tmp_path / "one", tmp_path / "one", tmp_path / "two"]
    for store, mine in zip(stores, names, strict=True):
        for name in mine:
            save(store, make(dataset, name))
    start = multiprocessing.get_context("fork").Process
    reviewers = [
        start(target=_accept_all, args=(str(store), mine))
        for store, mine in zip(stores, names, strict=True)
    ]
    for one in reviewers:
        one.start()
    for one in reviewers:
        one.join()
    assert [one.exitcode for one in reviewers] == [0, 0, 0]
    assert sorted(ids(dataset)) == sorted(["first", *(name for mine in names for name in mine)])


def test_the_key_is_made_once_and_only_its_owner_reads_it(store: Path) -> None:
    assert redaction_key(store) == redaction_key(store)
    assert len(redaction_key(store)) == 32
    assert (store / "redaction.key").stat().st_mode & 0o077 == 0


def test_all_who_come_at_once_read_the_same_key(tmp_path: Path) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            for number in range(30):
                store = tmp_path / str(number)
                assert len(set(pool.map(redaction_key, [store] * 8))) == 1
                assert [path.name for path in store.iterdir()] == ["redaction.key"]
    finally:
        sys.setswitchinterval(interval)


def test_the_git_diff_is_the_one_line(dataset: Path, store: Path) -> None:
    git = ["git", "-C", str(dataset.parent), "-c", "user.name=t", "-c", "user.email=t@t.example"]
    for command in (["init", "-q"], ["add", "golden.jsonl"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    save(store, make(dataset, "new"))
    accept(store, "new", by="lena")
    added = [one for one in git_diff(dataset).split("\n") if one.startswith("+{")]
    assert len(added) == 1
    assert '"id":"new"' in added[0]
