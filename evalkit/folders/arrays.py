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


_SAMPLE = 64


def _texts(values: Sequence[str | None]) -> pa.Array:
    """Most columns repeat a few texts, or have none: those are laid out once."""
    import numpy as np
    import pyarrow as pa

    if len(set(values[:_SAMPLE])) > _SAMPLE // 4:
        return _laid_out(values)
    places = {text: place for place, text in enumerate(dict.fromkeys(values))}
    if set(places) <= {None}:
        return pa.nulls(len(values), pa.string())
    longest = max(len(text or "") for text in places)
    if len(places) > len(values) // 4 or longest > _MOST_BYTES // (4 * len(values)):
        return _laid_out(values)
    numbers = np.fromiter(map(places.__getitem__, values), np.int32, len(values))
    held = [None, pa.py_buffer(numbers)]
    indices = pa.Array.from_buffers(pa.int32(), len(values), held)
    return pa.DictionaryArray.from_arrays(indices, _laid_out(list(places))).dictionary_decode()


def _laid_out(values: Sequence[str | None]) -> pa.Array:
    """The texts one after another, and where each one ends."""
    import numpy as np
    import pyarrow as pa

    valid = _valid(values)
    filled: Sequence[Any] = values if valid is None else [value or "" for value in values]
    joined = "".join(filled)
    data = joined.encode()
    if len(data) > len(joined):  # not all of it is ASCII: lengths are those of the bytes
        filled = [value.encode() for value in filled]
    ends = np.zeros(len(filled) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, filled), np.int64, len(filled)), out=ends[1:])
    if ends[-1] >= _MOST_BYTES:
        raise StoreError("one trial holds more than 2 GB of text: evalkit does not store that")
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

    bits = _bits([value is True for value in values])
    return pa.Array.from_buffers(pa.bool_(), len(values), [_valid(values), bits])


def _valid(values: Sequence[Any]) -> pa.Buffer | None:
    """The bitmap of values that are there; none where all are."""
    there = [value is not None for value in values]
    return None if all(there) else _bits(there)


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
