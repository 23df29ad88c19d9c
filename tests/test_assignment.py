"""Pairings are optimal: they agree with trying all of them."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import subsequence
from evalkit.assignment import TooLargeError, each_its_best, in_any_order
from evalkit.pairing import pair_off
from evalkit.partial_order import in_partial_order
from evalkit.subsequence import in_sequence

weights = st.lists(st.dictionaries(st.integers(0, 4), st.sampled_from([1, 5, 25])), max_size=5)


def all_pairings(options: Sequence[dict[int, int]]) -> Iterator[list[int | None]]:
    if not options:
        yield []
        return
    for rest in all_pairings(options[:-1]):
        yield [*rest, None]
        yield from ([*rest, column] for column in options[-1] if column not in rest)


def value(options: Sequence[dict[int, int]], pairing: Sequence[int | None]) -> int:
    return sum(
        one[column] for one, column in zip(options, pairing, strict=True) if column is not None
    )


def respects(pairing: Sequence[int | None], before: Sequence[int]) -> bool:
    return all(
        pairing[row] is None or pairing[first] is None or pairing[first] < pairing[row]
        for row, mask in enumerate(before)
        for first in range(len(before))
        if mask >> first & 1
    )


@given(weights)
def test_any_order_is_optimal(options: list[dict[int, int]]) -> None:
    found = in_any_order(options)
    assert value(options, found) == max(value(options, one) for one in all_pairings(options))
    columns = [column for column in found if column is not None]
    assert len(set(columns)) == len(columns)


@given(weights)
def test_sequence_is_optimal(options: list[dict[int, int]]) -> None:
    chain = [(1 << row) - 1 for row in range(len(options))]
    found = in_sequence(options)
    assert respects(found, chain)
    assert value(options, found) == max(
        value(options, one) for one in all_pairings(options) if respects(one, chain)
    )


@settings(max_examples=300)
@given(weights, st.data())
def test_partial_order_is_optimal(options: list[dict[int, int]], data: st.DataObject) -> None:
    before: list[int] = []
    for row in range(len(options)):
        mask = data.draw(st.integers(0, (1 << row) - 1)) if row else 0
        for earlier in range(row):
            if mask >> earlier & 1:
                mask |= before[earlier]
        before.append(mask)
    order = data.draw(st.permutations(range(len(options))))
    options = [options[row] for row in order]
    turned = {row: place for place, row in enumerate(order)}
    before = [
        sum(1 << turned[first] for first in range(len(order)) if before[row] >> first & 1)
        for row in order
    ]
    found = in_partial_order(options, before)
    assert respects(found, before)
    assert value(options, found) == max(
        value(options, one) for one in all_pairings(options) if respects(one, before)
    )


@given(st.lists(st.lists(st.integers(0, 4), max_size=5, unique=True), max_size=5))
def test_pair_off_finds_a_column_for_each_if_there_is_one(options: list[list[int]]) -> None:
    possible = any(
        None not in one for one in all_pairings([dict.fromkeys(row, 1) for row in options])
    )
    found = pair_off(options)
    assert (found is not None) == possible
    if found is not None:
        assert len(set(found)) == len(found)
        assert all(column in row for column, row in zip(found, options, strict=True))


def test_among_equals_early_goes_with_early() -> None:
    alike = {0: 5, 1: 5, 2: 5}
    assert in_any_order([alike, alike]) == [0, 1]
    assert in_any_order([alike] * 4) == [0, 1, 2, None]
    assert in_sequence([alike, alike]) == [0, 1]


def test_large_and_small_solvers_agree() -> None:
    chance = random.Random(3)
    options = [{column: chance.choice([1, 70]) for column in range(70)} for _ in range(66)]
    small = [dict(list(row.items())[:62]) for row in options[:62]]
    assert value(options, in_any_order(options)) == 66 * 70
    assert value(small, in_any_order(small)) == 62 * 70


def test_a_thousand_by_a_thousand_is_paired() -> None:
    chance = random.Random(1)
    options = [{column: chance.choice([1, 1001]) for column in range(1000)} for _ in range(1000)]
    assert value(options, in_any_order(options)) == 1000 * 1001
    listed = in_sequence(options)
    assert respects(listed, [(1 << row) - 1 for row in range(1000)])
    assert value(options, listed) > 1000 * 1001 / 2


@pytest.mark.slow
def test_orders_beyond_the_bound_are_an_error_and_no_hang() -> None:
    size = 26
    # Each row may take any of many columns, and every pair of rows is ordered the wrong way round.
    options = [
        {column: 1 + (row * 7 + column * 3) % 11 for column in range(40)} for row in range(size)
    ]
    before = [1 << (row ^ 1) if row % 2 else 0 for row in range(size)]
    with pytest.raises(TooLargeError, match="after"):
        in_partial_order(options, before)
    chain = [sum(1 << later for later in range(row + 1, 200)) for row in range(200)]
    distinct = [{row: 5} for row in range(200)]
    assert len([one for one in in_partial_order(distinct, chain) if one is not None]) == 1


def test_rows_that_are_alike_look_at_each_column_once() -> None:
    looked = 0

    class Columns(Sequence[int]):
        def __len__(self) -> int:
            return 1_000

        def __getitem__(self, place: Any) -> Any:
            nonlocal looked
            looked += 1
            return range(1_000)[place]

    columns = Columns()
    found = each_its_best(range(1_000), lambda row: columns, [1] * 1_000, lambda row, column: 1)
    assert found == [(place, place) for place in range(1_000)]
    assert looked < 5_000


@given(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), max_size=4), st.data())
def test_rows_known_to_go_with_their_own_columns_go_where_they_would_have(
    worths: list[list[int]], data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(worths)))
    for row in range(start):
        worths[row][row] = 3
    rows, most = range(len(worths)), [3] * len(worths)
    whole, after = (
        each_its_best(rows[known:], lambda row: range(4), most, lambda a, b: worths[a][b], known)
        for known in (0, start)
    )
    # An earlier column may be worth most as well: then it's taken by the row of its own number.
    assert after is None or whole == [*[(row, row) for row in range(start)], *after]
    assert (whole is None) == (after is None)


longer = st.lists(
    st.dictionaries(st.integers(0, 9), st.sampled_from([1, 1, 5, 25])), min_size=2, max_size=10
)


@given(longer, st.integers(0, 20))
def test_a_table_that_is_cut_gives_the_path_of_the_whole(
    options: list[dict[int, int]], cells: int
) -> None:
    whole = in_sequence(options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subsequence, "TABLE_CELLS", cells)
        assert in_sequence(options) == whole


def test_memory_grows_as_the_steps_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subsequence, "TABLE_CELLS", 500)
    peaks = []
    for size in (100, 400):
        options = [{row * 7_919 % size: 1, row * 104_729 % size: 1} for row in range(size)]
        tracemalloc.start()
        in_sequence(options)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 6 * peaks[0]  # 4 times the steps; all cells would be 16 times as many
