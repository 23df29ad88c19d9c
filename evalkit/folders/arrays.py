"""Rows as Arrow arrays, laid out by hand: ``pyarrow.array`` would import pandas (0.9 s) first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evalkit.errors import StoreError

if TYPE_CHECKING:
    import pyarrow as pa

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


def arrow_schema(columns: Mapping[str, str]) -> pa.Schema:
    """The Arrow schema of columns given with their SQL types."""
    import pyarrow as pa

    types = {
        "VARCHAR": pa.string(),
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "BOOLEAN": pa.bool_(),
    }
    return pa.schema([(name, types[kind]) for name, kind in columns.items()])


def record_batch(columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    """The rows, with their values in the columns' order, as one record batch.

    Integers over 64 bits become null: such a count or time is nonsense from a trace.
    """
    import pyarrow as pa

    schema = arrow_schema(columns)
    by_column = zip(*rows, strict=True) if rows else [()] * len(columns)
    made = [
        # Most columns of most steps are empty: those cost nothing.
        pa.nulls(len(values), kept.type) if values.count(None) == len(values) else array(values)
        for array, kept, values in zip(
            map(_ARRAYS.__getitem__, columns.values()), schema, by_column, strict=True
        )
    ]
    return pa.RecordBatch.from_arrays(made, schema=schema)


def _texts(values: Sequence[str | None]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    filled: list[Any] = ["" if value is None else value for value in values]
    joined = "".join(filled)
    data = joined.encode()
    if len(data) > len(joined):  # not all of it is ASCII: lengths are those of the bytes
        filled = [value.encode() for value in filled]
    ends = np.zeros(len(filled) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, filled), np.int64, len(filled)), out=ends[1:])
    if ends[-1] >= 2**31:
        raise StoreError("one trial holds more than 2 GB of text: evalkit does not store that")
    buffers = [_valid(values), pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def _integers(values: Sequence[int | None]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    known = values
    try:
        numbers = np.array([0 if value is None else value for value in known], np.int64)
    except OverflowError:
        known = [
            value if value is not None and _LOWEST <= value <= _HIGHEST else None
            for value in values
        ]
        numbers = np.array([0 if value is None else value for value in known], np.int64)
    return pa.Array.from_buffers(pa.int64(), len(known), [_valid(known), pa.py_buffer(numbers)])


def _floats(values: Sequence[float | None]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    numbers = np.array([0.0 if value is None else value for value in values], np.float64)
    return pa.Array.from_buffers(pa.float64(), len(values), [_valid(values), pa.py_buffer(numbers)])


def _booleans(values: Sequence[bool | None]) -> pa.Array:
    import pyarrow as pa

    bits = _bits([value is True for value in values])
    return pa.Array.from_buffers(pa.bool_(), len(values), [_valid(values), bits])


def _valid(values: Sequence[Any]) -> pa.Buffer | None:
    """The bitmap of values that are there; none where all are."""
    return _bits([value is not None for value in values]) if None in values else None


def _bits(flags: Sequence[bool]) -> pa.Buffer:
    import numpy as np
    import pyarrow as pa

    return pa.py_buffer(np.packbits(np.array(flags, np.bool_), bitorder="little"))


_ARRAYS: Mapping[str, Callable[[Sequence[Any]], pa.Array]] = {
    "VARCHAR": _texts,
    "BIGINT": _integers,
    "DOUBLE": _floats,
    "BOOLEAN": _booleans,
}
