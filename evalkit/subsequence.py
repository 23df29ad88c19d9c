"""Which row goes with which column where both keep their order.

Words and ties are those of :mod:`evalkit.assignment`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, islice
from typing import Any

from evalkit.assignment import MAX_CELLS, Pairing, TooLargeError, Weights, too_large

TABLE_CELLS = 100_000
"""Of at most so many cells, rows x columns, the whole table is kept."""


def in_sequence(weights: Weights) -> Pairing:
    """The alignment of greatest weight in which rows and columns keep their order.

    A row's weights are asked for a few times, and need not be kept. Raises TooLargeError beyond
    25 million cells of rows x columns that go with any.
    """
    pairing: Pairing = [None] * len(weights)
    rows: list[int] = []
    paired: set[int] = set()
    top = 0
    for row, options in enumerate(weights):
        if options:
            rows.append(row)
            paired.update(options)
            top = max(top, *options.values())
    columns = sorted(paired)
    done = 0
    for row, column in zip(rows, columns, strict=False):  # what fits at once needs no table
        if weights[row].get(column) != top:
            break
        pairing[row] = column
        done += 1
    rows, columns = rows[done:], columns[done:]
    if len(rows) * len(columns) > MAX_CELLS:
        raise TooLargeError(too_large(len(rows), len(columns)))
    _align(weights, rows, columns, pairing)
    return pairing


def _align(weights: Weights, rows: list[int], columns: list[int], pairing: Pairing) -> None:
    """Weighted longest common subsequence, with memory linear in rows and columns (Hirschberg).

    A large table is cut where its best path crosses the middle row. Both parts have that path.
    """
    if len(rows) > 1 and len(rows) * len(columns) > TABLE_CELLS:
        half = len(rows) // 2
        cut = _crossing(weights, rows, half, columns)
        _align(weights, rows[:half], columns[:cut], pairing)
        _align(weights, rows[half:], columns[cut:], pairing)
        return
    place = {column: number for number, column in enumerate(columns)}
    table = [[0] * (len(columns) + 1)]
    for row in rows:
        table.append(_next_line(table[-1], weights[row], place))
    row_at, column_at = len(rows), len(columns)
    while row_at and column_at:
        best = table[row_at][column_at]
        if best == table[row_at][column_at - 1]:
            column_at -= 1
        elif best == table[row_at - 1][column_at]:
            row_at -= 1
        else:
            row_at, column_at = row_at - 1, column_at - 1
            pairing[rows[row_at]] = columns[column_at]


def _crossing(weights: Weights, rows: list[int], half: int, columns: list[int]) -> int:
    """How many columns the first ``half`` rows have to themselves on the path that walking back
    through the whole table finds: it is followed forwards, for every cell of a line at once."""
    import numpy as np

    at = np.arange(len(columns) + 1)
    every = _gains(weights, rows, columns)
    line = np.zeros_like(at)
    for gains in islice(every, half):
        line = _line_below(line, gains)
    cuts = at
    for gains in every:
        above, line = line, _line_below(line, gains)
        chosen = np.where(line[1:] == above[1:], cuts[1:], cuts[:-1])
        begins = np.where(line[1:] == line[:-1], 0, at[1:])  # else as its left neighbour
        cuts = np.concatenate([[0], chosen])[np.maximum.accumulate(np.concatenate([[0], begins]))]
    return int(cuts[-1])


def _gains(weights: Weights, rows: Sequence[int], columns: Sequence[int]) -> Iterator[Any]:
    """What each row is worth with each of the columns, as an array."""
    import numpy as np

    known = np.array(columns)
    last: Mapping[int, int] = {}
    gains = np.zeros(len(columns), np.int64)
    for row in rows:
        options = weights[row]
        if options is not last:  # rows alike, as of a step that comes again, share theirs
            last = options
            found = np.fromiter(options.keys(), np.int64, len(options))
            worth = np.fromiter(options.values(), np.int64, len(options))
            here = (known[0] <= found) & (found <= known[-1])
            gains = np.zeros(len(columns), np.int64)
            gains[np.searchsorted(known, found[here])] = worth[here]
        yield gains


def _line_below(above: Any, gains: Any) -> Any:
    import numpy as np

    line = np.zeros_like(above)
    np.maximum.accumulate(np.maximum(above[1:], above[:-1] + gains), out=line[1:])
    return line


def _next_line(above: list[int], options: Mapping[int, int], place: Mapping[int, int]) -> list[int]:
    gains = above[:-1]
    for column, weight in options.items():
        if column in place:
            gains[place[column]] += weight
    return [0, *accumulate(map(max, above[1:], gains), max)]
