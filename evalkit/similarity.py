"""How alike two inputs are: which of their words stand under which keys."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NamedTuple

MAX_WORDS = 5000
SENTENCE = 4
ITSELF = 0.25
"""What a number or an id weighs as itself; the rest, that there is one of that size."""


class Words(NamedTuple):
    """The words of a value, each with the key that it stands under, and how much it weighs."""

    weights: dict[tuple[str, str], float]
    total: float


_WORD = re.compile(r"\w+")
_NUMBER = "#"
_NEGATIONS = frozenset(
    {"not", "no", "never", "none", "nobody", "nothing", "without", "cannot", "t"}
)


def similarity(one: Any, other: Any) -> float:
    """The share of words, with the key they stand under, that two values have in common: [0, 1].

    Numbers and ids count a quarter as themselves, and three quarters as a number of that size (in
    texts: as a number): the same question about another order is nearly the same question.
    """
    return overlap(words(one), words(other))


def overlap(one: Words, other: Words) -> float:
    """The similarity of two values of which the words are known."""
    if one.weights == other.weights:
        return 1.0
    both = one.weights.keys() & other.weights.keys()
    common = sum(map(one.weights.__getitem__, both))
    return common / (one.total + other.total - common)


def differ_in_fact(one: Words, other: Words) -> bool:
    """Whether two values differ in a fact, and not only in how a sentence is worded.

    A fact is a number, an id or a negation (English), and whatever stands under a key with fewer
    than four words.
    """
    differing = one.weights.keys() ^ other.weights.keys()
    if any(word in _NEGATIONS or _has_digit(word) for _, word in differing):
        return True
    lengths = [Counter(key for key, _ in each.weights) for each in (one, other)]
    return any(length[key] < SENTENCE for key, _ in differing for length in lengths)


def words(value: Any) -> Words:
    """Each word of a value with its key; of numbers and ids, also that there is one."""
    found: dict[tuple[str, str], float] = {}
    pending: list[tuple[str, Any]] = [("", value)]
    while pending and len(found) < MAX_WORDS:
        key, one = pending.pop()
        if isinstance(one, dict):
            pending.extend((str(name), inner) for name, inner in one.items())
        elif isinstance(one, list | tuple):
            pending.extend((key, inner) for inner in one)
        elif isinstance(one, str):
            for word in _WORD.findall(one.lower()):
                if _has_digit(word):
                    found[key, word], found[key, _NUMBER] = ITSELF, 1 - ITSELF
                else:
                    found[key, word] = 1.0
        elif isinstance(one, int | float) and not isinstance(one, bool):
            found[key, str(one)], found[key, _size(one)] = ITSELF, 1 - ITSELF
        else:
            found[key, str(one)] = 1.0
    return Words(found, sum(found.values()))


def scalars(value: Any) -> frozenset[Any]:
    """Texts and numbers anywhere in a value; truth values and None are too common to tell."""
    found: set[Any] = set()
    pending = [value]
    while pending and len(found) < MAX_WORDS:
        one = pending.pop()
        if isinstance(one, dict):
            pending.extend(one.values())
        elif isinstance(one, list | tuple):
            pending.extend(one)
        elif isinstance(one, str | int | float) and not isinstance(one, bool):
            found.add(one)
    return frozenset(found)


def _size(number: float) -> str:
    return f"{_NUMBER}1e{len(str(int(abs(number)))) - 1 if abs(number) < 1e15 else 15}"


def _has_digit(word: str) -> bool:
    return not word.isalpha() and any(map(str.isdigit, word)) and word[0] != _NUMBER
