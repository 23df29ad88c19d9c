"""A judge's verdicts beside human or true labels: how often they agree, and how surely."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

from evalkit.judging.calibrations import Agreement, Calibration
from evalkit.judging.verdicts import Verdict, normalise

_Z = NormalDist().inv_cdf(0.975)


class Labelled(NamedTuple):
    """A verdict and the label of the same execution, as written; ``group`` is its route."""

    verdict: Any
    label: Any
    group: str = ""


def calibrate(labelled: Iterable[Labelled]) -> Calibration:
    """Accuracy, Cohen's kappa and confusion, over all and by group.

    Words are read by :data:`evalkit.judging.verdicts.WORDS`; unknown ones are counted by name and
    not compared, nor is "unsure". Pass and fail are compared: "partially" is no pass.
    """
    words: dict[str, str] = {}
    unknown: Counter[str] = Counter()
    unsure = 0
    pairs: list[tuple[str, bool, bool]] = []
    for one in labelled:
        verdict, label = normalise(one.verdict), normalise(one.label)
        for what, word, read in (("verdict", one.verdict, verdict), ("label", one.label, label)):
            if read is None:
                unknown[f"{what} {word!r}"[:200]] += 1
            elif what == "verdict":
                words[str(word)] = read
        if verdict == "unsure":
            unsure += 1
        elif verdict is not None and label in ("pass", "partial", "fail"):
            pairs.append((one.group, label == "pass", verdict == "pass"))
    groups = {group: [pair for pair in pairs if pair[0] == group] for group, *_ in pairs}
    return Calibration(
        overall=_agreement(pairs),
        groups={group: _agreement(groups[group]) for group in sorted(groups)},
        words=dict(sorted(words.items())),
        unknown=dict(unknown.most_common(100)),
        unsure=unsure,
    )


def _agreement(pairs: Sequence[tuple[str, bool, bool]]) -> Agreement:
    counts = Counter((label, verdict) for _, label, verdict in pairs)
    agreed = counts[True, True] + counts[False, False]
    low, high = _wilson(agreed, len(pairs))
    said: dict[bool, Verdict] = {True: "pass", False: "fail"}
    return Agreement(
        labels=len(pairs),
        accuracy=agreed / len(pairs) if pairs else None,
        low=low,
        high=high,
        kappa=_kappa(pairs),
        confusion={
            said[label]: {said[verdict]: counts[label, verdict] for verdict in said}
            for label in said
        },
    )


def _kappa(pairs: Sequence[tuple[str, bool, bool]]) -> float | None:
    """Cohen's kappa; None where it has no value: all labels and all verdicts are the same."""
    labels, verdicts = [pair[1] for pair in pairs], [pair[2] for pair in pairs]
    if len({*labels, *verdicts}) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(labels, verdicts))


def _wilson(hits: int, total: int) -> tuple[float | None, float | None]:
    """The 95 % Wilson score interval of a share."""
    if not total:
        return None, None
    share, square = hits / total, _Z**2 / total
    middle = (share + square / 2) / (1 + square)
    reach = math.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    return max(0.0, middle - reach), min(1.0, middle + reach)
