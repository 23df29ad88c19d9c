"""Datasets: what is in them, what production does beside them, how they change and divide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from evalkit.cli import main
from evalkit.dataset import Case
from evalkit.dataset_stats import diff, split, stats
from evalkit.errors import InputError
from evalkit.files import read_dataset, write_dataset
from evalkit.results import Trial
from evalkit.trajectory import Step, Trajectory

DAY = 86400


def case(name: str, **more: Any) -> Case:
    content = {"id": name, "input": name, "route": "refund", "owner": "money", **more}
    return msgspec.convert(content, Case)


def trace(route: str, *tools: str) -> Trial:
    steps = tuple(Step(kind="tool", name=tool) for tool in tools)
    trajectory = Trajectory(steps=steps, route=route)
    return Trial(case=route, trial=0, route=route, trajectory=trajectory)


def test_stats_per_route_beside_production() -> None:
    cases = [
        case("a", tags=["happy"], expect={"steps": [{"tool": "pay"}]}),
        case("b", tags=["happy", "edge"], source={"added": "1970-01-03"}),
        case("c", route="help", owner=None),
    ]
    traces = [trace("refund", "pay", "log"), trace("refund", "pay"), trace("parcel", "find")]
    found = stats(cases, traces, failures={"b": 1.0 * DAY, "a": 3.0 * DAY}, now=4.0 * DAY)
    routes = {one.route: one for one in found.routes}
    assert (routes["refund"].cases, routes["refund"].seen) == (2, 2)
    assert {tag: held.cases for tag, held in routes["refund"].tags.items()} == {
        "happy": 2,
        "edge": 1,
    }
    assert (routes["refund"].last_failure_days, routes["refund"].last_failed) == (1.0, "a")
    edge = routes["refund"].tags["edge"]
    assert (edge.oldest_days, edge.last_failure_days, edge.last_failed) == (2.0, 3.0, "b")
    assert routes["help"].last_failure_days is None
    assert routes["refund"].steps_seen == 2
    assert routes["refund"].uncovered == (("tool log", 0.5),)
    assert (routes["refund"].oldest_days, routes["help"].oldest_days) == (2.0, None)
    assert found.without_cases == ("parcel",)
    assert found.without_owner == ("help",)


def test_diff_tells_content_from_origin() -> None:
    before = [case("a"), case("b"), case("c")]
    after = [case("b", tags=["new"]), case("c", source={"notes": "moved"}), case("d")]
    found = diff(before, after)
    assert (found.added, found.removed, found.same) == (("d",), ("a",), 1)
    assert found.changed == {"b": ("tags",)}
    assert diff(before, before).same == 3


def test_a_split_is_stable_when_cases_are_added() -> None:
    cases = [case(f"c{n}") for n in range(1000)]
    first, second = split(cases, 0.3)
    assert 240 <= len(first) <= 360
    assert sorted(one.id for one in [*first, *second]) == sorted(one.id for one in cases)
    assert [one.id for one in split(cases[:500], 0.3)[0]] == [
        one.id for one in first if int(one.id[1:]) < 500
    ]
    with pytest.raises(InputError):
        split(cases, 1.0)


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    write_dataset(old, [case(f"c{n}") for n in range(20)])
    write_dataset(new, [case(f"c{n}") for n in range(1, 21)])
    assert main(["dataset", "stats", str(old)]) == 0
    assert "refund: 20 cases, owner money" in capsys.readouterr().out
    assert main(["dataset", "diff", str(old), str(new)]) == 0
    assert capsys.readouterr().out == "+ c20\n- c0\n19 the same\n"
    parts = [str(tmp_path / "dev.jsonl"), str(tmp_path / "held-out.jsonl")]
    command = ["dataset", "split", str(old), "--share", "0.5"]
    assert main([*command, "--first", parts[0], "--second", parts[1]]) == 0
    assert sum(len(read_dataset(Path(part))[0]) for part in parts) == 20
    assert main([*command, "--first", parts[0], "--second", parts[1]]) == 2
