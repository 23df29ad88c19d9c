"""Rows as Arrow arrays, laid out by hand: ``pyarrow.array`` would import pandas (0.9 s) first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evalkit.errors import StoreError

if TYPE_CHECKING:
    import pyarrow as pa

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
_MOST_BYTES = 2**31


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

    by_column = zip(*rows, strict=True) if rows else [()] * len(columns)
    made = [_ARRAYS[kind](values) for kind, values in zip(columns.values(), by_column, strict=True)]
    return pa.RecordBatch.from_arrays(made, schema=arrow_schema(columns))


def _texts(values: Sequence[str | None]) -> pa.Array:
    """The texts one after another, and where each one ends."""
    import numpy as np
    import pyarrow as pa

    unknown = values.count(None)
    if unknown == len(values):
        return pa.nulls(len(values), pa.string())
    filled: Sequence[Any] = [value or "" for value in values] if unknown else values
    joined = "".join(filled)
    data = joined.encode()
    if len(data) > len(joined):  # not all of it is ASCII: lengths are those of the bytes
        filled = [value.encode() for value in filled]
    ends = np.zeros(len(filled) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, filled), np.int64, len(filled)), out=ends[1:])
    if ends[-1] >= _MOST_BYTES:
        raise StoreError("one trial holds more than 2 GB of text: evalkit does not store that")
    valid = _valid(values) if unknown else None
    buffers = [valid, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def _integers(values: Sequence[int | None]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    try:
        return _numbers(pa.int64(), values, np.int64)
    except OverflowError:
        known = [
            value if value is not None and _LOWEST <= value <= _HIGHEST else None
            for value in values
        ]
        return _numbers(pa.int64(), known, np.int64)


def _floats(values: Sequence[float | None]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    return _numbers(pa.float64(), values, np.float64)


def _numbers(kind: pa.DataType, values: Sequence[float | None], number: Any) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    unknown = values.count(None)
    if unknown == len(values):
        return pa.nulls(len(values), kind)
    filled = [0 if value is None else value for value in values] if unknown else values
    made = pa.py_buffer(np.fromiter(filled, number, len(values)))
    return pa.Array.from_buffers(kind, len(values), [_valid(values) if unknown else None, made])


def _booleans(values: Sequence[bool | None]) -> pa.Array:
    import pyarrow as pa

    unknown = values.count(None)
    if unknown == len(values):
        return pa.nulls(len(values), pa.bool_())
    bits = _bits([value is True for value in values])
    return pa.Array.from_buffers(
        pa.bool_(), len(values), [_valid(values) if unknown else None, bits]
    )


def _valid(values: Sequence[Any]) -> pa.Buffer:
    """The bitmap of values that are there."""
    return _bits([value is not None for value in values])


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
