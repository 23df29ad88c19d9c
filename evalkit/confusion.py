"""Which tool was chosen where which was expected: a route's matrix over its trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

NONE = "(none)"
"""The label of no tool: expected and none called, or called and none expected."""


class ToolScores(msgspec.Struct, frozen=True):
    """One tool over all decisions: precision, recall and F1 in [0, 1], and how often expected."""

    tool: str
    precision: float
    recall: float
    f1: float
    expected: int


class Confusion(msgspec.Struct, frozen=True):
    """``matrix[i][j]``: how often ``labels[i]`` was expected and ``labels[j]`` chosen."""

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    tools: tuple[ToolScores, ...]


def confusion(decisions: Iterable[Sequence[str | None]]) -> Confusion:
    """The matrix of [expected, chosen] pairs, as ``tool_selection`` records them in its data.

    Tools are in alphabetical order, no tool last. Without decisions everything is empty.
    """
    counts = Counter((one[0] or NONE, one[1] or NONE) for one in decisions)
    if not counts:
        return Confusion((), (), ())
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    expected, chosen = [one for one, _ in counts], [other for _, other in counts]
    often = list(counts.values())
    # No tool is always among the labels: of a single one scikit-learn warns.
    labels = sorted({*expected, *chosen, NONE}, key=lambda label: (label == NONE, label))
    matrix = confusion_matrix(expected, chosen, labels=labels, sample_weight=often)
    rates = precision_recall_fscore_support(
        expected, chosen, labels=labels, sample_weight=often, zero_division=0.0
    )
    shown = len(labels) - (NONE not in {*expected, *chosen})
    return Confusion(
        tuple(labels[:shown]),
        tuple(tuple(int(count) for count in row[:shown]) for row in matrix[:shown]),
        tuple(
            ToolScores(label, float(precision), float(recall), float(f1), int(support))
            for label, precision, recall, f1, support in zip(labels, *rates, strict=True)
            if label != NONE
        ),
    )
