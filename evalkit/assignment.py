"""Which row goes with which column: optimal pairing in any order, in list, or in partial order.

Rows are what is expected, columns what was found in order of time; ``weights[row][column]`` is
what pairing them is worth (a positive integer, absent: they don't go together). Every function
returns the column of each row, or None, such that the weights' sum is the greatest possible.
Among equals, early rows go with early columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from math import isqrt

from evalkit.errors import InputError

Weights = Sequence[Mapping[int, int]]
Pairing = list[int | None]

MAX_CELLS = 25_000_000
KEPT_CELLS = 1_000_000
MAX_STATES = 1_000_000
_SMALL = 4_096


class TooLargeError(InputError):
    """An exact alignment would take too long; the message says what to make smaller."""


# --- any order ----------------------------------------------------------------------------


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
    for rows in _components(weights, ()):
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


def _components(weights: Weights, before: Sequence[int]) -> list[list[int]]:
    """Rows that compete for a column or have an order, together; rows without columns left out."""
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
    for rows in _ordered_together(before):
        first, *others = _bits(rows)
        for other in others:
            root[find(other)] = find(first)
    groups: dict[int, list[int]] = {}
    for row, options in enumerate(weights):
        if options:
            groups.setdefault(find(row), []).append(row)
    return list(groups.values())


def _ordered_together(before: Sequence[int]) -> list[int]:
    """Rows that have an order, directly or through others: a bit mask for each such set."""
    found: list[int] = []
    for row, earlier in enumerate(before):
        if earlier:
            together, apart = earlier | 1 << row, []
            for other in found:
                if other & together:
                    together |= other
                else:
                    apart.append(other)
            found = [*apart, together]
    return found


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
        raise TooLargeError(_too_large(len(rows), len(place)))
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


# --- in list order ------------------------------------------------------------------------


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
    _align(weights, rows[done:], columns[done:], pairing)
    return pairing


def _align(weights: Weights, rows: list[int], columns: list[int], pairing: Pairing) -> None:
    """Weighted longest common subsequence, by table; of a large one every so many rows are kept.

    Walking back, the rows between two kept ones are computed again: memory stays about linear.
    """
    if len(rows) * len(columns) > MAX_CELLS:
        raise TooLargeError(_too_large(len(rows), len(columns)))
    is_small = len(rows) * len(columns) <= KEPT_CELLS
    stride = len(rows) + 1 if is_small else isqrt(len(rows)) + 1
    kept = {0: [0] * (len(columns) + 1)}
    line = kept[0]
    place = {column: number for number, column in enumerate(columns)}
    for number, row in enumerate([] if is_small else rows, 1):
        line = _next_line(line, weights[row], place)
        if number % stride == 0:
            kept[number] = line
    column_at = len(columns)
    for first in range((len(rows) // stride) * stride, -1, -stride):
        table = [kept.pop(first)]
        for row in rows[first : first + stride]:
            table.append(_next_line(table[-1], weights[row], place))
        row_at = len(table) - 1
        while row_at and column_at:
            best = table[row_at][column_at]
            if best == table[row_at][column_at - 1]:
                column_at -= 1
            elif best == table[row_at - 1][column_at]:
                row_at -= 1
            else:
                row_at, column_at = row_at - 1, column_at - 1
                pairing[rows[first + row_at]] = columns[column_at]


def _next_line(above: list[int], options: Mapping[int, int], place: Mapping[int, int]) -> list[int]:
    gains = above[:-1]
    for column, weight in options.items():
        if column in place:
            gains[place[column]] += weight
    return [0, *accumulate(map(max, above[1:], gains), max)]


# --- in partial order ---------------------------------------------------------------------


def in_partial_order(weights: Weights, before: Sequence[int]) -> Pairing:
    """The assignment of greatest weight in which no row comes before one of ``before[row]``.

    ``before[row]`` is a bit mask of rows, transitively closed. Rows left out order nothing.
    Exact: where the assignment in any order breaks the order, all ways that matter are searched.
    Raises TooLargeError beyond a million states.
    """
    pairing = in_any_order(weights)
    return pairing if keeps_order(pairing, before) else put_in_order(weights, before)


def put_in_order(weights: Weights, before: Sequence[int]) -> Pairing:
    """As :func:`in_partial_order`, where that no assignment in any order will do is known."""
    pairing: Pairing = [None] * len(weights)
    spent = 0
    for rows in _components(weights, before):
        in_turn = sorted(rows, key=lambda row: before[row].bit_count())
        if _is_chain(in_turn, before):
            found = in_sequence([weights[row] for row in in_turn])
            for row, column in zip(in_turn, found, strict=True):
                pairing[row] = column
        else:
            spent = _search(weights, before, in_turn, pairing, spent)
    return pairing


def _is_chain(ordered: list[int], before: Sequence[int]) -> bool:
    """Whether each of these rows comes after all that stand before it here."""
    so_far = 0
    for row in ordered:
        if so_far & ~before[row]:
            return False
        so_far |= 1 << row
    return True


def keeps_order(pairing: Pairing, before: Sequence[int]) -> bool:
    """Whether no row comes before one of ``before[row]``."""
    found = sorted((column, row) for row, column in enumerate(pairing) if column is not None)
    to_come = sum(1 << row for _, row in found)
    for _, row in found:
        if before[row] & to_come:
            return False
        to_come ^= 1 << row
    return True


_Trail = tuple["_Trail", int, int] | None
_Best = list[tuple[int, _Trail]]


def _search(
    weights: Weights, before: Sequence[int], ordered: list[int], pairing: Pairing, spent: int
) -> int:
    """Block by block: rows that all come after all of the block before. ``best[place]`` is the
    most that the blocks so far can be worth within the first ``place`` columns.

    Returns the states visited so far.
    """
    columns = sorted({column for row in ordered for column in weights[row]})
    best: _Best = [(0, None)] * (len(columns) + 1)
    for block in _blocks(ordered, before):
        best, spent = _through(block, weights, before, columns, best, spent)
    trail = best[-1][1]
    while trail is not None:
        trail, row, column = trail
        pairing[row] = column
    return spent


def _blocks(ordered: list[int], before: Sequence[int]) -> Iterable[list[int]]:
    """Cuts rows, sorted by how many come before them, wherever all that follow come after."""
    rest = [-1] * (len(ordered) + 1)  # what comes before every row from here on
    for place in range(len(ordered) - 1, -1, -1):
        rest[place] = rest[place + 1] & before[ordered[place]]
    so_far, start = 0, 0
    for place, row in enumerate(ordered, 1):
        so_far |= 1 << row
        if not so_far & ~rest[place]:
            yield ordered[start:place]
            start = place


def _through(
    block: list[int],
    weights: Weights,
    before: Sequence[int],
    columns: list[int],
    best: _Best,
    spent: int,
) -> tuple[_Best, int]:
    """One block, column by column, over the sets of its rows that may still be paired.

    That set decides all that can follow: pairing a row rules out it and all that had to come
    before it. A set is a bit mask of places in the block.
    """
    twin = _twins(weights, before, block)
    last = [max(weights[row]) for row in block]
    rules_out = [
        1 << place | sum(1 << other for other, one in enumerate(block) if before[row] >> one & 1)
        for place, row in enumerate(block)
    ]
    fitting: dict[int, list[int]] = {}
    for place, row in enumerate(block):
        for column in weights[row]:
            fitting.setdefault(column, []).insert(0, place)
    begin = (1 << len(block)) - 1
    states: dict[int, tuple[int, _Trail]] = {}
    top: tuple[int, _Trail] = (-1, None)
    after: _Best = []
    for number, column in enumerate(columns):
        so_far = best[number]
        top = max(top, so_far, key=_weight)
        after.append(top)
        here = fitting.get(column)
        if here is None:
            continue
        if begin not in states or so_far[0] > states[begin][0]:
            states[begin] = so_far
        still_open = sum(1 << place for place, end in enumerate(last) if end > column)
        following: dict[int, tuple[int, _Trail]] = {}
        spent += len(states)
        if spent > MAX_STATES:
            raise TooLargeError(
                f"more than {MAX_STATES:,} partial orders of {len(block)} expected steps fit: "
                "name fewer steps alike, or order more of them with `after`"
            )
        for mask, state in states.items():
            weight, trail = state
            usable = {twin[place]: place for place in here if mask >> place & 1}
            for place in usable.values():
                row = block[place]
                left = mask & ~rules_out[place] & still_open
                gain = weight + weights[row][column]
                if left not in following or gain > following[left][0]:
                    following[left] = (gain, (trail, row, column))
                    if gain > top[0]:
                        top = following[left]
            left = mask & still_open
            if left not in following or weight > following[left][0]:
                following[left] = state
        states = following
        begin &= still_open
    after.append(max(top, best[-1], key=_weight))
    return after, spent


def _weight(state: tuple[int, _Trail]) -> int:
    return state[0]


def _twins(weights: Weights, before: Sequence[int], rows: list[int]) -> list[int]:
    """Interchangeable rows have the same number: the first of them may stand for all."""
    after = {row: [other for other in rows if before[other] >> row & 1] for row in rows}
    alike: dict[object, int] = {}
    return [
        alike.setdefault((before[row], *after[row], *sorted(weights[row].items())), len(alike))
        for row in rows
    ]


def _too_large(rows: int, columns: int) -> str:
    return (
        f"{rows:,} expected x {columns:,} actual steps of the same names are too many to align "
        f"(at most {MAX_CELLS:,} pairs): expect fewer steps, or split the case"
    )
