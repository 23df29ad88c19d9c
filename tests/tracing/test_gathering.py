from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.tracing import gathering
from evalkit.tracing.gathering import Gathering, LateSpansError
from evalkit.tracing.parts import Part
from evalkit.tracing.reasons import Reasons

TRACES = [f"{number:032x}" for number in range(1, 6)]
CODECS = st.sampled_from(["spans", "logs", "trajectory"])
PARTS = st.lists(
    st.builds(
        Part,
        st.sampled_from(TRACES),
        CODECS,
        st.integers(0, 50),
        st.binary(max_size=200),
        size=st.just(0),
    ),
    max_size=30,
)


def gathered(folder: Path, parts: list[Part], budget: int) -> dict[str, list[Part]]:
    with Gathering(folder, budget) as found:
        for part in parts:
            found.add(part)
        traces = list(found.traces(Reasons()))
    assert len(dict(traces)) == len(traces)  # each trace once
    return dict(traces)


@settings(max_examples=25, deadline=None)
@given(PARTS, st.integers(0, 5000))
def test_whatever_the_budget_every_trace_is_whole(
    tmp_path_factory: pytest.TempPathFactory, parts: list[Part], budget: int
) -> None:
    folder = tmp_path_factory.mktemp("gathering")
    expected: dict[str, list[Part]] = {}
    for part in parts:
        expected.setdefault(part.trace_id, []).append(part)
    assert gathered(folder, parts, budget) == expected
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("budget", [0, 10**9])
def test_a_trace_has_a_largest_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    monkeypatch.setattr(gathering, "MAX_TRACE_SPANS", 100)
    refused = Reasons()
    with Gathering(tmp_path, budget) as found:
        for number in range(10):
            found.add(Part(TRACES[0], "spans", 30, bytes([number])))
        [(_, parts)] = found.traces(refused)
    assert [part.data for part in parts] == [b"\0", b"\1", b"\2"]
    assert refused == {"span over the limit of 100 in one trace": 210}


@pytest.mark.parametrize("window", [None, 10_000])
def test_one_trace_is_never_held_beyond_its_limit(
    monkeypatch: pytest.MonkeyPatch, window: int | None
) -> None:
    monkeypatch.setattr(gathering, "MAX_TRACE_SIZE", 5_000)
    refused = Reasons()
    with Gathering(Path(), window=window) as found:
        for _ in range(100):
            found.add(Part(TRACES[0], "spans", 3, b"x", size=1_000))
        [(_, parts)] = found.traces(refused)
    assert len(parts) == 5
    assert refused == {"span over the limit of 256 MiB in one trace": 285}


def test_reasons_are_bounded_and_lose_no_count() -> None:
    refused = Reasons()
    for number in range(1000):
        refused[f"reason {number}"] += 1
        refused["the usual"] += 1
    assert len(refused) <= 201
    assert refused.total() == 2000
    assert refused["the usual"] == 1000


@given(PARTS, st.integers(0, 5000))
def test_with_a_window_traces_are_given_early_once_and_whole_or_not_at_all(
    parts: list[Part], window: int
) -> None:
    expected: dict[str, list[Part]] = {}
    given: list[tuple[str, list[Part]]] = []
    refused = Reasons()
    try:
        with Gathering(Path(), window=window) as found:
            for part in parts:
                found.add(part)
                expected.setdefault(part.trace_id, []).append(part)
                given += found.settled(refused)
            given += found.traces(refused)
    except LateSpansError:
        assert part.trace_id in dict(given)  # what came now would have been lost
        return
    assert len(dict(given)) == len(given)
    assert dict(given) == expected


def test_a_window_holds_what_came_last() -> None:
    refused = Reasons()
    with Gathering(Path(), window=20) as found:
        seen = []
        for trace in (0, 1, 0, 2):
            found.add(Part(TRACES[trace], "spans", 1, b"x", size=8))
            seen.append([trace_id for trace_id, _ in found.settled(refused)])
        assert seen == [[], [], [TRACES[1]], [TRACES[0]]]
        with pytest.raises(LateSpansError):
            found.add(Part(TRACES[1], "spans", 1, b"x", size=8))
