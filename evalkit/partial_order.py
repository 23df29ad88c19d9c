"""Which row goes with which column where some rows must not come before others.

Words and ties are those of :mod:`evalkit.assignment`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evalkit.assignment import Pairing, TooLargeError, Weights, components, in_any_order
from evalkit.subsequence import in_sequence

MAX_STATES = 1_000_000


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
    for rows in components(weights, _ordered_together(before)):
        in_turn = sorted(rows, key=lambda row: before[row].bit_count())
        if _is_chain(in_turn, before):
            found = in_sequence([weights[row] for row in in_turn])
            for row, column in zip(in_turn, found, strict=True):
                pairing[row] = column
        else:
            spent = _search(weights, before, in_turn, pairing, spent)
    return pairing


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
