"""Shards of a run, merged, are that run."""

from pathlib import Path

import pytest

from evalkit.comparison import summarize
from evalkit.errors import InputError
from evalkit.merging import merge
from evalkit.results import Selection
from evalkit.runner import run
from evalkit.store import Store
from tests.project import load_project


def test_merged_shards_equal_the_whole(tmp_path: Path) -> None:
    loaded, store = load_project(tmp_path), Store(tmp_path / "store")
    whole = run(loaded, label="whole", store=store.path)
    shards = [
        run(loaded, label="part", store=store.path, selection=Selection(shard=f"{k}/4"))
        for k in (1, 2, 3, 4)
    ]
    assert [len(shard.planned) for shard in shards] == [2, 2, 1, 1]
    merged = merge(store, [shard.id for shard in shards])
    assert not merged.selection
    assert {case.id for case in merged.planned} == {case.id for case in whole.planned}

    def numbers(run_id: str) -> set[tuple[str, int, int]]:
        return {(r.route, r.cases, r.trials) for r in summarize(store.load(run_id))}

    assert numbers(merged.id) == numbers(whole.id)
    partial = merge(store, [shard.id for shard in shards[:2]])
    assert len(partial.selection.cases) == 4


def test_what_is_not_one_run_is_refused(tmp_path: Path) -> None:
    loaded, store = load_project(tmp_path), Store(tmp_path / "store")
    one = run(loaded, label="a", store=store.path, selection=Selection(shard="1/2"))
    two = run(loaded, label="b", store=store.path, trials=1, selection=Selection(shard="2/2"))
    with pytest.raises(InputError, match="differ in trials"):
        merge(store, [one.id, two.id])
    with pytest.raises(InputError, match="in two of the runs"):
        merge(store, [one.id, one.id])
    with pytest.raises(InputError, match="two runs or more"):
        merge(store, [one.id])
    with pytest.raises(InputError, match="expected k/n"):
        run(loaded, label="c", store=store.path, selection=Selection(shard="3/2"))
