"""Which row goes with which column: optimal pairing in any order.

Rows are what is expected, columns what was found in order of time; ``weights[row][column]`` is
what pairing them is worth (a positive integer, absent: they don't go together). Functions that
pair return the column of each row, or None, such that the weights' sum is the greatest possible,
here as in :mod:`evalkit.subsequence` and :mod:`evalkit.partial_order`. Among equals, early rows
go with early columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from evalkit.errors import InputError

Weights = Sequence[Mapping[int, int]]
Pairing = list[int | None]

MAX_CELLS = 25_000_000
_SMALL = 4_096


class TooLargeError(InputError):
    """An exact alignment would take too long; the message says what to make smaller."""


def in_any_order(weights: Weights) -> Pairing:
    """The assignment of greatest weight."""
    at_best = each_its_best(
        range(len(weights)),
        lambda row: sorted(weights[row]),
        [max(options.values(), default=0) for options in weights],
        lambda row, column: weights[row][column],
    )
    return assigned(weights) if at_best is None else paired(len(weights), at_best)


def paired(rows: int, pairs: Iterable[tuple[int, int]]) -> Pairing:
    """The pairs as a pairing of so many rows."""
    pairing: Pairing = [None] * rows
    for row, column in pairs:
        pairing[row] = column
    return pairing


def assigned(weights: Weights) -> Pairing:
    """As :func:`in_any_order`, where that not all can have their best is known."""
    pairing: Pairing = [None] * len(weights)
    for rows in components(weights):
        for row, column in _assign(weights, rows):
            pairing[row] = column
    return pairing


def each_its_best(
    rows: Iterable[int],
    columns: Callable[[int], Sequence[int]],
    most: Sequence[int],
    weight: Callable[[int, int], int],
    start: int = 0,
) -> list[tuple[int, int]] | None:
    """Each of these rows with a column that it is worth most with, if they can all have one at
    once: no assignment can be worth more. None where that is not seen at first sight.

    ``columns`` of a row are ascending; none of its weights is above ``most[row]``, and 0 is no
    pair. Weights are asked for only as far as needed. The columns before ``start`` are taken.
    """
    used = set(range(start))
    pairs: list[tuple[int, int]] = []
    before: Sequence[int] = ()
    first = 0
    for row in rows:
        top, places = most[row], columns(row)
        # A row like the one before it, a step that comes again, need not see what that one used.
        first = first if places is before else 0
        while first < len(places) and places[first] in used:
            first += 1
        before = places
        best, chosen = 0, -1
        for at in range(first, len(places)):
            column = places[at]
            if column not in used and (worth := weight(row, column)) > best:
                best, chosen = worth, column
                if best == top:
                    break
        if best < top and any(weight(row, one) > best for one in places if one in used):
            return None
        if best:
            used.add(chosen)
            pairs.append((row, chosen))
    return pairs


def components(weights: Weights, together: Iterable[int] = ()) -> list[list[int]]:
    """Rows that compete for a column, or are in one of these sets (bit masks), together; rows
    without columns left out."""
    root = list(range(len(weights)))

    def find(row: int) -> int:
        while root[row] != row:
            root[row] = root[root[row]]
            row = root[row]
        return row

    owner: dict[int, int] = {}
    for row, options in enumerate(weights):
        for column in options:
            other = owner.setdefault(column, row)
            if other != row:
                root[find(row)] = find(other)
    for rows in together:
        first, *others = _bits(rows)
        for other in others:
            root[find(other)] = find(first)
    groups: dict[int, list[int]] = {}
    for row, options in enumerate(weights):
        if options:
            groups.setdefault(find(row), []).append(row)
    return list(groups.values())


def _bits(mask: int) -> Iterable[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _assign(weights: Weights, rows: list[int]) -> list[tuple[int, int]]:
    if len(rows) == 1:
        (row,) = rows
        options = weights[row]
        return [(row, min(options, key=lambda column: (-options[column], column)))]
    columns = sorted({column for row in rows for column in weights[row]})
    if len(columns) == 1:
        (column,) = columns
        return [(min(rows, key=lambda row: (-weights[row][column], row)), column)]
    place = {column: number for number, column in enumerate(columns)}
    if len(rows) * len(columns) > _SMALL:
        solved = _assign_large(weights, rows, place)
    else:
        solved = _assign_small(weights, rows, place)
    return [
        (rows[row], columns[column])
        for row, column in solved
        if columns[column] in weights[rows[row]]
    ]


def _assign_large(
    weights: Weights, rows: list[int], place: Mapping[int, int]
) -> list[tuple[int, int]]:
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    if len(rows) * len(place) > MAX_CELLS:
        raise TooLargeError(too_large(len(rows), len(place)))
    matrix = np.zeros((len(rows), len(place)))
    for number, row in enumerate(rows):
        for column, weight in weights[row].items():
            matrix[number, place[column]] = weight
    found, chosen = linear_sum_assignment(matrix, maximize=True)
    return list(zip(found.tolist(), chosen.tolist(), strict=True))


def _assign_small(
    weights: Weights, rows: list[int], place: Mapping[int, int]
) -> list[tuple[int, int]]:
    """As scipy does it, without loading scipy: exact in integers, early rows to early columns."""
    height, width = len(rows), len(place)
    scale = height * height * width + 1
    cost = [[0] * width for _ in rows]
    for number, row in enumerate(rows):
        for column, weight in weights[row].items():
            at = place[column]
            cost[number][at] = -(weight * scale + (height - number) * (width - at))
    if height <= width:
        return _hungarian(cost)
    turned = [list(column) for column in zip(*cost, strict=True)]
    return [(row, column) for column, row in _hungarian(turned)]


def _hungarian(cost: list[list[int]]) -> list[tuple[int, int]]:
    """The cheapest assignment of every row; shortest augmenting paths with potentials."""
    height, width = len(cost), len(cost[0])
    row_price, column_price = [0] * (height + 1), [0] * (width + 1)
    owner, way = [0] * (width + 1), [0] * (width + 1)
    for row in range(1, height + 1):
        owner[0], at = row, 0
        slack: list[float] = [float("inf")] * (width + 1)
        done = [False] * (width + 1)
        while owner[at]:
            done[at] = True
            current, step, closest = owner[at], float("inf"), 0
            for column in range(1, width + 1):
                if not done[column]:
                    here = cost[current - 1][column - 1] - row_price[current] - column_price[column]
                    if here < slack[column]:
                        slack[column], way[column] = here, at
                    if slack[column] < step:
                        step, closest = slack[column], column
            for column in range(width + 1):
                if done[column]:
                    row_price[owner[column]] += int(step)
                    column_price[column] -= int(step)
                else:
                    slack[column] -= step
            at = closest
        while at:
            owner[at], at = owner[way[at]], way[at]
    return [(owner[column] - 1, column - 1) for column in range(1, width + 1) if owner[column]]


def too_large(rows: int, columns: int) -> str:
    """What to say of a pairing of more cells than :data:`MAX_CELLS`."""
    return (
        f"{rows:,} expected x {columns:,} actual steps of the same names are too many to align "
        f"(at most {MAX_CELLS:,} pairs): expect fewer steps, or split the case"
    )
