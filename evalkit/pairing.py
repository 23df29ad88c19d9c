"""Pairs: of equal ones, and a column of its own for every row, where there is one for all."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Sequence


def left_over(stated: Sequence[Hashable], found: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """The places of what is left in each when equal ones have paired off."""
    left = Counter(stated)
    extra = []
    for place, key in enumerate(found):
        if left.get(key, 0):
            left[key] -= 1
        else:
            extra.append(place)
    lacking = []
    for place, key in enumerate(stated):
        if left[key]:
            left[key] -= 1
            lacking.append(place)
    return lacking, extra


def pair_off(options: Sequence[Sequence[int]]) -> list[int] | None:
    """A column of its own for every row out of its options; None if there is none for all."""
    taken: dict[int, int] = {}
    for row in range(len(options)):
        came_from: dict[int, int] = {}
        queue = deque([row])
        free = None
        while queue and free is None:
            at = queue.popleft()
            for column in options[at]:
                if column not in came_from:
                    came_from[column] = at
                    if column not in taken:
                        free = column
                        break
                    queue.append(taken[column])
        if free is None:
            return None
        _shift(free, row, came_from, taken)
    columns = {row: column for column, row in taken.items()}
    return [columns[row] for row in range(len(options))]


def _shift(column: int, start: int, came_from: dict[int, int], taken: dict[int, int]) -> None:
    """Gives ``column`` to the row that reached it, that row's column to the one before, ..."""
    held = {row: place for place, row in taken.items()}
    while True:
        row = came_from[column]
        taken[column] = row
        if row == start:
            return
        column = held[row]
