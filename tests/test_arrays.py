"""Rows as Arrow arrays: what goes in is what a reader of the columns gets."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.folders.arrays import record_batch

COLUMNS = {"text": "VARCHAR", "count": "BIGINT", "amount": "DOUBLE", "flag": "BOOLEAN"}
TEXTS = st.none() | st.just("") | st.text(st.characters(exclude_categories=["Cs"]))
FLOATS = st.none() | st.floats(allow_nan=False)
ROWS = st.lists(
    st.tuples(TEXTS, st.none() | st.integers(-(2**70), 2**70), FLOATS, st.none() | st.booleans()),
    max_size=20,
)


def held(count: int | None) -> int | None:
    return count if count is not None and -(2**63) <= count < 2**63 else None


@settings(deadline=None)  # the first one imports Arrow
@given(ROWS)
def test_values_come_back_as_they_were(rows: list[tuple[Any, ...]]) -> None:
    batch = record_batch(COLUMNS, rows)
    batch.validate(full=True)
    found = list(zip(*[column.to_pylist() for column in batch.columns], strict=True))
    assert found == [(text, held(count), *rest) for text, count, *rest in rows]


def test_long_columns_with_gaps() -> None:
    texts = [None if number % 3 else f"né {number % 7}" for number in range(1000)]
    [column] = record_batch({"text": "VARCHAR"}, [(text,) for text in texts]).columns
    assert column.to_pylist() == texts
